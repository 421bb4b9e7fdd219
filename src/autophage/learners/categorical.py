"""Symbols 0..K-1 by their frequencies, and the exact law of the refit: a multinomial.

Notation: replicate r has probabilities p (K,). The counts of n new records are Multinomial(n, p), drawn one
symbol after another as binomials. A symbol of probability zero takes nothing from the random stream, so
leaving the dead symbols out changes no number, and a loop that loses symbols gets cheaper with each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autophage.data.arguments import not_negative, vector, whole_number
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Model, Sampling, SufficientLearner
from autophage.samples import Batch, Samples

DENSE = 0.8
"""Above this share of living symbols, packing them costs more than skipping the dead ones saves."""


class CategoricalStatistics(NamedTuple):
    """count (scalar or (R,)) and counts (R, K): how often each symbol occurred."""

    count: Any
    counts: np.ndarray


class CategoricalModel(Model):
    """Independent symbols with `probabilities` (R, K).

    >>> model = CategoricalModel(np.array([[0.5, 0.3, 0.2]]))
    >>> model.tuned(Sampling(temperature=0.5)).probabilities.round(4).tolist()
    [[0.6579, 0.2368, 0.1053]]
    """

    def __init__(self, probabilities: np.ndarray) -> None:
        self.probabilities = probabilities
        self.replicates = len(probabilities)

    @property
    def dim(self) -> int:
        """How many symbols there are."""
        return self.probabilities.shape[1]

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        """n symbols (R, n) by inversion of the cumulative probabilities."""
        u = key.generator().random((self.replicates, n))
        cumulative = np.cumsum(self.probabilities, axis=1)
        x = np.empty((self.replicates, n), np.int64)
        for r in range(self.replicates):
            x[r] = cumulative[r].searchsorted(u[r] * cumulative[r, -1], side="right")
        # Rounding may lift the last u onto the end of the cumulative sum, beyond the last living symbol.
        return Batch.of(np.minimum(x, _last_living(self.probabilities)[:, None], out=x))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, n) for symbols x (n,) shared by all replicates, or (R, n); -inf where a symbol has died."""
        symbols = _whole(np.asarray(x))
        with np.errstate(divide="ignore"):
            logs = np.log(self.probabilities)
        if symbols.ndim == 1:
            return logs[:, symbols]
        return np.take_along_axis(logs, symbols, axis=1)

    def tuned(self, sampling: Sampling) -> CategoricalModel:
        """p^(1/temperature), normalised (Marchi et al. 2024): below 1 sharpens, above 1 flattens."""
        if sampling.temperature is None or sampling.temperature == 1:
            return self
        # Relative to the largest, so that a low temperature cannot make everything underflow.
        p = (self.probabilities / self.probabilities.max(axis=1, keepdims=True)) ** (1 / sampling.temperature)
        return CategoricalModel(p / p.sum(axis=1, keepdims=True))

    def spread(self, replicates: int) -> CategoricalModel:
        if self.replicates == replicates:
            return self
        return CategoricalModel(np.broadcast_to(self.probabilities, (replicates, self.dim)))

    def moved(self, towards: Model, gain: float) -> CategoricalModel:
        """The model `gain` of the way towards another one, in its probabilities."""
        assert isinstance(towards, CategoricalModel)
        return CategoricalModel((1 - gain) * self.probabilities + gain * towards.probabilities)

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where one symbol has all the probability."""
        sure = self.probabilities == 1
        return sure.any(axis=1) if sure.any() else None

    def sufficient(self, x: np.ndarray) -> np.ndarray:
        """(R, n, K): one-hot vectors of symbols (R, n)."""
        symbols = _whole(np.asarray(x)).reshape(x.shape[:2])
        return (symbols[..., None] == np.arange(self.dim)).astype(np.float64)

    def moments_of_sufficient(self) -> tuple[np.ndarray, np.ndarray]:
        """p, and again p: diag(1/p) inverts diag(p) - pp' on vectors that sum to zero."""
        return self.probabilities, self.probabilities

    def arrays(self) -> dict[str, np.ndarray]:
        return {"probabilities": np.ascontiguousarray(self.probabilities)}


