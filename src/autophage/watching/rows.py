"""Logs of one row per line as numbers by name: JSON lines, the states and histories that trainers write, and tables.

Lists and text are left out, nested objects flattened with slashes. What cannot be read within a log that can is counted,
because a log that is being written, or was written by a process that died, ends in half a line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autophage.errors import DataError

Row = dict[str, float]


class Rows(NamedTuple):
    """The rows of a log in their order, and how many lines before the last could not be read."""

    rows: list[Row]
    unread: int = 0


def json_lines(path: Path) -> Rows:
    """One JSON object per line. Raises `DataError` where no line holds one."""
    lines = [line for line in text_of(path).split("\n") if line.strip()]
    rows, unread = [], 0
    for n, line in enumerate(lines):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            unread += n + 1 < len(lines)
            continue
        if isinstance(found, Mapping):
            rows.append(_flat(found))
        else:
            unread += 1
    if lines and not rows:
        raise DataError(f"{path} is no log of JSON lines: none of its {len(lines)} lines holds an object")
    return Rows(rows, unread)


def json_document(path: Path) -> Rows:
    """`trainer_state.json` of transformers, a list of objects, or columns by name (the history of keras). Raises
    `DataError` for anything else."""
    try:
        found = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is no complete JSON document; a log of one object per line is called .jsonl"
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("log_history"), list):
        found = found["log_history"]
    if isinstance(found, Mapping):
        columns = {k: v for k, v in found.items() if isinstance(v, list)}
        longest = max(map(len, columns.values()), default=0)
        found = [{k: v[i] for k, v in columns.items() if i < len(v)} for i in range(longest)]
    if not isinstance(found, list) or not any(isinstance(row, Mapping) for row in found):
        raise DataError(f"{path} holds no log: neither a log_history, nor a list of objects, nor columns")
    return Rows([_flat(row) for row in found if isinstance(row, Mapping)])


def table(path: Path) -> Rows:
    """A table with a header: commas, semicolons or tabs. Rows that repeat the header, as appended logs do, are left out.
    Raises `DataError` where there is no header."""
    lines = [line for line in text_of(path).split("\n") if line.strip()]
    if not lines:
        return Rows([])
    delimiter = max(",;\t", key=lines[0].count)
    header = [name.strip() for name in next(csv.reader(lines[:1], delimiter=delimiter))]
    if len(header) < 2 or all(_number(name) is not None for name in header if name):
        raise DataError(f"{path} is no table with a header: its first line names no columns")
    rows, unread = [], 0
    for n, cells in enumerate(csv.reader(lines[1:], delimiter=delimiter)):
        if [c.strip() for c in cells] == header:
            continue
        if len(cells) != len(header):
            unread += n + 2 < len(lines)
            continue
        values = ((name, _number(cell)) for name, cell in zip(header, cells, strict=True))
        rows.append({name: value for name, value in values if name and value is not None})
    return Rows(rows, unread)


def text_of(path: Path) -> str:
    """The file as text. Raises `DataError` where it cannot be read, or is none."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text: it cannot be read as a log") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _flat(found: Mapping[str, Any], before: str = "") -> Row:
    row: Row = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            row |= _flat(value, f"{before}{name}/")
        elif (number := _number(value)) is not None:
            row[f"{before}{name}"] = number
    return row


def _number(value: Any) -> float | None:
    """A number, also one that was written as text; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
