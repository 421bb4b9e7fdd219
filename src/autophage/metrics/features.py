"""Where records are compared: as they are, standardised, on principal components, or as a network sees them.

A classifier is a small one trained on the labelled real training part: `classifier` a perceptron on any numbers, `cnn`
a convolutional network on pictures. It is not Inception: its distances are comparable between runs on the same data set
only, and its rows say `classifier_real_labels` or `cnn_real_labels`. Networks that others trained on pictures are
`inception:FILE` and `transformers:MODEL` (see `spaces`).
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.records import FIXED, VECTORS, matched, matrix, once, remembered, shared
from autophage.metrics.spaces.pictures import SourceRecords, require_pictures
from autophage.parts import Measurement, Metric, SampleMetric, Source, View
from autophage.samples import Samples

SPACES = ("pixels", "standardised", "pca", "scaled_pca", "classifier", "cnn")
OUTSIDE = "inception:FILE, transformers:MODEL or module:function"
CLASSIFIER_RECORDS = 5_000
"""A classifier learns from at most this many real records."""
CLASSIFIER_WIDTH = 64
_DRAWN = 2_000
TRAINED_ELSEWHERE = ("inception", "transformers")
"""Spaces of networks that others trained on pictures, written with a colon and where the network is."""


class Features(ABC):
    """A fixed map from records (n, ...) to features (n, k)."""

    @abstractmethod
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The features of records x (n, ...)."""


class Pixels(Features):
    """The numbers of a record as they are."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return matrix(x, "the records", compact=True)


class Standardised(Features):
    """Columns less their real mean over their real standard deviation; a constant column keeps its scale."""

    def __init__(self, real: np.ndarray) -> None:
        real = matrix(real, "the real records")
        self.mean = real.mean(axis=0)
        spread = real.std(axis=0)
        self.scale = np.where(spread > 1e-12 * (1 + np.abs(self.mean)), spread, 1.0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x, _ = matched(x, self.mean[None])
        return (x - self.mean) / self.scale


class PrincipalComponents(Features):
    """Coordinates along the leading directions of the real records; not whitened."""

    def __init__(self, real: np.ndarray, components: int) -> None:
        real = matrix(real, "the real records")
        if not 1 <= components <= min(real.shape):
            raise SpecError(
                f"features: pca with {components} components needs at least as many real records and numbers "
                f"in each, got {real.shape[0]} records of {real.shape[1]}"
            )
        self.mean = real.mean(axis=0)
        centred = real - self.mean
        if len(real) < real.shape[1]:
            basis = np.linalg.svd(centred, full_matrices=False)[2][:components].T
        else:
            basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :components]
        # An eigenvector's sign is arbitrary; fix it so that features agree between machines.
        self.basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(components)])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x, _ = matched(x, self.mean[None])
        return (x - self.mean) @ self.basis


class ScaledComponents(PrincipalComponents):
    """The same over one number, the standard deviation of all of the real records' coordinates: these vary by one on average,
    the leading ones more."""

    def __init__(self, real: np.ndarray, components: int) -> None:
        super().__init__(real, components)
        spread = super().__call__(real).std()
        self.basis = self.basis / (spread if spread > 0 else 1.0)


class Classifier(Features):
    """The 64 hidden activations of a one-layer perceptron trained on labelled real records, and its class
    shares.

    Trained once with a fixed stream, on at most 5,000 records: the same data give the same features in every
    run. Raises `DataError` without labels, or with fewer than two classes.
    """

    def __init__(self, real: np.ndarray, label: np.ndarray | None) -> None:
        if label is None:
            raise DataError("features: classifier needs real records with labels, and this source has none")
        self.classes = np.unique(label)
        if len(self.classes) < 2:
            raise DataError("features: classifier needs real records of at least two classes")
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        self.scaled = Standardised(real)
        x = self.scaled(real)
        chosen = np.arange(len(x))
        if len(x) > CLASSIFIER_RECORDS:
            rng = (FIXED / "classifier" / "records").generator()
            chosen = rng.choice(len(x), CLASSIFIER_RECORDS, replace=False)
        net = MLPClassifier(
            (CLASSIFIER_WIDTH,),
            batch_size=min(128, len(chosen)),
            learning_rate_init=3e-3,
            alpha=1e-3,
            max_iter=30,
            random_state=(FIXED / "classifier").integer(),
        )
        with warnings.catch_warnings():
            # Thirty passes are the definition of the features, converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(x[chosen], np.searchsorted(self.classes, np.asarray(label)[chosen]))
        self.weights, self.offsets = net.coefs_, net.intercepts_

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(self.scaled(x) @ self.weights[0] + self.offsets[0], 0)

    def posterior(self, x: np.ndarray) -> np.ndarray:
        """The class probabilities (n, classes) of records x (n, ...), in the order of `classes`."""
        return self.posterior_of(self(x))

    def posterior_of(self, features: np.ndarray) -> np.ndarray:
        """The class probabilities (n, classes) of features (n, 64) that this space gave."""
        logits = features @ self.weights[1] + self.offsets[1]
        if logits.shape[1] == 1:  # two classes share one logit
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        logits -= logits.max(axis=1, keepdims=True)
        share = np.exp(logits)
        return share / share.sum(axis=1, keepdims=True)


class Imported(Features):
    """Anyone's own map, found at `module:function`: records (n, ...) to numbers (n, k)."""

    def __init__(self, path: str) -> None:
        from autophage.registry import load

        self.function: Callable[[np.ndarray], np.ndarray] = load(path, "features")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        found = matrix(self.function(np.asarray(x)), "the features", compact=True)
        if len(found) != len(x):
            raise DataError(f"features: {len(x)} records came back as {len(found)}")
        return found


