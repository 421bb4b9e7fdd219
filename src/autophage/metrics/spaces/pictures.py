"""Records as pictures again: a loop's records are flat, and a network that looks at them needs their shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.records import matrix
from autophage.samples import Samples


@dataclass(frozen=True)
class SourceRecords(Samples):
    """Real records that remember what their source says of one of them."""

    shape: tuple[int, ...] = ()
    """The natural shape of a record, whose entries it holds in C order."""
    value_range: tuple[float, float] | None = None
    """The least and the largest legal value of an entry, where there are such."""

    @staticmethod
    def of_source(records: Samples, source: Any) -> Samples:
        """The records with what `source` knows of them; themselves where it knows no shape."""
        shape = getattr(source, "shape", None)
        if shape is None:
            return records
        limits = getattr(source, "value_range", None)
        return SourceRecords(records.fields, *records.columns, shape=tuple(shape), value_range=limits)


def natural_shape(real: Samples) -> tuple[int, ...]:
    """The shape of one record: what its source says, else that of the array."""
    return real.shape if isinstance(real, SourceRecords) else tuple(real.fields["x"].shape[1:])


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether records of that shape are pictures: (h, w), (h, w, 1) or (h, w, 3), two pixels a side or more.

    >>> is_picture((28, 28)), is_picture((32, 32, 3)), is_picture((64,)), is_picture((8, 8, 2))
    (True, True, False, False)
    """
    return len(shape) in (2, 3) and min(shape[:2]) >= 2 and shape[2:] in ((), (1,), (3,))


def require_pictures(source: Any, what: str) -> None:
    """Raises `SpecError`, saying what asked, where a source's records are no pictures."""
    shape = tuple(getattr(source, "shape", ()))
    if not is_picture(shape):
        raise SpecError(
            f"{what} needs pictures, which are records of shape (height, width) or (height, width, 3); the data's are of "
            f"shape {shape}"
        )


class PictureForm:
    """How records are read as pictures: their height, width and channels, and the values of black and white.

    Taken from real records: what their source says (`SourceRecords`), else their own shape (n, h, w) or (n, h, w, c);
    bytes range over 0..255 where nothing is said. Raises `DataError`, naming the feature space, where they are no
    pictures.
    """

    def __init__(self, real: Samples, space: str) -> None:
        shape = natural_shape(real)
        if not is_picture(shape):
            raise DataError(
                f"features: {space} needs pictures, which are records of shape (height, width) or (height, width, 3); "
                f"these are of shape {shape}"
            )
        self.space = space
        self.height, self.width = shape[:2]
        self.channels = shape[2] if len(shape) == 3 else 1
        self.limits = real.value_range if isinstance(real, SourceRecords) else None
        if self.limits is None and real.fields["x"].dtype == np.uint8:
            self.limits = (0.0, 255.0)

    def pictures(self, x: np.ndarray) -> np.ndarray:
        """Records (n, ...) as (n, h, w, c) float. Raises `DataError` where they are of another size, or not finite."""
        flat = matrix(x, "the records", compact=True)
        wanted = self.height * self.width * self.channels
        if flat.shape[1] != wanted:
            raise DataError(
                f"features: {self.space} was made for pictures of {self.height} x {self.width} x {self.channels} = "
                f"{wanted} numbers, got records of {flat.shape[1]}"
            )
        return flat.reshape(len(flat), self.height, self.width, self.channels)

    def colour_bytes(self, x: np.ndarray) -> np.ndarray:
        """Records (n, ...) as colour pictures (n, h, w, 3) of bytes: the source's range of values becomes 0..255,
        rounded (halves to even) and cut off beyond; grey ones get three equal channels.

        Raises `DataError` where the range is not known.
        """
        if self.limits is None:
            raise DataError(
                f"features: {self.space} needs to know which values are black and white; give bytes, or a source with a "
                "value_range"
            )
        low, high = self.limits
        x = self.pictures(x)
        if self.limits != (0.0, 255.0):
            x = (x - low) * (255 / (high - low))
        pixels = np.clip(np.rint(x), 0, 255).astype(np.uint8)
        return pixels if self.channels == 3 else np.repeat(pixels, 3, axis=3)


def in_parts(x: Any, size: int, features: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`features` (k, d) of the records x (n, ...), `size` of them at a time, end to end as (n, d).

    Raises `DataError` where there is no record.
    """
    if len(x) == 0:
        raise DataError("the records hold no record to measure")
    first = features(np.asarray(x[:size]))
    out = np.empty((len(x), *first.shape[1:]), first.dtype)
    out[: len(first)] = first
    for start in range(size, len(x), size):
        out[start : start + size] = features(np.asarray(x[start : start + size]))
    return out
