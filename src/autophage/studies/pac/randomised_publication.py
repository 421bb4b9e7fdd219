"""The learner that now and then publishes a constant, so that what contradicts it next round is certainly natural.

Published error about t^{-1/2}/2 plus that of its internal hypothesis, for every contamination a < 1, which it need not
know. Steps reconstructed for autophage from the published description (Amin et al. 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autophage.keys import Key
from autophage.studies.pac.domains import Domain
from autophage.studies.pac.learner import Learned


class Remembered(NamedTuple):
    """The hypotheses that agree with every clean record, the internal one of them, and where a constant was published."""

    space: Any
    internal: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RandomisedPublication:
    """With probability t^{-1/2} publishes all 0 or all 1, by a fair coin, else its internal hypothesis: the one that agrees
    with round 1 and with every record that contradicted a constant. Raises `NotRealisable` under label noise."""

    knows_provenance: ClassVar[bool] = False

    def learn(
        self, memory: Any, published: np.ndarray, records: Any, *, domain: Domain, round: int, key: Key
    ) -> Learned:
        replicates = len(published)
        if memory is None:
            memory = Remembered(None, published, np.zeros(replicates, dtype=bool))
        if round == 1:
            clean = records
        else:
            # Where no constant was published nothing is clean: a record never contradicts what agrees with it.
            clean = domain.contradicting(records, published)
            clean = domain.only(clean, memory.constant)
        space = domain.constrained(memory.space, clean)
        internal = domain.nearest(space, memory.internal)
        stream = key.generator()
        coins = stream.random((replicates, 2))
        constant = coins[:, 0] < round**-0.5
        return Learned(
            _chosen(constant, domain.constant(coins[:, 1] < 0.5), internal),
            internal,
            Remembered(space, internal, constant),
        )


def _chosen(where: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.where(where.reshape(-1, *(1,) * (first.ndim - 1)), first, second)
