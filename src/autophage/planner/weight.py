"""How to weigh new real records against the newest synthetic ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.planner.answer import Answer, Line, Trial
from autophage.planner.inversion import simulated
from autophage.spec import Spec
from autophage.theory.arguments import whole
from autophage.theory.golden_ratio import best_weight, limit_variance, pooled_weight, variance_course


def weight(
    *,
    target: float | str | None = None,
    horizon: int,
    spec: Any = None,
    data: Any = None,
    real: int | None = None,
    synthetic: int | None = None,
) -> Answer:
    """w* = (sqrt(k^2 + 4k) - k)/2, k = n/m: the weight of the mean of n new real records beside the mean of m
    samples of the last model that keeps the limit variance least, V = w*/n per unit of the records' variance.

    `real` and `synthetic` are n and m per generation. Golden ratio: w* = .618 at n = m (He, Xu & Cheng 2025).
    """
    if spec is not None or data is not None or target is not None:
        raise SpecError("plan weight needs two numbers only: real and synthetic, the records of a generation")
    if real is None or synthetic is None:
        raise SpecError(
            "plan weight needs real and synthetic: how many new real records and samples a generation has"
        )
    n, m = whole(real, 1, "real"), whole(synthetic, 1, "synthetic")
    value, pooled = best_weight(n, m), pooled_weight(n, m)
    limit = limit_variance(value, n, m)

    workflow = {
        "kind": "fresh",
        "counts": "exact",
        "sample_size": n + m,
        "real_share": n / (n + m),
        "initial_size": n,
    }

    def course(w: float) -> np.ndarray:
        return np.asarray(variance_course(w, n, m, start=1 / n, rounds=horizon))

    def planned(w: float) -> Spec:
        return Spec.of(
            seed=0,
            data={"kind": "gaussian"},
            learner={"kind": "gaussian", "covariance": "known"},
            workflow={**workflow, "real_weight": w},
            generations=horizon + 1,
        )

    rows = [
        {
            "weight of the real mean": w,
            "what": name,
            "limit variance": limit_variance(w, n, m),
            "worth real records": 1 / limit_variance(w, n, m),
        }
        for w, name in (
            (value, "optimal"),
            (pooled, "pooled by counts"),
            (1.0, "real records only"),
            (0.5, "half"),
        )
    ]
    return Answer(
        question="weight",
        value=value,
        unit="weight of the real mean",
        sentence=f"Give the {n:,} new real records the weight {value:.4g} and the {m:,} samples {1 - value:.4g}: the "
        "estimate stays as "
        f"good as one of {1 / limit:,.0f} real records, for ever.",
        status="exact",
        theorem="The limit variance [w^2/n + (1-w)^2/m] / [1 - (1-w)^2] is least at w* = (sqrt(k^2 + 4k) - k)/2, k = "
        "n/m; there it is "
        "w*/n. He, Xu & Cheng 2025, golden-ratio weighting.",
        assumptions=(
            "every generation has the same numbers of new real and of synthetic records, and it is known which is which",
            "the estimate is a mean (or behaves like one), sampled without bias",
        ),
        quantity="variance of the estimate / variance of a record",
        points=np.arange(horizon + 1),
        lines=(
            Line(f"weight {value:.3g}", course(value), "with"),
            Line(f"pooled by counts ({pooled:.3g})", course(pooled), "without"),
            Line("real records only", np.full(horizon + 1, 1 / n)),
        ),
        table=rows,
        change={"workflow": {**workflow, "real_weight": round(value, 6)}},
        trial=Trial(
            simulate=simulated(planned(value), "squared_mean_error"),
            expected=course(value),
            less=simulated(planned(pooled), "squared_mean_error") if abs(pooled - value) > 0.05 else None,
            margin=f"the pooled weight {pooled:.3g}",
        ),
    )
