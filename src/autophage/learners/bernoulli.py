"""Vectors of independent zeros and ones. The sum of n records is Binomial(n, mean)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import xlog1py, xlogy

from autophage.learners.one_parameter import OneParameterLearner, OneParameterModel
from autophage.parts import Model


class BernoulliModel(OneParameterModel):
    """P(x_j = 1) = mean_j, `mean` (R, d) in [0, 1].

    >>> BernoulliModel(np.array([[0.2, 0.5]])).variances.tolist()
    [[0.16000000000000003, 0.25]]
    """

    @property
    def variances(self) -> np.ndarray:
        return self.mean * (1 - self.mean)

    def records(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return (rng.random(shape) < self.mean[:, None, :]).astype(np.float64)

    def totals(self, rng: np.random.Generator, n: np.ndarray) -> np.ndarray:
        return rng.binomial(n, self.mean).astype(np.float64)

    def terms(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return xlogy(x, mean) + xlog1py(1 - x, -mean)

    @staticmethod
    def possible(mean: np.ndarray) -> bool:
        return bool(((mean >= 0) & (mean <= 1)).all())

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where every coordinate is always zero or always one."""
        stuck: np.ndarray = ((self.mean == 0) | (self.mean == 1)).all(axis=1)
        return stuck if stuck.any() else None


@dataclass(frozen=True, kw_only=True)
class Bernoulli(OneParameterLearner):
    """The share of ones in each coordinate. Raises `DataError` for anything but zeros and ones.

    >>> from autophage.keys import Key
    >>> from autophage.samples import Batch
    >>> Bernoulli().fit(Batch.of(np.array([[[1], [0], [0], [0]]])), key=Key(0)).mean.tolist()
    [[0.25]]
    """

    domains: ClassVar[frozenset[str]] = frozenset({"binary"})
    model: ClassVar[type[OneParameterModel]] = BernoulliModel
    legal: ClassVar[str] = "zeros and ones"

    def blend(self, law: Model, model: Model, share: float) -> BernoulliModel | None:
        assert isinstance(law, BernoulliModel) and isinstance(model, BernoulliModel)
        if law.dim > 1:  # the coordinates of a record share its origin, so a mixture's are not independent
            return None
        return BernoulliModel(share * law.mean + (1 - share) * model.mean)

    def accepts(self, x: np.ndarray) -> bool:
        return bool(((x == 0) | (x == 1)).all())
