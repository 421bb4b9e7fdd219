"""What the loop's interventions are: curations of samples, and treatments of models.

A curation stands between samples and the next training set, a treatment between fit and sample. Both are frozen dataclasses
like every part, and see of the loop no more than a context shows them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from autophage.keys import Key
from autophage.parts import CONFIG, Learner, Model, Sampling, Source


class Curating(Protocol):
    """What a curation may look at and use: one agent's samples of one generation."""

    generation: int
    agent: str
    model: Model
    """The sampler that the samples came from."""
    real: Any
    """Generation 0's real records: `Samples`, or a `Batch` of R replicates (or of one that stands for all)."""
    source: Source
    replicates: int
    block: int
    """Which block of replicates this is: what is learnt of its models is remembered in `memo` under this number."""
    key: Key
    """Names this generation's curation; every curation of a list has its own."""
    memo: dict[Any, Any]
    """Kept for the whole run: a trained filter, features of the real records."""
    proposals: np.ndarray
    """(R,) records the model was asked for so far, the first ones included. A curation that stopped looking
    earlier in some replicates may put the true numbers here."""

    def first(self) -> Model:
        """Generation 0's model of this agent, for curations that name "first" among their needs."""
        ...

    def draw(self, n: int) -> Any:
        """n more records of the model (per replicate), counted as proposals. A curation of training sets cannot draw."""
        ...

    def note(self, name: str, values: Any) -> None:
        """A number (R,) for metrics to read, such as the acceptance rate."""
        ...


@dataclass(frozen=True, kw_only=True)
class Curation(ABC):
    """What happens to synthetic samples before they enter a training set: filtered, preferred, corrected,
    reweighted."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    on: ClassVar[Literal["new", "training_set"]] = "new"
    """What it looks at: the newest samples as they come from the model, or the training set that the workflow has put
    together, real records included (`Samples`; not at theory scale)."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """"first": generation 0's model is kept for it (`Curating.first`)."""
    weighs: ClassVar[bool] = False
    """May hand on weights other than one; refused with a learner that would pass over them."""
    knows: ClassVar[str] = ""
    """What it knows of the truth beyond the loop's own samples ("an anchor of real records", "a reward"): a
    safeguard that injects knowledge is labelled so."""

    @property
    def idle(self) -> bool:
        """Changes nothing with its settings: the loop then runs as if it were not there, with the same numbers."""
        return False

    def check(self, learner: Learner, source: Source) -> None:
        """Raises `SpecError` where this learner's models or these data cannot be curated so."""
        return None

    def check_sampling(self, learner: Learner, sampling: Sampling) -> None:
        """Raises `SpecError` where this learner's models cannot be curated when they are sampled so."""
        return None

    def sampler(self, model: Model) -> Model:
        """The model as it is sampled for this curation: itself, unless samples must carry something to be judged by."""
        return model

    def notes(self, learner: Learner, source: Source) -> list[str]:
        """Warnings about a run that is curated so, before it starts."""
        return []

    @abstractmethod
    def apply(self, samples: Any, *, context: Curating) -> Any:
        """The samples to train on, out of new ones: `Samples`, or a `Batch`; fewer, others, or weighted.
        Raises `FitFailed` when too few are left."""


@dataclass(frozen=True)
class Treating:
    """What a treatment may look at: one agent's fit in one generation."""

    generation: int
    agent: str
    previous: Model | None
    """Generation t - 1's model; None in generation 0."""
    real_size: int
    """Real records of generation 0."""
    plans: Sequence[Any]
    """The workflow's plans of generations 1 to t (`autophage.workflows.Plan`); the last is the one just
    executed."""
    key: Key
    learner: Learner | None = None
    """What made the fit: to train an auxiliary model with."""
    source: Source | None = None
    sampling: Sampling = field(default_factory=Sampling)
    """How the loop samples its models."""
    real: Any = None
    """Generation 0's real records: `Samples`, or a `Batch`."""
    data: Any = None
    """What this generation was fitted to: records, or their sufficient statistics."""
    first: Callable[[], Model] | None = None
    """Generation 0's treated model, for treatments that name "first" among their needs; in generation 0 there is none."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """Kept for the whole run."""
    block: int = 0
    """As of `Curating`."""
    noted: dict[str, np.ndarray] = field(default_factory=dict)
    """Numbers (R,) for metrics to read, by name; costs by the names of `COSTS`."""


COSTS = {
    "proposals": "records drawn from the loop's model for the next training set, rejected ones included",
    "auxiliary_records": "records seen in training extra networks",
    "auxiliary_draws": "records drawn for a safeguard's own use",
    "labels": "answers of an outside judge: a verifier, a reward, a user",
    "fresh_records": "new real records",
}
"""What a safeguard can cost, by the name it is noted under (`Curating.note`, `Treating.noted`)."""


@dataclass(frozen=True, kw_only=True)
class Treatment(ABC):
    """What happens to a model between fit and sample: merged with the last one, extrapolated, guided."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[frozenset[str]] = frozenset()
    """"first": generation 0's model is kept for it (`Treating.first`)."""
    knows: ClassVar[str] = ""
    """As of a `Curation`."""

    @property
    def idle(self) -> bool:
        """Changes nothing with its settings: the loop then runs as if it were not there, with the same numbers."""
        return False

    def check(self, learner: Learner, workflow: Any) -> None:
        """Raises `SpecError` where this learner's models or this workflow cannot be treated so."""
        return None

    def notes(self, real_size: int, plans: Sequence[Any]) -> list[str]:
        """Warnings about a run of these plans (of generations 1 on), before it starts. Raises `SpecError` where they
        cannot be followed."""
        return []

    @abstractmethod
    def apply(self, model: Model, *, context: Treating) -> Model:
        """The model that is sampled, measured and handed on in the fitted one's place."""
