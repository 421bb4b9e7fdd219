"""A comparison: the plain loop and one with each safeguard, from the same seeds and the same generation 0.

In a folder it can be stopped and repeated: arms that have ended are not run again.

    DIR/comparison.json    what was asked, and the budgets that were found
    DIR/generation_0/      the shared first models
    DIR/NAME/              the run of each arm
    DIR/report.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from autophage.comparisons.budgets import BUDGETS, Budget, Matched, has_budget, matched
from autophage.comparisons.costs import Cost, cost_of
from autophage.comparisons.first_models import FirstModels
from autophage.comparisons.safeguards import PLAIN, Safeguard, safeguards_of
from autophage.errors import RunError, SpecError, UserError
from autophage.loop import Loop
from autophage.registry import nearest
from autophage.runs.folder import as_name, write
from autophage.runs.run import Run, load, run
from autophage.runs.workers import side_by_side
from autophage.spec import Spec

Told = Callable[[dict[str, Any]], None]
MEASURED = ("noted", "training")
"""Metrics that a comparison adds, to know what was spent."""


@dataclass(frozen=True)
class Gain:
    """How much nearer an arm ends to the real records than the plain loop: the logarithm of the ratio of their risks in the
    last generation, mean over replicates."""

    log_ratio: float
    error: float
    """Standard error; NaN with one replicate."""
    replicates: int = 1

    @property
    def share(self) -> float:
        """1 - risk / plain risk: 0 is no gain, 1 all of it gone, below 0 it is worse."""
        return 1 - float(np.exp(-self.log_ratio))

    @property
    def interval(self) -> tuple[float, float]:
        """Of `share`, 95 % by Student's t; NaN with one replicate."""
        if self.replicates < 2:
            return float("nan"), float("nan")
        from scipy.stats import t

        reach = float(t.ppf(0.975, self.replicates - 1)) * self.error
        low, high = self.log_ratio - reach, self.log_ratio + reach
        return 1 - float(np.exp(-low)), 1 - float(np.exp(-high))


@dataclass(frozen=True)
class Outcome:
    """One arm."""

    name: str
    run: Run
    cost: Cost
    safeguard: Safeguard | None = None
    """None for the plain loop."""
    matched: Matched | None = None
    """None where the learner has no budget of records."""
    gain: Gain | None = None


