"""The loop with fresh real records (Alemohammad et al. 2024): limits, and the distance it settles at.

n_r new real records and n_s samples of the newest model in every fit (ddof 1, exact counts), N = n_r + n_s, w
= n_s/N, sampling bias lambda, real law N(0, I) in d dimensions. Courses of the first two moments:
`moments_mixed.fresh`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, sizes_course, unit_interval
from autophage.theory.moments import Refit
from autophage.theory.moments_mixed import fresh


class FreshLimit(NamedTuple):
    """Per coordinate."""

    variance: float
    squared_error: float


def limit(real: float, synthetic: float, bias: float = 1.0) -> FreshLimit:
    """(V_inf, M_inf): the fixed point of

        M = (1-w)/N + w^2 M + (w lambda/N) V,   V = (1-w) + w lambda V + (N/(N-1)) w (1-w) M.

    Independent of generation 0. Status: exact. Source: Alemohammad et al. (2024, eq. 3); moments derived for
    autophage.

    >>> [round(x, 7) for x in limit(50, 200)]
    [1.0089888, 0.011191]
    """
    at_least(real, 1, "the number of fresh real records")
    at_least(synthetic, 0, "the number of synthetic records")
    unit_interval(bias, "the sampling bias")
    N = real + synthetic
    w = synthetic / N
    if N < 2:
        raise SpecError("an unbiased fit needs at least 2 records")
    system = np.array([[1 - w**2, -w * bias / N], [-N / (N - 1) * w * (1 - w), 1 - w * bias]])
    M, V = np.linalg.solve(system, [(1 - w) / N, 1 - w])
    return FreshLimit(float(V), float(M))


def large_sample_variance(real_share: float, bias: float) -> float:
    """lim V_inf = p / (1 - (1-p) lambda) as N grows at a fixed real share p = n_r/N; n_r / (n_r + (1-lambda)
    n_s).

    Status: asymptotic (N to infinity). Source: derived for autophage.

    >>> round(large_sample_variance(0.1, 0.9), 7)
    0.5263158
    """
    unit_interval(real_share, "the real share")
    unit_interval(bias, "the sampling bias")
    if real_share == 0 and bias == 1:
        return 1.0
    return real_share / (1 - (1 - real_share) * bias)


def mean_sample_size(real: float, synthetic: float) -> float:
    """n_r (n_r + 2 n_s) / (n_r + n_s): the real records that would give the loop's mean error at lambda = 1.
    Never more than 2 n_r. Status: asymptotic (N to infinity). Source: derived for autophage.

    >>> mean_sample_size(100, 900)
    190.0
    """
    return real * (real + 2 * synthetic) / (real + synthetic)


def distance_course(sizes: object, real_counts: object, dim: int, bias: float = 1.0) -> np.ndarray:
    """E W2^2(model t, N(0, I)), shape (G,), to second order in the covariance's fluctuation.

        W2^2 = d M + d (1 - sqrt V)^2 + d (d+1) h / (4 V^{3/2}),
        h' = (1-w)^2/n_r + w^2 lambda^2 (h + V^2/n_s),    h_0 = 1/n_0,

    where V and M are exact and h is the variance of an off-diagonal entry. sizes (G,): n_0 real, then N_t;
    real_counts: n_r at t >= 1, one number or G-1. Status: asymptotic (d/N to 0: good to a few per cent for
    effective d/n up to 0.1, and 13 % high at 0.5). Source: derived for autophage.

    >>> distance_course([100] + [1000] * 60, 100, 100, 0.8)[-1].round(2).item()
    20.6
    """
    n = sizes_course(sizes, more_than=1)
    r = np.broadcast_to(np.asarray(real_counts, dtype=np.float64), (len(n) - 1,))
    if (r < 0).any() or (r > n[1:]).any():
        raise SpecError("real_counts must lie between 0 and the size at every generation")
    V, M = fresh(Refit(ddof=1, bias=bias), n, r / n[1:], "exact")
    h = np.empty(len(n))
    h[0] = 1 / n[0]
    for t in range(1, len(n)):
        w = 1 - r[t - 1] / n[t]
        h[t] = (1 - w) / n[t] + w**2 * bias**2 * h[t - 1] + w * bias**2 * V[t - 1] ** 2 / n[t]
    return dim * M + dim * (1 - np.sqrt(V)) ** 2 + dim * (dim + 1) * h / (4 * V**1.5)
