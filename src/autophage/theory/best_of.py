"""The best of k samples, and loops that are trained on nothing else (Shimabucoro et al. 2024; closed forms derived).

Of k independent standard normal scores the largest has the density k phi(x) Phi(x)^(k-1), mean m_k and variance v_k. A normal law
refitted to the best of k moves from N(mu, s^2) to N(mu + m_k s, v_k s^2): after t rounds

    s_t = v_k^(t/2) s_0,    mu_t = mu_0 + m_k s_0 (1 - v_k^(t/2)) / (1 - v_k^(1/2)),

so that selection without fresh variance is itself a collapse: the score stops at mu_0 + m_k s_0 / (1 - v_k^(1/2)).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_ndtr

from autophage.theory.arguments import at_least, probabilities, whole

NODES = 4000
"""Of the trapezium rule, whose error for a smooth density that vanishes at both ends is beneath rounding."""


class Moments(NamedTuple):
    """Of the largest score."""

    mean: float
    variance: float


@cache
def best_of(choices: int) -> Moments:
    """m_k and v_k. Status: exact (quadrature, up to rounding). Source: order statistics of the normal law.

    >>> [round(x, 4) for x in best_of(10)], [round(x, 4) for x in best_of(1)]
    ([1.5388, 0.3443], [0.0, 1.0])
    """
    k = whole(choices, 1, "choices")
    if k == 1:
        return Moments(0.0, 1.0)
    x = np.linspace(-40, 40, NODES)
    # In logarithms: for many choices Phi^(k-1) is nothing over most of the line.
    density = np.exp(np.log(k) - x**2 / 2 - np.log(2 * np.pi) / 2 + (k - 1) * log_ndtr(x)) * (x[1] - x[0])
    mean = float(density @ x)
    return Moments(mean, float(density @ (x - mean) ** 2))


class Course(NamedTuple):
    """Of the score, generation by generation."""

    mean: np.ndarray
    """(G,)."""
    deviation: np.ndarray
    """(G,) standard deviations."""


def refitted(choices: int, generations: int, *, mean: float = 0.0, deviation: float = 1.0) -> Course:
    """Means and standard deviations of a normal law refitted to the best of k of its own samples, generation 0 being
    N(mean, deviation^2). Status: exact for infinite samples. Source: derived for autophage.

    >>> refitted(10, 4).mean.round(3).tolist(), refitted(10, 4).deviation.round(3).tolist()
    ([0.0, 1.539, 2.442, 2.972], [1.0, 0.587, 0.344, 0.202])
    """
    m, v = best_of(choices)
    t = np.arange(whole(generations, 1, "generations"))
    ratio = np.sqrt(v)
    steps = t if ratio == 1 else (1 - ratio**t) / (1 - ratio)
    s = at_least(deviation, 0, "deviation")
    return Course(mean + m * s * steps, s * ratio**t)


def limit(choices: int, *, mean: float = 0.0, deviation: float = 1.0) -> float:
    """Where the mean score of `refitted` ends: mean + m_k deviation / (1 - v_k^(1/2)). Status: exact for infinite samples. Source:
    derived for autophage.

    >>> round(limit(10), 3), limit(1)
    (3.724, 0.0)
    """
    m, v = best_of(choices)
    return mean if m == 0 else mean + m * at_least(deviation, 0, "deviation") / (1 - v**0.5)


def best_of_symbols(p: Any, choices: int) -> np.ndarray:
    """The law (S,) of the best of k outcomes whose scores rise with their place: F(x)^k - F(x-)^k. Status: exact. Source: derived
    for autophage.

    >>> best_of_symbols([0.5, 0.3, 0.2], 4).round(4).tolist()
    [0.0625, 0.3471, 0.5904]
    """
    below = np.concatenate([[0.0], np.cumsum(probabilities(p))])
    return np.diff(np.minimum(below, 1.0) ** whole(choices, 1, "choices"))