@dataclass(frozen=True)
class Comparison:
    """All arms, the plain loop first."""

    outcomes: Sequence[Outcome]
    budget: Budget
    risk: str
    """The metric row that gains are read from; lower is better."""
    folder: Path | None = None
    seconds: float = 0.0
    plane: tuple[str, str] | None = None
    """Rows of fidelity and diversity, where both were measured."""

    @property
    def runs(self) -> dict[str, Run]:
        return {o.name: o.run for o in self.outcomes}

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the page and its figures; where it is."""
        from autophage.comparisons.paged import write_page

        return write_page(self, path)

    def table(self) -> list[dict[str, Any]]:
        """A row for each arm, as plain data."""
        rows = []
        for o in self.outcomes:
            gain = o.gain
            rows.append(
                {
                    "arm": o.name,
                    "knows": o.safeguard.knows if o.safeguard else "",
                    "risk": self.last(o),
                    "gain": None if gain is None else gain.share,
                    "gain_interval": None if gain is None else list(gain.interval),
                    "training_share": None if o.matched is None else o.matched.share,
                    "over_budget": bool(o.matched and o.matched.over),
                    "failures": {str(k): v["reason"] for k, v in o.run.failures.items()},
                    **o.cost.to_dict(),
                }
            )
        return rows

    def last(self, outcome: Outcome) -> float:
        """The risk in the last generation, mean over replicates."""
        values = _last(outcome.run, self.risk)
        return float(np.mean(list(values.values()))) if values else float("nan")


@dataclass
class _Work:
    """What is to be run, and where."""

    arms: dict[str, dict[str, Any]]
    safeguards: dict[str, Safeguard]
    budget: Budget
    folder: Path | None
    workers: int
    observe: Told | None
    kept: Any = field(default_factory=dict)
    """First models, where there is no folder."""

    def models(self, spec: Spec) -> Any:
        if self.folder is None:
            return self.kept
        return FirstModels(self.folder / "generation_0", Loop(spec).agents["main"].learner)

    def tell(self, what: str, **more: Any) -> None:
        if self.observe is not None:
            self.observe({"event": "comparison", "what": what, **more})


def compare(
    spec: Any,
    safeguards: str | Sequence[Any],
    out: str | Path | None = None,
    *,
    budget: Budget = "records",
    workers: int = 1,
    observe: Told | None = None,
    **keys: Any,
) -> Comparison:
    """Runs the plain loop and one with each of the safeguards (names, yaml files, `Safeguard`s), budgets matched.

    `spec` is a spec of one agent, as `run` takes it. With `out` arms are kept and a repeated call goes on; with `workers` > 1
    they run side by side, one thread each. A safeguard whose replicates all fail is an outcome like the others. Raises
    `SpecError` for a spec of several agents, an unknown safeguard or budget, and, naming the safeguard, where one does not
    fit the spec.
    """
    if budget not in BUDGETS:
        raise SpecError(
            f"budget is {budget!r}{nearest(str(budget), BUDGETS)}; it must be one of: {', '.join(BUDGETS)}"
        )
    chosen = safeguards_of(safeguards)
    folder = None if out is None else Path(out)
    base = _base(_seeded(Spec.of(spec, **keys), folder))
    arms = {PLAIN: base, **{s.name: s.applied(base) for s in chosen}}
    for name, raw in arms.items():
        try:
            Loop(Spec.of(raw))
        except UserError as error:
            raise SpecError(f"safeguard {name}: {error}" if name != PLAIN else str(error)) from error
    if folder is None and workers > 1:
        raise SpecError("a comparison in several processes needs a folder; give out, or workers=1")
    work = _Work(arms, {s.name: s for s in chosen}, budget, folder, workers, observe)
    started = time.monotonic()
    if folder is not None:
        _claimed(work)
    found = _budgets(work)
    for name, one in found.items():
        work.arms[name] = _with_records(work.arms[name], one.records)
    runs = _runs(work)
    return _compared(runs, work.safeguards, found, budget, folder, time.monotonic() - started)


def opened(folder: str | Path) -> Comparison:
    """A comparison from its folder. Raises `RunError` where there is none, or an arm has not ended."""
    place = Path(folder)
    if not (place / "comparison.json").is_file():
        raise RunError(f"there is no comparison at {place}: no comparison.json in it")
    body = json.loads((place / "comparison.json").read_text())
    safeguards = {name: Safeguard(name, **said) for name, said in body["safeguards"].items()}
    runs = {name: load(place / as_name(name, "arm")) for name in body["arms"]}
    for name, done in runs.items():
        if done.status not in ("completed", "failed"):
            raise RunError(
                f"the arm {name} of {place} has not ended; repeat the command that began the comparison"
            )
    return _compared(runs, safeguards, _kept_budgets(place), body["budget"], place, 0.0)


def _compared(
    runs: Mapping[str, Run],
    safeguards: Mapping[str, Safeguard],
    found: Mapping[str, Matched],
    budget: Budget,
    folder: Path | None,
    seconds: float,
) -> Comparison:
    plain = runs[PLAIN]
    risk = _risk(plain)
    outcomes = [
        Outcome(
            name,
            done,
            cost_of(done),
            safeguards.get(name),
            found.get(name),
            None if name == PLAIN else _gain(plain, done, risk),
        )
        for name, done in runs.items()
    ]
    return Comparison(outcomes, budget, risk, folder, seconds, _plane(plain))


def _seeded(spec: Spec, folder: Path | None) -> Spec:
    """The spec with the seed that the folder's comparison drew, where none was given."""
    place = None if folder is None else folder / "comparison.json"
    if not spec.seed_drawn or place is None or not place.is_file():
        return spec
    return spec.model_copy(update={"seed": json.loads(place.read_text())["arms"][PLAIN]["seed"]})


