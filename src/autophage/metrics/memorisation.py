"""Memorisation: do generated records lie closer to the training records than held-out real ones do?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np

from autophage.errors import DataError
from autophage.metrics.features import Embedding, training_records
from autophage.metrics.intervals import median, ratio, wilson
from autophage.metrics.neighbours import nearest
from autophage.metrics.records import matched, remembered
from autophage.parts import Compared, Measurement, View, measurements

CLOSE = 0.01


class Memorisation(NamedTuple):
    """Relative nearest-training-record distance, and the share of records that are too close."""

    distance: Compared
    share: Compared


class TrainingSet:
    """Training records (n, d), n >= 2, with what held-out real ones (m, d) say of distances to them."""

    def __init__(self, train: np.ndarray, held_out: np.ndarray) -> None:
        self.train, held_out = matched(train, held_out)
        if len(self.train) < 2:
            raise DataError("memorisation needs at least two training records")
        self.usual = median(nearest(held_out, self.train)[0][:, 0])
        self.close = float(np.quantile(nearest(self.train, self.train, 1, own=True)[0], CLOSE))

    def compare(self, generated: np.ndarray) -> Memorisation:
        """How close generated records (k, d) come."""
        away = nearest(generated, self.train)[0][:, 0]
        return Memorisation(ratio(median(away), self.usual), wilson((away <= self.close).sum(), len(away)))


def memorisation(train: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> Memorisation:
    """Against training records (n, d), with held-out real ones (m, d) as the yardstick:

    distance: median distance of generated records (k, d) to the nearest training record, over the same for
    held-out ones; 1 is right, below 1 copies, 0 repeats. Interval: order statistics of both medians, errors
    added in squares; NaN where held-out records repeat training ones. share: generated records at most as far
    as the 1 % quantile of the training records' distances to each other; about 0.01 is right. Interval:
    Wilson's.

    Raises `DataError` below two training records, on unequal widths, or NaN.
    """
    x, y = matched(train, generated)
    return TrainingSet(x, held_out).compare(y)


@dataclass(frozen=True, kw_only=True)
class MemorisationMetric(Embedding):
    """Closeness to the records that generation 0 was trained on (rows `nearest_train_distance`,
    `memorised_share`)."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples", "train"})

    def measure(self, view: View) -> list[Measurement]:
        extract = self.extractor(view.memo, lambda: training_records(view.source))
        answers = []
        for r in range(view.replicates):
            train, held_out = view.reference(r, "train"), view.reference(r)
            x = self.real_features(train, extract, view.memo)
            yardstick = self.real_features(held_out, extract, view.memo)
            name = ("memorisation", self.features, self.components)
            known = remembered(view.memo, name, train, partial(TrainingSet, x, yardstick))
            found = known.compare(matched(x, extract(view.generated(r).x))[1])
            answers.append(
                {self.row("nearest_train_distance"): found.distance, self.row("memorised_share"): found.share}
            )
        return measurements(answers)
