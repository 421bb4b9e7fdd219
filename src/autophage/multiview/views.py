"""Where views come from.

`CommonRate` is the synthetic benchmark (He, Du, Xu & Ma 2024): an object is a Gaussian vector G, view k sees the columns
Omega_k of it

    X_k = tanh(G_k W_k) V_k + noise e,      G_k = G[:, Omega_k],      targets Y = tanh(G W_0) V_0 + noise e

with random W (w, 2 w) and V (2 w, w) of variance 1 / fan-in. The columns that all views see, as a share of w, are the common
rate. The other views here are real records.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import not_negative, whole_number
from autophage.data.files import locate
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.multiview.method import usable
from autophage.parts import CONFIG
from autophage.processes.process import resolve_nested


@dataclass(frozen=True)
class Views:
    """Views to train on and held-out ones, with what a user wants to know of each object."""

    train: tuple[np.ndarray, ...]
    """By view: (N, d_k)."""
    test: tuple[np.ndarray, ...]
    """By view: (n, d_k)."""
    train_targets: np.ndarray
    """(N, T) numbers, or (N,) classes as whole numbers."""
    test_targets: np.ndarray
    """The same of the held-out records."""

    @property
    def classes(self) -> bool:
        """Whether targets are classes."""
        return self.train_targets.ndim == 1

    @property
    def widths(self) -> list[int]:
        return [x.shape[1] for x in self.train]


@dataclass(frozen=True, kw_only=True)
class ViewSource(ABC):
    """Records seen from several sides."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    nested: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def drawn(self, key: Key) -> Views:
        """The views of a replicate. Raises `DataError` where they cannot be used."""

    @property
    @abstractmethod
    def shape(self) -> tuple[list[int], int]:
        """The widths of the views, and how many records there are to train on."""

    @property
    def notes(self) -> list[str]:
        """Sentences that a user of these views should read."""
        return []


