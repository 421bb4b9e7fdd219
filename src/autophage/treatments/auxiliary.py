"""What SIMS and Neon share: an auxiliary network that has learned the model's own samples, and how far to move away from it.

    s = auxiliary: a copy of the fit, trained on a little on n_s of its own samples
    fit + strength (fit - s)            in score space (SIMS) or in weight space (Neon)

The strength is given, or chosen from a grid by the distance of draws to real records.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.data.arguments import one_of, positive, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.interventions import Treating, Treatment
from autophage.parts import Model
from autophage.samples import Samples

FEWEST = 100
"""The fewest own samples an auxiliary learns from."""
BRIEF = 10
"""Unless given, an auxiliary sees a tenth of what its base saw."""


@dataclass(frozen=True, kw_only=True)
class Extrapolation(Treatment):
    """A treatment that moves a fit away from an auxiliary trained on the fit's own samples."""

    name: ClassVar[str]
    """The treatment's kind, for messages."""
    how_far: ClassVar[str]
    """Its key that holds the strength: a number, or `auto`."""

    samples: int | None = None
    """Own samples that the auxiliary learns from, at least 100; as many as the fit's training set unless given."""
    records: int | None = None
    """Records that the auxiliary sees while it learns; a tenth of what the fit saw (`learner.records`) unless given. The more
    it sees, the smaller the best strength."""
    learning_rate_factor: float = 1.0
    """Times `learner.learning_rate`, the rate at which the auxiliary learns."""
    grid: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 1.5)
    """Strengths to choose from, where that is asked for; 0 is among them, or is added: it means that nothing is done."""
    choose_by: Literal["auto", "frechet", "sliced_wasserstein"] = "auto"
    """The distance that chooses: Fréchet on pixels, or on 64 principal components where records have more numbers (auto:
    for pictures), or sliced Wasserstein (auto: for vectors)."""
    draws: int = 1000
    """Records drawn at every strength of the grid, from the same noise."""
    allow_negative: bool = False
    """Admit strengths between -1 and 0, which move towards the model's own samples."""

    def __post_init__(self) -> None:
        for key, least in (("samples", FEWEST), ("records", 1)):
            if getattr(self, key) is not None:
                whole_number(getattr(self, key), f"treatment.{key}", least=least)
        positive(self.learning_rate_factor, "treatment.learning_rate_factor")
        one_of(self.choose_by, "treatment.choose_by", ("auto", "frechet", "sliced_wasserstein"))
        whole_number(self.draws, "treatment.draws", least=FEWEST)
        if not isinstance(self.grid, Sequence) or isinstance(self.grid, str) or not self.grid:
            raise SpecError(f"treatment.grid is {self.grid!r}; it must be a list of strengths")
        for strength in self.grid:
            self._checked(strength, "treatment.grid")
        object.__setattr__(self, "grid", tuple(sorted({0.0, *map(float, self.grid)})))
        if isinstance(self.chosen, str) and self.chosen != "auto":
            raise SpecError(f"treatment.{self.how_far} is {self.chosen!r}; it must be a number or `auto`")
        if self.chosen != "auto":
            self._checked(self.chosen, f"treatment.{self.how_far}")

    def _checked(self, strength: Any, key: str) -> None:
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength):
            raise SpecError(f"{key} is {strength!r}; a strength is a finite number, or `auto`")
        if strength <= -1:
            raise SpecError(
                f"{key} is {strength:g}; a strength lies above -1, where nothing would be left but the auxiliary"
            )
        if strength < 0 and not self.allow_negative:
            raise SpecError(
                f"{key} is {strength:g}, which moves towards the model's own samples; set treatment.allow_negative: true if "
                "that is meant"
            )

    @property
    def chosen(self) -> float | Literal["auto"]:
        """The strength, or that it is to be chosen."""
        return getattr(self, self.how_far)

    @property
    def idle(self) -> bool:
        return self.chosen == 0

    @property
    def knows(self) -> str:  # type: ignore[override]
        """Real records, where they choose the strength."""
        return "real records that choose the strength" if self.chosen == "auto" else ""

    def notes(self, real_size: int, plans: Sequence[Any]) -> list[str]:
        if self.samples is None and real_size < FEWEST and not self.idle:
            raise SpecError(
                f"treatment {self.name} trains its auxiliary on as many samples as the fit's training set, here {real_size}; "
                f"it needs at least {FEWEST}: set treatment.samples"
            )
        return []

    @abstractmethod
    def moved(self, model: Any, auxiliary: Any, strength: float) -> Any:
        """The model, so far away from the auxiliary."""

    def apply(self, model: Any, *, context: Treating) -> Model:
        auxiliary = self.auxiliary(model, context)
        strength = self.chosen
        if strength == "auto":
            strength = self._choose(model, auxiliary, context)
        context.noted["strength"] = np.array([strength])
        return model if strength == 0 else self.moved(model, auxiliary, strength)

    def auxiliary(self, model: Any, context: Treating) -> Any:
        """The fit, trained on a little on its own samples; their number and the budget are noted."""
        n = self.samples or _size(context.data)
        if n < FEWEST:
            raise FitFailed(f"treatment {self.name} needs {FEWEST} own samples for its auxiliary, not {n}")
        drawn = sampled(model, context, n, "samples")
        spend(context, "auxiliary_draws", n)
        return self.trained(model, drawn, context)

    def trained(self, model: Any, records: Samples, context: Treating) -> Any:
        """A copy of the model that goes on learning from these records."""
        learner: Any = context.learner
        budget = self.records or max(1, learner.records // BRIEF)
        course = {
            "records": budget,
            "learning_rate": learner.learning_rate * self.learning_rate_factor,
            # A warm-up that outlasts a brief training would leave it without its rate.
            "warmup": min(learner.warmup, budget // 10),
            "optimiser": "fresh",
            "start": "previous",
        }
        brief = copy.copy(learner)
        for key, value in course.items():
            object.__setattr__(brief, key, value)
        try:
            found = brief.fit(records, start=model, key=context.key / "auxiliary")
        except FitFailed as error:
            raise FitFailed(
                f"the auxiliary of treatment {self.name} could not be trained: {error}"
            ) from error
        spend(context, "auxiliary_records", found.report["records"])
        return found

    def _choose(self, model: Any, auxiliary: Any, context: Treating) -> float:
        from autophage.treatments.choice import Choice

        kind = "frechet" if len(model.space.shape) > 1 else "sliced_wasserstein"
        choice = Choice(context, kind if self.choose_by == "auto" else self.choose_by)
        distances: dict[float, float] = {}
        for strength in self.grid:
            try:
                candidate = model if strength == 0 else self.moved(model, auxiliary, strength)
                drawn = sampled(candidate, context, self.draws, "choice")
                distances[strength] = choice.distance(drawn)
            except FitFailed:
                if strength == 0:
                    raise
                distances[strength] = math.inf  # it makes no records: not to be chosen
            spend(context, "auxiliary_draws", self.draws)
            context.noted[f"distance_at_{strength:g}"] = np.array([distances[strength]])
        return min(distances, key=lambda s: (distances[s], abs(s)))


def sampled(model: Any, context: Treating, n: int, name: str) -> Samples:
    """n records of the model, as the loop samples its models and as its data can hold them."""
    from autophage.evaluation import legal

    sampler = model.tuned(context.sampling) if context.sampling.chosen() else model
    drawn = legal(context.source, sampler.sample(n, key=context.key / name))
    if not np.isfinite(np.asarray(drawn.x, dtype=np.float64)).all():
        raise FitFailed("the model's samples are not finite")
    return drawn


def spend(context: Treating, cost: str, amount: float) -> None:
    """Adds to a noted cost (`interventions.COSTS`)."""
    context.noted[cost] = context.noted.get(cost, np.zeros(1)) + amount


def warn(message: str) -> None:
    """A warning in the course of a run."""
    warnings.warn(message, stacklevel=3)


def _size(data: Any) -> int:
    return sum(map(len, data)) if isinstance(data, list) else len(data)
