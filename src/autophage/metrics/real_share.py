"""How much of a training set was real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np

from autophage.parts import Domain, Measurement, Metric, View


@dataclass(frozen=True, kw_only=True)
class RealShare(Metric):
    """The share of real records in the generation's training set, by weight: counted, hence without an
    interval. Where a mixture of fresh real and synthetic records is drawn from its blended law in one go (`fresh`,
    frequencies, statistics path), nobody knows which is which: there it is the share that was asked for."""

    domains: ClassVar[frozenset[str]] = frozenset(get_args(Domain))

    def measure(self, view: View) -> list[Measurement]:
        share = np.broadcast_to(np.asarray(view.real_share, dtype=np.float64), (view.replicates,))
        return [Measurement("real_share", share.copy())]
