"""Logistic acceptance: half of all proposals pass, those on the anchor's side more often (Han et al. 2025; form derived)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from autophage.curation.anchor import Lean
from autophage.curation.anchored_filter import AcceptingFilter
from autophage.curation.certificate import by_quadrature
from autophage.curation.family import Law
from autophage.data.arguments import positive
from autophage.interventions import Curating


@dataclass(frozen=True, kw_only=True)
class Logistic(AcceptingFilter):
    """A record is accepted with probability 1/(1 + exp(k delta z)). The pull is S(k delta) = 2 E[z/(1 + exp(k delta z))]:
    about -k delta/2 near the anchor, and never more than sqrt(2/pi) standard deviations; for a symmetric statistic exactly
    half are accepted.

    Raises `SpecError` for a slope that is not positive, for one too steep to contract on the region, and for learners whose
    models expose no sufficient statistics.
    """

    slope: float = 0.5
    """k, above zero; near the anchor k/2 of the error is removed, so that from 4 on nothing contracts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.slope, "curation.slope")

    def response(self, delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        return by_quadrature(lambda z, d: expit(-self.slope * d * z))(delta, law)

    def acceptance(self, context: Curating) -> Callable[[Lean], np.ndarray]:
        return lambda lean: expit(-self.slope * lean.delta * lean.z)
