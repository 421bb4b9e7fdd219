"""Small self-consuming loops with known verdicts, written in plain numpy so that they lean on nothing they
test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest


@dataclass(frozen=True)
class SymbolCourse:
    """Curves (S, G+1) of a categorical loop."""

    risk: np.ndarray
    gini: np.ndarray
    coverage: np.ndarray
    mass: np.ndarray
    outside: np.ndarray


def zipf(symbols: int) -> np.ndarray:
    p = 1 / np.arange(1, symbols + 1)
    return p / p.sum()


@cache
def symbol_loop(
    regime: str, seeds: int, generations: int, n: int = 500, symbols: int = 1000, seed: int = 0
) -> SymbolCourse:
    """Replace, accumulate or fresh (one real record in ten) from a Zipf law; risk KL(P || Q) with half a
    count added to the n records' counts. Twice as many symbols are kept, the second half impossible: the D8
    oracle."""
    rng = np.random.default_rng(seed)
    law = np.concatenate([zipf(symbols), np.zeros(symbols)])
    real = law[:symbols]
    order = np.argsort(real)
    tail = order[np.cumsum(real[order]) <= 0.05]
    expected = (1 - (1 - real[tail]) ** n).sum()
    pool = rng.multinomial(n, law, size=seeds).astype(float)
    share = pool / n
    columns: list[tuple[np.ndarray, ...]] = []
    for _ in range(generations + 1):
        smooth = (n * share[:, :symbols] + 0.5) / (n + 0.5 * symbols)
        columns.append(
            (
                (real * np.log(real / smooth)).sum(1),
                1 - (share**2).sum(1),
                (share[:, tail] > 0).sum(1) / expected,
                share[:, tail].sum(1) / real[tail].sum(),
                share[:, symbols:].sum(1),
            )
        )
        source = 0.1 * law + 0.9 * share if regime == "fresh" else share
        drawn = np.stack([rng.multinomial(n, q / q.sum()) for q in source])
        pool += drawn
        share = pool / pool.sum(1, keepdims=True) if regime == "accumulate" else drawn / n
    return SymbolCourse(*(np.stack(c, axis=1) for c in zip(*columns, strict=True)))


@cache
def regression_loop(regime: str, seeds: int, generations: int, dim: int, seed: int = 0) -> np.ndarray:
    """Excess risk (S, G+1) of least squares refitted to its own labels: the error moves by a normal step of
    mean square 0.1 a generation (replace), divided by the generation's number (accumulate)."""
    steps = np.random.default_rng(seed).standard_normal((seeds, generations + 1, dim)) * np.sqrt(0.1 / dim)
    if regime == "accumulate":
        steps /= np.arange(1, generations + 2)[:, None]
    return (steps.cumsum(1) ** 2).sum(2)


@pytest.fixture
def symbols():
    return symbol_loop


@pytest.fixture
def regression():
    return regression_loop
