"""The retraining map with infinite data: how fast a loop returns to the truth when the real law is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autophage.theory.arguments import at_least


def contraction_factor(ratio: float) -> float:
    """lambda / (1 + lambda), the share of synthetic records and the factor by which mean parameters approach
    the data's.

    Status: exact and global for a regular exponential family, well specified or not, and (locally) for any
    well-specified model; a conjecture for a misspecified model outside them. Source: derived for autophage;
    map of Bertrand et al. (2024).

    >>> contraction_factor(0.5).__round__(6)
    0.333333
    """
    at_least(ratio, 0, "the synthetic ratio")
    return ratio / (1 + ratio)


def mean_parameters(data: Any, start: Any, ratio: float, generations: int) -> np.ndarray:
    """eta_{t+1} = (eta_data + lambda eta_t) / (1 + lambda), shape (G,) + shape of start: the mean parameters
    of a regular exponential family, eta_0 = start. Status: exact (infinite data). Source: derived for
    autophage.

    A Poisson mean: from 7 to 3 with half as many synthetic as real records.

    >>> mean_parameters(3.0, 7.0, 0.5, 7)[-1].round(9).item()
    3.005486968
    """
    eta, first = np.asarray(data, dtype=np.float64), np.asarray(start, dtype=np.float64)
    t = np.arange(generations).reshape(-1, *(1,) * np.broadcast(eta, first).ndim)
    return eta + (first - eta) * contraction_factor(ratio) ** t


class GaussianCourse(NamedTuple):
    """mean (G, d) and covariance (G, d, d)."""

    mean: np.ndarray
    covariance: np.ndarray


def gaussian(
    mean: Any, covariance: Any, mean_0: Any, covariance_0: Any, ratio: float, generations: int
) -> GaussianCourse:
    """Mean and covariance of a Gaussian under the map, from N(mean_0, covariance_0) towards the data's
    moments.

    mean, mean_0 (d,); covariance, covariance_0 (d, d). With f = lambda/(1+lambda) the second moments E xx'
    are mean parameters: Sigma_t = Sigma + f^t (Sigma_0 - Sigma) + f^t (1 - f^t) (m_0 - m)(m_0 - m)'. Status:
    exact (infinite data). Source: derived for autophage.
    """
    m, m0 = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (mean, mean_0))
    S, S0 = (np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (covariance, covariance_0))
    f = (contraction_factor(ratio) ** np.arange(generations))[:, None, None]
    gap = m0 - m
    return GaussianCourse(m + f[:, 0] * gap, S + f * (S0 - S) + f * (1 - f) * np.outer(gap, gap))
