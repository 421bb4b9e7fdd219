"""Hallucinations by mode interpolation: what is generated where no mode of the true law is (Aithal et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.mode_support import DEVIATIONS, ModeSupport
from autophage.data.arguments import positive
from autophage.errors import SpecError
from autophage.metrics.intervals import wilson
from autophage.parts import Compared, Measurement, Metric, Source, View, measurements

KEY = "mode_interpolation.support"


@dataclass(frozen=True, kw_only=True)
class ModeInterpolation(Metric):
    """The share of generated records beyond every mode of the true mixture (row `beyond_modes`), and the share of these that lie
    between the two modes nearest to them (row `between_modes`, NaN where none is beyond).

    Beyond: farther than `deviations` standard deviations from every centre, direction by direction; of a true Gaussian in one
    dimension 2e-9 are. Intervals are Wilson's. Raises `SpecError` where the true law is no mixture of Gaussians and no `support`
    is given. `outside_support` asks the same of data without known modes, by distances to the real records.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    domains: ClassVar[frozenset[str]] = frozenset({"vectors"})

    deviations: float = DEVIATIONS
    """How far a mode reaches, in its standard deviations."""
    support: dict[str, Any] | None = None
    """Where records may lie instead: `{centres: [[..], ..], radius: r}`."""

    def __post_init__(self) -> None:
        positive(self.deviations, "mode_interpolation.deviations")
        if self.support is not None:
            ModeSupport.of_settings(self.support, key=KEY)

    def check(self, source: Source) -> None:
        self.modes(source)

    def modes(self, source: Source) -> ModeSupport:
        """Where records may lie."""
        if self.support is not None:
            return ModeSupport.of_settings(self.support, source.dim, KEY)
        found = ModeSupport.of_truth(source.truth, self.deviations)
        if found is None:
            raise SpecError(
                "metric mode_interpolation needs the modes of the data: a true law that is a mixture of Gaussians, or support: "
                "{centres: ..., radius: ...}"
            )
        return found

    def measure(self, view: View) -> list[Measurement]:
        support = self.modes(view.source)
        return measurements(_rows(support, view.generated(r).flat()) for r in range(view.replicates))


def _rows(support: ModeSupport, x: np.ndarray) -> dict[str, Compared]:
    out, between = int(support.beyond(x).sum()), int(support.between(x).sum())
    share = wilson(between, out) if out else Compared(float("nan"), n=0)
    return {"beyond_modes": wilson(out, len(x)), "between_modes": share}
