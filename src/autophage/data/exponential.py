"""Independent waiting times."""

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
class ExponentialSource(UnlimitedSource):
    """Vectors of independent positive numbers with density exp(-x_j / mean_j) / mean_j.

    Raises `SpecError` unless every mean is above zero.

    >>> ExponentialSource(mean=[1, 5]).draw(3, key=Key(0)).x.shape
    (1, 3, 2)
    """

    domain: ClassVar[Domain] = "positive"

    mean: float | tuple[float, ...] = 1.0
    """The expected value, a number or one for each coordinate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        mean = vector(self.mean, "data.mean")
        if not (mean > 0).all():
            raise SpecError(f"data.mean holds {mean.min():g}; the mean of a positive variable is above zero")
        object.__setattr__(self, "mean", frozen(self.mean))

    @cached_property
    def _mean(self) -> np.ndarray:
        return vector(self.mean, "data.mean")

    @property
    def dim(self) -> int:
        return len(self._mean)

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.exponential import ExponentialModel

        return ExponentialModel(mean=self._mean[None])

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        return key.generator().standard_exponential((replicates, n, self.dim)) * self._mean, None
