"""How far a filter moves a Gaussian's mean in one round (Han et al. 2025; closed forms derived).

Notation: model N(m, sigma^2), anchor a, delta = (m - a)/sigma, z = (x - m)/sigma. The pull is the mean of z among what the
filter keeps, in units of sigma: the refitted mean is m + sigma pull, up to noise.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from autophage.errors import SpecError
from autophage.theory.arguments import positive

NODES = 400
"""Gauss-Legendre nodes of the logistic pull."""


def density(z: Any) -> np.ndarray:
    """phi(z), the standard normal density."""
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)


def tilt_effective_share(pull: float, delta: Any) -> np.ndarray:
    """n_eff/n = exp(-b^2 delta^2) of the weights w = exp(-b delta z), whose pull is exactly -b delta.

    Status: exact in expectation of the weights (E w)^2 / E w^2; the self-normalised mean has a bias of order 1/n. Source:
    derived.

    >>> tilt_effective_share(0.3, [0.0, 1.0]).round(6).tolist()
    [1.0, 0.913931]
    """
    return np.exp(-np.square(pull * np.asarray(delta, dtype=np.float64)))


def logistic_pull(lam: Any) -> np.ndarray:
    """S(lambda) = 2 E[z / (1 + exp(lambda z))] = -2 int_0^inf z phi(z) tanh(lambda z/2) dz, lambda = k delta of any shape.

    About -lambda/2 near 0, saturates at -sqrt(2/pi); the acceptance 1/(1 + exp(lambda z)) is 1/2 on average. Status: exact
    (quadrature, error below 1e-9). Source: derived.

    >>> logistic_pull([0.1, 1.0, 10.0]).round(5).tolist()
    [-0.04988, -0.41324, -0.78519]
    """
    lam = np.asarray(lam, dtype=np.float64)
    z, mass = _half_line()
    return -(np.tanh(lam[..., None] * z / 2) * mass).sum(axis=-1)


@cache
def _half_line() -> tuple[np.ndarray, np.ndarray]:
    """Nodes z on (0, 10) and the masses of 2 z phi(z) dz at them."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z = 5 * (nodes + 1)
    return z, 10 * weights * z * density(z)


def largest_pull(share: Any) -> np.ndarray:
    """phi(Phi^-1(q))/q: no filter of mean acceptance q moves a Gaussian further in one round. One-sided truncation that
    keeps the share q does just that.

    Status: exact (bound for every other filter). Raises `SpecError` outside (0, 1]. Source: derived.

    >>> largest_pull([0.1, 0.3, 0.5, 0.8]).round(3).tolist()
    [1.755, 1.159, 0.798, 0.35]
    """
    q = np.asarray(share, dtype=np.float64)
    if not ((q > 0) & (q <= 1)).all():
        raise SpecError(f"the share that is kept is {share}; it must lie in (0, 1]")
    return density(ndtri(q)) / q


def attainable(contraction: float, distance: float, share: float) -> bool:
    """Whether any filter of mean acceptance `share` can contract by (1 - c) in the square at `distance` (in sigma):
    R - sqrt(1 - c) R <= phi(Phi^-1(q))/q. Status: exact. Source: derived.

    >>> attainable(0.36, 3.0, 0.5), attainable(0.36, 4.0, 0.5)
    (True, False)
    """
    if not 0 <= contraction <= 1:
        raise SpecError(f"the contraction rate c is {contraction}; it must lie in [0, 1]")
    positive(distance, "the distance")
    return bool(distance * (1 - np.sqrt(1 - contraction)) <= largest_pull(share))


def interval_response(
    mean: Any, centre: float, radius: float, sd: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of N(mean, sd^2) among |x - centre| < radius, and the share that is kept; of any shape.

    The map of a verifier that knows `centre`: iterated, it converges to the centre, not to the truth (Yi et al. 2025).
    Status: exact. Raises `SpecError` unless radius and sd are above zero. Source: derived.

    >>> m = 0.0
    >>> for _ in range(15): m = interval_response(m, 0.3, 1.0)[0].item()
    >>> round(m, 4)
    0.3
    """
    positive(radius, "the radius")
    positive(sd, "the standard deviation")
    mean = np.asarray(mean, dtype=np.float64)
    # Mirrored so that the interval lies to the right: its mass is then a difference of small upper tails.
    side = np.where(mean > centre, -1.0, 1.0)
    gap = np.abs(centre - mean) / sd
    low, high = gap - radius / sd, gap + radius / sd
    kept = ndtr(-low) - ndtr(-high)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = (density(low) - density(high)) / kept
    moved = np.where(kept > 0, moved, np.clip(low, 0, None))  # beyond all mass: the nearer edge
    return mean + side * sd * moved, kept


def interval_slope(radius: Any) -> np.ndarray:
    """rho(r) = 1 - 2 r phi(r)/(2 Phi(r) - 1): the slope of the verifier's map at its centre, sigma = 1, and also the
    variance of a kept record there. Status: exact. Source: derived.

    >>> interval_slope([0.5, 1.0, 2.0]).round(6).tolist()
    [0.080589, 0.291125, 0.773741]
    """
    r = np.asarray(radius, dtype=np.float64)
    if not (r > 0).all():
        raise SpecError(f"the radius is {radius}; it must be above zero")
    return 1 - 2 * r * density(r) / (2 * ndtr(r) - 1)


def interval_variance(radius: float, kept: float) -> float:
    """rho/kept/(1 - rho^2): the variance at which the mean settles about the centre when `kept` records enter each fit
    (sigma = 1; of n proposals, 2 Phi(r) - 1 are kept). Status: asymptotic (kept to infinity). Source: derived.

    >>> interval_variance(1.0, 400 * 0.6826895).__round__(7)
    0.0011648
    """
    positive(kept, "the number of records kept")
    rho = float(interval_slope(radius))
    return rho / kept / (1 - rho**2)
