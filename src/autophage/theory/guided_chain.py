"""Variances under classifier-free guidance, once and in a chain of finetuned models (Yoon et al. 2024; forms derived).

A class is N(m, s^2), all records together N(m_u, S^2), the scores are exact, sampling is the probability-flow ODE from high
noise, and guidance has weight g = w - 1 >= -1: D_w = D + g (D - D_u), w = 1 unguided. With the log ratio at a noise level

    q(sigma) = ln((s^2 + sigma^2) / (S^2 + sigma^2)),   r = q(0),   q(infinity) = 0,

what is drawn has variance s^2 exp(-int g(sigma) dq), so s^2 (s^2/S^2)^g where g is constant: r' = (1 + g) r = w r. Late
guidance, at little noise, is what narrows: most of q lies there.

In a chain every model is finetuned from the same base to its predecessor's samples, with the base's unconditional branch:
r_{k+1} = w r_k, up to what each fit to n records takes. The Gaussian form is the regime of small guidance; networks whose
guided samples leave the region where the scores were learned explode instead (recipe `yoon2024`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive, whole


def guided_variance(
    variance: float, unconditional: float, guidance: float, *, above: float = 0.0, up_to: float = math.inf
) -> float:
    """s^2 exp(g (q(above) - q(up_to))): the variance of samples that are guided at noise levels above the one and up to the
    other, everywhere unless given.

    variance, unconditional: s^2 and S^2. Where they are equal, an unconditional branch that was trained on the same narrow set,
    guidance has no effect. Raises `SpecError` unless both are positive, g is at least -1 and 0 <= above < up_to. Status: exact.
    Source: derived (specification, C1 to C3).

    >>> guided_variance(0.5, 1.0, 1.0), guided_variance(0.5, 0.5, 3.0), round(guided_variance(0.5, 1.0, 2.0, above=0.5), 6)
    (0.25, 0.5, 0.18)
    """
    s2, S2, g = (
        positive(variance, "the variance"),
        positive(unconditional, "the unconditional variance"),
        _weight(guidance),
    )
    low = at_least(above, 0, "the lower end of the interval")
    if not up_to > low:
        raise SpecError(
            f"the interval of guidance ends at {up_to}; it must end above {low:g}, where it begins"
        )
    return s2 * math.exp(g * (_log_ratio(s2, S2, low) - _log_ratio(s2, S2, up_to)))


def decaying_variance(
    variance: float, unconditional: float, guidance: float, decay: float, ladder: Sequence[float]
) -> float:
    """The variance under a weight that falls to g exp(-decay u) along a sampler's ladder, u as in
    `autophage.diffusion.guidance.Decaying`: i/N at level i of N steps, linear in the level in between, 0 above.

    ladder (N + 1,): falling levels that end at 0. Raises `SpecError` for a ladder that is none, and as `guided_variance` does.
    Status: exact for the ODE (integrated with 32 nodes a step); a sampler of finite steps comes near it. Source: derived.

    >>> round(decaying_variance(0.5, 1.0, 1.0, 0.0, [50, 5, 1, 0.2, 0]), 6)
    0.25
    >>> decaying_variance(0.5, 1.0, 1.0, 6.0, [50, 5, 1, 0.2, 0]) > 0.48
    True
    """
    s2, S2, g = (
        positive(variance, "the variance"),
        positive(unconditional, "the unconditional variance"),
        _weight(guidance),
    )
    rate = at_least(decay, 0, "the decay")
    levels = np.asarray(ladder, dtype=np.float64)
    falling = (
        levels.ndim == 1 and len(levels) > 1 and np.isfinite(levels).all() and (np.diff(levels) < 0).all()
    )
    if not falling or levels[-1] != 0:
        raise SpecError("the ladder must be noise levels that fall to 0, at least two of them")
    node, share = np.polynomial.legendre.leggauss(32)
    high, low = levels[:-1, None], levels[1:, None]
    steps = len(levels) - 1
    sigma = (high + low) / 2 + (high - low) / 2 * node
    come = (np.arange(steps)[:, None] + (high - sigma) / (high - low)) / steps
    slope = 2 * sigma * (1 / (s2 + sigma**2) - 1 / (S2 + sigma**2))
    inside = float((np.exp(-rate * come) * slope * share * (high - low) / 2).sum())
    return s2 * math.exp(g * (_log_ratio(s2, S2, float(levels[0])) - inside))


def log_ratio_course(start: float, guidance: float, iterations: int, *, shrink: float = 1.0) -> np.ndarray:
    """r_{k+1} = (1 + g) r_k + ln shrink from r_0 = `start` = ln(s^2/S^2), shape (iterations + 1,): guided samples, refitted,
    again and again, the unconditional branch fixed.

    With shrink 1 it is w^k r_0: w > 1 collapses doubly exponentially, w < 1 returns to the unconditional law, w = 1 is
    neutral. shrink: what a fit leaves of the variance, `mean_shrink` or `log_shrink` of its records. Raises `SpecError` for
    g below -1 or a shrink outside (0, 1]. Status: exact with shrink 1; with `log_shrink` exact for E r_k; with `mean_shrink`
    asymptotic (it puts ln E for E ln). Source: derived (specification, C1).

    >>> log_ratio_course(math.log(0.5), 1.0, 2).round(4).tolist()
    [-0.6931, -1.3863, -2.7726]
    """
    w, lost = 1 + _weight(guidance), math.log(_shrink(shrink))
    if not math.isfinite(start):
        raise SpecError(f"the first log ratio is {start}; it must be a finite number")
    course = [float(start)]
    for _ in range(whole(iterations, 0, "the number of iterations")):
        course.append(w * course[-1] + lost)
    return np.array(course)


def variance_course(
    variance: float, unconditional: float, guidance: float, iterations: int, *, shrink: float = 1.0
) -> np.ndarray:
    """S^2 exp(r_k) of `log_ratio_course`, shape (iterations + 1,), the class's own variance first. Status: as there (with a
    shrink below 1 of the geometric mean, not of the mean). Source: derived (specification, C1).

    >>> variance_course(0.5, 1.0, 0.2, 6)[-1].round(5).item()
    0.12622
    """
    s2, S2 = positive(variance, "the variance"), positive(unconditional, "the unconditional variance")
    return S2 * np.exp(log_ratio_course(math.log(s2 / S2), guidance, iterations, shrink=shrink))


def mean_shrink(size: int) -> float:
    """1 - 1/n: what a maximum-likelihood fit to n records leaves of the variance on average. Status: exact for the mean.

    >>> mean_shrink(100)
    0.99
    """
    return 1 - 1 / whole(size, 2, "the number of records")


def log_shrink(size: int) -> float:
    """exp(psi((n - 1)/2)) 2/n: what such a fit leaves of the variance in the geometric mean, n records of one number. About
    1 - 2/n, twice as much lost as in the mean. Status: exact. Source: derived (E ln of a chi-squared variable).

    >>> round(log_shrink(100), 5)
    0.98002
    """
    from scipy.special import digamma

    n = whole(size, 2, "the number of records")
    return math.exp(float(digamma((n - 1) / 2))) * 2 / n


class FixedPoint(NamedTuple):
    """Where a guided chain can stand still."""

    log_ratio: float
    """ln(s^2/S^2) there."""
    attracting: bool
    """Chains end there (w < 1); otherwise they leave it: below it they collapse, above it they explode (w > 1)."""


def fixed_point(guidance: float, *, shrink: float = 1.0) -> FixedPoint:
    """ln shrink / (1 - w) = -ln shrink / g, the fixed point of `log_ratio_course`. Raises `SpecError` at g = 0, where there is
    none (shrink below 1) or every ratio is one. Status: exact for that recursion. Source: derived (specification, C1).

    >>> fixed_point(-0.5, shrink=math.exp(-1))
    FixedPoint(log_ratio=-2.0, attracting=True)
    """
    g, lost = _weight(guidance), math.log(_shrink(shrink))
    if g == 0:
        raise SpecError(
            "without guidance a chain has no fixed point of its own: it drifts where each fit shrinks the variance, and stays "
            "where it is otherwise"
        )
    return FixedPoint(-lost / g + 0.0, g < 0)


def _weight(guidance: float) -> float:
    return at_least(guidance, -1, "the guidance weight")


def _shrink(shrink: float) -> float:
    if not positive(shrink, "the shrink") <= 1:
        raise SpecError(f"the shrink is {shrink}; a fit leaves a share of the variance in (0, 1]")
    return float(shrink)


def _log_ratio(s2: float, S2: float, sigma: float) -> float:
    """q(sigma)."""
    return 0.0 if sigma == math.inf else math.log((s2 + sigma**2) / (S2 + sigma**2))
