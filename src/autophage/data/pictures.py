"""What all sources of pictures share: from what was found to records of bytes, checked, split and mapped.

Records are whole numbers 0..255 (uint8), and stay so through the loop: what a model draws becomes the nearest picture
by `snap`. Sets of more than `IN_MEMORY` bytes are decoded once into a folder of caches and mapped from there, so that
they cost address space instead of memory.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import whole_number
from autophage.data.decoding import REMARKS, greyed, is_grey, squared
from autophage.data.found import Found, Labels
from autophage.data.kept import Kept, fetched, fingerprint, put, usual_folder, workplace
from autophage.data.source import FIXED, FiniteSource, Picture, Records, Split
from autophage.data.spool import Spool
from autophage.errors import DataError, SpecError

IN_MEMORY = 64 << 20
"""Sets of at most that many bytes are decoded into memory each time."""


class Decoded(NamedTuple):
    """Records in their own order, before they are split."""

    records: Records
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PictureSource(FiniteSource):
    """Pictures of one size with values 0..255."""

    dtype: ClassVar[Any] = np.uint8

    side: int | None = None
    """Cut each picture to its central square and resize it (Lanczos) to side x side pixels."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 makes every picture grey (luma), 3 gives it three channels; `auto` is 1 when all are grey, else 3."""
    damaged: Literal["refuse", "skip"] = "refuse"
    """What happens to pictures that cannot be read: the data are refused, or those pictures are left out and counted."""
    cache: str = "auto"
    """A folder for decoded pictures where they are more than 64 MiB; `auto` is the one that AUTOPHAGE_CACHE names or
    autophage's in the user's folder of caches, `none` keeps them in memory. It may be deleted at any time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side is not None:
            whole_number(self.side, "data.side", least=1)
        if isinstance(self.channels, bool) or self.channels not in ("auto", 1, 3):
            raise SpecError(f"data.channels is {self.channels!r}; it must be auto, 1 or 3")
        if self.damaged not in ("refuse", "skip"):
            raise SpecError(f"data.damaged is {self.damaged!r}; it must be refuse or skip")
        object.__setattr__(self, "cache", str(self.cache))

    @abstractmethod
    def find(self) -> Found:
        """Looks for the pictures. Raises `DataError` when there are none."""

    @property
    def choices(self) -> dict[str, Any]:
        """The settings that decide what is decoded."""
        return {"size": self.size, "side": self.side, "channels": self.channels, "damaged": self.damaged}

    def labelled(self, found: Found) -> Labels | None:
        """The labels of what was found."""
        return found.labels(None)

    def described(self, found: Found) -> Sequence[Sequence[str]] | None:
        """All captions of every picture that was found, none for those that are passed over; None where there are none."""
        return None

    @property
    def kind_of_picture(self) -> Picture:
        return "image"

    @property
    def value_range(self) -> tuple[float, float]:
        return 0.0, 255.0

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self._kept.classes

    @cached_property
    def notes(self) -> tuple[str, ...]:
        return (*self._kept.notes, *self._missing())

    def snap(self, x: np.ndarray) -> np.ndarray:
        """The nearest pictures: each number rounded (halves to even), at least 0 and at most 255, as uint8."""
        x = np.asarray(x)
        if x.dtype == np.uint8:
            return x
        return np.clip(np.rint(x), 0, 255).astype(np.uint8)

    def load(self) -> Records:
        """All pictures that the settings ask for, (n, h, w) or (n, h, w, 3) uint8, in their own order and in memory."""
        return self._decoded(self.find(), Spool(None, IN_MEMORY)).records

    def split(self) -> Split:
        return self._kept.split

    def sameness(self, n: int, origin: str) -> str:
        return f"all {n:,} pictures of {origin} are the same; data without any variance cannot be learnt from"

    @cached_property
    def _kept(self) -> Kept:
        found = self.find()
        place = None
        if self.cache != "none":
            folder = usual_folder() if self.cache == "auto" else Path(self.cache).expanduser()
            place = folder / fingerprint(found.files, {"kind": type(self).__name__, **self.choices})
            if (kept := fetched(place)) is not None:
                return kept
        with workplace(place) as (part, refused):
            spool = Spool(None if part is None else part / "decoded", IN_MEMORY)
            try:
                records, classes, notes = self._decoded(found, spool)
                records, refused = self.usable(records), spool.refused or refused
                if place is not None and part is not None and spool.on_disk:
                    try:
                        put(place, part, records, classes, notes)
                        if (kept := fetched(place)) is not None:
                            return kept
                    except OSError as error:
                        refused = error.strerror or str(error)
                if refused and records.x.nbytes > IN_MEMORY:
                    notes += (
                        f"the decoded pictures fill {records.x.nbytes >> 20:,} MiB of memory, since {place.parent} cannot be "  # type: ignore[union-attr]
                        f"written ({refused}); set data.cache to another folder",
                    )
                return Kept(self.in_memory(records), classes, notes)
            finally:
                spool.close()

    def _decoded(self, found: Found, spool: Spool) -> Decoded:
        labels = self.labelled(found)
        notes = [*found.notes, *(labels.notes if labels else ())]
        remarks: Counter[str] = Counter()
        rows: list[np.ndarray] = []
        lost = grey = 0
        first = worst = ""
        for block in found.blocks(remarks):
            if self.size is not None and spool.count >= self.size:
                break
            if block.damage:
                if self.damaged == "refuse":
                    raise DataError(
                        f"{block.name} cannot be read: {block.damage}; mend or remove it, or set data.damaged: skip"
                    )
                lost, worst = lost + len(block.x), worst or f"{block.name} ({block.damage})"
                continue
            x = self._shaped(block.x if self.size is None else block.x[: self.size - spool.count])
            if spool.count and x.shape[1:3] != spool.shape[:2]:
                raise DataError(_unequal(first, spool.shape[:2], block.name, x.shape[1:3]))
            first = first or block.name
            grey += len(x) if block.x.ndim == 3 else 0  # a picture that was stored in one channel
            spool.add(x)
            rows.append(np.arange(block.first, block.first + len(x)))
        if not spool.count:
            raise DataError(f"{found.origin} holds no picture that can be read")
        x = spool.array()
        x = x[..., 0] if spool.shape[2] == 1 else x
        kept = np.concatenate(rows)
        if lost:
            notes.append(f"left out for damage: {_pictures(lost)} of {found.origin}, first {worst}")
        if spool.shape[2] == 3 and self.channels == "auto" and grey:
            notes.append(
                f"grey among colour ones, so that they got three equal channels: {grey:,} of {_pictures(spool.count)}"
            )
        notes += [REMARKS[name].format(_pictures(count)) for name, count in sorted(remarks.items())]
        coded = labels is not None and len(labels.classes) > 0
        caption, references = _captions(self.described(found), kept)
        return Decoded(
            Records(
                x,
                labels.codes[kept] if labels is not None and coded else None,
                str(found.origin),
                caption,
                references,
            ),
            labels.classes if labels is not None and coded else None,
            tuple(notes),
        )

    def _shaped(self, x: np.ndarray) -> np.ndarray:
        """Pictures (k, h, w) or (k, h, w, 3) as (k, side, side, c)."""
        if x.ndim == 4 and self.channels != 3:
            if is_grey(x):
                x = x[..., 0]
            elif self.channels == 1:
                x = greyed(x)
        if self.side is not None and x.shape[1:3] != (self.side, self.side):
            x = np.stack([squared(picture, self.side) for picture in x])
        if x.ndim == 3:
            x = x[..., None]
            x = x.repeat(3, axis=3) if self.channels == 3 else x
        return x

    def _missing(self) -> list[str]:
        """Classes that one of the two parts lacks."""
        split, classes = self._kept.split, self._kept.classes
        notes = []
        for part, what in ((split.train, "training part"), (split.reference, "held-out part")):
            if classes is None or part.label is None:
                continue
            held = np.bincount(part.label, minlength=len(classes))
            gone = [name for name, count in zip(classes, held, strict=True) if not count]
            if gone:
                shown = ", ".join(f"'{name}'" for name in gone[:3])
                more = f" and {len(gone) - 3:,} more" if len(gone) > 3 else ""
                notes.append(f"the {what} has no picture of the class{'es' * (len(gone) > 1)} {shown}{more}")
        return notes


def _captions(
    told: Sequence[Sequence[str]] | None, kept: np.ndarray
) -> tuple[np.ndarray | None, tuple[tuple[str, ...], ...] | None]:
    """One caption of each kept picture, chosen at random but always the same, and all of them."""
    if told is None:
        return None, None
    draw = (FIXED / "caption").generator().random(len(told))
    every = tuple(tuple(told[i]) for i in kept.tolist())
    chosen = [each[int(u * len(each))] for each, u in zip(every, draw[kept].tolist(), strict=True)]
    return np.array(chosen, np.str_), every


def _unequal(first: str, size: tuple[int, int], other: str, found: tuple[int, int]) -> str:
    (h, w), (high, wide) = size, found
    return (
        f"pictures differ in size: {first} is {w} x {h} pixels, {other} is {wide} x {high}; set data.side to bring all to "
        "one size"
    )


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"
