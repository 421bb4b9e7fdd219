"""When to spend data: the sizes with the least total that bring the risk down in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import (
    based_on,
    course,
    crossing,
    example,
    family,
    level,
    simulated,
    slack,
    with_workflow,
    workflow_of,
)
from autophage.planner.share import MARGIN
from autophage.theory.arguments import unit_interval
from autophage.theory.predict import setting_of

DEFAULT = {
    "data": {"kind": "categorical", "zipf": {"symbols": 50, "exponent": 1}},
    "learner": {"kind": "categorical"},
    "workflow": {"kind": "fresh", "real_share": 0.1, "sample_size": 100},
}
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Growth exponents that the table compares."""
MOST = 1e12
"""A total beyond this is not looked for."""


def schedule(
    *,
    target: float | str | None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    metric: str | None = None,
    synthetic_price: float = 1.0,
    **given: Any,
) -> Answer:
    """The sizes n_0..n_T of a `fresh` loop with the least total cost that reach risk R_T <= target.

    Records of generation t weigh w_t = prod_{r>t} (1 - alpha_r)^2 in the last risk, R_T = sum_t w_t V/n_t to
    first order in 1/n; under the cost sum c_t n_t, c_t = alpha_t + (1 - alpha_t) price, the optimum is
    n_t proportional to sqrt(w_t / c_t) (Lagrange; derived for autophage from the exact recursion of Bakshi &
    Chakraborty 2026). Its scale is then set by the exact course. The table holds the best n t^b beside it.
    """
    unit_interval(synthetic_price, "synthetic_price")
    keys = based_on(spec, data, DEFAULT, **given)
    own = workflow_of(keys, "kind", "real_share", "counts")
    share = own.get("real_share", 0.0 if own["kind"] == "replace" else DEFAULT["workflow"]["real_share"])  # type: ignore[index]
    more = {k: v for k, v in own.items() if k == "counts"}
    first = with_workflow(
        keys, horizon, {"kind": "fresh", "real_share": share, "sample_size": 10_000, **more}
    )
    setting = setting_of(first)
    alpha = np.concatenate([[1.0], setting.course(setting.real_shares)])
    cost = alpha + (1 - alpha) * synthetic_price
    if not cost.min() > 0:
        raise SpecError(
            "a generation without real records costs nothing at a synthetic_price of 0, so that there is no least cost; "
            "give a price or a real_share above 0"
        )
    left = np.concatenate([np.cumprod(((1 - alpha[1:]) ** 2)[::-1])[::-1], [1.0]])  # w_0 .. w_T
    shape = np.sqrt(left / cost)
    least = max(1, next(iter(first.agents.values())).learner.smallest(first.data.dim))

    def planned(sizes: np.ndarray) -> Any:
        workflow = {"kind": "fresh", "real_share": share, **more}
        return with_workflow(
            keys,
            horizon,
            {**workflow, "initial_size": int(sizes[0]), "sample_size": {"values": sizes[1:].tolist()}},
        )

    def whole(exact: np.ndarray) -> np.ndarray:
        return np.maximum(np.ceil(exact - 1e-9), least)

    def smallest(form: Callable[[float], np.ndarray]) -> np.ndarray | None:
        """The cheapest sizes of a one-parameter family that reach the target."""

        def reaches(scale: float) -> bool:
            return bool(course(planned(form(scale)), metric).values[-1] <= limit)

        high = 1.0
        while not reaches(high):
            high *= 4
            if high * shape.max() > MOST:
                return None
        return form(crossing(reaches, 0.0 if high == 1.0 else high / 4, high, 1e-4))

    reference = course(first, metric)
    limit = level(target, float(reference.values[0]), reference.metric)
    best = smallest(lambda scale: whole(scale * shape / shape[-1]))
    if best is None:
        raise SpecError(
            f"no sizes bring {reference.metric} under {limit:g} by generation {horizon}; raise the target or the real share"
        )
    t = np.maximum(np.arange(horizon + 1), 1)

    def power(exponent: float, scale: float) -> np.ndarray:
        return whole(scale * t**exponent)

    rows, constant = [_row("optimal", best, alpha, cost)], None
    for b in EXPONENTS:
        sizes = smallest(partial(power, b))
        if sizes is not None:
            name = "constant" if b == 0 else f"scale x t^{b:g}"
            rows.append(_row(name, sizes, alpha, cost))
            constant = sizes if b == 0 else constant
    chosen = course(planned(best), metric)
    lines = [Line("optimal sizes", chosen.values, "with")]
    if constant is not None:
        lines.append(Line("equal sizes", course(planned(constant), metric).values, "without"))
    total = float((cost * best).sum())
    saved = "" if constant is None else f" (equal sizes need {(cost * constant).sum():,.0f})"
    less = whole(MARGIN * best)
    return Answer(
        question="schedule",
        value=[int(n) for n in best],
        unit="records at generation 0 to T",
        sentence=f"{_way(best, horizon)}: {chosen.metric} ends under {limit:.4g} at a total cost of {total:,.0f} "
        f"{'records' if synthetic_price == 1 else 'real records'}{saved}.",
        status=chosen.status,
        theorem=f"{chosen.statement} {chosen.source}. Sizes in proportion to sqrt(w_t / c_t): derived for autophage (Lagrange, to "
        "first order in 1/n), their scale from the course itself.",
        assumptions=(
            "the real records of every generation are new and independent",
            "only the risk at the end counts",
            f"a synthetic record costs {synthetic_price:g} of a real one",
            family(planned(best), data),
        ),
        quantity=chosen.metric,
        points=np.arange(horizon + 1),
        lines=lines,
        target=limit,
        table=rows,
        notes=(*example(spec, data, DEFAULT), *_idle(best, least, horizon)),
        change={
            "workflow": {
                "kind": "fresh",
                "real_share": share,
                **more,
                "initial_size": int(best[0]),
                "sample_size": {"values": [int(n) for n in best[1:]]},
            }
        },
        trial=Trial(
            simulate=simulated(planned(best), chosen.metric),
            expected=chosen.values,
            limit=limit,
            less=simulated(planned(less), chosen.metric) if (less < best).any() else None,
            margin=f"{MARGIN:.0%} of each size",
            only_last=True,
            tolerance=slack(chosen),
        ),
    )


