"""What all sources of real records share.

An `UnlimitedSource` is a law: it draws new records for ever, each replicate its own, and holds out a fixed
reference set. A `FiniteSource` is a data set: it is split once, 80 % training and 20 % reference, by a
permutation that depends on nothing but the number of records, so that all runs on the same data share it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import whole_number
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.parts import Domain, Model
from autophage.samples import Batch, Samples

Picture = Literal["image", "cloud", "bars", "table"]
"""How a gallery shows records: as pictures, as points in the plane, as frequencies, as rows."""

FIXED = Key(0, ("data",))
"""The stream of what no seed may change: the split of finite data, the reference records of laws."""

FEWEST = 5
"""The fewest records a finite set may have: below that no record in five is left for the reference."""

PIECE = 1 << 23
"""Bytes that are compared or copied at a time, so that a set on disk never fills the memory."""


@dataclass(frozen=True, kw_only=True)
class RealSource(ABC):
    """Where real records come from, and what is known about them."""

    unlimited: ClassVar[bool]
    domain: ClassVar[Domain] = "vectors"
    citation: ClassVar[tuple[str, ...]] = ()
    """The works to cite when this source is used."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Numbers in one record (symbols: how many symbols)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The natural shape of one record, whose entries a record holds in C order."""
        return (self.dim,)

    @property
    def truth(self) -> Model | None:
        """The law itself as a model of one replicate, where it is known."""
        return None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the labels 0, 1, ..., or None where records carry no label."""
        return None

    @property
    def kind_of_picture(self) -> Picture | None:
        """How a gallery shows the records."""
        return None

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The least and the largest legal value of an entry, where there are such."""
        return None

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """Columns that never change in the training part, which a full covariance cannot bear."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user of these data should read, for example how many rows were left out."""
        return ()

    def snap(self, x: np.ndarray) -> np.ndarray:
        """The legal records nearest to x (..., d); x itself where every vector is legal."""
        return x

    @abstractmethod
    def train(self) -> Samples:
        """The real training part of a finite set."""

    @abstractmethod
    def reference(self) -> Samples:
        """Held-out real records, the same object at every call."""

    @abstractmethod
    def draw(self, n: int, *, key: Key, replicates: int = 1) -> Batch:
        """n new real records for each replicate of a law."""


