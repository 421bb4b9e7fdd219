"""What metrics see of one agent in one generation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.ecosystem import REAL_RECORDS, describers, real_used
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Model, sampled
from autophage.samples import Batch, Samples

if TYPE_CHECKING:
    from autophage.loop import Loop, State


def legal(source: Any, samples: Samples) -> Samples:
    """The samples as the source can hold them: a categorical column's entries become one of its levels."""
    snap = getattr(source, "snap", None)
    if snap is None:
        return samples
    x = samples.fields["x"]
    snapped = snap(x)
    return samples if snapped is x else Samples({**samples.fields, "x": snapped}, *samples.columns)


class Evaluation:
    """A `parts.View`: models as they were fitted, and an evaluation draw of the sampler that the loop uses,
    made once and only when a metric asks for it."""

    def __init__(
        self,
        loop: Loop,
        state: State,
        agent: str,
        model: Model,
        sampler: Model,
        real_share: np.ndarray,
        key: Key,
        curation: Mapping[str, np.ndarray] = MappingProxyType({}),
        peers: Mapping[str, Evaluation] = MappingProxyType({}),
    ) -> None:
        self.generation = state.generation
        self.agent = agent
        self.replicates = state.block.replicates
        self.model = model
        self.source = loop.source
        self.key = key
        self.real_share = real_share
        self.real_size = loop.real[agent]
        self.memo: dict[Any, Any] = loop.memo
        self.curation = curation
        self._loop = loop
        self._state = state
        self.sampler = sampler
        self.peers = peers
        self._given = loop.agents[agent].given
        self._drawn: Any = None

    @property
    def last(self) -> bool:
        """Whether this agent is the last one of its generation."""
        return self.agent == self._loop.order[-1]

    @property
    def real_used(self) -> int:
        """Of the real training part, how many of the first records the loop may train on."""
        return real_used(self._loop.spec, self._loop.real)

    @property
    def given_by(self) -> str | None:
        """Whose records its model is given: an agent's name, or `real`."""
        return self._given

    @property
    def describes(self) -> bool:
        """Whether this agent describes records of others."""
        return bool(getattr(self._loop.agents[self.agent].learner, "describes", False))

    @property
    def described(self) -> bool:
        """Whether another agent describes this one's records."""
        return bool(describers(self._loop.agents, self.agent))

    def generated(self, r: int) -> Samples:
        """The evaluation draw of replicate r, never reused for training."""
        if self._drawn is None:
            n = self._loop.spec.evaluation_size or len(self.source.reference())
            given = self.given(n)
            key = self.key / "draw"
            drawn = sampled(self.sampler, n, key, given)
            if len(drawn) < n:
                raise FitFailed(
                    f"the model of {self.agent} gave {len(drawn)} records for evaluation, {n} were asked for"
                )
            x = np.asarray(drawn.x)
            if x.dtype.kind == "f" and not np.isfinite(x).all():
                raise FitFailed("the model's samples are not finite")
            self._drawn = drawn if isinstance(drawn, Batch) else legal(self.source, drawn)
        return self._drawn.replicate(r) if isinstance(self._drawn, Batch) else self._drawn

    def given(self, n: int) -> Samples | None:
        """The n records that the model is given for its evaluation: held-out real ones, or those of the evaluation of the agent
        that it describes; None where it is given none."""
        if self._given is None:
            return None
        if self._given == REAL_RECORDS:
            return self.source.reference().cycled(n)
        return self.peers[self._given].generated(0)

    def first(self) -> Model:
        """Generation 0's model of this agent, as it was fitted."""
        return self._loop.first(self._state, self.agent) if self.generation else self.model

    def reference(self, r: int, against: str = "reference") -> Samples:
        """The held-out real records, or generation 0's training set."""
        if against == "reference":
            return self.source.reference()
        pile = self._state.piles[self.agent]
        real = getattr(pile, "records", None) or pile.real
        if isinstance(real, Batch):
            cached = ("train", self._state.block.number, self.agent, r)
            if cached not in self.memo:
                self.memo[cached] = real.replicate(r)
            return self.memo[cached]
        if isinstance(real, Samples):
            return real
        raise SpecError(
            "a metric compares with the training records, but on the statistics path there are none; "
            "set learner.path: samples"
        )
