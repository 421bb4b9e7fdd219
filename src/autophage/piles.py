"""What an agent may train on: the real records and everything sampled so far, executing its workflow's plans.

`Records` keeps the records themselves, of one replicate (`Samples`) or of a block (`Batch`). `Summaries`
keeps sufficient statistics only, so that accumulating costs O(1) a generation whatever was sampled, and draws
them from their exact law where the path says so. Both are immutable: `grown` returns a new pile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Model, Source, SufficientLearner, sampled
from autophage.samples import REAL, Batch, Samples, reckonable
from autophage.workflows import Plan, Row, Workflow

Share = float | np.ndarray
"""The share of real records in a training set: a number, or one per replicate."""


@dataclass(frozen=True)
class RealData:
    """Where a block of replicates gets its real records from."""

    source: Source
    size: int
    """Real records of generation 0."""
    replicates: int
    batched: bool
    bootstrap: bool = False
    reuse: bool = False
    skip: int = 0
    """Real records before this agent's own ones, which other agents of the ecosystem begin with."""
    used: int | None = None
    """Real records that the agents of the ecosystem begin with, all together; its own unless given."""
    described: bool = False
    """Real records carry a field `source`, as those do that an agent has described."""

    @property
    def taken(self) -> int:
        """Real records of a finite source that are not fresh."""
        return self.size if self.used is None else self.used

    def first(self, key: Key) -> Any:
        """Generation 0's real set: drawn by every replicate from an unlimited source, shared from a finite
        one."""
        key = key / "part" / self.skip if self.skip else key
        if self.source.unlimited:
            return self._shaped(self.source.draw(self.size, key=key, replicates=self.replicates))
        train = self.source.train()
        if self.bootstrap:
            rows = (key / "bootstrap").generator().integers(0, len(train), (self.replicates, self.size))
            return Batch.of(reckonable(train.x[rows])) if self.batched else self._marked(train[rows[0]])
        held = train if self.size == len(train) else train[self.skip : self.skip + self.size]
        return Batch.of(reckonable(held.x[None])) if self.batched else self._marked(held)

    def fresh(self, n: int, used: int, key: Key) -> Any:
        """n new real records; a finite source hands out its unused part, `used` of which are gone."""
        if self.source.unlimited:
            return self._shaped(self.source.draw(n, key=key, replicates=self.replicates))
        train = self.source.train()
        left = len(train) - self.taken
        if not self.reuse and used + n > left:
            raise SpecError(
                f"the loop needs {used + n} fresh real records but the data has {left} beyond the first {self.taken}; "
                "take a smaller workflow.initial_size or set workflow.reuse: true"
            )
        order = (Key(0) / "fresh").generator().permutation(left) if left else np.arange(0)
        pool = order + self.taken if left else np.arange(len(train))
        taken = train[pool[(used + np.arange(n)) % len(pool)]]
        return Batch.of(reckonable(taken.x[None])) if self.batched else self._marked(taken)

    def _shaped(self, batch: Batch) -> Any:
        return batch if self.batched else self._marked(batch.replicate(0))

    def _marked(self, samples: Samples) -> Samples:
        if not self.described:
            return samples
        nobody = np.broadcast_to(np.array("", "<U1"), (len(samples),))
        return Samples({**samples.fields, "source": nobody}, *samples.columns)


def planned_fresh(workflow: Workflow, generations: int, real: int) -> int:
    """New real records a whole run asks for."""
    return sum(
        row.count or 0
        for t in range(1, generations)
        for row in workflow.plan(t, real).rows
        if row.origin == "fresh"
    )


