"""Independent coins."""

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


@dataclass(frozen=True, kw_only=True)
class BernoulliSource(UnlimitedSource):
    """Vectors of independent zeros and ones, P(x_j = 1) = probability_j.

    Raises `SpecError` unless every probability lies strictly between 0 and 1.

    >>> BernoulliSource(probability=[0.2, 0.7]).draw(3, key=Key(0)).x.shape
    (1, 3, 2)
    """

    domain: ClassVar[Domain] = "binary"

    probability: float | tuple[float, ...] = 0.5
    """The probability of a one, a number or one for each coordinate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        p = vector(self.probability, "data.probability")
        wrong = p[~((p > 0) & (p < 1))]
        if len(wrong):
            raise SpecError(f"data.probability holds {wrong[0]:g}; it must lie strictly between 0 and 1")
        object.__setattr__(self, "probability", frozen(self.probability))

    @cached_property
    def _mean(self) -> np.ndarray:
        return vector(self.probability, "data.probability")

    @property
    def dim(self) -> int:
        return len(self._mean)

    @property
    def value_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.bernoulli import BernoulliModel

        return BernoulliModel(mean=self._mean[None])

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        return (key.generator().random((replicates, n, self.dim)) < self._mean).astype(np.float64), None
