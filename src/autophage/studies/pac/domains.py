"""Where records of a classification round come from, and the hypotheses that can be fitted to them.

A hypothesis is an array whose first axis is the replicate. Learners know a class only through the few questions of
`Domain`, so that each of them is written once for every class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from autophage.errors import NotRealisable, SpecError
from autophage.keys import Key
from autophage.theory.arguments import at_least, unit_interval


class Domain(Protocol):
    """A law of points, a true concept, and a class of hypotheses, for R replicates at once.

    What a record set is, is the domain's own affair: learners only hand it back. `pile` is what the domain keeps of all
    records for empirical risk minimisation, `space` what it keeps of a set of hypotheses that agree with some records;
    both are None before the first record.
    """

    def start(self, replicates: int) -> np.ndarray:
        """The hypothesis that is published before there is any record: 0 everywhere."""
        ...

    def constant(self, labels: np.ndarray) -> np.ndarray:
        """The hypotheses that answer labels (R,) everywhere."""
        ...

    def draw(self, n: int, contamination: float, published: np.ndarray, key: Key) -> tuple[Any, Any]:
        """n records per replicate, and those of them that are natural. Each is synthetic (labelled by what was
        published) with probability `contamination`, else labelled by the concept."""
        ...

    def risk(self, hypothesis: np.ndarray) -> np.ndarray:
        """(R,) the exact chance of a wrong label under the law of points."""
        ...

    def contradicting(self, records: Any, hypothesis: np.ndarray) -> Any:
        """The records whose label is not the hypothesis's."""
        ...

    def only(self, records: Any, where: np.ndarray) -> Any:
        """The records of the replicates `where` (R,), and none of the others."""
        ...

    def collect(self, pile: Any, records: Any) -> Any:
        """The pile with more records."""
        ...

    def minimiser(self, pile: Any, near: np.ndarray) -> np.ndarray:
        """The hypothesis with the fewest wrong labels in the pile; of several, the one nearest to `near`."""
        ...

    def constrained(self, space: Any, records: Any) -> Any:
        """The hypotheses of a space that agree with all records. Raises `NotRealisable` when none does."""
        ...

    def nearest(self, space: Any, near: np.ndarray) -> np.ndarray:
        """The hypothesis of a space that disagrees with `near` on the fewest points, of any batch."""
        ...


class Counts(NamedTuple):
    """Records of a finite domain, each field (R, K): how many there are of each point and label."""

    zeros: np.ndarray
    ones: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class FiniteDomain:
    """K points, with every labelling of them as a hypothesis (VC dimension K): (R, K) of booleans."""

    masses: Any
    """(K,) the probability of each point; they sum to one."""
    concept: Any
    """(K,) the true labels, 0 or 1."""
    label_noise: float = 0.0
    """The chance that a natural label is flipped; above 0 the concept is not realisable."""
    _masses: np.ndarray = field(init=False, repr=False)
    _concept: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        masses, concept = np.asarray(self.masses, dtype=np.float64), np.asarray(self.concept)
        if masses.ndim != 1 or not (masses >= 0).all() or not abs(masses.sum() - 1) <= 1e-8:
            raise SpecError("masses must be a list of probabilities that sum to one")
        if concept.shape != masses.shape or not np.isin(concept, (0, 1)).all():
            raise SpecError(f"concept must be one label, 0 or 1, for each of the {len(masses)} masses")
        unit_interval(self.label_noise, "label_noise")
        object.__setattr__(self, "_masses", masses / masses.sum())
        object.__setattr__(self, "_concept", concept.astype(bool))

    def start(self, replicates: int) -> np.ndarray:
        return np.zeros((replicates, len(self._masses)), dtype=bool)

    def constant(self, labels: np.ndarray) -> np.ndarray:
        return np.broadcast_to(labels[:, None], (len(labels), len(self._masses)))

    def draw(self, n: int, contamination: float, published: np.ndarray, key: Key) -> tuple[Counts, Counts]:
        # One multinomial over (right label, wrong label, synthetic) x point: their counts are all that matters.
        natural, flipped = 1 - contamination, self.label_noise
        shares = [natural * (1 - flipped), natural * flipped, contamination]
        cells = np.concatenate([share * self._masses for share in shares if share > 0])
        counts = key.generator().multinomial(n, cells / cells.sum(), len(published))
        blocks = iter(np.split(counts, sum(s > 0 for s in shares), axis=1))
        right, wrong, made = (
            next(blocks) if s > 0 else np.zeros_like(published, dtype=np.int64) for s in shares
        )
        clean = Counts(np.where(self._concept, wrong, right), np.where(self._concept, right, wrong))
        return Counts(
            clean.zeros + np.where(published, 0, made), clean.ones + np.where(published, made, 0)
        ), clean

    def risk(self, hypothesis: np.ndarray) -> np.ndarray:
        return np.where(hypothesis != self._concept, self._masses, 0.0).sum(axis=1)

    def contradicting(self, records: Counts, hypothesis: np.ndarray) -> Counts:
        return Counts(np.where(hypothesis, records.zeros, 0), np.where(hypothesis, 0, records.ones))

    def only(self, records: Counts, where: np.ndarray) -> Counts:
        return Counts(records.zeros * where[:, None], records.ones * where[:, None])

    def collect(self, pile: np.ndarray | None, records: Counts) -> np.ndarray:
        """(R, K): ones minus zeros."""
        votes = records.ones - records.zeros
        return votes if pile is None else pile + votes

    def minimiser(self, pile: np.ndarray, near: np.ndarray) -> np.ndarray:
        return np.where(pile == 0, near, pile > 0)

    def constrained(self, space: np.ndarray | None, records: Counts) -> np.ndarray:
        """(R, K): 1 and -1 where the label is known, else 0."""
        known = (records.ones > 0).astype(np.int8) - (records.zeros > 0)
        both = (records.ones > 0) & (records.zeros > 0)
        if space is not None:
            both |= space * known < 0
            known = np.where(known == 0, space, known)
        if both.any():
            raise NotRealisable(
                f"in {both.any(axis=1).sum()} of {len(both)} replicates a point has natural records of both labels"
            )
        return known

    def nearest(self, space: np.ndarray, near: np.ndarray) -> np.ndarray:
        return np.where(space == 0, near, space > 0)


def rare_points(count: int, mass: float, *, label_noise: float = 0.0) -> FiniteDomain:
    """`count` points of probability `mass` and label 1, which round 1 may miss, and one heavy point of label 0.

    >>> rare_points(20, 0.01).risk(np.zeros((1, 21), dtype=bool)).round(6).tolist()
    [0.2]
    """
    at_least(count, 1, "the number of rare points")
    if not 0 < count * mass <= 1:
        raise SpecError(f"{count} points of mass {mass} do not fit into a domain of mass 1")
    masses = np.append(np.full(int(count), float(mass)), 1 - count * mass)
    return FiniteDomain(
        masses=masses, concept=np.append(np.ones(int(count), int), 0), label_noise=label_noise
    )
