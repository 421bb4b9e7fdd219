"""Two interleaved half circles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.data.arguments import not_negative
from autophage.data.source import UnlimitedSource
from autophage.keys import Key


@dataclass(frozen=True, kw_only=True)
class TwoMoonsSource(UnlimitedSource):
    """(cos a, sin a) or (1 - cos a, 1/2 - sin a) with equal odds, a ~ U[0, pi], plus N(0, noise^2 I).

    Records are independent: the moon and the angle are drawn, not laid out on a grid. The moon is the label
    of the reference records.
    """

    noise: float = 0.05
    """The standard deviation of the noise in both coordinates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.noise, "data.noise")

    @property
    def dim(self) -> int:
        return 2

    @property
    def classes(self) -> tuple[str, ...]:
        return ("upper", "lower")

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, np.ndarray]:
        moon = (key / "moon").generator().integers(2, size=(replicates, n))
        angle = (key / "angle").generator().uniform(0, np.pi, (replicates, n))
        noise = (key / "noise").generator().standard_normal((replicates, n, 2))
        sign = 1 - 2 * moon
        curve = np.stack([moon + sign * np.cos(angle), moon / 2 + sign * np.sin(angle)], axis=-1)
        return curve + self.noise * noise, moon
