"""The learner that is told which records are natural: what not knowing costs is measured against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.keys import Key
from autophage.studies.pac.domains import Domain
from autophage.studies.pac.learner import Learned
from autophage.studies.pac.repeated_erm import RepeatedErm


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """Empirical risk minimisation over the natural records of all rounds, which is all it is handed."""

    knows_provenance: ClassVar[bool] = True

    def learn(
        self, memory: Any, published: np.ndarray, records: Any, *, domain: Domain, round: int, key: Key
    ) -> Learned:
        return RepeatedErm().learn(memory, published, records, domain=domain, round=round, key=key)
