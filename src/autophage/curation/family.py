"""Laws of a standardised statistic z at a given standardised error delta, for training filters and certifying them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln, xlogy

from autophage.data.arguments import positive

NODES = 101
"""Gauss-Hermite nodes."""


class Law(ABC):
    """The law of z = (T - mu)/s where delta = (mu - a)/s."""

    name: ClassVar[str]

    @abstractmethod
    def nodes(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points z and their masses, both (m, j) for errors (m,): expectations are sums over j."""

    @abstractmethod
    def draws(self, delta: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """(m, n) draws of z."""


@dataclass(frozen=True)
class Normal(Law):
    """z ~ N(0, 1) whatever the error: a Gaussian mean, and the limit of many other statistics."""

    name: ClassVar[str] = "normal"

    def nodes(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, mass = _hermite()
        shape = (len(delta), len(z))
        return np.broadcast_to(z, shape), np.broadcast_to(mass, shape)

    def draws(self, delta: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((len(delta), n))


@dataclass(frozen=True)
class PoissonAround(Law):
    """Counts of mean mu about an anchor a: mu solves (mu - a)/sqrt(mu) = delta, so the law of z changes with the error.

    >>> law = PoissonAround(4.0)
    >>> law.mean(np.array([-3.0, 0.0, 3.0])).tolist()
    [1.0, 4.0, 16.0]
    """

    name: ClassVar[str] = "poisson"
    anchor: float

    def __post_init__(self) -> None:
        positive(self.anchor, "the anchor of a Poisson mean")

    def mean(self, delta: np.ndarray) -> np.ndarray:
        """mu at each error."""
        return ((delta + np.sqrt(delta**2 + 4 * self.anchor)) / 2) ** 2

    def nodes(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mu = self.mean(np.asarray(delta, dtype=np.float64))[:, None]
        k = np.arange(int(mu.max() + 12 * np.sqrt(mu.max()) + 30))
        mass = np.exp(xlogy(k, mu) - mu - gammaln(k + 1))
        return (k - mu) / np.sqrt(mu), mass / mass.sum(axis=1, keepdims=True)

    def draws(self, delta: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        mu = self.mean(delta)[:, None]
        return (rng.poisson(mu, (len(delta), n)) - mu) / np.sqrt(mu)


@cache
def _hermite() -> tuple[np.ndarray, np.ndarray]:
    z, mass = np.polynomial.hermite_e.hermegauss(NODES)
    return z, mass / mass.sum()


def law_of(model: Any, dim: int, anchor: Any) -> Law:
    """The law that a filter is certified for: exact for one Poisson count about a known anchor, otherwise normal.

    model: a class of models.
    """
    from autophage.curation.anchor import KnownAnchor
    from autophage.learners.poisson import PoissonModel

    if (
        isinstance(model, type)
        and issubclass(model, PoissonModel)
        and dim == 1
        and isinstance(anchor, KnownAnchor)
    ):
        known = float(anchor.statistics(1)[0])
        if known > 0:
            return PoissonAround(known)
    return Normal()
