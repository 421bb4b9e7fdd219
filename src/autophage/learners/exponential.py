"""Vectors of independent exponential times. The sum of n records is mean Gamma(n)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autophage.learners.one_parameter import OneParameterLearner, OneParameterModel
from autophage.parts import Model

SMALLEST_MEAN = float(np.exp(-350.0))
"""A mean below exp(-350) counts as zero, before its square underflows to a false one."""


class ExponentialModel(OneParameterModel):
    """Density exp(-x_j / mean_j) / mean_j for x_j >= 0, `mean` (R, d).

    >>> ExponentialModel(np.array([[2.0]])).log_prob(np.array([[1.0], [-1.0]])).round(4).tolist()
    [[-1.1931, -inf]]
    """

    @property
    def variances(self) -> np.ndarray:
        return self.mean**2

    def records(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_exponential(shape) * self.mean[:, None, :]

    def totals(self, rng: np.random.Generator, n: np.ndarray) -> np.ndarray:
        return rng.standard_gamma(n, self.mean.shape) * self.mean

    def terms(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        safe = np.maximum(mean, np.finfo(float).tiny)
        return np.where(x >= 0, -x / safe - np.log(safe), -np.inf)

    @staticmethod
    def possible(mean: np.ndarray) -> bool:
        return bool((mean > 0).all())

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where every mean has shrunk to nothing."""
        stuck = self.mean.max(axis=1) <= SMALLEST_MEAN
        return stuck if stuck.any() else None

    def frozen(self, where: np.ndarray, before: Model) -> ExponentialModel:
        assert isinstance(before, ExponentialModel)
        return ExponentialModel(np.where(where[:, None], before.mean, self.mean))


@dataclass(frozen=True, kw_only=True)
class Exponential(OneParameterLearner):
    """The mean time of each coordinate. Raises `DataError` for negative times.

    >>> from autophage.keys import Key
    >>> from autophage.samples import Batch
    >>> Exponential().fit(Batch.of(np.array([[[0.5], [1.5]]])), key=Key(0)).mean.tolist()
    [[1.0]]
    """

    domains: ClassVar[frozenset[str]] = frozenset({"positive"})
    model: ClassVar[type[OneParameterModel]] = ExponentialModel
    legal: ClassVar[str] = "positive numbers"

    def accepts(self, x: np.ndarray) -> bool:
        return bool((x >= 0).all())
