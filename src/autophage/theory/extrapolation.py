"""Away from one's own samples, worked out for Gaussians: SIMS in score space, Neon in weight space.

Notation: real records N(0, v) or N(0, I) in D dimensions; the base model is fitted to n of them, the auxiliary to samples
of the base; omega and w are the strengths of the extrapolation, (1 + omega) base - omega auxiliary. kappa is the mean that
ln variance gains in one maximum-likelihood fit to n samples,

    kappa = E ln(chi^2_(n-1) / n) = psi((n-1)/2) + ln 2 - ln n < 0

Sources: Alemohammad, Humayun, Agarwal, Collomosse and Baraniuk (2024), arXiv 2408.16333, for the rule of SIMS;
Alemohammad, Wang and Baraniuk (2026), ICLR, arXiv 2510.03597, for Neon and its Gaussian example. Closed forms derived for
autophage where nothing else is said.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autophage.errors import SpecError


def variance(base: Any, auxiliary: Any, omega: float) -> Any:
    """V = v_r (v_r / v_s)^omega: the variance that the probability-flow ODE draws from high noise with the score
    (1 + omega) s_r - omega s_s, s_r and s_s those of N(0, v_r) and N(0, v_s).

    Along the ODE d ln |x| / d ln sigma = (1 + omega) sigma^2 / (v_r + sigma^2) - omega sigma^2 / (v_s + sigma^2). Status: exact.
    Numbers or arrays (...), broadcast. Raises `SpecError` unless both variances are finite and above zero.

    >>> round(variance(0.9, 0.81, 1), 9), round(variance(0.8, 0.7, 1.5), 6)
    (1.0, 0.977413)
    """
    return _positive(base, "base") * (base / _positive(auxiliary, "auxiliary")) ** omega


def exact_omega(truth: float, base: float, auxiliary: float) -> float:
    """omega* = ln(v / v_r) / ln(v_r / v_s), which draws the true variance v; 1 where both fits shrink by one factor. Exact.
    Raises `SpecError` where base and auxiliary have one variance: nothing is then extrapolated.

    >>> round(exact_omega(1.0, 0.9, 0.81), 9)
    1.0
    """
    apart = math.log(_positive(base, "base") / _positive(auxiliary, "auxiliary"))
    if apart == 0:
        raise SpecError(
            f"base and auxiliary have the same variance {base:g}; their difference then points nowhere, and no omega "
            "changes what is drawn"
        )
    return math.log(_positive(truth, "truth") / base) / apart


def shrinkage(samples: int) -> float:
    """kappa, what ln variance gains on average in one fit to n samples. Exact.

    >>> round(shrinkage(100), 6)
    -0.020185
    """
    from scipy.special import digamma

    n = _samples(samples)
    return float(digamma((n - 1) / 2) + math.log(2 / n))


def mean_log_variance(samples: int, generations: int, omega: float = 0.0) -> float:
    """E ln V_t = t kappa (1 - omega) after t generations from V_0 = 1: every generation's base is fitted to n samples of
    the last, its auxiliary to n of the base, and the two are extrapolated. Exact.

    >>> [round(mean_log_variance(100, 50, omega), 4) for omega in (0, 0.5, 1, 1.5)]
    [-1.0093, -0.5046, -0.0, 0.5046]
    """
    return generations * shrinkage(samples) * (1 - omega)


def variance_of_log_variance(samples: int, generations: int, omega: float = 0.0) -> float:
    """Var ln V_t = t (1 + omega^2) psi_1((n-1)/2). Exact: the random walk is wider than without extrapolation, so that at
    omega = 1 nothing shrinks on average, and yet nothing is stationary without real records.

    >>> [round(variance_of_log_variance(100, 50, omega), 4) for omega in (0, 1)]
    [1.0204, 2.0407]
    """
    from scipy.special import polygamma

    return float(generations * (1 + omega**2) * polygamma(1, (_samples(samples) - 1) / 2))


def gradient_strength(dim: int, samples: int) -> float:
    """gamma, where the mean gradient of the population loss at the maximum-likelihood fit is -gamma I, real records being
    N(0, I): the loss falls where the covariance grows.

        gamma = 1/2 [ (1 + 1/n) n^2 (n-2) / ((n-D-1)(n-D-2)(n-D-4)) - n / (n-D-2) ]

    The loss is (1/2) [tr C^-1 (I + m m') + ln det C] of a fit N(m, C), its expectation taken over Wishart inverses:
    E W^-1 and E W^-2 of W_D(n-1, I). Exact. The constant printed in the paper, `printed_gradient_strength`, drops a factor
    of the last bracket; the sign is the same. Raises `SpecError` unless n > D + 4.

    >>> round(gradient_strength(10, 100), 5)
    0.16658
    """
    n, d = _enough(samples, dim)
    inverse_squared = n**2 * (n - 2) / ((n - d - 1) * (n - d - 2) * (n - d - 4))
    return 0.5 * ((1 + 1 / n) * inverse_squared - n / (n - d - 2))


def printed_gradient_strength(dim: int, samples: int) -> float:
    """n (D + 5) / (2 (n-D-2)(n-D-4)), as Alemohammad, Wang and Baraniuk (2026) print it; compare `gradient_strength`.

    >>> round(printed_gradient_strength(10, 100), 4)
    0.0991
    """
    n, d = _enough(samples, dim)
    return n * (d + 5) / (2 * (n - d - 2) * (n - d - 4))


def step_along_inverse(temperature: float, strength: float, rate: float) -> float:
    """a = (1 - tau^2) w eta / 2: one small step of gradient descent, at rate eta, on samples of N(m, tau^2 S), merged with
    strength w, leaves S + a S^-1. Exact to first order in eta. Positive where the sampler is narrower than the fit
    (tau < 1); a wider one asks for a strength below zero. Source: Alemohammad, Wang and Baraniuk (2026)."""
    return (1 - temperature**2) * strength * rate / 2


def converged_factor(temperature: float, strength: float) -> float:
    """1 + w (1 - tau^2): the merged covariance over S, where the auxiliary is trained to the end. Exact.
    Source: Alemohammad, Wang and Baraniuk (2026).

    >>> converged_factor(0.5, 1.0)
    1.75
    """
    return 1 + strength * (1 - temperature**2)


def stretched(cov: Any, length: float) -> np.ndarray:
    """S + a S^-1 of covariances (..., D, D): the path on which a small step of Neon moves. Exact to first order."""
    cov = np.asarray(cov, dtype=np.float64)
    return cov + length * np.linalg.inv(cov)


def excess_loss(mean: Any, cov: Any) -> np.ndarray:
    """(1/2) [tr C^-1 (I + m m') + ln det C - D] (...) in nats: how much worse fits N(m, C), m (..., D) and C (..., D, D),
    code records of N(0, I) than the truth does. Exact. Raises `SpecError` for a C that is no covariance.

    >>> excess_loss([0.0, 0.0], np.eye(2)).item()
    0.0
    """
    mean, cov = np.asarray(mean, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    sign, log_det = np.linalg.slogdet(cov)
    if not (sign > 0).all():
        raise SpecError("a covariance has no positive determinant; every one must be positive definite")
    inverse = np.linalg.inv(cov)
    spread = np.trace(inverse, axis1=-2, axis2=-1) + np.einsum("...i,...ij,...j->...", mean, inverse, mean)
    found: np.ndarray = 0.5 * (spread + log_det - mean.shape[-1])
    return found


def _positive(value: Any, what: str) -> Any:
    if not (np.all(np.isfinite(value)) and np.all(np.greater(value, 0))):
        raise SpecError(f"the {what} variance is {value}; it must be a finite number above zero")
    return value


def _samples(samples: int) -> int:
    if not samples >= 2:
        raise SpecError(f"samples is {samples}; a variance needs at least 2")
    return samples


def _enough(samples: int, dim: int) -> tuple[int, int]:
    if not (dim >= 1 and samples > dim + 4):
        raise SpecError(
            f"samples is {samples} for records of {dim} numbers; the mean gradient exists above dim + 4 = {dim + 4} only"
        )
    return samples, dim
