"""Memorisation: do generated records lie closer to the training records than held-out real ones do?"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np

from autophage.errors import DataError
from autophage.metrics.features import Embedding, training_records
from autophage.metrics.intervals import median, ratio, wilson
from autophage.metrics.neighbourhoods import Neighbourhood
from autophage.metrics.neighbours import nearest
from autophage.metrics.records import matched, once, remembered, shared
from autophage.parts import Compared, Measurement, View, measurements

CLOSE = 0.01


class Memorisation(NamedTuple):
    """Relative nearest-training-record distance, and the share of records that are too close."""

    distance: Compared
    share: Compared


class Closest(NamedTuple):
    """The nearest training record of each record: how far, and which."""

    away: np.ndarray
    which: np.ndarray


class TrainingSet:
    """Training records (n, d), n >= 2, with what held-out real ones (m, d) say of distances to them.

    `apart` (n,) is the distance of each training record to its nearest other one, `held_out` where the held-out ones lie.
    """

    def __init__(self, train: np.ndarray, held_out: np.ndarray) -> None:
        self.train, held_out = matched(train, held_out, compact=True)
        if len(self.train) < 2:
            raise DataError("memorisation needs at least two training records")
        self.held_out = self.closest(held_out)
        self.apart = Neighbourhood(self.train).radii(1)

    def closest(self, records: np.ndarray) -> Closest:
        """Where records (k, d) lie among the training records."""
        away, which = nearest(records, self.train)
        return Closest(away[:, 0], which[:, 0])

    def compare(self, found: Closest) -> Memorisation:
        """How close generated records come."""
        close = np.quantile(self.apart, CLOSE)
        usual = median(self.held_out.away)
        share = wilson((found.away <= close).sum(), len(found.away))
        return Memorisation(ratio(median(found.away), usual), share)


def memorisation(train: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> Memorisation:
    """Against training records (n, d), with held-out real ones (m, d) as the yardstick:

    distance: median distance of generated records (k, d) to the nearest training record, over the same for
    held-out ones; 1 is right, below 1 copies, 0 repeats. Interval: order statistics of both medians, errors
    added in squares; NaN where held-out records repeat training ones. share: generated records at most as far
    as the 1 % quantile of the training records' distances to each other; about 0.01 is right. Interval:
    Wilson's.

    Raises `DataError` below two training records, on unequal widths, or NaN.
    """
    x, y = matched(train, generated, compact=True)
    known = TrainingSet(x, held_out)
    return known.compare(known.closest(y))


@dataclass(frozen=True, kw_only=True)
class TrainingMetric(Embedding):
    """A metric of how near generated records lie to the ones that generation 0 was trained on. Distances are computed once
    for all of them."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples", "train"})

    @abstractmethod
    def answer(self, known: TrainingSet, found: Closest) -> dict[str, Compared]:
        """Row name to value."""

    def measure(self, view: View) -> list[Measurement]:
        memo = view.memo
        shared(memo, view)
        extract = self.extractor(memo, lambda: training_records(view.source))
        name = ("training set", self.features, self.components)
        answers = []
        for r in range(view.replicates):
            train, held_out, generated = view.reference(r, "train"), view.reference(r), view.generated(r)
            x = self.real_features(train, extract, memo)
            y = matched(x, self.generated_features(generated, extract, memo), compact=True)[1]
            yardstick = self.real_features(held_out, extract, memo)
            known = remembered(memo, name, train, partial(TrainingSet, x, yardstick))
            answers.append(self.answer(known, once(memo, name, generated, partial(known.closest, y))))
        return measurements(answers)


@dataclass(frozen=True, kw_only=True)
class MemorisationMetric(TrainingMetric):
    """Closeness to the records that generation 0 was trained on (rows `nearest_train_distance`,
    `memorised_share`)."""

    def answer(self, known: TrainingSet, found: Closest) -> dict[str, Compared]:
        compared = known.compare(found)
        return {
            self.row("nearest_train_distance"): compared.distance,
            self.row("memorised_share"): compared.share,
        }
