"""The exact 2-Wasserstein distance between two sets of records, without minibatches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import blocks
from autophage.metrics.records import FIXED, matched, subset
from autophage.parts import Compared
from autophage.samples import Samples

LARGEST = 2_000
"""Exact assignment costs about n^3: a second for 2,000 records."""


def quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The monotone coupling of n and m equally weighted sorted records: (i, j, weight), at most n + m - 1
    pairs.

    >>> [a.tolist() for a in quantile_coupling(2, 1)]
    [[0, 1], [0, 0], [0.5, 0.5]]
    """
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # whole numbers: no rounding
    weight = np.diff(ends, prepend=0) / (n * m)
    return (ends - 1) // m, (ends - 1) // n, weight


def wasserstein_1d(x: np.ndarray, y: np.ndarray, p: float = 2) -> np.ndarray:
    """W_p of records on the line, exact for any sizes: x (n, ...), y (m, ...), one distance per trailing
    index.

    W_p^p = integral over u in [0, 1] of |F^-1(u) - G^-1(u)|^p (Villani 2003, theorem 2.18), for p >= 1.
    """
    if not p >= 1:
        raise SpecError(f"p is {p}; a Wasserstein distance needs p >= 1")
    x, y = np.sort(np.asarray(x, dtype=np.float64), axis=0), np.sort(np.asarray(y, dtype=np.float64), axis=0)
    if len(x) == len(y):
        return np.mean(np.abs(x - y) ** p, axis=0) ** (1 / p)
    i, j, weight = quantile_coupling(len(x), len(y))
    return np.tensordot(weight, np.abs(x[i] - y[j]) ** p, axes=1) ** (1 / p)


def wasserstein_squared(x: np.ndarray, y: np.ndarray) -> float:
    """W2^2 of two equally large sets (n, d) by the optimal assignment (Jonker-Volgenant, as in scipy)."""
    if x.shape != y.shape:
        raise DataError(f"an assignment needs sets of one shape, got {x.shape} and {y.shape}")
    from scipy.optimize import linear_sum_assignment

    middle = x.mean(axis=0)
    a, b = x - middle, y - middle
    cost = np.square(b).sum(axis=1) - 2 * a @ b.T
    cost += np.square(a).sum(axis=1)[:, None]
    rows, columns = linear_sum_assignment(cost)
    return float(np.square(x[rows] - y[columns]).sum(axis=1).mean())


def _squared_1d(x: np.ndarray, y: np.ndarray) -> float:
    return wasserstein_1d(x[:, 0], y[:, 0]).item() ** 2


def wasserstein(real: np.ndarray, generated: np.ndarray, *, key: Key, most: int = LARGEST) -> Compared:
    """The 2-Wasserstein distance (not squared) of records (n, d) and (m, d).

    One dimension: exact, by sorting, all records. Otherwise the optimal assignment of as many records a side
    as the smaller set has, at most `most`; a larger set is subsampled, the real one by the same draw in every
    run. Interval: from ten disjoint blocks of W2^2 (see `intervals.blocks`; the variance of W2^2 falls as
    1/n, del Barrio and Loubes 2019). It speaks of the expected distance at this size, which lies above the
    distance of the laws by up to the order n^(-1/d). NaN below four records.
    """
    x, y = matched(real, generated)
    squared = _squared_1d
    if x.shape[1] > 1:
        n = min(len(x), len(y), most)
        x, y = subset(x, n, FIXED / "real records"), subset(y, n, key / "generated records")
        squared = wasserstein_squared
    value = squared(x, y)
    low, high = blocks(squared, shuffled(x, "real"), shuffled(y, "generated"), value)
    return Compared(value**0.5, max(low, 0.0) ** 0.5, high**0.5, len(y))


def shuffled(x: np.ndarray, name: str) -> np.ndarray:
    """The records in a fixed random order, for blocks that do not depend on how records were sorted."""
    return x[(FIXED / "order" / name).generator().permutation(len(x))]


@dataclass(frozen=True, kw_only=True)
class Wasserstein(FeatureMetric):
    """2-Wasserstein distance by exact assignment, up to `most` records a side (row `wasserstein`)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    most: int = LARGEST
    """Records a side at most; beyond that, this many are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.most >= 2:
            raise SpecError(f"most is {self.most}; an assignment needs at least 2 records a side")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        return {self.row("wasserstein"): wasserstein(x, y, key=key, most=self.most)}
