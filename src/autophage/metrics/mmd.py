"""Maximum mean discrepancy: how far two sets are apart for a kernel, unbiased, with a closed-form standard
error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import normal
from autophage.metrics.records import FIXED, matched, remembered, subset
from autophage.parts import Compared
from autophage.samples import Samples

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""k(a (n, d), b (m, d)) -> (n, m)."""

CHUNK = 2**21
LARGEST = 5_000
_FOR_BANDWIDTH = 1_000


def gaussian_kernel(bandwidth: float) -> Kernel:
    """k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2))."""
    if not (bandwidth > 0 and np.isfinite(bandwidth)):
        raise SpecError(f"bandwidth is {bandwidth}; it must be a positive number")

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
        np.maximum(squared, 0, out=squared)
        squared *= -0.5 / bandwidth**2
        return np.exp(squared, out=squared)

    return kernel


def median_bandwidth(real: np.ndarray) -> float:
    """The median distance between distinct real records (n, d), over a fixed 1,000 of them (Gretton et al.
    2012).

    Raises `DataError` when it is zero.
    """
    x = np.asarray(subset(real, _FOR_BANDWIDTH, FIXED / "bandwidth"), np.float64)
    squared = np.square(x).sum(axis=1)[:, None] + np.square(x).sum(axis=1) - 2 * x @ x.T
    pairs = squared[np.triu_indices(len(x), 1)]
    found = float(np.sqrt(np.median(pairs))) if len(pairs) and np.median(pairs) > 0 else 0.0
    if found <= 1e-8 * np.abs(x).max():
        raise DataError(
            "no bandwidth: more than half of the pairs of real records coincide; give bandwidth a number"
        )
    return found


def mmd_squared(real: np.ndarray, generated: np.ndarray, kernel: Kernel, *, chunk: int = CHUNK) -> Compared:
    """Unbiased MMD^2 (Gretton et al. 2012, equation 3) of records (n, d) and (m, d):

        mean over x != x' of k + mean over y != y' of k - 2 mean over x, y of k

    It may fall below zero when the sets agree. Interval: normal, by Hoeffding's decomposition,

        Var = 4 Var a(x) / n + 4 Var b(y) / m + 2 E g_xx^2 / n(n-1) + 2 E g_yy^2 / m(m-1) + 4 E g_xy^2 / nm,

    with a = E k(x, .) - E k(x, y), b likewise, and g the doubly centred kernels; the last three keep it
    honest where the laws agree and the first two vanish. Raises `DataError` below two records, on unequal
    widths, or NaN.
    """
    x, y = matched(real, generated, fewest=2)
    n, m = len(x), len(y)
    rows_x, squares_x, _ = _sums(x, x, kernel, chunk, own=True)
    rows_y, squares_y, _ = _sums(y, y, kernel, chunk, own=True)
    cross_x, squares_xy, cross_y = _sums(x, y, kernel, chunk, own=False)
    a, b = rows_x / (n - 1), rows_y / (m - 1)
    c, d = cross_x / m, cross_y / n
    value = a.mean() + b.mean() - 2 * c.mean()

    def degenerate(mean_square: float, first: np.ndarray, second: np.ndarray) -> float:
        return max(mean_square - first.mean() ** 2 - first.var() - second.var(), 0.0)

    g_x = degenerate(squares_x / (n * (n - 1)), a, a)
    g_y = degenerate(squares_y / (m * (m - 1)), b, b)
    g_xy = degenerate(squares_xy / (n * m), c, d)
    # Row means carry noise of the order of the g terms, which widens the interval where laws nearly agree.
    # Taking it off would leave too many intervals too short just where decisions are made.
    variance = 4 * (a - c).var(ddof=1) / n + 4 * (b - d).var(ddof=1) / m
    variance += 2 * g_x / (n * (n - 1)) + 2 * g_y / (m * (m - 1)) + 4 * g_xy / (n * m)
    return normal(value, np.sqrt(variance), m)


def _sums(
    x: np.ndarray, y: np.ndarray, kernel: Kernel, chunk: int, *, own: bool
) -> tuple[np.ndarray, float, np.ndarray]:
    """Row sums, the sum of squares and column sums of k(x, y); of `own` records without the diagonal, each pair once."""
    rows, columns, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    step = max(1, chunk // len(y))
    for start in range(0, len(x), step):
        some = slice(start, min(start + step, len(x)))
        k = kernel(x[some], y[start:] if own else y)
        if own:
            here = some.stop - start
            k[np.arange(here), np.arange(here)] = 0
            beyond = k[:, here:]
            rows[some] += k.sum(axis=1)
            rows[some.stop :] += beyond.sum(axis=0)
            squares += float(np.einsum("ij,ij->", k, k) + np.einsum("ij,ij->", beyond, beyond))
        else:
            rows[some] = k.sum(axis=1)
            columns += k.sum(axis=0)
            squares += float(np.einsum("ij,ij->", k, k))
    return rows, squares, rows if own else columns


@dataclass(frozen=True, kw_only=True)
class KernelMetric(FeatureMetric):
    """A squared maximum mean discrepancy on at most `most` records a side."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    most: int = LARGEST
    """Records a side at most; beyond that, this many are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.most >= 2:
            raise SpecError(f"most is {self.most}; a kernel distance needs at least 2 records a side")

    def drawn(self, real: Samples, generated: Samples, key: Key, memo: dict) -> tuple[np.ndarray, np.ndarray]:
        """The features of at most `most` records of each."""
        x, y = self.embedded(real, generated, memo)
        return subset(x, self.most, FIXED / "real records"), subset(y, self.most, key / "generated records")


@dataclass(frozen=True, kw_only=True)
class Mmd(KernelMetric):
    """Unbiased squared MMD with a Gaussian kernel (row `mmd`).

    The bandwidth is the median distance between real records, hence the same in every generation.
    """

    bandwidth: float | None = None
    """Of the kernel; the median distance between real records unless given (then `mmd_h0.5`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bandwidth is not None:
            gaussian_kernel(self.bandwidth)

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.drawn(real, generated, key, memo)
        if self.bandwidth is not None:
            return {self.row(f"mmd_h{self.bandwidth:g}"): mmd_squared(x, y, gaussian_kernel(self.bandwidth))}
        name = ("bandwidth", self.features, self.components, self.most)
        bandwidth = remembered(memo, name, real, lambda: median_bandwidth(x))
        return {self.row("mmd"): mmd_squared(x, y, gaussian_kernel(bandwidth))}
