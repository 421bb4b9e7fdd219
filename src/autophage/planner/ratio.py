"""How much synthetic data is safe."""

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
from autophage.theory.arguments import at_least, positive
from autophage.theory.corrected import corrected
from autophage.theory.stability import stability

DEFAULT = {
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "workflow": {"kind": "mix", "initial_size": 1000},
}
MOST = 1e6
"""Synthetic records per real one beyond which a ratio counts as unlimited."""
BEYOND = 1.25
"""A plan is tried against one with this much more synthetic data."""


def ratio(
    *,
    target: float | str | None = None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    metric: str | None = None,
    eps: float = 0.0,
    lipschitz: float = 1.0,
    curvature: float = 1.0,
    correction: float = 0.0,
    **given: Any,
) -> Answer:
    """The largest synthetic_ratio lambda of `mix` (the real set kept) that is safe.

    Guarantee: local stability for lambda (1 + L eps/alpha) < (1 + gamma)/(2 + gamma), where eps is the
    Wasserstein distance of the best model to the data, L the smoothness and alpha the curvature of the likelihood at
    its optimum, gamma the strength of a corrector (Bertrand et al. 2024, theorem 1; Gillman et al. 2024, theorem
    4.3). With a target also the largest lambda with risk R_t <= target for t = 0..T, from the predicted course;
    the answer is then the latter, and the table holds both.
    """
    at_least(eps, 0, "eps")
    positive(lipschitz, "lipschitz")
    positive(curvature, "curvature")
    at_least(correction, 0, "correction")
    guaranteed = corrected(0.0, eps, lipschitz, curvature, correction).largest_ratio
    rows = [
        {
            "what": "provably stable (local, infinite horizon)",
            "synthetic per real": guaranteed,
            "from": "Bertrand et al. 2024, theorem 1"
            if not correction
            else "Gillman et al. 2024, theorem 4.3",
        },
    ]
    if not correction:
        rows.append(
            {
                "what": "provably stable by the sharper bound",
                "synthetic per real": stability(0.0, eps, lipschitz, curvature).sharper_largest_ratio,
                "from": "Ferbach et al. 2024",
            }
        )
    keys = based_on(spec, data, DEFAULT, **given)
    sizes = workflow_of(keys, "initial_size", "real")

    def planned(value: float) -> Any:
        return with_workflow(keys, horizon, {"kind": "mix", **sizes, "synthetic_ratio": value})

    real_only = course(planned(0.0), metric)
    assumed = (
        "the whole real set is kept in every generation",
        family(planned(0.0), data),
    )
    if target is None:
        chosen = course(planned(guaranteed), metric)
        return Answer(
            question="ratio",
            value=guaranteed,
            unit="synthetic per real record",
            sentence=f"Up to {guaranteed:.4g} synthetic records per real one are provably stable, whatever the horizon"
            + (f", if the best fit errs by at most {eps:g}" if eps else ", if a fit errs by chance only")
            + "; this theorem says nothing about larger ratios.",
            status="bound",
            theorem=f"lambda (1 + L eps/alpha) < (1 + gamma)/(2 + gamma); {rows[0]['from']}.",
            assumptions=(
                *assumed,
                f"the best fit errs by eps = {eps:g} in Wasserstein distance; smoothness L = {lipschitz:g}, curvature alpha "
                f"= {curvature:g}",
                "training starts close to the optimum",
                *(
                    (f"a corrector of strength gamma = {correction:g} that knows the truth",)
                    if correction
                    else ()
                ),
            ),
            quantity=chosen.metric,
            points=np.arange(horizon + 1),
            lines=_lines(guaranteed, 10.0, chosen, real_only, course(planned(10.0), metric)),
            table=rows,
            notes=example(spec, data, DEFAULT),
            change={"workflow": {"kind": "mix", **sizes, "synthetic_ratio": round(guaranteed, 6)}},
            trial=Trial(
                simulated(planned(guaranteed), chosen.metric), chosen.values, tolerance=slack(chosen)
            ),
        )
    limit = level(target, float(real_only.values[0]), real_only.metric)
    start = float(real_only.values[0])

    def breaks(value: float) -> bool:
        return not stays_under(limit, planned(value), metric)

    if start > limit:
        raise SpecError(
            f"no ratio keeps {real_only.metric} under {limit:g}: generation 0, on real records only, is at {start:.4g}; "
            "take more real records or a higher target"
        )
    # The risk need not rise with the ratio for ever: very large generations lose little each.
    tried = np.geomspace(1e-3, MOST, 46)
    broken = np.array([breaks(x) for x in tried])
    unlimited = not broken.any()
    value, again = MOST, None
    if not unlimited:
        first = int(np.argmax(broken))
        value = crossing(breaks, 0.0 if first == 0 else float(tried[first - 1]), float(tried[first])) * (
            1 - FINEST
        )
        later = np.flatnonzero(~broken[first:])
        again = float(tried[first + later[0]]) if len(later) else None
    chosen = course(planned(value), metric)
    more = None if unlimited else planned(BEYOND * value)
    rows.insert(
        0,
        {
            "what": f"keeps {chosen.metric} under {limit:.4g}",
            "synthetic per real": "any" if unlimited else value,
            "from": chosen.source,
        },
    )
    beyond = course(planned(4 * value if not unlimited else MOST), metric)
    return Answer(
        question="ratio",
        value=float("inf") if unlimited else value,
        unit="synthetic per real record",
        sentence=f"Any amount of synthetic data keeps {chosen.metric} under {limit:.4g} for {horizon} retrainings, as "
        "long as the real set stays."
        if unlimited
        else f"Train on at most {value:.4g} synthetic records per real one: then {chosen.metric} stays under {limit:.4g} for "
        f"{horizon} retrainings.",
        status=chosen.status,
        theorem=f"{chosen.statement} {chosen.source}",
        assumptions=assumed,
        quantity=chosen.metric,
        points=np.arange(horizon + 1),
        lines=_lines(value, 4 * value, chosen, real_only, beyond, unlimited),
        target=limit,
        table=rows,
        change={}
        if unlimited
        else {"workflow": {"kind": "mix", **sizes, "synthetic_ratio": round(value, 6)}},
        notes=(
            *example(spec, data, DEFAULT),
            *(() if unlimited else _notes(value, guaranteed, again, horizon)),
        ),
        trial=Trial(
            simulate=simulated(planned(min(value, 50.0)), chosen.metric),
            expected=course(planned(min(value, 50.0)), metric).values,
            limit=limit,
            less=None if more is None or value > 50 else simulated(more, chosen.metric),
            margin=f"a ratio of {BEYOND * value:.3g}",
            tolerance=slack(chosen),
        ),
    )


def _notes(value: float, guaranteed: float, again: float | None, horizon: int) -> tuple[str, ...]:
    notes = []
    if value > guaranteed:
        notes.append(
            f"Above {guaranteed:.4g} no theorem guarantees stability for learners other than the one named."
        )
    if again is not None:
        notes.append(
            f"Ratios above about {again:.3g} keep to the target as well over {horizon} retrainings: generations that large "
            "lose little each. Between the two they do not."
        )
    return tuple(notes)


def _lines(
    value: float, more: float, chosen: Any, real_only: Any, beyond: Any, unlimited: bool = False
) -> tuple[Line, ...]:
    name = "with very much synthetic data" if unlimited else f"with {value:.3g} synthetic per real record"
    lines = [Line(name, chosen.values, "with"), Line("real records only", real_only.values)]
    if not unlimited:
        lines.insert(1, Line(f"with {more:.3g}", beyond.values, "without"))
    return tuple(lines)
