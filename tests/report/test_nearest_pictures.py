from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.report import neighbours as module
from autophage.report.neighbours import Neighbours, neighbours, two_nearest
from autophage.samples import Segments


def brute(queries: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    away = np.sqrt(((queries[:, None] - points[None]) ** 2).sum(axis=2))
    order = np.argsort(away, axis=1, kind="stable")[:, :2]
    return np.take_along_axis(away, order, axis=1), order


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_two_nearest_whatever_the_parts(monkeypatch, pieces):
    rng = np.random.default_rng(0)
    queries, points = rng.normal(size=(7, 12)), rng.normal(size=(50, 12))
    held = points if pieces == 1 else Segments(np.split(points, [1, 30]))
    expected = brute(queries, points)
    for size in (1, 7, 4096):
        monkeypatch.setattr(module, "AT_ONCE", size)
        distances, indices = two_nearest(queries, held)
        np.testing.assert_allclose(distances, expected[0], rtol=1e-12)
        np.testing.assert_array_equal(indices, expected[1])


def made() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((40, 16)), rng.random((30, 16))


def test_a_copy_is_marked_and_a_new_picture_is_not():
    train, held_out = made()
    generated = held_out[:4].copy()
    generated[1] = train[17]
    generated[2] = train[5] + 1e-3
    found = neighbours({0: held_out, 3: generated}, train, held_out, (4, 4), (0.0, 1.0))
    assert found.generations == [0, 3] and found.judged == 4
    assert found.copied.tolist() == [[False] * 4, [False, True, True, False]]
    assert found.copies.tolist() == [0, 2]
    assert found.relative[1, 1] == 0 and found.relative[1, 2] < 0.01
    np.testing.assert_array_equal(found.real[1, 1], (train[17] * 255).round().reshape(4, 4))
    np.testing.assert_array_equal(found.pictures[1, 0], (generated[0] * 255).round().reshape(4, 4))


def test_a_blurred_picture_is_no_copy():
    """The mean of the training set lies close to all of it, and nearer to none."""
    train, held_out = made()
    found = neighbours({0: np.tile(train.mean(axis=0), (3, 1))}, train, held_out, (4, 4), (0.0, 1.0))
    assert (found.relative < 1).all() and not found.copied.any()


def test_new_real_pictures_have_distance_one():
    train, held_out = made()
    found = neighbours({0: held_out}, train, held_out, (4, 4), (0.0, 1.0))
    assert found.judged == 30 and found.pictures.shape == (1, 8, 4, 4)
    np.testing.assert_allclose(found.median, [1.0], rtol=1e-12)


def test_colours_and_bytes():
    rng = np.random.default_rng(2)
    train, held_out = rng.integers(0, 256, (2, 20, 12), dtype=np.uint8)
    found = neighbours({0: train[:2]}, train, held_out, (2, 2, 3), (0.0, 255.0))
    assert found.pictures.shape == (1, 2, 2, 2, 3) and found.copied.all()
    np.testing.assert_array_equal(found.real, found.pictures)


def test_held_out_pictures_that_repeat_the_training_set_leave_no_yardstick():
    train, _ = made()
    generated = np.stack([train[0], train[0] + 0.3])
    found = neighbours({0: generated}, train, train[:5], (4, 4), (0.0, 1.0))
    assert found.relative.tolist() == [[0.0, np.inf]]


@pytest.mark.parametrize(
    ("train", "generated", "said"),
    [
        (np.zeros((1, 4)), np.zeros((2, 4)), "two or more training records, got 1"),
        (np.zeros((3, 4)), np.full((2, 4), np.nan), "finite records"),
        (np.zeros((3, 4)), np.zeros((2, 5)), r"records of \[4, 5\] numbers"),
    ],
    ids=["one training record", "nan", "widths"],
)
def test_what_cannot_be_compared_is_refused(train, generated, said):
    with pytest.raises(DataError, match=said):
        neighbours({0: generated}, train, np.zeros((2, train.shape[1])), (2, 2), (0.0, 1.0))


def test_parts_that_do_not_fit_are_refused(near):
    with pytest.raises(DataError, match="do not fit together"):
        Neighbours(**{**vars(near), "generations": [0]})
    with pytest.raises(DataError, match="do not fit together"):
        Neighbours(**{**vars(near), "copied": near.copied[:, :1]})
