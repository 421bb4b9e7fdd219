"""What families of independent coordinates with one parameter share: the parameter is the mean, its estimate
the sample mean, and the sum of n records has a law of its own.

Notation: replicate r has the means m (d,); the sum of n records is a sufficient statistic.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from autophage.data.arguments import vector
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Model, SufficientLearner
from autophage.samples import Batch, Samples


class MeanStatistics(NamedTuple):
    """count (scalar or (R,)) and total (R, d): the sums over the records."""

    count: Any
    total: np.ndarray


class OneParameterModel(Model):
    """Independent coordinates with `mean` (R, d)."""

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean
        self.replicates = len(mean)

    @property
    def dim(self) -> int:
        return self.mean.shape[1]

    @property
    @abstractmethod
    def variances(self) -> np.ndarray:
        """(R, d): the variance of each coordinate."""

    @abstractmethod
    def records(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Records of `shape` (R, n, d)."""

    @abstractmethod
    def totals(self, rng: np.random.Generator, n: np.ndarray) -> np.ndarray:
        """(R, d): sums of n new records, n a scalar or (R, 1), from their own law."""

    @abstractmethod
    def terms(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Log densities of a coordinate, x and mean broadcast against each other; -inf where impossible."""

    @staticmethod
    @abstractmethod
    def possible(mean: np.ndarray) -> bool:
        """Whether numbers can be means of this family."""

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        return Batch.of(self.records(key.generator(), (self.replicates, n, self.dim)))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, n) for records x (n, d) shared by all replicates, or (R, n, d)."""
        x = np.asarray(x, dtype=np.float64)
        total = np.zeros((self.replicates, x.shape[-2]))
        for j in range(self.dim):
            total += self.terms(x[..., j], self.mean[:, j : j + 1])
        return total

    def spread(self, replicates: int) -> Self:
        if self.replicates == replicates:
            return self
        return type(self)(np.broadcast_to(self.mean, (replicates, self.dim)))

    def moved(self, towards: Model, gain: float) -> Self:
        """The model `gain` of the way towards another one, in its means."""
        assert isinstance(towards, OneParameterModel)
        return type(self)((1 - gain) * self.mean + gain * towards.mean)

    def sufficient(self, x: np.ndarray) -> np.ndarray:
        """(R, n, d): the records themselves."""
        return np.asarray(x, dtype=np.float64).reshape(*x.shape[:2], self.dim)

    def moments_of_sufficient(self) -> tuple[np.ndarray, np.ndarray]:
        return self.mean, self.variances

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mean": np.ascontiguousarray(self.mean)}


@dataclass(frozen=True, kw_only=True)
class OneParameterLearner(SufficientLearner):
    """The sample mean of every coordinate, which is the maximum likelihood."""

    has_log_prob: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    moves: ClassVar[bool] = True
    """Its models can be `moved` towards each other."""
    citation: ClassVar[tuple[str, ...]] = ()
    model: ClassVar[type[OneParameterModel]]
    legal: ClassVar[str]
    """What a record must be, for refusals."""

    @abstractmethod
    def accepts(self, x: np.ndarray) -> bool:
        """Whether all entries of x (finite) lie in the domain."""

    def sufficient_size(self, dim: int) -> int:
        return dim

    def summarize(self, batch: Batch) -> MeanStatistics:
        x = np.asarray(batch.x, dtype=np.float64).reshape(*batch.x.shape[:2], -1)
        if not (np.isfinite(x).all() and self.accepts(x)):
            raise DataError(
                f"learner {type(self).__name__.lower()} fits {self.legal}; the data hold other numbers"
            )
        if batch.weight is not None:
            return MeanStatistics(batch.weight.sum(axis=1), np.einsum("rn,rnd->rd", batch.weight, x))
        return MeanStatistics(x.shape[1], x.sum(axis=1))

    def merge(self, statistics: Sequence[MeanStatistics]) -> MeanStatistics:
        totals = [s.total for s in statistics]
        return MeanStatistics(sum(np.asarray(s.count) for s in statistics), sum(totals[1:], start=totals[0]))

    def estimate(self, statistics: MeanStatistics, *, start: Model | None = None) -> OneParameterModel:
        count = np.asarray(statistics.count)
        if not count.min() > 0:
            raise FitFailed("there is no record to take the mean of")
        return self.model(statistics.total / (count if count.ndim == 0 else count[:, None]))

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> MeanStatistics:
        assert isinstance(model, OneParameterModel)
        count = np.asarray(n)
        return MeanStatistics(n, model.totals(key.generator(), count if count.ndim == 0 else count[:, None]))

    def law(self, truth: Model | None) -> Model | None:
        return truth if isinstance(truth, self.model) else None

    def initial(self, values: Mapping[str, Any], dim: int) -> OneParameterModel:
        """The model of `initial_model: {mean}`, a number or one for each coordinate."""
        if set(values) != {"mean"}:
            kind = type(self).__name__.lower()
            raise SpecError(f"initial_model of a {kind} takes mean; got {sorted(values)}")
        mean = vector(values["mean"], "initial_model.mean")
        if len(mean) not in (1, dim) or not self.model.possible(mean):
            raise SpecError(
                f"initial_model.mean is {values['mean']}; it must be a number, or {dim} of them, that can be "
                f"the mean of {self.legal}"
            )
        return self.model(np.broadcast_to(mean, (dim,))[None])

    def restore(self, arrays: Mapping[str, np.ndarray]) -> OneParameterModel:
        return self.model(arrays["mean"])
