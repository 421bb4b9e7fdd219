"""Repeated empirical risk minimisation: fit everything collected so far, publish, go on.

Above a contamination of 1/2 its risk stays away from 0: a wrong label that round 1 left behind is voted for faster
than against. Source: Amin et al. (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.keys import Key
from autophage.studies.pac.domains import Domain
from autophage.studies.pac.learner import Learned


@dataclass(frozen=True, kw_only=True)
class RepeatedErm:
    """The hypothesis with the fewest mistakes on all records of all rounds. Ties keep what was published, or take what is
    nearest to it."""

    knows_provenance: ClassVar[bool] = False

    def learn(
        self, memory: Any, published: np.ndarray, records: Any, *, domain: Domain, round: int, key: Key
    ) -> Learned:
        pile = domain.collect(memory, records)
        best = domain.minimiser(pile, published)
        return Learned(best, best, pile)
