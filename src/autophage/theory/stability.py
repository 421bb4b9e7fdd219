"""Local stability of iterative retraining on a fixed real set plus own samples (Bertrand et al. 2024).

lambda: synthetic records per real record. eps: Wasserstein-1 distance between the best model and the data. L:
Lipschitz constant, in the record, of the Hessian of the log density near the best model. alpha: curvature of
the likelihood there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive

LARGEST_PROVABLE_RATIO = 0.5
"""lambda_max = 1 / (2 (1 + L eps/alpha)) is at most 1/2 (reached at eps = 0): one third synthetic.
Sufficient, local, not necessary. Status: bound. Source: Bertrand et al. (2024, theorem 1)."""


@dataclass(frozen=True)
class Stability:
    """What the theorems say about one loop. A rate is None where its condition fails: no guarantee, not
    instability."""

    ratio: float
    """lambda."""
    condition: float
    """lambda (1 + L eps/alpha); theorem 1 asks for less than 1/2."""
    guarantee: bool
    """Theorem 1 holds."""
    rate: float | None
    """rho = lambda (alpha + eps L) / (alpha - lambda (alpha + eps L)), the factor per generation; in [0,
    1)."""
    largest_ratio: float
    """lambda_max of theorem 1."""
    sharper_guarantee: bool
    """L eps < alpha and lambda < alpha / (2 L eps)."""
    sharper_rate: float | None
    """lambda (alpha + eps L) / (alpha + lambda (alpha - eps L))."""
    sharper_largest_ratio: float
    """alpha / (2 L eps): inf at eps = 0, 0 where L eps >= alpha."""


def stability(ratio: float, eps: float, lipschitz: float, curvature: float) -> Stability:
    """Theorem 1's condition and factor, and the sharper ones.

    Raises `SpecError` for ratio < 0, eps < 0, lipschitz <= 0, curvature <= 0 or NaN. Status: bound
    (sufficient conditions near the optimum). Sources: Bertrand et al. (2024, theorem 1); Ferbach et al.
    (2024, theorem 2.2) for the sharper ones.

    >>> found = stability(0.3, 0.1, 2.0, 1.0)
    >>> found.guarantee, round(found.rate, 4), round(found.largest_ratio, 7)
    (True, 0.5625, 0.4166667)
    >>> stability(1.0, 0.1, 2.0, 1.0).rate is None
    True
    """
    at_least(ratio, 0, "the synthetic ratio")
    at_least(eps, 0, "eps")
    positive(lipschitz, "the Lipschitz constant")
    positive(curvature, "the curvature")
    push = curvature + eps * lipschitz
    condition = ratio * push / curvature
    holds = condition < 0.5
    drag = eps * lipschitz
    sharper_limit = 0.0 if drag >= curvature else (float("inf") if drag == 0 else curvature / (2 * drag))
    sharper = ratio < sharper_limit
    return Stability(
        ratio=ratio,
        condition=condition,
        guarantee=holds,
        rate=ratio * push / (curvature - ratio * push) if holds else None,
        largest_ratio=curvature / (2 * push),
        sharper_guarantee=sharper,
        sharper_rate=ratio * push / (curvature + ratio * (curvature - drag)) if sharper else None,
        sharper_largest_ratio=sharper_limit,
    )


def parameter_error_bound(
    found: Stability,
    generations: int,
    *,
    start: float,
    n: float,
    delta: float = 0.05,
    a: float = 1.0,
    b: float = 2.0,
    optimisation: float = 0.0,
) -> np.ndarray:
    """Upper bound on ||theta_t - theta*||, shape (G,), with high probability:

        (eps_opt + (a/sqrt n) sqrt(log(b/delta))) sum_{i=0}^{t} rho^i + rho^t ||theta_0 - theta*||.

    start: ||theta_0 - theta*||; n: real records; a, b: constants of the estimator's concentration;
    optimisation: eps_opt. Without theorem 1's guarantee the bound is infinite. Status: bound (upper). Source:
    Bertrand et al. (2024, theorem 2).

    >>> found = stability(0.3, 0.1, 2.0, 1.0)
    >>> parameter_error_bound(found, 51, start=0.5, n=1000, optimisation=0.001)[[5, 50]].round(6).tolist()
    [0.164798, 0.141111]
    """
    at_least(start, 0, "the distance of the start")
    at_least(optimisation, 0, "the optimisation error")
    positive(n, "n")
    positive(a, "a")
    if not 0 < delta < min(b, 1):
        raise SpecError(f"delta is {delta}; it must lie between 0 and 1, and below b")
    if found.rate is None:
        return np.full(generations, np.inf)
    powers = found.rate ** np.arange(generations)
    error = optimisation + a / np.sqrt(n) * np.sqrt(np.log(b / delta))
    return error * np.cumsum(powers) + powers * start


def jacobian(hessian: np.ndarray, fisher: np.ndarray, ratio: float) -> np.ndarray:
    """J = (-A + lambda F)^{-1} lambda F, the derivative of the retraining map at its fixed point theta*.

    hessian (p, p): A, the real-data mean of the Hessian of log p_theta* (negative definite); fisher (p, p):
    F, the Fisher information of p_theta*. Status: exact. Source: Bertrand et al. (2024); well specified (A =
    -F): lambda/(1+lambda) I.
    """
    A, F = np.asarray(hessian, dtype=np.float64), np.asarray(fisher, dtype=np.float64)
    at_least(ratio, 0, "the synthetic ratio")
    if A.ndim != 2 or A.shape != F.shape or A.shape[0] != A.shape[1]:
        raise SpecError(f"hessian and fisher must be square and of one shape, got {A.shape} and {F.shape}")
    if np.linalg.eigvalsh((A + A.T) / 2).max() >= 0:
        raise SpecError("the mean Hessian must be negative definite: theta* is a maximum of the likelihood")
    return np.linalg.solve(-A + ratio * F, ratio * F)


def contraction(hessian: np.ndarray, fisher: np.ndarray, ratio: float) -> float:
    """Spectral radius of `jacobian`: errors near theta* shrink by this factor per generation when it is below
    1, and the loop is locally unstable above. Status: exact (local, infinite data). Source: Bertrand et al.
    (2024)."""
    return float(np.abs(np.linalg.eigvals(jacobian(hessian, fisher, ratio))).max())