@dataclass(frozen=True, kw_only=True)
class Categorical(SufficientLearner):
    """The frequencies of symbols: maximum likelihood, or with additive smoothing.

    Raises `DataError` for records that are not whole numbers in [0, symbols), `FitFailed` when there is no
    record and no smoothing.

    >>> batch = Batch.of(np.array([[0, 2, 2, 1]]))
    >>> Categorical(symbols=4).fit(batch, key=Key(0)).probabilities.tolist()
    [[0.25, 0.25, 0.5, 0.0]]
    """

    has_log_prob: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    moves: ClassVar[bool] = True
    """Its models can be `moved` towards each other."""
    domains: ClassVar[frozenset[str]] = frozenset({"symbols"})
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"temperature"})
    citation: ClassVar[tuple[str, ...]] = ()

    symbols: int | None = None
    """How many symbols there are; taken from the data unless given."""
    smoothing: float = 0.0
    """Added to every count before normalising; 0 is maximum likelihood."""

    def __post_init__(self) -> None:
        if self.symbols is not None:
            whole_number(self.symbols, "learner.symbols", least=2)
        not_negative(self.smoothing, "learner.smoothing")

    def sufficient_size(self, dim: int) -> int:
        return self.symbols or dim

    def summarize(self, batch: Batch) -> CategoricalStatistics:
        x = _whole(batch.x.reshape(batch.x.shape[:2]) if batch.x.shape[2:] == (1,) else batch.x)
        if x.ndim != 2:
            raise DataError(f"symbols come as one number a record, got records of shape {x.shape[2:]}")
        replicates, n = x.shape
        low, high = (int(x.min()), int(x.max())) if n else (0, 0)
        symbols = self.symbols or high + 1
        if low < 0 or high >= symbols:
            raise DataError(f"symbol {low if low < 0 else high} is outside 0..{symbols - 1}")
        rows = np.arange(replicates)[:, None] * symbols
        weight = None if batch.weight is None else batch.weight.ravel()
        counts = np.bincount((x + rows).ravel(), weight, minlength=replicates * symbols)
        count = n if batch.weight is None else batch.weight.sum(axis=1)
        return CategoricalStatistics(count, counts.reshape(replicates, symbols))

    def merge(self, statistics: Sequence[CategoricalStatistics]) -> CategoricalStatistics:
        symbols = max(s.counts.shape[1] for s in statistics)
        wide = [np.pad(s.counts, ((0, 0), (0, symbols - s.counts.shape[1]))) for s in statistics]
        count = sum(np.asarray(s.count) for s in statistics)
        return CategoricalStatistics(count, sum(wide[1:], start=wide[0]))

    def estimate(self, statistics: CategoricalStatistics, *, start: Model | None = None) -> CategoricalModel:
        count, symbols = np.asarray(statistics.count), statistics.counts.shape[1]
        divisor = count + symbols * self.smoothing
        if not divisor.min() > 0:
            raise FitFailed("there is no record to count symbols in")
        counts = statistics.counts + self.smoothing if self.smoothing else statistics.counts
        return CategoricalModel(counts / (divisor if count.ndim == 0 else divisor[:, None]))

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> CategoricalStatistics:
        assert isinstance(model, CategoricalModel)
        return CategoricalStatistics(n, _multinomial(key.generator(), n, model.probabilities))

    def chain(
        self,
        model: Model,
        counts: Sequence[int],
        keys: Sequence[Key],
        absorbed: np.ndarray,
        first: int,
        exact: bool = True,
    ) -> tuple[Model, np.ndarray]:
        assert isinstance(model, CategoricalModel)
        if not exact or self.smoothing or min(counts, default=0) < 1:
            return super().chain(model, counts, keys, absorbed, first, exact)
        # The same numbers as refit and estimate. The dead symbols stay packed away until the end.
        replicates, symbols = model.probabilities.shape
        place = np.arange(replicates * symbols).reshape(replicates, symbols)
        p, place = _packed(model.probabilities, place)
        for generation, (n, key) in enumerate(zip(counts, keys, strict=True), first):
            drawn = _drawn(key.generator(), n, p)
            p = drawn / n
            alone = drawn.max(axis=1) == n
            if alone.any():
                absorbed = np.where((absorbed < 0) & alone, generation, absorbed)
            if (drawn > 0).sum(axis=1).max() < DENSE * p.shape[1]:
                p, place = _packed(p, place)
        final = np.zeros(replicates * symbols)
        final[place[p > 0]] = p[p > 0]
        return CategoricalModel(final.reshape(replicates, symbols)), absorbed

    def law(self, truth: Model | None) -> Model | None:
        return truth if isinstance(truth, CategoricalModel) else None

    def blend(self, law: Model, model: Model, share: float) -> CategoricalModel:
        assert isinstance(law, CategoricalModel) and isinstance(model, CategoricalModel)
        return CategoricalModel(normalised(model.moved(law, share).probabilities))

    def initial(self, values: Mapping[str, Any], dim: int) -> CategoricalModel:
        """The model of `initial_model: {probabilities: [...]}`."""
        if set(values) != {"probabilities"}:
            raise SpecError(f"initial_model of a categorical takes probabilities; got {sorted(values)}")
        p = vector(values["probabilities"], "initial_model.probabilities")
        if len(p) != dim or (p < 0).any() or not abs(p.sum() - 1) <= 1e-6:
            raise SpecError(f"initial_model.probabilities must be {dim} numbers, none negative, of sum 1")
        return CategoricalModel((p / p.sum())[None])

    def restore(self, arrays: Mapping[str, np.ndarray]) -> CategoricalModel:
        return CategoricalModel(arrays["probabilities"])


