"""A writer of tensorboard's event files for tests, written from the format's description and apart from the reader."""

from __future__ import annotations

import struct


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit: the reflected polynomial 0x82f63b78."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def varint(n: int) -> bytes:
    n %= 2**64
    out = b""
    while n >= 0x80:
        out += bytes([n % 0x80 + 0x80])
        n //= 0x80
    return out + bytes([n])


def within(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def whole(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def event(step: int, *values: bytes, time: float = 1.7e9) -> bytes:
    """One record: an event with these values in its summary."""
    summary = within(5, b"".join(within(1, value) for value in values))
    return record(struct.pack("<Bd", 1 << 3 | 1, time) + whole(2, step) + summary)


def simple(tag: str, value: float) -> bytes:
    return within(1, tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, value)


def tensor(tag: str, kind: int, content: bytes) -> bytes:
    """A value that holds a tensor of this type, given its number fields."""
    return within(1, tag.encode()) + within(8, whole(1, kind) + within(2, b"") + content)


def header() -> bytes:
    return record(struct.pack("<Bd", 1 << 3 | 1, 1.7e9) + within(3, b"brain.Event:2"))
