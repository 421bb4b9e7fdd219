"""Pictures that were found but not decoded yet, whatever holds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import DataError


class Block(NamedTuple):
    """Pictures of one size that were decoded together, or a place where some could not be."""

    x: np.ndarray
    """(k, h, w) or (k, h, w, 3) uint8; without pixels where they are damaged."""
    first: int
    """The number of the first of them among all pictures that were found."""
    name: str
    damage: str = ""
    """Why they cannot be read."""

    @staticmethod
    def lost(count: int, first: int, name: str, damage: str) -> Block:
        """`count` pictures that cannot be read."""
        return Block(np.empty((count, 0, 0), np.uint8), first, name, damage)


class Labels(NamedTuple):
    """The class of every picture that was found, (n,) int64, and the classes' names."""

    codes: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Found(ABC):
    """A place that holds pictures. Making one is cheap: it opens nothing but lists."""

    def __init__(self, origin: Path, files: Sequence[Path]) -> None:
        self.origin = origin
        self.files = tuple(files)
        """All files that the pictures and their labels are read from: when one changes, what was decoded is stale."""
        self.notes: list[str] = []

    @abstractmethod
    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        """Every picture in order; `remarks` counts those that had to be changed (see `decoding.REMARKS`)."""

    @abstractmethod
    def labels(self, label: str | None) -> Labels | None:
        """The labels that go by the name of `label`, or the usual ones. Raises `SpecError` when there is no such name,
        `DataError` when they do not fit the pictures."""


def coded(values: np.ndarray | Sequence[Any], names: Mapping[int, str] | None = None) -> Labels:
    """Labels as codes 0, 1, ... in the order of their values.

    Whole numbers of which at least half of 0..max occur are codes already and stay as they are; None is a class of
    its own, called `none`. `names` gives the names of whole numbers.

    >>> coded(["cat", "ant", "cat"])
    Labels(codes=array([1, 0, 1]), classes=('ant', 'cat'), notes=())
    >>> coded([3, 0, 1], {3: "ship"}).classes, coded([7, 900]).classes
    (('0', '1', '2', 'ship'), ('7', '900'))
    """
    values = np.asarray(values)
    if values.dtype.kind == "O":
        values = np.array(["none" if v is None else str(v) for v in values])
    levels, codes = np.unique(values, return_inverse=True)
    if values.dtype.kind not in "iu":
        return Labels(codes.astype(np.int64), tuple(map(str, levels)))
    names = names or {}
    if levels[0] >= 0 and levels[-1] < 2 * len(levels):
        known = max([int(levels[-1]), *names])
        return Labels(values.astype(np.int64), tuple(names.get(i, str(i)) for i in range(known + 1)))
    return Labels(codes.astype(np.int64), tuple(names.get(int(i), str(i)) for i in levels))


def fitting(labels: Labels, count: int, place: Path | str, pictures: Path | str) -> Labels:
    """The labels, if there are as many as pictures; else `DataError`."""
    if len(labels.codes) != count:
        raise DataError(
            f"{place} holds {len(labels.codes):,} labels for the {count:,} pictures of {pictures}; "
            "they must be as many"
        )
    return labels
