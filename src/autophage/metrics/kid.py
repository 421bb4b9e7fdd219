"""The kernel distance: squared MMD with a cubic kernel on features (Binkowski et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.intervals import LEVEL
from autophage.metrics.mmd import KernelMetric, mmd_squared
from autophage.metrics.records import FIXED, matched
from autophage.parts import Compared
from autophage.samples import Samples


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """k(a, b) = (a'b / d + 1)^3 for records (n, d) and (m, d)."""
    k = a @ b.T
    k /= a.shape[1]
    k += 1
    return k * k * k


def kid(real: np.ndarray, generated: np.ndarray) -> Compared:
    """Unbiased squared MMD with the cubic kernel: compares means, covariances and third moments.

    On all records at once, not averaged over small blocks, with the closed-form interval of `mmd_squared`.
    Unlike the Frechet distance its expectation does not depend on the sample size. Scale matters: standardise
    tables.
    """
    return mmd_squared(real, generated, cubic_kernel)


def kid_in_blocks(real: np.ndarray, generated: np.ndarray, size: int) -> Compared:
    """The mean of `kid` over disjoint blocks of `size` records a side, as many as both sets fill; blocks are cut from the
    records in their order, which must be random.

    Time grows with the number of records instead of its square: 50,000 a side in 50 blocks of 1,000 cost a fiftieth. Each
    block is unbiased, so the mean is, with a wider interval than all pairs have: Student's t over blocks, which are
    independent. Raises `SpecError` unless size is at least 2, `DataError` when
    the sets fill fewer than two blocks, on unequal widths, or NaN.
    """
    if not size >= 2:
        raise SpecError(f"block is {size}; a kernel distance needs at least 2 records a side")
    x, y = matched(real, generated, compact=True)
    count = min(len(x), len(y)) // size
    if count < 2:
        raise DataError(
            f"block is {size}; with {len(x)} real and {len(y)} generated records there are fewer than two blocks"
        )
    values = [kid(x[i * size : (i + 1) * size], y[i * size : (i + 1) * size]).value for i in range(count)]
    value = float(np.mean(values))
    reach = float(stdtrit(count - 1, 0.5 + LEVEL / 2) * np.std(values, ddof=1) / np.sqrt(count))
    return Compared(value, value - reach, value + reach, len(y))


@dataclass(frozen=True, kw_only=True)
class Kid(KernelMetric):
    """Kernel distance in a feature space (rows `kid_pixels`, `kid_pca16`, `kid_classifier_real_labels`)."""

    block: int | None = None
    """Records a side of one block: the mean over disjoint blocks of all records, as the field reports it with 1,000 (adds
    `_blocks1000`), whatever `most` says. All pairs of at most `most` records unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block is not None and not self.block >= 2:
            raise SpecError(f"block is {self.block}; a kernel distance needs at least 2 records a side")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        if self.block is None:
            return {f"kid_{self.space}": kid(*self.drawn(real, generated, key, memo))}
        x, y = self.embedded(real, generated, memo)
        x = x[(FIXED / "real records" / len(x)).generator().permutation(len(x))]
        y = y[(key / "generated records").generator().permutation(len(y))]
        return {f"kid_{self.space}_blocks{self.block}": kid_in_blocks(x, y, self.block)}
