"""Iterative retraining whose samples are corrected before they are used (Gillman et al. 2024).

    pi_gamma p = (p + gamma p*) / (1 + gamma)

gamma: the correction strength; with probability gamma / (1 + gamma) a sample is replaced by a true one, at gamma = inf always.
lambda, eps, L, alpha: as in `autophage.theory.stability`. A corrector that knows p* puts real information into the loop: what it
gains over real records alone is not free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory import stability
from autophage.theory.arguments import positive
from autophage.theory.population import contraction_factor


def checked_strength(strength: float) -> float:
    """gamma. Raises `SpecError` unless it is a number of at least 0, or inf (every sample is replaced)."""
    if not strength >= 0:
        raise SpecError(f"the correction strength is {strength}; it must be zero or more, or inf")
    return float(strength)


def replaced_share(strength: float) -> float:
    """gamma / (1 + gamma): the share of samples that a true one replaces. Exact by definition.

    >>> replaced_share(3), replaced_share(float("inf"))
    (0.75, 1.0)
    """
    gamma = checked_strength(strength)
    return 1.0 if gamma == np.inf else gamma / (1 + gamma)


def threshold(strength: float) -> float:
    """(1 + gamma) / (2 + gamma): lambda (1 + L eps/alpha) below it is provably stable. One half without a correction, one in the
    limit. Status: bound (sufficient). Source: Gillman et al. (2024, theorem 4.3).

    >>> [round(threshold(g), 7) for g in (0, 0.3, 1, 5)]
    [0.5, 0.5652174, 0.6666667, 0.8571429]
    """
    return 1 / (2 - replaced_share(strength))


@dataclass(frozen=True)
class CorrectedStability:
    """What theorem 4.3 says about one loop. A rate is None where its condition fails: no guarantee, not instability."""

    strength: float
    """gamma."""
    uncorrected: stability.Stability
    """The same loop without the correction."""
    guarantee: bool
    """lambda (1 + L eps/alpha) < (1 + gamma) / (2 + gamma)."""
    rate: float | None
    """rho / (1 + gamma), the factor per generation; in [0, 1)."""
    largest_ratio: float
    """The lambda that the condition leaves room for."""


def corrected(
    ratio: float, eps: float, lipschitz: float, curvature: float, strength: float
) -> CorrectedStability:
    """Theorem 4.3's condition and factor rho / (1 + gamma), rho = lambda (alpha + eps L) / (alpha - lambda (alpha + eps L)).

    ratio is lambda, lipschitz L, curvature alpha; raises `SpecError` as `stability` does, and for gamma below 0 or NaN. Status:
    bound (sufficient, near the optimum). Source: Gillman et al. (2024, theorem 4.3).

    >>> [round(corrected(0.3, 0.1, 2, 1, g).rate, 7) for g in (0, 0.3, 1, 5)]
    [0.5625, 0.4326923, 0.28125, 0.09375]
    """
    plain, limit = stability.stability(ratio, eps, lipschitz, curvature), threshold(strength)
    holds = plain.condition < limit
    rate = None
    if holds:
        rate = plain.condition / (1 - plain.condition) * (1 - replaced_share(strength))
    return CorrectedStability(strength, plain, holds, rate, 2 * limit * plain.largest_ratio)


def parameter_error_bound(
    found: CorrectedStability, generations: int, *, start: float, n: float, **constants: Any
) -> np.ndarray:
    """Upper bound on ||theta_t - theta*||, shape (G,), with high probability: that of `stability.parameter_error_bound` with rho /
    (1 + gamma) in the place of rho. Infinite without a guarantee. Status: bound (upper). Source: Gillman et al. (2024, theorem
    4.3).

    >>> found = corrected(0.3, 0.1, 2.0, 1.0, 1.0)
    >>> parameter_error_bound(found, 51, start=0.5, n=1000, optimisation=0.001)[[0, 50]].round(6).tolist()
    [0.561736, 0.085894]
    """
    faster = replace(found.uncorrected, rate=found.rate)
    return stability.parameter_error_bound(faster, generations, start=start, n=n, **constants)


def contraction(ratio: float, strength: float) -> float:
    """lambda / ((1 + lambda)(1 + gamma)): with infinite data errors shrink by this factor per generation. Status: exact near the
    optimum of any well-specified model, and globally for mean parameters of an exponential family. Source: derived for autophage;
    map of Gillman et al. (2024).

    >>> contraction(1, 1)
    0.25
    """
    return contraction_factor(ratio) * (1 - replaced_share(strength))


def gaussian_mean_error(n: float, synthetic: float, strength: float, generations: int) -> np.ndarray:
    """E (mu_t - mu*)^2 of a Gaussian mean of known variance 1, shape (G,): n fixed real records, m = `synthetic` ideally corrected
    samples of the newest model, w = m/(n+m), c = w/(1+gamma), g = gamma/(1+gamma)^2:

        B' = (1-w)/n + c B,    M' = (1-w)^2/n + 2 (1-w) c B + w^2/m + (c^2 + w^2 g/m) M,    B_0 = M_0 = 1/n,

    B = E (xbar - mu*)(mu_t - mu*). Per coordinate and in units of the variance. Status: exact. Source: derived for autophage;
    system of Gillman et al. (2024).

    >>> gaussian_mean_error(50, 25, 1, 61)[[0, 60]].round(7).tolist()
    [0.02, 0.0173913]
    """
    n, m, w, c, g = _mean_loop(n, synthetic, strength)
    found = np.empty(generations)
    B = M = 1 / n
    for t in range(generations):
        found[t] = M
        M = (1 - w) ** 2 / n + 2 * (1 - w) * c * B + w**2 / m + (c**2 + w**2 * g / m) * M
        B = (1 - w) / n + c * B
    return found


def gaussian_mean_limit(n: float, synthetic: float, strength: float) -> float:
    """What `gaussian_mean_error` settles at,

        [ (1-w)^2/n + 2 (1-w) c B + w^2/m ] / (1 - c^2 - w^2 g/m),    B = ((1-w)/n) / (1-c).

    With gamma above zero it can lie below 1/n, the error of the real records alone: the corrector knows the truth. Status: exact.
    Source: derived for autophage; system of Gillman et al. (2024).

    >>> round(gaussian_mean_limit(20, 20, 0.5), 7)
    0.0423197
    """
    n, m, w, c, g = _mean_loop(n, synthetic, strength)
    B = (1 - w) / n / (1 - c)
    return ((1 - w) ** 2 / n + 2 * (1 - w) * c * B + w**2 / m) / (1 - c**2 - w**2 * g / m)


def empirical_mean_limit(n: float, synthetic: float, strength: float) -> float:
    """What the same loop settles at when the corrector draws from the n real records instead of the true law:

        1/n + w^2 (1 - q/n)/m / (1 - c^2 - w^2 g/m),    q = gamma/(1+gamma).

    Never below 1/n: such a corrector knows nothing that the real records do not say. Status: exact. Source: derived for autophage.

    >>> round(empirical_mean_limit(20, 20, 0.5), 7), round(empirical_mean_limit(50, 25, 0), 7)
    (0.0638715, 0.025)
    """
    n, m, w, c, g = _mean_loop(n, synthetic, strength)
    return 1 / n + w**2 * (1 - replaced_share(strength) / n) / m / (1 - c**2 - w**2 * g / m)


def _mean_loop(n: float, synthetic: float, strength: float) -> tuple[float, float, float, float, float]:
    """n, m, w, c and g."""
    n, m = positive(n, "n"), positive(synthetic, "the number of synthetic records")
    w, true = m / (n + m), replaced_share(strength)
    return n, m, w, w * (1 - true), true * (1 - true)
