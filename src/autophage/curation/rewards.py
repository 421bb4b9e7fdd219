"""What users like: rewards of records, for curations and metrics that follow a preference.

A reward is written as a list (one number per symbol), a mapping with a `kind` of this page, an import path `module:function`, or
given as a function of records (m, ...) that returns (m,) numbers. Only differences matter. A reward of -inf is never chosen.
"""

from __future__ import annotations

import dataclasses
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage import registry
from autophage.curation.own_judge import numbers_of
from autophage.data.arguments import array, frozen, not_negative, positive, whole_number
from autophage.errors import SpecError
from autophage.parts import Source
from autophage.samples import reckonable

Score = Callable[[np.ndarray], np.ndarray]
"""From records (m, ...) to their rewards (m,)."""


@dataclass(frozen=True, kw_only=True)
class Reward(ABC):
    """A named reward: its fields are the keys that a spec may set."""

    def check(self, source: Source, key: str) -> None:
        """Raises `SpecError` where records of this source cannot be rewarded so."""
        return None

    @abstractmethod
    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        """The reward as a function. `memo` lives as long as the run: what must be learnt from the real records is learnt once."""


@dataclass(frozen=True, kw_only=True)
class Table(Reward):
    """One number per symbol, -inf for one that is never chosen."""

    values: tuple[float, ...]
    """The rewards of symbols 0, 1, ..."""

    def check(self, source: Source, key: str) -> None:
        if source.domain != "symbols":
            raise SpecError(f"{key} is a table of symbols, and the data are {source.domain}")
        if len(self.values) != source.dim:
            raise SpecError(f"{key} has {len(self.values)} numbers; the data have {source.dim} symbols")

    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        table = np.asarray(self.values, dtype=np.float64)
        return lambda x: table[x.reshape(len(x)).astype(np.int64)]


@dataclass(frozen=True, kw_only=True)
class Linear(Reward):
    """slope times one coordinate of the record.

    >>> Linear(coordinate=1, slope=2.0).score(None, {})(np.array([[5.0, 1.0], [5.0, -3.0]])).tolist()
    [2.0, -6.0]
    """

    coordinate: int = 0
    """Which number of the record."""
    slope: float = 1.0
    """The reward's change per unit."""

    def __post_init__(self) -> None:
        array(self.slope, "reward.slope")
        if not self.coordinate >= 0:
            raise SpecError(f"reward.coordinate is {self.coordinate}; coordinates are counted from 0")

    def check(self, source: Source, key: str) -> None:
        if source.domain == "symbols":
            raise SpecError(f"{key}: symbols have no coordinates; give a table with one number per symbol")
        if not self.coordinate < source.dim:
            raise SpecError(
                f"{key}.coordinate is {self.coordinate}; records of the data have coordinates 0 to {source.dim - 1}"
            )

    def score(self, source: Source | None, memo: dict[Any, Any]) -> Score:
        return lambda x: self.slope * reckonable(x.reshape(len(x), -1)[:, self.coordinate])


@dataclass(frozen=True, kw_only=True)
class Distance(Reward):
    """-scale times the squared distance to a point beyond a radius: max(|x - point| - radius, 0)^2.

    >>> Distance(point=[1.0, 0.0], radius=1.0).score(None, {})(np.array([[1.0, 0.5], [1.0, 3.0]])).tolist()
    [-0.0, -4.0]
    """

    point: Any
    """The most liked record: a number for every coordinate, or one list."""
    radius: float = 0.0
    """Within this distance all records are liked equally."""
    scale: float = 1.0
    """The weight of a squared unit; 1/(2 c^2) for a bell of width c."""

    def __post_init__(self) -> None:
        array(self.point, "reward.point")
        object.__setattr__(self, "point", frozen(self.point))
        not_negative(self.radius, "reward.radius")
        positive(self.scale, "reward.scale")

    def check(self, source: Source, key: str) -> None:
        if source.domain == "symbols":
            raise SpecError(f"{key}: symbols have no distance; give a table with one number per symbol")
        given = np.size(np.asarray(self.point))
        if given not in (1, source.dim):
            raise SpecError(f"{key}.point has {given} numbers; records of the data have {source.dim}")

    def score(self, source: Source | None, memo: dict[Any, Any]) -> Score:
        point = np.asarray(self.point, dtype=np.float64).ravel()

        def scored(x: np.ndarray) -> np.ndarray:
            away = np.sqrt(np.square(x.reshape(len(x), -1) - point).sum(axis=1)) - self.radius
            return -self.scale * np.square(np.maximum(away, 0.0))

        return scored


