"""A verifier that accepts what lies near the centre it knows (Yi et al. 2025; scalar map derived)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.anchor import records
from autophage.curation.keeping import dropped, filled, refuse_dropping
from autophage.data.arguments import frozen, positive, vector
from autophage.errors import SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Source


@dataclass(frozen=True, kw_only=True)
class IntervalVerifier(Curation):
    """Keeps the records x with |x - centre| < radius (the Euclidean norm in more dimensions), whatever the learner.

    The verified loop is a contraction towards the centre, not towards the truth: at first it may gain, in the end it knows
    what the verifier knows. For a Gaussian of known variance the map is `theory.filter_pulls.interval_response`. A radius that
    nothing exceeds is the plain loop, bit for bit, but for learners that the plain loop fits to sufficient statistics: these then
    see records, drawn from other streams, and are equal to it in law.

    Raises `SpecError` for a radius that is not positive and a centre of the wrong length; `FilterStarved` with keep: n when
    less than one proposal in 50 passes.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "B. Yi, Q. Liu, Y. Cheng, H. Xu (2025), Escaping Model Collapse via Synthetic Data Verification: Near-term "
        "Improvements and Long-term Convergence. arXiv 2510.16657",
    )
    knows: ClassVar[str] = "a centre, and how far from it a record may lie"

    centre: float | tuple[float, ...]
    """Where the verifier expects records: one number for every coordinate, or one for each."""
    radius: float
    """How far from the centre a record may lie."""
    keep: Literal["n", "proposals"] = "n"
    """`n`: propose until as many have passed as were asked for. `proposals`: keep what passes of that many proposals."""

    def __post_init__(self) -> None:
        vector(self.centre, "curation.centre")
        positive(self.radius, "curation.radius")
        object.__setattr__(self, "centre", frozen(self.centre))

    def check(self, learner: Learner, source: Source) -> None:
        if source.domain == "symbols":
            raise SpecError("curation interval_verifier measures distances, and the data are symbols")
        centre = vector(self.centre, "curation.centre")
        if len(centre) not in (1, source.dim):
            raise SpecError(
                f"curation.centre has {len(centre)} numbers; records have {source.dim}, so give 1 or {source.dim}"
            )
        refuse_dropping(learner, self.keep, "interval_verifier")

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.keep == "n":
            context.note("effective_size", len(samples))
            return filled(samples, lambda batch, _: self._passes(batch), context, "interval_verifier")
        kept = self._passes(samples)
        context.note("acceptance", kept.mean(axis=1))
        context.note("effective_size", kept.sum(axis=1))
        return dropped(samples, kept)

    def _passes(self, samples: Any) -> np.ndarray:
        x = records(samples)
        flat = x.reshape(*x.shape[:2], -1) - vector(self.centre, "curation.centre")
        return np.asarray((flat**2).sum(axis=2) < self.radius**2)
