"""Noise laws: the papers' formulas, written out a second time; ladders; conditioning numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from autophage.diffusion import noise
from autophage.errors import SpecError
from autophage.keys import Key

LAWS = {
    "linear": noise.linear(),
    "cosine": noise.cosine(),
    "vp": noise.VariancePreserving(),
    "ve": noise.VarianceExploding(),
    "edm": noise.LogNormal(),
}


def test_the_linear_chain_is_that_of_ddpm() -> None:
    betas = np.linspace(1e-4, 0.02, 1000)
    kept = np.cumprod(1 - betas)
    np.testing.assert_allclose(LAWS["linear"].levels, np.sqrt((1 - kept) / kept), rtol=1e-12)  # type: ignore[attr-defined]
    assert kept[-1] == pytest.approx(4.036e-5, rel=1e-3)  # pure noise, nearly


def test_a_shorter_linear_chain_ends_as_noisy() -> None:
    assert noise.linear(250).highest == pytest.approx(LAWS["linear"].highest, rel=0.15)


def test_the_cosine_chain_is_equation_17() -> None:
    chain = noise.cosine(100)
    f = [math.cos((k / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(101)]
    kept = 1.0
    for k in range(100):
        kept *= 1 - min(1 - f[k + 1] / f[k], 0.999)
        assert float(chain.levels[k]) == pytest.approx(math.sqrt((1 - kept) / kept), rel=1e-9)
    assert chain.betas[-1] == 0.999


def test_the_continuous_law_is_the_limit_of_the_linear_chain() -> None:
    vp = LAWS["vp"]
    assert vp.highest == pytest.approx(math.sqrt(math.exp(0.5 * 19.9 + 0.1) - 1))
    assert vp.highest == pytest.approx(LAWS["linear"].highest, rel=0.06)


@pytest.mark.parametrize("name", LAWS)
def test_levels_follow_their_law(name: str) -> None:
    law = LAWS[name]
    drawn = law.draw(20_000, Key(1).torch()).numpy()
    laws = {
        "edm": stats.lognorm(1.2, scale=math.exp(-1.2)).cdf,
        "ve": lambda s: np.log(s / 0.02) / math.log(5000),
        "vp": lambda s: (law.conditioning(torch.from_numpy(s)).numpy() / 999 - 1e-5) / (1 - 1e-5),
    }
    if name in laws:
        assert stats.kstest(drawn, laws[name]).pvalue > 1e-4
        return
    steps = law.conditioning(torch.from_numpy(drawn)).numpy()
    assert np.array_equal(steps, steps.round())
    # Chi-square of 1,000 equally likely steps: mean 999, standard deviation sqrt(2 * 999).
    counts = np.bincount(steps.astype(int), minlength=1000)
    assert abs(((counts - 20) ** 2 / 20).sum() - 999) < 5 * math.sqrt(2 * 999)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_level_of_the_chain_is_its_step_and_others_lie_between(name: str) -> None:
    law = LAWS[name]
    assert torch.equal(law.conditioning(law.levels), torch.arange(1000).double())  # type: ignore[attr-defined]
    between = (law.levels[10] * law.levels[11]).sqrt()  # type: ignore[attr-defined]
    assert float(law.conditioning(between)) == pytest.approx(10.5)
    assert float(law.conditioning(torch.tensor(1e9))) == 999


def test_conditioning_of_the_continuous_laws() -> None:
    vp = LAWS["vp"]
    t = 0.3
    sigma = torch.tensor(math.sqrt(math.exp(0.5 * 19.9 * t * t + 0.1 * t) - 1)).double()
    assert float(vp.conditioning(sigma)) == pytest.approx(999 * t)
    assert float(LAWS["edm"].conditioning(torch.tensor(2.0).double())) == pytest.approx(250 * math.log(2) / 4)
    assert float(LAWS["ve"].conditioning(torch.tensor(2.0).double())) == pytest.approx(0)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("steps", [1, 2, 18])
def test_ladders_fall_from_the_highest_to_zero(name: str, steps: int) -> None:
    law = LAWS[name]
    ladder = law.ladder(steps)
    assert len(ladder) == steps + 1 and ladder[-1] == 0 and bool((ladder.diff() < 0).all())
    assert float(ladder[0]) == pytest.approx(law.highest)
    if steps > 1:
        assert float(ladder[-2]) == pytest.approx(law.lowest)


def test_the_ladder_of_edm_is_equation_5() -> None:
    ladder = LAWS["edm"].ladder(18)
    for i in range(18):
        expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        assert float(ladder[i]) == pytest.approx(expected)


def test_steps_of_a_chain() -> None:
    chain = noise.linear(1000)
    known = {float(v): k for k, v in enumerate(chain.levels)}

    def steps(n: int, spacing: noise.Spacing) -> list[int]:
        return [known[float(v)] for v in chain.timestep_ladder(n, spacing)[:-1]]

    assert steps(4, "trailing") == [999, 749, 499, 249]
    assert steps(4, "leading") == [750, 500, 250, 0]
    assert steps(4, "linspace") == [999, 666, 333, 0]
    assert steps(5, "quadratic") == [799, 450, 200, 50, 0]
    assert steps(1000, "trailing") == list(range(999, -1, -1)) == steps(1000, "leading")
    with pytest.raises(SpecError, match="sampling.steps is 1001; a chain of 1000 steps allows 1 to 1000"):
        chain.timestep_ladder(1001)
    with pytest.raises(SpecError, match="needs at least 1 step"):
        chain.ladder(0)


def test_pure_noise_has_the_right_spread() -> None:
    assert LAWS["edm"].prior == 80
    assert LAWS["linear"].prior == pytest.approx(math.sqrt(1 + LAWS["linear"].highest ** 2))
