"""Records that are pairs: inputs x, d numbers, and their label y, k numbers (one, unless outputs are said to be more).

A record is one row of d + k numbers, the label last. The `dim` of such a source is d, the number of inputs: that is what
the smallest training set and every theorem about a regression speak of.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from autophage.keys import Key


class Inputs(Protocol):
    """Where new inputs come from."""

    @property
    def dim(self) -> int:
        """d."""
        ...

    @property
    def power(self) -> float:
        """The sum of the inputs' variances (of their squares, where they are not centred)."""
        ...

    def draw(self, n: int, replicates: int, key: Key) -> np.ndarray:
        """(R, n, d): n new inputs for every replicate."""
        ...


class GaussianInputs:
    """x ~ N(0, diag(s)): `spectrum` (d,) holds the variances s_j."""

    def __init__(self, spectrum: np.ndarray) -> None:
        self.spectrum = np.asarray(spectrum, dtype=np.float64)
        self.root = np.sqrt(self.spectrum)

    @property
    def dim(self) -> int:
        return len(self.spectrum)

    @property
    def power(self) -> float:
        return float(self.spectrum.sum())

    def draw(self, n: int, replicates: int, key: Key) -> np.ndarray:
        z = key.generator().standard_normal((replicates, n, self.dim))
        z *= self.root
        return z


class RowInputs:
    """The rows of real inputs (N, d), drawn with replacement."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = np.asarray(rows, dtype=np.float64)

    @property
    def dim(self) -> int:
        return self.rows.shape[1]

    @property
    def power(self) -> float:
        return float((self.rows**2).sum() / len(self.rows))

    def draw(self, n: int, replicates: int, key: Key) -> np.ndarray:
        return self.rows[key.generator().integers(len(self.rows), size=(replicates, n))]


def outputs_of(source: Any) -> int:
    """k: numbers in a label."""
    return int(getattr(source, "outputs", 1))


def inputs_of(source: Any) -> Inputs:
    """New inputs for a source's models: from the law of the inputs where the source knows it, else from its real ones."""
    known = getattr(source, "inputs", None)
    if known is not None:
        return known
    real = source.reference() if source.unlimited else source.train()
    return RowInputs(np.asarray(real.x, dtype=np.float64)[:, : source.dim])
