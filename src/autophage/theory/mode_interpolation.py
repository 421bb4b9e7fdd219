"""Hallucinations of a denoiser whose slope is bounded, between two modes (derived; after Aithal et al. 2024).

Two point modes at +-a. The exact denoiser is E[x0 | y] = a tanh(a y / sigma^2), y = x0 + sigma n, whose slope at zero,
a^2 / sigma^2, has no bound as sigma falls. A network of slope at most L follows it down to s* = a / sqrt L, and from there on makes

    D(y; sigma) = clip(L y, -a, a),

as if the two modes were joined by a line. Sampled by the probability-flow ODE dy / dsigma = (y - D) / sigma down to sigma_min, a
record is a hallucination when |D(y; sigma_min)| < kappa a. Below s*, records with |y| < a / L obey dy / dsigma = (1 - L) y / sigma,
so y(sigma_min) = y(s*) (sigma_min / s*)^(1 - L), and at s* the law of y is that of the modes' noisy mixture:

    q = (kappa a / L) (sigma_min / s*)^(L - 1),     P = Phi((q - a) / s*) - Phi((-q - a) / s*).
"""

from __future__ import annotations

import math

from scipy.special import ndtr

from autophage.errors import SpecError


def hallucination_share(separation: float, slope: float, sigma_min: float, kappa: float = 0.9) -> float:
    """P: the share of records between two point modes at +-separation, whose denoiser has slope at most L = `slope`.

    It depends on sigma_min / separation and L only, falls as the power L - 1 of the separation, and vanishes with capacity.
    Raises `SpecError` unless separation > 0, L > 1, 0 < kappa <= 1 and 0 < sigma_min <= separation / sqrt L (above it the denoiser
    is exact, and the slope is no bound). Status: exact. Source: derived.

    >>> round(hallucination_share(1.0, 2.0, 0.3), 5)
    0.0802
    """
    a, L = float(separation), float(slope)
    if not (a > 0 and math.isfinite(a) and L > 1 and math.isfinite(L) and 0 < kappa <= 1):
        raise SpecError(
            f"separation is {separation}, slope {slope} and kappa {kappa}; they must be above 0, above 1, and in (0, 1]"
        )
    turn = a / math.sqrt(L)
    if not 0 < sigma_min <= turn:
        raise SpecError(
            f"sigma_min is {sigma_min}; it must lie in (0, separation / sqrt(slope)] = (0, {turn:.6g}], for above that the "
            "denoiser is exact"
        )
    q = kappa * a / L * (sigma_min / turn) ** (L - 1)
    return float(ndtr((q - a) / turn) - ndtr((-q - a) / turn))
