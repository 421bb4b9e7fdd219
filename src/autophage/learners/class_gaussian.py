"""One Gaussian for each class, with errors of a real generator on demand.

    fit      shares w_c, means m_c, covariances S_c + ridge I, by maximum likelihood (ddof 0)
    sample   label y by the shares;  x ~ N(m_y', S_y') + blur g N(0, I),  y' = y, or with probability `leak` another class

g is the root mean variance of the real training records. Blur and leak are off-manifold errors: what a trained network does that
a maximum-likelihood fit of the right family would not (Cai et al. 2026 see them in the latents of diffusion models).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from autophage.data.arguments import not_negative
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Learner, Model, Source, require_finite
from autophage.samples import Samples

FEWEST = 3
"""Records below which a class keeps its predecessor's Gaussian, where there is one."""
LOG_TWO_PI = math.log(2 * math.pi)


class ClassGaussianModel(Model):
    """`shares` (C,) up to a factor, `means` (C, d), `covariances` (C, d, d) of the fit; `blur` is a standard deviation in the
    records' units.

    A class without records keeps its place with a share of zero and is not sampled again; records that are asked of it come from
    the others.
    """

    report: dict[str, Any] | None = None
    """`kept_classes`, where the fit left some as its predecessor had them."""

    def __init__(
        self,
        shares: np.ndarray,
        means: np.ndarray,
        covariances: np.ndarray,
        blur: float = 0.0,
        leak: float = 0.0,
        dtype: str = "float64",
    ) -> None:
        self.shares, self.means, self.covariances = shares, means, covariances
        self.blur, self.leak, self.dtype = float(blur), float(leak), dtype

    @property
    def classes(self) -> int:
        return len(self.shares)

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        """n records with their `label`: those of `given`, or the shares to the nearest whole numbers, in an order of their
        own."""
        label = self._labels(n, key, given)
        drawn = self._leaked(label, key / "leak")
        d = self.means.shape[1]
        z = (key / "noise").generator().standard_normal((n, d))
        x = np.empty((n, d))
        for c in np.unique(drawn):
            rows = drawn == c
            x[rows] = self.means[c] + z[rows] @ _root(self.covariances[c]).T
        if self.blur:
            x += self.blur * (key / "blur").generator().standard_normal((n, d))
        return Samples.of(x.astype(self.dtype), label=label)

    def _labels(self, n: int, key: Key, given: Samples | None) -> np.ndarray:
        if n and given is not None and given.label is not None:
            label = np.asarray(given.label, dtype=np.int64)[:n]
            if len(label) < n or label.min() < 0 or label.max() >= self.classes:
                raise DataError(f"{n} labels from 0 to {self.classes - 1} are needed to sample {n} records")
            return label
        exact = self.shares / self.shares.sum() * n
        counts = np.floor(exact).astype(int)
        counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
        return (key / "labels").generator().permutation(np.repeat(np.arange(self.classes), counts))

    def _leaked(self, label: np.ndarray, key: Key) -> np.ndarray:
        """The class that each record is drawn from."""
        alive = np.flatnonzero(self.shares)
        lost = ~np.isin(label, alive)
        if lost.any():
            share = self.shares[alive] / self.shares.sum()
            label = np.where(lost, (key / "lost").generator().choice(alive, len(label), p=share), label)
        if not self.leak or len(alive) < 2:
            return label
        wrong = (key / "which").generator().random(len(label)) < self.leak
        steps = (key / "class").generator().integers(1, len(alive), len(label))
        place = np.searchsorted(alive, label)
        return np.where(wrong, alive[(place + steps) % len(alive)], label)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(n,) nats per record x (n, d) of the law that is sampled, errors included. Raises `FitFailed` where a class has no
        variance in some direction."""
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        w, alive = self.shares / self.shares.sum(), np.flatnonzero(self.shares)
        if len(alive) > 1:
            # Records that leak out of a class go to the others evenly.
            w = np.where(self.shares > 0, (1 - self.leak) * w + self.leak * (1 - w) / (len(alive) - 1), 0.0)
        each = np.empty((len(flat), len(alive)))
        for i, c in enumerate(alive):
            S = self.covariances[c] + self.blur**2 * np.eye(flat.shape[1])
            try:
                L = np.linalg.cholesky(S)
            except np.linalg.LinAlgError as error:
                raise FitFailed(
                    f"the covariance of class {c} is singular; set learner.ridge above zero"
                ) from error
            white = np.linalg.solve(L, (flat - self.means[c]).T)
            log_det = 2 * np.log(np.diagonal(L)).sum()
            each[:, i] = math.log(w[c]) - 0.5 * (np.square(white).sum(axis=0) + log_det + len(S) * LOG_TWO_PI)
        most = each.max(axis=1)
        return most + np.log(np.exp(each - most[:, None]).sum(axis=1))

    def latents(self, x: np.ndarray, *, noise: float = 0.0, key: Key | None = None) -> np.ndarray:
        """The records themselves (n, d): the family knows no other code of them."""
        x = np.asarray(x)
        return np.array(x.reshape(len(x), -1), dtype=np.float64)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "shares": self.shares,
            "means": self.means,
            "covariances": self.covariances,
            "errors": np.array([self.blur, self.leak]),
            "single": np.array(self.dtype == "float32"),
        }


def _root(S: np.ndarray) -> np.ndarray:
    """A with A A' = S, for singular S too."""
    values, vectors = np.linalg.eigh(S)
    return vectors * np.sqrt(np.maximum(values, 0))


