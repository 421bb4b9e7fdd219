"""Do all classes survive? What a classifier of the real labels sees in generated records.

The classifier is trained once on the labelled real training part: a small convolutional network for pictures, a
perceptron otherwise. Shares are of its predicted (most probable) classes, on both sides: those of real held-out records
are what the generated ones are compared with, so that its mistakes on real records do not count as a difference. A
record that looks like nothing real still gets a class, often with confidence: what `classifier_confidence` shows is
records between the classes, not outside of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import fitted, training_records
from autophage.metrics.intervals import mean, normal, ratio, wilson
from autophage.metrics.records import VECTORS, once, remembered, shared
from autophage.metrics.spaces.pictures import is_picture, natural_shape, require_pictures
from autophage.parts import Compared, Measurement, SampleMetric, Source, View
from autophage.samples import Samples

RESAMPLES = 400
SPACES = {"cnn": "cnn", "mlp": "classifier"}
"""The feature space whose classifier each choice is."""
DIRECTIONS = {
    "class_entropy": "higher",
    "class_shares_tv": "lower",
    "smallest_class_share": "none",
    "least_class_ratio": "higher",
    "classifier_confidence": "none",
    "classifier_accuracy": "none",
    "label_agreement": "higher",
}
"""Which way is better, row by row."""


def class_entropy(counts: np.ndarray, *, key: Key) -> Compared:
    """The entropy -sum w ln w in nats of class shares w, from counts (K,); ln K when all are even, 0 for one class.

    Plug-in: about (K - 1) / 2n below the law's own entropy. Interval: normal, of the expected value at this n, with the
    standard error of a bootstrap of the counts, cut off at 0 and ln K.
    """
    n = int(counts.sum())
    value = float(_entropy(counts / n)) + 0.0  # of one class it is zero, not minus zero
    draws = key.generator().multinomial(n, counts / n, RESAMPLES) / n
    found = normal(value, _entropy(draws).std(ddof=1), n)
    most = float(np.log(len(counts)))
    return Compared(value, max(found.low, 0.0), max(min(found.high, most), value), n)


def _entropy(shares: np.ndarray) -> np.ndarray:
    positive = np.where(shares > 0, shares, 1.0)
    return -(shares * np.log(positive)).sum(axis=-1)


def class_shares_tv(counts: np.ndarray, real: np.ndarray, *, key: Key) -> Compared:
    """The total variation distance sum |w - v| / 2 of two sets of class shares, from generated and real counts (K,).

    Biased upwards: equal laws give about sqrt((1/n + 1/m) (K - 1) / 2 pi). Interval: normal, of the expected value at
    these sizes, with the standard error of a bootstrap of both sets of counts, cut off at 0 and 1.
    """
    n, m = int(counts.sum()), int(real.sum())
    w, v = counts / n, real / m
    value = float(np.abs(w - v).sum() / 2)
    rng = key.generator()
    draws = rng.multinomial(n, w, RESAMPLES) / n - rng.multinomial(m, v, RESAMPLES) / m
    found = normal(value, (np.abs(draws).sum(axis=1) / 2).std(ddof=1), n)
    return Compared(value, max(found.low, 0.0), min(found.high, 1.0), n)


def class_ratios(counts: np.ndarray, real: np.ndarray, *, level: float = 0.95) -> list[Compared]:
    """Each class's share of the generated records over its share of the real ones, from counts (K,): 1 when it is as
    frequent as in the real data, 0 when it is extinct, NaN where no real record was given that class.

    Interval: Wilson's for both shares, their arms added in squares.
    """
    n, m = int(counts.sum()), int(real.sum())
    return [
        ratio(wilson(a, n, level), wilson(b, m, level)) if b else Compared(float("nan"), n=n)
        for a, b in zip(counts, real, strict=True)
    ]


def least_ratio(counts: np.ndarray, real: np.ndarray) -> Compared:
    """The least of `class_ratios`: 0 as soon as any class is extinct. Biased downwards, since it is the least of many.

    Interval: the least lower and the least upper end of the classes' intervals at level 1 - 0.05 / K, which hold for all
    classes at once (Bonferroni): of the least ratio of the laws.
    """
    level = 1 - 0.05 / max((real > 0).sum(), 1)
    found = [c for c, b in zip(class_ratios(counts, real, level=level), real, strict=True) if b]
    low, value, high = (min(getattr(c, end) for c in found) for end in ("low", "value", "high"))
    return Compared(value, low, high, int(counts.sum()))


@dataclass(frozen=True)
class Seen:
    """What the classifier sees in records: the place of the predicted class of each, and its probability (both (n,))."""

    predicted: np.ndarray
    confidence: np.ndarray

    @staticmethod
    def of(posterior: np.ndarray) -> Seen:
        """From class probabilities (n, K)."""
        return Seen(posterior.argmax(axis=1), posterior.max(axis=1))


@dataclass(frozen=True, kw_only=True)
class ClassShares(SampleMetric):
    """Which classes are left, by a classifier trained on the labelled real training part. Rows:

    - `class_entropy`: entropy in nats of the predicted classes' shares;
    - `class_shares_tv`: total variation distance of these shares from those of the real records;
    - `smallest_class_share`: share of the class that is rarest in the real data (the first of equals), over its real one;
    - `least_class_ratio`: the same for the class that has lost most, whichever it is: 0 when any class is extinct;
    - `classifier_confidence`: mean probability of the predicted class;
    - `classifier_accuracy`: share of right answers on the real records compared with, the same in every generation;
    - `label_agreement`: share of generated records whose predicted class is the one that was asked of the model; for
      models that make records of a class.

    A choice of `classifier` other than `auto` is added to the names. Without a run the classifier is trained on the very
    records compared with, and its accuracy is that on its own training records.
    """

    domains: ClassVar[frozenset[str]] = VECTORS
    needs: ClassVar[frozenset[str]] = frozenset({"samples", "labels"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"

    classifier: Literal["auto", "cnn", "mlp"] = "auto"
    """A small convolutional network (`cnn`, for pictures; kept on disk, see `features: cnn`), a perceptron (`mlp`), or
    the first of these for pictures and the second otherwise."""

    def __post_init__(self) -> None:
        if self.classifier not in ("auto", *SPACES):
            raise SpecError(f"classifier is '{self.classifier}'; known: auto, {', '.join(SPACES)}")

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, by row name."""
        train = "_train" if self.against == "train" else ""
        return {self.row(name) + train: direction for name, direction in DIRECTIONS.items()}

    def row(self, name: str) -> str:
        """A row's name: the classifier is added where it was chosen."""
        return name if self.classifier == "auto" else f"{name}_{self.classifier}"

    def check(self, source: Source) -> None:
        """Raises `SpecError` where there is no training part to learn from, or no picture for `cnn`."""
        if source.unlimited:
            raise SpecError(
                "class_shares learns from the labelled training part of a data set, and a law has none; take modes"
            )
        if self.classifier == "cnn":
            require_pictures(source, "class_shares: classifier: cnn")

    def measure(self, view: View) -> list[Measurement]:
        shared(view.memo, view)
        self._trained(view.memo, lambda: training_records(view.source))
        return super().measure(view)

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        space, net = self._trained(memo, lambda: real)
        if real.label is None:
            raise DataError("class shares need real records with labels to compare with, and these have none")

        def seen(records: Samples, keep: Callable) -> Seen:
            features = keep(memo, ("features", space, 16), records, lambda: net(records.x))
            return Seen.of(net.posterior_of(features))

        truth = remembered(memo, ("class shares", space), real, lambda: seen(real, remembered))
        made = seen(generated, once)
        classes, n = len(net.classes), len(generated)
        counts, real_counts = (np.bincount(s.predicted, minlength=classes) for s in (made, truth))
        labelled = np.array([(real.label == c).sum() for c in net.classes])
        rarest = int(np.argmin(np.where(labelled > 0, labelled, labelled.max() + 1)))
        right = net.classes[truth.predicted] == real.label
        rows = {
            "class_entropy": class_entropy(counts, key=key / "entropy"),
            "class_shares_tv": class_shares_tv(counts, real_counts, key=key / "total variation"),
            "smallest_class_share": class_ratios(counts, real_counts)[rarest],
            "least_class_ratio": least_ratio(counts, real_counts),
            "classifier_confidence": mean(made.confidence),
            "classifier_accuracy": wilson(right.sum(), len(right)),
        }
        if generated.label is not None:
            rows["label_agreement"] = wilson((net.classes[made.predicted] == generated.label).sum(), n)
        return {self.row(name): answer for name, answer in rows.items()}

    def _trained(self, memo: dict, train: Callable[[], Samples]) -> tuple[str, Any]:
        """The feature space and its classifier, trained when first asked for."""
        name = ("metrics", "class shares", self.classifier)
        if name not in memo:
            pictures = self.classifier == "auto" and is_picture(natural_shape(train()))
            memo[name] = SPACES.get(self.classifier, "cnn" if pictures else "classifier")
        return memo[name], fitted(memo, memo[name], train)
