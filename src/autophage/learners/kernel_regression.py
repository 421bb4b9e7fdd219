"""Kernel ridge regression, with labels of any width.

    f = argmin (1/T) sum_i |f(x_i) - y_i|^2 + lambda |f|_H^2,    f(x) = sum_i k(x, x_i) c_i,   (K + T lambda I) c = y

Records in several label sets over the same inputs are one set of mean labels: the objective is the same up to a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from autophage.data.pairs import Inputs
from autophage.keys import Key
from autophage.learners.regression_model import given_inputs
from autophage.parts import Model
from autophage.samples import Batch


class Kernel(NamedTuple):
    """rbf: exp(-|x - x'|^2 / (2 scale^2)); polynomial: (x.x' / scale^2 + offset)^degree."""

    kind: Literal["rbf", "polynomial"]
    scale: float
    degree: int = 3
    offset: float = 1.0

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """k at all pairs of rows: x (..., m, d), y (..., n, d) -> (..., m, n)."""
        products = x @ np.swapaxes(y, -1, -2)
        if self.kind == "polynomial":
            return (products / self.scale**2 + self.offset) ** self.degree
        squares = (x**2).sum(-1)[..., :, None] + (y**2).sum(-1)[..., None, :]
        return np.exp(-np.maximum(squares - 2 * products, 0.0) / (2 * self.scale**2))


class KernelStatistics(NamedTuple):
    """The records themselves: count (scalar or (R,)) of them, distinct `inputs` (R or 1, n, d), mean `labels`
    (R or 1, n, k) of each, and the `weight` (R or 1, n) of each, None where all weigh alike."""

    count: Any
    inputs: np.ndarray
    labels: np.ndarray
    weight: np.ndarray | None = None

    def weights(self) -> np.ndarray:
        """(R or 1, n), their sum the count."""
        if self.weight is not None:
            return self.weight
        n = self.inputs.shape[1]
        return np.broadcast_to(
            np.asarray(self.count, dtype=np.float64).reshape(-1, 1) / n, (max(np.size(self.count), 1), n)
        )


def merged(statistics: Sequence[KernelStatistics]) -> KernelStatistics:
    """All records together; label sets over the same inputs become their mean."""
    first = statistics[0]
    total = sum(np.asarray(s.count) for s in statistics)
    same = all(s.weight is None and _same(s.inputs, first.inputs) for s in statistics)
    if same:
        shares = [np.reshape(s.count / total, (-1, 1, 1)) for s in statistics]
        labels: Any = sum(share * s.labels for share, s in zip(shares, statistics, strict=True))
        return KernelStatistics(total, first.inputs, labels)
    R = max(len(a) for s in statistics for a in (s.inputs, s.labels, s.weights()))
    inputs, labels, weight = (
        np.concatenate([np.broadcast_to(a, (R, *a.shape[1:])) for a in column], axis=1)
        for column in zip(*((s.inputs, s.labels, s.weights()) for s in statistics), strict=True)
    )
    return KernelStatistics(total, inputs, labels, weight)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (a.shape == b.shape and np.array_equal(a, b))


class Spectrum(NamedTuple):
    """K = V diag(values) V' of one set of inputs, for every penalty."""

    values: np.ndarray
    vectors: np.ndarray

    @staticmethod
    def of(kernel: Kernel, inputs: np.ndarray) -> Spectrum:
        return Spectrum(*np.linalg.eigh(kernel(inputs, inputs)))

    def solve(self, labels: np.ndarray, penalty: float) -> np.ndarray:
        """(K + penalty I)^-1 labels (R, n, k); of least norm where that is singular."""
        shrunk = self.values + penalty
        floor = 1e-12 * np.abs(self.values).max(axis=-1, keepdims=True)
        inverse = np.where(shrunk > floor, 1 / np.where(shrunk > floor, shrunk, 1.0), 0.0)
        return self.vectors @ (inverse[..., None] * (np.swapaxes(self.vectors, -1, -2) @ labels))


def coefficients(kernel: Kernel, statistics: KernelStatistics, ridge: float) -> np.ndarray:
    """c (R, n, k), by one solve for each replicate: (K + lambda T W^-1) c = y for weights W that sum to T, written so that
    records of weight zero do no harm."""
    x, y = statistics.inputs, statistics.labels
    weight = statistics.weights()
    root = np.sqrt(weight / weight.sum(axis=1, keepdims=True))[..., None]
    system = root * kernel(x, x) * np.swapaxes(root, 1, 2)
    if not ridge:
        return root * Spectrum(*np.linalg.eigh(system)).solve(root * y, 0.0)
    corner = np.arange(x.shape[1])
    system[:, corner, corner] += ridge
    return root * np.linalg.solve(system, root * y)


class KernelModel(Model):
    """f(x) = sum_i k(x, x_i) c_i for R replicates: `centres` x_i (R or 1, n, d), `coefficients` c_i (R, n, k)."""

    def __init__(
        self,
        centres: np.ndarray,
        coefficients: np.ndarray,
        *,
        kernel: Kernel,
        noise: float,
        inputs: Inputs,
    ) -> None:
        self.centres = centres
        self.coefficients = coefficients
        self.kernel = kernel
        self.noise = noise
        self.inputs = inputs
        self.replicates = max(len(centres), len(coefficients))

    @property
    def dim(self) -> int:
        return self.centres.shape[2]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(R, m, k): noise-free labels of inputs (m, d) shared by all replicates, or (R or 1, m, d)."""
        found = self.kernel(x if x.ndim == 3 else x[None], self.centres) @ self.coefficients
        return np.broadcast_to(found, (self.replicates, *found.shape[1:]))

    def sample(self, n: int, *, key: Key, given: Any = None) -> Batch:
        R, d, k = self.replicates, self.dim, self.coefficients.shape[2]
        inputs = self.inputs.draw(n, R, key / "inputs") if given is None else given_inputs(given, n, d)
        x = np.empty((R, n, d + k))
        x[..., :d] = inputs
        x[..., d:] = self.predict(inputs) + self.label_noise(n, key)
        return Batch.of(x)

    def label_noise(self, n: int, key: Key) -> np.ndarray:
        """(R, n, k)"""
        shape = (self.replicates, n, self.coefficients.shape[2])
        return self.noise * (key / "noise").generator().standard_normal(shape)

    def spread(self, replicates: int) -> KernelModel:
        if self.replicates == replicates:
            return self
        wide = np.broadcast_to(self.coefficients, (replicates, *self.coefficients.shape[1:]))
        return KernelModel(self.centres, wide, kernel=self.kernel, noise=self.noise, inputs=self.inputs)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "centres": np.ascontiguousarray(self.centres),
            "coefficients": np.ascontiguousarray(self.coefficients),
            "noise": np.array(self.noise),
        }
