"""Frequencies refitted to their own draws: diversity, loss of symbols, absorption.

Full courses for every workflow come from `moments` with one-hot records (`one_hot`): there tr Sigma is the
Gini index 1 - sum p^2 and the squared error is sum (p_t - p)^2. Here are the closed forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, probabilities, sizes_course, unit_interval
from autophage.theory.moments import Refit

LARGEST_CHAIN = 2000
"""A count chain has (n + 1)^2 transition probabilities; above this the branching bounds are as good."""


def one_hot(p: Any, initial: Any = None) -> Refit:
    """How `moments` sees a categorical learner: real variance 1 - sum p^2, ddof 0. p (K,), initial (K,) for a
    given model.

    >>> one_hot([0.5, 0.5]).real
    0.5
    """
    p = probabilities(p)
    start = None
    if initial is not None:
        q = probabilities(initial)
        if q.shape != p.shape:
            raise SpecError(f"the initial probabilities have {len(q)} entries, the truth {len(p)}")
        start = (float(((q - p) ** 2).sum()), float(1 - (q**2).sum()))
    return Refit(real=float(1 - (p**2).sum()), initial=start)


def gini_replace(p: Any, sizes: Any) -> np.ndarray:
    """E(1 - sum p_t^2) = (1 - sum p^2) prod_{k<=t} (1 - 1/n_k), shape (G,). Status: exact. Sources: Shumailov
    et al. (2024); Seddik et al. (2024).

    >>> gini_replace([0.4, 0.3, 0.15, 0.1, 0.04, 0.01], [50] * 30)[-1].round(6).item()
    0.390458
    """
    return (1 - (probabilities(p) ** 2).sum()) * np.cumprod(1 - 1 / sizes_course(sizes))


def mix_error(q: Any, real: float, synthetic: float, rounds: Any) -> np.ndarray:
    """E ||p_m - q||^2 after m = rounds refits to N fixed real records of frequencies q and n samples: with a
    = n/(N+n),

        D_{m+1} = a^2 [(1 - 1/n) D_m + (1 - sum q^2)/n],  D_0 = 0;
        D_m = D_inf (1 - r^m),  r = a^2 (1 - 1/n).

    Status: exact. Source: derived for autophage; setting of Seddik et al. (2024, partially synthetic).
    """
    a = synthetic / (real + synthetic)
    return mix_error_limit(q, real, synthetic) * (1 - (a**2 * (1 - 1 / synthetic)) ** np.asarray(rounds))


def mix_error_limit(q: Any, real: float, synthetic: float) -> float:
    """D_inf = a^2 (1 - sum q^2) / (n (1 - a^2 (1 - 1/n))), a = n/(N+n). Status: exact. Source: as
    `mix_error`."""
    at_least(real, 1, "the number of real records")
    at_least(synthetic, 1, "the number of synthetic records")
    a2 = (synthetic / (real + synthetic)) ** 2
    return float(a2 * (1 - (probabilities(q) ** 2).sum()) / (synthetic * (1 - a2 * (1 - 1 / synthetic))))


def loss_probability(q: Any, draws: Any) -> np.ndarray:
    """(1-q)^M, the chance that a symbol of probability q is missing from M draws. Status: exact. Source:
    Shumailov et al. (2024).

    >>> loss_probability([0.04, 0.01], 50).round(5).tolist()
    [0.12989, 0.60501]
    """
    q = np.asarray(q, dtype=np.float64)
    if not ((q >= 0) & (q <= 1)).all():
        raise SpecError("a probability must lie in [0, 1]")
    return np.exp(xlog1py(np.asarray(draws, dtype=np.float64), -q))


def transitions(n: int) -> np.ndarray:
    """P[i, j] = Binomial(n, i/n)(j), shape (n+1, n+1): the counts of one symbol under replace. Status: exact.
    Raises `SpecError` above `LARGEST_CHAIN`."""
    if not 1 <= n <= LARGEST_CHAIN:
        raise SpecError(
            f"a count chain of {n} draws is too large for an exact solution; at most {LARGEST_CHAIN}"
        )
    return binomial_row(np.arange(n + 1) / n, n)


def binomial_row(p: Any, n: int) -> np.ndarray:
    """Binomial(n, p) probabilities, shape p.shape + (n+1,)."""
    p = np.asarray(p, dtype=np.float64)[..., None]
    j = np.arange(n + 1)
    choose = gammaln(n + 1) - gammaln(j + 1) - gammaln(n - j + 1)
    return np.exp(choose + xlogy(j, p) + xlog1py(n - j, -p))


def absorption_time(n: int, count: int) -> float:
    """Mean number of refits until one of two symbols is gone, starting from `count` of n. Status: exact
    (linear solve). Source: Shumailov et al. (2024) for the chain.

    >>> round(absorption_time(20, 6), 4)
    23.0246
    """
    if not 0 <= count <= n:
        raise SpecError(f"count is {count}; it must lie between 0 and {n}")
    if count in (0, n):
        return 0.0
    inner = transitions(n)[1:n, 1:n]
    return float(np.linalg.solve(np.eye(n - 1) - inner, np.ones(n - 1))[count - 1])


def absorption_time_diffusion(n: float, p: float) -> float:
    """-2n [p ln p + (1-p) ln(1-p)], the mean absorption time of two symbols. Status: asymptotic (n to
    infinity). Source: Kimura & Ohta's diffusion; Shumailov et al. (2024).

    >>> round(absorption_time_diffusion(100, 0.5), 3)
    138.629
    """
    unit_interval(p, "p")
    return float(-2 * n * (xlogy(p, p) + xlogy(1 - p, 1 - p)))


def two_symbol_bounds(p: float, n: float, refits: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound on the chance that neither of two symbols is lost after k refits:

        4 p (1-p) (1-1/n)^k <= P <= 2 n p (1-p) (1-1/n)^k      (upper clipped at 1).

    Status: bound. Source: Seddik et al. (2024), from the Gini course.
    """
    unit_interval(p, "p")
    decay = p * (1 - p) * (1 - 1 / at_least(n, 2, "n")) ** np.asarray(refits, dtype=np.float64)
    return 4 * decay, np.minimum(2 * n * decay, 1.0)
