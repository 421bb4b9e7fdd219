"""Recursive stability: how far one record of the first real set still moves the model of generation i (Fu et al.).

The loop trains generation 0 on n real records and every later one on n records of which a share a is real (the
same ones, the altered record among them) and the rest comes from the newest model. The generalisation bound of
the paper adds a statistical term, the accumulated shift of the training law, and this stability; a constant
real share keeps the last two bounded. Measured on coupled runs: `autophage.studies.coupled`.
"""

from __future__ import annotations

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, unit_interval


def _grown(first: float, real_share: float, terms: np.ndarray) -> np.ndarray:
    """first (1 - (1-a)^terms) / a, and its limit first x terms at a = 0."""
    a = unit_interval(real_share, "the real share")
    if a == 0:
        return first * terms
    if a == 1:
        return first * np.minimum(terms, 1.0)
    grown: np.ndarray = -first * np.expm1(terms * np.log1p(-a)) / a
    return grown


def accumulated_shift(real_share: float, step_error: float, generations: int) -> np.ndarray:
    """d_i <= d (1 - (1-a)^i) / a -> d / a, shape (G,), d_0 = 0: total variation between the law that trains
    generation i and the real one, where each training step adds `step_error` d. Not capped at 1.

    Status: bound (upper). Source: Fu et al. (2025); recursion d_{i+1} = (1-a) d_i + d derived for autophage.

    >>> accumulated_shift(0.2, 0.01, 11)[-1].round(7).item()
    0.0446313
    """
    if generations < 1:
        raise SpecError(f"generations is {generations}; it must be at least 1")
    d = at_least(step_error, 0, "the step error")
    return _grown(d, real_share, np.arange(generations, dtype=np.float64))


def index_course(n: float, real_share: float, generations: int) -> np.ndarray:
    """x_0 = 1/n, x_{i+1} = 1/n + (1-a) x_i, shape (G,): how far the fitted mean of generation i moves per unit
    by which one record is moved, the record staying in the real part.

    Status: exact for a mean under coupled sampling (Gaussian of known or fitted variance), and for the expected
    total variation of frequencies whose altered record went to a neighbouring symbol. Source: Fu et al. (2025)
    define the index; this course is derived for autophage.

    >>> index_course(100, 0.2, 11)[[0, 1, 10]].round(6).tolist()
    [0.01, 0.018, 0.045705]
    """
    if generations < 1:
        raise SpecError(f"generations is {generations}; it must be at least 1")
    return _grown(1 / at_least(n, 1, "n"), real_share, np.arange(1.0, generations + 1))


def limit(first: float, real_share: float) -> float:
    """first / a: what `index_course` (first = 1/n) and `accumulated_shift` (first = d) tend to; infinite
    without real data. Status: exact. Source: derived for autophage.

    >>> round(limit(1 / 100, 0.2), 9)
    0.05
    """
    at_least(first, 0, "the first step")
    a = unit_interval(real_share, "the real share")
    return float("inf") if a == 0 and first > 0 else first / (a or 1.0)
