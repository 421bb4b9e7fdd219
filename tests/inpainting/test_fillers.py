"""Fills change the square alone, and follow the law that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.data.digits import DigitsSource
from autophage.data.gaussian_field import GaussianFieldSource
from autophage.errors import SpecError
from autophage.inpainting.gaussian_field import GaussianField, conditionals
from autophage.inpainting.patch import Patch
from autophage.inpainting.squares import Grid
from autophage.keys import Key

FIELD, GRID = GaussianFieldSource(side=4), Grid(4, 4, 2)


def drawn(n, source=FIELD, name="x"):
    side = source.side
    return source.draw(n, key=Key(5) / name).x[0].reshape(n, side, side, 1)


@pytest.mark.parametrize("part", [GaussianField(tau=0.5), Patch(tau=0.5)], ids=["field", "patch"])
def test_only_the_square_changes(part):
    x = drawn(40)
    squares = np.arange(40) % GRID.count
    filler = part.prepared(FIELD, GRID, key=Key(0))
    filled = filler.fill(x, squares, key=Key(1))
    mask = GRID.mask(squares)[..., None]
    assert (filled[~mask] == x[~mask]).all() and (filled[mask] != x[mask]).all()
    again = filler.fill(x, squares, key=Key(1))
    assert (again == filled).all() and (filler.fill(x, squares, key=Key(2)) != filled).any()


@pytest.mark.parametrize("part", [GaussianField(tau=1), Patch(tau=1, context=4)], ids=["field", "patch"])
def test_what_stood_in_the_square_is_not_looked_at(part):
    x = drawn(12)
    squares = np.arange(12) % GRID.count
    other = np.where(GRID.mask(squares)[..., None], 99.0, x)
    filler = part.prepared(FIELD, GRID, key=Key(0))
    assert np.allclose(filler.fill(x, squares, key=Key(1)), filler.fill(other, squares, key=Key(1)))


def test_conditionals_are_those_of_the_joint_law():
    """Against the Schur complement, which needs no precision matrix."""
    S = FIELD.covariance()
    for law in conditionals(S, GRID):
        rest = S[np.ix_(law.around, law.around)]
        cross = S[np.ix_(law.inside, law.around)]
        assert np.allclose(law.weights, cross @ np.linalg.inv(rest), atol=1e-10)
        left = S[np.ix_(law.inside, law.inside)] - law.weights @ cross.T
        assert np.allclose(law.noise @ law.noise.T, left, atol=1e-10)


def test_a_fair_fill_leaves_the_law_as_it_is():
    """E x x' after a fill of every square in turn, 20,000 fields: entries within six standard errors."""
    x = drawn(20_000)
    filler = GaussianField().prepared(FIELD, GRID, key=Key(0))
    for number in range(GRID.count):
        x = filler.fill(x, np.full(len(x), number), key=Key(3) / number)
    flat = x.reshape(len(x), -1)
    S = FIELD.covariance()
    error = np.sqrt((1 + S**2) / len(x))
    assert (np.abs(flat.T @ flat / len(x) - S) < 6 * error).all()


def test_tau_scales_the_noise_alone():
    x, squares = drawn(30), np.zeros(30, dtype=int)
    at = [
        GaussianField(tau=t).prepared(FIELD, GRID, key=Key(0)).fill(x, squares, key=Key(1))
        for t in (0, 0.5, 1)
    ]
    assert np.allclose(at[1] - at[0], (at[2] - at[0]) / 2)
    assert np.abs(at[2] - at[0]).max() > 0.1


def test_a_patch_with_all_of_the_picture_for_context_learns_the_conditionals():
    """Fitted to 4,000 fields: weights and noise near the truth (standard error of a weight about .02)."""
    learned = Patch(context=4, ridge=0).prepared(FIELD, GRID, key=Key(0)).laws
    for mine, true in zip(learned, conditionals(FIELD.covariance(), GRID), strict=True):
        assert (mine.around == true.around).all()
        assert np.allclose(mine.weights, true.weights, atol=0.12)
        assert np.allclose(mine.noise @ mine.noise.T, true.noise @ true.noise.T, atol=0.06)


def test_a_patch_copes_with_pixels_that_never_change():
    source, grid = DigitsSource(), Grid(8, 8, 2)
    filler = Patch(context=2).prepared(source, grid, key=Key(0))
    real = source.reference().flat()[:50].reshape(50, 8, 8, 1)
    filled = filler.fill(real, np.arange(50) % 16, key=Key(1))
    assert np.isfinite(filled).all() and np.abs(filled).max() < 40


def test_a_patch_fills_colour_pictures(monkeypatch):
    class Colour:
        shape, unlimited = (4, 4, 3), True

        def draw(self, n, *, key):
            from autophage.samples import Batch

            return Batch.of(key.generator().standard_normal((1, n, 48)))

    filler = Patch(context=1).prepared(Colour(), GRID, key=Key(0))
    x = Key(2).generator().standard_normal((6, 4, 4, 3))
    filled = filler.fill(x, np.arange(6) % 4, key=Key(1))
    changed = (filled != x).all(axis=3)
    assert (changed == GRID.mask(np.arange(6) % 4)).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianField(tau=1.5), "inpainter.tau is 1.5"),
        (lambda: Patch(context=0), "inpainter.context is 0"),
        (lambda: Patch(ridge=-1.0), "inpainter.ridge"),
        (lambda: GaussianField().check(DigitsSource(), Grid(8, 8, 2)), "known Gaussian law"),
        (lambda: Patch(context=8).check(DigitsSource(size=50), Grid(8, 8, 2)), "too few"),
    ],
)
def test_refusals(make, words):
    with pytest.raises(SpecError, match=words):
        make()
