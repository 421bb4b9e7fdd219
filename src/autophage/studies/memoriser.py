"""Memorisers of heavy-tailed inputs that train on each other's answers (Dohmatob, Feng, Yang, Charton & Kempe 2024).

A memoriser is right exactly on the inputs it has seen, and its synthetic set repeats the inputs it was trained on, each as often
as it saw it. Its error is the true mass of the unseen inputs. Theory beside it: `theory.tails`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.theory.tails import SYMBOLS, masses, missing_mass


@dataclass(frozen=True)
class UnseenMass:
    """Errors of memorisers on a finite alphabet."""

    errors: np.ndarray
    """(R, G) for generations of replacement, (R,) for one training set."""
    missing: float
    """Mass of the endless law that the alphabet leaves out."""

    @property
    def mean(self) -> Any:
        """Over replicates: (G,), or a number."""
        return self.errors.mean(axis=0)

    @property
    def standard_error(self) -> Any:
        """Of the mean; not a number with one replicate."""
        if len(self.errors) < 2:
            return np.full(self.errors.shape[1:], np.nan)[()]
        return self.errors.std(axis=0, ddof=1) / np.sqrt(len(self.errors))


def simulate(
    beta: float, sizes: Any, *, replicates: int, key: Key | int, symbols: int = SYMBOLS
) -> UnseenMass:
    """Generations of replacement: n_0 true inputs, then n_t inputs drawn from those of generation t - 1. sizes (G,).

    Costs O(R sum n_t) whatever the alphabet: a resampled set is drawn by position, not by input.

    >>> found = simulate(1.5, [1000, 1000], replicates=20, key=0)
    >>> found.errors.shape, bool(found.mean[1] > found.mean[0])
    ((20, 2), True)
    """
    key = key if isinstance(key, Key) else Key(key)
    p = masses(beta, symbols)
    n = [_size(size) for size in np.atleast_1d(np.asarray(sizes))]
    if not n or min(n) < 1:
        raise SpecError("sizes must be a list of whole numbers above zero, one per generation")
    R = _replicates(replicates)
    seen = _drawn(np.cumsum(p), (R, n[0]), key / "real")
    errors = np.empty((R, len(n)))
    for t, errors_t in enumerate(_courses(seen, n, p, key)):
        errors[:, t] = errors_t
    return UnseenMass(errors, missing_mass(beta, symbols))


def _courses(seen: np.ndarray, sizes: list[int], p: np.ndarray, key: Key) -> Iterator[np.ndarray]:
    yield _unseen(seen, p)
    for t, size in enumerate(sizes[1:], start=1):
        chosen = (key / "synthetic" / t).generator().integers(seen.shape[1], size=(len(seen), size))
        seen = np.take_along_axis(seen, chosen, axis=1)
        yield _unseen(seen, p)


def simulate_mixing(
    beta: float,
    real_rows: int,
    synthetic_rows: int,
    rank: int,
    *,
    replicates: int,
    key: Key | int,
    symbols: int = SYMBOLS,
) -> UnseenMass:
    """One training set of true inputs and of inputs from the law cut at a rank, (R,) errors. Either part may be empty; a cut at
    rank 0 gives nothing.

    >>> round(float(simulate_mixing(1.5, 0, 100, 0, replicates=2, key=0).mean), 9)
    1.0
    """
    key = key if isinstance(key, Key) else Key(key)
    p = masses(beta, symbols)
    R, real, synthetic, k = _replicates(replicates), _size(real_rows), _size(synthetic_rows), _size(rank)
    seen = _drawn(np.cumsum(p), (R, real), key / "real")
    if k:
        cut = p[:k] / p[:k].sum()
        seen = np.concatenate([seen, _drawn(np.cumsum(cut), (R, synthetic), key / "cut")], axis=1)
    return UnseenMass(_unseen(seen, p), missing_mass(beta, symbols))


def _drawn(cumulated: np.ndarray, shape: tuple[int, int], key: Key) -> np.ndarray:
    uniform = key.generator().random(shape)
    # The last sum may fall short of one by rounding.
    return np.minimum(np.searchsorted(cumulated, uniform, side="right"), len(cumulated) - 1)


def _unseen(seen: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(R,) one minus the mass of the distinct inputs of each row (R, n)."""
    if not seen.shape[1]:
        return np.ones(len(seen))
    ordered = np.sort(seen, axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return 1 - (p[ordered] * first).sum(axis=1)


def _size(value: float) -> int:
    if not (value >= 0 and np.isfinite(value) and int(value) == value):
        raise SpecError(f"a number of inputs is {value}; it must be a whole number, zero or more")
    return int(value)


def _replicates(value: int) -> int:
    if _size(value) < 1:
        raise SpecError(f"replicates is {value}; it must be at least 1")
    return int(value)
