"""How the error of ridge regression on power-law inputs scales, on real labels and on those of a chain of generators.

Capacity beta and source r as in `regression_spectra.power_law`, r_ = min(r, 1) (ridge cannot use more), penalty lambda = T^-l.
Everything here is about exponents: values hold up to constants. Values with constants: `regression_chain`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive
from autophage.theory.regression_spectra import check_exponents


def critical_exponent(capacity: float, source: float) -> float:
    """l_crit = beta/(2 beta r_ + 1): the penalty T^-l_crit is best on real labels. Status: asymptotic. Source: Caponnetto &
    de Vito (2007); Cui et al. (2022).

    >>> round(critical_exponent(1.5, 0.375), 5)
    0.70588
    """
    check_exponents(capacity, source)
    return capacity / (2 * capacity * min(source, 1.0) + 1)


def clean_exponent(capacity: float, source: float) -> float:
    """c = 2 beta r_/(2 beta r_ + 1): the error on real labels falls like T^-c at the best penalty. Status: asymptotic. Source:
    Caponnetto & de Vito (2007).

    >>> round(clean_exponent(1.5, 0.375), 4)
    0.5294
    """
    check_exponents(capacity, source)
    power = 2 * capacity * min(source, 1.0)
    return power / (power + 1)


class Law(NamedTuple):
    """The two parts of the error, up to constants."""

    clean: np.ndarray
    """On real labels."""
    synthetic: np.ndarray
    """What the generators add."""


def law(
    rows: Any,
    ridge_exponent: float,
    *,
    capacity: float,
    source: float,
    noise: float,
    generators: float = 0,
    generator_noise: float = 0.0,
    generator_rows: float = np.inf,
    dim: float = 0,
) -> Law:
    """E ~ max(sigma^2, T^{1 - 2 r_ l - l/beta}) T^{-(1 - l/beta)}
           + n sigma_0^2/(1 - phi_0) max(T/T_0, phi_0) T^{-(1 - l/beta)},    phi_0 = d/T_0,

    for rows T of any shape and least squares generators of T_0 > d rows. Status: asymptotic, up to constants. Source: Dohmatob,
    Feng & Kempe (2024), theorem on power laws (recalled; exponents derived).

    >>> found = law([1e4, 1e5], 0.70588, capacity=1.5, source=0.375, noise=0.5)
    >>> round(float(np.log10(found.clean[1] / found.clean[0])), 4)
    -0.5294
    """
    check_exponents(capacity, source)
    at_least(ridge_exponent, 0, "the ridge's exponent")
    T = np.asarray(rows, dtype=np.float64)
    if not (T >= 1).all():
        raise SpecError("rows must be at least 1")
    phi = dim / generator_rows
    if not 0 <= phi < 1:
        raise SpecError(
            f"generators of {generator_rows:g} rows in {dim:g} dimensions: least squares needs more rows"
        )
    fall = T ** -(1 - ridge_exponent / capacity)
    bias = T ** (1 - 2 * min(source, 1.0) * ridge_exponent - ridge_exponent / capacity)
    clean = np.maximum(at_least(noise, 0, "the noise") ** 2, bias) * fall
    load = at_least(generators, 0, "the number of generators") * generator_noise**2 / (1 - phi)
    return Law(clean, load * np.maximum(T / generator_rows, phi) * fall)


def turning_rows(
    *,
    capacity: float,
    source: float,
    noise: float,
    generators: float,
    generator_noise: float,
    generator_rows: float,
    dim: float,
) -> float:
    """Rows T beyond which more synthetic rows make the error worse when the penalty stays T^-l_crit: where `law` turns,

        T = max(d, 2 beta r_ max(sigma^2, 1) (T_0 - d)/(n sigma_0^2)),

    the signal being of order one. Infinite without generators. Status: asymptotic, up to a constant. Source: crossover of
    Dohmatob, Feng & Kempe (2024); this form derived for autophage.

    >>> turning_rows(capacity=1.5, source=0.375, noise=0.5, generators=5, generator_noise=0.5, generator_rows=600, dim=300)
    300.0
    """
    check_exponents(capacity, source)
    if not generator_rows > dim:
        raise SpecError(
            f"generators of {generator_rows:g} rows in {dim:g} dimensions: least squares needs more rows"
        )
    load = at_least(generators, 0, "the number of generators") * generator_noise**2
    if not load:
        return float(np.inf)
    power = 2 * capacity * min(source, 1.0)
    return float(max(dim, power * max(noise**2, 1.0) * (generator_rows - dim) / load))


class Adaptive(NamedTuple):
    """The rule for a chain that grows with the data."""

    ridge: float
    """l*: the best penalty is T^-l*."""
    error: float
    """The error falls like T^-error."""


def adaptive_exponents(capacity: float, source: float, chain: float, excess: float) -> Adaptive:
    """Best penalty and rate when n = T^a generators (a = `chain`) have T_0 = d + T^b rows (b = `excess`):

        l* = (b - a) l_crit, not above beta;   E ~ T^{-(b-a) c}.

    The generators' data count for T^{b-a} rows: b - a is cut to [0, 1], since more than T rows' worth does not help and
    generators that lose faster than they learn leave nothing that falls. Regularise more than on real labels. Status:
    asymptotic. Source: Dohmatob, Feng & Kempe (2024).

    >>> [round(x, 3) for x in adaptive_exponents(1.5, 0.375, 0.2, 0.8)]
    [0.424, 0.318]
    """
    at_least(chain, 0, "the exponent of the number of generators")
    positive(excess, "the exponent of the generators' rows")
    worth = min(max(excess - chain, 0.0), 1.0)
    ridge = min(worth * critical_exponent(capacity, source), capacity)
    return Adaptive(ridge, worth * clean_exponent(capacity, source))