def _row(name: str, sizes: np.ndarray, alpha: np.ndarray, cost: np.ndarray) -> dict[str, Any]:
    return {
        "schedule": name,
        "first": int(sizes[0]),
        "last": int(sizes[-1]),
        "all records": int(sizes.sum()),
        "of them real": round(float((alpha * sizes).sum())),
        "cost": round(float((cost * sizes).sum())),
    }


def _way(sizes: np.ndarray, horizon: int) -> str:
    """The first and the last size in words."""
    first, last = int(sizes[0]), int(sizes[-1])
    if np.ptp(sizes) == 0:
        return f"Take {_records(first)} in every generation"
    return f"Start with {_records(first)} and {'grow' if last > first else 'shrink'} to {last:,} by generation {horizon}"


def _records(n: int) -> str:
    return f"{n:,} record" + "s" * (n != 1)


def _idle(sizes: np.ndarray, least: int, horizon: int) -> tuple[str, ...]:
    """A note where the plan hardly trains at first."""
    idle = int(np.argmax(np.append(sizes > least, True)))
    if idle < 2:
        return ()
    if idle > horizon:
        return (f"The smallest size that the learner takes, {_records(least)}, is enough throughout.",)
    return (
        f"The first {idle} generations have the smallest size that the learner takes, {_records(least)}: what they learn has "
        f"faded by generation {horizon}. The risk is high until the last few; plan a size or a share where it must stay low.",
    )
