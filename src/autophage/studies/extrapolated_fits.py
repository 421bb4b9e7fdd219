"""Gaussian fits that are moved away from fits to their own samples, simulated: what `theory.extrapolation` says exactly.

Notation: as there. These are no loops of fit and sample of one learner: what is sampled is the law that SIMS would draw.
"""

from __future__ import annotations

import numpy as np

from autophage.data.arguments import whole_number
from autophage.keys import Key
from autophage.theory.extrapolation import variance


def log_variances(
    samples: int, generations: int, omega: float, replicates: int = 1000, seed: int = 0
) -> np.ndarray:
    """ln V (R,) after `generations` rounds from V = 1, each: a maximum-likelihood fit v_r to n samples of N(0, V), one v_s to n of
    N(0, v_r), and then the law that is drawn with the score (1 + omega) s_r - omega s_s. Raises `SpecError` below 2 samples.

    >>> log_variances(100, 0, 1.0, 3).tolist()
    [0.0, 0.0, 0.0]
    """
    whole_number(samples, "samples", least=2)
    found = np.ones(replicates)
    for t in range(generations):
        drawn = (Key(seed) / "extrapolated" / t).generator().chisquare(samples - 1, size=(replicates, 2))
        base = found * drawn[:, 0] / samples
        auxiliary = base * drawn[:, 1] / samples
        found = variance(base, auxiliary, omega)
    return np.log(found)


def mean_of_log_variance(
    samples: int, generations: int, omega: float, replicates: int = 1000, seed: int = 0
) -> float:
    """The mean of `log_variances`."""
    return float(log_variances(samples, generations, omega, replicates, seed).mean())


def variance_of_log_variance(
    samples: int, generations: int, omega: float, replicates: int = 1000, seed: int = 0
) -> float:
    """The variance of `log_variances`."""
    return float(log_variances(samples, generations, omega, replicates, seed).var())


def wishart_fits(
    dim: int, samples: int, replicates: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum-likelihood means (R, D) and covariances (R, D, D) of n records of N(0, I): N(0, I/n), and W_D(n - 1, I) / n by
    Bartlett's decomposition."""
    whole_number(samples, "samples", least=dim + 1)
    rng = (Key(seed) / "wishart").generator()
    mean = rng.standard_normal((replicates, dim)) / samples**0.5
    root = np.tril(rng.standard_normal((replicates, dim, dim)), -1)
    root[:, range(dim), range(dim)] = np.sqrt(
        rng.chisquare(samples - 1 - np.arange(dim), size=(replicates, dim))
    )
    return mean, root @ root.transpose(0, 2, 1) / samples


def mean_excess_loss(dim: int, samples: int, length: float, replicates: int = 1000, seed: int = 0) -> float:
    """The mean excess loss (nats) of fits moved to S + a S^-1, a = `length`."""
    from autophage.theory.extrapolation import excess_loss, stretched

    mean, cov = wishart_fits(dim, samples, replicates, seed)
    return float(excess_loss(mean, stretched(cov, length)).mean())
