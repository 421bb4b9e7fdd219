"""A generation's proposals on their way through curation.

Every record the model is asked for counts as a proposal, so that safeguards can be compared at equal cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autophage.curation.diversity import Diversity
from autophage.errors import FitFailed, SpecError
from autophage.interventions import COSTS, Curation
from autophage.keys import Key
from autophage.parts import Model
from autophage.samples import Batch, Samples, chunks

if TYPE_CHECKING:
    from autophage.loop import Loop


WATCHED = 2_000
"""Records among which `Proposals.judged` looks for examples."""
SHOWN = 24
"""Examples of each kind."""
NUMBERS = ("vectors", "counts", "binary", "positive", "pairs")
"""Domains whose records have a variance; symbols are names."""


class Judged(NamedTuple):
    """Examples of what a curation kept and dropped."""

    kept: np.ndarray
    """(n, ...) records."""
    dropped: np.ndarray
    """(m, ...) records."""


class Proposals:
    """A `interventions.Curating`: what curations may look at, and a count of what they ask for.

    Notes for every list of curations: `proposals`, or of a training set `candidates`; `kept` (records of any weight); and where
    metrics ask and records are numbers, `kept_variance` and `duplicate_share` (`curation.diversity`).
    """

    def __init__(
        self,
        loop: Loop,
        agent: str,
        generation: int,
        model: Model,
        real: Any,
        n: int,
        more: Callable[[int, Key], Any] | None,
        key: Key,
        first: Callable[[], Model] | None = None,
        block: int = 0,
    ) -> None:
        self.generation = generation
        self.agent = agent
        self.model = model
        self.real = real
        self.source = loop.source
        self.memo: dict[Any, Any] = loop.memo
        self.replicates = model.replicates
        self.key = key
        self.proposals = np.full(self.replicates, float(n))
        self.notes: dict[str, np.ndarray] = {}
        self._more = more
        self._first = first
        self.block = block
        self._root = key
        self._draws = 0
        self._seen: list[Samples] = []
        numbers = getattr(loop.source, "domain", "vectors") in NUMBERS
        self._diversity = Diversity() if numbers and loop.spec.metrics else None

    def curated(self, samples: Any, curations: Sequence[Curation]) -> Any:
        """The samples after every curation, in their order. Raises `FitFailed` when none is left."""
        self._see(samples)
        candidates = len(samples)
        for i, curation in enumerate(curations):
            self.key = self._root / i
            samples = curation.apply(samples, context=self)
            if not np.min(kept(samples)) > 0:
                raise FitFailed(f"no sample of generation {self.generation} passed {type(curation).__name__}")
        if self._more is None:
            self.note("candidates", candidates)
        else:
            self.note("proposals", self.proposals)
        self.note("kept", kept(samples))
        if self._diversity is not None:
            for name, values in self._diversity.of(samples).items():
                self.note(name, values)
        return samples

    def first(self) -> Model:
        """Generation 0's model of this agent."""
        if self._first is None:
            raise SpecError("generation 0's model is not known here")
        return self._first()

    def draw(self, n: int) -> Any:
        """n more records of the model (per replicate), counted as proposals."""
        if self._more is None:
            raise SpecError("a curation of training sets chooses among what is there; it cannot draw more")
        self._draws += 1
        self.proposals = self.proposals + n
        drawn = self._more(n, self._root / "draw" / self._draws)
        self._see(drawn)
        return drawn

    def _see(self, samples: Any) -> None:
        """Counts records that are looked at, and holds on to the first of them, for examples of the first block; of the others
        nothing is shown."""
        if self._diversity is not None:
            self._diversity.look(samples)
        left = WATCHED - sum(map(len, self._seen))
        if self.block == 0 and left > 0 and isinstance(samples, Samples):
            self._seen.append(samples[np.arange(min(left, len(samples)))])

    def judged(self, kept: Any) -> Judged | None:
        """A few of the records that were looked at: those that `kept` holds, and those that it does not; None at theory
        scale, and for any block but the first."""
        if not isinstance(kept, Samples) or not self._seen:
            return None
        x = np.asarray(Samples.join(self._seen).x)
        names = _names(x)
        weight = dict.fromkeys(names, 0.0)
        weights = iter(np.asarray(kept.weight).tolist())
        for part in chunks(kept.fields["x"], WATCHED):
            weight |= {n: w for n, w in zip(_names(part), weights, strict=False) if n in weight}
        found = np.array([weight[name] for name in names])
        best, worst = np.argsort(-found, kind="stable"), np.argsort(found, kind="stable")
        taken = best[found[best] > 0][:SHOWN]
        # Where records are weighed and none is dropped, the lightest stand for those.
        left = worst[(found[worst] == 0) | (found[worst] < 0.5 * found.max())][:SHOWN]
        return Judged(x[taken], x[left]) if len(taken) and len(left) else None

    def note(self, name: str, values: Any) -> None:
        """A number (R,) for metrics to read; the costs of several curations add up."""
        new = np.broadcast_to(np.asarray(values, dtype=np.float64), (self.replicates,)).copy()
        self.notes = together(self.notes, {name: new}) if name != "proposals" else {**self.notes, name: new}


def together(*notes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What several safeguards noted in one generation: costs add up, of anything else the last word counts.

    >>> together({"labels": np.array([2.0]), "auc": np.array([0.5])}, {"labels": np.array([3.0]), "auc": np.array([0.9])})
    {'labels': array([5.]), 'auc': array([0.9])}
    """
    found: dict[str, np.ndarray] = {}
    for one in notes:
        for name, value in one.items():
            found[name] = found[name] + value if name in COSTS and name in found else value
    return found


def kept(samples: Any) -> np.ndarray | int:
    """How many records have any weight: a number, or one per replicate."""
    if isinstance(samples, Batch) and samples.weight is not None:
        return np.count_nonzero(samples.weight, axis=1)
    return len(samples)


def _names(x: np.ndarray) -> list[bytes]:
    """What tells records (n, ...) apart: their bytes."""
    return [row.tobytes() for row in np.ascontiguousarray(np.asarray(x).reshape(len(x), -1))]
