"""Drawn scenes: every one is read back, captions name what they must, and the law is uniform."""

import numpy as np
import pytest
from scipy.stats import chisquare

from autophage import laws
from autophage.captions.vocabulary import most_words, words_of
from autophage.data.scene_drawing import COUNTS, SCENES, SIDE, SLOTS, all_scenes, drawn, figures, inside, read
from autophage.data.scenes import ScenesSource
from autophage.errors import SpecError
from autophage.keys import Key


@pytest.mark.parametrize("edges", ["smooth", "plain"])
def test_every_scene_is_read_back(edges):
    scenes = all_scenes()
    x = drawn(scenes, edges)
    assert scenes.shape == (SCENES, 4) == (648, 4) and x.shape == (648, 3072) and x.dtype == np.uint8
    assert np.array_equal(read(x, edges), scenes)
    assert len(np.unique(x, axis=0)) == 648
    if edges == "plain":
        assert set(np.unique(x).tolist()) == {0, 255}
    # By hand: the nearest of all drawings, with all distances written out.
    draw = (Key(0) / "scenes" / edges).generator()
    noisy = draw.integers(0, 256, (12, 3072))
    distance = np.stack([((x - one.astype(np.float32)) ** 2).sum(1, dtype=float) for one in noisy])
    assert np.array_equal(read(noisy, edges), scenes[distance.argmin(1)])


def test_a_pixel_is_the_share_that_the_figure_covers():
    # The area of a figure of half-width r: pi r^2, (2r)^2, 1.9 (2r) r / 2 and (4 x 0.6 - 0.6^2) r^2, up to the grid of points.
    area = figures("smooth").astype(float).sum(axis=3) / 255
    per = np.array([np.pi, 4.0, 1.9, 4 * 0.6 - 0.36])
    half = np.array([2.5, 3.75, 5.0])
    expected = per[:, None] * half**2
    assert np.allclose(area, expected[:, None, :].repeat(9, axis=1), rtol=0.03)
    # Every figure stays inside its cell of a 3 x 3 grid, but for the pixel that two cells share.
    where = figures("smooth").reshape(4, 3, 3, 3, SIDE, SIDE) > 0
    for down, across in np.ndindex(3, 3):
        rows, columns = np.nonzero(where[:, down, across].any(axis=(0, 1)))
        for at, place in ((rows, down), (columns, across)):
            assert at.min() >= int(place * SIDE / 3) and at.max() <= int((place + 1) * SIDE / 3)
    assert inside(0, np.array([1.0, 0.8]), np.array([0.0, 0.8])).tolist() == [True, False]


def test_small_noise_changes_no_reading():
    exact, noisy = ScenesSource(size=2000), ScenesSource(size=2000, noise=15)
    assert np.array_equal(exact.attributes(exact.train().x), noisy.attributes(noisy.train().x))
    # Where a number may move freely, that is far from 0 and 255, its noise has the deviation asked for.
    middle = (exact.train().x > 90) & (exact.train().x < 165)
    moved = noisy.train().x[middle].astype(float) - exact.train().x[middle]
    assert abs(moved.std() - 15) < 5 * 15 / np.sqrt(2 * len(moved)) + 0.05 and abs(
        moved.mean()
    ) < 75 / np.sqrt(len(moved))


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_captions_name_a_random_part_in_order(budget):
    source = ScenesSource(size=6000, budget=budget)
    part = source.train()
    told, truth = source.attributes_of(part.caption), source.attributes(part.x)
    named = told >= 0
    assert (named.sum(axis=1) == budget).all() and np.array_equal(told[named], truth[named])
    assert all(len(words_of(c)) == budget for c in part.caption) and most_words(part.caption) == budget
    assert np.array_equal(part.label, truth[:, 0]) and source.classes[1] == "square"
    n = len(part)
    share = named.mean(axis=0)
    assert np.all(np.abs(share - budget / 4) <= 5 * np.sqrt(share * (1 - share) / n))
    assert np.array_equal(source.captions_of(told), part.caption)
    if budget > 1:  # what a smaller budget names, a larger one names as well
        less = ScenesSource(size=6000, budget=budget - 1)
        fewer = less.attributes_of(less.train().caption)
        assert np.array_equal(fewer[fewer >= 0], told[fewer >= 0])


def test_all_values_are_equally_likely():
    source = ScenesSource(size=10_000)
    seen = np.concatenate([source.attributes(p.x) for p in (source.train(), source.reference())])
    for column, count in zip(seen.T, COUNTS, strict=True):
        assert chisquare(np.bincount(column, minlength=count)).pvalue > 1e-6
    assert len(np.unique(seen, axis=0)) == 648  # one misses with probability 648 exp(-15)


def test_captions_are_read_by_their_words():
    source = ScenesSource(size=20)
    read_back = source.attributes_of(["Large, RED", "circle square", "a dog", "bottom-left cyan cross"])
    assert read_back.tolist() == [[-1, 0, -1, 2], [0, -1, -1, -1], [-1] * 4, [3, 5, 6, -1]]
    assert np.array_equal(source.attributes_of(source.captions_of(all_scenes())), all_scenes())
    words = [word for _, names in source.slots for word in names]
    assert len(set(words)) == len(words) == 22 and [name for name, _ in SLOTS] == [
        "shape",
        "colour",
        "cell",
        "size",
    ]


def test_scenes_are_a_source_of_pictures():
    source = ScenesSource(size=60, budget=2)
    laws.source(source)
    again = ScenesSource(size=60, budget=2)
    assert np.array_equal(source.train().x, again.train().x) and np.array_equal(
        source.train().caption, again.train().caption
    )
    assert source.shape == (32, 32, 3) and source.references == tuple(
        (c,) for c in source.reference().caption
    )
    assert source.snap(np.array([-3.0, 2.5, 300.0])).tolist() == [0, 2, 255]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"budget": 0}, r"data\.budget is 0"),
        ({"budget": 5}, r"data\.budget is 5; a caption of a scene can name 1 to 4 attributes"),
        ({"budget": True}, r"data\.budget is True"),
        ({"size": 4}, r"data\.size is 4"),
        ({"edges": "soft"}, r"data\.edges is 'soft'; it must be one of: smooth, plain"),
        ({"noise": -1}, r"data\.noise is -1"),
    ],
)
def test_scenes_refuse(settings, match):
    with pytest.raises(SpecError, match=match):
        ScenesSource(**settings)
