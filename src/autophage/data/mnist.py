"""MNIST, and any other set of grey pictures in its idx format.

An idx file is a header (two zero bytes, the type of an entry, the number of axes, each axis as a big-endian
32-bit number) and then the entries, here bytes, in C order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from autophage.data.arguments import whole_number
from autophage.data.class_captions import ClassCaptions, spelt
from autophage.data.files import at_most, locate, opened
from autophage.data.source import Picture, Records
from autophage.errors import DataError, SpecError

_BYTES = 8
"""The idx code of unsigned bytes."""


@dataclass(frozen=True, kw_only=True)
class MnistSource(ClassCaptions):
    """Grey pictures with values 0..255 (float32), labelled if a file of labels lies beside them.

    For MNIST itself 60,000 pictures of 28 x 28 pixels, digits 0 to 9.
    """

    citation: ClassVar[tuple[str, ...]] = (
        "LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE 86, 2278-2324",
    )
    dtype: ClassVar[type] = np.float32

    path: str | None = None
    """A folder of idx files, or the file of pictures (plain or gzip); else `mnist` below AUTOPHAGE_DATA."""
    pool: int = 1
    """Replace each square of pool x pool pixels by its mean; must divide both sides of the pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.pool, "data.pool", least=1)
        if self.path is not None:
            object.__setattr__(self, "path", str(self.path))

    @property
    def classes(self) -> tuple[str, ...] | None:
        label = self._split.train.label
        if label is None:
            return None
        return tuple(map(str, range(max(10, int(label.max()) + 1))))

    @property
    def captions_of_classes(self) -> tuple[str, ...]:
        return spelt(super().captions_of_classes)

    @property
    def kind_of_picture(self) -> Picture:
        return "image"

    @property
    def value_range(self) -> tuple[float, float]:
        return 0.0, 255.0

    def load(self) -> Records:
        pictures_at, labels_at = find_pair(locate(self.path, inside="mnist"))
        pictures = read_idx(pictures_at, axes=3, most=self.size)
        labels = None if labels_at is None else read_idx(labels_at, axes=1, most=self.size)
        if labels is not None and len(labels) != len(pictures):
            raise DataError(
                f"{labels_at} holds {len(labels):,} labels for the {len(pictures):,} pictures of "
                f"{pictures_at}; they must be as many"
            )
        return Records(pooled(pictures, self.pool), labels, str(pictures_at))


def find_pair(place: Path) -> tuple[Path, Path | None]:
    """The files of pictures and of labels at `place`, a folder or the file of pictures itself.

    Raises `DataError` when there are no pictures.
    """
    if place.is_dir():
        found = sorted(p for p in place.iterdir() if holds_pictures(p))
        found = [p for p in found if p.name.startswith("train")] or found
        if not found:
            raise DataError(
                f"{place} holds no idx pictures; a file such as train-images-idx3-ubyte.gz is expected"
            )
        if len({p.name.removesuffix(".gz") for p in found}) > 1:
            raise DataError(f"{place} holds several files of idx pictures; set data.path to one of them")
        place = found[0]
    stem = place.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = [place.with_name(stem + end) for end in ("", ".gz")]
    return place, next((p for p in beside if p.exists() and p != place and "labels" in stem), None)


def holds_pictures(path: Path) -> bool:
    """Whether a file's name is that of idx pictures."""
    return "idx3" in path.name and path.name.endswith(("-ubyte", "-ubyte.gz", ".idx3", ".idx3.gz"))


def read_idx(path: Path, *, axes: int, most: int | None = None) -> np.ndarray:
    """The first `most` entries (all unless given) of an idx file of bytes with that many axes, as uint8.

    Raises `DataError` when the file is of another kind, or holds more or less than its header promises.
    """
    with opened(path) as stream:
        header = at_most(stream, 4 + 4 * axes)
        if len(header) < 4 or header[:2] != b"\0\0":
            raise DataError(f"{path} is not an idx file: it does not start with an idx header")
        if header[2] != _BYTES:
            raise DataError(
                f"{path} holds idx entries of type {header[2]:#04x}; only unsigned bytes (0x08) are known"
            )
        if header[3] != axes:
            what = "pictures (3 axes)" if axes == 3 else "labels (1 axis)"
            raise DataError(f"{path} is an idx file of {header[3]} axes where {what} are expected")
        if len(header) < 4 + 4 * axes:
            raise DataError(f"{path} is cut off inside its idx header")
        shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
        if 0 in shape:
            raise DataError(f"{path} holds no records: its idx header says {' x '.join(map(str, shape))}")
        count = shape[0] if most is None else min(most, shape[0])
        record = math.prod(shape[1:])
        held = at_most(stream, count * record)
        if len(held) < count * record:
            raise DataError(
                f"{path} is cut off: its header promises {shape[0]:,} records of {record} bytes, "
                f"only {len(held) // record:,} are there"
            )
        if count == shape[0] and stream.read(1):
            raise DataError(f"{path} holds more than the {shape[0]:,} records that its header promises")
    return np.frombuffer(held, np.uint8).reshape(count, *shape[1:])


def pooled(pictures: np.ndarray, side: int) -> np.ndarray:
    """Pictures (n, h, w) averaged over squares of that side, (n, h / side, w / side) float32.

    Raises `SpecError` when the squares do not tile the pictures.

    >>> pooled(np.arange(16).reshape(1, 4, 4), 2).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]
    """
    if side == 1:
        return pictures
    n, height, width = pictures.shape
    if height % side or width % side:
        raise SpecError(f"data.pool is {side}, which does not divide pictures of {height} x {width} pixels")
    # In float64 all of MNIST would take half a gigabyte; sums of bytes are exact in uint32.
    sums = pictures.reshape(n, height // side, side, width // side, side).sum(axis=(2, 4), dtype=np.uint32)
    return (sums / np.float32(side * side)).astype(np.float32)