@dataclass(frozen=True)
class Records:
    """A pile of records. `batches[i]` was sampled from generation `newest - len(batches) + 1 + i`."""

    data: RealData
    workflow: Workflow
    real: Any
    batches: tuple[Any, ...] = ()
    newest: int = -1
    used: int = 0
    segmented: bool = False
    """Hand the learner a list of batches instead of one joined batch."""
    relabelled: bool = False
    """The models are given the real records, to make new labels for them."""

    def training_set(self, plan: Plan | None, key: Key) -> tuple[Any, Share]:
        """The records of a plan (None: generation 0's) and the share of them that are real."""
        if plan is None:
            return ([self.real] if self.segmented else self.real), 1.0
        if plan.draw == "mixture":
            return self._mixture(plan, key)
        rows = [
            (row, [p for p in self._row(plan, row, key / "row" / number) if len(p)])
            for number, row in enumerate(plan.rows)
        ]
        total = sum(len(p) for _, found in rows for p in found)
        parts = [p for row, found in rows for p in _carrying(found, row.weight, total)]
        if not parts:
            raise FitFailed("the training set is empty")
        if plan.draw == "subsample":
            return self._subsample(parts, int(plan.size or 0), key / "subsample")
        if self.segmented:
            held = [_mass(p) for p in parts]
            real = sum(_real_share(p) * m for p, m in zip(parts, held, strict=True) if np.all(m))
            return parts, real / sum(held)
        joined = Batch.join(parts) if self.data.batched else Samples.join(parts)
        return joined, _real_share(joined)

    def _row(self, plan: Plan, row: Row, key: Key) -> list[Any]:
        if row.origin == "fresh":
            return [self.data.fresh(int(row.count or 0), self.used, key)] if row.count else []
        if row.origin == "real":
            if row.count is None or row.count == len(self.real):
                return [self.real]
            if not row.anew:
                return [self.real.first(row.count) if self.data.batched else self.real[: row.count]]
            return [_without_replacement([self.real], row.count, self.data.replicates, key)]
        oldest = self.newest - len(self.batches) + 1
        chosen = self.batches[row.first - oldest : row.last - oldest + 1]
        if row.count is None:
            return list(chosen)
        if len(chosen) == 1:
            return [chosen[0].first(row.count) if self.data.batched else chosen[0][: row.count]]
        return [_without_replacement(list(chosen), row.count, self.data.replicates, key)]

    def _subsample(self, parts: list[Any], n: int, key: Key) -> tuple[Any, Share]:
        if n > sum(len(p) for p in parts):
            raise FitFailed(f"{n} records were to be drawn from a pile of {sum(len(p) for p in parts)}")
        taken = _without_replacement(parts, n, self.data.replicates, key)
        return ([taken] if self.segmented else taken), _real_share(taken)

    def _mixture(self, plan: Plan, key: Key) -> tuple[Any, Share]:
        n, share = int(plan.size or 0), float(plan.rows[0].share or 0.0)
        mask = (key / "origin").generator().random((self.data.replicates, n)) < share
        synthetic = self.batches[-1]
        if self.data.batched:
            fresh = self.data.fresh(n, self.used, key / "fresh")
            drawn: Any = _choose(mask, fresh, synthetic.first(n), self.newest)
            return ([drawn] if self.segmented else drawn), mask.mean(axis=1)
        count = int(mask.sum())
        fresh = self.data.fresh(count, self.used, key / "fresh")
        drawn = Samples.join([fresh, synthetic[: n - count]])
        return ([drawn] if self.segmented else drawn), _real_share(drawn)

    def sampled(self, model: Model, n: int, key: Key, given: Samples | None = None) -> Any:
        """n records of the model for the next plan; what it makes of `given` ones, where there are any."""
        given = self.real if self.relabelled else given
        return sampled(model, n, key, given)

    def grown(self, piece: Any, fresh: int = 0) -> Records:
        """The pile with the newest generation's records; what no later plan asks for is let go."""
        batches = (*self.batches, piece)
        keeps = None if getattr(self.workflow, "pooled", False) else self.workflow.keeps
        return replace(
            self,
            batches=batches if keeps is None else batches[-keeps:],
            newest=self.newest + 1,
            used=self.used + fresh,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What must be stored to go on later (blocks of replicates; deep runs keep their samples as
        files)."""
        stored = {"real.x": self.real.x, "real.generation": self.real.generation}
        for i, batch in enumerate(self.batches):
            stored |= {f"batch{i}.x": batch.x, f"batch{i}.generation": batch.generation}
            stored[f"batch{i}.agent"] = np.array(batch.agent)
            if batch.weight is not None:
                stored[f"batch{i}.weight"] = batch.weight
        return {**stored, "newest": np.array(self.newest), "used": np.array(self.used)}

    def restored(self, arrays: Mapping[str, np.ndarray]) -> Records:
        """The pile that `arrays` came from."""
        count = sum(1 for k in arrays if k.startswith("batch") and k.endswith(".x"))
        return replace(
            self,
            real=Batch(arrays["real.x"], arrays["real.generation"]),
            batches=tuple(
                Batch(
                    arrays[f"batch{i}.x"],
                    arrays[f"batch{i}.generation"],
                    str(arrays[f"batch{i}.agent"]),
                    arrays.get(f"batch{i}.weight"),
                )
                for i in range(count)
            ),
            newest=int(arrays["newest"]),
            used=int(arrays["used"]),
        )


@dataclass(frozen=True)
class Summaries:
    """A pile of sufficient statistics. `exact` draws them from their law instead of summarising records."""

    data: RealData
    workflow: Workflow
    learner: SufficientLearner
    exact: bool
    law: Model | None
    """The true law as a model of the learner's family, on the exact path."""
    real: Any
    recent: tuple[Any, ...] = ()
    """Of the newest batches; each with the fresh real records of the same plan."""
    pool: Any = None
    """Everything sampled so far, where the workflow accumulates."""
    share: Share = 0.0
    """The share of fresh real records in the newest piece: counted, or, where a mixture is drawn as one blended
    law, expected."""
    used: int = 0
    newest: int = -1
    records: Batch | None = None
    """The real records, kept where a metric compares with them, or where models label them again."""

    def training_set(self, plan: Plan | None, key: Key) -> tuple[Any, Share]:
        """The statistics of a plan (None: generation 0's) and the share of real records behind them."""
        if plan is None:
            return self.real, 1.0
        synthetic: list[Any] = []
        real: list[Any] = []
        for row in plan.rows:
            if row.origin == "real":
                real.append(self.real)
            elif row.origin == "synthetic":
                span = row.last - row.first + 1
                pooled = self.pool is not None and span > len(self.recent)
                synthetic += [self.pool] if pooled else [s for s in self.recent[-span:] if s is not None]
        if not real and len(synthetic) == 1:
            return synthetic[0], self.share
        merged = self.learner.merge([*real, *synthetic])
        reals = sum(np.asarray(s.count) for s in real)
        return merged, reals / np.asarray(merged.count)

    def sampled(self, model: Model, plan: Plan, key: Key) -> tuple[Any, Share]:
        """The statistics of what the next plan asks for: new samples, and fresh real records among them."""
        fresh = next((row for row in plan.rows if row.origin == "fresh"), None)
        if plan.new == 0 and (fresh is None or not fresh.count):
            return None, 0.0
        if fresh is None:
            return self._drawn(model, plan.new, key), 0.0
        if plan.draw == "mixture":
            n, share = int(plan.size or 0), float(fresh.share or 0.0)
            if self.exact and self.law is not None:
                blend = self.learner.blend(self.law, model, share)
                if blend is not None:
                    return self.learner.refit(blend, n, key), share
                reals = (key / "origin").generator().binomial(n, share, self.data.replicates)
                return self._merged(model, n - reals, reals, key), reals / n
            mask = (key / "origin").generator().random((self.data.replicates, n)) < share
            given = {"given": self.records} if self.learner.relabels else {}
            new = model.sample(n, key=key / "sample", **given)  # type: ignore[arg-type]
            mixed = _choose(mask, self.data.fresh(n, self.used, key / "fresh"), new, self.newest + 1)
            return self.learner.summarize(mixed), mask.mean(axis=1)
        count = int(fresh.count or 0)
        if not count:
            return self._drawn(model, plan.new, key), 0.0
        share = count / (count + plan.new) if fresh.weight is None else fresh.weight
        return self._merged(model, plan.new, count, key, fresh.weight), share

    def _drawn(self, model: Model, n: Any, key: Key) -> Any:
        if self.exact:
            return self.learner.refit(model, n, key)
        if self.learner.relabels:
            assert self.records is not None
            return self.learner.relabel(model, n, key / "sample", self.records)
        return self.learner.resample(model, n, key / "sample")

    def _merged(self, model: Model, new: Any, reals: Any, key: Key, weight: float | None = None) -> Any:
        """Statistics of `new` samples and `reals` fresh real records together, the real ones with a share `weight` of
        the weight, if it is given."""
        if self.exact and self.law is not None:
            fresh = self.learner.refit(self.law.spread(self.data.replicates), reals, key / "fresh")
        else:
            fresh = self.learner.summarize(self.data.fresh(int(reals), self.used, key / "fresh"))
        if np.ndim(new) == 0 and new == 0:
            return fresh
        drawn = self._drawn(model, new, key)
        if weight is None:
            return self.learner.merge([fresh, drawn])
        total = reals + new
        fresh = self.learner.scaled(fresh, weight * total / reals)
        drawn = self.learner.scaled(drawn, (1 - weight) * total / new)
        return self.learner.merge([fresh, drawn])._replace(count=total)

    def grown(self, piece: Any, fresh: int = 0) -> Summaries:
        """The pile with the newest piece; what no later plan asks for is let go."""
        statistics, share = piece
        keeps = self.workflow.keeps or 1
        pool = self.pool
        if getattr(self.workflow, "pooled", False) and statistics is not None:
            pool = statistics if pool is None else self.learner.merge([pool, statistics])
        recent = self.recent if keeps > 1 else ()
        recent = (*recent, statistics)[-keeps:]  # None where nothing was sampled: places count
        return replace(
            self, recent=recent, pool=pool, share=share, used=self.used + fresh, newest=self.newest + 1
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What must be stored to go on later."""
        stored: dict[str, np.ndarray] = {"newest": np.array(self.newest), "used": np.array(self.used)}
        stored |= {"share": np.asarray(self.share), "recent": np.array(len(self.recent))}
        pieces = {
            "real": self.real,
            "pool": self.pool,
            **{f"recent{i}": s for i, s in enumerate(self.recent)},
        }
        for name, statistics in pieces.items():
            if statistics is not None:
                for field, value in statistics._asdict().items():
                    if value is not None:
                        stored[f"{name}.{field}"] = np.asarray(value)
        return stored

    def restored(self, arrays: Mapping[str, np.ndarray]) -> Summaries:
        """The pile that `arrays` came from."""

        def statistics(name: str) -> Any:
            shape = type(self.real)
            found = {f: arrays.get(f"{name}.{f}") for f in shape._fields}
            if all(v is None for v in found.values()):
                return None
            return shape(**{f: (v[()] if v is not None and v.ndim == 0 else v) for f, v in found.items()})

        count = int(arrays["recent"])
        return replace(
            self,
            real=statistics("real"),
            pool=statistics("pool"),
            recent=tuple(statistics(f"recent{i}") for i in range(count)),
            share=arrays["share"][()],
            used=int(arrays["used"]),
            newest=int(arrays["newest"]),
        )


def _real_share(data: Any) -> Share:
    return data.real_share()


def _mass(data: Any) -> Share:
    """The weight of all records: a number, or (R,)."""
    if isinstance(data, Batch):
        return float(len(data)) if data.weight is None else data.weight.sum(axis=1)
    return float(np.asarray(data.weight).sum())


def _carrying(parts: list[Any], share: float | None, total: int) -> list[Any]:
    """The records of one row, which together carry a share of the weight `total` of the training set (None: as they
    are)."""
    if share is None or not parts:
        return parts
    held = sum(_mass(p) for p in parts)
    if share and not np.all(held):
        raise FitFailed("records that should carry weight have none")
    factor = np.asarray(share * total / np.where(held, held, 1.0))
    return [
        p.reweighted(np.broadcast_to(factor.reshape(-1, 1), (max(factor.size, p.replicates), len(p))))
        if isinstance(p, Batch)
        else replace(p, weight=np.asarray(p.weight) * factor)
        for p in parts
    ]


def _choose(mask: np.ndarray, real: Batch, synthetic: Batch, generation: int) -> Batch:
    """Each record real where the mask says so."""
    wide = mask.reshape(*mask.shape, *(1,) * (synthetic.x.ndim - 2))
    weight = None if synthetic.weight is None else np.where(mask, 1.0, synthetic.weight)
    x, origin = np.where(wide, real.x, synthetic.x), np.where(mask, REAL, generation)
    return Batch(x, origin, synthetic.agent, weight)


def _without_replacement(parts: list[Any], n: int, replicates: int, key: Key) -> Any:
    """n of the records in all parts, uniformly, without replacement; each replicate draws its own."""
    total = sum(len(p) for p in parts)
    if isinstance(parts[0], Samples):
        rows = np.sort(key.generator().permutation(total)[:n])
        return Samples.join(parts)[rows]
    order = key.generator().random((replicates, total))
    rows = np.sort(
        np.argpartition(order, n - 1, axis=1)[:, :n] if n < total else np.argsort(order, axis=1), axis=1
    )
    starts = np.concatenate([[0], np.cumsum([len(p) for p in parts])])
    x = np.empty((replicates, n, *parts[0].x.shape[2:]), np.result_type(*[p.x for p in parts]))
    generation = np.empty((replicates, n), np.int32)
    weight = None if all(p.weight is None for p in parts) else np.ones((replicates, n))
    for p, low, high in zip(parts, starts[:-1], starts[1:], strict=True):
        r, column = np.nonzero((rows >= low) & (rows < high))
        source = rows[r, column] - low
        x[r, column] = p.x[r if p.replicates > 1 else 0, source]
        generation[r, column] = p.generation[source] if p.generation.ndim == 1 else p.generation[r, source]
        if weight is not None and p.weight is not None:
            weight[r, column] = p.weight[r, source]
    return Batch(x, generation, parts[-1].agent, weight)
