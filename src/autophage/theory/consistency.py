"""When iterated maximum likelihood on a growing pile stays consistent, and when it breaks at once (Barzilai & Shamir).

Regular families (sub-Gaussian score, bounded second and third derivatives, Fisher information bounded below)
keep an error of the order 1/sqrt(n) through T generations, given enough records. Without smoothness a first
fit within log(n)/n of the truth does not help: the second fit may be far off with constant probability. The
family that shows it is simulated in `autophage.studies.spike_family`; exact errors of smooth one-parameter
families are in `iterative_mle`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least


def sufficient_size(generations: int, dim: int, failure: float, c: float = 1.0) -> float:
    """n >= c (log T + 1)^2 log^2(7 d T / delta): records a generation with which, with probability 1 - delta,
    all T fits of a regular family have an error of the order 1/sqrt(n).

    The constant c depends on the family and is not known in numbers: the growth with T is the statement.
    Status: bound (sufficient). Source: Barzilai & Shamir (2025).

    >>> round(sufficient_size(100, 1, 0.05) / sufficient_size(10, 1, 0.05), 4)
    5.0027
    """
    T, d = at_least(float(generations), 1, "generations"), at_least(dim, 1, "dim")
    if not 0 < failure < 1:
        raise SpecError(f"failure is {failure}; it must lie strictly between 0 and 1")
    if not (c > 0 and np.isfinite(c)):
        raise SpecError(f"c is {c}; it must be a finite number above zero")
    return float(c * (np.log(T) + 1) ** 2 * np.log(7 * d * T / failure) ** 2)


def spike_distance(a: float) -> float:
    """a (2 - a): total variation between the member a of the spike family and the uniform law, its member 0.
    Status: exact. Source: derived for autophage.

    >>> spike_distance(0.125)
    0.234375
    """
    if not 0 <= a <= 0.25:
        raise SpecError(f"a is {a}; it must lie in [0, 1/4]")
    return a * (2 - a)


def spike_first_fit(n: int) -> float:
    """1 / (2 (n + 1)): mean of the first fit a_1 = (1 - max x) / 2 of n uniform records; 2 n a_1 tends to
    Exp(1). Status: exact, but for the rare samples in which giving up the largest record pays. Source: derived
    for autophage; family after Barzilai & Shamir (2025).

    >>> round(spike_first_fit(199), 6)
    0.0025
    """
    return 1 / (2 * (at_least(n, 1, "n") + 1))


def spike_hit(n: float | None = None) -> float:
    """P(some record that the first fit generates lies in its spike) = E[1 - (1 - a_1/2)^n]; 1/5 as n grows
    (n = None). Status: exact given the law of `spike_first_fit`. Source: derived for autophage.

    >>> spike_hit(), round(spike_hit(200), 5)
    (0.2, 0.19952)
    """
    if n is None:
        return 0.2
    return _over_first_fits(lambda half: -np.expm1(n * np.log1p(-half)), n)


def spike_single(n: float | None = None) -> float:
    """P(exactly one of the first fit's n records lies in its spike); 4/25 as n grows (n = None). The second
    fit then jumps beyond a = 1/8. Status: exact given the law of `spike_first_fit`. Source: derived for
    autophage.

    >>> spike_single(), round(spike_single(200), 5)
    (0.16, 0.15997)
    """
    if n is None:
        return 0.16
    return _over_first_fits(lambda half: n * half * np.exp((n - 1) * np.log1p(-half)), n)


def _over_first_fits(chance: Callable[[np.ndarray], np.ndarray], n: float) -> float:
    """E chance(a_1 / 2), where 2 a_1 = 1 - u^(1/n) for a uniform u: by Gauss and Laguerre in -log u."""
    at_least(n, 1, "n")
    x, weight = np.polynomial.laguerre.laggauss(60)
    return float((weight * chance(-np.expm1(-x / n) / 4)).sum())
