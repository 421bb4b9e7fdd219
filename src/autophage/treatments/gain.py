"""A model moves only part of the way from its predecessor to the newest fit (Kanabar & Gastpar 2025).

    m_t = m_{t-1} + K_t (fit_t - m_{t-1})

on the mean parameters. The fit of a training set whose records are real with probability a_t is, on average,
a_t of the way from m_{t-1} to the truth; small gains average the noise of many generations away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.interventions import Treating, Treatment
from autophage.parts import Learner, Model
from autophage.schedules import Constant, Power, Schedule, Values, at, share_at
from autophage.theory.provenance import optimal_gains
from autophage.workflows import Fresh, Plan


@dataclass(frozen=True, kw_only=True)
class Gain(Treatment):
    """A step from the last model towards the newest fit, of the length `gain`, on the mean parameters: probabilities of
    a categorical, the mean of a Bernoulli, Poisson, exponential or Gaussian of known covariance. Generation 0 is left
    as it was fitted.

    `optimal` is K_t = n_t a_t / sum_{i<=t} n_i a_i^2, the best linear estimator where the real shares a_i and sizes n_i
    are known and the provenance of a record is not; it reads them off the plans of a `fresh` workflow. Where it would
    exceed 1 it is capped there, with a warning before the start: a model has no negative probabilities (see
    `theory.provenance.stays_in_simplex`). Raises `SpecError` for a gain outside [0, 1] and for learners whose models
    cannot be moved.

    >>> Gain(gain=0.5).gain_at(3, 100, [])
    0.5
    """

    citation: ClassVar[tuple[str, ...]] = (
        "M. Kanabar, M. Gastpar (2025), Model non-collapse: minimax bounds for recursive discrete distribution estimation. "
        "arXiv 2501.19273",
    )

    gain: Schedule | Literal["optimal"] = "optimal"
    """Length of the step at t >= 1, in [0, 1]: a number or a schedule; or `optimal` (for workflow fresh)."""

    def __post_init__(self) -> None:
        gain = self.gain
        if isinstance(gain, str):
            if gain != "optimal":
                raise SpecError(f"treatment.gain is {gain!r}; it must be `optimal`, a number or a schedule")
            return
        if isinstance(gain, Power):
            if not gain.power.exponent <= 0:
                raise SpecError(
                    f"treatment.gain grows like t^{gain.power.exponent:g} and would leave [0, 1]; its exponent must be "
                    "zero or below"
                )
            share_at(gain, 1, "treatment.gain")
            return
        last = len(gain.values) if isinstance(gain, Values) else 1
        for t in range(1, last + 1):
            share_at(gain, t, "treatment.gain")

    def check(self, learner: Learner, workflow: Any) -> None:
        if not getattr(learner, "moves", False):
            raise SpecError(
                "treatment gain moves mean parameters: it takes learner categorical, bernoulli, poisson, exponential, or "
                f"gaussian with covariance `known`, not {type(learner).__name__.lower()}"
            )
        if self.gain == "optimal" and not (isinstance(workflow, Fresh) and workflow.provenance == "hidden"):
            raise SpecError(
                "treatment.gain is `optimal`, which needs workflow fresh with provenance `hidden`, where the real share "
                "of every generation is known; give a number or a schedule instead"
            )

    def notes(self, real_size: int, plans: Sequence[Plan]) -> list[str]:
        if self.gain != "optimal":
            for t in range(1, len(plans) + 1):
                at(self.gain, t, "treatment.gain")  # type: ignore[arg-type]
            return []
        above = self._optimal(real_size, plans) > 1 + 1e-12
        if not above.any():
            return []
        return [
            f"the optimal gain exceeds 1 at t = {int(above.argmax())}, where the estimator would leave the simplex; it "
            "is capped at 1 wherever that happens"
        ]

    def gain_at(self, t: int, real_size: int, plans: Sequence[Plan]) -> float:
        """K_t; `plans` are those of generations 1 to t, `real_size` the real records of generation 0."""
        if isinstance(self.gain, float | int | Constant | Power | Values):
            return share_at(self.gain, t, "treatment.gain")
        return float(min(self._optimal(real_size, plans)[t], 1.0))

    def gains(self, real_size: int, plans: Sequence[Plan]) -> np.ndarray:
        """(G,) K_t of a whole course, whose plans are those of generations 1 to G - 1; entry 0 is 1, the first fit's."""
        if self.gain == "optimal":
            return np.minimum(self._optimal(real_size, plans), 1.0)
        return np.array([1.0, *(self.gain_at(t, real_size, plans) for t in range(1, len(plans) + 1))])

    @staticmethod
    def _optimal(real_size: int, plans: Sequence[Plan]) -> np.ndarray:
        batches = [(float(real_size), 1.0), *map(_fresh, plans)]
        return optimal_gains(*zip(*batches, strict=True))

    def apply(self, model: Model, *, context: Treating) -> Model:
        if context.previous is None:
            return model
        gain = self.gain_at(context.generation, context.real_size, context.plans)
        moved: Model = context.previous.moved(model, gain)  # type: ignore[attr-defined]
        return moved


def _fresh(plan: Plan) -> tuple[float, float]:
    """The size of a fresh workflow's training set and the share of new real records in it."""
    row = plan.rows[0]
    if row.share is not None:
        return float(plan.size or 0), row.share
    n = sum(r.count or 0 for r in plan.rows)
    return float(n), (row.count or 0) / n
