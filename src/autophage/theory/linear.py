"""The linear workflow predictor: how a workflow's share matrix amplifies statistical error.

For a regular family with an asymptotically linear estimator, and unit Fisher information, the fits' errors
obey

    e = (I - A S)^{-1} A xi,   Cov(xi) = diag(1/n_j)   ->   Cov(e) = L diag(1/n) L',   L = (I - A S)^{-1} A,

where batch 0 is real, batch j has n_j samples of fit j-1, A[t, j] is the share of batch j in fit t, and S is
the one-step shift (S[j, j-1] = 1). Exact for the mean of a Gaussian of known variance; asymptotic (n to
infinity at fixed t) otherwise. Source: Dey & Donoho (2024), universality; matrix form derived for autophage.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import sizes_course

ACCUMULATE_EFFICIENCY = 6 / np.pi**2
"""Asymptotic relative efficiency of accumulate against real data only, for ever: 1 / sum 1/k^2 = 0.6079
(equal batches). Status: asymptotic. Source: Dey & Donoho (2024)."""


def _checked(shares: Any, fresh_shares: Any) -> tuple[np.ndarray, np.ndarray]:
    A = np.asarray(shares, dtype=np.float64)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise SpecError(
            f"a share matrix is square, one row per fit and one column per batch; got shape {A.shape}"
        )
    f = np.broadcast_to(np.asarray(fresh_shares, dtype=np.float64), (len(A),))
    if not (np.isfinite(A).all() and (A >= 0).all() and (f >= 0).all()):
        raise SpecError("shares must be zero or more")
    if np.triu(A, 1).any():
        raise SpecError(
            "fit t can only use batches 0 to t: entries above the diagonal of a share matrix must be zero"
        )
    if not np.allclose(A.sum(axis=1) + f, 1, atol=1e-8):
        raise SpecError("each row of a share matrix, with its fresh real share, must sum to one")
    return A, f


def window_shares(sizes: Any, width: int | None = None, *, keep_real: bool = False) -> np.ndarray:
    """A (T, T) for the newest `width` whole batches (None: all, which is accumulate; 1: replace), the real
    set being batch 0 and kept for ever with `keep_real`. sizes (T,): n_j. Status: exact by definition.

    >>> window_shares([10, 10, 10], 2, keep_real=True).round(3).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.333, 0.333, 0.333]]
    """
    n = sizes_course(sizes)
    if width is not None and width < 1:
        raise SpecError(f"the window holds {width} batches; it must hold at least one")
    t, j = np.indices((len(n), len(n)))
    inside = (j <= t) & ((j > t - (width or len(n))) | (keep_real & (j == 0)))
    return inside * n / (inside * n).sum(axis=1, keepdims=True)


def propagation(shares: Any, *, fresh_shares: Any = 0.0) -> np.ndarray:
    """L = (I - A S)^{-1} A, shape (T, T): L[t, j] is the weight of batch j's own noise in the error of fit t.

    With `fresh_shares` (T,), the rows of A sum to one minus the fresh real share. Status: exact linear
    algebra.

    >>> propagation([[1, 0], [0.5, 0.5]]).tolist()
    [[1.0, 0.0], [1.0, 0.5]]
    """
    A, _ = _checked(shares, fresh_shares)
    return _memory(A) @ A


def _memory(A: np.ndarray) -> np.ndarray:
    shifted = np.zeros_like(A)  # A S: model j-1 enters fit t with the share of its batch j
    shifted[:, :-1] = A[:, 1:]
    return np.linalg.inv(np.eye(len(A)) - shifted)


def error_covariance(
    shares: Any, sizes: Any, *, fresh_shares: Any = 0.0, fresh_sizes: Any = None
) -> np.ndarray:
    """Cov(e), shape (T, T), in units of the inverse Fisher information.

        Cov(e) = L diag(1/n) L' + R diag(f^2/r) R',   R = (I - A S)^{-1},

    where fit t also sees r_t new real records with share f_t. sizes (T,): n_j, zero for a batch nobody uses.
    fresh_sizes (T,): r_t, needed where f_t > 0. Status: asymptotic (exact for a Gaussian mean of known
    variance). Source: Dey & Donoho (2024); fresh extension derived for autophage.
    """
    A, f = _checked(shares, fresh_shares)
    n = np.asarray(sizes, dtype=np.float64)
    if n.shape != (len(A),) or (n[A.any(axis=0)] <= 0).any():
        raise SpecError("sizes must give a number of records above zero for every batch with a share")
    R = _memory(A)
    L = R @ A
    covariance = (L / np.where(n > 0, n, np.inf)) @ L.T
    if f.any():
        r = np.broadcast_to(np.asarray(0 if fresh_sizes is None else fresh_sizes, dtype=np.float64), f.shape)
        if (r[f > 0] <= 0).any():
            raise SpecError("fresh_sizes must be above zero wherever the fresh real share is")
        covariance = covariance + (R * (f**2 / np.where(f > 0, r, 1.0))) @ R.T
    return covariance


def variance_inflation(
    shares: Any, sizes: Any, *, fresh_shares: Any = 0.0, fresh_sizes: Any = None
) -> np.ndarray:
    """Var(e_t) / Var(e_0), shape (T,): the excess risk of generation t relative to generation 0's.
    Asymptotic.

    >>> variance_inflation(window_shares([50] * 4, 1), [50] * 4).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    course = np.diag(error_covariance(shares, sizes, fresh_shares=fresh_shares, fresh_sizes=fresh_sizes))
    return course / course[0]
