"""The verdict on a run, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import registry
from autophage.errors import DataError
from autophage.schedules import at

if TYPE_CHECKING:
    from autophage.runs.run import Run
    from autophage.verdicts import Advice, Profile, Setting
    from autophage.verdicts.contamination import Contamination


def judged(run: Run, agent: str | None = None) -> Profile:
    """The eight definitions of collapse on one agent's course. Raises `SpecError` when the spec's verdict
    block names a metric that was not measured."""
    from autophage.verdicts import Course, from_table, judge

    name = agent or next(iter(run.spec.agents))
    found = contaminated(run, name)
    regime, bound = _regime(run, name, found)
    try:
        if not (run.metrics["agent"] == name).any():
            raise DataError("nothing was measured")
        course = from_table(
            run.metrics,
            _trivial(run) | run.spec.verdict.model_dump(exclude_none=True),
            agent=name,
            regime=regime,
            bounds=bound,
        )
    except DataError as error:
        # Too little came out to be a course: everything stays open.
        course = Course(generations=np.arange(max(run.spec.generations, 3)), notes=(str(error),))
    return replace(judge(course, status=status(run, name)), regime=found)


def _trivial(run: Run) -> dict[str, float]:
    """The trivial baseline, where the data know it for the risk that is read: a model that always answers zero."""
    known: dict[str, float] = getattr(run.spec.data, "trivial_risks", {})
    measured = set(run.metrics["metric"].unique())
    chosen = run.spec.verdict.risk or next((name for name in known if name in measured), None)
    return {"trivial": known[chosen]} if chosen in known else {}


def contaminated(run: Run, name: str) -> Contamination | None:
    """The regime of a loop with fresh real records, and what was measured of its error; None where theory names
    none."""
    import polars as pl

    from autophage.theory import predict_contaminated
    from autophage.theory.predict import setting_of
    from autophage.verdicts.contamination import contamination

    if registry.kind_of("workflow", run.spec.agents[name].workflow) != "fresh":
        return None
    plain = setting_of(run.spec, name)
    regime = predict_contaminated.regime(plain)
    if regime is None:
        return None
    metric = predict_contaminated.METRIC[plain.learner_kind]
    rows = run.metrics.filter((pl.col("agent") == name) & (pl.col("metric") == metric))
    courses = rows.sort("replicate", "generation").partition_by("replicate")
    whole = [c["value"].to_numpy() for c in courses if len(c) == run.spec.generations]
    exact = [
        p.values
        for p in run.predictions()
        if p.agent == name and p.metric == metric and p.quantity == "mean" and p.status == "exact"
    ]
    return contamination(regime, metric, np.array(whole) if whole else None, exact[0] if exact else None)


def status(run: Run, agent: str) -> Any:
    """completed, stopped (interrupted, or every replicate by a rule), failed (every replicate) or absorbed (every replicate a point
    mass)."""
    if run.status == "failed":
        return "failed"
    if run.status == "interrupted" or len(run.stops) == run.spec.replicates:
        return "stopped"
    where = run.absorbed.get(agent)
    return "absorbed" if where is not None and (where >= 0).all() else "completed"


def _regime(run: Run, name: str, found: Contamination | None) -> tuple[str | None, str | None]:
    """The workflow, and the theorem that bounds the course where one does."""
    agent = run.spec.agents[name]
    kind = registry.kind_of("workflow", agent.workflow)
    bounded = [
        p
        for p in run.predictions()
        if p.agent == name and p.quantity == "limit" and p.status in ("exact", "bound")
    ]
    closed = hasattr(agent.learner, "estimate") and not agent.sampling.chosen()
    if found is not None and found.regime.name == "collapses":  # a limit, but that of total collapse
        return kind, None
    if closed and kind in ("accumulate", "mix", "fresh") and bounded:
        return kind, f"{bounded[0].statement} ({bounded[0].source})"
    return kind, None


def setting(run: Run, name: str) -> Setting:
    """What advice depends on."""
    from autophage.verdicts import Setting

    agent = run.spec.agents[name]
    workflow = agent.workflow
    last = max(run.spec.generations - 1, 1)

    def latest(key: str) -> float | None:
        given = getattr(workflow, key, None)
        return None if given is None else at(given, last, f"workflow.{key}")

    return Setting(
        workflow=registry.kind_of("workflow", workflow),
        synthetic_ratio=latest("synthetic_ratio"),
        real_share=latest("real_share"),
        keep_real=bool(getattr(workflow, "keep_real", False)),
        sampling_bias=agent.sampling.bias,
        temperature=agent.sampling.temperature,
        unlimited=run.spec.data.unlimited,
        curated=bool(agent.curation),
        replicates=run.spec.replicates,
        generations=run.spec.generations,
    )


def advice(run: Run, agent: str | None = None) -> Advice | None:
    """The one action that promises most."""
    from autophage.verdicts import advice as advised

    name = agent or next(iter(run.spec.agents))
    return advised(judged(run, name), setting(run, name))
