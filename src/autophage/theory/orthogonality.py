"""How orthogonal the classes' subspaces are in a latent space, and what that is worth to a classifier.

Notation: M_c (n_c, k) the latents of class c, rows records; M all of them stacked; |.|_* the nuclear norm, the sum of singular
values. Two classes N(0, U_c U_c' + s^2 I) in d dimensions, U_0 and U_1 orthonormal bases (d, r) with principal angles theta_i,
n records each.

    OLE = sum_c |M_c|_* - |M|_*                                                           >= 0; 0 iff the row spaces are orthogonal
    noise-free, singular values a:   OLE = a sum_i (2 - sqrt(2 (1 + sin theta_i)))                                            (L1)
    OLE / sqrt n -> 2 [r sqrt(1 + s^2) + (d - r) s] - sum_i [sqrt(1 + cos theta_i + 2 s^2) + sqrt(1 - cos theta_i + 2 s^2)]
                    - (d - 2r) s sqrt 2                                                                                       (L2)
    log-ratio of the Bayes classifier: E[Delta | y = 0] = sum_i sin^2 theta_i / (2 s^2 (1 + s^2))                             (L3)
    its expected confidence: E xi <= sigmoid(E[Delta | y = 0])                                                                (L4)

OLE is homogeneous of degree one: a loop that only loses variance lowers it (L5). So it is reported together with
OLE / |M|_*, which has no scale. (OLE: Lezama et al. 2018; its use on a loop's latents: Cai et al. 2026. L1 to L4 are derived.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError


class Orthogonality(NamedTuple):
    """How far the classes' subspaces are from orthogonal; lower is more orthogonal."""

    ole: float
    """sum_c |M_c|_* - |M|_*; of the latents' unit, and growing as the root of their number."""
    relative: float
    """The same over |M|_*; in [0, sqrt(C) - 1] for C classes."""


def orthogonality(latents: np.ndarray, labels: np.ndarray) -> Orthogonality:
    """OLE of latents (n, k) with classes (n,), and OLE over the nuclear norm of them all.

    Not centred: a common offset of all classes is structure that they share. Raises `DataError` for latents that are not
    finite, or not one class each; latents that are all zero give 0.

    >>> x = np.eye(4)
    >>> orthogonality(x, np.array([0, 0, 1, 1])).ole, round(orthogonality(x[[0, 0, 1, 1]], np.array([0, 1, 0, 1])).ole, 6)
    (0.0, 1.171573)
    """
    M, y = np.asarray(latents, dtype=np.float64), np.asarray(labels)
    if M.ndim != 2 or y.shape != (len(M),):
        raise DataError(
            f"orthogonality needs latents (n, k) and a class for each; got {M.shape} and {y.shape}"
        )
    if not np.isfinite(M).all():
        raise DataError("orthogonality needs finite latents")
    whole = nuclear_norm(M)
    ole = max(sum(nuclear_norm(M[y == c]) for c in np.unique(y)) - whole, 0.0)
    return Orthogonality(ole, ole / whole if whole else 0.0)


def nuclear_norm(M: np.ndarray) -> float:
    """The sum of the singular values of M (n, k)."""
    return float(np.linalg.svd(M, compute_uv=False).sum()) if M.size else 0.0


def noise_free(angles: Sequence[float] | np.ndarray, scale: float = 1.0) -> float:
    """OLE of two classes without noise, whose singular values all are `scale`; angles (r,) in radians. Status: exact (L1).

    >>> [round(noise_free([a]), 6) for a in (0.0, math.pi / 6, math.pi / 3, math.pi / 2)]
    [0.585786, 0.267949, 0.068148, 0.0]
    """
    theta = _angles(angles)
    return scale * float((2 - np.sqrt(2 * (1 + np.sin(theta)))).sum())


def large_sample(angles: Sequence[float] | np.ndarray, dim: int, noise: float) -> float:
    """The limit of OLE / sqrt n, n records of each of two classes in `dim` dimensions with isotropic noise of standard
    deviation `noise`; angles (r,) in radians. Status: exact in the limit (L2). Raises `SpecError` unless 2 r <= dim and the noise
    is zero or more.

    >>> [round(large_sample([math.radians(a)] * 3, 20, 0.3), 4) for a in (90, 60, 30, 10)]
    [4.0068, 4.1622, 4.5523, 4.7851]
    """
    theta, s = _angles(angles), float(noise)
    r = len(theta)
    if not 0 <= s < math.inf or 2 * r > dim:
        raise SpecError(
            f"two subspaces of rank {r} need {2 * r} dimensions or more and noise of zero or more; got {dim} and {noise}"
        )
    alone = 2 * (r * math.sqrt(1 + s**2) + (dim - r) * s)
    c = np.cos(theta)
    shared = float((np.sqrt(1 + c + 2 * s**2) + np.sqrt(1 - c + 2 * s**2)).sum())
    return alone - shared - (dim - 2 * r) * s * math.sqrt(2)


def mean_log_ratio(angles: Sequence[float] | np.ndarray, noise: float) -> float:
    """E[log p(x|0) - log p(x|1)] over x of class 0, in nats; angles (r,) in radians. Status: exact (L3).

    Raises `SpecError` unless the noise is above zero: without any, the classes are told apart for certain.
    """
    theta, s2 = _angles(angles), float(noise) ** 2
    if not 0 < s2 < math.inf:
        raise SpecError(f"noise is {noise}; it must be a finite number above zero")
    return float((np.sin(theta) ** 2).sum()) / (2 * s2 * (1 + s2))


def confidence_bound(angles: Sequence[float] | np.ndarray, noise: float) -> float:
    """The most that the Bayes classifier's confidence in the true class can be on average, classes equally frequent; angles (r,)
    in radians. Status: upper bound (L4), by tanh^2 a <= tanh(a tanh a) and concavity of tanh(y / 2).

    >>> [round(confidence_bound([math.radians(a)] * 3, 1.0), 4) for a in (90, 60, 30)]
    [0.6792, 0.637, 0.5467]
    """
    return 1 / (1 + math.exp(-mean_log_ratio(angles, noise)))


def _angles(angles: Sequence[float] | np.ndarray) -> np.ndarray:
    theta = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    if theta.ndim != 1 or not ((theta >= 0) & (theta <= math.pi / 2 + 1e-12)).all():
        raise SpecError(f"principal angles lie between 0 and pi / 2; got {angles}")
    return theta
