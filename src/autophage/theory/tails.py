"""A memoriser of heavy-tailed inputs: how its error scales with its data, and what a synthetic set's missing tail does to it.

Inputs i = 1, 2, ... have p_i proportional to i^-beta, each has one right answer, and a model is right exactly on the inputs it
has seen ("Hutter LLM"): its error is the mass of what it has not seen. Synthetic data repeat what their generator has seen, so
their tail is cut. Sums run over a finite alphabet on which p is normalised; every answer says how much of the endless law's mass
that leaves out. Source: Dohmatob, Feng, Yang, Charton & Kempe (2024).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive, sizes_course
from autophage.theory.survival import branching, iterated

SYMBOLS = 1_000_000
"""The default alphabet."""


class TailError(NamedTuple):
    """A memoriser's error on a finite alphabet."""

    error: Any
    """Mass of the inputs it has not seen, a number or an array."""
    missing: float
    """sum_{i > symbols} of the endless law, which the alphabet leaves out: about how much too low the error is."""


def check_exponent(beta: float) -> float:
    """The exponent. Raises `SpecError` unless it is above one: otherwise i^-beta has no finite sum."""
    if not (beta > 1 and np.isfinite(beta)):
        raise SpecError(f"beta is {beta}; a law i^-beta over all inputs needs beta above 1")
    return float(beta)


def missing_mass(beta: float, symbols: int) -> float:
    """sum_{i > symbols} i^-beta / zeta(beta). Status: exact.

    >>> round(missing_mass(1.5, 1_000_000), 6)
    0.000766
    """
    from scipy.special import zeta

    return float(zeta(check_exponent(beta), _count(symbols, 1, "symbols") + 1) / zeta(beta))


@lru_cache(maxsize=4)
def masses(beta: float, symbols: int = SYMBOLS) -> np.ndarray:
    """p_1..p_symbols, shape (symbols,), summing to one; read-only.

    >>> masses(2.0, 2).tolist()
    [0.8, 0.2]
    """
    p = np.arange(1, _count(symbols, 1, "symbols") + 1, dtype=np.float64) ** -check_exponent(beta)
    p /= p.sum()
    p.setflags(write=False)
    return p


def clean(beta: float, rows: int, symbols: int = SYMBOLS) -> TailError:
    """After T records of the true law: E = sum_i p_i (1 - p_i)^T. Status: exact on the alphabet.

    >>> found = clean(1.5, 10_000)
    >>> round(found.error, 5), round(found.missing, 5)
    (0.04296, 0.00077)
    """
    return mixed(beta, rows, 0, symbols, symbols)


def constant(beta: float) -> float:
    """C_beta = zeta(beta)^(-1/beta) Gamma(1 - 1/beta)/beta. Status: exact. Source: derived for autophage."""
    from scipy.special import gamma, zeta

    check_exponent(beta)
    return float(zeta(beta) ** (-1 / beta) * gamma(1 - 1 / beta) / beta)


def clean_law(beta: float, rows: Any) -> Any:
    """C_beta T^-c, c = 1 - 1/beta, for rows of any shape, over the endless alphabet. Status: asymptotic (T to infinity). Source:
    exponent Hutter (2021); constant derived for autophage.

    >>> round(float(clean_law(1.5, 1e4)), 5)
    0.0437
    """
    return constant(beta) * np.asarray(rows, dtype=np.float64) ** -(1 - 1 / beta)


def cut(beta: float, rows: int, rank: int, symbols: int = SYMBOLS) -> TailError:
    """After T records of the law cut at rank k (q_i = p_i/sum_{l<=k} p_l for i <= k):

        E = sum_{i<=k} p_i (1 - q_i)^T + sum_{i>k} p_i.

    Status: exact on the alphabet. Source: Dohmatob, Feng, Yang, Charton & Kempe (2024, theorem 2.1).

    >>> round(cut(1.5, 10_000, 100).error, 4), round(cut(1.5, 10_000, 0).error, 9)
    (0.0757, 1.0)
    """
    return mixed(beta, 0, rows, rank, symbols)


