"""Labels of pictures from a table that lies beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from autophage.data.files import opened
from autophage.data.found import Labels, coded, fitting
from autophage.data.frames import known_columns, read_frame, table_suffix, typed
from autophage.errors import DataError, SpecError

if TYPE_CHECKING:
    import polars as pl

USUAL = ("label", "labels", "fine_label", "class", "class_name", "target", "category")
"""The columns that hold the label where none is named, the first of them that is there."""
FILES = ("file", "filename", "file_name", "image", "img", "name", "path", "image_id", "id")
"""The columns that say which picture a row is about."""
NAMES = ("class", "class_name", "label_name")
"""The columns that give whole numbers their names."""
NONE = "none"
"""The value of `data.label` that means: no labels."""


def table_beside(folder: Path, stem: str, label: str | None) -> Path | None:
    """The table of labels in a folder: `labels.csv` or one whose name ends in `-labels.csv` (also .gz, .tsv), that of
    the file called `stem` or of training data first; or else the one table that has the column `label`.

    Raises `DataError` when several would do.
    """
    tables = sorted(p for p in folder.iterdir() if p.is_file() and table_suffix(p) in (".csv", ".tsv"))
    named = [t for t in tables if _base(t) == "labels" or _base(t).endswith(("-labels", "_labels"))]
    for chosen in (
        [t for t in named if _base(t)[: -len("-labels")] == stem],
        [t for t in named if _base(t).startswith("train")],
        named,
        [t for t in tables if label is not None and label in _header(t)],
    ):
        if len(chosen) > 1:
            raise DataError(
                f"{chosen[0]} and {chosen[1].name} both look like the labels; keep one of them there"
            )
        if chosen:
            return chosen[0]
    return None


def read_labels(
    table: Path, names: Sequence[str] | None, count: int, label: str | None, pictures: Path
) -> Labels | None:
    """The labels of `count` pictures, matched by their `names` (None where they have none) or by the row's number.

    None when no column is a usual one and none is named. Raises `SpecError` for a column that is not there, `DataError`
    when a picture has no row or rows and pictures are not as many.
    """
    frame = read_frame(table)
    if "archive" in frame.columns:
        mine = frame.filter(frame["archive"] == pictures.name)
        frame = mine if mine.height else frame
    column = label or next((c for c in USUAL if c in frame.columns), None)
    if column is None:
        unused = Labels(np.empty(0, np.int64), (), (_unused(table, frame.columns),))
        return unused
    known_columns([column], frame, "data.label")
    rows, notes = _rows(frame, names, count, table, pictures)
    values = typed(frame.select(column), missing=(), categories=(), inferred=True)[column]
    if values.dtype.is_float():
        raise DataError(
            f"column '{column}' of {table} holds measured numbers such as {values[0]}, not classes; set data.label to "
            f"another column, or to {NONE}"
        )
    missing = values.null_count()
    if missing:
        notes.append(f"{missing:,} rows of {table.name} have no '{column}': they are the class '{NONE}'")
    plain = not missing and values.dtype.is_integer()
    found = coded(
        values.to_numpy() if plain else values.to_list(), _names(frame, column, values) if plain else None
    )
    return Labels(found.codes[rows], found.classes, tuple(notes))


def _unused(table: Path, columns: Sequence[str]) -> str:
    known = ", ".join(c for c in columns if c not in FILES and c not in ("index", "archive"))
    return f"no labels are taken from {table.name}: set data.label to one of its columns ({known})"


def _rows(
    frame: pl.DataFrame, names: Sequence[str] | None, count: int, table: Path, pictures: Path
) -> tuple[np.ndarray, list[str]]:
    """Which row speaks of each picture, and what is to be said about it."""
    told = next((c for c in FILES if c in frame.columns), None) if names is not None else None
    if told is not None and names is not None:
        said = {name: i for i, name in enumerate(frame[told].to_list())}
        if len(said) < frame.height:
            raise DataError(f"{table} names a picture twice in column '{told}'; it may have one label only")
        found = [_row_of(said, name) for name in names]
        lost = [name for name, row in zip(names, found, strict=True) if row is None]
        if lost:
            more = f", nor for {len(lost) - 1:,} more" if len(lost) > 1 else ""
            raise DataError(
                f"{table} has no row for {lost[0]} of {pictures}{more}; column '{told}' must name every picture"
            )
        rows = np.array(found, np.int64)
        used = len(set(rows.tolist()))
        if used < len(rows):
            raise DataError(
                f"column '{told}' of {table} fits several pictures of {pictures} at once; name them with their folders"
            )
        idle = frame.height - used
        return rows, [f"{idle:,} rows of {table.name} name a picture that is not there"] if idle else []
    fitting(Labels(np.empty(frame.height), ()), count, table, pictures)
    if "index" not in frame.columns:
        return np.arange(count), []
    index = typed(frame.select("index"), missing=(), categories=(), inferred=True)["index"].to_numpy()
    if not np.array_equal(np.sort(index), np.arange(count)):
        raise DataError(f"column 'index' of {table} must number the pictures 0 to {count - 1:,}, each once")
    return np.argsort(index), []


def _row_of(said: dict[str, int], name: str) -> int | None:
    """The row of a picture by its path, the more of the path the better, or by its name without an ending."""
    if name in said:
        return said[name]
    parts = PurePosixPath(name).parts
    known = ["/".join(parts[i:]) for i in range(len(parts))] + [PurePosixPath(name).stem]
    return next((said[n] for n in known if n in said), None)


def _names(frame: pl.DataFrame, column: str, values: pl.Series) -> dict[int, str] | None:
    """Names of whole numbers from a column beside theirs, if each number has one name."""
    other = next((c for c in NAMES if c in frame.columns and c != column), None)
    if other is None:
        return None
    pairs = set(zip(values.to_list(), frame[other].to_list(), strict=True))
    names = dict(pairs)
    fits = len(pairs) == len(names) == len(set(names.values())) and None not in names.values()
    return names if fits else None


def _base(table: Path) -> str:
    return table.name.split(".")[0].lower()


def _header(table: Path) -> list[str]:
    with opened(table) as stream:
        first = stream.readline(1 << 16).decode("utf-8-sig", errors="replace")
    return [name.strip().strip('"') for name in first.split("\t" if table_suffix(table) == ".tsv" else ",")]


def unnamed(label: str, what: Path) -> SpecError:
    """The refusal of a label's name where there is nothing to look it up in."""
    return SpecError(
        f"data.label is '{label}' but no table beside {what} has such a column; put a labels.csv there, or "
        "leave data.label out"
    )
