"""Records are kept by the rank of their likelihood under the model that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.curation.keeping import candidates, picked, ranked
from autophage.data.arguments import one_of
from autophage.errors import SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Source
from autophage.samples import Batch
from autophage.theory.arguments import unit_interval

SIDES = ("highest", "lowest", "middle")


@dataclass(frozen=True, kw_only=True)
class LikelihoodRank(Curation):
    """The model is asked for n / keep records, and of these the n are kept that it finds the likeliest, the least likely, or
    those in the middle; ties at random. `keep: 1` is the plain loop.

    It knows nothing but the model: the likeliest records narrow its law as a low temperature does, the least likely ones widen it.
    Raises `SpecError` for learners without a density, and `FitFailed` where a log density is not a number.

    Notes for metrics: `acceptance`.
    """

    keep: float
    """The share of the candidates that is kept, above 0 and at most 1."""
    side: Literal["highest", "lowest", "middle"] = "highest"
    """Which likelihoods are kept."""

    def __post_init__(self) -> None:
        check_share(self.keep)
        one_of(self.side, "curation.side", SIDES)

    @property
    def idle(self) -> bool:
        return self.keep == 1

    def check(self, learner: Learner, source: Source) -> None:
        if not getattr(learner, "has_log_prob", False):
            raise SpecError(
                f"curation likelihood_rank ranks by the log density, and models of learner {type(learner).__name__.lower()} have "
                "none; take one that has, such as flow, kde or gaussian"
            )

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.idle:
            return samples
        n = len(samples)
        pool = candidates(samples, self.keep, context, "likelihood_rank")
        score = np.asarray(context.model.log_prob(np.asarray(pool.x)), dtype=np.float64)
        score = score if isinstance(pool, Batch) else score.reshape(1, -1)
        spare = len(pool) - n
        low = {"highest": spare, "lowest": 0, "middle": spare // 2}[self.side]
        kept = picked(pool, ranked(score, low, low + n, context.key / "ties", "likelihood_rank"), n)
        context.note("acceptance", n / len(pool))
        return kept


def check_share(keep: float) -> None:
    """Raises `SpecError` unless 0 < keep <= 1."""
    if not unit_interval(keep, "curation.keep") > 0:
        raise SpecError("curation.keep is 0; a share of nothing is kept, and it must be above 0")
