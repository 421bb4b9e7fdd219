"""A training set is weighed by how real a detector finds its records: importance weights for mixed pools."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.keeping import effective_size
from autophage.curation.own_judge import Function, chances_of, function_of
from autophage.curation.real_or_synthetic import RealOrSynthetic, auc, check_setting, space_of, told_apart
from autophage.data.arguments import not_negative, one_of
from autophage.errors import SpecError, UnusableWeights
from autophage.interventions import Curating
from autophage.parts import Learner, Source
from autophage.samples import REAL, Samples

DETECTORS = ("logistic",)


@dataclass(frozen=True, kw_only=True)
class DetectorWeights(RealOrSynthetic):
    """Every synthetic record x of a training set gets the weight

        w(x) = min( (p(real | x) / p(synthetic | x))^strength, cap ),

    the chances being a detector's at equal odds, so that w estimates the ratio of the real density to the model's: where that
    is right the weighted synthetic records have the real law. Real records whose provenance is known keep the weight 1; where
    it is hidden they are weighed like the others. `strength: 0` is the plain loop.

    The detector `logistic` learns in every generation to tell generation 0's real records from the training set's synthetic
    ones or, where provenance is hidden, from as many new draws of the last model; no synthetic record is judged by a classifier
    that has seen it. An own detector maps records (m, ...) to the chance (m,) that each is synthetic. The training set is looked
    at as the workflow put it together, so the learner must be one of single replicates that takes weights. Raises
    `UnusableWeights` where all weights are zero; `FitFailed` when an own detector raises, or answers NaN or for another number of
    records.

    Notes for metrics: `effective_size` ((sum w)^2 / sum w^2), `auc` (real against synthetic records, 0.5 for a detector that
    sees nothing), `real_weight` and `synthetic_weight` (means), `classifier_records`, `auxiliary_draws`; of an own detector
    `labels` (records that it judged).
    """

    on: ClassVar[Literal["new", "training_set"]] = "training_set"

    detector: Any = "logistic"
    """`logistic`, `module:function`, or a function from records (m, ...) to the chance (m,) that each is synthetic."""
    strength: float = 1.0
    """The power of the ratio: 1 is an importance weight, below that the weights are more even, 0 leaves all at 1."""
    cap: float = 10.0
    """The largest weight, at least 1."""
    provenance: Literal["known", "hidden"] = "known"
    """Whether it is known which records of the training set are real."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.strength, "curation.strength")
        not_negative(self.cap, "curation.cap")
        if self.cap < 1:
            raise SpecError(f"curation.cap is {self.cap}; it must be at least 1, the weight of a real record")
        one_of(self.provenance, "curation.provenance", ("known", "hidden"))
        _ = self._function

    @cached_property
    def _function(self) -> Function | None:
        if isinstance(self.detector, str) and ":" not in self.detector:
            one_of(self.detector, "curation.detector (or module:function)", DETECTORS)
            return None
        return function_of(self.detector, "curation.detector")

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        return not self.idle

    @property
    def idle(self) -> bool:
        return self.strength == 0

    @property
    def knows(self) -> str:  # type: ignore[override]
        if self._function is not None:
            return "what its detector knows"
        return "the real records, through a classifier"

    def check(self, learner: Learner, source: Source) -> None:
        features = self.features if self._function is None else "pixels"
        check_setting("detector_weights", features, learner, source)

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.idle:
            return samples
        real = np.asarray(samples.generation) == REAL
        weighed = ~real if self.provenance == "known" else np.ones(len(samples), bool)
        weight = np.ones(len(samples))
        if weighed.any():
            odds = self._log_odds(samples, real, weighed, context)
            with np.errstate(over="ignore"):
                weight[weighed] = np.minimum(np.exp(self.strength * odds[weighed]), self.cap)
        whole = np.asarray(samples.weight) * weight
        if not whole.sum() > 0:
            raise UnusableWeights(
                "detector_weights found no record of the training set real: all weights are zero"
            )
        context.note("effective_size", effective_size(whole[None]))
        for name, some in (("real_weight", real), ("synthetic_weight", ~real)):
            if some.any():
                context.note(name, weight[some].mean())
        return Samples(samples.fields, samples.generation, samples.agent, whole)

    def _log_odds(
        self, samples: Samples, real: np.ndarray, weighed: np.ndarray, context: Curating
    ) -> np.ndarray:
        """(n,) log p(real | x) - log p(synthetic | x); of records that are not weighed, anything."""
        if self._function is not None:
            synthetic = chances_of(self._function, "detector", samples.x)
            context.note("labels", len(samples))
            with np.errstate(divide="ignore"):
                odds = np.log1p(-synthetic) - np.log(synthetic)
            if real.any() and not real.all():
                context.note("auc", auc(odds[real], odds[~real]))
            return odds
        space = space_of(context, self.features, self.components)
        if self.provenance == "known":
            made = samples[np.flatnonzero(weighed)]
        else:
            made = context.model.sample(
                max(int((~real).sum()), len(space.real)), key=context.key / "auxiliary"
            )
            context.note("auxiliary_draws", len(made))
        found = told_apart(
            space.real,
            space.features(made),
            key=context.key / "classifier",
            quadratic=self.terms == "quadratic",
        )
        context.note("auc", found.auc)
        context.note("classifier_records", found.trained_on)
        if self.provenance == "hidden":
            return found.judge(space.features(samples))
        odds = np.zeros(len(samples))
        odds[weighed] = found.made
        return odds
