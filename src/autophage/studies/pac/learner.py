"""What the rounds ask of a learner."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from autophage.keys import Key
from autophage.studies.pac.domains import Domain


class Learned(NamedTuple):
    """What a learner has after a round: hypotheses of the domain, and what it remembers."""

    published: np.ndarray
    """Labels the next round's synthetic records."""
    internal: np.ndarray
    """Its own best hypothesis; the published one where it hides nothing."""
    memory: Any


class PacLearner(Protocol):
    """Bring your own: any object with these two names will do.

    >>> class Stubborn:
    ...     knows_provenance = False
    ...     def learn(self, memory, published, records, *, domain, round, key):
    ...         return Learned(published, published, memory)
    """

    @property
    def knows_provenance(self) -> bool:
        """It is handed the natural records of each round instead of all."""
        ...

    def learn(
        self, memory: Any, published: np.ndarray, records: Any, *, domain: Domain, round: int, key: Key
    ) -> Learned:
        """One round. memory: of the last `Learned`, None before the first. published: what was published last, by which
        the synthetic ones among the records are labelled. round: counts from 1, and in round 1 every record is natural."""
        ...
