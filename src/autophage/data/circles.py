"""A circle inside a circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.data.arguments import not_negative
from autophage.data.source import UnlimitedSource
from autophage.errors import SpecError
from autophage.keys import Key


@dataclass(frozen=True, kw_only=True)
class CirclesSource(UnlimitedSource):
    """r (cos a, sin a), r = 1 or r = factor with probability 1/2 each, a ~ U[0, 2 pi], plus N(0, noise^2 I).

    The circle (0 outer, 1 inner) is the label of the reference records.
    """

    factor: float = 0.5
    """The radius of the inner circle; the outer one has radius 1."""
    noise: float = 0.05
    """The standard deviation of the noise in both coordinates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.noise, "data.noise")
        if not 0 < self.factor < 1:
            raise SpecError(f"data.factor is {self.factor}; it must lie strictly between 0 and 1")

    @property
    def dim(self) -> int:
        return 2

    @property
    def classes(self) -> tuple[str, ...]:
        return ("outer", "inner")

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, np.ndarray]:
        circle = (key / "circle").generator().integers(2, size=(replicates, n))
        angle = (key / "angle").generator().uniform(0, 2 * np.pi, (replicates, n))
        noise = (key / "noise").generator().standard_normal((replicates, n, 2))
        radius = np.where(circle == 0, 1.0, self.factor)[..., None]
        return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1) + self.noise * noise, circle
