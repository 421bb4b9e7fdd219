"""The samples that look most real are kept, as a classifier of real against own samples sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.curation.keeping import candidates, ranked
from autophage.curation.likelihood_rank import check_share
from autophage.curation.real_or_synthetic import RealOrSynthetic, check_setting, space_of, told_apart
from autophage.interventions import Curating
from autophage.parts import Learner, Source

YI2025 = (
    "B. Yi, Q. Liu, Y. Cheng, H. Xu (2025), Escaping Model Collapse via Synthetic Data Verification: Near-term "
    "Improvements and Long-term Convergence. arXiv 2510.16657"
)


@dataclass(frozen=True, kw_only=True)
class Discriminator(RealOrSynthetic):
    """The model is asked for n / keep records, a classifier learns in every generation to tell them from generation 0's real
    records, and the n that look most real are kept. `keep: 1` is the plain loop.

    The classifier is a logistic regression on standardised features. Each half of the samples is judged by the one that learnt from
    the other half, and keeps its own best, so that no sample is judged by a classifier that has seen it (the official images
    of Yi et al. 2025: 500 real digits, the best 10 %). Raises `FitFailed` for fewer than 8 real records or samples.

    It keeps a share whatever the classifier knows: with an AUC near 0.5 the best are the best by chance, all in one direction, and
    a small share of them widens or shifts the next model. Look at `auc`, and take features that tell.

    Notes for metrics: `acceptance`, `auc` (on records that the classifier has not seen: 0.5 where nothing tells the samples from
    real records), `classifier_records` (that it learnt from).
    """

    citation: ClassVar[tuple[str, ...]] = (YI2025,)
    knows: ClassVar[str] = "the real records, through a classifier"

    keep: float = 0.1
    """The share of the candidates that is kept, above 0 and at most 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.keep)

    @property
    def idle(self) -> bool:
        return self.keep == 1

    def check(self, learner: Learner, source: Source) -> None:
        check_setting("discriminator", self.features, learner, source)

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.idle:
            return samples
        n = len(samples)
        pool = candidates(samples, self.keep, context, "discriminator")
        space = space_of(context, self.features, self.components)
        found = told_apart(
            space.real,
            space.features(pool),
            key=context.key / "classifier",
            quadratic=self.terms == "quadratic",
        )
        kept = np.zeros(len(pool), bool)
        for half, wanted in zip((0, 1), (n - n // 2, n // 2), strict=True):
            mine = np.flatnonzero(found.half == half)
            best = ranked(
                found.made[None, mine],
                len(mine) - wanted,
                len(mine),
                context.key / "ties" / half,
                "discriminator",
            )
            kept[mine] = best[0]
        context.note("acceptance", n / len(pool))
        context.note("auc", found.auc)
        context.note("classifier_records", found.trained_on)
        return pool[np.flatnonzero(kept)]
