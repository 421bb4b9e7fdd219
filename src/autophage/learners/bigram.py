"""Next-token frequencies, one row for each context, and the exact law of their refit: a multinomial.

Notation: C contexts of K tokens. A record is one symbol c K + k. Context c occurs with probability pi_c, fixed: that
of the data's own context law. Replicate r has rows p(. | c) (C, K). The counts of n new records are Multinomial(n,
pi_c p(k | c)).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import array, frozen
from autophage.data.categorical import probability_vector
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.categorical import Categorical, CategoricalModel, CategoricalStatistics, normalised
from autophage.parts import Model, Sampling, Source, SufficientLearner
from autophage.samples import Batch, Samples


class BigramStatistics(NamedTuple):
    """count (scalar or (R,)) and counts (R, C, K): how often each token followed each context."""

    count: Any
    counts: np.ndarray


class BigramModel(Model):
    """Independent pairs (context, token): contexts by `weights` (C,), tokens by the context's row of `rows` (R, C, K).

    >>> model = BigramModel(np.array([[[0.5, 0.5], [0.2, 0.8]]]), np.array([0.25, 0.75]))
    >>> model.probabilities.round(3).tolist()
    [[0.125, 0.125, 0.15, 0.6]]
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray) -> None:
        self.rows = rows
        self.weights = weights
        self.replicates = len(rows)

    @property
    def probabilities(self) -> np.ndarray:
        """(R, C K): pi_c p(k | c), the law of a record."""
        return (self.weights[:, None] * self.rows).reshape(self.replicates, -1)

    @property
    def dim(self) -> int:
        """How many symbols there are, C K."""
        return self.rows.shape[1] * self.rows.shape[2]

    def _joint(self) -> CategoricalModel:
        return CategoricalModel(self.probabilities)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        """n symbols (R, n)."""
        return self._joint().sample(n, key=key)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, n): ln pi_c + ln p(k | c) for symbols x (n,) or (R, n); -inf where a token has died."""
        return self._joint().log_prob(x)

    def tuned(self, sampling: Sampling) -> BigramModel:
        """p(k | c)^(1/temperature), normalised in each row; contexts stay as they are."""
        replicates, contexts, tokens = self.rows.shape
        flat = CategoricalModel(self.rows.reshape(-1, tokens)).tuned(sampling)
        return BigramModel(flat.probabilities.reshape(replicates, contexts, tokens), self.weights)

    def spread(self, replicates: int) -> BigramModel:
        if self.replicates == replicates:
            return self
        return BigramModel(np.broadcast_to(self.rows, (replicates, *self.rows.shape[1:])), self.weights)

    def absorbed(self) -> np.ndarray | None:
        """(R,) True where every context has one token left."""
        stuck: np.ndarray = (self.rows == 1).any(axis=2).all(axis=1)
        return stuck if stuck.any() else None

    def arrays(self) -> dict[str, np.ndarray]:
        return {"rows": np.ascontiguousarray(self.rows), "weights": np.asarray(self.weights)}


@dataclass(frozen=True, kw_only=True)
class Bigram(SufficientLearner):
    """The frequencies of tokens after each context, maximum likelihood. A row is refitted only if its context occurs;
    otherwise the last generation's row is kept (generation 0: the uniform row).

    With `start: scratch` a row whose context does not occur becomes uniform again. Raises `DataError` for records that
    are not symbols of these contexts and tokens, `FitFailed` when there is no record at all.

    >>> batch = Batch.of(np.array([[0, 0, 1, 2]]))
    >>> Bigram(weights=(0.4, 0.3, 0.3), tokens=2).fit(batch, key=Key(0)).rows.round(3).tolist()
    [[[0.667, 0.333], [1.0, 0.0], [0.5, 0.5]]]
    """

    has_log_prob: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"symbols"})
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"temperature"})
    citation: ClassVar[tuple[str, ...]] = ()

    start: Literal["scratch", "previous"] = "previous"
    """What a row whose context does not occur becomes: uniform again, or what it was in the last generation."""
    weights: tuple[float, ...] | None = None
    """The probability of each context; the data's own unless given."""
    tokens: int | None = None
    """How many tokens may follow a context; the data's own unless given."""

    def __post_init__(self) -> None:
        if (self.weights is None) != (self.tokens is None):
            raise SpecError(
                "learner bigram takes weights and tokens together, or both from data of kind bigram"
            )
        if self.weights is not None:
            probability_vector(self.weights, "learner.weights")
            object.__setattr__(self, "weights", frozen(self.weights))
        if self.tokens is not None and not self.tokens >= 2:
            raise SpecError(f"learner.tokens is {self.tokens}; it must be a whole number of at least 2")

    def bound_to(self, source: Source) -> Bigram:
        """With the contexts and tokens of the data. Raises `SpecError` where they are not known."""
        truth = source.truth
        if self.weights is None:
            if not isinstance(truth, BigramModel):
                raise SpecError(
                    "learner bigram does not know which symbol is which context and token: take data of kind bigram, or "
                    "give learner.weights and learner.tokens"
                )
            _, _, tokens = truth.rows.shape
            return dataclasses.replace(self, weights=tuple(truth.weights.tolist()), tokens=tokens)
        if len(self.weights) * int(self.tokens or 0) != source.dim:
            raise SpecError(
                f"learner bigram has {len(self.weights)} contexts of {self.tokens} tokens but the data has {source.dim} "
                "symbols; contexts times tokens must be that many"
            )
        return self

    @property
    def _shape(self) -> tuple[int, int]:
        if self.weights is None or self.tokens is None:
            raise SpecError("learner bigram needs weights and tokens where no run takes them from its data")
        return len(self.weights), self.tokens

    def summarize(self, batch: Batch) -> BigramStatistics:
        contexts, tokens = self._shape
        found = Categorical(symbols=contexts * tokens).summarize(batch)
        return self._split(found)

    def _split(self, found: CategoricalStatistics) -> BigramStatistics:
        return BigramStatistics(found.count, found.counts.reshape(-1, *self._shape))

    def merge(self, statistics: Sequence[BigramStatistics]) -> BigramStatistics:
        counts = [s.counts for s in statistics]
        return BigramStatistics(
            sum(np.asarray(s.count) for s in statistics), sum(counts[1:], start=counts[0])
        )

    def estimate(self, statistics: BigramStatistics, *, start: Model | None = None) -> BigramModel:
        if not np.min(statistics.count) > 0:
            raise FitFailed("there is no record to count tokens in")
        contexts, tokens = self._shape
        met = statistics.counts.sum(axis=2, keepdims=True)
        if start is None:
            before = np.full((1, contexts, tokens), 1 / tokens)
        else:
            assert isinstance(start, BigramModel)
            before = start.rows
        rows = np.where(met > 0, statistics.counts / np.maximum(met, np.finfo(float).tiny), before)
        return BigramModel(rows, np.asarray(self.weights, dtype=np.float64))

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> BigramStatistics:
        assert isinstance(model, BigramModel)
        return self._split(Categorical().refit(CategoricalModel(model.probabilities), n, key))

    def law(self, truth: Model | None) -> Model | None:
        return truth if isinstance(truth, BigramModel) else None

    def blend(self, law: Model, model: Model, share: float) -> BigramModel | None:
        assert isinstance(law, BigramModel) and isinstance(model, BigramModel)
        if not np.array_equal(
            law.weights, model.weights
        ):  # rows of the mixture would need weights of their own
            return None
        return BigramModel(normalised(share * law.rows + (1 - share) * model.rows), model.weights)

    def initial(self, values: Mapping[str, Any], dim: int) -> BigramModel:
        """The model of `initial_model: {rows: [[...], ...]}`."""
        if set(values) != {"rows"}:
            raise SpecError(f"initial_model of a bigram takes rows; got {sorted(values)}")
        rows = array(values["rows"], "initial_model.rows")
        if rows.shape != self._shape:
            raise SpecError(
                f"initial_model.rows must hold {self._shape[0]} lists of {self._shape[1]} probabilities"
            )
        for c, row in enumerate(rows):
            probability_vector(row, f"initial_model.rows[{c}]")
        return BigramModel(rows[None], np.asarray(self.weights, dtype=np.float64))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> BigramModel:
        return BigramModel(arrays["rows"], arrays["weights"])
