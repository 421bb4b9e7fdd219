"""Refitting as a random walk of the parameter, with steps set by the sample sizes (Xu, He & Cheng 2025).

e_t is the error after t fits, n_t the records of the t-th: the first fit is to real records or to samples of a known
law, every later one to samples of the model before it. With courses over generations, fit t is generation t - 1; where
generation 0 is a given law, leave its size out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr, zeta

from autophage.errors import SpecError
from autophage.schedules import Constant, Power, Schedule, Values, size_at
from autophage.theory import gaussian_replace
from autophage.theory.arguments import at_least, positive, sizes_course


def walk_variance(sizes: Any, variance: float = 1.0) -> np.ndarray:
    """Var e_t = variance sum_{k<=t} 1/n_k, shape (T,): a Gaussian mean whose records have a known variance.

    sizes (T,): the records of each fit. Status: exact (e_t is normal). Source: Xu, He & Cheng (2025); derived for any
    schedule.

    >>> walk_variance([50] * 100)[-1].round(12).item()
    2.0
    """
    positive(variance, "the variance")
    return variance * np.cumsum(1 / sizes_course(sizes))


def limit_variance(scale: float, s: float, variance: float = 1.0) -> float:
    """lim Var e_t = variance zeta(1 + s) / scale for n_t = scale t^{1+s}; infinite for s <= 0.

    Status: exact for real-valued sizes, an upper bound once they are rounded up. Source: Xu, He & Cheng (2025).

    >>> round(limit_variance(50, 0.5), 6), round(limit_variance(50, 1), 6), limit_variance(50, 0)
    (0.052248, 0.032899, inf)
    """
    positive(scale, "the scale of the schedule")
    positive(variance, "the variance")
    if not math.isfinite(s):
        raise SpecError(f"s is {s}; it must be a finite number")
    return variance * float(zeta(1 + s)) / scale if s > 0 else math.inf


def log_variance(sizes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (T,) of log sigma_t^2 for a Gaussian variance that is refitted unbiased (ddof 1):

        mean sum_k [psi(nu_k/2) - ln(nu_k/2)],   variance sum_k psi_1(nu_k/2),   nu_k = n_k - 1.

    Both stay bounded iff sum 1/n_k does. Status: exact. Source: Xu, He & Cheng (2025); `gaussian_replace.log_det`.
    """
    return gaussian_replace.log_det(sizes, 1, ddof=1)


def likelihood_variance(sizes: Any) -> np.ndarray:
    """E sigma_t^2 / sigma_*^2 = prod_{k<=t} (1 - 1/n_k), shape (T,), for the maximum-likelihood variance (ddof 0).

    Status: exact. Source: Xu, He & Cheng (2025); derived.

    >>> likelihood_variance(np.ceil(10 * np.arange(1, 201.0)))[-1].round(5).item()
    0.55077
    """
    return np.cumprod(1 - 1 / sizes_course(sizes, more_than=1))


def drift(sizes: Any, bias: float, kappa: float) -> np.ndarray:
    """sum_{k<=t} bias n_k^-kappa, shape (T,): how far an estimator of bias b n^-kappa has drifted.

    Status: exact where the bias does not depend on the parameter. Source: Xu, He & Cheng (2025, direction); derived.
    """
    positive(kappa, "kappa, the exponent of the bias,")
    return bias * np.cumsum(sizes_course(sizes) ** -kappa)


def smallest_exponent(kappa: float | None = None) -> float:
    """Sizes n_t ~ t^p keep the walk bounded iff p is above this: 1 without bias, max(1, 1/kappa) with a bias ~ n^-kappa.

    Any s > 0 then gives n_t ~ t^{(1+s)/kappa}. Status: exact. Source: Xu, He & Cheng (2025, direction); derived.

    >>> smallest_exponent(), smallest_exponent(kappa=0.5), smallest_exponent(kappa=2)
    (1.0, 2.0, 1.0)
    """
    return 1.0 if kappa is None else max(1.0, 1 / positive(kappa, "kappa, the exponent of the bias,"))


