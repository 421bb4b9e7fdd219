"""Tables from files, as typed polars frames in which missing cells are null.

Comma- and tab-separated files are read as text first and typed here, because a column of numbers with one
misspelt cell is a mistake to name, not a column of categories.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autophage.data.files import opened
from autophage.errors import DataError, SpecError
from autophage.registry import nearest

if TYPE_CHECKING:
    import polars as pl

NOT_A_NUMBER = "nan"
"""What a cell holds, in any case of letters, when another program wrote a missing number."""


def read_frame(path: Path, *, separator: str | None = None) -> pl.DataFrame:
    """The rows of a csv, tsv (plain or gzip) or parquet file; only parquet knows types, the others give text.

    Raises `DataError` when it is empty, cut, ragged, not text, or has no usable header.
    """
    suffix = table_suffix(path)
    if suffix is None:
        raise DataError(
            f"{path} is no table that is known; a table ends in .csv, .tsv (also .gz) or .parquet"
        )
    with opened(path) as stream:
        content = stream.read()
    frame = (
        _parquet(content, path)
        if suffix == ".parquet"
        else _separated(content, path, separator or {".csv": ",", ".tsv": "\t"}[suffix])
    )
    if not frame.height:
        raise DataError(f"{path} holds no rows" + (" below its column names" if frame.width else ""))
    return frame


def table_suffix(path: Path) -> str | None:
    """`.csv`, `.tsv` or `.parquet` if the name says that the file is such a table (also `.gz`), else None."""
    name = path.name.lower()
    for suffix in (".csv", ".tsv", ".parquet"):
        if name.endswith(suffix) or (suffix != ".parquet" and name.endswith(suffix + ".gz")):
            return suffix
    return None


def _parquet(content: bytes, path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{path} is cut off, damaged or not a parquet file at all") from error


def _separated(content: bytes, path: Path, separator: str) -> pl.DataFrame:
    import polars as pl

    content = content.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if not content.strip():
        raise DataError(f"{path} is empty")
    if b"\0" in content:
        raise DataError(f"{path} is not text in UTF-8: it holds zero bytes")
    try:
        names = next(csv.reader(io.StringIO(content.split(b"\n", 1)[0].decode()), delimiter=separator), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the first line of {path} is not a line of column names in UTF-8") from error
    _check_header([name.strip() for name in names], path, separator)
    try:
        frame = pl.read_csv(io.BytesIO(content), separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _find_fault(content, path, separator)
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    if frame.height and frame[frame.columns[-1]].null_count():
        _find_fault(content, path, separator)  # a line that ends too early is filled up with missing cells
    return frame.rename(str.strip)


def _check_header(names: Sequence[str], path: Path, separator: str) -> None:
    for i, name in enumerate(names):
        if not name:
            raise DataError(f"column {i + 1} of {path} has no name; the first line must name every column")
        if name in names[:i]:
            raise DataError(f"{path} names the column '{name}' twice; every column needs its own name")
    if all(map(_is_number, names)):
        raise DataError(
            f"{path} starts with numbers ({', '.join(names[:3])}); the first line must name the columns"
        )
    other = next((s for s in (";", "\t", "|", ",") if s != separator and s in names[0]), None)
    if len(names) == 1 and other:
        raise DataError(f"{path} separates its columns by {other!r}; set data.separator to that")


def _find_fault(content: bytes, path: Path, separator: str) -> None:
    """Raises `DataError` naming the first line that is not UTF-8, not well formed, or too long or short."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} of {path} is not UTF-8 text; save the table as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    width = 0
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                raise DataError(
                    f"line {reader.line_num} of {path} has {len(row)} cells where the first line names "
                    f"{width} columns"
                )
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {path} is not well formed: {error}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def known_columns(names: Sequence[str], frame: pl.DataFrame, key: str) -> None:
    """Raises `SpecError` naming the nearest column when one of `names` is not in the frame."""
    for name in names:
        if name not in frame.columns:
            raise SpecError(
                f"{key} names '{name}', which is no column of the table{nearest(name, frame.columns)}"
            )


def typed(
    frame: pl.DataFrame, *, missing: Collection[str], categories: Collection[str], inferred: bool
) -> pl.DataFrame:
    """The frame with whole numbers, numbers, booleans and text only, and null for every missing cell.

    `missing` are marks for missing cells beyond the empty one and NaN; `categories` are columns to keep as
    they are written; if `inferred`, text columns become numbers where they hold nothing else. Raises
    `DataError` naming column and row for a cell that is infinite, or no number where most of the column is.
    """
    import polars as pl

    columns = []
    for column in frame:
        dtype = column.dtype
        if dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        if column.dtype == pl.String:
            column = _without_marks(column, missing)
            if inferred and column.name not in categories:
                column = _numbers(column)
        elif dtype.is_decimal():
            column = column.cast(pl.Float64)
        elif not (dtype.is_numeric() or dtype == pl.Boolean or dtype == pl.Null):
            raise DataError(
                f"column '{column.name}' holds {dtype}, which is neither numbers nor text; "
                "leave it out with data.columns"
            )
        if column.dtype.is_float():
            column = column.cast(pl.Float64).fill_nan(None)
            infinite = column.is_infinite().fill_null(False)
            if infinite.any():
                raise DataError(f"column '{column.name}' is infinite in row {infinite.arg_true()[0] + 1}")
        columns.append(column)
    return pl.DataFrame(columns)


def _without_marks(column: pl.Series, missing: Collection[str]) -> pl.Series:
    import polars as pl

    column = column.str.strip_chars()
    gone = column.is_in(["", *missing]) | (column.str.to_lowercase() == NOT_A_NUMBER)
    return pl.select(pl.when(~gone).then(column).otherwise(None).alias(column.name)).to_series()


def _numbers(column: pl.Series) -> pl.Series:
    import polars as pl

    present = column.len() - column.null_count()
    if not present:
        return column
    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count() == column.null_count():
        return whole
    number = column.cast(pl.Float64, strict=False)
    failed = number.null_count() - column.null_count()
    if not failed:
        return number
    if 2 * failed >= present:
        return column
    row = (number.is_null() & column.is_not_null()).arg_true()[0]
    raise DataError(
        f"column '{column.name}' holds '{column[row]}' in row {row + 1} where most rows hold numbers; "
        "mend it, or add that mark to data.missing, or the column to data.categorical"
    )
