"""A filter that looks at how samples came about: it drops those whose estimate still moved at the end (Aithal et al. 2024)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.curation.detector import Detection, detection
from autophage.curation.keeping import refuse_after_another
from autophage.curation.mode_support import ModeSupport
from autophage.data.arguments import not_negative, positive, whole_number
from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Model, Sampling, Source
from autophage.samples import Samples

FIELD = "wander"
"""What samples of a traced model carry to be judged by."""
SURPLUS = 0.1


@dataclass(frozen=True, kw_only=True)
class TrajectoryVariance(Curation):
    """Keeps the samples whose predicted clean records moved least over the last steps of the sampler:

        wander = (1/d) sum_i Var over the last L predictions of x0hat_i

    Diffusion models make samples between the modes of their data where the true score jumps and the network's does not, and there
    the prediction moves until the end. With `surplus` s, n (1 + s) records are proposed and the n of lowest variance kept; with
    `keep` q, the share q of n proposals. Only learners whose samplers show their predictions (diffusion; flow_matching but for
    dopri5). It knows nothing of the truth: where modes are known, of the source or by `support`, it says how well it detects, and
    warns that nothing is certified where more than a fifth of the samples are out of support.

    Notes for metrics: `acceptance`, `threshold` (the largest variance kept), `wander_mean`, `wander_median`, `wander_high` (the
    99 % quantile) of the proposals, `wander_kept` (the mean of what was kept), `wander_dropped` (proposals whose variance is no
    finite number); with known modes `proposals_beyond` (share of the proposals out of support), `certified` (0 or 1), and where
    some but not all are out of support `detector_auc`, `detector_removed`, `detector_kept` (shares of those out of support removed,
    and of the others kept).

    Raises `SpecError` for learners and samplers without predictions and for windows that they do not hold; `FitFailed` where the
    variance is zero everywhere, `FilterStarved` where too few samples have a finite one.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "S. K. Aithal, P. Maini, Z. C. Lipton, J. Z. Kolter (2024), Understanding Hallucinations in Diffusion Models through Mode "
        "Interpolation. NeurIPS; arXiv 2406.09358",
    )

    window: int = 10
    """L: how many of the last predictions are looked at; at least 2, at most the sampler's steps."""
    skip: int = 0
    """Predictions left out at the very end: `window: 50, skip: 10` looks at 60 to 10 steps before the end."""
    surplus: float | None = None
    """How many more records are proposed than are kept, as a share of these; 0.1 where neither this nor `keep` is given."""
    keep: float | None = None
    """Instead: the share of the proposals that is kept, in (0, 1]; fewer records are then handed on than were asked for."""
    support: dict[str, Any] | None = None
    """Where records may lie, for the certificate only: `{centres: [[..], ..], radius: r}`. Default: six standard deviations about
    each component where the true law is a mixture of Gaussians."""

    def __post_init__(self) -> None:
        whole_number(self.window, "curation.window", least=2)
        whole_number(self.skip, "curation.skip", least=0)
        if self.surplus is not None and self.keep is not None:
            raise SpecError(
                "curation trajectory_variance has both surplus and keep, which are two ways to say how many are kept; give one"
            )
        if self.keep is None and self.surplus is None:
            object.__setattr__(self, "surplus", SURPLUS)
        if self.surplus is not None:
            not_negative(self.surplus, "curation.surplus")
        if self.keep is not None:
            positive(self.keep, "curation.keep")
            if self.keep > 1:
                raise SpecError(f"curation.keep is {self.keep}; the share that is kept must lie in (0, 1]")
        if self.support is not None:
            ModeSupport.of_settings(self.support)

    @property
    def idle(self) -> bool:
        """Whether everything that is proposed is kept."""
        return self.keep == 1 or self.surplus == 0

    def check(self, learner: Learner, source: Source) -> None:
        if not hasattr(learner, "estimates"):
            raise SpecError(
                f"curation trajectory_variance looks at a sampler's predictions of the record on its way, and learner "
                f"{type(learner).__name__.lower()} makes none; take diffusion or flow_matching"
            )
        if self.support is not None:
            ModeSupport.of_settings(self.support, source.dim)

    def check_sampling(self, learner: Learner, sampling: Sampling) -> None:
        made = learner.estimates(sampling)  # type: ignore[attr-defined]
        if made is None:
            name = sampling.sampler or type(learner).__name__.lower()
            raise SpecError(
                f"curation trajectory_variance needs a sampler that shows a prediction of the record in every step; {name} does not"
            )
        if self.window + self.skip > made:
            asked = f"{self.window}" + (f" and curation.skip {self.skip}" if self.skip else "")
            raise SpecError(
                f"curation.window is {asked}, but the sampler makes {made} predictions on its way; set a smaller window, or more "
                "sampling.steps"
            )

    def notes(self, learner: Learner, source: Source) -> list[str]:
        if self.idle or self._support(source) is not None:
            return []
        return [
            "curation trajectory_variance: no support of these data is known, so how many hallucinations it finds cannot be said; "
            "only the distribution of the variance is reported (curation.support names one)"
        ]

    def sampler(self, model: Model) -> Model:
        """The model, traced; itself where it cannot be, to be refused by name when its samples come."""
        return model.traced(self.window, self.skip) if hasattr(model, "traced") else model

    def apply(self, samples: Any, *, context: Curating) -> Any:
        n = len(samples)
        proposed = samples
        if self.surplus is not None:
            refuse_after_another(samples, context, "trajectory_variance")
            more = math.ceil(n * self.surplus - 1e-9)
            proposed = Samples.join([samples, context.draw(more)]) if more else samples
        wander = _wander(proposed)
        usable = np.isfinite(wander)
        context.note("wander_dropped", len(wander) - usable.sum())
        wanted = n if self.keep is None else max(1, round(self.keep * n))
        if usable.sum() < wanted:
            raise FilterStarved(
                f"trajectory_variance is to keep {wanted} of {len(wander)} proposals, and only {usable.sum()} have a finite "
                "variance"
            )
        if not wander[usable].any():
            raise FitFailed(
                "trajectory_variance: the variance is zero in every sample, so there is nothing to judge by; the model repeats "
                "itself without change"
            )
        order = np.argsort(np.where(usable, wander, np.inf), kind="stable")
        kept = np.zeros(len(wander), dtype=bool)
        kept[order[:wanted]] = True
        context.note("acceptance", kept.mean())
        context.note("effective_size", wanted)
        context.note("threshold", wander[kept].max())
        context.note("wander_mean", wander[usable].mean())
        context.note("wander_median", np.median(wander[usable]))
        context.note("wander_high", np.quantile(wander[usable], 0.99))
        context.note("wander_kept", wander[kept].mean())
        self._certify(proposed, wander, usable, kept, context)
        chosen = proposed[np.flatnonzero(kept)]
        fields = {name: values for name, values in chosen.fields.items() if name != FIELD}
        return Samples(fields, *chosen.columns)

    def _support(self, source: Source) -> ModeSupport | None:
        if self.support is not None:
            return ModeSupport.of_settings(self.support)
        return None if source.domain != "vectors" else ModeSupport.of_truth(source.truth)

    def _certify(
        self,
        proposed: Samples,
        wander: np.ndarray,
        usable: np.ndarray,
        kept: np.ndarray,
        context: Curating,
    ) -> None:
        """Notes what the filter did to samples out of support, where it is known which these are."""
        support = self._support(context.source)
        if support is None:
            return
        beyond = support.beyond(proposed.flat())
        found: Detection = detection(wander[usable], beyond[usable], kept[usable])
        context.note("proposals_beyond", beyond.mean())
        context.note("certified", float(found.certified))
        if not np.isnan(found.auc):
            context.note("detector_auc", found.auc)
            context.note("detector_removed", found.removed)
            context.note("detector_kept", found.kept_inside)
        if not found.certified and found.beyond:
            warnings.warn(
                f"curation trajectory_variance, generation {context.generation}: {found.label}",
                RuntimeWarning,
                stacklevel=2,
            )


def _wander(samples: Any) -> np.ndarray:
    """(n,) the variances that samples carry. Raises `FitFailed` where they carry none, or not one each."""
    fields: Mapping[str, Any] = getattr(samples, "fields", {})
    if FIELD not in fields:
        raise FitFailed(
            "curation trajectory_variance judges samples by the way they came about, and these do not say; put it before curations "
            "that replace or draw records"
        )
    wander = np.asarray(fields[FIELD], dtype=np.float64)
    if wander.shape != (len(samples),):
        raise FitFailed(
            f"the model gave `{FIELD}` of shape {wander.shape} for {len(samples)} samples; it must be one number each"
        )
    return wander
