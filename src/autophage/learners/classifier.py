"""Softmax regression that labels records: the captioner of loops whose descriptions are classes.

    q(c | x) = exp(w_c' f + b_c) / sum_k exp(w_k' f + b_k),      f = V' (x - m) / g
    fit        minimise  sum_i v_i (-log q(c_i | x_i)) / sum_i v_i + penalty / 2 sum_c |w_c|^2

v_i are the records' weights. Mean m, axes V and scale g are those of the real training part of the data and never move with the
generations: V the first principal components where `components` are asked for, else the identity; g the root mean variance of
V' (x - m). A class that a training set lacks has probability zero, and keeps its place.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from autophage.data.arguments import positive, whole_number
from autophage.data.principal_components import principal_axes
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Learner, Model, Sampling, Source, require_finite
from autophage.samples import Samples, chunks

AT_ONCE = 8192
ITERATIONS = 2000


class Linear(NamedTuple):
    """f = axes' (x - mean), the scale within the axes; with one number for axes, f = (x - mean) axes."""

    mean: np.ndarray
    axes: np.ndarray

    @staticmethod
    def of(train: Samples, components: int | None) -> Linear:
        """The features of these records. Raises `DataError` when they have fewer dimensions than components."""
        if components is not None:
            return Linear(*principal_axes(train, components, "learner.components"))
        x = train.flat()
        scale = float(np.sqrt(x.var(axis=0).mean()))
        return Linear(x.mean(axis=0), np.array(1 / scale if scale > 0 else 1.0))

    def seen(self, field: Any) -> np.ndarray:
        """The features (n, k) of records (n, ...)."""
        parts = []
        for x in chunks(field, AT_ONCE):
            moved = np.asarray(x, dtype=np.float64).reshape(len(x), -1) - self.mean
            parts.append(moved @ self.axes if self.axes.ndim else moved * self.axes)
        return np.concatenate(parts)


class ClassifierModel(Model):
    """`slopes` (C, k) and `heights` (C,) of the log odds, -inf for a class that the training set lacked."""

    def __init__(self, features: Linear, slopes: np.ndarray, heights: np.ndarray) -> None:
        self.features, self.slopes, self.heights = features, slopes, heights
        self.sampling = Sampling()

    def tuned(self, sampling: Sampling) -> ClassifierModel:
        """The likeliest label (unless told), or one drawn at a temperature; probabilities stay those of the fitted law."""
        tuned = copy.copy(self)
        tuned.sampling = sampling
        return tuned

    def label_log_prob(self, x: Any) -> np.ndarray:
        """log q(c | x) (n, C) in nats of every class for records x (n, ...)."""
        if not len(x):
            return np.empty((0, len(self.heights)))
        said = self.features.seen(x) @ self.slopes.T + self.heights
        return said - _log_sum(said)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """The first n records of `given` with labels of the model's own, and no other field. Raises `DataError` when fewer
        than n are given."""
        if given is None or len(given) < n:
            raise DataError(
                f"a classifier labels records it is given; {n:,} are needed and {0 if given is None else len(given):,} are there"
            )
        field = given.fields["x"][:n]
        said = self.label_log_prob(field)
        if self.sampling.decoding == "sample":
            said = said / (1.0 if self.sampling.temperature is None else self.sampling.temperature)
            below = np.exp(said - _log_sum(said)).cumsum(axis=1)
            u = (key / "labels").generator().random((n, 1))
            label = (below <= u * below[:, -1:]).sum(axis=1)
        else:
            label = said.argmax(axis=1)
        columns = (column[:n] for column in given.columns)
        return Samples({"x": field, "label": label.astype(np.int64)}, *columns)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "mean": self.features.mean,
            "axes": self.features.axes,
            "slopes": self.slopes,
            "heights": self.heights,
        }


def _log_sum(said: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of exponentials along each row (n, 1)."""
    most = said.max(axis=1, keepdims=True)
    return most + np.log(np.exp(said - most).sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class Classifier(Learner):
    """Softmax regression on a record's numbers, or on their principal components; its models label what they are given.

    Raises `FitFailed` when the training set carries no labels, or is not finite.

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> labelled = Samples.of(x, label=(x[:, 0] > 0).astype(int))
    >>> model = Classifier().fit(labelled, key=Key(0))
    >>> float((model.sample(200, key=Key(1), given=labelled).label == labelled.label).mean()) > 0.95
    True
    """

    citation: ClassVar[tuple[str, ...]] = (
        "Pedregosa et al. (2011), Scikit-learn: machine learning in Python, JMLR 12, 2825-2830",
    )
    needs_labels: ClassVar[bool] = True
    describes: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"decoding", "temperature"})

    components: int | None = None
    """See only that many principal components of the real training records; all numbers unless given."""
    penalty: float = 1e-3
    """Weight of the squared slopes against the mean loss of a record."""

    def __post_init__(self) -> None:
        if self.components is not None:
            whole_number(self.components, "learner.components", least=1)
        positive(self.penalty, "learner.penalty")

    def bound_to(self, source: Source) -> Self:
        if source.domain != "vectors":
            return self  # to be refused by the checks, which say what would do
        if source.unlimited or source.train().label is None:
            raise SpecError(
                "learner classifier needs labelled training records; take a finite set with labels such as digits or mnist"
            )
        bound = copy.copy(self)
        classes = len(getattr(source, "classes", None) or ())
        object.__setattr__(bound, "_known", (classes, Linear.of(source.train(), self.components)))
        return bound

    def check_sampling(self, sampling: Sampling) -> None:
        if sampling.decoding == "beam":
            raise SpecError(
                "sampling.decoding is beam; a label is one word, which is chosen greedy or by sample"
            )
        if sampling.temperature is not None and sampling.decoding != "sample":
            raise SpecError("sampling.temperature is for sampling.decoding: sample; set that as well")

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> ClassifierModel:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        if data.label is None:
            raise FitFailed("a classifier needs labelled training records, and these carry none")
        label, weight = np.asarray(data.label, dtype=np.int64), np.asarray(data.weight, dtype=np.float64)
        if not (len(data) and np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise FitFailed("the records' weights must be finite, zero or above, and not all zero")
        if label.min() < 0:
            raise FitFailed("the classes of the training set must be 0, 1, 2, ...")
        known, features = getattr(self, "_known", (0, None))
        features = features or Linear.of(data, self.components)
        seen = require_finite(features.seen(data.fields["x"]), "the training set")
        there = weight > 0
        seen, label, weight = seen[there], label[there], weight[there]
        classes = max(known, int(label.max()) + 1)
        found = np.unique(label)
        slopes, heights = np.zeros((classes, seen.shape[1])), np.full(classes, -np.inf)
        if len(found) == 1:
            heights[found] = 0.0
            return ClassifierModel(features, slopes, heights)
        net = LogisticRegression(C=1 / (self.penalty * weight.sum()), max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a nearly separable set has far, flat optima
            net.fit(seen, label, sample_weight=weight)
        if len(found) == 2:  # one row of log odds says both
            slopes[found], heights[found] = _halves(net.coef_[0]), _halves(net.intercept_[0])
        else:
            slopes[found], heights[found] = net.coef_, net.intercept_
        return ClassifierModel(features, slopes, heights)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> ClassifierModel:
        mean, axes, slopes, heights = (np.asarray(arrays[k]) for k in ("mean", "axes", "slopes", "heights"))
        return ClassifierModel(Linear(mean, axes), slopes, heights)


def _halves(odds: Any) -> np.ndarray:
    return np.stack([-np.asarray(odds) / 2, np.asarray(odds) / 2])