def normalised(p: np.ndarray) -> np.ndarray:
    """p (..., K) itself, its rounding errors divided out in place so that every sum is one. Raises `DataError` where a
    sum is further off than rounding can be, 1e-6."""
    total = p.sum(axis=-1, keepdims=True)
    off = np.abs(total - 1)
    if not off.max() <= 1e-6:
        worst = total.ravel()[off.argmax()]
        raise DataError(f"probabilities sum to {worst:.9g}; they must sum to 1, up to rounding")
    p /= total
    return p


def _whole(x: np.ndarray) -> np.ndarray:
    """x as integers, or `DataError`."""
    if x.dtype.kind in "iu":
        return x
    if x.dtype.kind not in "fb" or not (np.isfinite(x).all() and (x == np.floor(x)).all()):
        raise DataError("symbols must be whole numbers")
    return x.astype(np.int64)


def _last_living(p: np.ndarray) -> np.ndarray:
    """(R,) the last symbol with a probability above zero."""
    return p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)


def _multinomial(rng: np.random.Generator, n: int | np.ndarray, p: np.ndarray) -> np.ndarray:
    """Counts (R, K) ~ Multinomial(n, p), n a number or (R,)."""
    replicates, symbols = p.shape
    living = p > 0
    alive = np.count_nonzero(living, axis=1)
    widest = int(alive.max())
    if widest > DENSE * symbols:
        padded = np.zeros((replicates, symbols + 1))
        padded[:, :-1] = p
        return _drawn(rng, n, padded)[:, :-1]
    where = np.flatnonzero(living)
    filled = np.arange(widest + 1) < alive[:, None]
    packed = np.zeros((replicates, widest + 1))
    packed[filled] = p.ravel()[where]
    counts = np.zeros(replicates * symbols, np.int64)
    counts[where] = _drawn(rng, n, packed)[filled]
    return counts.reshape(replicates, symbols)


def _drawn(rng: np.random.Generator, n: int | np.ndarray, p: np.ndarray) -> np.ndarray:
    """Multinomial counts; the last column of p must be dead.

    numpy gives the last symbol what all others left, without a draw. With a dead symbol there, a replicate
    takes the same from the stream however many columns the others need; what rounding leaves to it goes back
    to the last living symbol.
    """
    counts = rng.multinomial(n, p)
    if counts[:, -1].any():
        counts[np.arange(len(p)), _last_living(p)] += counts[:, -1]
        counts[:, -1] = 0
    return counts


def _packed(p: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The living symbols of p (R, W) and their places, moved to the left, and a dead column at the end."""
    living = p > 0
    alive = living.sum(axis=1)
    filled = np.arange(alive.max() + 1) < alive[:, None]
    packed, places = np.zeros(filled.shape), np.zeros(filled.shape, np.int64)
    packed[filled] = p[living]
    places[filled] = place[living]
    return packed, places
