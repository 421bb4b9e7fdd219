"""Upper bounds on the chance that a Gaussian refitted to its own samples is still wide (one dimension, ddof
1).

k counts the fits that were made since the standard deviation was `sd` (so generation t has k = t + 1 when sd
is the truth's and generation 0 was fitted to n real records, k = t when generation 0 was given).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

from autophage.errors import SpecError
from autophage.theory.arguments import positive
from autophage.theory.gaussian_replace import shrinkage


def _checked(n: float, eps: float, sd: float) -> None:
    positive(eps, "eps")
    positive(sd, "the standard deviation")
    if not n >= 2:
        raise SpecError(f"n is {n}; a standard deviation needs at least 2 records")


def exponential_bound(k: Any, n: float, eps: float, sd: float = 1.0) -> np.ndarray:
    """P(sd_k > eps) <= (sd/eps) exp(-k / (4n - 1)), clipped at 1. k: any shape.

    Status: bound (upper). Source: Suresh, Thangaraj & Khandavally (2024, theorem 3).

    >>> exponential_bound(200, 10, 0.1).round(5).item()
    0.05927
    """
    _checked(n, eps, sd)
    return np.minimum(sd / eps * np.exp(-np.asarray(k, dtype=np.float64) / (4 * n - 1)), 1.0)


def moment_bound(k: Any, n: float, eps: float, sd: float = 1.0, s: float | None = None) -> np.ndarray:
    """P(sd_k > eps) <= (sd/eps)^s [ Gamma((nu+s)/2) / (Gamma(nu/2) (nu/2)^{s/2}) ]^k, nu = n - 1, clipped at
    1.

    s > 0: the moment used (Suresh et al. plot 0.7); None takes the best of a grid for each k. Status: bound
    (upper), by Markov's inequality on sd^s. Source: Suresh et al. (2024); s = 1 is Bertrand et al. (2024).

    >>> moment_bound(200, 10, 0.1, s=0.7).round(4).item()
    0.0305
    """
    _checked(n, eps, sd)
    k = np.asarray(k, dtype=np.float64)
    order = np.geomspace(1e-3, 4.0, 200) if s is None else np.array([positive(s, "s")])
    nu = n - 1
    log_moment = gammaln((nu + order) / 2) - gammaln(nu / 2) - order / 2 * np.log(nu / 2)
    log_bound = order * np.log(sd / eps) + k[..., None] * log_moment
    return np.minimum(np.exp(log_bound.min(axis=-1)), 1.0)


def first_moment_bound(k: Any, n: float, eps: float, sd: float = 1.0) -> np.ndarray:
    """P(sd_k > eps) <= (sd/eps) c(n)^k, clipped at 1. Status: bound (upper). Source: Bertrand et al. (2024,
    prop. 1).

    >>> first_moment_bound(200, 10, 0.1).round(4).item()
    0.0391
    """
    _checked(n, eps, sd)
    return np.minimum(sd / eps * shrinkage(n) ** np.asarray(k, dtype=np.float64), 1.0)


def mixture_bound(k: Any, n: float, eps: float, sd: float = 1.0) -> np.ndarray:
    """P(sd_k > eps) <= (sd/eps) exp(-k / (4n)), clipped at 1, for a symmetric two-component mixture N(+-mean,
    sd^2) with the approximate joint maximum likelihood fit. Status: bound (upper). Source: Suresh et al.
    (2024)."""
    _checked(n, eps, sd)
    return np.minimum(sd / eps * np.exp(-np.asarray(k, dtype=np.float64) / (4 * n)), 1.0)
