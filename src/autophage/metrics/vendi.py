"""Vendi score: the effective number of different records in a set, from their similarities alone.

(Friedman and Dieng 2023.) For a kernel with k(x, x) = 1 and the matrix K of a set of n records, it is the exponential of the
von Neumann entropy of K / n:

    VS = exp(- sum_i l_i ln l_i),   l_i the eigenvalues of K / n,

1 when all records are alike and n when no two have anything in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import normal, ratio
from autophage.metrics.mmd import gaussian_kernel, median_bandwidth
from autophage.metrics.records import FIXED, matrix, remembered, subset
from autophage.parts import Compared
from autophage.samples import Samples

LARGEST = 2_000
"""Records at most where the kernel matrix itself must be taken apart (its cost grows with the cube)."""
_NUMBERS = 2**22


def vendi(records: np.ndarray, *, bandwidth: float | None = None) -> Compared:
    """The Vendi score of records (n, d), between 1 and n, with the cosine kernel x'y / |x||y|, or with the Gaussian kernel of
    a `bandwidth`.

    The cosine kernel's matrix is Z Z' with rows of length one, whose eigenvalues Z'Z (d, d) has too: any number of
    records costs n d^2 + d^3. A Gaussian kernel costs n^3.

    Interval: normal, by the delta method; with rho = K / n the entropy moves by -z' (ln rho) z - H for each record. It speaks
    of the expected score at this sample size, which grows with n; NaN where the score is more than a fifth of n, and
    so more a count of records than an estimate. Raises `DataError` when a record is zero (it has no direction), or NaN.

    >>> float(round(vendi(np.eye(4)).value, 12)), float(round(vendi(np.ones((5, 2))).value, 12))
    (4.0, 1.0)
    """
    x = matrix(records, "the records", compact=True)
    n = len(x)
    dual = bandwidth is None and n > x.shape[1]
    values, vectors = np.linalg.eigh(_gram(x) / n if dual else _similarities(x, bandwidth) / n)
    logs = np.log(values, where=values > 0, out=np.zeros_like(values))
    entropy = float(-(values * logs).sum())
    score = float(np.clip(np.exp(entropy), 1, n))
    if n < 5 * score or n < 2:
        return Compared(score, n=n)
    # (z' v)^2 for each record and eigenvector: from Z'Z directly, from K = Z Z' as n l u^2.
    if dual:
        seen = np.concatenate([np.square(_directions(x[part]) @ vectors) @ logs for part in _parts(x)])
    else:
        seen = np.square(vectors) @ (np.maximum(values, 0) * n * logs)
    return normal(score, score * (-seen - entropy).std(ddof=1) / np.sqrt(n), n)


def _directions(x: np.ndarray) -> np.ndarray:
    """Records (n, d) in float64 at length one."""
    x = np.asarray(x, np.float64)
    x = x / np.maximum(
        np.abs(x).max(axis=1, keepdims=True), np.finfo(float).tiny
    )  # against over- and underflow
    length = np.sqrt(np.einsum("ij,ij->i", x, x))
    if not (length > 0).all():
        raise DataError("a record of zeros has no direction, so no cosine; give vendi a bandwidth")
    return x / length[:, None]


def _parts(x: np.ndarray) -> list[slice]:
    step = max(1, _NUMBERS // x.shape[1])
    return [slice(start, start + step) for start in range(0, len(x), step)]


def _gram(x: np.ndarray) -> np.ndarray:
    """Z'Z (d, d)."""
    gram = np.zeros((x.shape[1], x.shape[1]))
    for part in _parts(x):
        z = _directions(x[part])
        gram += z.T @ z
    return gram


def _similarities(x: np.ndarray, bandwidth: float | None) -> np.ndarray:
    """K (n, n)."""
    if bandwidth is None:
        z = _directions(x)
        return z @ z.T
    x = x - x.mean(axis=0, dtype=np.float64)
    K = gaussian_kernel(bandwidth)(x, x)
    np.fill_diagonal(K, 1)
    return K


@dataclass(frozen=True, kw_only=True)
class Vendi(FeatureMetric):
    """Effective number of different generated records (row `vendi`; `vendi_rbf` with a Gaussian kernel), and the same over that
    of as many real ones (row `vendi_relative`; 1 is right, below 1 lost diversity)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    citation: ClassVar[tuple[str, ...]] = (
        "Friedman, Dieng (2023). The Vendi score: a diversity evaluation metric for machine learning. TMLR; arXiv 2210.02410",
    )

    kernel: Literal["cosine", "rbf"] = "cosine"
    """Similarity of two records: of their directions (any number of records), or Gaussian in their distance (at most
    `most` records)."""
    bandwidth: float | None = None
    """Of the Gaussian kernel; the median distance between real records unless given (then `vendi_rbf_h0.5`)."""
    most: int = LARGEST
    """Records at most for the Gaussian kernel; beyond that, this many are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel not in ("cosine", "rbf"):
            raise SpecError(f"kernel is {self.kernel!r}; vendi knows cosine and rbf")
        if self.bandwidth is not None:
            if self.kernel != "rbf":
                raise SpecError("bandwidth belongs to vendi's rbf kernel; set kernel: rbf")
            gaussian_kernel(self.bandwidth)
        if not self.most >= 2:
            raise SpecError(f"most is {self.most}; vendi needs at least 2 records")

    def named(self, relative: bool = False) -> str:
        """A row's name with its kernel."""
        kernel = "_rbf" if self.kernel == "rbf" else ""
        width = "" if self.bandwidth is None else f"_h{self.bandwidth:g}"
        return self.row(f"vendi{'_relative' if relative else ''}{kernel}{width}")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        h = None
        if self.kernel == "rbf":
            y = subset(y, self.most, key / "generated records")
            name = ("bandwidth", self.features, self.components)
            h = self.bandwidth or remembered(memo, name, real, lambda: median_bandwidth(x))
        size = min(len(x), len(y))
        found = vendi(y, bandwidth=h)
        usual = remembered(
            memo,
            ("vendi", self.features, self.components, size, h),
            real,
            lambda: vendi(subset(x, size, FIXED / "real records"), bandwidth=h),
        )
        same = found
        if len(y) > size:
            same = vendi(subset(y, size, key / "as many as real"), bandwidth=h)
        return {self.named(): found, self.named(relative=True): ratio(same, usual)}
