"""Moments of a fitted model: how wide it still is, and how far its mean has walked.

Models expose `mean` (R, d), `variances` (R, d), and where they have a full one `covariance()` (R, d, d) and
`log_det()` (R,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.metrics.model_metric import ModelMetric, exposes
from autophage.metrics.records import VECTORS


@dataclass(frozen=True, kw_only=True)
class Variance(ModelMetric):
    """The mean over coordinates of the fitted variances: tr Sigma / d."""

    row: ClassVar[str] = "variance"
    reads: ClassVar[frozenset[str]] = frozenset({"variances"})
    domains: ClassVar[frozenset[str]] = VECTORS

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return model.variances.mean(axis=-1)


@dataclass(frozen=True, kw_only=True)
class StandardDeviation(ModelMetric):
    """The mean over coordinates of the fitted standard deviations."""

    row: ClassVar[str] = "standard_deviation"
    reads: ClassVar[frozenset[str]] = frozenset({"variances"})
    domains: ClassVar[frozenset[str]] = VECTORS

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return np.sqrt(model.variances).mean(axis=-1)


@dataclass(frozen=True, kw_only=True)
class LogVariance(ModelMetric):
    """The mean over coordinates of the logarithm of the fitted variances; -inf at a point mass.

    Under unbiased refits the mean variance stays put while this falls without end: the median's course.
    """

    row: ClassVar[str] = "log_variance"
    reads: ClassVar[frozenset[str]] = frozenset({"variances"})
    domains: ClassVar[frozenset[str]] = VECTORS

    def read(self, model: Any, truth: Any) -> np.ndarray:
        if model.variances.shape[-1] == 1 and exposes(model, "log_det"):
            return model.log_det()  # summed in log space: no underflow
        with np.errstate(divide="ignore"):
            return np.log(model.variances).mean(axis=-1)


@dataclass(frozen=True, kw_only=True)
class LogDet(ModelMetric):
    """log det Sigma of the fitted model; -inf where it is singular."""

    row: ClassVar[str] = "log_det"
    reads: ClassVar[frozenset[str]] = frozenset({"log_det|covariance"})
    domains: ClassVar[frozenset[str]] = VECTORS

    def read(self, model: Any, truth: Any) -> np.ndarray:
        if exposes(model, "log_det"):
            return model.log_det()
        sign, log_det = np.linalg.slogdet(model.covariance())
        return np.where(sign > 0, log_det, -np.inf)


@dataclass(frozen=True, kw_only=True)
class SquaredMeanError(ModelMetric):
    """Squared distance of the fitted mean from the true one, summed over coordinates."""

    row: ClassVar[str] = "squared_mean_error"
    reads: ClassVar[frozenset[str]] = frozenset({"mean"})
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"
    domains: ClassVar[frozenset[str]] = VECTORS

    def read(self, model: Any, truth: Any) -> np.ndarray:
        return ((model.mean - truth.mean) ** 2).sum(axis=-1)


@dataclass(frozen=True, kw_only=True)
class SquaredError(ModelMetric):
    """Squared distance of the fitted parameter from the true one.

    Symbols: the sum of squared differences of the probabilities; tokens in contexts: the mean over contexts of
    that of their rows, sum_c pi_c ||row_c - truth_c||^2. Counts, zeros and ones, waiting times: of the means.
    """

    row: ClassVar[str] = "squared_error"
    reads: ClassVar[frozenset[str]] = frozenset({"probabilities|mean"})
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        if exposes(model, "rows") and exposes(truth, "rows"):
            return ((model.rows - truth.rows) ** 2).sum(axis=-1) @ truth.weights
        name = "probabilities" if exposes(model, "probabilities") else "mean"
        return ((getattr(model, name) - getattr(truth, name)) ** 2).sum(axis=-1)
