"""How far a regression's answers are from the truth, on real inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.special import ndtri

from autophage.errors import SpecError
from autophage.metrics.intervals import LEVEL
from autophage.metrics.model_metric import exposes
from autophage.parts import Measurement, Metric, View


@dataclass(frozen=True, kw_only=True)
class ExcessRisk(Metric):
    """The noise-free error on real inputs, E |f(x) - f0(x)|^2 (row `excess_risk`), where the true f0 is known: for linear
    models exactly, sum_j s_j (w_j - w0_j)^2; for others the mean over held-out inputs.

    Where there are only real records, their labels' noise cannot be taken off: then the row is `held_out_error`, the mean
    squared error on held-out records, noise included (several labels: their squares are summed). Means over records have a
    normal interval, for each replicate's fixed model.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"
    directions: ClassVar[dict[str, str]] = {"excess_risk": "lower", "held_out_error": "lower"}
    domains: ClassVar[frozenset[str]] = frozenset({"pairs"})

    def measure(self, view: View) -> list[Measurement]:
        model: Any = view.model
        truth: Any = view.source.truth
        if truth is not None and exposes(model, "weights"):
            gap = model.weights - truth.weights
            value = np.einsum("rd,d,rd->r", gap, truth.inputs.spectrum, gap)
            return [Measurement("excess_risk", np.array(np.broadcast_to(value, (view.replicates,))))]
        if not callable(getattr(model, "predict", None)):
            raise SpecError(
                f"metric excess_risk asks a model for its labels, and {type(model).__name__} has no predict(x)"
            )
        records = np.asarray(view.reference(0).x, dtype=np.float64)  # the same in every replicate
        x, y = records[:, : view.source.dim], records[:, view.source.dim :]
        if truth is not None:
            y = truth.predict(x)[0]
        errors = ((model.predict(x) - y) ** 2).sum(axis=-1)
        mean = np.broadcast_to(errors.mean(axis=1), (view.replicates,)).copy()
        reach = ndtri(0.5 + LEVEL / 2) * errors.std(axis=1, ddof=1) / np.sqrt(len(x))
        name = "excess_risk" if truth is not None else "held_out_error"
        return [Measurement(name, mean, mean - reach, mean + reach, len(x))]
