"""A run small enough to hold in the hand: a view whose models, sources and samples are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autophage.keys import Key
from autophage.samples import Batch, Samples


class FiniteSource:
    """Given records, split."""

    unlimited = False

    def __init__(
        self, train: Samples, reference: Samples, domain: str = "vectors", truth: Any = None
    ) -> None:
        self.domain = domain
        self.truth = truth
        self._train = train
        self._reference = reference

    @property
    def dim(self) -> int:
        return self._train.flat().shape[1]

    def train(self) -> Samples:
        return self._train

    def reference(self) -> Samples:
        return self._reference


class LawSource:
    """A law given as a function (generator, shape) -> records."""

    unlimited = True

    def __init__(self, law: Any, *, domain: str = "vectors", truth: Any = None, reference: int = 500) -> None:
        self.law = law
        self.domain = domain
        self.truth = truth
        self._reference = Samples.of(law(np.random.default_rng(90), (reference,)))

    @property
    def dim(self) -> int:
        return (
            len(self.truth.probabilities[0]) if self.domain == "symbols" else self._reference.flat().shape[1]
        )

    def train(self) -> Samples:
        raise AssertionError("a law has no training part")

    def reference(self) -> Samples:
        return self._reference

    def draw(self, n: int, *, key: Key, replicates: int = 1) -> Batch:
        return Batch.of(self.law(key.generator(), (replicates, n)))


@dataclass
class GivenView:
    """One agent in one generation."""

    source: Any = None
    samples: list[Samples] = field(default_factory=list)
    model: Any = None
    replicates: int = 1
    real_share: Any = 1.0
    real_size: int = 500
    generation: int = 0
    agent: str = "main"
    key: Key = field(default_factory=lambda: Key(5))
    memo: dict = field(default_factory=dict)
    trained_on: Samples | None = None
    peers: dict = field(default_factory=dict)
    describes: bool | None = None
    described: bool = False
    given_by: str | None = None
    last: bool = True

    def __post_init__(self) -> None:
        if self.describes is None:  # as the model would have it
            self.describes = any(hasattr(self.model, n) for n in ("caption_log_prob", "label_log_prob"))

    @property
    def real_used(self) -> int:
        return max([self.real_size, *(peer.real_size for peer in self.peers.values())])

    def generated(self, r: int) -> Samples:
        return self.samples[r]

    def reference(self, r: int, against: str = "reference") -> Samples:
        if against == "train":
            return self.trained_on or self.source.train()
        return self.source.reference()


def coverage(found: list, truth: float) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean([a.low <= truth <= a.high for a in found]))


@pytest.fixture
def house() -> SimpleNamespace:
    """The pieces above, since test files are imported one by one."""
    return SimpleNamespace(FiniteSource=FiniteSource, LawSource=LawSource, View=GivenView, coverage=coverage)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250701)
