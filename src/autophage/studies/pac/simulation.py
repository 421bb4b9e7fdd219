"""The rounds: draw, label, learn, publish.

Round 1 is all natural. In every later round each record is synthetic with probability a (the contamination): labelled
by what the learner published last instead of by the concept. The learner sees points and labels only, unless it
`knows_provenance`. Round t is generation t - 1 of a loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage import registry
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.pac.contradiction import Contradiction
from autophage.studies.pac.domains import Domain
from autophage.studies.pac.learner import PacLearner
from autophage.studies.pac.oracle import Oracle
from autophage.studies.pac.randomised_publication import RandomisedPublication
from autophage.studies.pac.repeated_erm import RepeatedErm
from autophage.theory.arguments import unit_interval
from autophage.theory.erm import NO_INFORMATION

LEARNERS: Mapping[str, type] = {
    "repeated_erm": RepeatedErm,
    "contradiction": Contradiction,
    "randomised_publication": RandomisedPublication,
    "oracle": Oracle,
}
"""The learners of this package by name."""


@dataclass(frozen=True)
class PacCourse:
    """The true risks, exact under the domain's law, after every round."""

    risk: np.ndarray
    """(R, T): of what was published."""
    internal: np.ndarray
    """(R, T): of the learner's own best hypothesis."""
    notes: tuple[str, ...] = ()
    """What should be known before the numbers are read."""

    @property
    def mean_risk(self) -> np.ndarray:
        """(T,)."""
        return self.risk.mean(axis=0)

    @property
    def mean_internal(self) -> np.ndarray:
        """(T,)."""
        return self.internal.mean(axis=0)

    @property
    def late_risk(self) -> float:
        """The mean published risk of the last quarter of the rounds."""
        return float(self.risk[:, -max(self.risk.shape[1] // 4, 1) :].mean())


def simulate(
    learner: PacLearner | str,
    domain: Domain,
    contamination: float,
    n: Any,
    rounds: int,
    replicates: int,
    key: Key | int,
) -> PacCourse:
    """R replicates of T rounds. n: records per round, one number or (T,); a round of 0 is skipped and what was published
    stays. learner: an object, or the name of one in `LEARNERS` with its default settings.

    With contamination 1 the course runs, and its notes say that no information arrives after round 1. Raises `SpecError`
    for a contamination outside [0, 1], `NotRealisable` where natural labels contradict each other and the learner rests
    on their agreement.

    >>> from autophage.studies.pac.domains import rare_points
    >>> stuck = simulate("repeated_erm", rare_points(20, 0.01), 0.8, n=100, rounds=60, replicates=200, key=0)
    >>> freed = simulate("contradiction", rare_points(20, 0.01), 0.8, n=100, rounds=60, replicates=200, key=0)
    >>> bool(stuck.mean_risk[-1] > 0.05), bool(freed.mean_risk[-1] < 1e-3)
    (True, True)
    """
    a = unit_interval(contamination, "contamination")
    for name, value in (("rounds", rounds), ("replicates", replicates)):
        if not value >= 1:
            raise SpecError(f"{name} is {value}; it must be at least 1")
    sizes = _sizes(n, rounds)
    key = key if isinstance(key, Key) else Key(key)
    if isinstance(learner, str) and learner not in LEARNERS:
        raise SpecError(f"there is no learner '{learner}'{registry.nearest(learner, LEARNERS)}")
    taught: PacLearner = LEARNERS[learner]() if isinstance(learner, str) else learner
    published = internal = domain.start(replicates)
    memory: Any = None
    risk, own = np.empty((2, rounds, replicates))
    for t, size in enumerate(sizes, 1):
        if size:
            here = key / "round" / t
            records, natural = domain.draw(int(size), a if t > 1 else 0.0, published, here / "records")
            seen = natural if taught.knows_provenance else records
            published, internal, memory = taught.learn(
                memory, published, seen, domain=domain, round=t, key=here / "learner"
            )
        risk[t - 1] = domain.risk(published)
        own[t - 1] = risk[t - 1] if internal is published else domain.risk(internal)
    return PacCourse(risk.T, own.T, (NO_INFORMATION,) if a == 1 and rounds > 1 else ())


def _sizes(n: Any, rounds: int) -> np.ndarray:
    sizes = np.asarray(n, dtype=np.float64)
    if sizes.ndim > 1 or (sizes.ndim == 1 and len(sizes) != rounds):
        raise SpecError(f"n has shape {sizes.shape}; it must be one number or {rounds}")
    sizes = np.broadcast_to(sizes, (rounds,))
    wrong = ~(np.isfinite(sizes) & (sizes >= 0) & (sizes % 1 == 0))
    if wrong.any():
        t = int(np.argmax(wrong))
        raise SpecError(
            f"n is {sizes[t]:g} in round {t + 1}; it must be a whole number of records, zero or more"
        )
    return sizes.astype(np.int64)
