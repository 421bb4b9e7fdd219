"""Filters that pull the parameter back: what a contraction guarantees, and what it cannot (Han et al. 2025).

Notation: error e_{t+1} = A(e_t) e_t + xi_t, A = I - B, V = e'Pe, noise E[xi_t' P xi_t] <= sigma_t^2. With a dissipation
f (convex, f(0) = 0) below c(e) e'Pe, Jensen gives

    E V_{t+1} <= E V_t - f(E V_t) + sigma_t^2,

hence E V -> 0 where sigma_t -> 0, and limsup E V <= f^{-1}(sigma^2) where it does not: sigma^2/c for f(v) = c v.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.schedules import Power, Schedule, Values, at
from autophage.theory.arguments import at_least, positive

Dissipation = Callable[[float], float]


def rate_of_pull(pull: float) -> float:
    """c = 1 - (1 - b)^2 of a linear pull b. Raises `SpecError` outside (0, 2): |1 - b| >= 1 is not a contraction.
    Status: exact.

    >>> round(rate_of_pull(0.3), 12)
    0.51
    """
    if not 0 < pull < 2:
        raise SpecError(
            f"the pull b is {pull}; it must lie in (0, 2): with |1 - b| of 1 or more nothing contracts"
        )
    return 1 - (1 - pull) ** 2


def stationary_variance(pull: float, noise: float) -> float:
    """s^2/(b(2 - b)): the variance at which e' = (1 - b) e + xi settles, s^2 = `noise` the variance of xi.
    Status: exact. Source: derived (Han et al. 2025, linear case).

    >>> round(stationary_variance(0.3, 1 / 50), 6)
    0.039216
    """
    return at_least(noise, 0, "the noise") / rate_of_pull(pull)


def anchored_error(pull: float, noise: float, anchor_variance: float) -> float:
    """MSE at which a linear pull towards an estimated anchor settles: Var(a) + s^2/(b(2 - b)). Status: exact where the
    noise is independent of the anchor. Source: derived.

    >>> round(anchored_error(0.3, 1 / 50, 1 / 200), 6)
    0.044216
    """
    return at_least(anchor_variance, 0, "the anchor's variance") + stationary_variance(pull, noise)


def dissipation_bound(start: float, dissipation: float | Dissipation, noise: Any) -> np.ndarray:
    """The course of V_{t+1} = V_t - f(V_t) + sigma_t^2 from V_0 = `start`, shape (T + 1,), never below zero: above the
    true E V_t as long as v - f(v) does not fall.

    dissipation: c in (0, 1] for f(v) = c v, or f itself. noise (T,): sigma_t^2. Status: bound (upper). Source: Han et al.
    (2025, conditions N, C, F); form derived.
    """
    f = _dissipation(dissipation)
    course = [at_least(start, 0, "the first error")]
    for s2 in np.atleast_1d(np.asarray(noise, dtype=np.float64)):
        course.append(max(course[-1] - f(course[-1]), 0.0) + at_least(float(s2), 0, "the noise"))
    return np.array(course)


def settling_bound(dissipation: float | Dissipation, noise: float) -> float:
    """f^{-1}(sigma^2), which limsup E V cannot exceed under constant noise: sigma^2/c for f(v) = c v; infinite where f
    never reaches the noise. Status: bound (upper). Source: Han et al. (2025); derived.

    >>> settling_bound(0.5, 0.02), round(settling_bound(lambda v: v**2, 0.04), 9)
    (0.04, 0.2)
    """
    f = _dissipation(dissipation)
    if at_least(noise, 0, "the noise") == 0:
        return 0.0
    if not callable(dissipation):
        return noise / float(dissipation)
    from scipy.optimize import brentq

    high = 1.0
    while f(high) < noise:
        high *= 2
        if high > 1e12:
            return math.inf
    return float(brentq(lambda v: f(v) - noise, 0.0, high, xtol=1e-14))


def _dissipation(given: float | Dissipation) -> Dissipation:
    if callable(given):
        return given
    if not 0 < given <= 1:
        raise SpecError(f"the contraction rate c is {given}; it must lie in (0, 1]")
    return lambda v: given * v


class Lyapunov(NamedTuple):
    """What x'Px says of e' = A e + xi."""

    contraction: float
    """The largest c with A'PA <= (1 - c) P; zero or below: P does not show a contraction."""
    stationary: float
    """E e'Pe in the end, exactly; infinite where A has an eigenvalue of modulus 1 or more."""
    bound: float
    """tr(P Q)/c, infinite where c <= 0."""


