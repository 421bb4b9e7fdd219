"""Pictures that were stored as arrays of bytes: .npy and .npz files, and idx files."""

from __future__ import annotations

import contextlib
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from autophage.data.decoding import laid_on_white
from autophage.data.files import at_most
from autophage.data.found import Block, Found, Labels, coded, fitting
from autophage.data.mnist import find_pair, read_idx
from autophage.data.picture_files import archive
from autophage.data.picture_labels import NONE, read_labels, table_beside, unnamed
from autophage.data.source import PIECE
from autophage.errors import DataError, SpecError
from autophage.registry import nearest

PICTURES = ("x_train", "train_images", "images", "x", "data", "pictures", "arr_0")
"""The arrays of an .npz file that hold pictures, the first of them that is there; else the only one of that shape."""
LABELS = ("y_train", "train_labels", "labels", "label", "y", "targets", "arr_1")
"""The arrays that hold their labels."""


class Header(NamedTuple):
    """What the beginning of an .npy file says."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


class Arrays(Found):
    """Pictures (n, h, w), (n, h, w, c) or (n, c, h, w) uint8 in an .npy or .npz file, read piece by piece."""

    def __init__(self, origin: Path, label: str | None) -> None:
        self.packed = origin.suffix.lower() == ".npz"
        table = (
            None
            if self.packed or label == NONE
            else table_beside(origin.parent, origin.name.split(".")[0], label)
        )
        self.table = table
        super().__init__(origin, [origin, *([table] if table else [])])

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        name = self._pictures
        n, *shape = self.headers[name].shape
        width = math.prod(shape)
        step = max(1, PIECE // width)
        planar = len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)
        with self._stream(name) as stream:
            _header(stream, self.origin)
            for first in range(0, n, step):
                count = min(step, n - first)
                content = at_most(stream, count * width)
                if len(content) < count * width:
                    raise DataError(
                        f"{self.origin} is cut off: it promises {n:,} pictures, only {first + len(content) // width:,} are "
                        "there"
                    )
                x = np.frombuffer(content, np.uint8).reshape(count, *shape)
                x = np.moveaxis(x, 1, 3) if planar else x
                if x.ndim == 4 and x.shape[3] == 1:
                    x = x[..., 0]
                if x.ndim == 4 and x.shape[3] == 4:
                    remarks["transparent"] += int((x[..., 3] < 255).any(axis=(1, 2)).sum())
                    x = laid_on_white(x)
                yield Block(x, first, str(self.origin))

    def labels(self, label: str | None) -> Labels | None:
        if label == NONE:
            return None
        count = self.headers[self._pictures].shape[0]
        if not self.packed:
            if self.table is not None:
                return read_labels(self.table, None, count, label, self.origin)
            if label is not None:
                raise unnamed(label, self.origin)
            return None
        if label is not None and label not in self.headers:
            raise SpecError(
                f"data.label names '{label}', which is no array of {self.origin}{nearest(label, self.headers)}"
            )
        name = label or next((n for n in LABELS if n in self.headers and n != self._pictures), None)
        if name is None:
            return None
        header = self.headers[name]
        if header.dtype.kind not in "iuU" or math.prod(header.shape) != max(header.shape, default=0):
            raise DataError(
                f"array '{name}' of {self.origin} has shape {header.shape} and type {header.dtype}; labels are one whole "
                f"number or name per picture: set data.label to another array, or to {NONE}"
            )
        with self._stream(name) as stream:
            values = np.lib.format.read_array(stream, allow_pickle=False)
        return fitting(coded(values.reshape(-1)), count, f"array '{name}' of {self.origin}", self.origin)

    @cached_property
    def headers(self) -> dict[str, Header]:
        """The arrays of the file. Raises `DataError` when it is damaged."""
        if not self.packed:
            with self._stream("") as stream:
                return {"": _header(stream, self.origin)}
        with archive(self.origin) as opened:
            names = [n.removesuffix(".npy") for n in opened.namelist() if n.endswith(".npy")]
        found = {}
        for name in names:
            with self._stream(name) as stream:
                found[name] = _header(stream, self.origin)
        return found

    @cached_property
    def _pictures(self) -> str:
        shaped = [name for name, h in self.headers.items() if _is_pictures(h)]
        chosen = next((n for n in PICTURES if n in shaped), None)
        if chosen is not None:
            return chosen
        if len(shaped) == 1:
            return shaped[0]
        if shaped:
            raise DataError(
                f"{self.origin} holds several arrays of pictures ({', '.join(shaped)}); keep one, or call it images"
            )
        held = (
            ", ".join(f"{name or 'it'}: {h.shape} {h.dtype}" for name, h in self.headers.items()) or "nothing"
        )
        raise DataError(
            f"{self.origin} holds no pictures ({held}); an array of shape (n, h, w) or (n, h, w, 3) and type uint8, "
            "values 0 to 255, is expected"
        )

    @contextlib.contextmanager
    def _stream(self, name: str) -> Iterator[BinaryIO]:
        try:
            if self.packed:
                with archive(self.origin) as opened, opened.open(name + ".npy") as stream:
                    yield cast(BinaryIO, stream)
            else:
                with open(self.origin, "rb") as plain:
                    yield plain
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            if isinstance(error, DataError | SpecError):
                raise
            raise DataError(f"{self.origin} is cut off or damaged: {error}") from error
        except OSError as error:
            raise DataError(f"{self.origin} cannot be read: {error.strerror or error}") from error


class Idx(Found):
    """A pair of idx files, as MNIST comes."""

    def __init__(self, place: Path) -> None:
        self.pictures, self.pair = find_pair(place)
        super().__init__(self.pictures, [self.pictures, *([self.pair] if self.pair else [])])

    @cached_property
    def _x(self) -> np.ndarray:
        return read_idx(self.pictures, axes=3)

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        yield Block(self._x, 0, str(self.pictures))

    def labels(self, label: str | None) -> Labels | None:
        if label not in (None, NONE):
            raise SpecError(
                f"data.label is '{label}' but idx labels have no name; leave it out, or set it to {NONE}"
            )
        if label == NONE or self.pair is None:
            return None
        return fitting(coded(read_idx(self.pair, axes=1)), len(self._x), self.pair, self.pictures)


def _header(stream: BinaryIO, path: Path) -> Header:
    """Reads the header of an .npy stream, which stands at its first number then."""
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        raise DataError(f"{path} is cut off, damaged or not a numpy file at all") from error
    return Header(shape, dtype, fortran)


def _is_pictures(header: Header) -> bool:
    shape = header.shape
    channels = len(shape) == 3 or (len(shape) == 4 and (shape[3] in (1, 3, 4) or shape[1] in (1, 3, 4)))
    return channels and header.dtype == np.uint8 and not header.fortran and min(shape) > 0
