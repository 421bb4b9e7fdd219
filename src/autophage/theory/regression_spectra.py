"""Where a linear regression's inputs vary and where its signal lies: eigenvalues of the inputs' covariance, and the true
weights in its eigenbasis.

Everything in `regression_chain`, `strong_collapse` and the studies of regression takes a pair (spectrum, signal): s_j, the
variance of the inputs along direction j, and w0_j, the true weight along it, both (d,). Labels are x.w0 + noise.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least, positive

SYMMETRY = 1e-10
"""How far, relative to its largest entry, a covariance may be from symmetric and from positive semidefinite."""


class Directions(NamedTuple):
    """A spectrum with its signal."""

    eigenvalues: np.ndarray
    """(d,) s_j above zero."""
    signal: np.ndarray
    """(d,) w0_j."""

    @property
    def energy(self) -> float:
        """sum_j s_j w0_j^2, the variance of noise-free labels: the error of a model that always answers zero."""
        return float(self.eigenvalues @ self.signal**2)


def isotropic(dim: int, norm: float = 1.0) -> Directions:
    """s_j = 1 and a signal of length `norm` that is spread evenly. Status: exact by definition.

    >>> isotropic(4).signal.tolist(), isotropic(4, norm=2.0).energy
    ([0.5, 0.5, 0.5, 0.5], 4.0)
    """
    d = _dimension(dim)
    return Directions(np.ones(d), np.full(d, at_least(norm, 0, "the signal's norm") / np.sqrt(d)))


def power_law(dim: int, capacity: float, source: float) -> Directions:
    """s_j = j^-beta (capacity beta) with s_j w0_j^2 = j^-(1 + 2 r beta) (source r), j = 1..dim.

    A large beta leaves few directions that matter; a large r puts the signal into them. Raises `SpecError` for beta <= 1 (the
    spectrum would not sum) or r <= 0 (the signal's tail would not decay). Status: exact by definition. Source: Dohmatob,
    Feng & Kempe (2024), after Caponnetto & de Vito (2007).

    >>> s, w = power_law(3, 2.0, 0.5)
    >>> s.round(4).tolist(), (s * w**2).round(4).tolist()
    ([1.0, 0.25, 0.1111], [1.0, 0.125, 0.037])
    """
    check_exponents(capacity, source)
    j = np.arange(1, _dimension(dim) + 1, dtype=np.float64)
    return Directions(j**-capacity, j ** ((capacity - 1 - 2 * source * capacity) / 2))


def check_exponents(capacity: float, source: float) -> None:
    """Raises `SpecError` unless the capacity is above one and the source exponent above zero."""
    if not (capacity > 1 and np.isfinite(capacity)):
        raise SpecError(
            f"the capacity exponent is {capacity}; it must be above 1, or the spectrum's sum grows with the dimension"
        )
    if not (source > 0 and np.isfinite(source)):
        raise SpecError(
            f"the source exponent is {source}; it must be above 0, or the signal's tail never decays"
        )


def directions(spectrum: Any, signal: Any) -> Directions:
    """Both as float arrays (d,), without directions along which the inputs do not vary: a zero eigenvalue is dropped with a
    warning, since no error there can be seen. Raises `SpecError` for negative or non-finite eigenvalues and for a signal of
    another shape (a single number is spread over all directions).

    >>> directions([2.0, 1.0], 0.5).signal.tolist()
    [0.5, 0.5]
    """
    s = np.asarray(spectrum, dtype=np.float64)
    if s.ndim != 1 or not len(s):
        raise SpecError(f"a spectrum is a list of eigenvalues, one per direction; got shape {s.shape}")
    if not (np.isfinite(s).all() and (s >= 0).all()):
        raise SpecError("eigenvalues of the inputs' covariance must be finite and above zero")
    w = np.asarray(signal, dtype=np.float64)
    if w.shape not in ((), s.shape):
        raise SpecError(
            f"the signal has shape {w.shape}; it must have one weight for each of {len(s)} eigenvalues"
        )
    if not np.isfinite(w).all():
        raise SpecError("the signal's weights must be finite")
    w = np.broadcast_to(w, s.shape)
    kept = s > 0
    if kept.all():
        return Directions(s, w)
    if not kept.any():
        raise SpecError("every eigenvalue is zero: the inputs do not vary")
    warnings.warn(
        f"{len(s) - kept.sum()} of {len(s)} eigenvalues are zero; these directions are dropped", stacklevel=2
    )
    return Directions(s[kept], w[kept])


def diagonalised(cov: Any, signal: Any) -> Directions:
    """A full covariance (d, d) and weights (d,) in its eigenbasis, largest eigenvalue first.

    Raises `SpecError` unless the covariance is symmetric and positive semidefinite to 1e-10 of its largest entry; eigenvalues
    that are zero to that accuracy are dropped with a warning.

    >>> diagonalised([[2.0, 1.0], [1.0, 2.0]], [1.0, 1.0]).eigenvalues.round(12).tolist()
    [3.0, 1.0]
    """
    C = np.asarray(cov, dtype=np.float64)
    w = np.asarray(signal, dtype=np.float64)
    if C.ndim != 2 or C.shape[0] != C.shape[1] or not C.size:
        raise SpecError(f"a covariance is a square matrix; got shape {C.shape}")
    if w.shape != (len(C),):
        raise SpecError(f"the signal has shape {w.shape}; a covariance of {C.shape} needs ({len(C)},)")
    if not np.isfinite(C).all():
        raise SpecError("the covariance's entries must be finite")
    slack = SYMMETRY * np.abs(C).max()
    if np.abs(C - C.T).max() > slack:
        raise SpecError("the covariance is not symmetric (to 1e-10 of its largest entry)")
    values, vectors = np.linalg.eigh((C + C.T) / 2)
    if values[0] < -slack:
        raise SpecError(
            f"the covariance is not positive semidefinite: its smallest eigenvalue is {values[0]:.3g}"
        )
    values = np.where(values > slack, values, 0.0)
    return directions(values[::-1], (vectors.T @ w)[::-1])


def _dimension(dim: int) -> int:
    if positive(dim, "the dimension") != int(dim):
        raise SpecError(f"the dimension is {dim}; it must be a whole number above zero")
    return int(dim)
