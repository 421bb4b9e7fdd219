"""Does the loop's own captioner believe what it said? It always comes to, and nobody else need agree.

    C_t = mean of q_t(c | x) over the pairs (x, c) of generation t,   q_t the captioner of that generation

Greedy captions of a captioner that trains on its own captions make q_t ever surer: this row rises while the captions lose touch
with real pictures, so that it measures the loop's closure, not its quality (see `judge_alignment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.errors import DataError
from autophage.metrics.descriptions import described
from autophage.metrics.intervals import mean
from autophage.metrics.model_metric import ReadingMetric, exposes
from autophage.parts import Measurement, View, measurements
from autophage.samples import Samples


def log_chances(model: Any, records: Samples) -> np.ndarray:
    """log q(c | x) (n,), nats, of the descriptions that records carry, by a captioner or a classifier.

    Raises `DataError` where a classifier is asked about a class it does not know, or records carry no descriptions.
    """
    if exposes(model, "caption_log_prob") and records.caption is not None:
        return np.asarray(model.caption_log_prob(records), dtype=np.float64)
    label = described(records, "self_consistency")
    if not exposes(model, "label_log_prob") or label.dtype.kind in "US":
        raise DataError(f"self_consistency: {type(model).__name__} gives no chances of these descriptions")
    each = np.asarray(model.label_log_prob(records.x), dtype=np.float64)
    if not ((label >= 0) & (label < each.shape[1])).all():
        raise DataError(
            f"self_consistency: the captioner knows the classes 0 to {each.shape[1] - 1}, and records are labelled "
            f"{label.min()} to {label.max()}"
        )
    return each[np.arange(len(label)), label.astype(np.int64)]


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(ReadingMetric):
    """What a captioner thinks of its own descriptions. Rows:

    - `self_consistency`: mean of q(c | x), by the captioner's unbiased law, whatever its decoding;
    - `self_log_likelihood`: mean of log q(c | x) in nats a caption, which long captions need.

    Measured for the agents of a loop that describe. Intervals: normal, over the pairs.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    reads: ClassVar[frozenset[str]] = frozenset({"caption_log_prob|label_log_prob"})
    of_some: ClassVar[bool] = True
    of_descriptions: ClassVar[bool] = True

    @property
    def directions(self) -> dict[str, str]:
        """Neither way is better."""
        return {"self_consistency": "none", "self_log_likelihood": "none"}

    def measure(self, view: View) -> list[Measurement]:
        if self.lacking(view.model):
            return []
        found = []
        for r in range(view.replicates):
            each = log_chances(view.model, view.generated(r))
            found.append({"self_consistency": mean(np.exp(each)), "self_log_likelihood": mean(each)})
        return measurements(found)
