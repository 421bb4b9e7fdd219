"""Precision and recall from nearest neighbours: are generated records plausible, and is everything real
generated?

(Kynkaanniemi et al. 2019.) A set's manifold is the union of closed balls around its records, each reaching to
its k-th nearest neighbour in the set (itself excluded). k is part of every row's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import covered
from autophage.metrics.neighbours import CHUNK, balls, nearest
from autophage.metrics.records import matched, remembered
from autophage.parts import Compared
from autophage.samples import Samples


class PrecisionRecall(NamedTuple):
    """Precision and recall of one set against another."""

    precision: Compared
    recall: Compared


def radii(x: np.ndarray, k: int, *, cap: float | None = None, chunk: int = CHUNK) -> np.ndarray:
    """The distance (n,) of each record to its k-th nearest other record, cut at the quantile `cap` of all of
    them."""
    reach = nearest(x, x, k, own=True, chunk=chunk)[0][:, -1]
    return reach if cap is None else np.minimum(reach, np.quantile(reach, cap))


def precision_recall(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    k: int = 3,
    radius_cap: float | None = None,
    chunk: int = CHUNK,
    real_radii: np.ndarray | None = None,
) -> PrecisionRecall:
    """Share of generated records (m, d) on the real manifold, and of real records (n, d) on the generated
    one.

    `radius_cap`: a quantile in (0, 1] at which radii are cut, since one isolated record with a huge ball
    inflates the result. `real_radii` (n,) saves computing `radii(real, k, cap=radius_cap)` again. Intervals:
    Wilson's over the tested records, given the manifold they are tested against. Raises `SpecError` unless 1
    <= k < records, `DataError` on unequal widths or NaN.

    >>> found = precision_recall(np.c_[[0, 1, 2, 3, 4]], np.c_[[0.4, 1.6, 2.2, 9, 9.5]], k=2)
    >>> found.precision.value, found.recall.value
    (0.6, 1.0)
    """
    x, y = matched(real, generated)
    check_neighbours(k, radius_cap)
    if real_radii is None:
        real_radii = radii(x, k, cap=radius_cap, chunk=chunk)
    plausible = balls(y, x, real_radii, chunk=chunk)
    recalled = balls(x, y, radii(y, k, cap=radius_cap, chunk=chunk), chunk=chunk)
    precision = covered(plausible.per_point > 0, plausible.only_ball)
    recall = covered(recalled.per_point > 0, recalled.only_ball)
    return PrecisionRecall(precision, replace(recall, n=len(y)))


def check_neighbours(k: int, radius_cap: float | None = None) -> None:
    """Raises `SpecError` unless k is a positive whole number and the cap a quantile in (0, 1]."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not k >= 1:
        raise SpecError(f"k is {k}; it must be a whole number of neighbours, at least 1")
    if radius_cap is not None and not 0 < radius_cap <= 1:
        raise SpecError(f"radius_cap is {radius_cap}; it must be a quantile in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class NeighbourMetric(FeatureMetric):
    """A metric of k-nearest-neighbour balls."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"

    k: int = 3
    """Neighbours, the record itself not counted."""
    radius_cap: float | None = None
    """A quantile at which ball radii are cut, against isolated records (adds `_cap0.9` to the row names)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_neighbours(self.k, self.radius_cap)

    def named(self, name: str) -> str:
        """A row's name with k, and the cap if there is one."""
        cap = "" if self.radius_cap is None else f"_cap{self.radius_cap:g}"
        return self.row(f"{name}_k{self.k}{cap}")

    def real_radii(self, x: np.ndarray, real: Samples, memo: dict) -> np.ndarray:
        """The real records' radii, computed once a run."""
        name = ("radii", self.features, self.components, self.k, self.radius_cap)
        return remembered(memo, name, real, lambda: radii(x, self.k, cap=self.radius_cap))


@dataclass(frozen=True, kw_only=True)
class PrecisionRecallMetric(NeighbourMetric):
    """k-NN precision and recall (rows `precision_k3`, `recall_k3`)."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        found = precision_recall(
            x, y, k=self.k, radius_cap=self.radius_cap, real_radii=self.real_radii(x, real, memo)
        )
        return {self.named("precision"): found.precision, self.named("recall"): found.recall}
