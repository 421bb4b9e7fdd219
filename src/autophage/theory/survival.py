"""How long a rare symbol, or a Poisson mean, survives being refitted to its own draws (Suresh et al. 2024).

k counts fits, the first one to real records: generation t has k = t + 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlog1py

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, probabilities, sizes_course, unit_interval
from autophage.theory.categorical import LARGEST_CHAIN, binomial_row, transitions


def iterated(count: int) -> np.ndarray:
    """g_1..g_count, shape (count,): g_1 = 1, g_k = 1 - exp(-g_{k-1}); 1/k <= g_k <= 3/k and k g_k -> 2.
    Status: exact. Source: Suresh, Thangaraj & Khandavally (2024).

    >>> iterated(10)[[1, 4, 9]].round(5).tolist()
    [0.63212, 0.31208, 0.17225]
    """
    g = np.ones(count)
    for k in range(1, count):
        g[k] = -np.expm1(-g[k - 1])
    return g


def branching(sizes: Any, real_shares: Any = 0.0) -> np.ndarray:
    """a_t, shape (G,), with P(lambda_t != 0) = 1 - exp(-lambda a_t) for a Poisson mean refitted to n_0, n_1,
    ... draws:

        a_t = n_0 (1 - exp(-(n_1/n_0)(1 - exp(-(n_2/n_1)(...))))),   innermost factor 1;
        a_t = n g_{t+1} for n_t = n.

    With real shares r_t (one number or (G,), entry 0 ignored), a share of every later set is fresh draws of
    the true law: y_t = n_t, y_k = n_k (1 - exp(-(1 - r_{k+1}) y_{k+1} / n_k)), a_t = y_0 + sum_{k=1}^{t} r_k
    y_k. Status: exact. Source: Suresh et al. (2024) for constant sizes; schedules and shares derived for
    autophage.
    """
    n = sizes_course(sizes)
    share = np.array(np.broadcast_to(np.asarray(real_shares, dtype=np.float64), n.shape))
    if not ((share[1:] >= 0) & (share[1:] <= 1)).all():
        raise SpecError("real shares must lie in [0, 1]")
    share[0] = 1.0
    total, asked = np.zeros(len(n)), np.full(len(n), np.inf)
    for k in range(len(n) - 1, -1, -1):
        y = -n[k] * np.expm1(-asked[k:] / n[k])
        total[k:] += share[k] * y
        asked[k:] = (1 - share[k]) * y
    return total


def poisson_survival(mean: float, sizes: Any) -> np.ndarray:
    """P(lambda_t != 0) = 1 - exp(-lambda a_t), shape (G,), under replace. Status: exact. Source: Suresh et
    al. (2024).

    >>> poisson_survival(1.0, [10] * 20)[[0, 4, 19]].round(5).tolist()
    [0.99995, 0.95588, 0.60006]
    """
    return -np.expm1(-at_least(mean, 0, "the Poisson mean") * branching(sizes))


def bernoulli_survival(p: Any, n: int, generations: int) -> np.ndarray:
    """P(p_t != 0), shape p.shape + (G,), from the (n+1)-state binomial chain. Status: exact; n at most
    `LARGEST_CHAIN`. Source: derived for autophage.

    >>> bernoulli_survival(0.01, 100, 5)[[0, 4]].round(5).tolist()
    [0.63397, 0.27101]
    """
    alive = np.ones(n + 1)
    alive[0] = 0.0
    return _chain(p, n, generations, alive)


def bernoulli_undecided(p: Any, n: int, generations: int) -> np.ndarray:
    """P(p_t not in {0, 1}), shape p.shape + (G,), from the same chain. Status: exact.

    >>> bernoulli_undecided(0.3, 20, 60)[[9, 59]].round(5).tolist()
    [0.70113, 0.05421]
    """
    alive = np.ones(n + 1)
    alive[[0, n]] = 0.0
    return _chain(p, n, generations, alive)


def _chain(p: Any, n: int, generations: int, alive: np.ndarray) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise SpecError("a probability must lie in [0, 1]")
    step = transitions(n)
    later = np.empty((n + 1, generations))  # chance of being alive t refits after each count
    for t in range(generations):
        later[:, t] = alive
        alive = step @ alive
    flat = p.ravel()
    course = np.empty((len(flat), generations))
    for start in range(0, len(flat), 4096):  # a row of n + 1 numbers for each symbol: not all at once
        course[start : start + 4096] = binomial_row(flat[start : start + 4096], n) @ later
    return course.reshape(*p.shape, generations)


def bernoulli_bounds(p: float, sizes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound on P(p_t != 0), each (G,):

        1 - exp(-p a_t) <= P <= 1 - max(0, 1 - 3 n p^2 - 3 k p) exp(-p a_t),   k = t + 1,

    the upper one for constant sizes only (1 otherwise). Status: bound. Source: Suresh et al. (2024).
    """
    unit_interval(p, "p")
    n = sizes_course(sizes)
    gone = np.exp(-p * branching(n))
    if (n != n[0]).any():
        return 1 - gone, np.ones(len(n))
    k = np.arange(1, len(n) + 1)
    return 1 - gone, 1 - np.maximum(0.0, 1 - 3 * n[0] * p**2 - 3 * k * p) * gone


def distinct_lower(p: Any, sizes: Any, real_shares: Any = 0.0) -> np.ndarray:
    """E(distinct symbols of generation t) >= sum_i [1 - exp(-p_i a_t)], shape (G,), under replace, or with
    fresh real records (shares as in `branching`, drawn or exact).

    Status: bound (lower), tight for rare symbols: a binomial's Laplace transform lies below the Poisson one.
    Source: Suresh et al. (2024); schedules and shares derived for autophage.

    >>> zipf = 1 / np.arange(1, 201); zipf /= zipf.sum()
    >>> distinct_lower(zipf, [300] * 10)[[0, 4, 9]].round(2).tolist()
    [97.14, 47.2, 30.9]
    """
    return -np.expm1(-probabilities(p)[:, None] * branching(sizes, real_shares)).sum(axis=0)


def distinct_exact(p: Any, n: int, generations: int) -> np.ndarray:
    """E(distinct symbols of generation t), shape (G,), under replace with n records. Status: exact (binomial
    chain per symbol; n at most `LARGEST_CHAIN`). Source: derived for autophage."""
    if n > LARGEST_CHAIN:
        raise SpecError(f"an exact count of symbols needs n of at most {LARGEST_CHAIN}, got {n}")
    return bernoulli_survival(probabilities(p), n, generations).sum(axis=0)


def distinct_seen(p: Any, n: Any) -> np.ndarray:
    """sum_i [1 - (1-p_i)^n], the distinct symbols expected in n real records; n any shape. Status: exact."""
    n = np.asarray(n, dtype=np.float64)[..., None]
    return -np.expm1(xlog1py(n, -probabilities(p))).sum(axis=-1)
