"""Modes of the real data, and how much of the generated mass each still holds.

A mode map gives a record's posterior over m modes, learnt from real data only: the components of the true
mixture where the law is one, else the labels (linear discriminant with a shrunken common covariance), else a
fixed k-means clustering found once on real data and read in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric, training_records
from autophage.metrics.intervals import percentiles, wilson
from autophage.metrics.records import FIXED, matched, matrix, subset
from autophage.parts import Compared, Measurement, View
from autophage.samples import Samples

RECORDS = 5_000
"""A mode map learns from at most this many real records."""
RESAMPLES = 400


class ModeMap:
    """Gaussian modes: `weights` (m,), `centres` (m, d), and roots (m or 1, d, d) with root root' =
    Sigma^-1."""

    def __init__(self, weights: np.ndarray, centres: np.ndarray, roots: np.ndarray) -> None:
        self.weights = weights
        self.centres = centres
        self.roots = roots
        with np.errstate(divide="ignore"):
            self.offsets = np.log(weights) + np.linalg.slogdet(roots)[1]

    @staticmethod
    def of_mixture(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> ModeMap:
        """The components of a Gaussian mixture: weights (m,), means (m, d), covariances (m, d, d)."""
        return ModeMap(np.asarray(weights), np.asarray(means), _inverse_root(np.asarray(covariances)))

    @staticmethod
    def of_labels(x: np.ndarray, label: np.ndarray) -> ModeMap:
        """Modes of labelled real records (n, d): class means, and one within-class covariance (Ledoit and
        Wolf 2004).

        Raises `DataError` with fewer than two classes.
        """
        x, label = matrix(x, "the real records"), np.asarray(label)
        rows = subset(np.arange(len(x)), RECORDS, FIXED / "mode records")
        x, label = x[rows], label[rows]
        classes, which, counts = np.unique(label, return_inverse=True, return_counts=True)
        if len(classes) < 2:
            raise DataError("modes need real records of at least two classes")
        from sklearn.covariance import ledoit_wolf

        centres = np.stack([x[which == c].mean(axis=0) for c in range(len(classes))])
        within = ledoit_wolf(x - centres[which], assume_centered=True)[0]
        # A constant pixel has no variance to divide by; all centres agree in it, so any floor will do.
        floor = 1e-6 * np.trace(within) / len(within) or 1.0
        root = _inverse_root(within + floor * np.eye(len(within)))
        return ModeMap(counts / counts.sum(), centres, root[None])

    @staticmethod
    def of_clusters(x: np.ndarray, count: int) -> ModeMap:
        """Modes by k-means on real records (n, d), with a fixed start: the same clusters in every run."""
        x = subset(matrix(x, "the real records"), RECORDS, FIXED / "mode records")
        if not 2 <= count <= len(x):
            raise SpecError(f"clusters is {count}; it must lie between 2 and the {len(x)} real records")
        from sklearn.cluster import KMeans

        found = KMeans(count, n_init=5, random_state=(FIXED / "clusters").integer()).fit(x)
        return ModeMap.of_labels(x, found.labels_)

    def posterior(self, x: np.ndarray) -> np.ndarray:
        """The probability of each mode (n, m) given records (n, d)."""
        x, centres = matched(x, self.centres)
        if len(self.roots) == 1:
            z, c = x @ self.roots[0], centres @ self.roots[0]
            squared = -2 * z @ c.T + np.square(c).sum(axis=1)  # |z|^2 is common to all modes
        else:
            pairs = zip(centres, self.roots, strict=True)
            squared = np.stack([np.square((x - c) @ root).sum(axis=1) for c, root in pairs], axis=1)
        logits = self.offsets - 0.5 * squared
        logits -= logits.max(axis=1, keepdims=True)
        share = np.exp(logits)
        return share / share.sum(axis=1, keepdims=True)


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    if not (values > 0).all():
        raise DataError("a mode with a singular covariance gives no posterior")
    return vectors / np.sqrt(values)[..., None, :]


def mode_weights(posterior: np.ndarray) -> np.ndarray:
    """The share (m,) of records whose most probable mode each is, from posteriors (n, m)."""
    return np.bincount(posterior.argmax(axis=1), minlength=posterior.shape[1]) / len(posterior)


def mode_summary(
    weights: np.ndarray, real_weights: np.ndarray, n: int, *, key: Key, least: float = 0.01
) -> dict[str, Compared]:
    """From the weights (m,) of n generated records and the real ones (m,):

    `mode_count`, modes with more than `least` of the mass; `mode_balance`, the weight diversity ratio
    (1 - sum w^2) / (1 - sum v^2), with the factor n / (n - 1) that makes it unbiased: 1 when the modes are as
    even as in the real data, 0 when one has everything. Intervals: percentile bootstrap of the counts.
    """
    draws = key.generator().multinomial(n, weights / weights.sum(), RESAMPLES) / n

    def count(w: np.ndarray) -> np.ndarray:
        return (w > least).sum(axis=-1)

    def balance(w: np.ndarray) -> np.ndarray:
        unbiased = n / (n - 1) if n > 1 else 1.0
        return unbiased * (1 - np.square(w).sum(axis=-1)) / (1 - np.square(real_weights).sum())

    found = {}
    for name, statistic in (("mode_count", count), ("mode_balance", balance)):
        low, high = percentiles(statistic(draws))
        value = float(statistic(weights))
        # Resampled weights are less even than their source: the most even ones lie above all resamples.
        found[name] = Compared(value, min(float(low), value), max(float(high), value), n)
    return found


@dataclass(frozen=True, kw_only=True)
class ModeMetric(FeatureMetric):
    """A metric of known or found modes."""

    modes: Literal["auto", "truth", "labels", "clusters"] = "auto"
    """What the modes are: components of the true mixture, labels of the real data, a k-means clustering of
    the real data; auto takes the first of these that there is."""
    clusters: int = 8
    """How many, for `modes: clusters`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.modes not in ("auto", "truth", "labels", "clusters"):
            raise SpecError(f"modes is '{self.modes}'; known: auto, truth, labels, clusters")
        if not self.clusters >= 2:
            raise SpecError(f"clusters is {self.clusters}; there must be at least 2 modes")
        if self.modes == "truth" and self.features != "pixels":
            raise SpecError("modes: truth are those of the records themselves; set features: pixels")
        wanted = {"truth": "truth", "labels": "labels"}.get(self.modes)
        if wanted:
            object.__setattr__(self, "needs", self.needs | {wanted})

    def measure(self, view: View) -> list[Measurement]:
        def labelled() -> Samples:
            # The records that a law draws carry no label; its reference may.
            held_out = view.reference(0)
            return (
                held_out
                if view.source.unlimited and held_out.label is not None
                else training_records(view.source)
            )

        self.mode_map(view.memo, labelled, view.source.truth)
        return super().measure(view)

    def mode_map(self, memo: dict, real: Callable[[], Samples], truth: Any = None) -> ModeMap:
        """The mode map of a run, found when first asked for."""
        name = ("metrics", "modes", self.modes, self.clusters, self.features, self.components)
        if name not in memo:
            memo[name] = self._found(memo, real, truth)
        return memo[name]

    def _found(self, memo: dict, real: Callable[[], Samples], truth: Any) -> ModeMap:
        mixture = all(hasattr(truth, part) for part in ("weights", "means", "covariances"))
        if self.modes == "truth" or (self.modes == "auto" and mixture and self.features == "pixels"):
            if not mixture:
                raise SpecError(
                    "modes: truth needs a true law that is a Gaussian mixture; use labels or clusters"
                )
            return ModeMap.of_mixture(truth.weights[0], truth.means[0], truth.covariances[0])
        records = real()
        x = self.extractor(memo, real)(records.x)
        label = records.label
        if self.modes == "clusters" or (self.modes == "auto" and label is None):
            return ModeMap.of_clusters(x, self.clusters)
        if label is None:
            raise SpecError("modes: labels needs labelled real records, and there are none; use clusters")
        return ModeMap.of_labels(x, label)


@dataclass(frozen=True, kw_only=True)
class Modes(ModeMetric):
    """How many modes survive and how evenly (rows `mode_count`, `mode_balance`, on demand `mode_weight_0`,
    ...)."""

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"

    least: float = 0.01
    """The share of mass above which a mode counts."""
    weights: bool = False
    """Also write the weight of every mode."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.least < 1:
            raise SpecError(f"least is {self.least}; it must be a share in [0, 1)")

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        found = self.mode_map(memo, lambda: real)
        _, y = self.embedded(real, generated, memo)
        weights = mode_weights(found.posterior(y))
        rows = mode_summary(weights, found.weights, len(y), key=key / "bootstrap", least=self.least)
        if self.weights:
            rows |= {f"mode_weight_{i}": wilson(w * len(y), len(y)) for i, w in enumerate(weights)}
        return {self.row(name): answer for name, answer in rows.items()}
