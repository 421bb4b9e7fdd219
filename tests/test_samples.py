"""Records and their provenance: whatever holds them, they read as one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autophage.errors import DataError
from autophage.samples import REAL, Batch, Samples, Segments, chunks

LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=5)
BOUNDS = st.one_of(st.none(), st.integers(-40, 40))


def segments(lengths):
    """Segments of these lengths and what they are when joined."""
    parts, start = [], 0
    for n in lengths:
        parts.append(np.arange(2 * start, 2 * (start + n)).reshape(n, 2))
        start += n
    return Segments(parts), np.concatenate(parts)


@given(LENGTHS, BOUNDS, BOUNDS, st.one_of(st.none(), st.integers(-3, 3).filter(bool)))
@settings(max_examples=100, deadline=None)
def test_slicing_is_numpys(lengths, start, stop, step):
    ours, whole = segments(lengths)
    assert np.array_equal(np.asarray(ours[start:stop:step]), whole[start:stop:step])
    assert len(ours[start:stop:step]) == len(whole[start:stop:step])


@given(LENGTHS, st.data())
@settings(max_examples=100, deadline=None)
def test_picking_is_numpys(lengths, data):
    ours, whole = segments(lengths)
    n = len(whole)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    assert np.array_equal(ours[mask], whole[mask])
    if n:
        rows = np.array(data.draw(st.lists(st.integers(-n, n - 1), max_size=12)), dtype=int)
        assert np.array_equal(ours[rows], whole[rows])
        one = data.draw(st.integers(-n, n - 1))
        assert np.array_equal(ours[one], whole[one])
    for wrong in (np.array([n]), np.array([-n - 1])):
        with pytest.raises(IndexError):
            ours[wrong]


@given(LENGTHS, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_chunks_are_the_records_in_order(lengths, size):
    ours, whole = segments(lengths)
    pieces = list(chunks(ours, size))
    assert all(0 < len(p) <= size for p in pieces)
    assert np.array_equal(np.concatenate([whole[:0], *pieces]), whole)
    assert np.array_equal(np.concatenate([whole[:0], *chunks(whole, size)]), whole)


@given(LENGTHS, LENGTHS)
@settings(max_examples=50, deadline=None)
def test_segments_of_segments_are_flat(one, two):
    (a, left), (b, right) = segments(one), segments(two)
    both = Segments([a, b])
    assert not any(isinstance(p, Segments) for p in both.parts)
    assert np.array_equal(np.asarray(both), np.concatenate([left, right]))
    assert both.shape == (len(left) + len(right), 2) and both.ndim == 2


def test_joining_copies_nothing():
    part = np.zeros((4, 2))
    ours = Segments([part, np.ones((3, 2))])
    assert np.shares_memory(ours.parts[0], part)
    assert np.shares_memory(np.asarray(Segments([part])), part)
    assert not np.shares_memory(np.array(Segments([part])), part)
    assert np.asarray(Segments([part]), dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.array(ours, copy=False)


def test_arrays_that_do_not_join():
    with pytest.raises(DataError, match="different shapes"):
        Segments([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(DataError, match="no arrays"):
        Segments([])
    with pytest.raises(IndexError, match="mask"):
        Segments([np.zeros(3)])[np.array([True])]


def pile():
    return [
        Samples.of(np.zeros((3, 2)), label=np.arange(3)),
        Samples.of(
            np.ones((2, 2)), generation=0, agent="a", weight=2.0, label=np.arange(2), extra=np.arange(2)
        ),
        Samples.of(np.full((4, 2), 2.0), generation=1, agent="longer", label=np.arange(4)),
    ]


@given(BOUNDS, BOUNDS)
@settings(max_examples=50, deadline=None)
def test_every_column_is_cut_alike(start, stop):
    whole = Samples.join(pile())
    assert set(whole.fields) == {"x", "label"}
    cut = whole[start:stop]
    rows = np.arange(9)[start:stop]
    assert len(cut) == len(rows)
    for column in ("generation", "agent", "weight"):
        full = np.concatenate([np.asarray(getattr(p, column)) for p in pile()])
        assert np.asarray(getattr(cut, column)).tolist() == full[rows].tolist()
        assert np.asarray(getattr(whole[rows], column)).tolist() == full[rows].tolist()
    assert cut.x[:, 0].tolist() == np.repeat([0.0, 1.0, 2.0], [3, 2, 4])[rows].tolist()


def test_the_real_share_goes_by_weight():
    assert Samples.join(pile()).real_share() == pytest.approx(3 / (3 + 2 * 2 + 4))
    assert Samples.of(np.zeros(3)).real_share() == 1.0


def test_samples_of_one_number_take_no_memory():
    s = Samples.of(np.zeros((1000, 1)), generation=3, agent="main")
    assert s.generation.strides == (0,) and s.weight.strides == (0,)
    assert np.asarray(s.stamped(generation=4, agent="b").generation).tolist() == [4] * 1000


def test_samples_refuse_what_does_not_fit():
    with pytest.raises(DataError, match="one length"):
        Samples.of(np.zeros(3), label=np.zeros(2))
    with pytest.raises(DataError, match="no field"):
        Samples.of()
    with pytest.raises(DataError, match="2 entries for 3"):
        Samples.of(np.zeros(3), generation=np.zeros(2))
    with pytest.raises(DataError, match="nothing to join"):
        Samples.join([])


def test_join_of_empty_samples_is_empty():
    empty = Samples.of(np.zeros((0, 2)))
    assert len(Samples.join([empty, empty])) == 0
    assert Samples.join([empty, pile()[1]]).real_share() == 0.0


def test_flat_is_a_table_of_float64():
    assert Samples.of(np.zeros((3, 2, 2), np.uint8)).flat().shape == (3, 4)
    assert Samples.of(np.zeros(3, np.float32)).flat().dtype == np.float64


def test_batches_join_and_one_replicate_stands_for_all():
    shared = Batch.of(np.zeros((1, 2, 3)))
    own = Batch.of(np.arange(24.0).reshape(4, 2, 3), generation=5, agent="a")
    both = Batch.join([shared, own])
    assert both.replicates == 4 and len(both) == 4 and both.x.shape == (4, 4, 3)
    assert both.generation.tolist() == [REAL, REAL, 5, 5]
    for r in range(4):
        s = both.replicate(r)
        assert np.array_equal(s.x, np.concatenate([shared.x[0], own.x[r]]))
        assert s.real_share() == 0.5
    mixed = Batch(own.x, np.array([[REAL, 5], [5, 5], [5, 5], [REAL, REAL]]), "a")
    wide = Batch.join([shared, mixed])
    assert wide.generation.shape == (4, 4) and wide.replicate(3).real_share() == 1.0
    assert wide.first(3).x.shape == (4, 3, 3) and wide.first(3).generation.shape == (4, 3)
    assert np.array_equal(shared.replicate(3).x, shared.x[0])
