from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from autophage.errors import DataError
from autophage.report import Gallery
from autophage.report import gallery as pictures
from autophage.report.montage import address, as_bytes, fitted, montage


def opened(picture: str) -> np.ndarray:
    """The pixels of a `data:` address."""
    head, content = picture.split(";base64,")
    assert head in ("data:image/png", "data:image/webp")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))


def test_values_become_bytes_by_their_range():
    images = np.array([[[-5.0, 0.0, 8.0, 16.0, 99.0, np.nan]]])
    assert as_bytes(images, (0, 16)).ravel().tolist() == [0, 0, 128, 255, 255, 0]


def test_a_constant_range_is_legal():
    assert as_bytes(np.ones((1, 2, 2)), (1.0, 1.0)).tolist() == [[[0, 0], [0, 0]]]


def test_a_montage_puts_clear_gaps_between_pictures():
    images = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8)
    sheet = montage(images, 3)
    assert sheet.shape == (17, 26, 4)
    np.testing.assert_array_equal(sheet[9:, 9:17, 0], images[4])
    assert (
        (sheet[9:, 9:17, 3] == 255).all() and (sheet[8, :, 3] == 0).all() and (sheet[9:, 18:, 3] == 0).all()
    )


@pytest.mark.parametrize(
    ("kind", "shape"), [("png", (2, 8, 8)), ("webp", (2, 32, 32, 3)), ("webp", (2, 20, 32, 3))]
)
def test_small_pictures_are_stored_without_loss(kind, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sheet = montage(images, 1)
    picture = address(sheet, max(shape[1:3]))
    assert picture.startswith(f"data:image/{kind}")
    seen, solid = opened(picture), sheet[..., 3] == 255
    np.testing.assert_array_equal(seen[..., 3] == 255, solid)
    np.testing.assert_array_equal(seen[solid], sheet[solid])


def test_large_pictures_are_made_smaller_and_keep_their_proportions():
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 128, 3), dtype=np.uint8)
    small = fitted(images)
    assert small.shape == (2, 64, 32, 3)
    assert abs(small.mean() - images.mean()) < 1
    np.testing.assert_array_equal(fitted(images[:, :64, :64]), images[:, :64, :64])


def test_rows_are_noise_and_columns_are_generations(arm):
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (3, 20, 8, 8), dtype=np.uint8)
    gallery = Gallery("images", [0, 1, 5], samples, noise="a stream")
    [shown] = pictures.layout([arm(gallery=gallery)])
    [strip] = shown.strips
    assert [c.name for c in strip.cells] == ["0", "1", "5"] and strip.heads == []
    assert "same noise in every generation" in shown.caption
    for g, cell in enumerate(strip.cells):
        sheet = opened(cell.picture)
        for row in range(pictures.MOST_TRACED):
            np.testing.assert_array_equal(sheet[9 * row : 9 * row + 8, :, 0], samples[g, row])
        assert "same noise" in cell.alt


def test_without_a_named_stream_nothing_is_said_of_the_noise(arm, galleries):
    [shown] = pictures.layout([arm(gallery=galleries["images"])])
    assert "noise" not in shown.caption and not any("noise" in c.alt for s in shown.strips for c in s.cells)


def test_one_row_for_each_class_that_was_asked_for(arm):
    samples = np.zeros((2, 40, 8, 8), dtype=np.uint8)
    label = np.arange(40) % 3
    samples[:, :3] = np.array([10, 20, 30])[None, :, None, None]
    gallery = Gallery("images", [0, 1], samples, label=label, classes=("cat", "dog", "<b>"))
    [shown] = pictures.layout([arm(gallery=gallery)])
    assert shown.strips[0].heads == ["cat", "dog", "<b>"]
    assert "of classes cat, dog, <b>" in shown.strips[0].cells[0].alt
    np.testing.assert_array_equal(opened(shown.strips[0].cells[1].picture)[[0, 9, 18], 0, 0], [10, 20, 30])


def test_real_pictures_stand_in_their_classes():
    real = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), dtype=np.uint8)
    gallery = Gallery(
        "images",
        [0],
        np.zeros((1, 2, 8, 8), dtype=np.uint8),
        real,
        real_label=np.array([2, 0, 2, 2, 2, 0, 9]),
        classes=("a", "b", "c"),
    )
    columns = pictures.real_columns(gallery)
    assert [(name, p[:, 0, 0].tolist()) for name, p in columns] == [
        ("a", [1, 5]),
        ("c", [0, 2, 3]),
        ("9", [6]),
    ]


@pytest.mark.parametrize("name", ["label", "real_label"])
def test_labels_of_another_length_are_refused(name):
    with pytest.raises(DataError, match=rf"gallery's {name} must hold one class for each of 4 records"):
        Gallery("images", [0], np.zeros((1, 4, 8, 8)), np.zeros((4, 8, 8)), **{name: np.zeros(3)})


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


def test_real_images_fill_whole_columns(page, arm, galleries):
    [shown] = pictures.layout([arm(gallery=galleries["images"])])
    real, generated = shown.strips
    assert (real.key, len(real.cells)) == (None, 4)  # fourteen images are four columns of three
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
