"""Independent counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from autophage.data.arguments import frozen, vector
from autophage.data.source import UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Domain, Model

LARGEST = 1e15
"""Rates above this would give counts that float64 cannot hold exactly."""


@dataclass(frozen=True, kw_only=True)
class PoissonSource(UnlimitedSource):
    """Vectors of independent counts, P(x_j = k) = rate_j^k exp(-rate_j) / k!.

    Raises `SpecError` unless every rate is above zero.

    >>> PoissonSource(rate=[1, 10]).draw(3, key=Key(0)).x.shape
    (1, 3, 2)
    """

    domain: ClassVar[Domain] = "counts"

    rate: float | tuple[float, ...] = 1.0
    """The expected count, a number or one for each coordinate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = vector(self.rate, "data.rate")
        wrong = rate[~((rate > 0) & (rate <= LARGEST))]
        if len(wrong):
            raise SpecError(
                f"data.rate holds {wrong[0]:g}; a rate lies above zero and at most at {LARGEST:g}"
            )
        object.__setattr__(self, "rate", frozen(self.rate))

    @cached_property
    def _mean(self) -> np.ndarray:
        return vector(self.rate, "data.rate")

    @property
    def dim(self) -> int:
        return len(self._mean)

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.poisson import PoissonModel

        return PoissonModel(mean=self._mean[None])

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        counts = key.generator().poisson(self._mean, (replicates, n, self.dim))
        return counts.astype(np.float64), None
