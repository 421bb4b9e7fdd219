"""Scalars in the event files of tensorboard, read without it.

A file is a row of records (TFRecord), all numbers little-endian:

    uint64 length | uint32 masked crc of those 8 bytes | length bytes | uint32 masked crc of the bytes

with crc the CRC-32C and masked(crc) = ((crc >> 15) | (crc << 17)) + 0xa282ead8. Each record is an `Event` in protobuf's
wire format: wall_time = 1 (double), step = 2, summary = 5; a summary holds values = 1, each with tag = 1 and either
simple_value = 2 (float) or tensor = 8, which newer writers use for scalars too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autophage.errors import DataError

CHECKED = 1 << 16
"""Records up to this many bytes have their checksum tested; scalars are far below, pictures and graphs above."""

_KINDS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""The number types of a tensor, by protobuf's number for them."""
_PLACES = {5: "<f4", 6: "<f8", 7: "", 10: ""}
"""The fields of a tensor that hold its values; those without a type are varints."""


class Scalar(NamedTuple):
    """One logged number."""

    tag: str
    step: int
    value: float


def _table() -> list[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """The checksum that stands in the file.

    >>> hex(masked_crc(b"123456789"))  # the CRC-32C of these digits is 0xe3069283
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def scalars(path: Path) -> tuple[list[Scalar], int]:
    """The scalars of an event file in the order of the file, and how many records were damaged.

    A last record that is not complete yet is still being written and is left out. Raises `DataError` for a file that
    is no event file.
    """
    found: list[Scalar] = []
    damaged = 0
    for record in _records(path):
        try:
            found += [] if record is None else list(_of_event(record))
            damaged += record is None
        except (ValueError, IndexError, struct.error):
            damaged += 1
    return found, damaged


def _records(path: Path) -> Iterator[bytes | None]:
    """The records one by one; None for one that is damaged."""
    with open(path, "rb") as file:
        first = True
        while len(head := file.read(12)) == 12:
            length, crc = struct.unpack("<QI", head)
            if crc != masked_crc(head[:8]):
                if first:
                    raise DataError(f"{path} is no event file of tensorboard: its first record has no length")
                yield None  # where the next record begins is no longer known
                return
            first = False
            body = file.read(length + 4) if length < 1 << 31 else b""
            if len(body) < length + 4:
                return
            data = body[:-4]
            intact = length > CHECKED or struct.unpack("<I", body[-4:])[0] == masked_crc(data)
            yield data if intact else None
        if first and head:
            raise DataError(f"{path} is no event file of tensorboard: it ends within its first record")


def _of_event(record: bytes) -> Iterator[Scalar]:
    step, summaries = 0, []
    for number, value in _fields(record):
        if number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes):
                tag, scalar = _of_value(value)
                if scalar is not None:
                    yield Scalar(tag, step, scalar)


def _of_value(record: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in _fields(record):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", errors="replace")
        elif number == 2 and len(value) == 4:
            scalar = float(struct.unpack("<f", value)[0])
        elif number == 8:
            scalar = _of_tensor(value)
    return tag, scalar


def _of_tensor(record: bytes) -> float | None:
    """The number of a tensor that holds exactly one."""
    kind, numbers, content = 0, np.zeros(0), b""
    for number, value in _fields(record):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 4 and isinstance(value, bytes):
            content = value
        elif number in _PLACES:
            numbers = np.append(numbers, _numbers(value, _PLACES[number]))
    if kind not in _KINDS:
        return None  # text, pictures, histograms
    if content:
        numbers = np.frombuffer(content, dtype=_KINDS[kind]).astype(np.float64)
    return float(numbers[0]) if len(numbers) == 1 else None


def _numbers(value: int | bytes, kind: str) -> list[float]:
    if isinstance(value, int):
        return [float(_signed(value))]
    if kind:
        return np.frombuffer(value, dtype=kind).astype(np.float64).tolist()
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(float(_signed(number)))
    return found


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _fields(record: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field: varints as numbers, all else as bytes."""
    at = 0
    while at < len(record):
        key, at = _varint(record, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(record, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _varint(record, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(record):
            raise ValueError("a field reaches beyond its record")
        yield key >> 3, record[at : at + length]
        at += length


def _varint(record: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = record[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
