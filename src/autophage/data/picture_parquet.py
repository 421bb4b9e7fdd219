"""Encoded pictures in parquet files, as dataset hubs keep them.

A picture is a column of bytes, or of a struct with an entry `bytes`; whole numbers that are labels have their names in
the schema's metadata.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from autophage.data.decoding import Damaged, decoded
from autophage.data.found import Block, Found, Labels, coded
from autophage.data.frames import known_columns
from autophage.data.picture_labels import NONE, USUAL
from autophage.errors import DataError

PICTURES = ("image", "img", "picture", "png", "jpg", "bytes")
"""The columns that hold pictures, the first of them that is there."""
ROWS = 2048
"""Rows that are read at a time."""


class Parquet(Found):
    """The pictures of one or more parquet files, one after the other."""

    @cached_property
    def column(self) -> str:
        """The column of pictures. Raises `DataError` when there is none."""
        name = picture_column(self.files[0])
        if name is None:
            raise DataError(
                f"{self.files[0]} has no column of encoded pictures; one called {' or '.join(PICTURES[:2])} with bytes is "
                "expected"
            )
        return name

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        first = 0
        for file in self.files:
            inside = 0
            for content in self._contents(file):
                name = f"row {inside:,} of {file}"
                try:
                    if content is None:
                        raise Damaged("it holds no bytes; pictures that lie outside the file are not read")
                    yield Block(decoded(content, remarks)[None], first, name)
                except Damaged as damage:
                    yield Block.lost(1, first, name, str(damage))
                first, inside = first + 1, inside + 1

    def labels(self, label: str | None) -> Labels | None:
        if label == NONE:
            return None
        import polars as pl

        column = label
        with said(self.files[0]):
            schema = pl.read_parquet_schema(self.files[0])
        if label is not None:
            known_columns([label], pl.DataFrame(schema=schema), "data.label")
        else:
            column = next((c for c in USUAL if c in schema), None)
        if column is None:
            return None
        parts = []
        for file in self.files:
            with said(file):
                parts.append(pl.read_parquet(file, columns=[column])[column])
        values = pl.concat(parts)
        if not (
            values.dtype.is_integer() or values.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
        ):
            raise DataError(f"column '{column}' of {self.files[0]} holds {values.dtype}, which is no class")
        plain = values.dtype.is_integer() and not values.null_count()
        if not plain:
            return coded(values.to_list())
        return coded(values.to_numpy(), names_of_classes(self.files[0], column))

    def _contents(self, file: Path) -> Iterator[bytes | None]:
        import polars as pl

        with said(file):
            frame = pl.scan_parquet(file).select(self.column)
            count = frame.select(pl.len()).collect().item()
        for low in range(0, count, ROWS):
            with said(file):
                part = frame.slice(low, ROWS).collect()[self.column]
            if isinstance(part.dtype, pl.Struct):
                part = part.struct.field("bytes")
            yield from part


def picture_column(file: Path) -> str | None:
    """The column of encoded pictures of a parquet file, None where there is none. Raises `DataError` for another file."""
    import polars as pl

    with said(file):
        schema = pl.read_parquet_schema(file)
    for name in PICTURES:
        dtype = schema.get(name)
        if dtype == pl.Binary:
            return name
        if isinstance(dtype, pl.Struct) and any(
            f.name == "bytes" and f.dtype == pl.Binary for f in dtype.fields
        ):
            return name
    return None


def names_of_classes(file: Path, column: str) -> dict[int, str] | None:
    """What the labels 0, 1, ... of a column are called, if the file's metadata say so."""
    import polars as pl

    try:
        about: Any = json.loads(pl.read_parquet_metadata(file)["huggingface"])
        names = about["info"]["features"][column]["names"]
        return dict(enumerate(map(str, names)))
    except (AttributeError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError):
        return None


@contextlib.contextmanager
def said(file: Path) -> Iterator[None]:
    """A file that is no parquet, or cut, as one sentence."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{file} is cut off, damaged or not a parquet file at all") from error
