"""A family of closed-form loops as one array program: cells x replicates are one replicate axis.

The cells' plans become vectors of counts, and the loop runs on sufficient statistics with the learner's own `refit`,
`merge` and `estimate`, which take one count per replicate. What it draws has the law of `loop.Loop` on the statistics
path. A chunk of cells has a random stream of its own, named by the cells in it, so that nothing depends on the order
of the chunks or on who runs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import SpecError, UserError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.parts import Model, SufficientLearner
from autophage.samples import Batch, Samples
from autophage.sweeps.grid import COUNTED, Family
from autophage.workflows import Accumulate, Fresh, KeepReal, Mix, Plan, Replace, Window, Workflow, takes_parts

AT_ONCE = 1 << 14
"""Numbers in the models of one chunk: what the processor's cache likes."""
FEWEST, MOST = 512, 8192
"""Replicates in one chunk, unless one cell has more."""
LARGEST = 1 << 16
"""Replicates of one cell above which it is run by itself, block by block."""
_STEADY = (Replace, Accumulate, Window, Mix, KeepReal, Fresh)
"""Workflows whose plans hold the same counts in every generation, unless a schedule says otherwise."""

TENTH = 0.1
"""A spread below this share of generation 0's has collapsed (D5)."""
SPREADS = ("variance", "gini")
"""Row names of the spreads whose fall below a tenth is timed, the first one measured."""
TIMED = "generations_to_tenth"
"""Row name of that time."""

Share = Callable[[], Any]
"""The share of real records in a training set, computed when a metric asks for it."""
Look = Callable[[int, Model, Share], None]


@dataclass(frozen=True)
class Counts:
    """The plans of C cells as numbers."""

    real: np.ndarray
    """(C,) real records of generation 0."""
    new: np.ndarray
    """(C, G) records asked of the last model; of a mixture, the size of the whole set."""
    fresh: np.ndarray
    """(C, G) new real records, where their number is fixed."""
    share: np.ndarray
    """(C, G) the share of new real records in a mixture."""

    def of(self, cells: np.ndarray) -> Counts:
        return Counts(*(a[cells] for a in (self.real, self.new, self.fresh, self.share)))


def lacks(loop: Loop) -> str:
    """Why a loop cannot be part of an array program, as half a sentence; empty where it can."""
    spec = loop.spec
    if len(loop.agents) > 1:
        return "several agents feed each other"
    (name, agent), *_ = loop.agents.items()
    if loop.paths[name] != "statistics" or not isinstance(agent.learner, SufficientLearner):
        return "the loop draws records, not the statistics of the refit"
    if agent.curation or agent.treatment is not None:
        return "samples are curated or models treated"
    if not spec.data.unlimited and spec.bootstrap:
        return "every replicate draws its own real set from a finite one"
    law = agent.learner.law(spec.data.truth) if spec.data.unlimited else None
    if law is None and any(r.origin == "fresh" for p in _plans(loop) for r in p.rows):
        return "new real records are drawn from a law outside the learner's family"
    for metric in spec.metrics:
        if needs_records(metric):
            return f"metric {type(metric).__name__} looks at samples"
    if spec.replicates > LARGEST:
        return f"a cell has more than {LARGEST:,} replicates"
    return ""


def needs_records(metric: Any) -> bool:
    """Whether a metric looks at more than the fitted model."""
    return bool({"samples", "train"} & set(metric.needs)) or hasattr(metric, "against")


def _plans(loop: Loop) -> list[Plan]:
    found = [loop.plan(name, t) for name in loop.agents for t in range(1, loop.spec.generations)]
    return [plan for plan in found if plan is not None]


