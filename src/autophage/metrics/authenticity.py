"""Authenticity: how many generated records are not copies of a training record, each judged by how crowded it is there.

(Alaa et al. 2022, as the share AuthPct of Stein et al. 2023.) Let x(y) be the training record nearest to a generated
record y. y is authentic if it lies farther from x(y) than x(y) from its own nearest other training record:

    |y - x(y)| > min over training records x' other than x(y) of |x(y) - x'|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from autophage.metrics.intervals import ratio, wilson
from autophage.metrics.memorisation import Closest, TrainingMetric, TrainingSet
from autophage.metrics.records import matched
from autophage.parts import Compared


class Authenticity(NamedTuple):
    """The share of authentic records, and the same over that of held-out real ones."""

    share: Compared
    relative: Compared


def authenticity(train: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> Authenticity:
    """Against training records (n, d), with held-out real ones (m, d) as the yardstick:

    share: authentic ones among generated records (k, d); 0 for copies. What is right depends on the data (one half to two
    thirds in many dimensions, more in few). relative: the share over that of held-out records, none of which is a copy; 1 is
    right, below 1 copies. Intervals, given the training records: Wilson's, and for the ratio both of them.

    Raises `DataError` below two training records, on unequal widths, or NaN.

    >>> found = authenticity(np.c_[[0, 1, 2.0]], np.c_[[0.5, 3.5]], np.c_[[0.1, 3.5, 2.0, 5.0]])
    >>> found.share.value, found.relative.value
    (0.5, 1.0)
    """
    x, y = matched(train, generated, compact=True)
    known = TrainingSet(x, held_out)
    return _compared(known, known.closest(y))


def _compared(known: TrainingSet, found: Closest) -> Authenticity:
    share, right = (_share(known, each) for each in (found, known.held_out))
    return Authenticity(share, ratio(share, right))


def _share(known: TrainingSet, found: Closest) -> Compared:
    return wilson((found.away > known.apart[found.which]).sum(), len(found.away))


@dataclass(frozen=True, kw_only=True)
class AuthenticityMetric(TrainingMetric):
    """Share of generated records that are no copies of a training record of generation 0 (row `authenticity`), and the same
    over that of held-out real records (row `authenticity_relative`; 1 is right)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    citation: ClassVar[tuple[str, ...]] = (
        "Alaa, van Breugel, Saveliev, van der Schaar (2022). How faithful is your synthetic data? ICML; arXiv 2102.08921",
    )

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, row by row: records far from all real ones are authentic too."""
        return {self.row("authenticity_relative"): "none"}

    def answer(self, known: TrainingSet, found: Closest) -> dict[str, Compared]:
        compared = _compared(known, found)
        return {
            self.row("authenticity"): compared.share,
            self.row("authenticity_relative"): compared.relative,
        }
