"""The kernel distance: squared MMD with a cubic kernel on features (Binkowski et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.keys import Key
from autophage.metrics.mmd import KernelMetric, mmd_squared
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


@dataclass(frozen=True, kw_only=True)
class Kid(KernelMetric):
    """Kernel distance in a feature space (rows `kid_pixels`, `kid_pca16`, `kid_classifier_real_labels`)."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        return {f"kid_{self.space}": kid(*self.drawn(real, generated, key, memo))}
