"""Parts as a user would write them, in a module of the user's own: small, and able to misbehave on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import FitFailed
from autophage.keys import Key
from autophage.parts import Learner, Model
from autophage.samples import Samples, chunks


class NormalModel(Model):
    """Independent normals."""

    def __init__(self, mean: np.ndarray, scale: np.ndarray, give: Any = None, stored: bool = True) -> None:
        self.mean, self.scale, self.give, self.stored = mean, scale, give, stored

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        z = key.generator().standard_normal((n, len(self.mean)), dtype=np.float32)
        x = self.mean.astype(np.float32) + self.scale.astype(np.float32) * z
        if self.give == "few":
            x = x[: n // 2]
        if self.give == "nan":
            x[0] = np.nan
        return Samples.of(x)

    def arrays(self) -> dict[str, np.ndarray]:
        if not self.stored:
            raise NotImplementedError
        return {"mean": self.mean, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class Normal(Learner):
    """Means and standard deviations, one replicate at a time; half way from the previous model on a warm start."""

    warm_starts: ClassVar[bool] = True
    pause: float = 0.0
    """Seconds a fit takes at least."""
    breaks: Literal["", "few", "nan", "failed", "error"] = ""
    """How it misbehaves: too few samples, NaN, `FitFailed`, or an exception nobody planned."""
    at: int = 0
    """In which generation."""
    replicate: int | None = None
    """In which replicate; in all of them unless given."""
    stored: bool = True
    """Whether its models can be stored."""

    def fit(self, data: Samples, *, start: Any = None, key: Key) -> NormalModel:
        time.sleep(self.pause)
        names = key.name.split("/")  # seed, "block", number, "generation", number, agent, "fit"
        here = int(names[4]) == self.at and self.replicate in (None, int(names[2]))
        if here and self.breaks == "failed":
            raise FitFailed("it would not converge")
        if here and self.breaks == "error":
            raise ValueError("expected 3 columns,\n  got 2")
        x = data.flat()
        mean, scale = x.mean(axis=0), x.std(axis=0)
        if start is not None:
            mean, scale = (mean + start.mean) / 2, (scale + start.scale) / 2
        give = self.breaks if here and self.breaks in ("few", "nan") else None
        return NormalModel(mean, scale, give, self.stored)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> NormalModel:
        return NormalModel(arrays["mean"], arrays["scale"])


@dataclass(frozen=True, kw_only=True)
class Streaming(Learner):
    """Means and standard deviations read a chunk at a time, so that the training set never is in memory."""

    def fit(self, data: Samples, *, start: Any = None, key: Key) -> NormalModel:
        n, total, squares = 0, 0.0, 0.0
        for chunk in chunks(data.fields["x"], 16384):
            x = np.asarray(chunk, dtype=np.float64)
            n, total, squares = n + len(x), total + x.sum(axis=0), squares + (x**2).sum(axis=0)
        mean = total / n
        return NormalModel(mean, np.sqrt(squares / n - mean**2))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> NormalModel:
        return NormalModel(arrays["mean"], arrays["scale"])


@dataclass(frozen=True, kw_only=True)
class FirstHalf:
    """A curation that keeps every other record."""

    def apply(self, samples: Any, *, context: Any) -> Any:
        return samples.first(len(samples) // 2) if hasattr(samples, "first") else samples[: len(samples) // 2]


@dataclass(frozen=True, kw_only=True)
class NoneAtAll:
    """A curation that keeps nothing."""

    def apply(self, samples: Any, *, context: Any) -> Any:
        return samples.first(0) if hasattr(samples, "first") else samples[:0]


@dataclass(frozen=True, kw_only=True)
class Halved:
    """A treatment that halves the spread of a model."""

    def apply(self, model: Any, *, context: Any) -> Any:
        return NormalModel(model.mean, model.scale / 2)


class Odd:
    """Neither fits nor samples."""


class NearestMean(Model):
    """Labels of the nearest mean."""

    def __init__(self, means: np.ndarray) -> None:
        self.means = means

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        assert given is not None and len(given) == n
        distance = ((given.flat()[:, None] - self.means) ** 2).sum(axis=2)
        return Samples.of(given.x, label=np.nanargmin(distance, axis=1))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"means": self.means}


@dataclass(frozen=True, kw_only=True)
class Labeller(Learner):
    """Describes records by the class whose mean is nearest."""

    describes: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def fit(self, data: Samples, *, start: Any = None, key: Key) -> NearestMean:
        label, x = np.asarray(data.label), data.flat()
        return NearestMean(np.array([x[label == c].mean(axis=0) for c in range(int(label.max()) + 1)]))

    def restore(self, arrays: Mapping[str, np.ndarray]) -> NearestMean:
        return NearestMean(np.asarray(arrays["means"]))