def lyapunov(A: Any, P: Any, noise: Any) -> Lyapunov:
    """The contraction that P shows for a linear error map A, and where e'Pe settles.

    A, P (k, k); noise: the covariance Q (k, k) of xi, or a number for that multiple of I. Stationary covariance: S = A S A'
    + Q. Raises `SpecError` unless P is symmetric positive definite and Q symmetric without negative eigenvalues. Status:
    exact (`bound` is a bound). Source: Han et al. (2025, assumption 2.3); derived.

    >>> lyapunov([[0.8, 0.3], [0, 0.7]], np.diag([1, 4]), 0.01)._asdict()
    {'contraction': 0.28786..., 'stationary': 0.12358..., 'bound': 0.17369...}
    """
    A, P = _square(A, "A"), _square(P, "P")
    k = len(A)
    noise = np.asarray(noise, dtype=np.float64)
    Q = noise * np.eye(k) if noise.ndim == 0 else _square(noise, "the noise")
    if P.shape != A.shape or Q.shape != A.shape:
        raise SpecError(
            f"A is {k} x {k}, so P and the noise must be too; got {P.shape[0]} and {Q.shape[0]} rows"
        )
    if not np.allclose(P, P.T) or not np.linalg.eigvalsh(P).min() > 0:
        raise SpecError("P must be a symmetric positive definite matrix")
    if not np.allclose(Q, Q.T) or not np.linalg.eigvalsh(Q).min() >= -1e-12:
        raise SpecError("the noise must be a covariance matrix: symmetric, without negative eigenvalues")
    root = np.linalg.cholesky(P)
    inner = np.linalg.solve(root, np.linalg.solve(root, A.T @ P @ A).T)
    c = 1 - float(np.linalg.eigvalsh((inner + inner.T) / 2).max())
    stationary = math.inf
    if np.abs(np.linalg.eigvals(A)).max() < 1:
        from scipy.linalg import solve_discrete_lyapunov

        stationary = float(np.trace(P @ solve_discrete_lyapunov(A, Q)))
    return Lyapunov(c, stationary, float(np.trace(P @ Q)) / c if c > 0 else math.inf)


def _square(given: Any, name: str) -> np.ndarray:
    matrix = np.asarray(given, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise SpecError(f"{name} must be a square matrix of finite numbers, got shape {matrix.shape}")
    return matrix


@dataclass(frozen=True)
class Guarantee:
    """What a certified contraction promises under a schedule of sample sizes, and nothing more."""

    converges: bool
    """The error vanishes. Only where the noise does; otherwise it stays within `radius`."""
    radius: float
    """Root of the bound on limsup E V: 0 where it converges, infinite where nothing is promised."""
    statement: str
    """One sentence."""


def guarantee(
    contraction: float, variance: float, sizes: Schedule, anchor_variance: float = 0.0
) -> Guarantee:
    """The honest conclusion: "converges to 0" only if the schedule makes sigma_t^2 = variance/n_t vanish, otherwise "stays
    within sqrt(sigma^2/c)", with the last value of a list standing for all that follow.

    contraction: c, as certified. variance: of one filtered record (in the metric of P). anchor_variance: of an estimated
    anchor; what converges then converges to the anchor and not to the truth. Status: bound (upper). Source: Han et al.
    (2025, assumptions 2.1-2.5); derived.

    >>> guarantee(0.51, 1.0, 50).statement
    'stays within sqrt(sigma^2/c) = 0.198 of its anchor: with a constant sample size the noise does not vanish'
    """
    positive(variance, "the variance")
    at_least(anchor_variance, 0, "the anchor's variance")
    if not contraction <= 1:
        raise SpecError(f"the contraction rate c is {contraction}; it cannot exceed 1")
    if not contraction > 0:
        return Guarantee(False, math.inf, f"nothing is guaranteed: c = {contraction:.3g} is no contraction")
    floor = math.sqrt(anchor_variance)
    whose = f", whose own error is {floor:.3g}" if anchor_variance else ""
    if isinstance(sizes, Power):
        if sizes.power.exponent > 0:
            return Guarantee(
                True, 0.0, f"converges to 0 distance from its anchor{whose}: the noise vanishes as sizes grow"
            )
        if sizes.power.exponent < 0:
            return Guarantee(
                False, math.inf, "nothing is guaranteed: sizes shrink, so the noise grows without bound"
            )
    size = sizes.values[-1] if isinstance(sizes, Values) else at(sizes, 1)
    radius = math.sqrt(variance / positive(size, "the sample size") / contraction)
    return Guarantee(
        False,
        radius,
        f"stays within sqrt(sigma^2/c) = {radius:.3g} of its anchor{whose}: with a constant sample size the noise does not "
        "vanish",
    )
