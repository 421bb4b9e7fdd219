"""Means and covariances of many records, and how much two covariances share: what a Frechet distance is made of.

    tr (S1 S2)^(1/2) = sum of singular values of A1' A2,  S1 = A1 A1', S2 = A2 A2'

A factor A is the Cholesky factor of S, or the centred records themselves where these are fewer than their numbers. The
singular values are found as roots of eigenvalues of A1' S2 A1, which costs a tenth of a matrix root, and by a singular
value decomposition where rounding under the root would show.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

INFLUENTIAL = 2_000
"""Records a side from which an interval's width is estimated."""
_NUMBERS = 2**22
_SHOWS = 1e-6


class Moments:
    """The first two moments of records (n, d), n >= 2, in float64 whatever the records are; the covariance is the unbiased
    one. The records may be given in parts by `more`."""

    def __init__(self, x: np.ndarray, *, centre: np.ndarray | None = None) -> None:
        d = x.shape[1]
        self.centre = x.mean(axis=0, dtype=np.float64) if centre is None else centre
        self.n = 0
        self._sum = np.zeros(d)
        self._scatter = np.zeros((d, d)) if len(x) > d or centre is not None else None
        self._thin = None if self._scatter is not None else x - self.centre
        step = max(1, -(-len(x) // INFLUENTIAL))
        self.some = x[::step] - self.centre
        """At most 2,000 of the records, less the mean of all."""
        self.more(x)

    def more(self, x: np.ndarray) -> None:
        """Takes in further records."""
        step = max(1, _NUMBERS // x.shape[1])
        for start in range(0, len(x), step):
            part = x[start : start + step] - self.centre
            self._sum += part.sum(axis=0)
            if self._scatter is not None:
                self._scatter += part.T @ part
        self.n += len(x)
        for name in ("covariance", "factor", "trace"):
            self.__dict__.pop(name, None)

    @property
    def mean(self) -> np.ndarray:
        """(d,)"""
        return self.centre + self._sum / self.n

    @property
    def thin(self) -> bool:
        """Whether there are no more records than numbers in each, so that the records are the better factor."""
        return self._thin is not None

    @cached_property
    def covariance(self) -> np.ndarray:
        """(d, d)"""
        if self._scatter is None:
            return self.factor @ self.factor.T
        off = self._sum / self.n
        return (self._scatter - self.n * np.outer(off, off)) / (self.n - 1)

    @cached_property
    def trace(self) -> float:
        """The trace of the covariance."""
        if self._thin is not None:
            return float(np.square(self._thin).sum() / (self.n - 1))
        return float(np.trace(self.covariance))

    @cached_property
    def factor(self) -> np.ndarray:
        """A (d, r) with A A' the covariance: lower triangular, or the records, or scaled eigenvectors where a covariance is
        singular."""
        if self._thin is not None:
            return self._thin.T / np.sqrt(self.n - 1)
        try:
            lower = np.linalg.cholesky(self.covariance)
            pivots = np.diagonal(lower)
            if pivots.min() > len(pivots) * np.sqrt(np.finfo(float).eps) * pivots.max():
                return lower
        except np.linalg.LinAlgError:
            pass
        values, vectors = np.linalg.eigh(self.covariance)
        kept = values > 0
        return vectors[:, kept] * np.sqrt(values[kept])

    def whitened(self, x: np.ndarray) -> np.ndarray:
        """Centred records (n, d) in coordinates (n, r) in which A is the identity; directions that rounding rules count as
        none."""
        from scipy.linalg import solve_triangular

        A = self.factor
        if A.shape[0] == A.shape[1] and not np.triu(A, 1).any():
            return solve_triangular(A, x.T, lower=True, check_finite=False).T
        square = np.einsum("ij,ij->j", A, A)
        wide = square > square.max() * len(square) ** 2 * np.finfo(float).eps
        return np.where(wide, x @ A / np.where(wide, square, 1), 0)

    def seen_through(self, A: np.ndarray) -> np.ndarray:
        """A' S A (r, r)."""
        if self._thin is not None:
            half = A.T @ self.factor
            return half @ half.T
        return A.T @ (self.covariance @ A)


def overlap(a: Moments, b: Moments) -> float:
    """tr (S1 S2)^(1/2)."""
    first, second = (b, a) if b.thin and not (a.thin and a.n <= b.n) else (a, b)
    A = first.factor
    if A.shape[1] == 0:
        return 0.0
    from scipy.linalg import eigh, svdvals

    values = eigh(second.seen_through(A), eigvals_only=True, check_finite=False)
    if roots_hold(values, distance_scale(a, b)):
        return float(np.sqrt(np.maximum(values, 0)).sum())
    return float(svdvals(A.T @ second.factor, check_finite=False).sum())


def distance_scale(a: Moments, b: Moments) -> tuple[float, float]:
    """The part of the squared distance that is known beforehand, and the traces."""
    return float(np.square(a.mean - b.mean).sum()), a.trace + b.trace


def roots_hold(values: np.ndarray, scale: tuple[float, float]) -> bool:
    """Whether rounding of eigenvalues stays out of sight under the root. Each may be off by the unit roundoff of the largest,
    independently: that must move the distance by less than 1e-6 of itself, or 1e-9 of the traces. (It is far less in
    fact: the small eigenvalues of a product of Cholesky factors come out better than that.)"""
    values = np.maximum(values, 0)
    error = np.finfo(float).eps * values[-1]
    if error == 0:
        return True
    moved = 2 * float(np.linalg.norm(error / (np.sqrt(values) + np.sqrt(error))))
    apart, traces = scale
    distance = apart + traces - 2 * float(np.sqrt(values).sum())
    return moved <= max(_SHOWS * distance, 1e-9 * traces)
