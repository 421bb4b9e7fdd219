"""A fitted linear regression: weights, and the noise that its own labels carry."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.data.pairs import Inputs
from autophage.keys import Key
from autophage.parts import Model
from autophage.samples import Batch


def times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Matrices (R or 1, i, j) times vectors (R, j), replicate by replicate whatever their number: (R, i)."""
    if len(matrix) == 1:
        return np.einsum("ij,rj->ri", matrix[0], vector)
    return np.einsum("rij,rj->ri", matrix, vector)


def given_inputs(given: Any, n: int, dim: int) -> np.ndarray:
    """The inputs (R or 1, n, d) of the first n real records, from the start again where there are fewer."""
    x = np.asarray(given.x, dtype=np.float64)[..., :dim]
    return x[:, :n] if n <= x.shape[1] else x[:, np.arange(n) % x.shape[1]]


class RegressionModel(Model):
    """y = x.w + noise eps for R replicates: `weights` (R, d).

    New records have new `inputs`, or, where real records are `given`, theirs. `gram` (R or 1, d, d), X'X/n of the inputs
    that are labelled again and again, is known to the models of a fixed design.
    """

    def __init__(
        self, weights: np.ndarray, *, noise: float, inputs: Inputs, gram: np.ndarray | None = None
    ) -> None:
        self.weights = weights
        self.noise = noise
        self.inputs = inputs
        self.gram = gram
        self.replicates = len(weights)

    @property
    def dim(self) -> int:
        return self.weights.shape[1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(R, m, 1): noise-free labels of inputs (m, d) shared by all replicates, or (R, m, d)."""
        shape = "md,rd->rm" if x.ndim == 2 else "rmd,rd->rm"
        return np.einsum(shape, x, self.weights)[..., None]

    def sample(self, n: int, *, key: Key, given: Any = None) -> Batch:
        R, d = self.weights.shape
        x = np.empty((R, n, d + 1))
        if given is None:
            x[..., :d] = self.inputs.draw(n, R, key / "inputs")
        else:
            x[..., :d] = given_inputs(given, n, d)
        (key / "noise").generator().standard_normal(out=(noise := np.empty((R, n))))
        x[..., d] = self.predict(x[..., :d])[..., 0] + self.noise * noise
        return Batch.of(x)

    def spread(self, replicates: int) -> RegressionModel:
        if self.replicates == replicates:
            return self
        return self._with(np.broadcast_to(self.weights, (replicates, self.dim)))

    def moved(self, towards: Model, gain: float) -> RegressionModel:
        """The model `gain` of the way towards another one, in its weights."""
        assert isinstance(towards, RegressionModel)
        return towards._with((1 - gain) * self.weights + gain * towards.weights)

    def _with(self, weights: np.ndarray) -> RegressionModel:
        return RegressionModel(weights, noise=self.noise, inputs=self.inputs, gram=self.gram)

    def arrays(self) -> dict[str, np.ndarray]:
        stored = {"weights": np.ascontiguousarray(self.weights), "noise": np.array(self.noise)}
        return stored if self.gram is None else {**stored, "gram": self.gram}
