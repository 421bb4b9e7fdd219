from __future__ import annotations

import re

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.report import exhibits
from autophage.report.drift import FITTED, MOST, POINTS, Drift, drift


def blobs(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes in nine dimensions; the first two directions tell them apart."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    x = rng.normal(0, 0.2, (n, 9))
    x[:, :2] += np.array([[4.0, 0.0], [-4.0, 0.0], [0.0, 3.0]])[label]
    return x, label


def test_classes_that_move_are_seen_moving():
    real, label = blobs()
    drawn = {g: real * np.r_[1 - 0.25 * g, 1 - 0.25 * g, np.ones(7)] for g in range(5)}
    found = drift(drawn, real, label, names=("a", "b", "c"))
    assert found.names == ("a", "b", "c") and not found.asked
    assert list(found.generations) == [0, 2, 4]
    np.testing.assert_allclose(found.centres[0], found.real_centres, atol=1e-9)
    length = np.linalg.norm(found.centres[:4] - found.centres[:4].mean(axis=1, keepdims=True), axis=2)
    assert (np.diff(length, axis=0) < 0).all()


def test_the_plane_is_that_of_an_independent_decomposition():
    real, label = blobs()
    found = drift({0: real, 1: real + 1}, real, label)
    centred = real - real.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    expected = centred @ axes.T
    signs = np.sign((expected * found.points[0][: len(expected)]).sum(axis=0))
    np.testing.assert_allclose(found.points[0], (expected * signs)[:POINTS], atol=1e-9)


def test_the_classes_asked_for_win_over_the_nearest_mean():
    real, label = blobs()
    asked = np.roll(label, 1)
    found = drift({0: real, 1: real}, real, label, label=asked)
    assert found.asked
    np.testing.assert_array_equal(found.classes[0], asked[:POINTS])


def test_a_class_that_died_out_has_no_centre():
    real, label = blobs()
    found = drift({0: real, 1: real[label == 0]}, real, label)
    assert np.isnan(found.centres[1, 1:]).all() and np.isfinite(found.centres[1, 0]).all()


def test_without_labels_one_centre_is_followed():
    real, _ = blobs()
    found = drift({0: real, 1: real + 1}, real)
    assert found.names == () and found.centres.shape == (2, 1, 2)
    np.testing.assert_allclose(found.real_centres[0], 0, atol=1e-9)


def test_of_many_classes_the_most_frequent_are_followed():
    rng = np.random.default_rng(0)
    label = np.concatenate([np.arange(14), np.repeat(np.arange(4, 14), 20)])
    real = rng.normal(size=(len(label), 4)) + label[:, None]
    found = drift({0: real, 1: real}, real, label, label=label)
    assert found.names == tuple(map(str, range(4, 14))) and len(found.real_centres) == MOST
    assert (found.classes[0][:4] == -1).all() and (found.classes[0][4:14] == np.arange(10)).all()


def test_large_sets_and_single_columns():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(FITTED + 50, 1))
    found = drift({0: real, 1: real}, real)
    assert found.real.shape == (POINTS, 2) and (found.real[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("real", "x", "said"),
    [
        (np.zeros((2, 4)), np.zeros((3, 4)), "three or more real records, got 2"),
        (np.eye(4), np.full((3, 4), np.inf), "NaN or infinity"),
    ],
    ids=["few", "infinite"],
)
def test_what_cannot_be_placed_is_refused(real, x, said):
    with pytest.raises(DataError, match=said):
        drift({0: x}, real)


def test_parts_that_do_not_fit_are_refused(drifting):
    with pytest.raises(DataError, match="do not fit together"):
        Drift(**{**vars(drifting), "names": ("a",)})


def test_all_arms_share_one_view(arm, drifting):
    moved = Drift(**{**vars(drifting), "centres": drifting.centres + 30})
    first, second = exhibits.drifts([arm("a", drift=drifting), arm("none"), arm("b", drift=moved)])
    assert (first.key, second.key) == (0, 2)
    rings = [
        re.findall(r'<circle[^>]*cx="([^"]*)" cy="([^"]*)"', s.cells[-1].drawing) for s in (first, second)
    ]
    assert rings[0] == rings[1] and len(rings[0]) == 3
    assert "&lt;b&gt;" in first.cells[-1].drawing and "<b>" not in first.cells[-1].drawing


def test_a_course_ends_where_its_class_died_out(arm, drifting):
    [strip] = exhibits.drifts([arm("a", drift=drifting)])
    tracks = dict(re.findall(r'<path class="track class-(\d)" d="([^"]*)"', strip.cells[-1].drawing))
    assert {k: path.count("L") for k, path in tracks.items()} == {"0": 2, "1": 1, "2": 2}


def test_words_say_where_the_colours_come_from(arm, drifting):
    asked = Drift(**{**vars(drifting), "asked": True})
    plain = Drift(**{**vars(drifting), "names": ()})
    for found, said in [(drifting, "nearest real class mean"), (asked, "asked for"), (plain, "the ring is")]:
        assert said in exhibits.drift_caption([arm("a", drift=found)])
    assert exhibits.drifts([arm("a")]) == []
