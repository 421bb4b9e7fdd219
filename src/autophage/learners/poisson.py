"""Vectors of independent counts. The sum of n records is Poisson(n mean)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln, xlogy

from autophage.learners.one_parameter import OneParameterLearner, OneParameterModel


class PoissonModel(OneParameterModel):
    """P(x_j = k) = mean_j^k exp(-mean_j) / k!, `mean` (R, d).

    >>> PoissonModel(np.array([[2.0]])).log_prob(np.array([[0.0], [1.0]])).round(4).tolist()
    [[-2.0, -1.3069]]
    """

    @property
    def variances(self) -> np.ndarray:
        return self.mean

    def records(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.poisson(self.mean[:, None, :], shape).astype(np.float64)

    def totals(self, rng: np.random.Generator, n: np.ndarray) -> np.ndarray:
        return rng.poisson(n * self.mean).astype(np.float64)

    def terms(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return xlogy(x, mean) - mean - gammaln(x + 1)

    @staticmethod
    def possible(mean: np.ndarray) -> bool:
        return bool((mean >= 0).all())

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where every count is zero for ever."""
        stuck: np.ndarray = (self.mean == 0).all(axis=1)
        return stuck if stuck.any() else None


@dataclass(frozen=True, kw_only=True)
class Poisson(OneParameterLearner):
    """The mean count of each coordinate. Raises `DataError` for negative or fractional counts.

    >>> from autophage.keys import Key
    >>> from autophage.samples import Batch
    >>> Poisson().fit(Batch.of(np.array([[[3], [0], [2], [1]]])), key=Key(0)).mean.tolist()
    [[1.5]]
    """

    domains: ClassVar[frozenset[str]] = frozenset({"counts"})
    model: ClassVar[type[OneParameterModel]] = PoissonModel
    legal: ClassVar[str] = "whole numbers from zero up"

    def accepts(self, x: np.ndarray) -> bool:
        return bool(((x >= 0) & (x == np.floor(x))).all())