@dataclass(frozen=True, kw_only=True)
class ClassGaussian(Learner):
    """A Gaussian with full covariance for each class, by maximum likelihood; its samples carry the class that was asked for.

    A fit that goes on from a predecessor (`start: previous` or `base`) takes over its Gaussian for every class of fewer than three
    records, and its model's report says which (`kept_classes`).

    Raises `FitFailed` when records carry no labels or are not finite.

    >>> x = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0, 0], [5, 5]], 100, axis=0)
    >>> model = ClassGaussian().fit(Samples.of(x, label=np.repeat([0, 1], 100)), key=Key(0))
    >>> model.sample(6, key=Key(1)).label.sum().item(), model.shares.tolist()
    (3, [100.0, 100.0])
    """

    has_log_prob: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    conditional: ClassVar[bool] = True
    has_latents: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = True

    ridge: float = 0.0
    """Added to every variance, in the records' units squared."""
    blur: float = 0.0
    """Isotropic noise on every sample, its standard deviation in units of the real training records' root mean variance."""
    leak: float = 0.0
    """Share of the samples that are drawn from another class than their label says."""

    def __post_init__(self) -> None:
        for name in ("ridge", "blur"):
            not_negative(getattr(self, name), f"learner.{name}")
        if not 0 <= self.leak <= 1:
            raise SpecError(f"learner.leak is {self.leak}; it must lie in [0, 1]")

    def bound_to(self, source: Source) -> Self:
        if source.unlimited:
            raise SpecError(
                "learner class_gaussian needs labelled training records, and what a law draws carries no label; take a "
                "finite set such as digits"
            )
        train = source.train()
        bound = copy.copy(self)
        object.__setattr__(
            bound, "_known", (len(getattr(source, "classes", None) or ()), _scale(train.flat()))
        )
        return bound

    def smallest(self, dim: int) -> int:
        return 2

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> ClassGaussianModel:
        if data.label is None:
            raise FitFailed("a Gaussian for each class needs labelled training records, and these carry none")
        x = require_finite(data.flat(), "the training set")
        label, weight = np.asarray(data.label, dtype=np.int64), np.asarray(data.weight, dtype=np.float64)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
            raise FitFailed("the records' weights must be finite, zero or above, and not all zero")
        if label.min() < 0:
            raise FitFailed("the classes of the training set must be 0, 1, 2, ...")
        known, scale = getattr(self, "_known", (0, None))
        before = start if isinstance(start, ClassGaussianModel) else None
        classes = max(known, int(label.max()) + 1, 0 if before is None else before.classes)
        d = x.shape[1]
        shares = np.bincount(label, weight, minlength=classes)
        means, covariances = np.zeros((classes, d)), np.zeros((classes, d, d))
        counts = np.bincount(label[weight > 0], minlength=classes)
        taken = [] if before is None else [c for c in np.flatnonzero(before.shares) if counts[c] < FEWEST]
        for c in taken:
            assert before is not None
            means[c], covariances[c] = before.means[c], before.covariances[c]
        for c in np.setdiff1d(np.flatnonzero(shares), taken):
            rows = label == c
            share = weight[rows] / shares[c]
            means[c] = share @ x[rows]
            centred = x[rows] - means[c]
            covariances[c] = (centred * share[:, None]).T @ centred + self.ridge * np.eye(d)
        unit = _scale(x) if scale is None else scale
        kind = data.fields["x"].dtype
        model = ClassGaussianModel(
            shares,
            means,
            covariances,
            self.blur * unit,
            self.leak,
            "float32" if kind == np.float32 else "float64",
        )
        if taken:
            model.report = {"kept_classes": [int(c) for c in taken]}
        return model

    def restore(self, arrays: Mapping[str, Any]) -> ClassGaussianModel:
        shares, means, covariances = (np.asarray(arrays[k]) for k in ("shares", "means", "covariances"))
        blur, leak = np.asarray(arrays["errors"]).tolist()
        kind = "float32" if bool(arrays["single"]) else "float64"
        return ClassGaussianModel(shares, means, covariances, blur, leak, kind)


def _scale(x: np.ndarray) -> float:
    """The root mean variance of records (n, d)."""
    return float(np.sqrt(x.var(axis=0).mean()))
