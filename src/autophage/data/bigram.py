"""A law over tokens that depends on a context: next-token frequencies, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.arguments import array, frozen, whole_number
from autophage.data.categorical import SymbolSource, Zipf, probability_vector, zipf_of
from autophage.data.source import FIXED
from autophage.errors import SpecError
from autophage.parts import Model


@dataclass(frozen=True, kw_only=True)
class BigramSource(SymbolSource):
    """Independent pairs (context c, token k), c drawn with probability pi_c and k from the row of c.

    A record is one symbol, c K + k for C contexts of K tokens, so that whatever works on symbols works here. Give
    exactly one of `rows` and `zipf`; with `zipf`, `contexts` says how many rows there are, each the same Zipf law with
    its tokens in another order (the first in the order of the ranks; the orders are fixed, whatever the seed).

    Raises `SpecError` for rows or weights that are not probability vectors, or that do not fit each other.

    >>> source = BigramSource(rows=[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], weights=[0.25, 0.75])
    >>> source.dim, source.truth.rows.shape, source.truth.probabilities.round(3).tolist()
    (6, (1, 2, 3), [[0.125, 0.075, 0.05, 0.075, 0.15, 0.525]])
    """

    contexts: int | None = None
    """How many contexts there are; taken from `rows` or `weights` where they are given."""
    weights: tuple[float, ...] | None = None
    """The probability pi_c of each context; they are equally likely unless given."""
    rows: tuple[tuple[float, ...], ...] | None = None
    """For each context the probability of each token."""
    zipf: Zipf | None = None
    """A Zipf or Zipf-Mandelbrot law of the tokens, `{symbols, exponent, shift}`, permuted for each context."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.rows is None) == (self.zipf is None):
            raise SpecError("data bigram needs exactly one of rows and zipf to say how likely each token is")
        object.__setattr__(self, "zipf", zipf_of(self.zipf))
        counts: dict[str, int] = {}
        if self.contexts is not None:
            whole_number(self.contexts, "data.contexts", least=1)
            counts["contexts"] = self.contexts
        if self.weights is not None:
            pi = probability_vector(self.weights, "data.weights")
            if (pi == 0).any():
                raise SpecError(
                    f"data.weights[{int(np.argmin(pi))}] is 0; leave out a context that never occurs"
                )
            counts["weights"] = len(pi)
            object.__setattr__(self, "weights", frozen(self.weights))
        if self.rows is not None:
            table = array(self.rows, "data.rows")
            if table.ndim != 2 or table.shape[1] < 2:
                raise SpecError("data.rows must hold one list for each context, of two or more probabilities")
            for c, row in enumerate(table):
                probability_vector(row, f"data.rows[{c}]")
            counts["rows"] = len(table)
            object.__setattr__(self, "rows", frozen(self.rows))
        if not counts:
            raise SpecError("data bigram with zipf needs contexts: how many contexts there are")
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {n}" for name, n in counts.items())
            raise SpecError(f"data bigram is told of different numbers of contexts: {told}; make them agree")
        object.__setattr__(self, "contexts", next(iter(counts.values())))

    @cached_property
    def _pi(self) -> np.ndarray:
        if self.weights is None:
            return np.full(int(self.contexts or 1), 1 / int(self.contexts or 1))
        pi = np.asarray(self.weights, dtype=np.float64)
        return pi / pi.sum()

    @cached_property
    def _table(self) -> np.ndarray:
        if self.rows is not None:
            table = np.asarray(self.rows, dtype=np.float64)
            return table / table.sum(axis=1, keepdims=True)
        assert self.zipf is not None
        p = self.zipf.probabilities()
        others = range(1, int(self.contexts or 1))
        orders = [(FIXED / "bigram" / c).generator().permutation(len(p)) for c in others]
        return np.stack([p, *(p[order] for order in orders)])

    @cached_property
    def _p(self) -> np.ndarray:
        return (self._pi[:, None] * self._table).ravel()

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.bigram import BigramModel

        return BigramModel(rows=self._table[None], weights=self._pi)
