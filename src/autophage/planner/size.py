"""How many records every generation needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import (
    based_on,
    course,
    example,
    family,
    level,
    simulated,
    slack,
    smallest_whole,
    stays_under,
    with_workflow,
    workflow_of,
)
from autophage.planner.share import DEFAULT, MARGIN
from autophage.registry import kind_of

MOST = 10**9
"""Sizes beyond this are not looked for."""


def size(
    *,
    target: float | str | None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    metric: str | None = None,
    **given: Any,
) -> Answer:
    """The smallest constant size n (of generation 0 and of every training set) with risk R_t <= target, t = 0..T.

    Any workflow that takes a `sample_size`, and `mix`, whose size is its real set. R_t falls in n; found by
    doubling and bisection. A real set whose size the spec fixes (`initial_size`) stays as it is.
    """
    keys = based_on(spec, data, DEFAULT, **given)
    own = workflow_of(keys)
    fixed = own.get("initial_size") is not None and own["kind"] != "mix" and data is None

    def planned(n: int) -> Any:
        workflow = {k: v for k, v in own.items() if k not in ("sample_size", "initial_size")}
        if own["kind"] != "mix":
            workflow["sample_size"] = n
        workflow["initial_size"] = own["initial_size"] if fixed else n
        return with_workflow(keys, horizon, workflow)

    least = _least(planned, metric)
    start = own.get("sample_size") or own.get("initial_size") or 1000
    now = course(planned(int(start) if isinstance(start, int | float) else 1000), metric)
    limit = level(target, float(now.values[0]), now.metric)

    def smallest(level: float) -> int | None:
        try:
            return smallest_whole(lambda n: stays_under(level, planned(n), metric), least, MOST)
        except SpecError as refusal:
            if not fixed:
                raise
            raise SpecError(
                f"no size keeps {now.metric} under {level:.4g} with initial_size fixed at {own['initial_size']} ({refusal}); "
                "leave initial_size out, so that it grows with the size"
            ) from None

    value = smallest(limit)
    if value is None:
        raise SpecError(
            f"no size up to {MOST:,} keeps {now.metric} under {limit:g} for {horizon} retrainings; raise the target, the real "
            "share, or keep the real set"
        )
    chosen = course(planned(value), metric)
    smaller = max(least, int(MARGIN * value))
    table = [
        {"target": limit * factor, "records": value if factor == 1 else _or_none(smallest, limit * factor)}
        for factor in (0.5, 1, 2, 4)
    ]
    half = course(planned(max(least, value // 2)), metric)
    return Answer(
        question="size",
        value=value,
        unit="records per generation",
        sentence=f"Train on {value:,} records in every generation ({own['kind']}): then {chosen.metric} stays under "
        f"{limit:.4g} for "
        f"{horizon} retrainings.",
        status=chosen.status,
        theorem=f"{chosen.statement} {chosen.source}",
        assumptions=(
            family(planned(value), data),
            "every generation has the same size",
            *(() if fixed else ("generation 0 has that many real records too",)),
        ),
        quantity=chosen.metric,
        points=np.arange(horizon + 1),
        lines=(
            Line(f"with {value:,} records", chosen.values, "with"),
            Line(f"with {max(least, value // 2):,} records", half.values, "without"),
        ),
        target=limit,
        table=table,
        notes=example(spec, data, DEFAULT),
        change={
            "workflow": own
            | ({} if own["kind"] == "mix" else {"sample_size": value})
            | ({} if fixed else {"initial_size": value})
        },
        trial=Trial(
            simulate=simulated(planned(value), chosen.metric),
            expected=chosen.values,
            limit=limit,
            less=simulated(planned(smaller), chosen.metric) if smaller < value else None,
            margin=f"{smaller:,} records",
            tolerance=slack(chosen),
        ),
    )


def _least(planned: Any, metric: str | None) -> int:
    """The smallest size the loop takes and theory speaks about."""
    n = 1
    while n < MOST:
        try:
            spec = planned(n)
            course(spec, metric)
            # Regressions on fewer rows than inputs err in another way, and less data can seem better there.
            regression = kind_of("learner", next(iter(spec.agents.values())).learner) == "regression"
            return max(n, spec.data.dim + 2) if regression else n
        except SpecError as refusal:
            n, last = 2 * n, refusal
    raise last


def _or_none(smallest: Callable[[float], int | None], limit: float) -> int | str:
    """The answer for another target."""
    try:
        found = smallest(limit)
    except SpecError:
        found = None
    return "none suffices" if found is None else found
