"""Self-improving diffusion models with synthetic data: sampling away from a model's own samples (Alemohammad et al. 2024).

    s(x, t) = (1 + omega) s_r(x, t) - omega s_s(x, t)

s_r is the fit, s_s a copy of it trained on a little on samples of the fit. What self-consumption would do to the model becomes
a correction. For Gaussians: `autophage.theory.extrapolation`; the rule: `autophage.diffusion.negative`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import FitFailed, SpecError
from autophage.interventions import Treating
from autophage.parts import Learner, Model
from autophage.samples import Samples
from autophage.treatments.auxiliary import Extrapolation, sampled, spend, warn

PROBED = 64
"""Records whose scores are compared with the base's."""
RARE = 0.01
"""The share of long scores up to which nobody is warned: where the base's own score vanishes any other is long."""


@dataclass(frozen=True, kw_only=True)
class Sims(Extrapolation):
    """The fit, sampled away from an auxiliary that was trained on its own samples, for learners diffusion and flow_matching.

        D(y; sigma) = (1 + omega) D_fit(y; sigma) - omega D_auxiliary(y; sigma)

    Both networks belong to the model: they are stored, restored and published together, and every record costs two evaluations
    where the fit alone costs one. A training that goes on (`start: previous` or `base`) goes on from the fit. Guidance applies to
    both networks alike, which is the same as guiding their extrapolation, for both rules are linear. With omega 0 the loop is the
    plain one, bit for bit.

    `omega: auto` takes the strength of the grid whose draws are nearest to the real training records (`treatments.choice`; the
    reference is left to metrics). Notes: `strength`, `evaluations_factor` (2, or 1 where 0 was chosen), `scores_above_tenfold`
    (share of the steps of 64 records at which the score is more than ten times as long as the fit's, guidance included; also
    warned of), `distance_at_<strength>`, and the costs.

    Raises `SpecError` for a strength below 0 without `allow_negative`, fewer than 100 samples, an auxiliary of another network,
    parameterisation or schedule, and learners that have no score; `FitFailed` where a training or a draw is not finite.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "S. Alemohammad, A. I. Humayun, S. Agarwal, J. Collomosse, R. Baraniuk (2024), Self-improving diffusion models with "
        "synthetic data. arXiv 2408.16333",
    )

    name: ClassVar[str] = "sims"
    how_far: ClassVar[str] = "omega"

    omega: float | Literal["auto"] = "auto"
    """How far away from the auxiliary: a number, 0 for not at all, or `auto`."""
    trained_on: Literal["samples", "training_set"] = "samples"
    """What the auxiliary learns from: samples of the fit, or the fit's own training set, of which all should be synthetic; a real
    share is warned of. In generation 0, whose set is real, nothing is then done."""
    checkpoint: str | None = None
    """An auxiliary of your own instead: a generation's folder of an earlier run, its model file, or a published folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trained_on not in ("samples", "training_set"):
            raise SpecError(
                f"treatment.trained_on is {self.trained_on!r}; it must be one of: samples, training_set"
            )
        if self.checkpoint is not None and self.trained_on != "samples":
            raise SpecError("treatment.checkpoint brings a trained auxiliary; leave treatment.trained_on out")

    def check(self, learner: Learner, workflow: Any) -> None:
        if not getattr(learner, "extrapolates", False):
            raise SpecError(
                "treatment sims extrapolates scores: it takes learner diffusion or flow_matching, not "
                f"{type(learner).__name__.lower()}"
            )
        if self.checkpoint is not None:
            self._own(learner)

    def notes(self, real_size: int, plans: Sequence[Any]) -> list[str]:
        found = [] if self.checkpoint is not None else super().notes(real_size, plans)
        if self.idle:
            return found
        if self.checkpoint is not None:
            share = real_share_of(self.checkpoint)
            if share is None:
                found.append(f"nothing says whether real records trained the auxiliary {self.checkpoint}")
            elif share > 0:
                found.append(_mixed(f"the auxiliary {self.checkpoint}", share))
        if self.trained_on == "training_set":
            real = [i for i, plan in enumerate(plans, 1) if any(_is_real(row) for row in plan.rows)]
            if real:
                found.append(
                    f"treatment sims trains its auxiliary on the training set, which holds real records from generation {real[0]} "
                    "on; it then points away from them too"
                )
        return found

    def apply(self, model: Any, *, context: Treating) -> Model:
        if self.trained_on == "training_set" and context.generation == 0:
            return model
        treated: Any = super().apply(model, context=context)
        context.noted["evaluations_factor"] = np.array([1.0 if treated is model else 2.0])
        if treated is not model:
            self._probe(treated, context)
        return treated

    def auxiliary(self, model: Any, context: Treating) -> Any:
        learner: Any = context.learner
        if self.checkpoint is not None:
            return self._own(learner)
        if self.trained_on == "samples":
            return super().auxiliary(model, context)
        data = Samples.join(context.data) if isinstance(context.data, list) else context.data
        if len(data) < 100:
            raise FitFailed(f"treatment sims needs 100 records for its auxiliary, not {len(data)}")
        share = float(data.real_share())
        if share > 0:
            warn(_mixed("the auxiliary of treatment sims", share))
        context.noted["auxiliary_real_share"] = np.array([share])
        return self.trained(model, data, context)

    def _own(self, learner: Any) -> Any:
        place = str(self.checkpoint)
        if place.endswith(".safetensors") and not Path(place).is_file():
            raise SpecError(f"treatment.checkpoint: there is no file {place}")
        try:
            return learner.from_checkpoint(place)
        except SpecError as error:
            raise SpecError(
                f"treatment.checkpoint {place} is no auxiliary for this learner: {error}"
            ) from error

    def moved(self, model: Any, auxiliary: Any, strength: float) -> Any:
        return model.extrapolated(auxiliary, strength)

    def _probe(self, model: Any, context: Treating) -> None:
        """Counts the steps at which the score has become much longer than the fit's."""
        from autophage.diffusion.negative import LIMIT, Tally

        probe, tally = model.tuned(model.sampling), Tally()
        probe.away = model.away._replace(tally=tally)
        sampled(probe, context, PROBED, "probe")
        spend(context, "auxiliary_draws", PROBED)
        context.noted["scores_above_tenfold"] = np.array([tally.share])
        if tally.share > RARE:
            warn(
                f"generation {context.generation}: at {tally.share:.1%} of the sampler's steps the extrapolated score is more than "
                f"{LIMIT:g} times as long as the fit's; a smaller treatment.omega or less guidance would keep closer to the data"
            )


def real_share_of(checkpoint: str) -> float | None:
    """The share of real records that a run's own generation was trained on, as its done-marker says; None where none says so."""
    place = Path(checkpoint)
    agent = place if place.is_dir() else place.parent
    try:
        marker = json.loads((agent.parent / "done.json").read_text(encoding="utf-8"))
        return float(max(marker["agents"][agent.name]["real_share"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mixed(what: str, share: float) -> str:
    return f"{what} was trained on a mixture of which {share:.0%} is real; the extrapolation points away from real records too"


def _is_real(row: Any) -> bool:
    return row.origin in ("real", "fresh") and (row.count is None or row.count > 0) and row.share != 0
