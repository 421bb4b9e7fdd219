"""The leading principal components of another data set: a labelled problem of few dimensions out of a set of pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from autophage.data.arguments import whole_number
from autophage.data.source import FiniteSource, Picture, Records, Split
from autophage.errors import DataError, SpecError
from autophage.samples import Samples, chunks

AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class PrincipalComponentsSource(FiniteSource):
    """The coordinates of a finite data set on its first principal components.

    x -> V' (x - mean) / g; mean, components V and their root mean variance g are those of the training part alone, so that
    nothing of the reference enters. Components are ordered by variance, the largest entry of each being positive; labels and the
    split stay as they are. Raises `DataError` where the set has fewer dimensions or training records.

    >>> source = PrincipalComponentsSource(of="digits", components=5)
    >>> source.dim, len(source.classes), round(float(source.train().x.var(axis=0).mean()), 9)
    (5, 10, 1.0)
    """

    of: Any = "digits"
    """The data set: a kind, or a mapping with `kind` and its settings."""
    components: int = 20
    """How many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.components, "data.components", least=1)
        if self.size is not None:
            raise SpecError("data.size belongs to the set whose components are taken; write data.of.size")
        given = {"kind": self.of} if isinstance(self.of, str) else self.of
        if not isinstance(given, Mapping):
            raise SpecError(
                f"data.of is a {type(given).__name__}; write a kind of data, or a mapping with kind and its settings"
            )
        object.__setattr__(self, "of", dict(given))
        if self.whole.unlimited or self.whole.domain != "vectors":
            raise SpecError(
                f"data.of is {self.of['kind']}; only a finite set of vectors, such as digits, has principal components here"
            )

        object.__setattr__(self, "citation", getattr(self.whole, "citation", ()))

    @cached_property
    def whole(self) -> Any:
        """The data set whose components are taken."""
        from autophage.intake import part

        return part("data", self.of, "data.of")

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.whole.classes

    @property
    def kind_of_picture(self) -> Picture | None:
        return "cloud" if self.components >= 2 else None

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self.whole.notes)

    def load(self) -> Records:
        """All records in their components, the training part first."""
        parts = self.split()
        both = Samples.join([parts.train, parts.reference])
        return Records(both.x, both.label, str(self.of["kind"]))

    def split(self) -> Split:
        train, reference = self.whole.train(), self.whole.reference()
        mean, axes = self.axes(train)
        seen = [self._seen(part, mean, axes) for part in (train, reference)]
        return Split(seen[0], seen[1], (self.components,))

    def axes(self, train: Samples) -> tuple[np.ndarray, np.ndarray]:
        """The mean (d,), and the components over their root mean variance (d, k), of these records."""
        return principal_axes(train, self.components, "data.components")

    def _seen(self, part: Samples, mean: np.ndarray, axes: np.ndarray) -> Samples:
        x = np.concatenate([(_flat(x) - mean) @ axes for x in chunks(part.fields["x"], AT_ONCE)])
        return dataclasses.replace(part, fields={**part.fields, "x": x})


def principal_axes(train: Samples, components: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,), and so many components over their root mean variance (d, k), of these records.

    Raises `DataError`, naming the `key` of a spec, when there are fewer.
    """
    n, d = len(train), int(np.prod(train.fields["x"].shape[1:]))
    if components > min(n - 1, d):
        raise DataError(f"{key} is {components}, but the set has {n:,} training records of {d:,} numbers")
    total, square = np.zeros(d), np.zeros((d, d))
    centre = _flat(train.fields["x"][:1])[0]
    for x in chunks(train.fields["x"], AT_ONCE):
        moved = _flat(x) - centre  # sums of squares about some record lose fewer digits
        total += moved.sum(axis=0)
        square += moved.T @ moved
    covariance = square / n - np.outer(total, total) / n**2
    values, vectors = np.linalg.eigh(covariance)
    leading = vectors[:, ::-1][:, :components]
    largest = leading[np.abs(leading).argmax(axis=0), np.arange(components)]
    unit = np.sqrt(values[::-1][:components].mean())
    return centre + total / n, leading * np.sign(largest) / unit


def _flat(x: Any) -> np.ndarray:
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)
