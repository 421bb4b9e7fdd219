"""The sliced 2-Wasserstein distance: the root mean square of one-dimensional ones over random directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import blocks
from autophage.metrics.records import FIXED, matched
from autophage.metrics.wasserstein import shuffled, wasserstein_1d
from autophage.parts import Compared
from autophage.samples import Samples


def directions(dim: int, projections: int, key: Key) -> np.ndarray:
    """Uniform unit vectors (dim, projections)."""
    z = key.generator().standard_normal((projections, dim))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).T


def sliced_wasserstein(
    real: np.ndarray, generated: np.ndarray, *, projections: int = 128, key: Key = FIXED / "directions"
) -> Compared:
    """SW2 (not squared) of records (n, d) and (m, d), any sizes: SW2^2 = mean over unit vectors u of
    W2^2(u'x, u'y).

    (Bonneel et al. 2015.) The directions come from `key`, by default the same ones always, so that
    generations and runs are comparable. On the line it is W2 itself. Interval: from ten disjoint blocks of
    SW2^2, for the expected value at these sizes and directions; NaN below four records.
    """
    if not projections >= 1:
        raise SpecError(f"projections is {projections}; it must be at least 1")
    x, y = matched(real, generated)
    if x.shape[1] > 1:
        u = directions(x.shape[1], projections, key)
        x, y = x @ u, y @ u

    def squared(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.square(wasserstein_1d(a, b)).mean())

    value = squared(x, y)
    low, high = blocks(squared, shuffled(x, "real"), shuffled(y, "generated"), value)
    return Compared(value**0.5, max(low, 0.0) ** 0.5, high**0.5, len(y))


@dataclass(frozen=True, kw_only=True)
class SlicedWasserstein(FeatureMetric):
    """Sliced 2-Wasserstein distance (row `sliced_wasserstein_p128` for 128 projections)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    projections: int = 128
    """Random directions, the same in every generation and run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.projections >= 1:
            raise SpecError(f"projections is {self.projections}; it must be at least 1")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        found = sliced_wasserstein(x, y, projections=self.projections)
        return {self.row(f"sliced_wasserstein_p{self.projections}"): found}
