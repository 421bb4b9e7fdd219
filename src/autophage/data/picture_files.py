"""Image files one by one: in a folder, in a zip archive, or cut into equal tiles."""

from __future__ import annotations

import os
import zipfile
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from autophage.data.decoding import SUFFIXES, Damaged, decoded, measured
from autophage.data.found import Block, Found, Labels, coded
from autophage.data.picture_labels import NONE, read_labels, table_beside, unnamed
from autophage.errors import DataError

Tile = Literal["auto", "none"] | int
LONG = 8
"""A picture at least this many times as high as wide is a strip of tiles, unless something else is said."""
SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})
"""Names of folders that are parts of a data set, not classes."""


class ImageFiles(Found):
    """Pictures that were encoded one by one. `names` are those of the files, as they lie below the place."""

    def __init__(self, origin: Path, names: Sequence[str], tile: Tile, label: str | None) -> None:
        super().__init__(origin, ())
        folder, stem = (
            (origin, origin.name) if origin.is_dir() else (origin.parent, origin.name.split(".")[0])
        )
        self.table = None if label == NONE else table_beside(folder, stem, label)
        self.tile = tile
        self.names, self.root = _entered(names)
        if self.root:
            self.notes.append(f"only what lies below {self.root.rstrip('/')} is read")
        if self.table is None:
            self.names = _spread(self.names, self.root)
        self.files = (*self._read_from(), *([self.table] if self.table else []))

    @abstractmethod
    def contents(self) -> Iterator[bytes | Damaged]:
        """The bytes of every file in the order of `names`."""

    @abstractmethod
    def _read_from(self) -> list[Path]:
        """The files on disk that hold the pictures."""

    @cached_property
    def cuts(self) -> list[tuple[int, int]] | None:
        """(down, across): how many tiles each file holds; None where a file is a picture.

        Raises `DataError` for a file that cannot be cut.
        """
        if self.tile == "none":
            return None
        side = self.tile if isinstance(self.tile, int) else 0
        found: list[tuple[int, int]] = []
        for name, content in zip(self.names, self.contents(), strict=True):
            try:
                if isinstance(content, Damaged):
                    raise content
                height, width = measured(content)
            except Damaged as damage:
                if not side and not found:
                    return None  # what is wrong is said when the pictures are decoded
                raise DataError(
                    f"{self._named(name)} cannot be read ({damage}), so its tiles cannot be counted"
                ) from damage
            if not side:
                if height < LONG * width or height % width:
                    return None
                side = width
            if height % side or width % side or (self.tile == "auto" and width != side):
                raise DataError(
                    f"{self._named(name)} is {width} x {height} pixels, which tiles of {side} x {side} do not fill; "
                    "set data.tile to the tiles' side, or to none if these are whole pictures"
                )
            found.append((height // side, width // side))
        return found

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        first = 0
        cuts = self.cuts
        for number, (name, content) in enumerate(zip(self.names, self.contents(), strict=True)):
            down, across = (1, 1) if cuts is None else cuts[number]
            try:
                if isinstance(content, Damaged):
                    raise content
                x = decoded(content, remarks)
                x = x[None] if cuts is None else _tiles(x, down, across)
                yield Block(x, first, self._named(name))
            except Damaged as damage:
                yield Block.lost(down * across, first, self._named(name), str(damage))
            first += down * across

    def labels(self, label: str | None) -> Labels | None:
        if label == NONE:
            return None
        cuts = self.cuts
        count = len(self.names) if cuts is None else sum(down * across for down, across in cuts)
        if self.table is not None:
            names = self.names if cuts is None else None
            return read_labels(self.table, names, count, label, self.origin)
        if label is not None:
            raise unnamed(label, self.origin)
        return None if cuts is not None else _of_folders(self.names, self.root)

    def _named(self, name: str) -> str:
        return f"{name} of {self.origin}"


class Folder(ImageFiles):
    """The image files in a folder and its sub-folders."""

    def contents(self) -> Iterator[bytes | Damaged]:
        for name in self.names:
            try:
                yield (self.origin / name).read_bytes()
            except OSError as error:
                yield Damaged(error.strerror or str(error))

    def _read_from(self) -> list[Path]:
        return [self.origin / name for name in self.names]

    def _named(self, name: str) -> str:
        return str(self.origin / name)


class OneFile(ImageFiles):
    """A single image file, which is of use as a sheet of tiles only."""

    def contents(self) -> Iterator[bytes | Damaged]:
        try:
            yield self.origin.read_bytes()
        except OSError as error:
            yield Damaged(error.strerror or str(error))

    def _read_from(self) -> list[Path]:
        return [self.origin]

    def _named(self, name: str) -> str:
        return str(self.origin)


class Zip(ImageFiles):
    """The image files in a zip archive."""

    def contents(self) -> Iterator[bytes | Damaged]:
        with archive(self.origin) as opened:
            for name in self.names:
                try:
                    yield opened.read(name)
                except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                    yield Damaged(str(error) or "its compressed stream does not end as it should")
                except (RuntimeError, NotImplementedError) as error:
                    raise DataError(
                        f"{self._named(name)} is encrypted or packed in a way that is not known ({error}); unpack the "
                        "archive and give its folder"
                    ) from error

    def _read_from(self) -> list[Path]:
        return [self.origin]


def archive(path: Path) -> zipfile.ZipFile:
    """A zip archive. Raises `DataError` when it is none, or cut off."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is cut off, damaged or not a zip archive at all") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def listed(folder: Path) -> list[str]:
    """The image files in a folder and its sub-folders, as sorted relative paths; hidden ones are passed over."""
    found = []
    for top, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(top, name), folder) for name in names if is_image(name)]
    return sorted(name.replace(os.sep, "/") for name in found)


def members(path: Path) -> list[str]:
    """The image files in a zip archive, sorted."""
    with archive(path) as opened:
        return sorted(n for n in opened.namelist() if is_image(n) and not n.startswith("__MACOSX"))


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _tiles(x: np.ndarray, down: int, across: int) -> np.ndarray:
    """A sheet (h, w[, 3]) as its tiles, row by row."""
    high, wide = x.shape[0] // down, x.shape[1] // across
    parts = x.reshape(down, high, across, wide, *x.shape[2:]).swapaxes(1, 2)
    return parts.reshape(down * across, high, wide, *x.shape[2:])


def _entered(names: Sequence[str]) -> tuple[list[str], str]:
    """The names below the folder that holds all of them, or the training data; and that folder."""
    root = ""
    while names and all("/" in name[len(root) :] for name in names):
        heads = {name[len(root) :].split("/", 1)[0] for name in names}
        if len(heads) == 1:
            chosen = next(iter(heads))
        elif {head.lower() for head in heads} <= SPLITS:
            chosen = next((head for head in sorted(heads) if head.lower().startswith("train")), "")
        else:
            break
        if not chosen:
            break
        root += chosen + "/"
        names = [name for name in names if name.startswith(root)]
    return list(names), root


def _class(name: str, root: str) -> str:
    """The first folder of a name below the root, or nothing."""
    head, slash, _ = name[len(root) :].partition("/")
    return head if slash else ""


def _of_folders(names: Sequence[str], root: str) -> Labels | None:
    """The folders that pictures lie in as their classes, where all lie in one and there are several."""
    folders = [_class(name, root) for name in names]
    if len(set(folders)) < 2:
        return None
    if "" in folders:
        note = "pictures lie both beside and inside folders, which are no classes therefore"
        return Labels(np.empty(0, np.int64), (), (note,))
    if all(folder.isascii() and folder.isdigit() for folder in folders):
        numbers = [int(folder) for folder in folders]
        named = dict(zip(numbers, folders, strict=True))
        if len(named) == len(set(folders)):
            return coded(numbers, named)
    return coded(folders)


def _spread(names: list[str], root: str) -> list[str]:
    """The names in an order in which every beginning holds the classes in their shares."""
    counts = Counter(_class(name, root) for name in names)
    seen: Counter[str] = Counter()
    keyed = []
    for name in names:
        folder = _class(name, root)
        keyed.append(((seen[folder] + 0.5) / counts[folder], name))
        seen[folder] += 1
    return [name for _, name in sorted(keyed)]