def _base(spec: Spec) -> dict[str, Any]:
    """The spec as plain data of one agent; what is measured includes what is spent."""
    if len(spec.agents) > 1:
        raise SpecError(f"compare takes a loop of one agent; this one has {', '.join(spec.agents)}")
    if not spec.repeatable:
        raise SpecError("compare writes its specs to files, and an object of this one has no import path")
    body = spec.to_dict()
    agents = body.pop("agents")
    base = {**body, **next(iter(agents.values()))}
    base.pop("feeds", None)
    learner = base["learner"]
    neural = has_budget(next(iter(spec.agents.values())).learner)
    if neural and learner.get("first_records") is None:
        base["learner"] = {**learner, "first_records": learner["records"]}
    there = [m.get("kind") for m in base["metrics"]]
    base["metrics"] = [
        *base["metrics"],
        *({"kind": k} for k in MEASURED if k not in there and (neural or k != "training")),
    ]
    return base


def _with_records(raw: Mapping[str, Any], records: int) -> dict[str, Any]:
    return {**raw, "learner": {**raw["learner"], "records": records}}


def _claimed(work: _Work) -> None:
    """Writes what was asked into the folder, or refuses one that holds another comparison."""
    assert work.folder is not None
    said = {
        name: {"change": dict(s.change), "knows": s.knows, "blind": s.blind, "paper": s.paper}
        for name, s in work.safeguards.items()
    }
    body = {"budget": work.budget, "arms": work.arms, "safeguards": said}
    asked = json.loads(json.dumps(body, default=str))
    place = work.folder / "comparison.json"
    if place.is_file():
        there = json.loads(place.read_text())
        if {k: there.get(k) for k in asked} != asked:
            raise RunError(f"{work.folder} holds another comparison; choose another --out")
        return
    work.folder.mkdir(parents=True, exist_ok=True)
    write(place, json.dumps(asked, indent=2))


