"""How wide the records of one class still are: what guidance takes first, and the whole set's variance hides.

    within    W = sum_k sum_{i in k} ||x_i - m_k||^2 / (d (n - K)),   m_k the mean of class k's n_k records

over the K classes that occur, n records of d numbers. The variance of all records has the distances between classes in it,
which stay where guidance shrinks each class to a point. Captions are classes of pictures too: d W is then the trace of the
covariance of pictures with the same caption, which rises where captions lose touch with pictures (Hu, Rostami and Thomason 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.descriptions import described, plain, require_descriptions
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import mean, ratio
from autophage.metrics.records import matrix, remembered
from autophage.parts import Compared, Source
from autophage.samples import Samples

CAPTION_ROWS = ("within_caption_variance", "within_caption_variance_ratio")
ROWS = ("within_class_variance", "within_class_variance_ratio", "within_class_variance_error")


def within_class_variance(x: np.ndarray, label: np.ndarray) -> Compared:
    """W of records (n, d) with labels (n,): unbiased where classes share one variance.

    Interval: normal, from the spread of the records' squared distances to their class's mean. Raises `DataError` unless some
    class has two records.

    >>> within_class_variance(np.array([[0.0], [2.0], [9.0], [9.0]]), np.array([0, 0, 1, 1])).value
    1.0
    """
    x, label = matrix(x, "the records"), np.asarray(label)
    if label.shape != (len(x),):
        raise DataError(
            f"{len(x)} records need as many labels for a within-class variance, got {label.shape}"
        )
    classes, which, counts = np.unique(label, return_inverse=True, return_counts=True)
    if len(x) == len(classes):
        raise DataError("a within-class variance needs two records of some class")
    sums = np.zeros((len(classes), x.shape[1]))
    np.add.at(sums, which, x)
    away = np.square(x - (sums / counts[:, None])[which]).mean(axis=1)
    return mean(away * (len(x) / (len(x) - len(classes))))


@dataclass(frozen=True, kw_only=True)
class WithinClassVariance(FeatureMetric):
    """How wide the records of a class are, on average over classes and coordinates. Rows:

    - `within_class_variance`: the pooled variance about the classes' means, each record in the class that was asked for;
    - `within_class_variance_ratio`: the same over that of the real records;
    - `within_class_variance_error`: |ln ratio|: 0 is right, and both collapse and explosion are wrong.

    For models that make records of a class. Raises `DataError` where generated records carry no labels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples", "labels"})

    @property
    def directions(self) -> dict[str, Literal["lower", "higher", "none"]]:
        """Which way is better, by row name."""
        train = "_train" if self.against == "train" else ""
        return {self.row(name) + train: "lower" if name == ROWS[2] else "none" for name in ROWS}

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        if real.label is None or generated.label is None:
            whose = "the real" if real.label is None else "the generated"
            raise DataError(
                f"within_class_variance needs the class of every record, and {whose} ones carry none; it is for learners that "
                "use labels (learner.labels: use)"
            )
        x, y = self.embedded(real, generated, memo)
        name: Any = ("within class variance", self.features, self.components)
        label = real.label
        truth = remembered(memo, name, real, lambda: within_class_variance(x, label))
        found = within_class_variance(y, generated.label)
        share = ratio(found, truth)
        return {
            self.row(row): value for row, value in zip(ROWS, (found, share, _error_of(share)), strict=True)
        }


def _error_of(share: Compared) -> Compared:
    """|ln ratio| with the interval that the ratio's implies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, value, high = (float(np.log(v)) for v in (share.low, share.value, share.high))
    around = low <= 0 <= high
    ends = abs(low), abs(high)
    return Compared(abs(value), 0.0 if around else min(ends), max(ends), share.n)


@dataclass(frozen=True, kw_only=True)
class WithinCaptionVariance(FeatureMetric):
    """How wide the records of one description are, summed over coordinates. Rows:

    - `within_caption_variance`: d W, each record counted to its caption, or to its class where there are no captions;
    - `within_caption_variance_ratio`: the same over that of the real records; NaN where real records of one caption are all alike.

    Of a generator the descriptions are what it was asked for, of a captioner what it says. Raises `DataError` where records carry
    neither captions nor labels, or no two of them the same.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    of_descriptions: ClassVar[bool] = True

    @property
    def directions(self) -> dict[str, Literal["lower", "higher", "none"]]:
        """Neither way is better: one is collapse, the other confusion."""
        train = "_train" if self.against == "train" else ""
        return {self.row(name) + train: "none" for name in CAPTION_ROWS}

    def check(self, source: Source) -> None:
        super().check(source)
        require_descriptions(source, "within_caption_variance")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        said = plain(described(generated, "within_caption_variance"))
        truth = plain(described(real, "within_caption_variance", "the real"))
        x, y = self.embedded(real, generated, memo)
        name: Any = ("within caption variance", self.features, self.components)
        known = remembered(memo, name, real, lambda: within_class_variance(x, truth))
        found = within_class_variance(y, said)
        d = y.shape[1]
        total = Compared(d * found.value, d * found.low, d * found.high, found.n)
        rows = (total, ratio(found, known))
        return {self.row(row): value for row, value in zip(CAPTION_ROWS, rows, strict=True)}
