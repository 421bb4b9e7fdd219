"""A Gaussian inpainter of patches, fitted to real pictures by least squares.

For each square of the grid, its numbers are regressed on those within `context` pixels of it, over the real training pictures:

    A = C_SR (C_RR + ridge v I)^(-1),      noise covariance = sum of the residuals' products / (n - 1 - r)

with C the sample covariances of n pictures, v the mean variance of the surroundings and r how many numbers they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.data.arguments import not_negative, whole_number
from autophage.errors import SpecError
from autophage.inpainting.linear import Conditional, LinearFiller, LinearInpainter, root
from autophage.inpainting.squares import Grid
from autophage.keys import Key

DRAWN = 4_000
"""Pictures that are drawn to fit to, where the data are a law without end."""


@dataclass(frozen=True, kw_only=True)
class Patch(LinearInpainter):
    """Fills a square from its surroundings by a linear regression with Gaussian errors, fitted to the real training part."""

    context: int = 2
    """Pixels around a square that it is predicted from."""
    ridge: float = 1e-3
    """Added to the variances of the surroundings, as a share of their mean: constant pixels are no obstacle then."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.context, "inpainter.context", least=1)
        not_negative(self.ridge, "inpainter.ridge")

    def check(self, source: Any, grid: Grid) -> None:
        channels = source.shape[2] if len(source.shape) == 3 else 1
        most = max(len(grid.around(number, self.context, channels)) for number in range(grid.count))
        n = DRAWN if source.unlimited else len(source.train())
        if n < most + 3:
            raise SpecError(
                f"inpainter.context is {self.context}, so that a square is predicted from up to {most:,} numbers; {n:,} real "
                f"training pictures are too few for that, take a smaller context, or more than {most + 2:,} pictures"
            )

    def prepared(self, source: Any, grid: Grid, *, key: Key) -> LinearFiller:
        if source.unlimited:
            real = source.draw(DRAWN, key=key / "training pictures").x[0]
        else:
            real = source.train().flat()
        x = np.asarray(real, dtype=np.float64).reshape(len(real), -1)
        channels = source.shape[2] if len(source.shape) == 3 else 1
        laws = [self._law(x, grid, number, channels) for number in range(grid.count)]
        return LinearFiller(grid, laws, self.tau)

    def _law(self, x: np.ndarray, grid: Grid, number: int, channels: int) -> Conditional:
        inside, around = grid.inside(number, channels), grid.around(number, self.context, channels)
        target, told = x[:, inside], x[:, around]
        here, there = target.mean(axis=0), told.mean(axis=0)
        n, r = told.shape
        gram = (told - there).T @ (told - there) / (n - 1)
        # A border that never changes has no variance to take a share of.
        gram[np.diag_indices(r)] += self.ridge * (gram.trace() / r or 1.0)
        weights = np.linalg.lstsq(gram, (told - there).T @ (target - here) / (n - 1), rcond=None)[0].T
        left = target - here - (told - there) @ weights.T
        return Conditional(
            inside, around, weights, here - weights @ there, root(left.T @ left / max(n - 1 - r, 1))
        )