def fit_features(space: str, train: Callable[[], Samples], *, components: int = 16) -> Features:
    """The features of a space, fitted on the real training records that `train` hands out if it needs any."""
    if space == "pixels":
        return Pixels()
    origin, _, path = space.partition(":")
    if path and origin not in TRAINED_ELSEWHERE:
        return Imported(space)
    real = train()
    if space == "standardised":
        return Standardised(real.x)
    if space == "pca":
        return PrincipalComponents(real.x, components)
    if space == "scaled_pca":
        return ScaledComponents(real.x, components)
    if space == "classifier":
        return Classifier(real.x, real.label)
    if space == "cnn":
        from autophage.metrics.spaces.cnn import Cnn

        return Cnn(real)
    if path and origin == "inception":
        from autophage.metrics.spaces.inception import Inception

        return Inception(path, real)
    if path and origin == "transformers":
        from autophage.metrics.spaces.pretrained import Pretrained

        return Pretrained(path, real)
    raise SpecError(f"features is '{space}'; known: {', '.join(SPACES)}, {OUTSIDE}")


def fitted(memo: dict, space: str, train: Callable[[], Samples], *, components: int = 16) -> Features:
    """`fit_features` once a run, for all metrics that name the space."""
    name = ("metrics", "extractor", space, components)
    if name not in memo:
        memo[name] = fit_features(space, train, components=components)
    return memo[name]


def training_records(source: Source) -> Samples:
    """The real records that features are fitted on: a finite source's training part, or 2,000 fixed draws."""
    if source.unlimited:
        return source.draw(_DRAWN, key=FIXED / "training records").replicate(0)
    return SourceRecords.of_source(source.train(), source)


@dataclass(frozen=True, kw_only=True)
class Embedding(Metric):
    """A metric that looks at records in a feature space."""

    domains: ClassVar[frozenset[str]] = VECTORS
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    features: str = "pixels"
    """Where records are compared: pixels (as they are), standardised (columns), pca, scaled_pca (the same over the standard
    deviation of all its numbers), classifier (hidden layer of a small perceptron trained on the labelled real training
    part; not Inception), cnn (the same of a small convolutional network, for pictures; trained once and kept below
    AUTOPHAGE_CACHE), `inception:FILE` (Inception-v3 with the weights of the FID in FILE), `transformers:MODEL` (a vision
    model of the hub, or a folder: DINOv2, CLIP, ViT), or a `module:function` of your own."""
    components: int = 16
    """Principal components, for `features: pca` and `scaled_pca`."""

    def __post_init__(self) -> None:
        if self.features not in SPACES and not self.features.partition(":")[2]:
            raise SpecError(f"features is '{self.features}'; known: {', '.join(SPACES)}, {OUTSIDE}")
        if not self.components >= 1:
            raise SpecError(f"components is {self.components}; it must be at least 1")
        if self.features in ("classifier", "cnn"):
            object.__setattr__(self, "needs", self.needs | {"labels"})

    def check(self, source: Source) -> None:
        """Raises `SpecError` or `MissingExtra` where the space cannot look at these records: they are no pictures, the
        weights are not there, or a package is not."""
        origin, _, path = self.features.partition(":")
        if self.features == "cnn" or (path and origin in TRAINED_ELSEWHERE):
            require_pictures(source, f"features: {self.features}")
        if path and origin == "inception":
            from autophage.metrics.spaces.inception import find_weights

            find_weights(path)
        if path and origin == "transformers":
            from autophage.metrics.spaces.pretrained import require_transformers

            require_transformers(path)

    @property
    def space(self) -> str:
        """The feature space as row names write it."""
        if self.features in ("pca", "scaled_pca"):
            return f"{self.features}{self.components}"
        if self.features in ("classifier", "cnn"):
            return f"{self.features}_real_labels"
        origin, _, path = self.features.partition(":")
        if origin == "inception":
            return "inception"
        if origin == "transformers":
            return re.sub(r"\W+", "_", path.rstrip("/").rpartition("/")[2]).strip("_").lower()
        return path or origin

    def row(self, name: str) -> str:
        """A row's name: the space is added unless records are compared as they are."""
        return name if self.features == "pixels" else f"{name}_{self.space}"

    def extractor(self, memo: dict, train: Callable[[], Samples]) -> Features:
        """The features, fitted on the records that `train` hands out when they are first asked for."""
        return fitted(memo, self.features, train, components=self.components)

    def real_features(self, real: Samples, extract: Features, memo: dict) -> np.ndarray:
        """The features (n, k) of real records, computed once a run."""
        return remembered(memo, ("features", self.features, self.components), real, lambda: extract(real.x))

    def generated_features(self, generated: Samples, extract: Features, memo: dict) -> np.ndarray:
        """The features (n, k) of generated records, computed once for all metrics of a generation."""
        name = ("features", self.features, self.components)
        return once(memo, name, generated, lambda: extract(generated.x))


@dataclass(frozen=True, kw_only=True)
class FeatureMetric(Embedding, SampleMetric):
    """A sample metric that compares records in a feature space."""

    def measure(self, view: View) -> list[Measurement]:
        shared(view.memo, view)
        self.extractor(view.memo, lambda: training_records(view.source))
        return super().measure(view)

    def embedded(self, real: Samples, generated: Samples, memo: dict) -> tuple[np.ndarray, np.ndarray]:
        """The features of both, finite and of one width, in float32 where the extractor gives that; without a run,
        features are fitted on `real`."""
        extract = self.extractor(memo, lambda: real)
        y = self.generated_features(generated, extract, memo)
        return matched(self.real_features(real, extract, memo), y, compact=True)