def stays_bounded(schedule: Schedule, kappa: float | None = None) -> bool:
    """Whether the walk stays bounded for ever: a power of t above `smallest_exponent`. A constant size never does, and
    a list of values ends, so nothing is promised beyond it (False)."""
    grows = schedule.power.exponent if isinstance(schedule, Power) else 0.0
    return grows > smallest_exponent(kappa)


def total_records(schedule: Schedule, refits: int) -> int:
    """sum_{t<=refits} n_t, sizes rounded up: what a schedule costs, to be held against a filter's proposals.

    Status: exact.

    >>> from autophage.schedules import Scaling
    >>> total_records(50, 60), total_records(Power(power=Scaling(scale=50, exponent=1.5)), 60)
    (3000, 569403)
    """
    return sum(size_at(schedule, t, "the schedule") for t in range(1, refits + 1))


def superlinear(schedule: Schedule | Sequence[float] | np.ndarray) -> float:
    """The exponent p > 1 with which a schedule grows: that of a power, or the slope of log n against log t over the
    second half of a list.

    Raises `SpecError` where it never increases, falls somewhere, or grows no faster than t: then sum 1/n_t diverges
    and the walk has no limit.

    >>> superlinear([50 * t**1.5 for t in range(1, 40)])
    1.5
    """
    if isinstance(schedule, Power):
        if not schedule.power.scale > 0:
            raise SpecError(f"the schedule's scale is {schedule.power.scale}; it must be above zero")
        exponent = schedule.power.exponent
        if not exponent > 0:
            raise SpecError(
                f"a superlinear schedule was requested, but sizes ~ t^{exponent:g} do not increase; take an exponent above 1"
            )
    elif isinstance(schedule, int | float | Constant):
        raise SpecError(
            "a superlinear schedule was requested, but the size is constant; take {power: {scale, exponent}} with an "
            "exponent above 1"
        )
    else:
        n = sizes_course(schedule.values if isinstance(schedule, Values) else schedule)
        if len(n) < 4:
            raise SpecError(
                f"a superlinear schedule was requested; {len(n)} sizes cannot show one, give at least 4"
            )
        falls = np.flatnonzero(np.diff(n) < 0)
        if len(falls) or n[-1] == n[0]:
            at = f"falls from {n[falls[0]]:g} to {n[falls[0] + 1]:g}" if len(falls) else "never increases"
            raise SpecError(
                f"a superlinear schedule was requested, but the list of sizes {at}; it must grow faster than t"
            )
        t = np.arange(1, len(n) + 1)[len(n) // 2 :]
        exponent = round(float(np.polyfit(np.log(t), np.log(n[len(n) // 2 :]), 1)[0]), 6)
    if not exponent > 1:
        raise SpecError(
            f"a superlinear schedule was requested, but sizes grow like t^{exponent:g}; the exponent must be above 1"
        )
    return float(exponent)


def improvement_probability(real: float, sizes: Any, dim: int = 1) -> float:
    """P(||e_T|| < ||e_1||): that refits to own samples come closer to the truth than the fit to `real` real records.

        F( -sqrt(d) tau / (2 s_1) ),   F: Student's t with d degrees of freedom,   s_1^2 = 1/real,   tau^2 = sum 1/n_t

    sizes: the records of each synthetic fit, one number or several. Always below 1/2; falls with more fits and with d.
    For d = 1 it is arctan(2 s_1/tau) / pi. Status: exact (Gaussian mean, known covariance). Source: Xu, He & Cheng (2025,
    existence); closed form derived for autophage.

    >>> round(improvement_probability(100, [100]), 5), round(improvement_probability(100, [400] * 3, dim=5), 5)
    (0.35242, 0.1887)
    """
    at_least(real, 1, "the number of real records")
    if dim != int(dim) or dim < 1:
        raise SpecError(f"dim is {dim}; it must be a whole number of at least 1")
    tau = math.sqrt(float((1 / sizes_course(sizes)).sum()))
    return float(stdtr(dim, -math.sqrt(dim) * tau * math.sqrt(real) / 2))