class Program:
    """One family, its plans compiled. Raises `SpecError` where a cell is not legal; `refused` names it.

    Families are run together only where every cell's plan has the same rows; `structures` splits a family that
    mixes them.
    """

    def __init__(self, family: Family, refused: Callable[[int, UserError], SpecError]) -> None:
        self.family = family
        try:
            self.loop = Loop(family.spec)
        except UserError as error:
            raise refused(family.cells[0], error) from error
        self.name = family.agent
        self.lacks = lacks(self.loop)
        if self.lacks:
            return
        spec, learner = family.spec, self.loop.agents[self.name].learner
        source = spec.data
        self.available = None if source.unlimited else len(source.train())
        self.counts, self.signatures, parts = self._compiled(refused)
        if parts:
            self.lacks = "a workflow takes part of a batch, or weighs its parts"
            return
        law = learner.law(source.truth) if source.unlimited else None
        self.law: Model | None = law
        self._refuse_small(refused)
        shown = law if law is not None else learner.estimate(self._summary(self.loop.real[self.name]))
        width = sum(np.asarray(a).size for a in shown.arrays().values()) / shown.replicates
        self.replicates = spec.replicates
        together = int(np.clip(AT_ONCE / width, FEWEST, MOST))
        self.per_chunk = max(1, together // self.replicates)

    def chunks(self) -> list[list[int]]:
        """Positions in the family, a chunk's worth at a time: only cells of one structure run together."""
        found = []
        for signature in dict.fromkeys(self.signatures):
            same = [i for i, s in enumerate(self.signatures) if s == signature]
            found += [same[low : low + self.per_chunk] for low in range(0, len(same), self.per_chunk)]
        return found

    def _compiled(self, refused: Callable[[int, UserError], SpecError]) -> tuple[Counts, list[Any], bool]:
        C, G = len(self.family.cells), self.family.spec.generations
        real = np.zeros(C, np.int64)
        new, fresh, share = np.zeros((C, G), np.int64), np.zeros((C, G), np.int64), np.zeros((C, G))
        signatures: list[Any] = []
        known: dict[Any, Any] = {}
        parts = False
        for i, workflow in enumerate(self.family.workflows):
            try:
                real[i] = n = workflow.start_size(self.available)
                steady = _steady(workflow)
                plans = [workflow.plan(t, n) for t in range(1, min(G, 2) if steady else G)]
                for plan in plans:
                    columns = slice(1, None) if steady else plan.generation
                    new[i, columns] = plan.new if plan.draw != "mixture" else plan.size or 0
                    for row in plan.rows:
                        if row.origin == "fresh":
                            fresh[i, columns] = row.count or 0
                            share[i, columns] = row.share or 0.0
                    parts = parts or takes_parts(plan, n) or any(row.weight is not None for row in plan.rows)
                signatures.append(_signature(workflow, n, G, known))
            except SpecError as error:
                raise refused(self.family.cells[i], error) from error
        return Counts(real, new, fresh, share), signatures, parts

    def _refuse_small(self, refused: Callable[[int, UserError], SpecError]) -> None:
        """Where a training set looks too small for the learner, the ordinary check of that cell says so."""
        learner, G = self.loop.agents[self.name].learner, self.family.spec.generations
        smallest = max(1, learner.smallest(self.family.spec.data.dim))
        c = self.counts
        batches = np.concatenate([c.real[:, None], c.new[:, 1:]], axis=1)
        ends = np.concatenate([np.zeros((len(batches), 1), np.int64), batches.cumsum(axis=1)], axis=1)
        short = c.real < smallest
        position = {s: i for i, s in reversed(list(enumerate(self.signatures)))}
        for signature, first in position.items():
            same = np.array([s == signature for s in self.signatures])
            workflow, real = self.family.workflows[first], int(c.real[first])
            for t in range(1, G):
                plan = workflow.plan(t, real)
                if plan.draw == "mixture":
                    size = c.new[:, t]
                else:
                    size = np.zeros(len(same), np.int64)
                    for row in plan.rows:
                        if row.origin == "real":
                            size = size + c.real
                        elif row.origin == "fresh":
                            size = size + c.fresh[:, t]
                        else:
                            size = size + ends[:, row.last + 2] - ends[:, row.first + 1]
                short |= same & (size < smallest)
        for i in np.flatnonzero(short):
            try:
                Loop(self.family.spec_of(int(i)))
            except UserError as error:
                raise refused(self.family.cells[int(i)], error) from error

    def run(
        self, members: Sequence[int], ids: Sequence[str], at: Sequence[int]
    ) -> tuple[dict[tuple[str, int], np.ndarray], dict[str, np.ndarray]]:
        """The cells at positions `members`, known as `ids`: {(metric, generation): (C, R)}, and for the first
        spread that is measured {"mean": (C,), "median": (C,)}, the generation in which that course falls below a
        tenth of generation 0's mean (G where it does not). Raises `FitFailed` where a fit diverges."""
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        key = Key(self.family.spec.seed) / "sweep" / digest
        C, R, G = len(members), self.replicates, self.family.spec.generations
        found: dict[tuple[str, int], np.ndarray] = {}
        spread = next((m for m in self.loop.spec.metrics if getattr(m, "row", "") in SPREADS), None)
        passed = {name: np.full(C, G) for name in ("mean", "median")} if spread is not None else {}
        start = np.zeros(C)

        def look(t: int, model: Model, real_share: Share) -> None:
            seen = self.loop.spec.metrics if t in at else (spread,) if spread is not None else ()
            view = _View(self, t, model, C * R, real_share, key / t / "evaluate")
            for metric in seen:
                for m in metric.measure(view):
                    values = np.asarray(m.value).reshape(C, R)
                    if t in at:
                        found[m.metric, t] = np.array(values)
                    if metric is spread:
                        self._time(t, values, start, passed)

        self._play(np.asarray(members), key, look)
        return found, passed

    @staticmethod
    def _time(t: int, values: np.ndarray, start: np.ndarray, passed: Mapping[str, np.ndarray]) -> None:
        if t == 0:
            start[:] = values.mean(axis=1)
            return
        line = TENTH * start
        half = 2 * np.count_nonzero(values < line[:, None], axis=1) >= values.shape[1]
        below = {"mean": values.mean(axis=1) < line, "median": half}
        for name, first in passed.items():
            np.minimum(first, np.where(below[name], t, first), out=first)

    def _play(self, members: np.ndarray, key: Key, look: Look) -> None:
        """`Loop.step` over the generations, with one count per replicate."""
        spec, agent = self.family.spec, self.loop.agents[self.name]
        R, G, first = self.replicates, spec.generations, int(members[0])
        counts = self.counts.of(members)
        workflow, size = self.family.workflows[first], int(self.counts.real[first])
        learner: Any = agent.learner
        wide = _Wide(learner, self.law, counts, R)
        real = self._real(counts, key / "real")
        pile = _Pile(learner, real, workflow.keeps or 1, workflow.pooled)
        model: Any = None
        absorbed = np.zeros(len(members) * R, dtype=bool)
        for t in range(G):
            data, real_share = pile.training_set(workflow.plan(t, size) if t else None)
            now = learner.in_generation(t)
            if t == 0 and spec.initial_model is not None:
                fitted = now.initial(spec.initial_model, spec.data.dim).spread(len(absorbed))
            else:
                fitted = now.estimate(data, start=model if now.start == "previous" else None)
                if fitted.replicates < len(absorbed):
                    fitted = fitted.spread(len(absorbed))
            if absorbed.any():
                fitted = fitted.frozen(absorbed, model)
            stuck = fitted.absorbed()
            if stuck is not None:
                absorbed = absorbed | stuck
            model = fitted
            look(t, model, real_share)
            if t + 1 < G:
                sampler = model.tuned(agent.sampling) if agent.sampling.chosen() else model
                pile.grow(*wide.drawn(sampler, workflow.plan(t + 1, size), key / t / "sample"))

    def _real(self, counts: Counts, key: Key) -> Any:
        """Generation 0's statistics: drawn from their law, or of records, cell by cell."""
        learner: Any = self.loop.agents[self.name].learner
        if self.law is not None:
            n = np.repeat(counts.real, self.replicates)
            return learner.refit(self.law.spread(len(n)), n, key)
        found = []
        for i, n in enumerate(counts.real.tolist()):
            if self.available is None:
                drawn = self.loop.source.draw(n, key=key / i, replicates=self.replicates)
                found.append(learner.summarize(drawn))
            else:
                found.append(self._summary(n))
        return _stacked(found, self.replicates)

    def _summary(self, n: int) -> Any:
        """The statistics of the first n training records of a finite set (of n drawn ones, else)."""
        learner: Any = self.loop.agents[self.name].learner
        source = self.loop.source
        if self.available is None:
            return learner.summarize(source.draw(n, key=Key(0) / "width", replicates=1))
        return learner.summarize(Batch.of(source.train()[:n].x[None]))


class _Wide:
    """Draws the statistics of new records, one count per replicate."""

    def __init__(self, learner: Any, law: Model | None, counts: Counts, replicates: int) -> None:
        self.learner, self.law, self.counts, self.replicates = learner, law, counts, replicates
        self._last: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def drawn(self, sampler: Model, plan: Plan, key: Key) -> tuple[Any, Share]:
        """What a plan asks for: samples and the new real records among them, and the share of those."""
        new = self._repeated("new", plan.generation)
        if plan.draw == "mixture":
            share = self._repeated("share", plan.generation)
            reals = (key / "origin").generator().binomial(new, share)
            return self._merged(sampler, new - reals, reals, key), lambda: reals / new
        if any(row.origin == "fresh" for row in plan.rows):
            fresh = self._repeated("fresh", plan.generation)
            return self._merged(sampler, new, fresh, key), lambda: fresh / (fresh + new)
        return self.learner.refit(sampler, new, key), lambda: 0.0

    def _repeated(self, name: str, t: int) -> np.ndarray:
        """A column of counts, one entry per replicate; made anew only where it differs from the last one."""
        column = getattr(self.counts, name)[:, t]
        last = self._last.get(name)
        if last is None or not np.array_equal(last[0], column):
            last = self._last[name] = (column, np.repeat(column, self.replicates))
        return last[1]

    def _merged(self, sampler: Model, new: np.ndarray, reals: np.ndarray, key: Key) -> Any:
        assert self.law is not None
        fresh = self.learner.refit(self.law.spread(len(new)), reals, key / "fresh")
        return self.learner.merge([fresh, self.learner.refit(sampler, new, key)])


class _Pile:
    """Real statistics and those of everything sampled that a later plan may ask for."""

    def __init__(self, learner: Any, real: Any, keeps: int, pooled: bool) -> None:
        self.learner, self.real, self.keeps, self.pooled = learner, real, keeps, pooled
        self.recent: list[Any] = []
        self.pool: Any = None
        self.share: Share = lambda: 0.0

    def training_set(self, plan: Plan | None) -> tuple[Any, Share]:
        if plan is None:
            return self.real, lambda: 1.0
        synthetic: list[Any] = []
        real = [self.real for row in plan.rows if row.origin == "real"]
        for row in plan.rows:
            if row.origin == "synthetic":
                span = row.last - row.first + 1
                whole = self.pooled and span > len(self.recent)
                synthetic += [self.pool] if whole else self.recent[-span:]
        if not real and len(synthetic) == 1:
            return synthetic[0], self.share
        merged = self.learner.merge([*real, *synthetic])
        return merged, lambda: sum(np.asarray(s.count) for s in real) / np.asarray(merged.count)

    def grow(self, piece: Any, share: Share) -> None:
        if self.pooled:
            self.pool = piece if self.pool is None else self.learner.merge([self.pool, piece])
        self.recent = [*self.recent, piece][-self.keeps :]
        self.share = share


class _View:
    """What a metric of fitted models sees of a chunk."""

    agent = "main"

    def __init__(
        self, program: Program, t: int, model: Model, replicates: int, share: Share, key: Key
    ) -> None:
        self.generation, self.model, self.replicates = t, model, replicates
        self.source, self.memo = program.loop.source, program.loop.memo
        self.key, self._share = key, share
        self.real_size = program.loop.real[program.name]
        self.curation: Mapping[str, np.ndarray] = {}

    @property
    def real_share(self) -> np.ndarray:
        return np.broadcast_to(np.asarray(self._share(), dtype=np.float64), (self.replicates,))

    def generated(self, r: int) -> Samples:
        raise SpecError(
            "a sweep's array program has no samples; metrics of samples need one run for every cell"
        )

    def reference(self, r: int, against: str = "reference") -> Samples:
        return self.source.reference()


def _steady(workflow: Workflow) -> bool:
    scheduled = any(not isinstance(getattr(workflow, name, 0), int | float | str | None) for name in COUNTED)
    return type(workflow) in _STEADY and not scheduled


def _signature(workflow: Workflow, real: int, G: int, known: dict[Any, Any]) -> Any:
    """What two workflows must share to run side by side: where their rows come from, in every generation."""
    rest = (type(workflow), tuple((k, v) for k, v in vars(workflow).items() if k not in COUNTED))
    if type(workflow) in _STEADY:
        return rest
    plans = [workflow.plan(t, real) for t in range(1, G)]
    rows = tuple((p.draw, tuple((r.origin, r.first, r.last) for r in p.rows)) for p in plans)
    return known.setdefault((rest[0], rows, workflow.keeps), len(known))


def _stacked(found: Sequence[Any], replicates: int) -> Any:
    """Statistics of cells, side by side; those of one replicate stand for all of their cell's."""
    shape = type(found[0])
    fields: dict[str, Any] = {}
    for name in shape._fields:
        values = [getattr(s, name) for s in found]
        if name == "count":
            fields[name] = np.repeat([int(v) for v in values], replicates)
        elif all(v is None for v in values):
            fields[name] = None
        else:
            fields[name] = np.concatenate(
                [v if len(v) == replicates else np.repeat(v, replicates, axis=0) for v in values]
            )
    return shape(**fields)


def summaries(values: np.ndarray) -> dict[str, np.ndarray]:
    """(C, R) values as the columns of the table: mean, median, sd (NaN for one replicate), n; NaN values have failed."""
    with np.errstate(all="ignore"):
        n = (~np.isnan(values)).sum(axis=1)
        sd = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.full(len(values), np.nan)
        return {"mean": values.mean(axis=1), "median": np.median(values, axis=1), "sd": sd, "n": n}