@dataclass(frozen=True, kw_only=True)
class UnlimitedSource(RealSource):
    """A law that is sampled anew whenever real records are needed."""

    unlimited: ClassVar[bool] = True

    reference_size: int = 1000
    """How many held-out records metrics compare with; the same ones whatever the seed."""

    def __post_init__(self) -> None:
        whole_number(self.reference_size, "data.reference_size", least=2)

    @abstractmethod
    def records(self, n: int, key: Key, replicates: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Records (R, n, d) float64, or (R, n) integer symbols, and their labels (R, n) if they have any."""

    @property
    def kind_of_picture(self) -> Picture | None:
        if self.domain == "symbols":
            return "bars"
        return "cloud" if self.domain == "vectors" and self.dim >= 2 else None

    def train(self) -> Samples:
        """Not defined: raises `SpecError`, since a law has no training part of its own."""
        raise SpecError(f"{type(self).__name__} is a law without end and has no training part; use draw()")

    def reference(self) -> Samples:
        return self._reference

    @cached_property
    def _reference(self) -> Samples:
        x, label = self.records(self.reference_size, FIXED / "reference", 1)
        return Samples.of(x[0], label=None if label is None else label[0])

    def draw(self, n: int, *, key: Key, replicates: int = 1) -> Batch:
        return Batch.of(self.records(n, key, replicates)[0])


class Records(NamedTuple):
    """A finite set as read: `x` (n, *shape), `label` (n,) or None, where it came from, for messages; and, of pictures with
    captions, one `caption` (n,) of each and `references`, all of each."""

    x: np.ndarray
    label: np.ndarray | None
    origin: str
    caption: np.ndarray | None = None
    references: tuple[tuple[str, ...], ...] | None = None


class Split(NamedTuple):
    """The two parts of a finite set, the natural shape of a record, and all captions of each held-out record where they
    have several."""

    train: Samples
    reference: Samples
    shape: tuple[int, ...]
    references: tuple[tuple[str, ...], ...] | None = None


def pieces(x: np.ndarray) -> Iterator[slice]:
    """Slices of x, end to end, of about `PIECE` bytes each."""
    step = max(1, PIECE * len(x) // max(1, x.nbytes))
    return (slice(low, low + step) for low in range(0, len(x), step))


def split_rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n records train (four in five, rounded up) and which are held out; the same at every call.

    >>> [len(part) for part in split_rows(9)]
    [8, 1]
    """
    order = (FIXED / "split").generator().permutation(n)
    border = -(-4 * n // 5)
    return order[:border], order[border:]


@dataclass(frozen=True, kw_only=True)
class FiniteSource(RealSource):
    """A data set, read when first needed and kept."""

    unlimited: ClassVar[bool] = False
    dtype: ClassVar[Any] = np.float64

    size: int | None = None
    """Use only that many records, from the start of the data; all of them unless given."""

    def __post_init__(self) -> None:
        if self.size is not None:
            whole_number(self.size, "data.size", least=FEWEST)

    @abstractmethod
    def load(self) -> Records:
        """Reads the records (the first `size` are enough). Raises `DataError` when they cannot be used."""

    @cached_property
    def _split(self) -> Split:
        return self.split()

    def split(self) -> Split:
        """Reads and splits the set; asked once. A source that keeps its parts elsewhere than in memory has its own."""
        return self.in_memory(self.usable(self.load()))

    def in_memory(self, found: Records) -> Split:
        """The records, split by copying them."""
        x, label = found.x, found.label
        rows = split_rows(len(x))
        flat = x.reshape(len(x), -1)
        train, reference = (
            Samples.of(
                np.asarray(flat[part], dtype=self.dtype),
                label=None if label is None else label[part].astype(np.int64),
                caption=None if found.caption is None else found.caption[part],
            )
            for part in rows
        )
        every = found.references
        return Split(
            train, reference, x.shape[1:], None if every is None else tuple(every[i] for i in rows[1])
        )

    def usable(self, found: Records) -> Records:
        """The first `size` of the records. Raises `DataError` when they are too few, or all the same."""
        x, _, origin = found[:3]
        if self.size is not None and self.size > len(x):
            raise DataError(f"data.size is {self.size:,} but {origin} holds {len(x):,} records")
        x = x[: self.size]
        n = len(x)
        if n < FEWEST:
            raise DataError(f"{origin} holds {n} record{'s' * (n != 1)}; at least {FEWEST} are needed")
        if all((x[piece] == x[0]).all() for piece in pieces(x)):
            raise DataError(self.sameness(n, origin))
        label, caption = (
            None if part is None else part[: self.size] for part in (found.label, found.caption)
        )
        every = None if found.references is None else found.references[: self.size]
        return Records(x, label, origin, caption, every)

    def sameness(self, n: int, origin: str) -> str:
        """The sentence that refuses n equal records."""
        return f"all {n:,} records of {origin} are the same; data without any variance cannot be learnt from"

    @property
    def shape(self) -> tuple[int, ...]:
        return self._split[2]

    @property
    def dim(self) -> int:
        return math.prod(self.shape)

    def train(self) -> Samples:
        return self._split[0]

    def reference(self) -> Samples:
        return self._split[1]

    @property
    def references(self) -> tuple[tuple[str, ...], ...] | None:
        """All captions of each held-out record, in the order of `reference`; None where records carry none."""
        if self._split.references is not None:
            return self._split.references
        caption = self.reference().caption
        return None if caption is None else tuple((each,) for each in caption.tolist())

    def draw(self, n: int, *, key: Key, replicates: int = 1) -> Batch:
        """Not defined: raises `SpecError`, since finite data cannot be drawn for ever."""
        raise SpecError(f"{type(self).__name__} is a finite data set and draws no new records; use train()")
