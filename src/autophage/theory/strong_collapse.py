"""Strong model collapse: a fixed share of synthetic labels puts a floor under the error that no amount of data removes.

One ridge fit of n = n1 + n2 pooled rows, x ~ N(0, Sigma): n1 with labels of the truth w1 (noise sigma_1), n2 with labels of
w2 = w1 + delta (noise sigma_2), judged on real data. delta is random with mean zero and covariance diag(Delta) in the eigenbasis
of Sigma; p1 = n1/n, p2 = n2/n. Source: Dohmatob, Feng, Subramonian & Kempe (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive, unit_interval
from autophage.theory.regression_chain import kappa
from autophage.theory.regression_spectra import directions


@dataclass(frozen=True)
class Part:
    """One part of a pooled training set."""

    rows: float
    """n1 or n2; zero where there are none."""
    noise: float = 0.0
    """The standard deviation of the noise on its labels."""

    def __post_init__(self) -> None:
        at_least(self.rows, 0, "a part's number of rows")
        at_least(self.noise, 0, "a part's noise")


class MixedError(NamedTuple):
    """The parts of a pooled fit's error."""

    bias: float
    """B: what the penalty, or too few rows, keep from being learned."""
    variance: float
    """V: from the labels' noise."""
    synthetic: float
    """zeta: because the synthetic labels come from other weights. Zero without synthetic rows."""

    @property
    def total(self) -> float:
        """B + V + zeta."""
        return self.bias + self.variance + self.synthetic


class Mixture(NamedTuple):
    """A spectrum with the truth and the expected squared gap along each direction, (d,) each."""

    eigenvalues: np.ndarray
    signal: np.ndarray
    gap: np.ndarray


def mixture(spectrum: Any, signal: Any, gap: Any) -> Mixture:
    """Checked arrays (d,), a single number being spread over all directions; zero eigenvalues are dropped with a warning.
    Raises `SpecError` for a negative gap."""
    s, w1 = directions(spectrum, signal)
    if len(s) != np.size(spectrum) and np.ndim(gap):
        gap = np.asarray(gap, dtype=np.float64)[np.asarray(spectrum, dtype=np.float64) > 0]
    gaps = directions(s, gap).signal
    if (gaps < 0).any():
        raise SpecError(
            "the gap holds expected squares of the synthetic weights' error; none may be below zero"
        )
    return Mixture(s, w1, gaps)


def mixed_error(
    spectrum: Any, signal: Any, gap: Any, real: Part, synthetic: Part, ridge: float = 0.0
) -> MixedError:
    """The error of one ridge fit of real and synthetic rows together, E = B + V + zeta with u = (df2/n)/(1 - df2/n):

        B    = kappa^2 sum_j w1_j^2 s_j/(s_j+kappa)^2 / (1 - df2/n)
        V    = (p1 sigma_1^2 + p2 sigma_2^2) u
        zeta = p2^2 (1 + p1 u) sum_j Delta_j s_j^3/(s_j+kappa)^2
               + p2 u sum_j Delta_j s_j (p1 s_j + kappa)^2/(s_j+kappa)^2,       kappa at n rows.

    spectrum, signal (d,): s_j and w1_j; gap (d,) or one number: Delta_j. Without synthetic rows zeta is zero, without real ones
    it tends to trace(Delta Sigma). Raises `SpecError` for a negative gap, without any rows, and at the interpolation threshold.
    Status: asymptotic. Source: form of Dohmatob et al. (2024, strong model collapse); zeta confirmed by simulation.

    >>> found = mixed_error([1.0] * 50, [50**-0.5] * 50, 1 / 50, Part(150, 0.5), Part(50, 0.5))
    >>> round(found.total, 5), round(found.synthetic, 3)
    (0.20833, 0.125)
    """
    s, w1, gaps = mixture(spectrum, signal, gap)
    n = positive(real.rows + synthetic.rows, "the number of rows")
    p1, p2 = real.rows / n, synthetic.rows / n
    k = kappa(s, n, ridge)
    G = 1 / (s + k)
    taken = float((s * G) @ (s * G)) / n
    u = taken / (1 - taken)
    bias = k**2 * float(s @ (w1 * G) ** 2) / (1 - taken)
    variance = (p1 * real.noise**2 + p2 * synthetic.noise**2) * u
    own = p2**2 * (1 + p1 * u) * float(gaps @ (s * (s * G) ** 2))
    mixed = p2 * u * float(gaps @ (s * ((p1 * s + k) * G) ** 2))
    return MixedError(bias, variance, own + mixed)


def isotropic_mixed_error(dim: int, gap_total: float, real: Part, synthetic: Part) -> MixedError:
    """Sigma = I, least squares, phi = d/n < 1, c2 = trace(Delta):

        E = (p1 sigma_1^2 + p2 sigma_2^2) phi/(1-phi) + c2 ( p2^2 + p1 p2 phi/(1-phi) ).

    Raises `SpecError` unless there are more rows than dimensions. Status: asymptotic. Source: Dohmatob et al. (2024, strong model
    collapse).

    >>> round(isotropic_mixed_error(50, 1.0, Part(1000, 0.5), Part(1000, 0.5)).total, 5)
    0.26282
    """
    positive(dim, "the dimension")
    at_least(gap_total, 0, "the total gap")
    n = real.rows + synthetic.rows
    if not n > dim + 1:
        raise SpecError(f"least squares in {dim} dimensions needs at least {dim + 2} rows; got {n:g}")
    p1, p2 = real.rows / n, synthetic.rows / n
    u = dim / (n - dim)
    variance = (p1 * real.noise**2 + p2 * synthetic.noise**2) * u
    return MixedError(0.0, variance, gap_total * (p2**2 + p1 * p2 * u))


def floor(spectrum: Any, gap: Any, synthetic_share: float) -> float:
    """p2^2 trace(Delta Sigma): where the error stays as the rows grow at a fixed synthetic share p2 and the penalty vanishes.
    Only a share that vanishes too brings the error to zero. Status: asymptotic. Source: Dohmatob et al. (2024, strong model
    collapse).

    >>> [round(floor([1.0] * 50, 1 / 50, share), 12) for share in (0.5, 0.001)]
    [0.25, 1e-06]
    """
    s, _, gaps = mixture(spectrum, 0.0, gap)
    return unit_interval(synthetic_share, "the synthetic share") ** 2 * float(s @ gaps)
