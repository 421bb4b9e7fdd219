"""The exact conditionals of a Gaussian field: the oracle among the inpainters.

With the precision Q = S^(-1), a square given everything else has covariance Q_SS^(-1) and mean m_S - Q_SS^(-1) Q_SR (x_R - m_R). A
fair fill (tau = 1) leaves the field's law as it is; tau < 1 carries it towards tau^2 S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.inpainting.linear import Conditional, LinearFiller, LinearInpainter, root
from autophage.inpainting.squares import Grid
from autophage.keys import Key


@dataclass(frozen=True, kw_only=True)
class GaussianField(LinearInpainter):
    """Fills from the true conditional law of a Gaussian field, which only data of kind gaussian_field know."""

    def check(self, source: Any, grid: Grid) -> None:
        if not callable(getattr(source, "covariance", None)):
            raise SpecError(
                "inpainter gaussian_field needs pictures of a known Gaussian law, such as data: gaussian_field; for other pictures "
                "take patch, masked_diffusion or pipeline"
            )

    def prepared(self, source: Any, grid: Grid, *, key: Key) -> LinearFiller:
        return LinearFiller(grid, conditionals(source.covariance(), grid), self.tau)


def conditionals(covariance: np.ndarray, grid: Grid) -> list[Conditional]:
    """The law of each square given all else, of a centred Gaussian picture with covariance (d, d)."""
    precision = np.linalg.inv(covariance)
    laws = []
    for number in range(grid.count):
        inside = grid.inside(number)
        around = np.setdiff1d(np.arange(len(precision)), inside)
        given = np.linalg.inv(precision[np.ix_(inside, inside)])
        weights = -given @ precision[np.ix_(inside, around)]
        laws.append(Conditional(inside, around, weights, np.zeros(len(inside)), root(given)))
    return laws
