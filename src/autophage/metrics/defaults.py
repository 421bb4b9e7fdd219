"""What a run measures when nothing is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def default_metrics(data: Any, learners: Sequence[Any]) -> list[Any]:
    """What is measured when nothing is asked for: what the data and every learner can answer."""
    batched = all(getattr(learner, "batched", False) for learner in learners)
    truth = getattr(data, "truth", None) is not None
    density = all(getattr(learner, "has_log_prob", False) for learner in learners)
    domain = getattr(data, "domain", "vectors")
    if domain == "symbols":
        return ["squared_error", "gini", "entropy", "support", "tail_coverage", "outside_support"]
    if domain == "pairs":
        return ["excess_risk"]
    if domain in ("counts", "binary", "positive"):
        return ["squared_mean_error", "variance"] if truth else ["variance"]
    if batched and truth:
        closed = ["variance", "squared_mean_error", "log_det"]
        return (
            [*closed, "frechet_model"]
            if hasattr(data.truth, "log_det")
            else [*closed[:1], "held_out_log_likelihood"]
        )
    measured = [
        "wasserstein",
        "frechet",
        "precision_recall",
        "sample_variance",
        "tail_coverage",
        "outside_support",
    ]
    return ["held_out_log_likelihood", *measured] if density else measured
