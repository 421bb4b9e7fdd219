"""Round clusters whose centres never move.

The published study of kernel density loops drew new centres for its test set (Kazdan et al. 2024), so that
its held-out likelihood compared two different laws; here the centres are part of the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.data.arguments import array, frozen, positive
from autophage.data.mixture import MixtureSource
from autophage.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class BlobsSource(MixtureSource):
    """An equal mixture of round Gaussians with the given centres.

    Raises `SpecError` unless `centres` is a list of at least two different points of one dimension.
    """

    centres: tuple[tuple[float, ...], ...] = ((-6.0, -4.0), (0.0, 6.0), (6.0, -2.0))
    """The centre of each component."""
    deviation: float = 1.0
    """The standard deviation of each component in every direction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.deviation, "data.deviation")
        centres = array(self.centres, "data.centres")
        if centres.ndim != 2 or len(np.unique(centres, axis=0)) < len(centres) or len(centres) < 2:
            raise SpecError(
                "data.centres must be a list of at least two different points, each a list of numbers"
            )
        object.__setattr__(self, "centres", frozen(self.centres))

    @cached_property
    def component_means(self) -> np.ndarray:
        return array(self.centres, "data.centres")

    @property
    def component_deviation(self) -> float:
        return self.deviation
