"""The grid tiles the picture, and counts what is touched."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.inpainting.squares import Grid
from autophage.keys import Key


def test_squares_tile_the_picture_once():
    grid = Grid(6, 9, 3)
    assert grid.count == 6 and grid.across == 3
    seen = np.zeros((6, 9), dtype=int)
    for number in range(grid.count):
        seen[grid.rows(number)] += 1
        assert seen.reshape(-1)[grid.inside(number)].min() == 1
    assert (seen == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_is_where_the_numbers_of_a_square_lie(channels):
    grid = Grid(4, 8, 2)
    numbers = np.arange(grid.count)
    mask = np.repeat(grid.mask(numbers)[..., None], channels, axis=3).reshape(grid.count, -1)
    for number in numbers:
        assert np.flatnonzero(mask[number]).tolist() == grid.inside(number, channels).tolist()


def test_what_surrounds_a_square_is_within_its_context_and_not_inside():
    grid = Grid(8, 8, 2)
    assert len(grid.around(5, 1)) == 4 * 4 - 4  # well inside the picture
    assert len(grid.around(0, 1)) == 3 * 3 - 4  # cut at the corner
    assert not set(grid.around(5, 2)) & set(grid.inside(5))
    assert len(grid.around(5, 8)) == 64 - 4
    assert len(grid.around(5, 1, 3)) == 3 * 12


def test_volume_and_untouched_share():
    """Sheet C.2 and the expected values of I1; four times every square is 400 %."""
    grid = Grid(8, 8, 2)
    assert grid.volume(64) == 400
    assert grid.untouched(16) == pytest.approx(0.3561, abs=5e-5)
    assert grid.untouched(64) == pytest.approx(0.0161, abs=5e-5)
    for side, count in ((64, 64), (128, 16), (256, 4)):
        assert Grid(512, 512, side).count == count


def test_i1_squares_picked_at_random():
    """I1 to .003; 40,000 pictures of 16 squares know the share to .0006 (four standard errors: .0024)."""
    n, grid = 40_000, Grid(8, 8, 2)
    touched = np.zeros((n, grid.count), dtype=bool)
    for i in range(1, 65):
        squares = (Key(0) / "squares" / i).generator().integers(grid.count, size=n)
        touched[np.arange(n), squares] = True
        if i in (16, 64):
            left = 1 - touched.mean(axis=1)
            assert 4 * left.std() / n**0.5 < 0.003
            assert left.mean() == pytest.approx(grid.untouched(i), abs=0.003)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((8, 8, 3), "does not divide pictures of 8 x 8 pixels; those that do: 1, 2, 4"),
        ((8, 12, 8), "does not divide"),
        ((8, 8, 8), "covers the whole picture"),
        ((8, 8, 16), "must fit into the picture"),
        ((6, 12, 8), "must fit into the picture"),
    ],
)
def test_grids_that_are_none(size, words):
    with pytest.raises(SpecError, match=words):
        Grid(*size)
