"""Means refitted to everything so far (accumulate): exact squared errors in one-parameter families, n records
a generation.

All are M_{t} = M_{t-1} + E Var(x | theta_{t-1}) / (n (t+1)^2) with the family's own variance function.
"""

from __future__ import annotations

import numpy as np

from autophage.theory.arguments import at_least, unit_interval


def _squares(n: float, generations: int) -> np.ndarray:
    return at_least(n, 1, "n") * np.arange(1, generations + 1) ** 2.0


def exponential_error(n: float, generations: int, mean: float = 1.0) -> np.ndarray:
    """E(theta_t - theta)^2 = theta^2 [prod_{k<=t+1} (1 + 1/(n k^2)) - 1], shape (G,). Status: exact. Source:
    derived for autophage (setting of Barzilai & Shamir 2025).

    >>> exponential_error(40, 50)[-1].round(5).item()
    0.04112
    """
    return mean**2 * (np.cumprod(1 + 1 / _squares(n, generations)) - 1)


def poisson_error(n: float, generations: int, mean: float = 1.0) -> np.ndarray:
    """E(lambda_t - lambda)^2 = lambda sum_{k<=t+1} 1/(n k^2), shape (G,). Status: exact. Source: as
    `exponential_error`.

    >>> poisson_error(40, 50)[-1].round(6).item()
    0.040628
    """
    return at_least(mean, 0, "the Poisson mean") * np.cumsum(1 / _squares(n, generations))


def bernoulli_error(n: float, generations: int, p: float) -> np.ndarray:
    """E(p_t - p)^2 = p(1-p) [1 - prod_{k<=t+1} (1 - 1/(n k^2))], shape (G,); of one symbol of a categorical
    model too. Status: exact. Source: as `exponential_error`; Marchi et al. (2024).

    >>> bernoulli_error(40, 50, 0.3)[-1].round(7).item()
    0.0084302
    """
    unit_interval(p, "p")
    return p * (1 - p) * (1 - np.cumprod(1 - 1 / _squares(n, generations)))
