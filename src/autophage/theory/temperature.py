"""Symbols sampled at a temperature and refitted, with infinite samples: heat death (Marchi et al. 2024).

A model p is sampled from soft(p) proportional to p^(1/tau). Without enough external data every tau other than
1 degenerates: below 1 to the most likely symbols, above 1 to the uniform law on the support. At tau = 1 the
population course stands still; what a finite sample adds there is `iterative_mle.bernoulli_error` (accumulate)
and `moments` (any workflow).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import probabilities, unit_interval

CLOSE = 1e-14
"""Change of an entry in one step below which a fixed point counts as reached,"""
LONGEST = 200_000
"""and the steps after which the search for it gives up."""


def checked_temperature(temperature: float) -> float:
    """The temperature. Raises `SpecError` unless it is finite and above zero; the limit zero is `argmax`."""
    if not (temperature > 0 and np.isfinite(temperature)):
        raise SpecError(
            f"the temperature is {temperature}; it must be a finite number above zero (always taking the most "
            "likely symbol, the limit at zero, is the function argmax)"
        )
    return float(temperature)


def soft(p: Any, temperature: float) -> np.ndarray:
    """p^(1/tau) normalised, shape (K,): the law a model p is sampled from. Status: exact by definition.

    >>> soft([0.5, 0.3, 0.2], 0.5).round(4).tolist()
    [0.6579, 0.2368, 0.1053]
    """
    return _soft(probabilities(p), 1 / checked_temperature(temperature))


def _soft(p: np.ndarray, power: float) -> np.ndarray:
    raised: np.ndarray = (p / p.max()) ** power  # relative to the largest, which cannot underflow
    return raised / raised.sum()


def argmax(p: Any) -> np.ndarray:
    """The limit of `soft` at temperature zero, shape (K,): uniform on the most likely symbols. Exact.

    >>> argmax([0.4, 0.4, 0.2]).tolist()
    [0.5, 0.5, 0.0]
    """
    law = probabilities(p)
    top = (law == law.max()).astype(float)
    return top / top.sum()


def replace(p: Any, temperature: float, generations: int) -> np.ndarray:
    """p_t proportional to p_0^(tau^-t), shape (G, K): every fit sees samples of the newest model only.
    Status: exact (infinite samples). Source: Marchi et al. (2024); closed form derived for autophage.

    >>> replace([0.5, 0.3, 0.15, 0.05], 0.9, 6)[-1].round(5).tolist()
    [0.63636, 0.26792, 0.08283, 0.01289]
    """
    law, tau = probabilities(p), checked_temperature(temperature)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        powers = np.minimum(tau ** -np.arange(generations, dtype=np.float64), 1e300)
        logs = np.log(law / law.max())
        # 0 x infinity and infinity x 0: the largest stays, the dead stay dead.
        raised = np.where(law > 0, np.exp(np.where(logs == 0, 0.0, logs * powers[:, None])), 0.0)
    return raised / raised.sum(axis=1, keepdims=True)


def accumulate(p: Any, temperature: float, generations: int) -> np.ndarray:
    """D_{t+1} = ((t+1) D_t + soft(D_t)) / (t+2), D_0 = p, shape (G, K): every fit sees the real batch and all
    samples so far, batches of one size. Status: exact (infinite samples). Source: Marchi et al. (2024);
    recursion derived for autophage.

    >>> accumulate([0.5, 0.3, 0.15, 0.05], 0.7, 20_000)[-1, 0].round(3).item()
    0.999
    """
    law, power = probabilities(p), 1 / checked_temperature(temperature)
    course = np.empty((generations, len(law)))
    for t in range(generations):
        course[t] = law
        law = law + (_soft(law, power) - law) / (t + 2)
    return course


def external(p: Any, temperature: float, real_share: float, generations: int) -> np.ndarray:
    """D_{t+1} = lambda p + (1-lambda) soft(D_t), D_0 = p, shape (G, K): a share lambda of every training set
    is external data of the law p. Status: exact (infinite samples). Source: Marchi et al. (2024); recursion
    derived for autophage."""
    p, power = probabilities(p), 1 / checked_temperature(temperature)
    share, law = unit_interval(real_share, "the external share"), p
    course = np.empty((generations, len(p)))
    for t in range(generations):
        course[t] = law
        law = share * p + (1 - share) * _soft(law, power)
    return course


def fixed_point(p: Any, temperature: float, real_share: float) -> np.ndarray:
    """The law `external` settles at when it starts from p, shape (K,). Below temperature 1 there may be
    others. Status: exact (infinite samples). Raises `SpecError` when it has not settled after `LONGEST`
    steps. Source: Marchi et al. (2024); values derived for autophage.

    >>> fixed_point([0.5, 0.3, 0.15, 0.05], 0.8, 0.5).round(5).tolist()
    [0.56305, 0.28176, 0.12063, 0.03457]
    """
    p, power = probabilities(p), 1 / checked_temperature(temperature)
    share, law = unit_interval(real_share, "the external share"), p
    for _ in range(LONGEST):
        after = share * p + (1 - share) * _soft(law, power)
        if np.abs(after - law).max() <= CLOSE:
            return after
        law = after
    raise SpecError(
        f"the loop at temperature {temperature:g} with an external share of {share:g} had not settled after {LONGEST} steps"
    )


def multiplier(temperature: float, real_share: float = 0.0) -> float:
    """(1 - lambda) / tau, by which one step multiplies a small deviation from the uniform law on the support.
    The uniform law attracts where it is below 1. Status: exact (linearised). Source: derived for autophage.

    >>> multiplier(0.8, 0.5)
    0.625
    """
    return (1 - unit_interval(real_share, "the external share")) / checked_temperature(temperature)


def enough_external(temperature: float) -> float:
    """max(0, 1 - tau): the external share above which deviations from a uniform law die out instead of
    growing. Status: exact (linearised, uniform p). Source: derived for autophage; existence of such a share:
    Marchi et al. (2024).

    >>> round(enough_external(0.8), 9), enough_external(1.2)
    (0.2, 0.0)
    """
    return max(0.0, 1 - checked_temperature(temperature))
