"""Effective sample size and admissible synthetic data (Alemohammad et al. 2024): for a Gaussian in d dimensions,
and on a measured curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq, isotonic_regression
from scipy.special import hyp2f1

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive, unit_interval
from autophage.theory.gaussian_fresh import large_sample_variance
from autophage.theory.gaussian_replace import shrinkage


def mean_trace_root(dim: int, freedom: float) -> float:
    """E tr (W/m)^{1/2} for W ~ Wishart(m, I_d), freedom = m > 0. With g = d/m <= 1 and Gauss's function F,

        d F(-1/2, 1/2; 2; g) + (1/2) [1 - F(-1/2, -1/2; 1; g)],

    the Marchenko-Pastur mean of sqrt(x) and its first correction for real matrices; for d > m the roles of d
    and m are swapped. One dimension: the exact value c(m + 1). Status: exact for d = 1; else asymptotic (d
    and m to infinity together, or m alone), within 0.8 % of the trace for m >= 5. Source: Marchenko & Pastur
    (1967); Bai & Silverstein (2004) for the correction; evaluated for autophage.

    >>> round(mean_trace_root(100, 99), 2), round(mean_trace_root(1, 9), 7)
    (84.53, 0.9726593)
    """
    positive(freedom, "the degrees of freedom")
    at_least(dim, 1, "dim")
    if dim == 1:
        return float(shrinkage(freedom + 1))
    small, large = min(dim, freedom), max(dim, freedom)
    g = small / large
    trace = small * hyp2f1(-0.5, 0.5, 2, g) + 0.5 * (1 - hyp2f1(-0.5, -0.5, 1, g))
    return float(trace * np.sqrt(large / freedom))


def real_only_distance(n: float, dim: int, *, ddof: int = 1) -> float:
    """E W2^2(Gaussian fitted to n real records, N(0, I_d)), n >= 2 (any real number):

        d/n + d (n-1)/(n-ddof) + d - 2 sqrt((n-1)/(n-ddof)) E tr (W_{n-1}/(n-1))^{1/2}.

    Status: exact for d = 1, else asymptotic (see `mean_trace_root`). Source: Alemohammad et al. (2024) for
    the curve; evaluated for autophage.

    >>> [round(real_only_distance(n, 100), 1) for n in (100, 150, 200, 300)]
    [31.9, 19.5, 14.1, 9.2]
    """
    at_least(n, 2, "n")
    scale = (n - 1) / (n - ddof)
    return float(dim / n + dim * (1 + scale) - 2 * np.sqrt(scale) * mean_trace_root(dim, n - 1))


def effective_sample_size(distance: float, dim: int, *, ddof: int = 1) -> float:
    """n_e: how many real records alone give this mean W2^2 to N(0, I_d). Synthetic data is admissible when
    n_e >= n_r.

    inf for a distance of 0, nan for one that even 2 records beat. Status: as `real_only_distance`. Source:
    Alemohammad et al. (2024, eq. 4).

    >>> round(effective_sample_size(12.2, 100))
    229
    """
    at_least(distance, 0, "the distance")
    if distance == 0:
        return float("inf")
    if distance > real_only_distance(2, dim, ddof=ddof):
        return float("nan")
    high = 4.0
    while real_only_distance(high, dim, ddof=ddof) > distance:
        high *= 4
        if high > 1e13:
            return float("inf")
    root = brentq(
        lambda log_n: real_only_distance(np.exp(log_n), dim, ddof=ddof) - distance, np.log(2), np.log(high)
    )
    return float(np.exp(root))


def sample_size_on_curve(distance: float, sizes: Sequence[float], distances: Sequence[float]) -> float:
    """n_e where the real-only curve is measured: how many real records alone come as near as `distance`, when fits to
    `sizes` of them (two or more) came to `distances`, all above zero.

    The curve falls with n, so its noise is taken out first (the falling curve nearest in least squares), and log n is
    then linear in the distance between two sizes. inf for a distance below the curve, nan for one above it: nothing is
    extrapolated. Status: an estimate, as good as the curve's distances. Source: Alemohammad et al. (2024, eq. 4). Raises
    `SpecError` for sizes or distances that are not above zero, repeated sizes, or a curve of fewer than two points.

    >>> round(sample_size_on_curve(15, sizes=[100, 400, 1600], distances=[20, 10, 9]))
    200
    """
    at_least(distance, 0, "the distance")
    n, d = np.asarray(sizes, dtype=float), np.asarray(distances, dtype=float)
    if n.shape != d.shape or n.ndim != 1 or len(np.unique(n)) < max(2, len(n)):
        raise SpecError(
            f"a curve needs two or more different sizes and a distance for each, got {sizes} and {distances}"
        )
    if not (np.isfinite([n, d]).all() and (n > 0).all() and (d > 0).all()):
        raise SpecError(
            f"a curve's sizes and distances must be finite and above zero, got {sizes} and {distances}"
        )
    order = np.argsort(n)
    falling = isotonic_regression(d[order], increasing=False).x
    if distance > falling[0]:
        return float("nan")
    if distance < falling[-1]:
        return float("inf")
    return float(np.exp(np.interp(distance, falling[::-1], np.log(n[order])[::-1])))


def admissible_synthetic(bias: float, dim: int) -> float:
    """n_s*, the largest number of biased synthetic records that does not hurt the fresh loop, whatever n_r:

        [ 4 (2 - lambda) + (d+1) ((2 - lambda^2) - 1.5 (1 - lambda)) ] / (1 - lambda)^2;   inf at lambda = 1.

    Status: asymptotic (n_r much above d and n_s). Source: derived for autophage; Alemohammad et al. (2024,
    fig. 11) observe that it becomes constant.

    >>> round(admissible_synthetic(0.7, 1), 1)
    81.3
    """
    unit_interval(bias, "the sampling bias")
    at_least(dim, 1, "dim")
    if bias == 1:
        return float("inf")
    return (4 * (2 - bias) + (dim + 1) * ((2 - bias**2) - 1.5 * (1 - bias))) / (1 - bias) ** 2


def bias_floor(real_share: float, bias: float, dim: int) -> float:
    """lim W2^2 = d (1 - sqrt(V_inf))^2, V_inf = p/(1 - (1-p) lambda): where progress stops however many
    records there are.

    Status: asymptotic (N to infinity at a fixed real share p). Source: derived for autophage; Alemohammad et
    al. (2024, fig. 31).

    >>> round(bias_floor(0.1, 0.9, 100), 4)
    7.5363
    """
    if real_share == 0 and bias == 1:
        raise SpecError("without real records and bias the loop has no limit")
    return float(dim * (1 - np.sqrt(large_sample_variance(real_share, bias))) ** 2)
