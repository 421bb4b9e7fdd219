"""An own diffusion model fills squares: the known stays, the fill follows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import autophage
from autophage.data.digits import DigitsSource
from autophage.errors import SpecError
from autophage.inpainting.masked_diffusion import MaskedDiffusion, MaskedFiller
from autophage.inpainting.squares import Grid
from autophage.keys import Key

GRID = Grid(8, 8, 4)
TINY = {
    "kind": "diffusion",
    "records": 256,
    "batch_size": 64,
    "warmup": 128,
    "network": {"kind": "small_unet", "width": 8},
    "device": "cpu",
}


def pictures(n):
    return DigitsSource().reference().flat()[:n].reshape(n, 8, 8, 1)


@pytest.fixture(scope="module")
def filler():
    part = MaskedDiffusion(learner=TINY, steps=4, sampler="euler")
    return part.prepared(DigitsSource(), GRID, key=Key(0))


def test_only_the_square_changes_and_keys_name_the_fill(filler):
    x, squares = pictures(8), np.arange(8) % 4
    filled = filler.fill(x, squares, key=Key(1))
    mask = GRID.mask(squares)[..., None]
    assert (filled[~mask] == x[~mask]).all() and (filled[mask] != x[mask]).any()
    assert filled.min() >= 0 and filled.max() <= 16
    assert (filler.fill(x, squares, key=Key(1)) == filled).all()
    assert (filler.fill(x, squares, key=Key(2)) != filled).any()


def test_the_mean_of_draws_is_that_of_the_draws(filler):
    x, squares = pictures(4), np.arange(4)
    part = MaskedDiffusion(learner=filler.part.learner, steps=4, sampler="euler", fill="mean", draws=3)
    mean = part.borrowed(filler)
    assert mean is not None and mean.fitted is filler.fitted
    mask = GRID.mask(squares)
    draws = [filler.draw(x, mask, key=Key(1) / "draw" / j) for j in range(3)]
    wanted = np.where(mask[..., None], np.mean(draws, axis=0), x)
    assert np.allclose(mean.fill(x, squares, key=Key(1)), wanted)
    assert MaskedDiffusion(learner="diffusion").borrowed(filler) is None


def test_it_comes_back_from_its_arrays(filler):
    again = filler.part.restored(filler.arrays(), DigitsSource(), GRID, key=Key(0))
    x, squares = pictures(4), np.arange(4)
    assert np.allclose(again.fill(x, squares, key=Key(1)), filler.fill(x, squares, key=Key(1)), atol=1e-4)


class OneLaw:
    """A model whose denoiser knows that all pixels of a picture are equal, N(0, 1/4) at any level:
    E[x0 | y] is the mean of y over the picture, shrunk."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def denoiser(self):
        def D(y, sigma, label=None):
            pixels = y[0].numel()
            mean = y.flatten(1).mean(dim=1)[:, None, None, None]
            shrunk = mean * 0.25 / (0.25 + sigma**2 / pixels)
            return shrunk.to(y.dtype).expand_as(y)

        return D


def test_a_fill_agrees_with_what_surrounds_it(filler):
    """All pixels equal: a blank quarter must take on the value of the rest, which is put back at every step."""
    part = MaskedDiffusion(learner=filler.part.learner, steps=40, sampler="euler")
    mine = MaskedFiller(part, GRID, filler.fitted)
    mine.model = OneLaw(mine.model)
    level = torch.linspace(2, 14, 12).numpy().astype(np.float64).round()
    x = np.broadcast_to(level[:, None, None, None], (12, 8, 8, 1)).copy()
    squares = np.arange(12) % 4
    x[GRID.mask(squares)] = 0.0
    filled = mine.fill(x, squares, key=Key(4))
    inside = np.array([f[m].mean() for f, m in zip(filled, GRID.mask(squares), strict=True)])
    assert np.abs(inside - level).max() < 1.5
    assert np.corrcoef(inside, level)[0, 1] > 0.98


def test_repeats_take_every_step_again(filler):
    x, squares = pictures(4), np.arange(4)
    part = MaskedDiffusion(learner=filler.part.learner, steps=3, sampler="euler", repeats=2)
    mine = MaskedFiller(part, GRID, filler.fitted)
    filled = mine.fill(x, squares, key=Key(1))
    assert np.isfinite(filled).all() and (filled[~GRID.mask(squares)] == x[~GRID.mask(squares)]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fill": "median"}, "inpainter.fill"),
        ({"draws": 1}, "inpainter.draws"),
        ({"repeats": 0}, "inpainter.repeats"),
        ({"learner": {"kind": "diffusion", "record": 5}}, "inpainter.learner.record"),
    ],
)
def test_settings_that_are_none(settings, words):
    with pytest.raises(SpecError, match=words):
        MaskedDiffusion(**settings)


@pytest.mark.parametrize(
    ("settings", "data", "words"),
    [
        ({"learner": "flow"}, "digits", "must be of kind diffusion"),
        ({"learner": {**TINY, "labels": "use"}}, "digits", "labels must be ignore"),
        ({"sampler": "dimm"}, "digits", "did you mean"),
        ({}, "gaussian_field", "a range of values"),
    ],
)
def test_refused_before_the_start(settings, data, words):
    process = {"kind": "inpainting", "data": data, "features": "none", "square": 2}
    process["inpainter"] = {"kind": "masked_diffusion", **settings}
    with pytest.raises(SpecError, match=words):
        autophage.run({"process": process})


@pytest.mark.slow
def test_the_mean_loses_more_detail_than_a_sample(tmp_path):
    """Sheet C.4 in small, one network for both arms; and a resumed run takes its network from disk."""
    learner = {**TINY, "records": 30_000, "warmup": 2000, "network": {"kind": "small_unet", "width": 16}}
    arms = {
        "mean": {"kind": "masked_diffusion", "learner": learner, "steps": 8, "fill": "mean", "draws": 4},
        "sampled": {"kind": "masked_diffusion", "learner": learner, "steps": 8},
    }
    process = {"kind": "inpainting", "data": "digits", "inpainter": arms, "pictures": 48, "volume_step": 100}
    run = autophage.run(
        {"seed": 0, "generations": 3, "process": {**process, "features": "none"}}, tmp_path / "run"
    )
    left = {
        agent: rows.filter((rows["metric"] == "high_frequency_relative") & (rows["generation"] == 2))[
            "value"
        ][0]
        for agent in arms
        for rows in [run.rows(agent)]
    }
    assert 1 - left["mean"] >= 2 * (1 - left["sampled"]) and left["mean"] < 0.8