@dataclass(frozen=True, kw_only=True)
class ClassProbability(Reward):
    """scale times the probability of one class, or of the likeliest one, by a classifier of the real labels: Ferbach et al.'s two
    rewards of pictures. The components of the true mixture where the law is one, else a linear discriminant, fitted once."""

    label: str | int | None = None
    """The class, by its name or number; without one the largest class probability is the reward."""
    scale: float = 5.0
    """The reward of a record whose class is certain."""
    log: bool = False
    """Reward the logarithm of the probability."""

    def __post_init__(self) -> None:
        positive(self.scale, "reward.scale")

    def check(self, source: Source, key: str) -> None:
        classes = getattr(source, "classes", None)
        if classes is None:
            raise SpecError(f"{key} rewards classes, and the data have no labels")
        if self.label is not None:
            self._number(classes, key)

    def _number(self, classes: tuple[str, ...], key: str) -> int:
        if isinstance(self.label, str) and self.label in classes:
            return classes.index(self.label)
        if isinstance(self.label, int) and 0 <= self.label < len(classes):
            return self.label
        raise SpecError(f"{key}.label is {self.label!r}; the classes of the data are {', '.join(classes)}")

    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        if "class posterior" not in memo:
            memo["class posterior"] = _posterior(source)
        posterior: Score = memo["class posterior"]
        number = None if self.label is None else self._number(source.classes, "reward")  # type: ignore[attr-defined]

        def scored(x: np.ndarray) -> np.ndarray:
            chances = posterior(x.reshape(len(x), -1))
            chance = chances.max(axis=1) if number is None else chances[:, number]
            with np.errstate(divide="ignore"):
                return self.scale * (np.log(chance) if self.log else chance)

        return scored


def _posterior(source: Any) -> Score:
    """From records (m, d) to the probability of each class (m, classes), learnt from real records."""
    from autophage.metrics.modes import ModeMap

    truth = source.truth
    if all(hasattr(truth, part) for part in ("weights", "means", "covariances")):
        return ModeMap.of_mixture(truth.weights[0], truth.means[0], truth.covariances[0]).posterior
    real = source.reference() if source.unlimited else source.train()
    return ModeMap.of_labels(real.flat(), real.label).posterior


@dataclass(frozen=True, kw_only=True)
class PictureReward(Reward):
    """A reward of pictures, whose black and white are those of the data's range of values."""

    scale: float = 1.0
    """What the number is multiplied by; below zero it is a punishment."""

    def __post_init__(self) -> None:
        array(self.scale, "reward.scale")

    def check(self, source: Source, key: str) -> None:
        from autophage.metrics.spaces.pictures import require_pictures

        require_pictures(source, key)
        if getattr(source, "value_range", None) is None:
            raise SpecError(f"{key} rewards pictures, and these data do not say what black and white are")


@dataclass(frozen=True, kw_only=True)
class Brightness(PictureReward):
    """scale times the mean of a picture's values, 0 black and 1 white."""

    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        low, high = source.value_range  # type: ignore[attr-defined]
        return lambda x: self.scale * (reckonable(x.reshape(len(x), -1)).mean(axis=1) - low) / (high - low)


