"""What equal mixtures of round Gaussians share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.source import UnlimitedSource
from autophage.keys import Key
from autophage.parts import Model


@dataclass(frozen=True, kw_only=True)
class MixtureSource(UnlimitedSource):
    """(1/K) sum_k N(centre_k, deviation^2 I). The component is the label of the reference records."""

    @property
    @abstractmethod
    def component_means(self) -> np.ndarray:
        """The centres (K, d)."""

    @property
    @abstractmethod
    def component_deviation(self) -> float:
        """The standard deviation of every component in every direction."""

    @property
    def dim(self) -> int:
        return self.component_means.shape[1]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.component_means))))

    @cached_property
    def truth(self) -> Model:
        from autophage.learners.gaussian_mixture import GaussianMixtureModel

        k, d = self.component_means.shape
        return GaussianMixtureModel(
            weights=np.full((1, k), 1 / k),
            means=self.component_means[None],
            covariances=np.tile(self.component_deviation**2 * np.eye(d), (1, k, 1, 1)),
        )

    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, np.ndarray]:
        centres = self.component_means
        component = (key / "component").generator().integers(len(centres), size=(replicates, n))
        noise = (key / "noise").generator().standard_normal((replicates, n, centres.shape[1]))
        return centres[component] + self.component_deviation * noise, component
