"""How much real data every generation needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import (
    FINEST,
    based_on,
    course,
    crossing,
    example,
    family,
    level,
    simulated,
    slack,
    stays_under,
    with_workflow,
    workflow_of,
)
from autophage.theory.predict import setting_of

DEFAULT = {
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "workflow": {"kind": "fresh", "sample_size": 1000},
}
MARGIN = 0.85
"""A plan is tried against one that asks for this much of it."""


def share(
    *,
    target: float | str | None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    metric: str | None = None,
    **given: Any,
) -> Answer:
    """The smallest constant real share alpha with risk R_t <= target for t = 0..T.

    The workflow is the spec's if it has a `real_share` (fresh, keep_real), else `fresh` of the same size. R_t is
    theory's exact or asymptotic course; it falls in alpha, which is found by bisection to four digits.
    """
    keys = based_on(spec, data, DEFAULT, **given)
    kind = workflow_of(keys)["kind"]
    kind = kind if kind in ("fresh", "keep_real") else "fresh"
    sizes = workflow_of(keys, "sample_size", "initial_size", *(["counts"] if kind == "fresh" else []))

    def planned(alpha: float) -> Any:
        return with_workflow(keys, horizon, {"kind": kind, **sizes, "real_share": alpha})

    best, worst = course(planned(1.0), metric), course(planned(0.0), metric)
    limit = level(target, float(best.values[0]), best.metric)
    if not best.values.max() <= limit:
        raise SpecError(
            f"no real share keeps {best.metric} under {limit:g}: with real records only it reaches {best.values.max():.4g}; "
            "take a larger sample_size or a higher target"
        )

    def smallest(level: float, finest: float = FINEST) -> float:
        if worst.values.max() <= level:
            return 0.0
        return crossing(lambda alpha: stays_under(level, planned(alpha), metric), 0.0, 1.0, finest)

    value = smallest(limit)
    chosen = course(planned(value), metric)
    less = planned(MARGIN * value) if value else None

    def neighbour(level: float) -> float | str:
        return smallest(level, 1e-3) if best.values.max() <= level else "none suffices"

    table = [
        {"target": limit * f, "real share": value if f == 1 else neighbour(limit * f)} for f in (0.5, 1, 2, 4)
    ]
    source = "new real records" if kind == "fresh" else "original real records"
    return Answer(
        question="share",
        value=value,
        unit="share of real records",
        sentence=f"Let {100 * value:.3g} % of every generation's training set{_counted(planned(value), value)} be {source}: then "
        f"{chosen.metric} stays under {limit:.4g} for {horizon} retrainings."
        if value
        else f"No real records are needed after generation 0: {chosen.metric} stays under {limit:.4g} for {horizon} "
        "retrainings on own samples alone.",
        status=chosen.status,
        theorem=f"{chosen.statement} {chosen.source}",
        assumptions=(
            "the real records of every generation are new and independent"
            if kind == "fresh"
            else "the real records are drawn anew from the original set each generation",
            family(planned(value), data),
            "the share is the same in every generation",
        ),
        quantity=chosen.metric,
        points=np.arange(horizon + 1),
        lines=(
            Line(f"with a real share of {value:.3g}", chosen.values, "with"),
            Line("own samples only", worst.values, "without"),
            Line("real records only", best.values),
        ),
        target=limit,
        table=table,
        notes=example(spec, data, DEFAULT),
        change={"workflow": {"kind": kind, **sizes, "real_share": round(value, 6)}},
        trial=Trial(
            simulate=simulated(planned(value), chosen.metric),
            expected=chosen.values,
            limit=limit,
            less=None if less is None else simulated(less, chosen.metric),
            margin=f"a share of {MARGIN * value:.3g}",
            tolerance=slack(chosen),
        ),
    )


def _counted(spec: Any, value: float) -> str:
    """How many records a share is, where every generation has as many."""
    sizes = setting_of(spec).sizes[1:]
    return f" ({value * sizes[0]:,.0f} of {sizes[0]:,.0f} records)" if np.ptp(sizes) == 0 else ""
