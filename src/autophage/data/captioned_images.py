"""Pictures with captions: a folder or an archive beside a file of captions, COCO, Flickr, webdataset shards or parquet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autophage.captions.budget import shortened
from autophage.captions.vocabulary import words_of
from autophage.data.arguments import whole_number
from autophage.data.caption_files import ENDINGS, USUAL, Said, beside, one_line, read_captions
from autophage.data.captioned_pictures import (
    Captioned,
    NamedFolder,
    NamedZip,
    Shards,
    Told,
    matched,
    parquet,
    told_of,
)
from autophage.data.files import locate
from autophage.data.found import Found, Labels
from autophage.data.picture_files import archive, listed, members
from autophage.data.pictures import PictureSource
from autophage.data.source import Records
from autophage.errors import DataError

TARS = (".tar", ".tar.gz", ".tgz")
DEEPER = ("", "annotations")
"""Folders below the data in which files of captions are looked for."""


@dataclass(frozen=True, kw_only=True)
class CaptionedImagesSource(PictureSource):
    """Pictures of one size with values 0..255 (uint8), each with a caption.

    `path` is a folder or a zip archive of image files with a file of captions beside or in it (columns file and caption,
    COCO's JSON, lists as of Flickr8k and Flickr30k, or one .txt beside each picture), webdataset shards (.tar), or parquet
    with encoded pictures. Of several captions of a picture one is chosen, the same in every run; `references` has all of
    those of the held-out pictures. Raises `DataError` when there are no pairs.
    """

    path: str
    """The folder or file, as it is or below the folder that AUTOPHAGE_DATA names."""
    captions: str | None = None
    """The file of captions, as it is or below `path`; one called captions or metadata is looked for unless given."""
    column: str | None = None
    """The column of captions; `caption`, `text` and other usual names unless given."""
    budget: int | None = None
    """Cut every caption after that many words; not at all unless given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "path", str(self.path))
        if self.captions is not None:
            object.__setattr__(self, "captions", str(self.captions))
        if self.budget is not None:
            whole_number(self.budget, "data.budget", least=1)

    @property
    def choices(self) -> dict[str, Any]:
        return {**super().choices, "captions": self.captions, "column": self.column, "budget": self.budget}

    def find(self) -> Captioned:
        place = locate(self.path)
        if place.is_dir():
            return self._in_folder(place)
        name = place.name.lower()
        if name.endswith(".zip"):
            return self._zipped(place)
        if name.endswith(TARS):
            return _shards(place, [place])
        if name.endswith(".parquet"):
            return parquet(place, [place], self.column)
        raise DataError(
            f"it is not known how {place} holds pictures with captions; expected are a folder, .zip, .tar or .parquet"
        )

    def labelled(self, found: Found) -> Labels | None:
        return None

    def described(self, found: Found) -> Told | None:
        assert isinstance(found, Captioned)
        if self.budget is None:
            return found.captions
        return tuple(tuple(dict.fromkeys(shortened(c, self.budget).tolist())) for c in found.captions)

    def usable(self, found: Records) -> Records:
        found = super().usable(found)
        assert found.caption is not None
        if len(np.unique(found.caption)) < 2:
            raise DataError(
                f"all {len(found.x):,} captions of {found.origin} are '{found.caption[0]}'; two different ones or more are "
                "needed"
            )
        return found

    @cached_property
    def notes(self) -> tuple[str, ...]:
        return self._kept.notes

    def _in_folder(self, place: Path) -> Captioned:
        files = sorted(p for p in place.rglob("*") if p.is_file() and not p.name.startswith("."))
        if names := listed(place):
            return self._of_files(place, names)
        for endings in (TARS, (".parquet",), (".zip",)):
            packed = [p for p in files if p.name.lower().endswith(endings)]
            packed = [p for p in packed if p.name.startswith("train")] or packed
            if not packed:
                continue
            if endings == TARS:
                return _shards(place, packed)
            if endings == (".parquet",):
                return parquet(place, packed, self.column)
            if len(packed) > 1:
                raise DataError(
                    f"{place} holds {packed[0].name} and {packed[1].name}; set data.path to one of them"
                )
            return self._zipped(packed[0])
        raise DataError(
            f"{place} holds no pictures; expected are image files, a .zip of them, .tar shards or .parquet files"
        )

    def _of_files(self, place: Path, names: Sequence[str]) -> Captioned:
        table = self._table(place, place.name)
        if table is None:
            told = _sidecars(place, names)
            found = matched(names, told, "the .txt files", place)
            inner = NamedFolder(place, found.names)
            inner.files += tuple((place / name).with_suffix(".txt") for name in found.names)
            return Captioned(inner, found.captions, found.notes)
        found = matched(names, read_captions(table, self.column), table, place)
        return Captioned(NamedFolder(place, found.names), found.captions, found.notes, table)

    def _zipped(self, place: Path) -> Captioned:
        names = members(place)
        if not names:
            raise DataError(f"{place} holds no image files")
        inside = self._inside(place)
        if inside is not None:
            found = matched(names, inside, place.name, place)
            return Captioned(NamedZip(place, found.names), found.captions, found.notes)
        table = self._table(place.parent, place.name.split(".")[0])
        if table is None:
            raise _without_captions(place)
        found = matched(names, read_captions(table, self.column), table, place)
        return Captioned(NamedZip(place, found.names), found.captions, found.notes, table)

    def _inside(self, place: Path) -> list[Said] | None:
        """The captions that lie in the archive itself, if there are any and no other file is named."""
        with archive(place) as opened:
            names = [n for n in opened.namelist() if not n.startswith("__MACOSX") and not n.endswith("/")]
            named = [n for n in names if n == self.captions] if self.captions else beside(names, "")
            if not named or (self.captions is None and len(named) > 1):
                return None
            with tempfile.TemporaryDirectory() as folder:
                held = Path(folder) / Path(named[0]).name
                held.write_bytes(opened.read(named[0]))
                try:
                    return read_captions(held, self.column)
                except DataError as error:
                    raise DataError(str(error).replace(str(held), f"{named[0]} of {place}")) from error

    def _table(self, folder: Path, stem: str) -> Path | None:
        """The file of captions of a folder, None where nothing looks like one. Raises `DataError` when several do."""
        if self.captions is not None:
            below = folder / self.captions
            return below if below.is_file() else locate(self.captions)
        for part in DEEPER:
            inner = folder / part
            if not inner.is_dir():
                continue
            found = beside(sorted(p.name for p in inner.iterdir() if p.is_file()), stem.lower())
            if len(found) > 1:
                raise DataError(
                    f"{inner / found[0]} and {found[1]} both look like captions; set data.captions to one of them"
                )
            if found:
                return inner / found[0]
        return None


def _shards(origin: Path, files: Sequence[Path]) -> Captioned:
    inner = Shards(origin, files)
    told, notes = told_of(inner.captions, origin)
    return Captioned(inner, told, notes)


def _sidecars(place: Path, names: Sequence[str]) -> list[Said]:
    """The captions in files that are called as the pictures are, but end in .txt. Raises `DataError` when there are none."""
    told = []
    for name in names:
        file = (place / name).with_suffix(".txt")
        if file.is_file():
            try:
                told.append(Said(name, one_line(file.read_text(encoding="utf-8-sig"))))
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{file} cannot be read as UTF-8 text") from error
    if not any(words_of(caption) for _, caption in told):
        raise _without_captions(place)
    return told


def _without_captions(place: Path) -> DataError:
    return DataError(
        f"{place} has pictures but no file of captions; one called {USUAL[0]} or {USUAL[2]} ({', '.join(ENDINGS)}) with a "
        "column file and a column caption is expected beside them, or data.captions names it"
    )