def _budgets(work: _Work) -> dict[str, Matched]:
    """Every arm's training budget; empty where the learner has none."""
    plain = Spec.of(work.arms[PLAIN])
    learner = plain.agents["main"].learner
    if not has_budget(learner) or plain.generations < 2:
        return {}
    place = None if work.folder is None else work.folder / "budgets.json"
    if work.folder is not None and (kept := _kept_budgets(work.folder)):
        return kept
    work.tell("generation 0")
    run(
        plain.model_copy(update={"generations": 1, "metrics": ()}),
        first_models=work.models(plain),
        pictures=False,
    )
    pilots = {}
    for name, raw in work.arms.items():
        work.tell("pilot", arm=name)
        pilots[name] = _pilot(work, raw)
    brief = _pilot(work, _with_records(work.arms[PLAIN], max(1, learner.records // 100)))
    spent = max(pilots[PLAIN].seconds - brief.seconds, 1e-9)
    second = (pilots[PLAIN].trained - brief.trained) / spent
    found = {
        name: matched(learner.records, pilots[PLAIN], cost, work.budget, second)
        for name, cost in pilots.items()
    }
    if place is not None:
        write(place, json.dumps({name: asdict(one) for name, one in found.items()}, indent=2))
    return found


def _kept_budgets(folder: Path) -> dict[str, Matched]:
    place = folder / "budgets.json"
    if not place.is_file():
        return {}
    return {name: Matched(**body) for name, body in json.loads(place.read_text()).items()}


def _pilot(work: _Work, raw: Mapping[str, Any]) -> Cost:
    """What one retraining costs, generation 0 being there already. Treatments act on every model, generation 0's too: on
    G of them in G - 1 retrainings, in a pilot on two in one."""
    metrics = [{"kind": k} for k in MEASURED]
    spec = Spec.of({**raw, "generations": 2, "replicates": 1, "metrics": metrics})
    G = raw["generations"]
    return cost_of(run(spec, first_models=work.models(spec), pictures=False)).less_auxiliary(
        G / (2 * (G - 1))
    )


def _runs(work: _Work) -> dict[str, Run]:
    if work.folder is None:
        found = {}
        for name, raw in work.arms.items():
            work.tell("arm", arm=name)
            spec = Spec.of({**raw, "name": name})
            found[name] = run(spec, first_models=work.models(spec), observe=work.observe)
        return found
    specs = {name: Spec.of({**raw, "name": name}) for name, raw in work.arms.items()}
    for name, spec in specs.items():
        write(work.folder / f"{as_name(name, 'arm')}.yaml", spec.to_yaml())
    if work.workers == 1:
        for name, spec in specs.items():
            work.tell("arm", arm=name)
            place = work.folder / as_name(name, "arm")
            run(spec, place, resume=True, observe=work.observe, first_models=work.models(spec))
    else:
        _in_processes(work, list(specs))
    return {name: load(work.folder / as_name(name, "arm")) for name in specs}


def _in_processes(work: _Work, names: list[str]) -> None:
    """Each arm in a process of its own, as many at a time as there are workers."""

    def arms() -> Iterator[tuple[str, list[str]]]:
        for name in names:
            work.tell("arm", arm=name)
            yield name, ["autophage.comparisons.worker", str(work.folder), as_name(name, "arm")]

    with closing(side_by_side(arms(), work.workers)) as rounds:
        for name, code, last in chain.from_iterable(rounds):
            if code:
                raise RunError(
                    f"the arm {name} ended early ({last}); the same command goes on with the comparison"
                )
            work.tell("arm done", arm=name)


def _risk(plain: Run) -> str:
    """The row that gains are read from: the spec's `verdict.risk`, else the first distance that was measured."""
    asked = plain.spec.verdict.risk
    rows = plain.metrics["metric"].unique(maintain_order=True).to_list()
    if asked is not None:
        return asked.removeprefix("-")
    for begin in (
        "frechet",
        "kid",
        "wasserstein",
        "sliced_wasserstein",
        "mmd",
        "excess_risk",
        "squared_error",
    ):
        for row in rows:
            if row.startswith(begin) and "infinity" not in row:
                return str(row)
    raise SpecError("compare needs a distance to the real records among the metrics, such as frechet")


def _plane(plain: Run) -> tuple[str, str] | None:
    rows = plain.metrics["metric"].unique(maintain_order=True).to_list()
    for fidelity, diversity in (("precision", "recall"), ("density", "coverage")):
        pair = [next((r for r in rows if r.startswith(begin)), None) for begin in (fidelity, diversity)]
        if None not in pair:
            return str(pair[0]), str(pair[1])
    return None


def _last(done: Run, metric: str) -> dict[int, float]:
    """Values in the last generation by replicate; of replicates that reached it."""
    import polars as pl

    last = done.spec.generations - 1
    rows = done.metrics.filter((pl.col("metric") == metric) & (pl.col("generation") == last))
    return dict(zip(rows["replicate"].to_list(), rows["value"].to_list(), strict=True))


def _gain(plain: Run, arm: Run, risk: str) -> Gain | None:
    """Paired by replicate: the same seeds, the same generation 0."""
    a, b = _last(plain, risk), _last(arm, risk)
    ratios = [np.log(a[r] / b[r]) for r in a if r in b and a[r] > 0 and b[r] > 0]
    if not ratios:
        return None
    error = float(np.std(ratios, ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else float("nan")
    return Gain(float(np.mean(ratios)), error, len(ratios))
