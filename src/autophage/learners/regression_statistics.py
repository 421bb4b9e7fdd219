"""What a linear regression's fit needs of its records, and what of a fixed design need not be computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autophage.learners.kernel_regression import Kernel, Spectrum
from autophage.learners.regression_model import RANK, Design, positive_root, times


class RegressionStatistics(NamedTuple):
    """count (scalar or (R,)), and what X'X and X'y are, in one of three ways, arrays of one replicate standing for all:

    per record, `gram` X'X/n (R, d, d) and `moment` X'y/n (R, d);
    the same `gram`, and the labels' least squares fit in its units, `units` (R, d), see `Design`;
    a square root of X'X, `root` (R, d, m), m <= d, and `labels` (R, m), so that X'y = root labels; lower triangular
    where m = d.
    """

    count: Any
    gram: Any = None
    moment: Any = None
    units: Any = None
    root: Any = None
    labels: Any = None

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """`gram` and `moment`."""
        if self.units is not None:
            return self.gram, Design(self.gram).moment(self.units)
        if self.root is None:
            return self.gram, self.moment
        count = np.maximum(np.asarray(self.count, dtype=np.float64), 1).reshape(-1, 1)
        gram = self.root @ np.swapaxes(self.root, 1, 2) / count[..., None]
        return gram, times(self.root, self.labels) / count


def merged(statistics: Sequence[RegressionStatistics]) -> RegressionStatistics:
    """All records together. Labels of one design are averaged, and its gram stays the same array."""
    first = statistics[0].gram
    if all(s.units is not None and _same(s.gram, first) for s in statistics):
        return _averaged(statistics)
    total = sum(np.asarray(s.count) for s in statistics)
    roots = [s.root for s in statistics]
    if all(r is not None for r in roots) and sum(r.shape[2] for r in roots) < roots[0].shape[1]:
        R = max(len(r) for r in roots)
        root, labels = (
            np.concatenate([np.broadcast_to(a, (R, *a.shape[1:])) for a in parts], axis=-1)
            for parts in (roots, [s.labels for s in statistics])
        )
        return RegressionStatistics(total, root=root, labels=labels)
    safe = np.where(total > 0, total, 1.0)
    shares = [np.reshape(s.count / safe, (-1, 1)) for s in statistics]
    dense = [s.dense() for s in statistics]
    gram: Any = sum(a[..., None] * g for a, (g, _) in zip(shares, dense, strict=True))
    moment: Any = sum(a * m for a, (_, m) in zip(shares, dense, strict=True))
    return RegressionStatistics(total, gram, moment)


def _averaged(statistics: Sequence[RegressionStatistics]) -> RegressionStatistics:
    """Label sets of one design: the mean of their fits, by their counts, each a number."""
    total = sum(s.count for s in statistics)
    units = statistics[0].units * (statistics[0].count / total)
    for s in statistics[1:]:
        units = units + s.units * (s.count / total)
    return RegressionStatistics(total, statistics[0].gram, units=units)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (a.shape == b.shape and np.array_equal(a, b))


def ridge_weights(statistics: RegressionStatistics, ridge: float) -> np.ndarray:
    """(X'X/n + ridge I)^-1 X'y/n, (R, d); of least norm where that inverse does not exist."""
    root, labels = statistics.root, statistics.labels
    if root is not None and root.shape[2] < root.shape[1]:
        inner = np.swapaxes(root, 1, 2) @ root
        corner = np.arange(inner.shape[1])
        inner[:, corner, corner] += ridge * np.reshape(statistics.count, (-1, 1))
        return times(root, np.linalg.solve(inner, labels[..., None])[..., 0])
    if root is not None and not ridge:
        return _back_substituted(root, labels)
    gram, moment = statistics.dense()
    if ridge:
        corner = np.arange(gram.shape[1])
        gram = gram.copy()
        gram[:, corner, corner] += ridge
        return np.linalg.solve(gram, moment[..., None])[..., 0]
    if positive_root(gram) is None:
        return times(np.linalg.pinv(gram, rcond=RANK, hermitian=True), moment)
    return np.linalg.solve(gram, moment[..., None])[..., 0]


def _back_substituted(lower: np.ndarray, y: np.ndarray) -> np.ndarray:
    """w (R, d) with lower' w = y."""
    w = np.empty((max(len(lower), len(y)), lower.shape[1]))
    for i in range(w.shape[1] - 1, -1, -1):
        known = np.einsum("rj,rj->r", lower[:, i + 1 :, i], w[:, i + 1 :])
        w[:, i] = (y[:, i] - known) / lower[:, i, i]
    return w


class Memory:
    """What belongs to one fixed design at a time, found again by the identity of its array, so that it can never be of
    another one."""

    def __init__(self) -> None:
        self._records: Any = None
        self._inputs: Any = None
        self._gram: Any = None
        self._design: Design | None = None
        self._centres: Any = None
        self._spectrum: Any = None
        self.ridges: list[float] = []
        """The best penalties found so far, one for each generation."""

    def inputs(self, records: np.ndarray, dim: int) -> np.ndarray:
        """The inputs (R or 1, n, d) among records."""
        if self._records is not records:
            self._records, self._gram = records, None
            self._inputs = np.asarray(records, dtype=np.float64)[..., :dim]
        return self._inputs

    def design_among(self, records: np.ndarray, dim: int) -> Design:
        """The design that records have for inputs."""
        x = self.inputs(records, dim)
        if self._gram is None:
            self._gram = np.swapaxes(x, 1, 2) @ x / x.shape[1]
        return self.design(self._gram)

    def design(self, gram: np.ndarray) -> Design:
        """The design with this gram."""
        if self._design is None or self._design.gram is not gram:
            self._design = Design(gram)
        return self._design

    def spectrum(self, kernel: Kernel, centres: np.ndarray) -> Spectrum:
        """The decomposition of the kernel's matrix of these inputs."""
        if self._centres is not centres:
            self._centres, self._spectrum = centres, Spectrum.of(kernel, centres)
        return self._spectrum
