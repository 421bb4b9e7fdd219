"""Pictures that were found together with their captions, whatever holds both."""

from __future__ import annotations

import contextlib
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autophage.captions.vocabulary import words_of
from autophage.data.caption_files import CAPTIONS, Said, caption_column, one_line
from autophage.data.decoding import Damaged, decoded
from autophage.data.found import Block, Found, Labels
from autophage.data.frames import known_columns
from autophage.data.picture_files import Folder, Zip, is_image
from autophage.data.picture_parquet import Parquet, said
from autophage.errors import DataError

Told = tuple[tuple[str, ...], ...]
"""All captions of every picture."""


class Captioned(Found):
    """Pictures of `inner` that have captions; the others are passed over.

    `captions` go by the numbers of the inner pictures, with none for those that have none.
    """

    def __init__(
        self, inner: Found, captions: Told, notes: Sequence[str] = (), table: Path | None = None
    ) -> None:
        super().__init__(inner.origin, (*inner.files, *([table] if table is not None else [])))
        self.inner, self.captions = inner, captions
        self.notes = [*inner.notes, *notes]

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        return (block for block in self.inner.blocks(remarks) if self.captions[block.first])

    def labels(self, label: str | None) -> Labels | None:
        return None


class NamedFolder(Folder):
    """Given image files of a folder, in the order given."""

    def __init__(self, origin: Path, names: Sequence[str]) -> None:
        Found.__init__(self, origin, ())
        self.table, self.tile, self.names, self.root = None, "none", list(names), ""
        self.files = tuple(self._read_from())


class NamedZip(Zip):
    """Given members of a zip archive, in the order given."""

    def __init__(self, origin: Path, names: Sequence[str]) -> None:
        Found.__init__(self, origin, ())
        self.table, self.tile, self.names, self.root = None, "none", list(names), ""
        self.files = tuple(self._read_from())


class Matched(NamedTuple):
    """The pictures that have captions, in their order, and these."""

    names: list[str]
    captions: Told
    notes: list[str]


def matched(names: Sequence[str], told: Sequence[Said], table: Path | str, origin: Path) -> Matched:
    """Pictures and captions brought together by the files' names: by the whole path, or by as much of it as is needed, with
    or without its ending.

    Captions without a word are left out, as are pictures without a caption and captions without a picture; the notes count
    them. Raises `DataError` when nothing is left, or a name fits several pictures.
    """
    exact = {name: i for i, name in enumerate(names)}
    bases: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        path = PurePosixPath(name)
        for base in {path.name, path.stem}:
            bases.setdefault(base, []).append(i)
    found: dict[int, dict[str, None]] = {}
    absent: list[str] = []
    for file, captions in _by_file(told).items():
        whole = exact.get(file.removeprefix("./"))
        fits = [] if whole is None else [whole]
        if not fits:
            fits = bases.get(PurePosixPath(file).name, [])
            if len(fits) > 1:
                fits = [k for k in fits if f"/{names[k]}".endswith(f"/{file}")]
                if len(fits) != 1:
                    raise DataError(
                        f"'{file}' of {table} fits several pictures of {origin}; name them with their folders"
                    )
            if not fits:
                absent.append(file)
                continue
        found.setdefault(fits[0], {}).update(dict.fromkeys(captions))
    empty = sum(not words_of(caption) for _, caption in told)
    notes = (
        [_counted(empty, "caption without a word was", "captions without a word were") + " left out"]
        if empty
        else []
    )
    if absent:
        notes.append(
            _counted(len(absent), "picture", "pictures")
            + f" that {_name(table)} has captions for {'is' if len(absent) == 1 else 'are'} not there, first {absent[0]}"
        )
    chosen = {i: tuple(c for c in found[i] if words_of(c)) for i in sorted(found)}
    chosen = {i: captions for i, captions in chosen.items() if captions}
    if not chosen:
        raise DataError(
            f"no caption of {table} fits a picture of {origin}: it names files such as '{told[0].file}', and the pictures "
            f"are such as '{names[0]}'"
        )
    if len(chosen) < len(names):
        lost = next(names[i] for i in range(len(names)) if i not in chosen)
        notes.append(
            _counted(len(names) - len(chosen), "picture", "pictures")
            + f" without a caption left out, first {lost}"
        )
    return Matched([names[i] for i in chosen], tuple(chosen.values()), notes)


