"""How probable held-out real records are under the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.special import ndtri

from autophage.errors import SpecError
from autophage.metrics.intervals import LEVEL
from autophage.parts import Measurement, Metric, Model, View

_AT_ONCE = 2**21


@dataclass(frozen=True, kw_only=True)
class HeldOutLogLikelihood(Metric):
    """Mean log density of the held-out real records, in nats per record; its negative is the cross-entropy.

    The interval is the normal one over records, for each replicate's fixed model. Where a record has
    probability zero the value is -inf and there is no interval.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob"})

    def measure(self, view: View) -> list[Measurement]:
        x = view.reference(0).x  # the same in every replicate
        mean, error = log_likelihood(view.model, x)
        if len(mean) != view.replicates:
            raise SpecError(
                f"metric held_out_log_likelihood: log_prob of {type(view.model).__name__} answers for "
                f"{len(mean)} replicates, not {view.replicates}"
            )
        reach = ndtri(0.5 + LEVEL / 2) * error
        return [Measurement("log_likelihood", mean, mean - reach, mean + reach, len(x))]


def log_likelihood(model: Model, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean log density (R,) of records x (n, ...) under each replicate's model, and its standard error
    (R,)."""
    step = max(1, _AT_ONCE // max(model.replicates, 1))
    parts = [np.atleast_2d(model.log_prob(x[start : start + step])) for start in range(0, len(x), step)]
    each = np.concatenate(parts, axis=-1).astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):
        error = each.std(axis=-1, ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.full(len(each), np.nan)
        return each.mean(axis=-1), error
