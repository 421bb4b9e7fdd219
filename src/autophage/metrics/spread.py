"""How wide the generated records are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric
from autophage.metrics.intervals import mean, normal
from autophage.metrics.records import matrix
from autophage.parts import Compared
from autophage.samples import Samples


def sample_variance(x: np.ndarray) -> Compared:
    """The mean over coordinates of the unbiased variance of records (n, d), n >= 2.

    Interval: normal, from the spread of the records' squared distances to their mean.
    """
    x = _at_least_two(x)
    n = len(x)
    away = np.square(x - x.mean(axis=0)).mean(axis=1) * (n / (n - 1))
    return mean(away)


def sample_log_det(x: np.ndarray) -> Compared:
    """log det of the unbiased covariance of records (n, d); -inf, without interval, when it is singular.

    Interval: normal, by the delta method (the influence of a record is its squared Mahalanobis distance less
    d). The estimate itself lies about d (d + 1) / (2 n) below the truth, which the interval does not correct.
    """
    x = _at_least_two(x)
    centred = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(x) - 1))
    if values[0] <= values[-1] * len(values) * np.finfo(float).eps:
        return Compared(-np.inf, n=len(x))
    away = np.square(centred @ (vectors / np.sqrt(values))).sum(axis=1)
    return normal(np.log(values).sum(), away.std(ddof=1) / np.sqrt(len(x)), len(x))


def _at_least_two(x: np.ndarray) -> np.ndarray:
    x = matrix(x, "the generated records")
    if len(x) < 2:
        raise DataError("a spread needs at least two records")
    return x


@dataclass(frozen=True, kw_only=True)
class SampleVariance(FeatureMetric):
    """Mean variance over coordinates of the generated records (row `sample_variance`)."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        return {self.row("sample_variance"): sample_variance(self.embedded(real, generated, memo)[1])}


@dataclass(frozen=True, kw_only=True)
class SampleLogDet(FeatureMetric):
    """Log-determinant of the generated records' covariance (row `sample_log_det`).

    -inf where a direction has no spread, such as a constant pixel: take `features: pca` there.
    """

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        return {self.row("sample_log_det"): sample_log_det(self.embedded(real, generated, memo)[1])}
