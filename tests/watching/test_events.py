"""Event files: what is in them comes out, and damage is seen."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from tests.event_files import crc32c, event, header, masked, record, simple, tensor, varint, within

from autophage.errors import DataError
from autophage.watching.events import masked_crc, scalars


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    for data in (b"", bytes(32), bytes(range(256)), b"event"):
        assert struct.pack("<I", masked_crc(data)) == masked(data)


def test_scalars_of_old_and_new_writers(tmp_path):
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(
        header()
        + event(0, simple("a", 0.5), simple("b", -2.25))
        + event(7, tensor("a", 1, within(5, struct.pack("<f", 1.5))))
        + event(300, tensor("a", 1, within(4, struct.pack("<f", 2.5))))
        + event(2**40, tensor("a", 2, within(6, struct.pack("<d", 0.1))))
        + event(5, tensor("c", 9, within(10, varint(-3))), tensor("d", 3, within(7, varint(12))))
        + event(-1, simple("a", float("nan")))
        + event(6, tensor("text", 7, within(8, b"words")))
        + event(6, tensor("pair", 1, within(5, struct.pack("<2f", 1, 2))))
        + event(6, within(1, b"histogram") + within(5, b"\x08\x01"))
    )
    found, damaged = scalars(path)
    assert damaged == 0
    assert [(s.tag, s.step) for s in found] == [
        ("a", 0), ("b", 0), ("a", 7), ("a", 300), ("a", 2**40), ("c", 5), ("d", 5), ("a", -1)
    ]  # fmt: skip
    assert [s.value for s in found[:-1]] == [0.5, -2.25, 1.5, 2.5, 0.1, -3.0, 12.0]
    assert np.isnan(found[-1].value)


def test_a_file_that_is_being_written_is_read_so_far(tmp_path):
    path = tmp_path / "events.out.tfevents.1.host"
    content = header() + event(1, simple("a", 1.0)) + event(2, simple("a", 2.0))
    for cut in range(1, len(event(2, simple("a", 2.0)))):
        path.write_bytes(content[:-cut])
        found, damaged = scalars(path)
        assert [s.step for s in found] == [1] and damaged == 0


def test_damage_is_left_out_and_counted(tmp_path):
    path = tmp_path / "events.out.tfevents.1.host"
    one, two, three = (event(n, simple("a", float(n))) for n in (1, 2, 3))
    inside = two[:-8] + bytes([two[-8] ^ 1]) + two[-7:]
    path.write_bytes(header() + one + inside + three)
    found, damaged = scalars(path)
    assert [s.step for s in found] == [1, 3] and damaged == 1
    # Where the length itself is damaged, what follows cannot be found any more.
    path.write_bytes(header() + one + bytes([two[0] ^ 1]) + two[1:] + three)
    found, damaged = scalars(path)
    assert [s.step for s in found] == [1] and damaged == 1
    # Intact bytes that are no event.
    path.write_bytes(header() + record(b"\xff" * 20) + record(within(5, within(1, b"\x0a\x7f"))) + three)
    found, damaged = scalars(path)
    assert [s.step for s in found] == [3] and damaged == 2


@pytest.mark.parametrize("content", [b"not an event file at all", b"short", bytes(100)])
def test_what_is_no_event_file_is_refused(content, tmp_path):
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no event file of tensorboard"):
        scalars(path)
    path.write_bytes(b"")
    assert scalars(path) == ([], 0)