@dataclass(frozen=True, kw_only=True)
class CommonRate(ViewSource):
    """Nonlinear views of Gaussian objects that have a given share of their columns in common."""

    citation: ClassVar[tuple[str, ...]] = (
        "He, Du, Xu and Ma (2024), Preventing model collapse in deep canonical correlation analysis by noise "
        "regularization, NeurIPS, "
        "arXiv 2411.00383",
    )

    common_rate: float = 0.0
    """Share of a view's columns that all views see, from 0 to 1."""
    views: int = 2
    """How many."""
    columns: int = 20
    """w, the columns of G that a view sees, and its width."""
    unseen: int = 0
    """Columns of G that no view sees, and targets depend on."""
    records: int = 1000
    """To train on."""
    held_out: int = 1000
    """To measure with."""
    tasks: int = 20
    """Regression targets."""
    noise: float = 0.1
    """Standard deviation of the noise on views and targets."""

    def __post_init__(self) -> None:
        whole_number(self.views, "views.views", least=2)
        for name in ("columns", "tasks"):
            whole_number(getattr(self, name), f"views.{name}", least=1)
        for name in ("records", "held_out"):
            whole_number(getattr(self, name), f"views.{name}", least=3)
        whole_number(self.unseen, "views.unseen", least=0)
        not_negative(self.noise, "views.noise")
        if not 0 <= self.common_rate <= 1:
            raise SpecError(f"views.common_rate is {self.common_rate!r}; it must be a share from 0 to 1")

    @property
    def shared(self) -> int:
        """Columns that all views see."""
        return round(self.common_rate * self.columns)

    @property
    def latent(self) -> int:
        """Columns of G."""
        return self.shared + self.views * (self.columns - self.shared) + self.unseen

    @property
    def shape(self) -> tuple[list[int], int]:
        return [self.columns] * self.views, self.records

    def drawn(self, key: Key) -> Views:
        rng = key.generator()
        n, own = self.records + self.held_out, self.columns - self.shared
        g = rng.standard_normal((n, self.latent))
        made = []
        for k in range(self.views):
            start = self.shared + k * own
            seen = np.concatenate([g[:, : self.shared], g[:, start : start + own]], axis=1)
            made.append(self._through(seen, self.columns, rng))
        targets = self._through(g, self.tasks, rng)
        r = self.records
        return Views(tuple(x[:r] for x in made), tuple(x[r:] for x in made), targets[:r], targets[r:])

    def _through(self, g: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
        """A random nonlinear map of g, noise added, standardised."""
        between = 2 * self.columns
        w = rng.standard_normal((g.shape[1], between)) / np.sqrt(g.shape[1])
        v = rng.standard_normal((between, width)) / np.sqrt(between)
        x = np.tanh(g @ w) @ v
        x = x + self.noise * rng.standard_normal(x.shape)
        return (x - x.mean(axis=0)) / x.std(axis=0)


@dataclass(frozen=True, kw_only=True)
class PictureViews(ViewSource):
    """Labelled pictures, seen from two sides; pixels that never change are left out."""

    nested: ClassVar[Mapping[str, str]] = {"data": "data"}

    data: Any = "digits"
    """The pictures: a kind of data that holds labelled pictures, or a mapping with kind and its settings."""

    def __post_init__(self) -> None:
        resolve_nested(self, "views")
        if self.data.unlimited:
            raise SpecError(
                "views.data is a law without end; take labelled pictures, such as digits or mnist"
            )

    @abstractmethod
    def sides(self, x: np.ndarray, rng: np.random.Generator) -> Sequence[np.ndarray]:
        """Two views (n, d_k) of pictures (n, h, w, c) float64."""

    def drawn(self, key: Key) -> Views:
        parts = [(self.data.train(), key / "train"), (self.data.reference(), key / "held out")]
        if parts[0][0].label is None:
            raise SpecError(
                "views.data must carry labels, which representations are judged by; these pictures have none"
            )
        train, test = ([*self.sides(self._pictures(s.flat()), k.generator())] for s, k in parts)
        kept = [(x != x[0]).any(axis=0) for x in train]
        return Views(
            tuple(x[:, c] for x, c in zip(train, kept, strict=True)),
            tuple(x[:, c] for x, c in zip(test, kept, strict=True)),
            *(np.asarray(s.label, dtype=np.int64) for s, _ in parts),
        )

    def _pictures(self, flat: np.ndarray) -> np.ndarray:
        shape = tuple(self.data.shape)
        if len(shape) not in (2, 3):
            raise SpecError(
                f"views.data must be pictures (height, width) or (height, width, 3); these have shape {shape}"
            )
        return np.asarray(flat, dtype=np.float64).reshape(
            len(flat), *shape, *([1] if len(shape) == 2 else [])
        )

    @cached_property
    def shape(self) -> tuple[list[int], int]:
        drawn = self.drawn(Key(0))
        return drawn.widths, len(drawn.train[0])


@dataclass(frozen=True, kw_only=True)
class Halves(PictureViews):
    """The left and the right half of pictures."""

    def sides(self, x: np.ndarray, rng: np.random.Generator) -> Sequence[np.ndarray]:
        middle = x.shape[2] // 2
        return [part.reshape(len(x), -1) for part in (x[:, :, :middle], x[:, :, middle:])]


@dataclass(frozen=True, kw_only=True)
class Rotated(PictureViews):
    """Pictures turned by a random angle, and the same pictures with noise on their pixels (after Wang et al. 2015)."""

    citation: ClassVar[tuple[str, ...]] = (
        "Wang, Arora, Livescu and Bilmes (2015), On deep multi-view representation learning, ICML",
    )

    angle: float = 45.0
    """The largest turn, in degrees, to either side."""
    noise: float = 1.0
    """The noise is uniform from 0 to this share of the pictures' range."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.angle, "views.angle")
        not_negative(self.noise, "views.noise")

    def sides(self, x: np.ndarray, rng: np.random.Generator) -> Sequence[np.ndarray]:
        from scipy.ndimage import rotate

        low, high = float(x.min()), float(x.max())
        angles = rng.uniform(-self.angle, self.angle, len(x))
        turned = [rotate(p, a, reshape=False, order=1, cval=low) for p, a in zip(x, angles, strict=True)]
        noisy = np.clip(x + self.noise * (high - low) * rng.random(x.shape), low, high)
        return [np.stack(turned).reshape(len(x), -1), noisy.reshape(len(x), -1)]


@dataclass(frozen=True, kw_only=True)
class ViewFile(ViewSource):
    """Your own views: an npz file with arrays `view_0`, `view_1`, ... (n, d_k), and `targets` (n, T) or `labels` (n,)."""

    path: str = ""
    """The file, as it is or below the folder that AUTOPHAGE_DATA names."""
    held_out: float = 0.2
    """Share of the records that representations are measured with; a fixed random choice."""

    def __post_init__(self) -> None:
        if not self.path:
            raise SpecError(
                "views.path is missing: name an npz file with arrays view_0, view_1, ... and targets or labels"
            )
        if not 0 < self.held_out < 1:
            raise SpecError(f"views.held_out is {self.held_out!r}; it must be a share between 0 and 1")

    @cached_property
    def _read(self) -> tuple[list[np.ndarray], np.ndarray]:
        place = locate(self.path)
        try:
            with np.load(place, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read as an npz file: {error}") from error
        names = sorted((n for n in arrays if n.startswith("view_")), key=lambda n: (len(n), n))
        x = usable([arrays[n] for n in names], self.path)
        y = arrays.get("labels", arrays.get("targets"))
        if y is None or len(y) != len(x[0]):
            raise DataError(f"{self.path} needs `targets` or `labels` for each of its {len(x[0])} records")
        if "labels" in arrays:
            return x, np.unique(y, return_inverse=True)[1].reshape(-1)
        y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if not np.isfinite(y).all():
            raise DataError(f"the targets of {self.path} hold entries that are not finite")
        return x, y

    @property
    def shape(self) -> tuple[list[int], int]:
        x, _ = self._read
        return [v.shape[1] for v in x], len(self._rows[0])

    @property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        n = len(self._read[1])
        order = (Key(0) / "views" / "held out").generator().permutation(n)
        border = n - max(2, round(self.held_out * n))
        if border < 3:
            raise DataError(f"{self.path} holds {n} records; that is too few to hold some out")
        return order[:border], order[border:]

    def drawn(self, key: Key) -> Views:
        x, y = self._read
        a, b = self._rows
        return Views(tuple(v[a] for v in x), tuple(v[b] for v in x), y[a], y[b])
