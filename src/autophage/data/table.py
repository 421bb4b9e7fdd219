"""Tables with columns of numbers and of categories.

A record is the row as one vector: each numeric column as it is, each categorical column of L levels as a
block of L entries that are zero but for a one. Samples of a model are read back with `snap` (each block's
largest entry wins) and `decode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autophage.data.arguments import frozen, whole_number
from autophage.data.files import locate
from autophage.data.frames import known_columns, read_frame, table_suffix, typed
from autophage.data.source import FiniteSource, Picture, Records
from autophage.errors import DataError, SpecError

if TYPE_CHECKING:
    import polars as pl

LIKELY_MARKS = frozenset({"?", "-", ".", "NA", "N/A", "n/a", "null", "NULL", "None"})
"""Levels that usually mean a missing value; what they mean here only the user can say."""


class Column(NamedTuple):
    """Where a column lies in a record: its `span` of entries, whether it holds whole numbers, and its sorted
    `levels` (in the column's own type), None for numbers."""

    name: str
    span: slice
    whole: bool
    levels: pl.Series | None

    @property
    def entries(self) -> list[str]:
        """The names of its entries, `column` or `column=level`."""
        if self.levels is None:
            return [self.name]
        return [f"{self.name}={level}" for level in self.levels]


class _Encoded(NamedTuple):
    columns: tuple[Column, ...]
    target: Column | None
    x: np.ndarray
    label: np.ndarray | None
    dropped: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class TableSource(FiniteSource):
    """A csv, tsv (also .gz) or parquet file. Missing values are refused unless their rows are to be dropped.

    Raises `SpecError` when a setting names a column that is not there, `DataError` when the file is no use.
    """

    path: str
    """The file, as it is or below the folder that AUTOPHAGE_DATA names."""
    columns: tuple[str, ...] | None = None
    """The columns to model; all of them unless given."""
    target: str | None = None
    """A column of classes: it becomes the label of each record and is not modelled."""
    categorical: tuple[str, ...] = ()
    """Columns of numbers that are codes of categories."""
    missing: tuple[str, ...] = ()
    """Marks that mean a missing value, for example `?`; an empty cell and NaN always do."""
    drop_missing: bool = False
    """Leave out rows with a missing value instead of refusing them."""
    separator: str | None = None
    """What separates the cells of a text file; a comma, or a tab in .tsv, unless given."""
    most_levels: int = 200
    """The most levels a categorical column may have: with more it is an identifier, not a category."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("columns", "categorical", "missing"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise SpecError(
                    f"data.{name} is the text '{value}'; it must be a list, for example [{value}]"
                )
            object.__setattr__(self, name, frozen(value))
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise SpecError(f"data.columns names '{twice}' twice; name each column once")
        if self.columns is not None and not set(self.columns) - {self.target}:
            raise SpecError("data.columns leaves no column to model; name at least one besides data.target")
        if self.separator is not None and len(self.separator) != 1:
            raise SpecError(f"data.separator is {self.separator!r}; it must be a single character")
        whole_number(self.most_levels, "data.most_levels", least=2)
        object.__setattr__(self, "path", str(self.path))

    @property
    def kind_of_picture(self) -> Picture:
        return "table"

    @property
    def classes(self) -> tuple[str, ...] | None:
        target = self._encoded.target
        return None if target is None or target.levels is None else tuple(map(str, target.levels))

    @property
    def layout(self) -> tuple[Column, ...]:
        """The modelled columns and where they lie in a record."""
        return self._encoded.columns

    @property
    def entries(self) -> tuple[str, ...]:
        """The name of each entry of a record, `column` or `column=level`."""
        return tuple(entry for column in self.layout for entry in column.entries)

    @cached_property
    def constant_columns(self) -> tuple[str, ...]:
        """Entries that never change in the training part; a full covariance would be singular."""
        x = self.train().x
        return tuple(self.entries[j] for j in np.flatnonzero((x == x[0]).all(axis=0)))

    @property
    def dropped(self) -> int:
        """How many rows were left out for a missing value."""
        return self._encoded.dropped

    @property
    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.dropped:
            notes.append(
                f"{self.dropped:,} rows of {self._encoded.path.name} were left out for a missing value"
            )
        if constant := self.constant_columns:
            more = f" and {len(constant) - 1} more" if len(constant) > 1 else ""
            notes.append(f"'{constant[0]}'{more} never changes in the training part")
        for column in self.layout:
            if column.levels is not None and (marks := LIKELY_MARKS.intersection(map(str, column.levels))):
                notes.append(
                    f"column '{column.name}' keeps '{min(marks)}' as a category; if it marks a missing "
                    "value, name it in data.missing"
                )
        return tuple(notes)

    @property
    def location(self) -> np.ndarray:
        """(d,) the training mean of each entry."""
        return self._moments[0]

    @property
    def scale(self) -> np.ndarray:
        """(d,) the training standard deviation of each entry (ddof 0), one where it is zero."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        x = self.train().x
        deviation = x.std(axis=0)
        deviation[(x == x[0]).all(axis=0)] = 1.0
        return x.mean(axis=0), deviation

    def snap(self, x: np.ndarray) -> np.ndarray:
        """x (..., d) with each categorical block all zero but for a one at its largest entry."""
        x = np.array(x, dtype=np.float64)
        for column in self.layout:
            if column.levels is not None:
                block = x[..., column.span]
                x[..., column.span] = np.arange(block.shape[-1]) == block.argmax(axis=-1)[..., None]
        return x

    def decode(self, x: np.ndarray, label: np.ndarray | None = None) -> pl.DataFrame:
        """Records (n, d), and their labels if given, as rows: whole numbers rounded, levels as by `snap`.

        Raises `DataError` for records of another width or that are not finite.
        """
        import polars as pl

        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.entries):
            raise DataError(
                f"records of shape {x.shape} are no rows of this table; (n, {len(self.entries)}) is"
            )
        if not np.isfinite(x).all():
            raise DataError("records that are not finite cannot be read as rows of a table")
        found = [_decoded(column, x[:, column.span]) for column in self.layout]
        target = self._encoded.target
        if label is not None and target is not None and target.levels is not None:
            found.append(target.levels.gather(np.asarray(label, dtype=np.int64)).alias(target.name))
        return pl.DataFrame(found)

    def load(self) -> Records:
        return Records(self._encoded.x, self._encoded.label, str(self._encoded.path))

    def sameness(self, n: int, origin: str) -> str:
        names = [column.name for column in self.layout]
        which = (
            f"column '{names[0]}' never changes"
            if len(names) == 1
            else f"none of the columns {_listed(names)} changes"
        )
        return f"{which} over the {n:,} rows of {origin}; data without any variance cannot be learnt from"

    @cached_property
    def _encoded(self) -> _Encoded:
        path = locate(self.path)
        frame = read_frame(path, separator=self.separator)
        target = () if self.target is None else (self.target,)
        for names, key in (
            (self.columns or (), "data.columns"),
            (target, "data.target"),
            (self.categorical, "data.categorical"),
        ):
            known_columns(names, frame, key)
        modelled = [n for n in (self.columns or frame.columns) if n != self.target]
        if not modelled:
            raise SpecError(f"data.target is the only column of {path}; there is nothing left to model")
        frame = typed(
            frame.select(*modelled, *target),
            missing=self.missing,
            categories=self.categorical,
            inferred=table_suffix(path) != ".parquet",
        )
        frame, dropped = self._complete(frame, path)
        columns, blocks, start = [], [], 0
        for name in modelled:
            column, block = self._encode(frame[name], start)
            start = column.span.stop
            columns.append(column)
            blocks.append(block)
        label, labelled = None, None
        if self.target is not None:
            labelled, label = self._label(frame[self.target])
        return _Encoded(tuple(columns), labelled, np.concatenate(blocks, axis=1), label, dropped, path)

    def _complete(self, frame: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, int]:
        """The frame without missing values, and how many rows were left out for that."""
        if self.drop_missing:
            whole = frame.drop_nulls()
            if not whole.height:
                worst = max(frame.columns, key=lambda name: frame[name].null_count())
                raise DataError(
                    f"every row of {path} has a missing value, most often in column '{worst}'; "
                    "leave such columns out with data.columns"
                )
            return whole, frame.height - whole.height
        for column in frame:
            if missing := column.null_count():
                row = column.is_null().arg_true()[0] + 1
                raise DataError(
                    f"column '{column.name}' of {path} has no value in row {row} ({missing:,} of "
                    f"{frame.height:,} rows lack one); fill it in, leave the column out with "
                    "data.columns, or set data.drop_missing: true"
                )
        return frame, 0

    def _encode(self, values: pl.Series, start: int) -> tuple[Column, np.ndarray]:
        import polars as pl

        if values.dtype.is_numeric() and values.name not in self.categorical:
            numbers = values.cast(pl.Float64).to_numpy()
            return Column(values.name, slice(start, start + 1), values.dtype.is_integer(), None), numbers[
                :, None
            ]
        levels, codes = self._levels(values)
        block = np.zeros((len(codes), len(levels)))
        block[np.arange(len(codes)), codes] = 1.0
        return Column(values.name, slice(start, start + len(levels)), False, levels), block

    def _label(self, values: pl.Series) -> tuple[Column, np.ndarray]:
        if values.dtype.is_float() and values.name not in self.categorical:
            raise DataError(
                f"data.target '{values.name}' holds measured numbers such as {values[0]}, not classes; "
                "leave data.target out and model it as a column"
            )
        levels, codes = self._levels(values)
        return Column(values.name, slice(0, 0), False, levels), codes

    def _levels(self, values: pl.Series) -> tuple[pl.Series, np.ndarray]:
        """The sorted levels of a column, and which of them each row holds."""
        import polars as pl

        levels = values.unique().sort()
        if len(levels) > self.most_levels:
            raise DataError(
                f"column '{values.name}' has {len(levels):,} different values, more than data.most_levels "
                f"({self.most_levels}) allows for categories; leave it out with data.columns"
            )
        names = levels.cast(pl.String)
        return levels, values.cast(pl.String).cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)


def _decoded(column: Column, entries: np.ndarray) -> pl.Series:
    import polars as pl

    if column.levels is not None:
        return column.levels.gather(entries.argmax(axis=1)).alias(column.name)
    numbers = pl.Series(column.name, entries[:, 0])
    # Beyond +-2^53 float64 skips whole numbers, so nothing legal lies there.
    return numbers.round().clip(-(2**53), 2**53).cast(pl.Int64) if column.whole else numbers


def _listed(names: list[str], most: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
