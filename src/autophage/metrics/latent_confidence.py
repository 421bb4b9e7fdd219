"""Whether a probe of generation 0's latents still recognises the classes of generated records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.latent_filter import check_noise
from autophage.curation.latent_probe import finite, ruler_of
from autophage.metrics.intervals import mean, wilson
from autophage.metrics.orthogonality import LatentMetric
from autophage.parts import Measurement, View, measurements


@dataclass(frozen=True, kw_only=True)
class LatentConfidence(LatentMetric):
    """What curation `latent_filter` goes by, measured on the evaluation draw of any loop: rows `latent_confidence`, the mean
    probability that the probe gives to the class that was asked for, and `latent_real_share`, the share of held-out real records
    in the more confident half of as many of both.

    The second is 1/2 where confidence cannot tell them apart, and rises with errors off the classes' manifolds; it does not see a
    mere loss of diversity. The probe is trained once, on generation 0's real records.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "none"
    needs: ClassVar[frozenset[str]] = frozenset({"samples", "labels", "first", "train"})

    noise: Any = "auto"
    """As of curation latent_filter."""

    def __post_init__(self) -> None:
        check_noise(self.noise, "metric latent_confidence: noise")

    def measure(self, view: View) -> list[Measurement]:
        generated = self.seen(view)
        ruler = ruler_of(view.memo, view.first(), view.reference(0, "train"), view.reference(0), self.noise)
        xi = ruler.probe.confidence(ruler.codes(generated), np.asarray(generated.label))
        xi = xi[finite(xi, "generated records")]
        m = min(len(xi), len(ruler.held_out))
        best = np.argsort(-np.concatenate([ruler.held_out[:m], xi[:m]]), kind="stable")[:m]
        return measurements(
            [{"latent_confidence": mean(xi), "latent_real_share": wilson(int((best < m).sum()), m)}]
        )
