"""The exponential tilt in a feature space, for generators without a closed form (Han et al. 2025; form derived)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autophage.curation.anchored_filter import HAN2025
from autophage.curation.certificate import Certificate, check_region
from autophage.curation.family import Normal
from autophage.curation.keeping import effective_size, weighed
from autophage.curation.real_or_synthetic import check_features, check_setting, space_of
from autophage.curation.tilt import Tilt
from autophage.data.arguments import array
from autophage.errors import FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Source

THIN = 1e-6
"""Directions of the feature space in which the samples' variance is below this share of the largest one are left alone: no weights
can move what does not vary."""


@dataclass(frozen=True, kw_only=True)
class FeatureTilt(Curation):
    """Weights w = exp(-b (m - a)' S^-1 (f - m)), scaled to mean 1, of features f with mean m and covariance S over the samples and
    mean a over generation 0's real records: every sample stays, and the weighted mean is m - b (m - a). Exact for normal features
    and to first order elsewhere; with delta = ((m - a)' S^-1 (m - a))^1/2 the effective sample is n exp(-b^2 delta^2).

    What contracts is the mean in the feature space, by 1 - b in a round whose learner takes the weighted mean over. It goes to
    the real records' mean, not to the truth, and stays about it at a distance that the noise of n samples sets. `pull: 0` is
    the plain loop. Raises `SpecError` unless 0 <= pull < 2, `UnusableWeights` where all weights are zero or not finite.

    Notes for metrics: `effective_size`, `certified_contraction` (1 - (1 - b)^2, by quadrature, on the region), `delta` (before the
    tilt, in standard deviations of a sample), `covered` (1 where delta lies within the region or below, 0 beyond).
    """

    citation: ClassVar[tuple[str, ...]] = (HAN2025,)
    knows: ClassVar[str] = "an anchor: the mean features of the real records"

    pull: float
    """The share b of the error that one round removes, in (0, 2); 0 tilts nothing."""
    features: str = "pca"
    """Where the mean is pulled: pixels, standardised, pca, classifier, cnn, `inception:FILE`, `transformers:MODEL` or
    `module:function`, as for metrics; fitted on generation 0's real records."""
    components: int = 16
    """Principal components, for `features: pca`; no more than the records allow."""
    region: tuple[float, float] = (0.3, 3.0)
    """Distances delta for which contraction is certified."""

    def __post_init__(self) -> None:
        b = array(self.pull, "curation.pull")
        if b.ndim or not 0 <= b < 2:
            raise SpecError(
                f"curation.pull is {self.pull}; it must lie in (0, 2), or be 0 to tilt nothing: with |1 - b| above 1 nothing "
                "contracts"
            )
        check_features(self.features, self.components)
        object.__setattr__(self, "region", check_region(self.region))

    @property
    def idle(self) -> bool:
        return self.pull == 0

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        return not self.idle

    @cached_property
    def certificate(self) -> Certificate:
        """What is certified of it, for normal features."""
        return Tilt(anchor="real", pull=self.pull, region=self.region).certificate(Normal())

    def check(self, learner: Learner, source: Source) -> None:
        check_setting("feature_tilt", self.features, learner, source)

    def notes(self, learner: Learner, source: Source) -> list[str]:
        if self.idle or self.certificate.contractive:
            return []
        return [f"curation feature_tilt is {self.certificate.label}"]

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.idle:
            return samples
        space = space_of(context, self.features, self.components)
        found = tilted(space.features(samples), space.real.mean(axis=0), self.pull)
        context.note("effective_size", effective_size(found.weight[None]))
        context.note("delta", found.delta)
        context.note("covered", float(found.delta <= self.region[1]))
        context.note("certified_contraction", self.certificate.contraction)
        return weighed(samples, found.weight[None], "feature_tilt")


class Tilted(NamedTuple):
    """Weights of features, and where they stood."""

    weight: np.ndarray
    """(n,), the largest 1."""
    delta: float
    """The standardised error of the mean before the tilt."""


def tilted(features: np.ndarray, anchor: np.ndarray, pull: float) -> Tilted:
    """Weights exp(-b (m - a)' S^-1 (f - m)) of features (n, k) with an anchor (k,). Raises `FitFailed` for fewer than two records.

    >>> f = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> weight, delta = tilted(f, np.array([1.0]), 0.5)
    >>> round(delta, 4), round(float(np.average(f[:, 0], weights=weight)), 2)
    (0.3873, 1.31)
    """
    if len(features) < 2:
        raise FitFailed("feature_tilt needs two samples or more: one has no covariance")
    centre = features.mean(axis=0)
    centred, error = features - centre, centre - anchor
    values, directions = np.linalg.eigh(centred.T @ centred / (len(features) - 1))
    wide = values > THIN * max(values.max(), 0.0)
    along = (error @ directions)[wide] / values[wide]
    delta = float(np.sqrt((along**2 * values[wide]).sum()))
    log_weight = -pull * (centred @ directions[:, wide] @ along)
    return Tilted(np.exp(log_weight - log_weight.max()), delta)
