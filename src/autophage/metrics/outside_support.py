"""Hallucinated records: what is generated where no real data are (definition D8 of Schaeffer et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import exact, wilson
from autophage.metrics.model_metric import exposes
from autophage.metrics.neighbours import nearest
from autophage.metrics.records import VECTORS, matched, remembered
from autophage.metrics.tail_coverage import remembered_probabilities, symbol_counts
from autophage.parts import Compared, Measurement, View, measurements
from autophage.samples import Samples


def support_radius(real: np.ndarray, quantile: float = 0.99) -> float:
    """The quantile of the real records' (n, d) distances to their nearest other real record."""
    return float(np.quantile(nearest(real, real, 1, own=True)[0], quantile))


def outside_support(
    real: np.ndarray, generated: np.ndarray, *, quantile: float = 0.99, radius: float | None = None
) -> Compared:
    """The share of generated records (m, d) farther from every real one (n, d) than `support_radius`.

    Real records score about 1 - quantile. Interval: Wilson's over generated records, given the real ones.
    Raises `DataError` below two real records, on unequal widths, or NaN.
    """
    x, y = matched(real, generated)
    if len(x) < 2:
        raise DataError("a support needs at least two real records")
    reach = support_radius(x, quantile) if radius is None else radius
    return wilson((nearest(y, x)[0][:, 0] > reach).sum(), len(y))


def symbols_outside(probabilities: np.ndarray, symbols: np.ndarray) -> Compared:
    """The share of generated symbols whose real probability (K,) is zero; Wilson's interval.

    >>> symbols_outside(np.array([0.5, 0.5, 0.0]), np.array([0, 1, 2, 2])).value
    0.5
    """
    counts = symbol_counts(symbols, len(probabilities))
    return wilson(counts[np.asarray(probabilities) == 0].sum(), int(counts.sum()))


@dataclass(frozen=True, kw_only=True)
class OutsideSupport(FeatureMetric):
    """The share of generated records outside the real support (row `outside_support`).

    Symbols: those of zero true probability, or, where the law is unknown, absent from the real training part;
    the mass a model gives them where it exposes its `probabilities`, else their share of its samples.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"
    domains: ClassVar[frozenset[str]] = VECTORS | {"symbols"}

    quantile: float = 0.99
    """Of the real leave-one-out distances: the radius of support (other values are added to the row:
    `_q0.95`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.quantile <= 1:
            raise SpecError(f"quantile is {self.quantile}; it must lie in (0, 1]")

    def measure(self, view: View) -> list[Measurement]:
        if view.source.domain != "symbols":
            return super().measure(view)
        p = remembered_probabilities(view)
        if exposes(view.model, "probabilities"):
            model: Any = view.model
            mass = np.broadcast_to(model.probabilities, (view.replicates, len(p)))[:, p == 0].sum(axis=1)
            return measurements({"outside_support": exact(m)} for m in mass)
        drawn = (view.generated(r).x for r in range(view.replicates))
        return measurements({"outside_support": symbols_outside(p, x)} for x in drawn)

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        settings = ("support", self.features, self.components, self.quantile)
        radius = remembered(memo, settings, real, lambda: support_radius(x, self.quantile))
        row = "outside_support" if self.quantile == 0.99 else f"outside_support_q{self.quantile:g}"
        return {self.row(row): outside_support(x, y, radius=radius)}