def cut_floor(beta: float, rank: int) -> float:
    """k^(1-beta)/((beta-1) zeta(beta)): where the error of the cut law stays as T grows, over the endless alphabet; one at k = 0.
    Status: asymptotic (k to infinity). Source: Dohmatob, Feng, Yang, Charton & Kempe (2024, theorem 2.1).

    >>> round(cut_floor(1.5, 100), 4)
    0.0766
    """
    from scipy.special import zeta

    check_exponent(beta)
    if _count(rank, 0, "rank") == 0:
        return 1.0
    return min(1.0, float(rank ** (1 - beta) / ((beta - 1) * zeta(beta))))


def effective_rank(beta: float, rows: float) -> float:
    """k ~ T_0^(1/beta): where the tail of a generator that saw T_0 records is cut. Status: asymptotic, up to a constant. Source:
    Dohmatob, Feng, Yang, Charton & Kempe (2024)."""
    return positive(rows, "rows") ** (1 / check_exponent(beta))


def replaced(beta: float, sizes: Any, symbols: int = SYMBOLS) -> TailError:
    """Memorisers trained on n_0 true records, then each on n_t records that its predecessor repeats: error of generation t,
    shape (G,),

        E_t = sum_i p_i exp(-p_i a_t),    a_t = n_0 (1 - exp(-(n_1/n_0)(1 - exp(-(n_2/n_1) ...)))),

    a_t = T g_{t+1} at constant size T. Two sizes (T_0, T) are a synthetic set of T records from a generator that saw T_0:
    sum_i p_i exp(-T_0 p_i (1 - e^{-T/T_0})). Status: asymptotic (records as a Poisson process; good to 1/n_0). Source: derived
    for autophage, after Suresh et al. (2024); system of Dohmatob, Feng, Yang, Charton & Kempe (2024).

    >>> replaced(1.5, [1000] * 5).error.round(4)[[0, 1, 4]].tolist()
    [0.0934, 0.109, 0.1381]
    """
    p = masses(beta, symbols)
    errors = [float(p @ np.exp(-a * p)) for a in branching(sizes_course(sizes))]
    return TailError(np.array(errors), missing_mass(beta, symbols))


def replaced_law(beta: float, rows: float, generations: int) -> np.ndarray:
    """C_beta (T g_{t+1})^-c, shape (G,), over the endless alphabet: growth like t^c, below the linear bound of the paper. Status:
    asymptotic. Source: derived for autophage.

    >>> replaced_law(1.5, 1000, 3).round(4).tolist()
    [0.0942, 0.1097, 0.1212]
    """
    return clean_law(
        beta, positive(rows, "rows") * iterated(_count(generations, 1, "the number of generations"))
    )


def mixed(beta: float, real_rows: int, synthetic_rows: int, rank: int, symbols: int = SYMBOLS) -> TailError:
    """After T_real true records and T_ai records of the law cut at rank k:

        E = sum_i p_i (1 - p_i)^T_real (1 - q_i)^T_ai.

    The error stays at the cut's floor until T_real reaches about k^beta; then the clean law takes over. Status: exact on the
    alphabet. Source: Dohmatob, Feng, Yang, Charton & Kempe (2024, theorem 3.2).

    >>> [round(mixed(1.5, T, 100_000, 100).error, 4) for T in (0, 1000, 100_000)]
    [0.0757, 0.0691, 0.0195]
    """
    p = masses(beta, symbols)
    real = at_least(real_rows, 0, "real rows")
    k = min(_count(rank, 0, "rank"), symbols)
    unseen = p * np.exp(real * np.log1p(-p)) if symbols > 1 else np.array([float(real == 0)])
    if at_least(synthetic_rows, 0, "synthetic rows") and k:
        q = p[:k] / p[:k].sum()
        # (1 - q)^T at q = 1, an alphabet of one, is 0
        unseen[:k] *= np.exp(synthetic_rows * np.log1p(-np.minimum(q, 1 - 1e-16)))
    return TailError(float(unseen.sum()), missing_mass(beta, symbols))


def _count(value: float, least: int, name: str) -> int:
    if not (value >= least and np.isfinite(value) and int(value) == value):
        raise SpecError(f"{name} is {value}; it must be a whole number of at least {least}")
    return int(value)
