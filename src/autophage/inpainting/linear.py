"""Fillers that are linear in what surrounds a square: conditional mean plus tau times conditional noise.

x_S <- m_S + A (x_R - m_R) + tau C z,      z ~ N(0, I),      C C' = the covariance of x_S given x_R
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.inpainting.inpainter import Filler, Inpainter
from autophage.inpainting.squares import Grid
from autophage.keys import Key


class Conditional(NamedTuple):
    """The law of one square given what is around it: places in a flat record, and the map from one to the other."""

    inside: np.ndarray
    """(k,) the square's places."""
    around: np.ndarray
    """(r,) the places it is predicted from."""
    weights: np.ndarray
    """A (k, r)."""
    offset: np.ndarray
    """m_S - A m_R, (k,)."""
    noise: np.ndarray
    """C (k, k)."""


@dataclass(frozen=True, kw_only=True)
class LinearInpainter(Inpainter):
    """An inpainter that knows a conditional mean and a conditional covariance."""

    tau: float = 1.0
    """How much of the conditional noise a fill carries, in [0, 1]: 1 is a fair draw, 0 the conditional mean."""

    def __post_init__(self) -> None:
        if isinstance(self.tau, bool) or not 0 <= self.tau <= 1:
            raise SpecError(f"inpainter.tau is {self.tau!r}; it must lie in [0, 1], where 1 is a fair draw")


class LinearFiller(Filler):
    """Conditional laws for every square of a grid."""

    def __init__(self, grid: Grid, laws: Sequence[Conditional], tau: float) -> None:
        self.grid, self.laws, self.tau = grid, list(laws), tau

    def fill(self, x: np.ndarray, squares: np.ndarray, *, key: Key) -> np.ndarray:
        flat = x.reshape(len(x), -1).copy()
        # The noise is drawn for all pictures at once and at any tau, so that arms of other tau meet the same.
        z = key.generator().standard_normal((len(x), len(self.laws[0].inside)))
        for number in np.unique(squares):
            law, rows = self.laws[number], np.flatnonzero(squares == number)
            filled = flat[np.ix_(rows, law.around)] @ law.weights.T + law.offset
            if self.tau:
                filled += self.tau * z[rows] @ law.noise.T
            flat[np.ix_(rows, law.inside)] = filled
        return flat.reshape(x.shape)


def root(covariance: np.ndarray) -> np.ndarray:
    """A matrix C with C C' = the covariance, which may be singular: eigenvalues below zero by rounding count as zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return vectors * np.sqrt(np.clip(values, 0, None))
