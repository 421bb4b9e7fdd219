"""Finding and opening data files, every failure one sentence that names the file."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from autophage.errors import DataError

VARIABLE = "AUTOPHAGE_DATA"
"""The environment variable that names the folder of data sets."""

_PIECE = 1 << 20


def locate(path: str | None, *, inside: str = "") -> Path:
    """Where data lie: at `path`, as given or else below the data folder; without a path, at `inside` there.

    Raises `DataError` saying what to set when there is nothing.
    """
    folder = os.environ.get(VARIABLE)
    if path is None:
        if not folder:
            raise DataError(
                f"it is not known where {inside} lies: set data.path to its place, or the environment "
                f"variable {VARIABLE} to the folder that holds it"
            )
        found = Path(folder).expanduser() / inside
        if not found.exists():
            raise DataError(
                f"there is no {found}; set data.path, or {VARIABLE} to the folder that holds {inside}"
            )
        return found
    given = Path(path).expanduser()
    if given.exists():
        return given
    if folder and (below := Path(folder).expanduser() / given).exists():
        return below
    where = f" (nor below {VARIABLE}, {folder})" if folder and not given.is_absolute() else ""
    raise DataError(f"there is no file {given}{where}; give the path of an existing file")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where they are gzip whatever the name says.

    Raises `DataError` when it cannot be read, is empty, or its compressed stream is cut or damaged.
    """
    try:
        with open(path, "rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            if not start:
                raise DataError(f"{path} is empty")
            if start == b"\x1f\x8b":
                with gzip.open(raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut off or damaged: its gzip stream does not end as it should") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder; give the path of a file") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def at_most(stream: BinaryIO, count: int) -> bytes:
    """Up to `count` bytes, without trusting a header that promises more than memory holds."""
    pieces = []
    while count > 0 and (piece := stream.read(min(count, _PIECE))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
