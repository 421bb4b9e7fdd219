"""The Gaussian fitted to everything so far (accumulate), one coordinate.

Given the pile, v_t / v_{t-1} = [N - ddof + b (chi^2_{n-1} + (N/N') chi^2_1)] / (N' - ddof) does not depend on
it (N records before, N' = N + n after): v_t is a product of independent factors, and any function of one
factor is a small sum over Gaussian quadrature nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import psi

from autophage.theory.arguments import at_least, sizes_course, unit_interval
from autophage.theory.gaussian_replace import mean_sd


def variance_course(n: float, generations: int) -> np.ndarray:
    """E v_t / sigma^2 = prod_{k=1}^{t+1} (1 - 1/(n k^2)), shape (G,): n new records each generation, ddof 0.

    The same product is E Gini_t / Gini of a categorical model and, for one symbol, of a Bernoulli. Status:
    exact. Source: Kazdan et al. (2024); Marchi et al. (2024) for symbols.

    >>> variance_course(10, 30)[-1].round(4).item()
    0.8462
    """
    at_least(n, 1, "n")
    return np.cumprod(1 - 1 / (n * np.arange(1, generations + 1) ** 2.0))


def variance_limit(n: float) -> float:
    """sin(x)/x with x = pi / sqrt(n), the limit of `variance_course`. Status: exact. Source: Kazdan et al.
    (2024).

    >>> round(variance_limit(4), 4)
    0.6366
    """
    at_least(n, 1, "n")
    return float(np.sinc(1 / np.sqrt(n)))


@lru_cache(maxsize=4096)
def _chi_square_nodes(freedom: float, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian quadrature for chi^2: nodes and weights (count,) (Golub & Welsch; normalised, so large freedom
    is safe)."""
    if freedom <= 0:
        return np.zeros(1), np.ones(1)
    a = freedom / 2 - 1
    k = np.arange(count)
    nodes, vectors = eigh_tridiagonal(2 * k + 1 + a, np.sqrt(k[1:] * (k[1:] + a)))
    return 2 * nodes, vectors[0] ** 2


def _factor_mean(
    function: Callable[[np.ndarray], np.ndarray], n: float, N: float, ddof: int, bias: float
) -> float:
    """E function(v_t / v_{t-1}) when n records join N."""
    x, p = _chi_square_nodes(n - 1)
    y, q = _chi_square_nodes(1.0)
    ratio = (N - ddof + bias * (x[:, None] + N / (N + n) * y)) / (N + n - ddof)
    return float(p @ function(ratio) @ q)


def _courses(function: Callable[[np.ndarray], np.ndarray], sizes: Any, ddof: int, bias: float) -> np.ndarray:
    n = sizes_course(sizes, more_than=max(ddof, 1))
    unit_interval(bias, "the sampling bias")
    N = np.cumsum(n)
    return np.array([_factor_mean(function, n[t], N[t - 1], ddof, bias) for t in range(1, len(n))])


def mean_sd_accumulate(sizes: Any, *, ddof: int = 0, bias: float = 1.0) -> np.ndarray:
    """E sd_t / sigma, shape (G,), under accumulate. sizes (G,): n_0 real, then what is added.

    Status: exact (24-node quadrature of each factor; agrees with itself at 48 nodes to 1e-12). Source:
    derived for autophage.

    >>> mean_sd_accumulate([10, 10, 10]).round(5).tolist()
    [0.92275, 0.90589, 0.89853]
    """
    first = mean_sd(np.atleast_1d(sizes)[:1], ddof=ddof)
    return np.concatenate([first, first * np.cumprod(_courses(np.sqrt, sizes, ddof, bias))])


def mean_log_accumulate(sizes: Any, *, ddof: int = 0, bias: float = 1.0) -> np.ndarray:
    """E log(v_t / sigma^2), shape (G,), under accumulate. Status: exact (quadrature). Source: derived for
    autophage."""
    n = sizes_course(sizes, more_than=max(ddof, 1))
    first = psi((n[0] - 1) / 2) + np.log(2 / (n[0] - ddof))
    return first + np.concatenate([[0.0], np.cumsum(_courses(np.log, sizes, ddof, bias))])
