"""The contradiction learner: a record that contradicts the published hypothesis is certainly natural.

Its error falls as d/((1-a) n t) for every contamination a < 1, which it need not know. Steps reconstructed for autophage
from the published description (positive-unlabelled learning over the class of differences; Amin et al. 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.keys import Key
from autophage.studies.pac.domains import Domain
from autophage.studies.pac.learner import Learned


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Keeps round 1 and every later record that contradicts what was published; publishes the hypothesis that agrees with
    all of them and disagrees with the last one on the fewest points. Raises `NotRealisable` under label noise."""

    knows_provenance: ClassVar[bool] = False

    def learn(
        self, memory: Any, published: np.ndarray, records: Any, *, domain: Domain, round: int, key: Key
    ) -> Learned:
        clean = records if round == 1 else domain.contradicting(records, published)
        space = domain.constrained(memory, clean)
        nearest = domain.nearest(space, published)
        return Learned(nearest, nearest, space)
