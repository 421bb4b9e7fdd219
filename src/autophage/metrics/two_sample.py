"""The classifier two-sample test: can a classifier tell generated records from real ones?

(Lopez-Paz and Oquab 2017.) Half of each set's mass is real by construction, so 0.5 is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric, Standardised
from autophage.metrics.intervals import wilson
from autophage.metrics.records import FIXED, matched, subset
from autophage.parts import Compared
from autophage.samples import Samples

LARGEST = 2_000


def classifier_two_sample(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    key: Key,
    classifier: Literal["logistic", "neighbours"] = "logistic",
    folds: int = 5,
    most: int = LARGEST,
) -> Compared:
    """Cross-validated accuracy of telling records (n, d) from (m, d); 0.5 when the laws agree.

    As many records a side as the smaller set has, at most `most`. `logistic`: ridge-penalised logistic
    regression on columns standardised in the training folds, sees shifts of means; `neighbours`: majority of
    the 5 nearest, sees any difference but needs more records. Interval: Wilson's over the 2n held-out
    answers, with the correction of Nadeau and Bengio (2003) for folds that share training records. Raises
    `DataError` with fewer than `folds` records a side, on unequal widths, or NaN.
    """
    if classifier not in ("logistic", "neighbours"):
        raise SpecError(f"classifier is '{classifier}'; known: logistic, neighbours")
    if not folds >= 2:
        raise SpecError(f"folds is {folds}; cross-validation needs at least 2")
    x, y = matched(real, generated, fewest=max(folds, 6))
    n = min(len(x), len(y), most)
    x, y = subset(x, n, FIXED / "real records"), subset(y, n, key / "generated records")
    both = np.concatenate([x, y])
    made = np.repeat([0, 1], n)
    # Each fold holds as many real as generated records.
    rng = (key / "folds").generator()
    fold = np.concatenate([rng.permutation(n), rng.permutation(n)]) % folds
    right = 0
    for f in range(folds):
        seen, new = fold != f, fold == f
        right += int((_answers(both[seen], made[seen], both[new], classifier) == made[new]).sum())
    # Fits that share records share errors: variances grow by (1/J + 1/(J-1)) / (1/J).
    worth = 1 / (1 + folds / (folds - 1))
    return wilson(right * worth, 2 * n * worth, sized=n)


def _answers(x: np.ndarray, made: np.ndarray, new: np.ndarray, classifier: str) -> np.ndarray:
    if classifier == "neighbours":
        from autophage.metrics.neighbours import nearest

        return made[nearest(new, x, k=5)[1]].mean(axis=1) > 0.5
    from sklearn.linear_model import LogisticRegression

    scaled = Standardised(x)
    return LogisticRegression(max_iter=200).fit(scaled(x), made).predict(scaled(new))


@dataclass(frozen=True, kw_only=True)
class ClassifierTwoSample(FeatureMetric):
    """Accuracy of a classifier between generated and real records, 0.5 at best (rows `c2st`,
    `c2st_neighbours`)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    classifier: Literal["logistic", "neighbours"] = "logistic"
    """Logistic regression (sees shifts of means), or the 5 nearest neighbours."""
    folds: int = 5
    """Of the cross-validation."""
    most: int = LARGEST
    """Records a side at most; beyond that, this many are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classifier not in ("logistic", "neighbours"):
            raise SpecError(f"classifier is '{self.classifier}'; known: logistic, neighbours")
        if not self.folds >= 2:
            raise SpecError(f"folds is {self.folds}; cross-validation needs at least 2")
        if not self.most >= self.folds:
            raise SpecError(f"most is {self.most}; it must be at least the number of folds")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        name = "c2st" if self.classifier == "logistic" else "c2st_neighbours"
        found = classifier_two_sample(
            x, y, key=key, classifier=self.classifier, folds=self.folds, most=self.most
        )
        return {self.row(name): found}
