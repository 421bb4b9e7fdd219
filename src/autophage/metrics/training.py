"""What a deep learner says of its own training: the traps of published loops, laid open.

A learning-rate warm-up that begins anew in every generation may never reach its rate, and averaged weights may lag so far
behind that a retraining hardly shows; both look like stability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.metrics.model_metric import exposes
from autophage.parts import Measurement, Metric, View

ROWS = {
    "training_records": ("records", 1.0),
    "training_loss": ("loss", 1.0),
    "learning_rate_reached": ("highest_rate", "nominal_rate"),
    "average_moved": ("average_moved", 1.0),
    "weight_change": ("relative_change", 1.0),
}
"""Row: the report's entry, over another entry or a number."""


@dataclass(frozen=True, kw_only=True)
class Training(Metric):
    """How the generation's training went: `training_records` (records seen), `training_loss` (mean over the last 100
    steps), `learning_rate_reached` (highest rate over the nominal one), `average_moved` (1 less what the averaged weights
    keep of where they began), `weight_change` (norm of the last weights' change over that of where they began)."""

    @classmethod
    def lacking(cls, model: Any) -> list[str]:
        """What a model, or a class of models, lacks of what this metric reads."""
        return [] if exposes(model, "report") else ["report"]

    def measure(self, view: View) -> list[Measurement]:
        if self.lacking(view.model):
            raise SpecError(f"metric training: {type(view.model).__name__} keeps no report of a training")
        report: dict[str, Any] = view.model.report  # type: ignore[attr-defined]
        found = []
        for row, (above, below) in ROWS.items():
            if above in report:
                value = report[above] / (report[below] if isinstance(below, str) else below)
                found.append(Measurement(row, np.full(view.replicates, float(value))))
        return found
