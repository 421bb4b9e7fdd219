"""Squared Gaussian 2-Wasserstein distance of a fitted Gaussian to the truth, in expectation.

W2^2 = ||m - m'||^2 + tr(S + S' - 2 (S^{1/2} S' S^{1/2})^{1/2}) is not a polynomial of the fit, so that an
exact course needs E sd; with correlated coordinates only bounds and expansions are left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.moments import Moments


def from_marginals(moments: Moments, mean_sd: Any, deviations: Any, given: Any = None) -> np.ndarray:
    """E sum over coordinates of W2^2 between the marginals, shape (G,):

        M_t + V_t + sum_i s_i^2 - 2 sum_i s_i E sd_{t,i},    E sd_{t,i} = mean_sd_t g_i,

    deviations (d,): the true s_i; given (d,): the g_i that `mean_sd` (G,) is relative to (default s_i).
    Status: exact for one dimension and for diagonal fits of a diagonal truth; else a lower bound, since W2^2
    of a law is at least the sum over its coordinates. Source: derived for autophage; for replace, Shumailov
    et al. (2024, supplement).
    """
    s = np.atleast_1d(np.asarray(deviations, dtype=np.float64))
    g = s if given is None else np.atleast_1d(np.asarray(given, dtype=np.float64))
    return moments.squared_error + moments.variance + (s**2).sum() - 2 * np.asarray(mean_sd) * (s @ g)


def first_order(inflation: Any, eigenvalues: Any, *, diagonal: bool = False) -> np.ndarray:
    """E W2^2 to first order in 1/n, shape (G,), for an unbiased loop that starts from the truth:

        K_t { sum_i s_i + (1/2) sum_i s_i + (1/2) sum_{i != j} s_i s_j / (s_i + s_j) },

    the last sum missing for a diagonal fit. inflation (G,): K_t, the linear predictor's variance (`linear`),
    n times which is 1 at generation 0. eigenvalues (d,): s_i of the true covariance. Status: asymptotic (n to
    infinity at fixed t and d). Source: Shumailov et al. (2024, supplement eq. 6) for d = 1; Bures metric,
    derived for autophage.

    >>> first_order([0.01], [1.0, 1.0]).tolist()
    [0.035]
    """
    s = np.atleast_1d(np.asarray(eigenvalues, dtype=np.float64))
    if not (s > 0).all():
        raise SpecError("the eigenvalues of the true covariance must be above zero")
    weight = 1.5 * s.sum()
    if not diagonal:
        pairs = s[:, None] * s / (s[:, None] + s)
        weight += 0.5 * (pairs.sum() - np.trace(pairs))
    return np.asarray(inflation, dtype=np.float64) * weight
