"""Density and coverage: precision and recall that an outlier cannot fool (Naeem et al. 2020).

Both use the real records' balls only: density counts how many of them hold a generated record, coverage which
hold one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from autophage.keys import Key
from autophage.metrics.intervals import covered, normal
from autophage.metrics.neighbourhoods import Ask, Neighbourhoods
from autophage.metrics.precision_recall import NeighbourMetric, check_neighbours, manifolds
from autophage.metrics.records import matched
from autophage.metrics.tiles import CHUNK
from autophage.parts import Compared
from autophage.samples import Samples


class DensityCoverage(NamedTuple):
    """Density and coverage of generated records."""

    density: Compared
    coverage: Compared


def density_coverage(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    k: int = 5,
    radius_cap: float | None = None,
    ball: Literal["closed", "open"] = "closed",
    chunk: int = CHUNK,
) -> DensityCoverage:
    """Density: mean over generated records (m, d) of (real balls that hold it) / k; about 1 for a perfect
    model, and not bounded by it. Coverage: share of real records (n, d) whose ball holds a generated one.

    Intervals for a redraw of both sets: density normal, from the spread over generated records and over
    balls; coverage by `intervals.covered`. `ball` as in `precision_recall`; raises as that does.
    """
    check_neighbours(k, radius_cap, ball)
    pair = Neighbourhoods(*matched(real, generated, compact=True), chunk=chunk)
    return density_coverage_of(pair, manifolds(k, radius_cap, ball)[0])


def density_coverage_of(pair: Neighbourhoods, ask: Ask, others: tuple[Ask, ...] = ()) -> DensityCoverage:
    """Density and coverage of sets whose neighbourhoods are at hand."""
    held = pair.balls(ask, others)
    n, m, k = len(pair.real.x), len(pair.generated.x), ask.k
    each, ball = held.per_point / k, held.per_ball * (n / (m * k))
    error = np.sqrt(each.var(ddof=1) / m + ball.var(ddof=1) / n) if m > 1 else np.nan
    coverage = covered(held.per_ball > 0, held.only_point)
    return DensityCoverage(normal(each.mean(), error, m), replace(coverage, n=m))


@dataclass(frozen=True, kw_only=True)
class DensityCoverageMetric(NeighbourMetric):
    """Density and coverage (rows `density_k5`, `coverage_k5`)."""

    k: int = 5
    """Neighbours, the record itself not counted."""

    @property
    def asks(self) -> tuple[Ask, ...]:
        return manifolds(self.k, self.radius_cap, self.ball)[:1]

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        pair, others = self.neighbourhoods(real, generated, memo)
        found = density_coverage_of(pair, self.asks[0], others)
        return {self.named("density"): found.density, self.named("coverage"): found.coverage}
