"""A fixed weight between fresh real records and those of the newest model (He, Xu & Cheng 2025).

Every round has n new real records and m of the previous round's model, and answers with

    w (mean of the real) + (1 - w) (mean of the synthetic).

Variances are in units of one record's variance: V_t of the answer's error. The constant 0.618 of n = m is the
inverse golden ratio, hence the name; it comes back in minimum-norm regression with isotropic covariates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least


def best_weight(real: float, synthetic: float) -> float:
    """w* = (sqrt(k^2 + 4k) - k)/2 with k = n/m: the weight with the smallest stationary variance, w*/n.

    Always above the share n/(n+m) of the real records. synthetic = 0 gives 1. Raises `SpecError` without real
    records. Status: exact. Source: He, Xu & Cheng (2025).

    >>> [round(best_weight(n, m), 6) for n, m in [(100, 100), (100, 400), (50, 10)]]
    [0.618034, 0.390388, 0.854102]
    """
    n, m = _counts(real, synthetic)
    return 2 / (1 + float(np.sqrt(1 + 4 * m / n)))  # the same, without a difference of large numbers


def pooled_weight(real: float, synthetic: float) -> float:
    """n/(n+m): every record alike. Never the best weight where m > 0. Status: exact by definition.

    >>> pooled_weight(100, 400)
    0.2
    """
    n, m = _counts(real, synthetic)
    return n / (n + m)


def limit_variance(weight: float, real: float, synthetic: float) -> float:
    """V_inf(w) = [w^2/n + (1-w)^2/m] / [1 - (1-w)^2], where the rounds settle from any start.

    Raises `SpecError` for w outside (0, 1] (at w = 0 the variance grows without bound), without real records, or
    with a weight below 1 and no synthetic ones. Status: exact. Source: derived for autophage from the loop of He et
    al. (2025).

    >>> round(limit_variance(0.618034, 100, 100), 8), round(limit_variance(0.5, 100, 100), 8)
    (0.00618034, 0.00666667)
    """
    n, m = _counts(real, synthetic)
    w = _weight(weight, m)
    old = 1 - w
    return (w**2 / n + (old**2 / m if old else 0.0)) / (w * (2 - w))


def variance_course(weight: Any, real: Any, synthetic: Any, *, start: float, rounds: int) -> np.ndarray:
    """V_0, ..., V_T, shape (T+1,):  V_t = w_t^2/n_t + (1-w_t)^2 (V_{t-1} + 1/m_t),  V_0 = `start`.

    weight, real, synthetic: one number each, or (T,) for schedules. start: the first answer's variance, 1/n_0 after
    n_0 real records. A weight of 0 is allowed in single rounds, not in all. Raises `SpecError`. Status: exact.
    Source: derived for autophage.

    >>> variance_course(0.618034, 100, 100, start=0.01, rounds=60)[[0, 1, 60]].round(7).tolist()
    [0.01, 0.0067376, 0.0061803]
    """
    if rounds != int(rounds) or rounds < 1:
        raise SpecError(f"rounds is {rounds}; it must be a whole number of at least 1")
    V = [at_least(start, 0, "the first answer's variance")]
    w, n, m = (
        np.broadcast_to(np.asarray(x, dtype=np.float64), (int(rounds),)) for x in (weight, real, synthetic)
    )
    if not w.any():
        _weight(0.0, 1.0)
    for t in range(int(rounds)):
        if not w[t]:
            V.append(V[-1] + 1 / at_least(m[t], 1, "the number of synthetic records"))
            continue
        fresh, newest = _counts(n[t], m[t])
        old = 1 - _weight(w[t], newest)
        V.append(w[t] ** 2 / fresh + (old**2 * (V[-1] + 1 / newest) if old else 0.0))
    return np.array(V)


def _counts(real: float, synthetic: float) -> tuple[float, float]:
    if not (np.isfinite(real) and real > 0):
        raise SpecError(
            f"there are {real} real records per round; without any there is no stationary variance"
        )
    return float(real), at_least(synthetic, 0, "the number of synthetic records")


def _weight(weight: float, synthetic: float) -> float:
    if weight == 0:
        raise SpecError(
            "the weight of the real part is 0: the variance grows without bound; it must lie in (0, 1]"
        )
    if not 0 < weight <= 1:
        raise SpecError(f"the weight of the real part is {weight}; it must lie in (0, 1]")
    if synthetic == 0 and weight < 1:
        raise SpecError(
            f"the weight of the real part is {weight} but there are no synthetic records; it must be 1"
        )
    return float(weight)
