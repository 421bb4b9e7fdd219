"""What filters share that pull a model towards an anchor: the anchor itself, the certificate, and what is noted.

Notes for metrics: `acceptance` (share of proposals kept; a filter of weights notes none), `effective_size` ((sum w)^2 / sum
w^2 of what goes on), `anchor_variance` (expected squared error of the anchor), `certified_contraction` (c_min; zero or
below: the run must not be called contractive).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.anchor import (
    Anchor,
    AnchorSpec,
    Lean,
    check_anchor,
    lean,
    records,
    refuse_unsaid,
    resolve,
)
from autophage.curation.certificate import Certificate, certify, check_region
from autophage.curation.family import Law, law_of
from autophage.curation.keeping import dropped, effective_size, filled, weighed
from autophage.errors import SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Source

HAN2025 = (
    "Z. Han, Y. Liang, R. Wang, Y. Luo, Y. Huang, X. Song, D. Wei (2025), Preventing Model Collapse via "
    "Contraction-Conditioned Neural Filters. arXiv 2512.00757"
)


@dataclass(frozen=True, kw_only=True)
class AnchoredFilter(Curation):
    """A filter that pulls the refitted parameter towards an anchor."""

    citation: ClassVar[tuple[str, ...]] = (HAN2025,)
    knows: ClassVar[str] = "an anchor: the mean statistic of the real records, or a constraint"

    anchor: AnchorSpec = ""
    """What stands for the truth: `real` (the mean statistic of generation 0's real records), {mean: ...} (a known
    constraint), or null, which says outright that there is none and filters nothing. Must be given."""
    region: tuple[float, float] = (0.3, 3.0)
    """Distances of the model from the anchor, in standard deviations of a record, at which contraction is certified."""
    require_contraction: bool = True
    """Refuse a filter that is not certified contractive on the region; false runs it as an ablation, without the label."""

    def __post_init__(self) -> None:
        refuse_unsaid(self.anchor)
        object.__setattr__(self, "region", check_region(self.region))

    @property
    def kind(self) -> str:
        """Its name in messages."""
        return "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__).lstrip("_")

    @property
    def idle(self) -> bool:
        """Without an anchor no pull is unbiased but none."""
        return self.anchor is None

    @abstractmethod
    def response(self, delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        """The pull (m,) and the share kept (m,) at errors (m,), see `certificate.Response`."""

    def certificate(self, law: Law) -> Certificate:
        """What is certified of it."""
        return _certified(self, law)

    def check(self, learner: Learner, source: Source) -> None:
        check_anchor(self.anchor, learner, source)
        if self.anchor is not None:
            self.refuse_unless_contractive(self._law(learner, source))

    def notes(self, learner: Learner, source: Source) -> list[str]:
        if self.anchor is None or self.require_contraction:
            return []
        found = self.certificate(self._law(learner, source))
        return [] if found.contractive else [f"curation {self.kind} runs as an ablation: it is {found.label}"]

    def _law(self, learner: Learner, source: Source) -> Law:
        return law_of(getattr(learner, "model", None), source.dim, self.anchor)

    def refuse_unless_contractive(self, law: Law) -> Certificate:
        """The certificate. Raises `SpecError` where contraction is required and not found."""
        found = self.certificate(law)
        if self.require_contraction and not found.contractive:
            raise SpecError(
                f"curation {self.kind} is {found.label}; choose other settings or another region, or set "
                "curation.require_contraction: false to run it as an ablation"
            )
        return found

    def apply(self, samples: Any, *, context: Curating) -> Any:
        anchor = resolve(self.anchor, context)
        if anchor is None:
            return samples
        law = law_of(type(context.model), getattr(context.model, "dim", 0), self.anchor)
        found = self.refuse_unless_contractive(law)
        context.note("certified_contraction", found.contraction)
        context.note("anchor_variance", anchor.variance)
        return self.filtered(samples, anchor, context)

    @abstractmethod
    def filtered(self, samples: Any, anchor: Anchor, context: Curating) -> Any:
        """The samples that go on, out of those of a model with an anchor."""


@cache
def _certified(part: AnchoredFilter, law: Law) -> Certificate:
    return certify(part.response, part.region, law)


Keep = Literal["n", "proposals", "weights"]


@dataclass(frozen=True, kw_only=True)
class AcceptingFilter(AnchoredFilter):
    """A filter that accepts each record with a probability of its own."""

    keep: Keep = "n"
    """`n`: propose until as many are accepted as were asked for. `proposals`: keep what passes of that many proposals.
    `weights`: keep them all, weighted by their acceptance (mean 1)."""

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        """Whether records come out with weights other than zero and one."""
        return self.keep == "weights" and self.anchor is not None

    @abstractmethod
    def acceptance(self, context: Curating) -> Callable[[Lean], np.ndarray]:
        """The function from how records lean (z (R, n), delta (R, 1)) to their acceptance (R, n)."""

    def filtered(self, samples: Any, anchor: Anchor, context: Curating) -> Any:
        accept = self.acceptance(context)

        def chance(batch: Any) -> np.ndarray:
            return accept(lean(context.model, records(batch), anchor))

        if self.keep == "weights":
            weight = chance(samples)
            found = weighed(samples, weight, self.kind)
            context.note("acceptance", weight.mean(axis=1))
            context.note("effective_size", effective_size(weight))
            return found

        def judge(batch: Any, draw: int) -> np.ndarray:
            p = chance(batch)
            return (context.key / "accept" / draw).generator().random(p.shape) < p

        if self.keep == "n":
            context.note("effective_size", len(samples))
            return filled(samples, judge, context, self.kind)
        kept = judge(samples, 0)
        context.note("acceptance", kept.mean(axis=1))
        context.note("effective_size", kept.sum(axis=1))
        return dropped(samples, kept)
