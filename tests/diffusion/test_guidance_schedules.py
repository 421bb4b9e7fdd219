"""Guidance whose weight changes on the way: on exact Gaussians, with every sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autophage.diffusion.exact import ExactGaussian
from autophage.diffusion.guidance import Decaying, Guided, within
from autophage.diffusion.noise import LogNormal, cosine, linear
from autophage.diffusion.samplers import SAMPLERS, make_sampler
from autophage.errors import SpecError
from autophage.theory.guided_chain import decaying_variance, guided_variance, variance_course

GIVEN, FREE = ExactGaussian([0.0], 0.5), ExactGaussian([0.0], 1.0)
FINE = torch.cat(
    [torch.linspace(80 ** (1 / 5), 0.01 ** (1 / 5), 240, dtype=torch.float64) ** 5, torch.zeros(1).double()]
)


def pair(y, sigma, label=None):
    """Label 0: N(0, .5), label 1, the null one: N(0, 1)."""
    return torch.where((label == 0)[:, None], GIVEN(y, sigma), FREE(y, sigma))


def level(*sigma: float) -> torch.Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


def drawn(denoise, sampler="heun", ladder=FINE, n=1, **settings):
    """What becomes of n equal records of one deviation, or of draws where the sampler is random."""
    start = torch.ones(n, 1, dtype=torch.float64) * math.hypot(math.sqrt(0.5), float(ladder[0]))
    noise = torch.Generator().manual_seed(1)

    def draw(step):
        return torch.randn(n, 1, generator=noise, dtype=torch.float64)

    label = torch.zeros(n, dtype=torch.long)
    return make_sampler(sampler, **settings).sample(denoise, start, ladder, draw, label)


# Laws of the flow


@pytest.mark.parametrize("rate", [0.5, 2.0, 6.0])
def test_decaying_variance_of_the_flow(rate):
    """The sampler's own variance (the flow is linear) against the integral over the ladder."""
    schedule = Decaying(rate, FINE.tolist())
    found = float(drawn(Guided(pair, 2.0, 1, schedule=schedule))) ** 2
    assert found == pytest.approx(decaying_variance(0.5, 1.0, 2.0, rate, FINE.tolist()), rel=1e-3)
    assert guided_variance(0.5, 1.0, 2.0) < found < 0.5


def test_decay_within_an_interval_is_the_product():
    schedule = Decaying(2.0, FINE.tolist())
    both = Guided(pair, 2.0, 1, above=0.5, up_to=3.0, schedule=schedule)
    y, label = torch.ones(4, 1).double(), torch.zeros(4, dtype=torch.long)
    sigma = level(0.4, 0.6, 2.9, 3.1)
    share = schedule(sigma) * level(0, 1, 1, 0)
    given, free = pair(y, sigma, label), pair(y, sigma, label + 1)
    torch.testing.assert_close(both(y, sigma, label), given + 2.0 * share[:, None] * (given - free))


def test_r1_a_chain_of_guided_samplers():
    """Check R1 through the sampler: each model's exact law is its predecessor's guided variance."""
    variance = 0.5
    for expected in variance_course(0.5, 1.0, 0.2, 3)[1:]:
        law = ExactGaussian([0.0], variance)

        def both(y, sigma, label=None, law=law):
            return torch.where((label == 0)[:, None], law(y, sigma), FREE(y, sigma))

        start = torch.ones(1, 1, dtype=torch.float64) * math.hypot(math.sqrt(variance), 80)
        end = make_sampler("heun").sample(
            Guided(both, 0.2, 1), start, FINE, torch.zeros, torch.zeros(1, dtype=torch.long)
        )
        variance = float(end) ** 2
        assert variance == pytest.approx(expected, rel=2e-3)


def test_r4_no_weight_any_schedule():
    """Check R4: the plain sampler's very numbers; and its variance, extrapolated from two step sizes of a rule of order 2, is
    s^2 within 1e-6."""
    plain = drawn(lambda y, sigma, label=None: pair(y, sigma, label))
    for schedule in (None, Decaying(3.0, FINE.tolist())):
        assert torch.equal(drawn(Guided(pair, 0.0, 1, above=0.5, schedule=schedule)), plain)

    def variance(steps):
        levels = torch.linspace(80 ** (1 / 7), 1e-4 ** (1 / 7), steps + 1, dtype=torch.float64) ** 7
        ladder = torch.cat([levels, torch.zeros(1).double()])
        free = Guided(pair, 0.0, 1, schedule=Decaying(3.0, ladder.tolist()))
        return float(drawn(free, ladder=ladder)) ** 2

    assert (4 * variance(600) - variance(300)) / 3 == pytest.approx(0.5, abs=1e-6)


