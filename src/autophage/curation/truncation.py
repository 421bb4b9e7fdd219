"""One-sided truncation: the strongest pull that a given acceptance allows (Han et al. 2025; form derived)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.curation.anchor import Anchor, lean, records
from autophage.curation.anchored_filter import AnchoredFilter
from autophage.curation.family import Law, Normal
from autophage.curation.keeping import MOST, dropped, picked, refuse_after_another, refuse_dropping
from autophage.errors import FilterStarved, SpecError
from autophage.interventions import Curating
from autophage.parts import Learner, Source
from autophage.theory.filter_pulls import largest_pull


@dataclass(frozen=True, kw_only=True)
class Truncation(AnchoredFilter):
    """Of the proposals, the share that lies farthest on the anchor's side: for delta > 0 the lowest z, for delta < 0 the
    highest. The pull is phi(Phi^-1(q))/q standard deviations towards the anchor, whatever the distance: the most that any
    filter of acceptance q can do, and too much near the anchor, where it oscillates about it by half that step.

    With keep: n it looks at ceil(n/q) proposals and keeps n of them; a share of 1 is the plain loop. Contractive only on a region
    that begins above half the pull. Raises `SpecError` for a share outside (0, 1], and where the region asks for more.
    """

    share: float
    """q in (0, 1]: the share of the proposals that is kept."""
    keep: Literal["n", "proposals"] = "n"
    """`n`: propose ceil(n/q) and keep as many as were asked for. `proposals`: keep q of as many proposals."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise SpecError(f"curation.share is {self.share}; the share that is kept must lie in (0, 1]")

    @property
    def idle(self) -> bool:
        return super().idle or self.share == 1

    def check(self, learner: Learner, source: Source) -> None:
        super().check(learner, source)
        refuse_dropping(learner, self.keep, self.kind)

    def response(self, delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        side = np.where(delta < 0, -1.0, 1.0)
        share = np.full(len(delta), float(self.share))
        if isinstance(law, Normal):
            return np.where(delta == 0, 0.0, -side * largest_pull(self.share)), share
        z, mass = law.nodes(delta)
        order = np.argsort(side[:, None] * z, axis=1)
        z, mass = np.take_along_axis(z, order, axis=1), np.take_along_axis(mass, order, axis=1)
        below = np.cumsum(mass, axis=1) - mass
        taken = np.clip(self.share - below, 0.0, mass)  # of the atom at the edge, as much as is needed
        return np.where(delta == 0, 0.0, (taken * z).sum(axis=1) / self.share), share

    def filtered(self, samples: Any, anchor: Anchor, context: Curating) -> Any:
        n = len(samples)
        if self.keep == "proposals":
            kept = self._nearest(samples, anchor, context, max(1, round(self.share * n)))
            context.note("acceptance", kept.mean(axis=1))
            context.note("effective_size", kept.sum(axis=1))
            return dropped(samples, kept)
        if self.share * MOST < 1:
            raise FilterStarved(
                f"{self.kind} keeps {self.share:.2g} of its proposals, an acceptance rate that takes more than {MOST} for each "
                "record kept"
            )
        refuse_after_another(samples, context, self.kind)
        more = math.ceil(n / self.share) - n
        proposed = samples if not more else type(samples).join([samples, context.draw(more)])
        context.note("acceptance", n / (n + more))
        context.note("effective_size", n)
        return picked(proposed, self._nearest(proposed, anchor, context, n), n)

    def _nearest(self, samples: Any, anchor: Anchor, context: Curating, count: int) -> np.ndarray:
        """(R, n) True for the `count` records farthest on the anchor's side; ties go to the earlier one."""
        z, delta = lean(context.model, records(samples), anchor)
        far = np.where(delta == 0, 0.0, np.where(delta < 0, -z, z))
        return np.argsort(np.argsort(far, axis=1, kind="stable"), axis=1) < count
