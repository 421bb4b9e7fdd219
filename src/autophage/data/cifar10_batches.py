"""CIFAR-10's own files: five python pickles, or five binary files, of 10,000 pictures each.

A pickle is a program, and one from elsewhere may do anything when it is run. So these are read by an unpickler that
knows dictionaries, lists, numbers, text and arrays of bytes, and to which every other name is a refusal: nothing of
python or numpy is ever called by a file.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autophage.data.files import opened
from autophage.data.found import Block, Found, Labels
from autophage.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
INSIDE = ("", "cifar-10-batches-py", "cifar-10-batches-bin")
"""The sub-folders that the archives of the authors unpack to."""


class Batches(Found):
    """The training batches in a folder, python's or binary ones. The official test batch is left alone."""

    def __init__(self, origin: Path, files: Sequence[Path]) -> None:
        super().__init__(origin, files)
        if len(files) < len(BATCHES):
            self.notes.append(f"{len(files)} of CIFAR-10's five training batches are in {files[0].parent}")

    def blocks(self, remarks: Counter[str]) -> Iterator[Block]:
        first = 0
        for file, (x, _) in zip(self.files, self._read(), strict=True):
            yield Block(
                np.ascontiguousarray(x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), first, str(file)
            )
            first += len(x)

    def labels(self, label: str | None) -> Labels:
        return Labels(self._codes, CLASSES)

    @cached_property
    def _codes(self) -> np.ndarray:
        return np.concatenate([codes for _, codes in self._read()])

    def _read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (read_binary(f) if f.suffix == ".bin" else read_python(f) for f in self.files)


def find_batches(place: Path) -> Batches | None:
    """The batches in a folder or in what the authors' archive unpacks to, None where there are none."""
    for inside in INSIDE if place.is_dir() else ():
        for end in ("", ".bin"):
            files = [f for name in BATCHES if (f := place / inside / (name + end)).is_file()]
            if files:
                return Batches(place, files)
    return None


def read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 3072), red, green and blue planes, and labels (n,) of a binary batch.

    Raises `DataError` when it is cut or holds something else.
    """
    with opened(path) as stream:
        content = stream.read()
    if len(content) % (1 + PIXELS):
        raise DataError(
            f"{path} is cut off or no CIFAR-10 batch: {len(content):,} bytes are no multiple of {1 + PIXELS:,}, a label and "
            "32 x 32 x 3 pixels"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return rows[:, 1:], _known(rows[:, 0].astype(np.int64), path)


def read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """As `read_binary`, of a python batch. Raises `DataError` also when it asks for anything but plain data."""
    with opened(path) as stream:
        held = unpickled(stream, path)
    held = (
        {k.decode(errors="replace") if isinstance(k, bytes) else k: v for k, v in held.items()}
        if isinstance(held, dict)
        else {}
    )
    x, codes = held.get("data"), held.get("labels")
    x = x.array if isinstance(x, _Array) else None
    whole = isinstance(codes, list) and all(type(c) is int for c in codes)
    if x is None or x.ndim != 2 or x.shape[1] != PIXELS or not whole or len(codes or ()) != len(x):
        raise DataError(
            f"{path} is no CIFAR-10 batch: `data` (n, {PIXELS:,}) of bytes and a list `labels` of n whole numbers are expected"
        )
    return x, _known(np.array(codes, dtype=object), path)


def _known(codes: np.ndarray, path: Path) -> np.ndarray:
    wrong = [c for c in codes if not 0 <= c < len(CLASSES)]
    if wrong:
        raise DataError(f"{path} holds the label {wrong[0]}; those of CIFAR-10 are 0 to {len(CLASSES) - 1}")
    return codes.astype(np.int64)


def unpickled(stream: BinaryIO, path: Path) -> Any:
    """The plain data in a pickle. Raises `DataError` when it holds anything else."""
    reader = _Reader(stream, encoding="bytes")
    try:
        return reader.load()
    except _Refused as refused:
        raise DataError(
            f"{path} is not read: it asks for {refused}, which plain data have no use for; a pickle like that can run any "
            "program"
        ) from None
    except (OSError, DataError):
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{path} is cut off, damaged or no python batch of CIFAR-10") from error


class _Refused(Exception):
    """The name of something that plain data have no use for."""


class _Reader(pickle.Unpickler):
    """An unpickler that gives stand-ins of its own for the four names that arrays and bytes are written with."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, number: Any) -> Any:
        raise _Refused("an object outside the file")


class _Named:
    """A stand-in: it can be called, and nothing can be set on it."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Refused(f"the attribute {name}")


class _Array:
    """An array as a pickle makes it: empty first, then its state."""

    __slots__ = ("array",)
    array: np.ndarray | None

    def __init__(self) -> None:
        self.array = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Bytes) or not isinstance(content, bytes) or fortran:
            raise ValueError("only arrays of bytes in C order are known")
        self.array = np.frombuffer(content, np.uint8).reshape([int(n) for n in shape])


class _Bytes:
    """The type of such an array's numbers."""

    __slots__ = ()

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError("only arrays of bytes are known")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which bytes have not."""


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise ValueError("bytes are written as latin1")
    return text.encode("latin1")


_TYPE = _Named(lambda *_: None)
_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Named(lambda *_: _Array()),
    ("numpy._core.multiarray", "_reconstruct"): _Named(lambda *_: _Array()),
    ("numpy", "ndarray"): _TYPE,
    ("numpy", "dtype"): _Named(_Bytes),
    ("_codecs", "encode"): _Named(_encoded),
}
