"""A fitted linear regression: weights, and the noise that its own labels carry."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from autophage.data.pairs import Inputs
from autophage.keys import Key
from autophage.parts import Model
from autophage.samples import Batch

RANK = 1e-12
"""Eigenvalues below this share of the largest are zero."""


def times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Matrices (R or 1, i, j) times vectors (R, j), replicate by replicate whatever their number: (R, i)."""
    if len(matrix) == 1:
        return np.einsum("ij,rj->ri", matrix[0], vector)
    return np.einsum("rij,rj->ri", matrix, vector)


class Design:
    """Inputs that are labelled again and again, through their gram X'X/n (R or 1, d, d).

    Weights are written w = H u with H H' = gram^+: in the units u, unit noise on n labels moves a least squares fit by
    N(0, I)/sqrt(n), whatever the inputs, so that a chain of fits is a sum. `basis` is H, `inverse` its (pseudo-)inverse.
    """

    def __init__(self, gram: np.ndarray) -> None:
        self.gram = gram
        self._shrinking: tuple[float, np.ndarray | None] = (0.0, None)
        lower = positive_root(gram)
        if lower is not None:
            self.inverse = np.ascontiguousarray(np.swapaxes(lower, 1, 2))
            self.basis = np.ascontiguousarray(np.swapaxes(_inverse_of_lower(lower), 1, 2))
            return
        values, vectors = np.linalg.eigh(gram)
        roots = np.sqrt(np.where(values > RANK * values[:, -1:], values, 0.0))
        inverse = np.where(roots > 0, 1 / np.where(roots > 0, roots, 1.0), 0.0)
        self.inverse = np.swapaxes(vectors * roots[:, None], 1, 2)
        self.basis = vectors * inverse[:, None]

    def weights(self, units: np.ndarray) -> np.ndarray:
        """H u."""
        return times(self.basis, units)

    def units(self, weights: np.ndarray) -> np.ndarray:
        """u of weights, less what the design does not see of them."""
        return times(self.inverse, weights)

    def units_of_moment(self, moment: np.ndarray) -> np.ndarray:
        """u of the least squares fit of least norm, from X'y/n."""
        return times(np.swapaxes(self.basis, 1, 2), moment)

    def moment(self, units: np.ndarray) -> np.ndarray:
        """X'y/n of labels whose least squares fit is H u."""
        return times(np.swapaxes(self.inverse, 1, 2), units)

    def shrunk(self, units: np.ndarray, ridge: float) -> np.ndarray:
        """u of the ridge fit (gram + ridge I)^-1 gram H u."""
        if not ridge:
            return units
        if self._shrinking[0] != ridge:
            corner = np.arange(self.gram.shape[1])
            lifted = self.gram.copy()
            lifted[:, corner, corner] += ridge
            solved = np.linalg.solve(lifted, np.swapaxes(self.inverse, 1, 2))
            self._shrinking = ridge, self.inverse @ solved
        return times(self._shrinking[1], units)  # type: ignore[arg-type]


def positive_root(gram: np.ndarray) -> np.ndarray | None:
    """The lower square root of grams (R, d, d), or None where one is singular, or so near to it that the difference is
    rounding."""
    try:
        lower = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diagonal(lower, axis1=1, axis2=2) ** 2
    return lower if (pivots.min(axis=1) > RANK * pivots.max(axis=1)).all() else None


def _inverse_of_lower(lower: np.ndarray) -> np.ndarray:
    inverse = np.zeros_like(lower)
    for i in range(lower.shape[1]):
        inverse[:, i, i] = 1 / lower[:, i, i]
        above = np.einsum("rj,rjk->rk", lower[:, i, :i], inverse[:, :i, :i])
        inverse[:, i, :i] = -above * inverse[:, i, i, None]
    return inverse


def given_inputs(given: Any, n: int, dim: int) -> np.ndarray:
    """The inputs (R or 1, n, d) of the first n real records, from the start again where there are fewer."""
    x = np.asarray(given.x, dtype=np.float64)[..., :dim]
    return x[:, :n] if n <= x.shape[1] else x[:, np.arange(n) % x.shape[1]]


class RegressionModel(Model):
    """y = x.w + noise eps for R replicates: `weights` (R, d), or the same as `units` (R, d) of the `design` that its labels
    are for.

    New records have new `inputs`, or, where real records are `given`, theirs.
    """

    def __init__(
        self,
        weights: np.ndarray | None = None,
        *,
        noise: float,
        inputs: Inputs,
        design: Design | None = None,
        units: np.ndarray | None = None,
    ) -> None:
        known: Any = units if weights is None else weights
        self.noise = noise
        self.inputs = inputs
        self.design = design
        self.replicates, self.dim = known.shape
        if weights is not None:
            self.__dict__["weights"] = weights
        if units is not None:
            self.__dict__["units"] = units

    @cached_property
    def weights(self) -> np.ndarray:
        """(R, d)"""
        assert self.design is not None
        return self.design.weights(self.units)

    @cached_property
    def units(self) -> np.ndarray:
        """(R, d): the weights in the design's own units."""
        assert self.design is not None
        return self.design.units(self.weights)

    def units_in(self, design: Design) -> np.ndarray:
        """(R, d): the weights in the units of a design, to the last digit those it has where that is its own."""
        own = self.design
        if own is design or (own is not None and np.array_equal(own.gram, design.gram)):
            return self.units
        return design.units(self.weights)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(R, m, 1): noise-free labels of inputs (m, d) shared by all replicates, or (R, m, d)."""
        shape = "md,rd->rm" if x.ndim == 2 else "rmd,rd->rm"
        return np.einsum(shape, x, self.weights)[..., None]

    def sample(self, n: int, *, key: Key, given: Any = None) -> Batch:
        R, d = self.replicates, self.dim
        x = np.empty((R, n, d + 1))
        if given is None:
            x[..., :d] = self.inputs.draw(n, R, key / "inputs")
        else:
            x[..., :d] = given_inputs(given, n, d)
        noise = (key / "noise").generator().standard_normal((R, n))
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
        return RegressionModel(weights, noise=self.noise, inputs=self.inputs, design=self.design)

    def arrays(self) -> dict[str, np.ndarray]:
        noise = np.array(self.noise)
        if self.design is None:
            return {"weights": np.ascontiguousarray(self.weights), "noise": noise}
        return {"units": np.ascontiguousarray(self.units), "gram": self.design.gram, "noise": noise}
