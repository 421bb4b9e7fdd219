"""The Gaussian that is refitted to its own samples: what second moments do not say.

One coordinate of a refit has v_t = b v_{t-1} chi^2_{n_t - 1} / (n_t - ddof), independent factors; b is the
sampling bias. The mean of v stays while its median dies: here are its root, its logarithm, and the collapse
of the whole matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, polygamma, psi

from autophage.errors import SpecError
from autophage.theory.arguments import sizes_course, unit_interval


def shrinkage(n: Any) -> np.ndarray:
    """c(n) = sqrt(2/(n-1)) Gamma(n/2) / Gamma((n-1)/2) < 1: E of the unbiased standard deviation over the
    true one.

    n: numbers of records, at least 2, any shape. E[Sigma_t^{1/2}] <= c(n)^t Sigma_0^{1/2} in any dimension
    (Loewner), with equality for one. Status: exact. Source: Bertrand et al. (2024, proposition 1); constant
    derived.

    >>> shrinkage([5, 100]).round(7).tolist()
    [0.9399856, 0.997478]
    """
    n = np.asarray(n, dtype=np.float64)
    if not (n > 1).all():
        raise SpecError("a standard deviation needs at least 2 records")
    return np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


def _chain(sizes: Any, given: bool, ddof: int, more_than: float) -> np.ndarray:
    """The sizes of the fits that make the generations; 0 marks a given generation 0, which is not fitted."""
    least = max(more_than, ddof)
    n = np.array(sizes, dtype=np.float64, ndmin=1)
    if given:
        n[0] = least + 1
    n = sizes_course(n, more_than=least)
    if given:
        n[0] = 0
    return n


def _emission(sizes: np.ndarray, bias: float) -> np.ndarray:
    """The sampling bias of the batch behind each fit: real records have none."""
    unit_interval(bias, "the sampling bias")
    return np.concatenate([[1.0], np.full(len(sizes) - 1, float(bias))])


def mean_sd(sizes: Any, *, ddof: int = 0, bias: float = 1.0, given: bool = False) -> np.ndarray:
    """E sd_t / sd_*, shape (G,), for one coordinate; sd_* is the true one, or with `given` generation 0's
    own.

        E sd_t = prod_{k<=t} c(n_k) sqrt(b_k (n_k - 1) / (n_k - ddof)),   b_0 = 1, b_k = bias.

    Status: exact (each diagonal entry of a full covariance too). Source: Bertrand et al. (2024); schedules
    derived.

    >>> mean_sd([10] * 20, ddof=1)[-1].round(5).item()
    0.5744
    """
    n = _chain(sizes, given, ddof, more_than=1)
    fitted = n > 0
    safe = np.where(fitted, n, 2.0)
    factor = shrinkage(safe) * np.sqrt(_emission(n, bias) * (safe - 1) / (safe - ddof))
    return np.cumprod(np.where(fitted, factor, 1.0))


def log_det(
    sizes: Any, dim: int = 1, *, ddof: int = 0, bias: float = 1.0, diagonal: bool = False, given: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of log det Sigma_t - log det Sigma_*, each (G,); dim = 1: of log v_t.

        mean     sum_{k<=t} { sum_{i=1}^{d} [psi((n_k - i)/2) + ln 2] - d ln(n_k - ddof) + d ln b_k }
        variance sum_{k<=t}   sum_{i=1}^{d} psi_1((n_k - i)/2)

    and for a diagonal fit every i is 1 (the real coordinates being independent). Sizes must exceed dim.
    Status: exact. Source: Wishart determinant (Bartlett); Suresh et al. (2024) for dim 1.

    >>> mean, variance = log_det([10] * 20, ddof=1)
    >>> mean[-1].round(5).item(), variance[-1].round(4).item()
    (-2.30413, 4.9745)
    """
    n = _chain(sizes, given, ddof, more_than=1 if diagonal else dim)
    fitted = n > 0
    lost = np.ones(dim) if diagonal else np.arange(1, dim + 1)
    half = (np.where(fitted, n, dim + 2.0)[:, None] - lost) / 2
    with np.errstate(divide="ignore"):
        drift = psi(half).sum(axis=1) + dim * (np.log(2.0) + np.log(_emission(n, bias)))
    drift = drift - dim * np.log(np.where(fitted, n - ddof, 1.0))
    spread = polygamma(1, half).sum(axis=1)
    return np.cumsum(np.where(fitted, drift, 0.0)), np.cumsum(np.where(fitted, spread, 0.0))


def median_variance(sizes: Any, *, ddof: int = 0, bias: float = 1.0, given: bool = False) -> np.ndarray:
    """exp E log v_t, shape (G,), relative to the true (or given) variance: the median of v_t in one
    dimension.

    Status: asymptotic (many generations; log v_t is a sum of independent terms, hence close to normal).
    Source: Suresh et al. (2024).
    """
    return np.exp(log_det(sizes, 1, ddof=ddof, bias=bias, given=given)[0])
