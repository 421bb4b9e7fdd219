"""How many symbols a fitted model still speaks, and how evenly.

For probabilities p of K symbols: Gini-Simpson 1 - sum p^2, entropy -sum p ln p (nats), support #{p > 0}. The
first is the quantity that falls by exactly 1 - 1/n per generation of n samples (Shumailov et al. 2024; Suresh
et al. 2024). Of tokens in contexts (`rows` (R, C, K), contexts of probability `weights`) the first two are the mean
over contexts, sum_c pi_c (...), and the last counts the pairs (context, token) that are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import entr

from autophage.metrics.model_metric import ModelMetric, exposes


def gini_simpson(probabilities: np.ndarray) -> np.ndarray:
    """1 - sum p^2 over the last axis: the chance that two draws differ.

    >>> gini_simpson(np.full(4, 0.25)).item()
    0.75
    """
    return 1 - np.square(probabilities).sum(axis=-1)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """-sum p ln p over the last axis, in nats.

    >>> entropy(np.array([1.0, 0.0])).item()
    0.0
    """
    return entr(probabilities).sum(axis=-1)


def over_contexts(number: Callable[[np.ndarray], np.ndarray], model: Any) -> np.ndarray:
    """A number of the model's probabilities (R, K), or the mean over contexts of that of its rows."""
    if exposes(model, "rows"):
        return number(model.rows) @ model.weights
    return number(model.probabilities)


@dataclass(frozen=True, kw_only=True)
class SymbolMetric(ModelMetric):
    """A number of a model's symbol probabilities."""

    reads: ClassVar[frozenset[str]] = frozenset({"probabilities"})
    domains: ClassVar[frozenset[str]] = frozenset({"symbols"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "none"


@dataclass(frozen=True, kw_only=True)
class Gini(SymbolMetric):
    """1 - sum p^2 of the fitted probabilities (tokens in contexts: the mean over contexts)."""

    row: ClassVar[str] = "gini"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return over_contexts(gini_simpson, model)


@dataclass(frozen=True, kw_only=True)
class Entropy(SymbolMetric):
    """Entropy of the fitted probabilities, in nats (tokens in contexts: given the context)."""

    row: ClassVar[str] = "entropy"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return over_contexts(entropy, model)


@dataclass(frozen=True, kw_only=True)
class Support(SymbolMetric):
    """How many symbols have positive fitted probability (tokens in contexts: how many pairs)."""

    row: ClassVar[str] = "support"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return (model.probabilities > 0).sum(axis=-1)
