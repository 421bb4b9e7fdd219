"""Density and coverage: precision and recall that an outlier cannot fool (Naeem et al. 2020).

Both use the real records' balls only: density counts how many of them hold a generated record, coverage which
hold one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from autophage.keys import Key
from autophage.metrics.intervals import covered, normal
from autophage.metrics.neighbours import CHUNK, balls
from autophage.metrics.precision_recall import NeighbourMetric, check_neighbours, radii
from autophage.metrics.records import matched
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
    chunk: int = CHUNK,
    real_radii: np.ndarray | None = None,
) -> DensityCoverage:
    """Density: mean over generated records (m, d) of (real balls that hold it) / k; about 1 for a perfect
    model, and not bounded by it. Coverage: share of real records (n, d) whose ball holds a generated one.

    Intervals for a redraw of both sets: density normal, from the spread over generated records and over
    balls; coverage by `intervals.covered`. Raises as `precision_recall` does.
    """
    x, y = matched(real, generated)
    check_neighbours(k, radius_cap)
    if real_radii is None:
        real_radii = radii(x, k, cap=radius_cap, chunk=chunk)
    held = balls(y, x, real_radii, chunk=chunk)
    n, m = len(x), len(y)
    each, ball = held.per_point / k, held.per_ball * (n / (m * k))
    error = np.sqrt(each.var(ddof=1) / m + ball.var(ddof=1) / n) if m > 1 else np.nan
    coverage = covered(held.per_ball > 0, held.only_point)
    return DensityCoverage(normal(each.mean(), error, m), replace(coverage, n=m))


@dataclass(frozen=True, kw_only=True)
class DensityCoverageMetric(NeighbourMetric):
    """Density and coverage (rows `density_k5`, `coverage_k5`)."""

    k: int = 5
    """Neighbours, the record itself not counted."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        found = density_coverage(
            x, y, k=self.k, radius_cap=self.radius_cap, real_radii=self.real_radii(x, real, memo)
        )
        return {self.named("density"): found.density, self.named("coverage"): found.coverage}