def told_of(captions: Sequence[Sequence[str]], origin: Path) -> tuple[Told, list[str]]:
    """Captions by picture, those without a word left out, and what is to be said. Raises `DataError` when none is left."""
    kept = tuple(tuple(dict.fromkeys(c for c in each if words_of(c))) for each in captions)
    lost = sum(not each for each in kept)
    if lost == len(kept):
        raise DataError(f"none of the {len(kept):,} pictures of {origin} has a caption with a word in it")
    notes = (
        [_counted(lost, "picture", "pictures") + f" of {origin.name} without a caption left out"]
        if lost
        else []
    )
    return kept, notes


def parquet(origin: Path, files: Sequence[Path], column: str | None) -> Captioned:
    """The pictures of parquet files with the captions of a column: texts, or lists of them."""
    import polars as pl

    inner = Parquet(origin, files)
    _ = inner.column  # refuses tables without pictures
    with said(files[0]):
        schema = pl.read_parquet_schema(files[0])
    if column is not None:
        known_columns([column], pl.DataFrame(schema=schema), "data.column")
    name = column or caption_column(schema)
    if name is None:
        raise DataError(
            f"{files[0]} has no column of captions ({', '.join(CAPTIONS[:3])}, ...); set data.column to one of its columns: "
            f"{', '.join(schema)}"
        )
    captions: list[tuple[str, ...]] = []
    for file in files:
        with said(file):
            values = pl.read_parquet(file, columns=[name])[name]
        if not (values.dtype == pl.String or values.dtype == pl.List(pl.String)):
            raise DataError(f"column '{name}' of {file} holds {values.dtype}, which are no captions")
        for value in values.to_list():
            each = value if isinstance(value, list) else [value]
            captions.append(tuple(map(one_line, each)))
    told, notes = told_of(captions, origin)
    return Captioned(inner, told, notes)


class Shards(Found):
    """Pictures in tar archives as webdataset has them: members KEY.jpg and KEY.txt or KEY.json, one after the other."""

    def __init__(self, origin: Path, files: Sequence[Path]) -> None:
        super().__init__(origin, files)
        self.names: list[list[str]] = []
        self.captions: list[tuple[str, ...]] = []
        for file in self.files:
            self.names.append(self._listed(file))
        if not any(self.names):
            raise DataError(f"{origin} holds no image files")

    def _listed(self, file: Path) -> list[str]:
        pictures: dict[str, str] = {}
        captions: dict[str, list[str]] = {}
        with _tar(file) as archive:
            for member in archive:
                if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                    continue
                path = PurePosixPath(member.name)
                stem, _, ending = path.name.partition(".")
                key = str(path.with_name(stem))
                if is_image(member.name):
                    pictures.setdefault(key, member.name)
                elif ending.lower() in ("txt", "caption", "cap", "json"):
                    captions.setdefault(key, []).extend(self._captions(archive, member, file))
        self.captions += [tuple(captions.get(key, ())) for key in pictures]
        return list(pictures.values())

    def _captions(self, archive: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> list[str]:
        stream = archive.extractfile(member)
        content = b"" if stream is None else stream.read()
        try:
            if not member.name.lower().endswith(".json"):
                return [one_line(content.decode())]
            about = json.loads(content)
        except ValueError as error:
            raise DataError(f"{member.name} of {file} is neither UTF-8 text nor JSON") from error
        name = caption_column(about) if isinstance(about, dict) else None
        told = about[name] if name is not None else []
        return [one_line(each) for each in (told if isinstance(told, list) else [told])]

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        first = 0
        for file, names in zip(self.files, self.names, strict=True):
            numbers = {name: first + i for i, name in enumerate(names)}
            with _tar(file) as archive:
                for member in archive:
                    number = numbers.pop(member.name, None)
                    stream = None if number is None else archive.extractfile(member)
                    if number is None or stream is None:
                        continue
                    name = f"{member.name} of {file}"
                    try:
                        yield Block(decoded(stream.read(), remarks)[None], number, name)
                    except Damaged as damage:
                        yield Block.lost(1, number, name, str(damage))
            first += len(names)

    def labels(self, label: str | None) -> Labels | None:
        return None


@contextlib.contextmanager
def _tar(file: Path) -> Iterator[tarfile.TarFile]:
    """An archive, which is never unpacked to disk. Raises `DataError` when it is none, or cut off."""
    try:
        with tarfile.open(file) as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{file} is cut off, damaged or not a tar archive at all") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error


def _by_file(told: Sequence[Said]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file, caption in told:
        found.setdefault(file, []).append(caption)
    return found


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _name(table: Path | str) -> str:
    return table.name if isinstance(table, Path) else table
