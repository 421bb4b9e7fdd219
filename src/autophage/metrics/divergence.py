"""How far fitted probabilities are from the true ones, in the two distances that learning theory bounds.

For a truth p and a fit q: KL(p || q) = sum p ln(p/q), in nats, infinite as soon as a symbol of the truth has died; and
total variation, 1/2 sum |p - q|. Of tokens in contexts both are those of the pairs, which is the mean over contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import rel_entr

from autophage.errors import SpecError
from autophage.metrics.diversity import SymbolMetric
from autophage.parts import Measurement, View


@dataclass(frozen=True, kw_only=True)
class KlDivergence(SymbolMetric):
    """KL(truth || fit) of the probabilities, in nats: infinite where a symbol of the truth has died.

    Row `kl_divergence`, and beside it the flag `zero_support`: the share of the true mass on dead symbols, zero where
    the divergence is finite. With `reverse`, KL(fit || truth), row `kl_divergence_reverse`. Smoothing is never applied
    unless asked for, and then named: `kl_divergence_smoothed_0.01`.
    """

    row: ClassVar[str] = "kl_divergence"
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    reverse: bool = False
    """KL(fit || truth) instead, which stays finite as symbols die."""
    smoothing: float | None = None
    """Replace the fit q by (1 - smoothing) q + smoothing/K; in (0, 1)."""

    def __post_init__(self) -> None:
        if self.smoothing is not None and not 0 < self.smoothing < 1:
            raise SpecError(
                f"metric kl_divergence: smoothing is {self.smoothing}; it must lie between 0 and 1"
            )

    def read(self, model: Any, truth: Any) -> np.ndarray:
        q = model.probabilities
        if self.smoothing is not None:
            q = (1 - self.smoothing) * q + self.smoothing / q.shape[1]
        return (rel_entr(q, truth.probabilities) if self.reverse else rel_entr(truth.probabilities, q)).sum(
            axis=1
        )

    def measure(self, view: View) -> list[Measurement]:
        (found,) = super().measure(view)
        name = self.row + "_reverse" * self.reverse
        if self.smoothing is not None:
            return [Measurement(f"{name}_smoothed_{self.smoothing:g}", found.value)]
        if self.reverse:
            return [Measurement(name, found.value)]
        model: Any = view.model
        truth: Any = view.source.truth
        dead = (truth.probabilities * (model.probabilities == 0)).sum(axis=1)
        flag = np.array(np.broadcast_to(dead, (view.replicates,)))
        return [found, Measurement("zero_support", flag)]


@dataclass(frozen=True, kw_only=True)
class TotalVariation(SymbolMetric):
    """1/2 sum |p - q| of the fitted and the true probabilities: the largest difference they give to any event."""

    row: ClassVar[str] = "total_variation"
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return np.abs(model.probabilities - truth.probabilities).sum(axis=1) / 2
