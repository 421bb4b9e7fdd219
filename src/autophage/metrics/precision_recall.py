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
from autophage.metrics.neighbourhoods import Ask, Neighbourhood, Neighbourhoods
from autophage.metrics.records import matched, once, remembered
from autophage.metrics.tiles import CHUNK
from autophage.parts import Compared
from autophage.samples import Samples


class PrecisionRecall(NamedTuple):
    """Precision and recall of one set against another."""

    precision: Compared
    recall: Compared


def radii(x: np.ndarray, k: int, *, cap: float | None = None, chunk: int = CHUNK) -> np.ndarray:
    """The distance (n,) of each record to its k-th nearest other record, cut at the quantile `cap` of all of
    them."""
    return Neighbourhood(x, chunk=chunk).radii(k, cap)


def precision_recall(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    k: int = 3,
    radius_cap: float | None = None,
    ball: Literal["closed", "open"] = "closed",
    chunk: int = CHUNK,
) -> PrecisionRecall:
    """Share of generated records (m, d) on the real manifold, and of real records (n, d) on the generated
    one.

    `radius_cap`: a quantile in (0, 1] at which radii are cut, since one isolated record with a huge ball
    inflates the result. `ball`: whether a record on a sphere lies inside (closed, as in the paper) or not (open, as in the
    prdc package; they differ where records are copies). Intervals: Wilson's over the tested records, given the manifold
    they are tested against. Time: two half and one whole pass over n m distances, in float32 products where that is
    enough to decide; the answer is exact. Raises `SpecError` unless 1 <= k < records, `DataError` on unequal widths or NaN.

    >>> found = precision_recall(np.c_[[0, 1, 2, 3, 4]], np.c_[[0.4, 1.6, 2.2, 9, 9.5]], k=2)
    >>> found.precision.value, found.recall.value
    (0.6, 1.0)
    """
    check_neighbours(k, radius_cap, ball)
    pair = Neighbourhoods(*matched(real, generated, compact=True), chunk=chunk)
    return precision_recall_of(pair, manifolds(k, radius_cap, ball))


def manifolds(k: int, radius_cap: float | None, ball: str) -> tuple[Ask, Ask]:
    """The real and the generated manifold."""
    closed = ball == "closed"
    return Ask("real", k, radius_cap, closed), Ask("generated", k, radius_cap, closed)


def precision_recall_of(
    pair: Neighbourhoods, asks: tuple[Ask, Ask], others: tuple[Ask, ...] = ()
) -> PrecisionRecall:
    """Precision and recall of sets whose neighbourhoods are at hand."""
    plausible = pair.balls(asks[0], (*asks, *others))
    recalled = pair.balls(asks[1])
    precision = covered(plausible.per_point > 0, plausible.only_ball)
    recall = covered(recalled.per_point > 0, recalled.only_ball)
    return PrecisionRecall(precision, replace(recall, n=len(pair.generated.x)))


def check_neighbours(k: int, radius_cap: float | None = None, ball: str = "closed") -> None:
    """Raises `SpecError` unless k is a positive whole number, the cap a quantile in (0, 1], and balls closed or open."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not k >= 1:
        raise SpecError(f"k is {k}; it must be a whole number of neighbours, at least 1")
    if radius_cap is not None and not 0 < radius_cap <= 1:
        raise SpecError(f"radius_cap is {radius_cap}; it must be a quantile in (0, 1]")
    if ball not in ("closed", "open"):
        raise SpecError(f"ball is {ball!r}; it must be closed or open")


@dataclass(frozen=True, kw_only=True)
class NeighbourMetric(FeatureMetric):
    """A metric of k-nearest-neighbour balls."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"

    k: int = 3
    """Neighbours, the record itself not counted."""
    radius_cap: float | None = None
    """A quantile at which ball radii are cut, against isolated records (adds `_cap0.9` to the row names)."""

    ball: Literal["closed", "open"] = "closed"
    """Whether a record on a ball's sphere lies inside. `open` is how the prdc package counts (adds `_open`); it matters where
    records are copies of each other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_neighbours(self.k, self.radius_cap, self.ball)

    @property
    def asks(self) -> tuple[Ask, ...]:
        """The balls that this metric looks at."""
        return manifolds(self.k, self.radius_cap, self.ball)

    def named(self, name: str) -> str:
        """A row's name with k, and the cap and open balls if there are."""
        cap = "" if self.radius_cap is None else f"_cap{self.radius_cap:g}"
        return self.row(f"{name}_k{self.k}{cap}{'_open' if self.ball == 'open' else ''}")

    def neighbourhoods(
        self, real: Samples, generated: Samples, memo: dict
    ) -> tuple[Neighbourhoods, tuple[Ask, ...]]:
        """Both sets in this feature space: the real one's radii are found once a run, and what lies in whose balls once a
        generation for all metrics together. The second is what the metrics of the run are known to ask."""
        space = (self.features, self.components)
        asked = memo.setdefault(("metrics", "balls", *space), {})
        asked.update(dict.fromkeys(self.asks))

        def pair() -> Neighbourhoods:
            x, y = self.embedded(real, generated, memo)
            known = remembered(memo, ("neighbourhood", *space), real, lambda: Neighbourhood(x))
            return Neighbourhoods(known, y)

        # The reference and the training part are different real sets for the same generated records.
        here = remembered(memo, ("neighbourhoods", *space), real, object)
        return once(memo, ("neighbourhoods", *space, id(here)), generated, pair), tuple(asked)


@dataclass(frozen=True, kw_only=True)
class PrecisionRecallMetric(NeighbourMetric):
    """k-NN precision and recall (rows `precision_k3`, `recall_k3`)."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        pair, others = self.neighbourhoods(real, generated, memo)
        real_ask, generated_ask = manifolds(self.k, self.radius_cap, self.ball)
        found = precision_recall_of(pair, (real_ask, generated_ask), others)
        return {self.named("precision"): found.precision, self.named("recall"): found.recall}
