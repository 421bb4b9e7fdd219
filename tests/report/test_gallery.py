from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.report import Gallery
from autophage.report import gallery as pictures


def test_values_become_bytes_by_their_range():
    images = np.array([[[-5.0, 0.0, 8.0, 16.0, 99.0, np.nan]]])
    assert pictures.as_bytes(images, (0, 16)).ravel().tolist() == [0, 0, 128, 255, 255, 0]


def test_a_constant_range_is_legal():
    assert pictures.as_bytes(np.ones((1, 2, 2)), (1.0, 1.0)).tolist() == [[[0, 0], [0, 0]]]


def test_a_montage_enlarges_without_smoothing():
    images = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)
    sheet = pictures.montage(images)
    scale, gap = 9, 9
    assert sheet.shape == (2 * 8 * scale + gap, 3 * 8 * scale + 2 * gap, 4)
    fifth = sheet[8 * scale + gap :, 8 * scale + gap : 16 * scale + gap]
    np.testing.assert_array_equal(fifth[::scale, ::scale, 0], images[4])
    assert (fifth[..., 3] == 255).all() and (sheet[8 * scale + 1, :, 3] == 0).all()


def test_colours_survive_a_montage():
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pictures.montage(images)[:80:2, :80:2, :3], images[0])


def test_at_most_ten_generations_first_and_last_among_them():
    gallery = Gallery(kind="bars", generations=list(range(37)), samples=np.full((37, 2), 0.5))
    shown = pictures.columns(gallery)
    assert len(shown) == 10 and shown[0] == 0 and shown[-1] == 36


def test_neighbouring_bars_are_summed_beyond_what_can_be_seen():
    p = np.random.default_rng(0).dirichlet(np.ones(1000), 2)
    bars, truth = pictures.ranked(Gallery(kind="bars", generations=[0, 1], samples=p, real=p[0]))
    assert bars.shape == (2, pictures.MOST_BARS)
    np.testing.assert_allclose(bars.sum(axis=1), 1)
    np.testing.assert_array_equal(truth, bars[0])


def test_all_clouds_share_one_view_that_ignores_what_is_not_finite(arm):
    points = np.zeros((2, 4, 2))
    points[0, 0], points[1, 1] = [np.nan, 1.0], [np.inf, 0.0]
    near = Gallery(kind="clouds", generations=[0, 1], samples=points)
    far = Gallery(kind="clouds", generations=[0], samples=np.array([[[10.0, -4.0], [0.0, 0.0]]]))
    low, high = pictures.limits([arm("a", gallery=near), arm("b", gallery=far)])
    assert low[0] < 0 < 9.9 < high[0] and low[1] < -3.9 and high[1] > 0


def test_real_images_fill_whole_blocks(page, arm, galleries):
    [shown] = pictures.layout([arm(gallery=galleries["images"])])
    real, generated = shown.strips
    assert (real.key, len(real.cells)) == (None, 1)  # fourteen images are one block of twelve
    assert [c.name for c in generated.cells] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "kind, samples, real",
    [
        ("images", np.zeros((2, 5, 8)), None),
        ("images", np.zeros((2, 5, 8, 8)), np.zeros((3, 9, 8))),
        ("images", np.zeros((2, 5, 8, 8, 4)), None),
        ("clouds", np.zeros((2, 5, 3)), None),
        ("clouds", np.zeros((2, 0, 2)), None),
        ("bars", np.zeros((2, 5)), np.zeros(4)),
        ("bars", np.zeros((3, 5)), None),
        ("films", np.zeros((2, 5)), None),
        ("table", [[[1, 2]], [[1]]], None),
    ],
)
def test_shapes_that_do_not_fit_are_refused(kind, samples, real):
    with pytest.raises(DataError):
        Gallery(kind=kind, generations=[0, 1], samples=samples, real=real, columns=["a", "b"])
