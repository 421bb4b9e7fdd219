"""Eight Gaussians on a ring: the classic test of whether every mode survives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.arguments import positive
from autophage.data.mixture import MixtureSource


@dataclass(frozen=True, kw_only=True)
class EightGaussiansSource(MixtureSource):
    """An equal mixture of eight round Gaussians, component k centred at radius (cos(k pi/4), sin(k pi/4)).

    >>> EightGaussiansSource(radius=2).component_means[2].round(6).tolist()
    [0.0, 2.0]
    """

    radius: float = 2.0
    """The distance of the centres from the origin."""
    deviation: float = 0.2
    """The standard deviation of each component in every direction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.radius, "data.radius")
        positive(self.deviation, "data.deviation")

    @cached_property
    def component_means(self) -> np.ndarray:
        angle = np.arange(8) * np.pi / 4
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    @property
    def component_deviation(self) -> float:
        return self.deviation