@dataclass(frozen=True, kw_only=True)
class JpegSize(PictureReward):
    """scale times the kilobytes of a picture as a JPEG: detail is liked, or with a scale below zero plainness (Black et al. 2024,
    incompressibility and compressibility)."""

    quality: int = 95
    """Of the JPEG, 1 to 95."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.quality, "reward.quality", least=1)
        if self.quality > 95:
            raise SpecError(f"reward.quality is {self.quality}; JPEGs are made with 1 to 95")

    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        low, high = source.value_range  # type: ignore[attr-defined]
        height, width, *channels = source.shape  # type: ignore[attr-defined]

        def scored(x: np.ndarray) -> np.ndarray:
            pixels = (reckonable(x.reshape(len(x), -1)) - low) * (255 / (high - low))
            shape = (len(x), height, width) if channels in ([], [1]) else (len(x), height, width, *channels)
            pictures = np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(shape)
            return self.scale * np.array([_kilobytes(one, self.quality) for one in pictures])

        return scored


def _kilobytes(pixels: np.ndarray, quality: int) -> float:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="JPEG", quality=quality)
    return len(held.getvalue()) / 1000


KINDS: dict[str, type[Reward]] = {
    "table": Table,
    "linear": Linear,
    "distance": Distance,
    "class_probability": ClassProbability,
    "brightness": Brightness,
    "jpeg_size": JpegSize,
}


@dataclass(frozen=True, kw_only=True)
class Own(Reward):
    """A function, or an object that can be called."""

    function: Score
    """From records (m, ...) to (m,) numbers."""

    def score(self, source: Source, memo: dict[Any, Any]) -> Score:
        return lambda x: numbers_of(self.function, "reward", x)


def reward_of(given: Any, key: str) -> Reward:
    """A reward as a spec writes it, or as a function. Raises `SpecError`, naming the key.

    >>> reward_of({"kind": "linear", "slope": 3.0}, "curation.reward")
    Linear(coordinate=0, slope=3.0)
    """
    if isinstance(given, Reward):
        return given
    if isinstance(given, list | tuple | np.ndarray):
        return Table(values=_table(given, key))
    if isinstance(given, str) and ":" in given:
        given = registry.load(given, key)
        if isinstance(given, type):
            raise SpecError(f"{key} names a class; it must name a function of records")
    if isinstance(given, str):
        given = {"kind": given}
    if isinstance(given, Mapping):
        return _named(dict(given), key)
    if callable(given):
        return Own(function=given)
    raise SpecError(
        f"{key} is {given!r}; give one number per symbol, a kind ({', '.join(KINDS)}), a function, or module:function"
    )


def _named(body: dict[str, Any], key: str) -> Reward:
    kind = body.pop("kind", None)
    if kind not in KINDS:
        raise SpecError(f"{key}: there is no reward called {kind!r}{registry.nearest(str(kind), KINDS)}")
    cls = KINDS[kind]
    if kind == "table" and "values" in body:
        body["values"] = _table(body["values"], f"{key}.values")
    names = [f.name for f in dataclasses.fields(cls)]
    for name in body:
        if name not in names:
            raise SpecError(f"unknown key '{key}.{name}'{registry.nearest(str(name), names)}")
    try:
        return cls(**body)
    except TypeError as error:
        missing = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        raise SpecError(f"{key}: the reward {kind} needs {', '.join(missing) or 'other values'}") from error


def _table(given: Any, key: str) -> tuple[float, ...]:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise SpecError(f"{key} is {given!r}; it must be one number per symbol") from None
    if values.ndim != 1 or not values.size:
        raise SpecError(f"{key} must be a flat list with one number per symbol")
    if np.isnan(values).any() or (values == np.inf).any():
        raise SpecError(
            f"{key} holds NaN or +inf; rewards of symbols are numbers, or -inf for one never chosen"
        )
    return tuple(values.tolist())


def written(given: Any) -> Any:
    """A reward as plain data, so that a spec can hold it; a function of its own stays as it is.

    >>> written(Linear(slope=2.0))
    {'kind': 'linear', 'coordinate': 0, 'slope': 2.0}
    """
    if isinstance(given, Own):
        return given.function
    if isinstance(given, Reward):
        for kind, cls in KINDS.items():
            if type(given) is cls:
                return {"kind": kind, **{f.name: getattr(given, f.name) for f in dataclasses.fields(given)}}
        return given
    return frozen(given)
