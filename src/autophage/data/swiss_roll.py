"""A rolled-up strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.data.arguments import not_negative
from autophage.data.source import UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key


@dataclass(frozen=True, kw_only=True)
class SwissRollSource(UnlimitedSource):
    """(a cos a, a sin a, w) with a ~ U[3 pi/2, 9 pi/2] and w ~ U[0, 21], plus N(0, noise^2 I).

    The roll of Tenenbaum, de Silva and Langford (2000), the spiral in the first two coordinates; in two
    dimensions the width w is left out.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Tenenbaum, de Silva and Langford (2000), A global geometric framework for nonlinear dimensionality "
        "reduction, Science 290, 2319-2323",
    )

    dim: Literal[2, 3] = 3
    """3 for the rolled strip, 2 for its spiral alone."""
    noise: float = 0.05
    """The standard deviation of the noise in every coordinate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.noise, "data.noise")
        if self.dim not in (2, 3):
            raise SpecError(
                f"data.dim is {self.dim!r}; a swiss roll has 3 dimensions, or 2 without its width"
            )

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, None]:
        angle = (key / "angle").generator().uniform(1.5 * np.pi, 4.5 * np.pi, (replicates, n))
        noise = (key / "noise").generator().standard_normal((replicates, n, self.dim))
        curve = [angle * np.cos(angle), angle * np.sin(angle)]
        if self.dim == 3:
            curve.append((key / "width").generator().uniform(0, 21, (replicates, n)))
        return np.stack(curve, axis=-1) + self.noise * noise, None