# The schedule


@pytest.mark.parametrize(
    "ladder", [LogNormal().ladder(12), linear(50).ladder(12), cosine(40).timestep_ladder(8)]
)
def test_how_far_sampling_has_come_is_the_place_in_the_ladder(ladder):
    schedule = Decaying(2.0, ladder.tolist())
    steps = len(ladder) - 1
    np.testing.assert_allclose(schedule(ladder), np.exp(-2.0 * np.arange(steps + 1) / steps), rtol=1e-12)
    between = (ladder[3] + ladder[4]) / 2
    assert float(schedule(between)) == pytest.approx(math.exp(-2.0 * 3.5 / steps))
    assert float(schedule(2 * ladder[0])) == 1.0, "churn may lead above the ladder"


@pytest.mark.parametrize(
    ("name", "settings"),
    [(n, {}) for n in SAMPLERS]
    + [("euler", {"churn": 40.0}), ("heun", {"churn": 40.0}), ("ddim", {"eta": 1.0})],
)
def test_every_sampler_asks_for_levels_where_the_weight_is_defined(name, settings):
    ladder, asked = LogNormal().ladder(9), []
    schedule = Decaying(5.0, ladder.tolist())

    def watched(sigma):
        asked.append((float(sigma), float(schedule(sigma))))
        return schedule(sigma)

    end = drawn(Guided(pair, 1.5, 1, schedule=watched), name, ladder, n=3, **settings)
    assert end.isfinite().all() and len(asked) >= 9
    assert all(math.exp(-5) <= share <= 1 for _, share in asked)
    assert len({share for _, share in asked}) >= 8
    levels, shares = zip(*asked, strict=True)
    assert max(levels) >= float(ladder[0]) and min(shares) < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_decay_is_constant_guidance_bit_for_bit(name):
    ladder = LogNormal().ladder(9)
    constant = drawn(Guided(pair, 1.5, 1), name, ladder, n=3)
    for schedule in (Decaying(0.0, ladder.tolist()), lambda sigma: torch.ones_like(sigma)):
        assert torch.equal(drawn(Guided(pair, 1.5, 1, schedule=schedule), name, ladder, n=3), constant)
    assert not torch.equal(
        drawn(Guided(pair, 1.5, 1, schedule=Decaying(1.0, ladder.tolist())), name, ladder, n=3), constant
    )


def test_where_the_schedule_is_zero_the_plain_tensor_comes_back():
    kept = torch.randn(3, 2)
    guided = Guided(lambda y, sigma, label=None: kept, 2.0, 3, schedule=lambda sigma: 0 * sigma)
    assert guided(torch.randn(3, 2), level(1.0)[0], torch.tensor([0, 1, 2])) is kept


def test_intervals_have_no_bound_at_zero_and_infinity():
    assert within(level(0.0, 1.0), 0.0, math.inf).all()
    assert within(level(0.5, 0.6, 2.0, 2.1), 0.5, 2.0).tolist() == [False, True, True, False]


def asked_at(schedule, sigma=None):
    sigma = level(0.7)[0] if sigma is None else sigma
    y = torch.zeros(2, 1, dtype=torch.float64)
    return Guided(pair, 1.0, 1, schedule=schedule)(y, sigma, torch.zeros(2, dtype=torch.long))


BAD = {
    "nan": (lambda: asked_at(lambda s: s * math.nan), "guidance.schedule is nan at noise level 0.7"),
    "negative": (lambda: asked_at(lambda s: 1 - s, level(0.5, 1.5)), "is -0.5 at noise level 1.5"),
    "infinite": (lambda: asked_at(lambda s: s / 0), "guidance.schedule is inf"),
    "shape": (lambda: asked_at(lambda s: torch.ones(3)), r"returned shape \(3,\) for levels of shape \(\)"),
    "rate": (lambda: Decaying(-1.0, (1.0, 0.0)), "guidance.rate is -1.0"),
    "rate_nan": (lambda: Decaying(math.nan, (1.0, 0.0)), "guidance.rate is nan"),
    "rate_inf": (lambda: Decaying(math.inf, (1.0, 0.0)), "guidance.rate is inf"),
    "rising": (lambda: Decaying(1.0, (0.0, 1.0)), "each below the one before"),
    "single": (lambda: Decaying(1.0, (1.0,)), "at least two finite noise levels"),
    "below": (lambda: Decaying(1.0, (3.0, 1.0))(level(0.5)), "asked for a level below them"),
    "level_nan": (lambda: Decaying(1.0, (3.0, 0.0))(level(math.nan)), "or not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_schedules_that_are_none_are_refused(name):
    make, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        make()
