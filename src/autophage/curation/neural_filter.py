"""A neural filter, trained so that the loop contracts, and certified before it may say so (Han et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.curation.anchor import Lean, check_anchor
from autophage.curation.anchored_filter import AcceptingFilter
from autophage.curation.certificate import by_quadrature
from autophage.curation.family import Law, law_of
from autophage.data.arguments import positive, whole_number
from autophage.errors import SpecError
from autophage.interventions import Curating
from autophage.keys import Key
from autophage.parts import Learner, Source
from autophage.theory.filter_pulls import attainable, largest_pull

if TYPE_CHECKING:
    from autophage.curation.filter_training import Network


@dataclass(frozen=True, kw_only=True)
class NeuralFilter(AcceptingFilter):
    """A network that sees (z, delta, z delta) of a record and gives its acceptance, trained to contract by (1 - c) in the
    square up to the far end of the region (`filter_training`).

    It is trained once, in a few seconds, when the first generation is curated: the same settings give the same network, in
    every run. A certificate by quadrature follows; where it finds no contraction the run is refused, unless
    `require_contraction` is false, and then it is an ablation whose row `certified_contraction` is zero or below. Beyond the
    region it acts as at its far end. Several statistics are filtered along the error.

    Raises `SpecError` where no filter of the acceptance floor could do what is asked for, and for learners whose models expose
    no sufficient statistics.
    """

    contraction: float = 0.36
    """c in (0, 1): the squared error is to shrink by the factor 1 - c a round."""
    acceptance_floor: float = 0.3
    """The least share of the proposals that should pass at any error."""
    variance_limit: float | None = None
    """The most that the variance of kept records may be of the proposals'; no limit unless given."""
    steps: int = 600
    """Steps of the training."""
    training_seed: int = 0
    """Names the training's random numbers; another one gives another network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("contraction", "acceptance_floor"):
            if not 0 < getattr(self, key) < 1:
                raise SpecError(f"curation.{key} is {getattr(self, key)}; it must lie between 0 and 1")
        if self.variance_limit is not None:
            positive(self.variance_limit, "curation.variance_limit")
        whole_number(self.steps, "curation.steps", least=1)
        whole_number(self.training_seed, "curation.training_seed", least=0)
        far = self.region[1]
        if not attainable(self.contraction, far, self.acceptance_floor):
            raise SpecError(
                f"no filter that accepts the share {self.acceptance_floor:g} pulls further than "
                f"{float(largest_pull(self.acceptance_floor)):.3g} standard deviations, and curation.contraction "
                f"{self.contraction:g} at distance {far:g} needs {far * (1 - np.sqrt(1 - self.contraction)):.3g}; take a smaller "
                "contraction, region or acceptance_floor"
            )

    def check(self, learner: Learner, source: Source) -> None:
        check_anchor(self.anchor, learner, source)  # the certificate needs the training

    def notes(self, learner: Learner, source: Source) -> list[str]:
        if self.require_contraction or self.anchor is None:
            return []
        return [
            "curation neural_filter need not contract; the row certified_contraction says whether it may be called so"
        ]

    def network(self, law: Law) -> Network:
        """The trained network."""
        return _trained(self, law)

    def response(self, delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        return by_quadrature(self.network(law).acceptance)(delta, law)

    def acceptance(self, context: Curating) -> Callable[[Lean], np.ndarray]:
        model: Any = context.model
        network = self.network(law_of(type(model), getattr(model, "dim", 0), self.anchor))
        return lambda lean: network.acceptance(lean.z, lean.delta)


@cache
def _trained(part: NeuralFilter, law: Law) -> Network:
    from autophage.curation.filter_training import train

    return train(
        law,
        contraction=part.contraction,
        reach=part.region[1],
        least_acceptance=part.acceptance_floor,
        largest_variance=part.variance_limit,
        steps=part.steps,
        key=Key(part.training_seed) / "neural_filter" / law.name,
    )
