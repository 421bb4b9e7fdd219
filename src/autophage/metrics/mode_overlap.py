"""Entanglement: do generated records fill the valleys between the real modes?

Both numbers read the posterior r of a mode map that knows real data only (definition D6 of Schaeffer et al.
2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.intervals import normal, wilson
from autophage.metrics.modes import ModeMetric
from autophage.metrics.records import FIXED
from autophage.parts import Compared, Measurement, View
from autophage.samples import Samples

VALLEY = (0.3, 0.7)
_DRAWN = 20_000


def valley_share(posterior: np.ndarray) -> Compared:
    """The share of records whose two largest posteriors both lie in [0.3, 0.7]; Wilson's interval.

    >>> valley_share(np.array([[0.5, 0.5], [0.9, 0.1]])).value
    0.5
    """
    _check(posterior)
    top = np.partition(posterior, -2, axis=1)[:, -2:]
    return wilson(((top >= VALLEY[0]) & (top <= VALLEY[1])).all(axis=1).sum(), len(posterior))


def mode_overlap(posterior: np.ndarray, *, least: float = 0.01) -> Compared:
    """The largest overlap of two modes' sub-populations, 0 (apart) to 1 (the same).

    The generated law q is split by the posteriors into sub-populations q r_i / w_i with weights w_i = E_q
    r_i; their Bhattacharyya overlap needs no density: integral sqrt(q_i q_j) = E_q sqrt(r_i r_j) / sqrt(w_i
    w_j). On records of the real mixture it is that of the real components. Modes with at most `least` of the
    mass are left out (a lost mode is no entangled one); with fewer than two left the overlap is 0. Interval:
    normal, by the delta method, for the pair that is largest.
    """
    _check(posterior)
    n = len(posterior)
    weights = posterior.mean(axis=0)
    alive = np.flatnonzero(weights > least)
    if len(alive) < 2:
        return Compared(0.0, 0.0, 0.0, n)
    roots = np.sqrt(posterior[:, alive])
    overlap = roots.T @ roots / n / np.sqrt(np.outer(weights[alive], weights[alive]))
    np.fill_diagonal(overlap, -1)
    i, j = np.unravel_index(overlap.argmax(), overlap.shape)
    value = float(min(overlap[i, j], 1.0))
    both = roots[:, i] * roots[:, j]
    if not both.mean() > 0:
        return Compared(0.0, 0.0, 0.0, n)
    a, b = alive[i], alive[j]
    influence = both / both.mean() - 0.5 * (posterior[:, a] / weights[a] + posterior[:, b] / weights[b])
    found = normal(value, value * influence.std() / np.sqrt(n), n)
    return Compared(value, max(found.low, 0.0), min(found.high, 1.0), n)


def _check(posterior: np.ndarray) -> None:
    if posterior.ndim != 2 or len(posterior) == 0 or posterior.shape[1] < 2:
        raise DataError(
            f"overlap needs posteriors (n, modes) of at least two modes, got shape {posterior.shape}"
        )


@dataclass(frozen=True, kw_only=True)
class ModeOverlap(ModeMetric):
    """Entanglement of real modes (rows `mode_overlap`, `valley_share`, and for comparison
    `valley_share_real`).

    The real valley share rests on the held-out records, or, for a law, on 20,000 fixed draws of it.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    def measure(self, view: View) -> list[Measurement]:
        if view.source.unlimited and self._drawn not in view.memo:
            draw = view.source.draw(_DRAWN, key=FIXED / "valley")
            view.memo[self._drawn] = draw.replicate(0)
        return super().measure(view)

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        found = self.mode_map(memo, lambda: real)
        _, y = self.embedded(real, generated, memo)
        posterior = found.posterior(y)
        name = (*self._drawn, self.modes, self.clusters, self.features, self.components)
        if name not in memo:
            records = memo.get(self._drawn, real)
            memo[name] = valley_share(found.posterior(self.extractor(memo, lambda: real)(records.x)))
        rows = {
            "mode_overlap": mode_overlap(posterior),
            "valley_share": valley_share(posterior),
            "valley_share_real": memo[name],
        }
        return {self.row(row): answer for row, answer in rows.items()}

    _drawn: ClassVar[tuple[str, str]] = ("metrics", "valley")
