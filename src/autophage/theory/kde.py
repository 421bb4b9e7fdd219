"""Kernel density loops of fixed bandwidth h: a smoother inflates, the opposite of refitting a Gaussian.

A kernel density emits records of variance V + h^2 per coordinate, where V is the variance of what it was
fitted to (ddof 0). The moments are those of `moments` with `added = d h^2`; here are the recursions of the
sheet, one coordinate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.theory.arguments import at_least
from autophage.theory.moments import Moments, Refit, pile, replace


def records_moments(
    sizes: Any, bandwidth: float, dim: int = 1, *, real: float = 1.0, accumulate: bool = False
) -> Moments:
    """V_t, M_t of the training records of generation t, summed over coordinates.

        replace:    V' = (V + h^2)(1 - 1/n),   M' = M + (V + h^2)/n
        accumulate: V' = [t n V + (n-1)(V+h^2) + t/(t+1) (V+h^2)] / ((t+1) n),   M' = M + (V+h^2)/(n (t+1)^2)

    sizes (G,), bandwidth h > 0 (0: a bootstrap), real: total real variance. The law itself has variance V_t +
    d h^2. V + M = 1 + t h^2 under replace, 1 + h^2 (1/2 + ... + 1/(t+1)) under accumulate (dim 1, t
    generations). Status: exact. Source: derived for autophage; setting of Kazdan et al. (2024) and Fu et al.
    (2024).

    >>> records_moments([50] * 40, 0.2).variance[-1].round(4).item()
    1.5143
    """
    at_least(bandwidth, 0, "the bandwidth")
    refit = Refit(real=real, added=dim * bandwidth**2)
    return pile(refit, sizes) if accumulate else replace(refit, sizes)


def variance_limit(n: float, bandwidth: float) -> float:
    """lim V_t = (n - 1) h^2 per coordinate under replace. Status: exact.

    >>> round(variance_limit(50, 0.3), 2)
    4.41
    """
    at_least(n, 1, "n")
    at_least(bandwidth, 0, "the bandwidth")
    return (n - 1) * float(np.square(bandwidth))
