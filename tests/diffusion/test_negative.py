"""Two denoisers as one: what exact Gaussian ones draw through the samplers, and the algebra around it."""

from __future__ import annotations

import pytest
import torch

from autophage.diffusion.exact import ExactGaussian
from autophage.diffusion.guidance import Guided
from autophage.diffusion.negative import Extrapolated, Tally, Watched, of_velocity
from autophage.diffusion.samplers import make_sampler
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.theory.extrapolation import variance

HIGH = 3000.0
"""Where the ODE begins: high enough for infinity."""


def unused(step: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def ladder(steps: int) -> torch.Tensor:
    """Levels evenly spaced in their logarithm, then 0."""
    levels = torch.logspace(torch.tensor(HIGH).log10(), -4, steps, dtype=torch.float64)
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])


def stretch(denoise) -> float:
    """The factor by which the probability-flow ODE of a linear denoiser takes y at the highest level to a record."""
    y = torch.full((1, 1), HIGH, dtype=torch.float64)
    return float(make_sampler("heun").sample(denoise, y, ladder(600), unused)) / HIGH


@pytest.mark.parametrize(
    ("base", "auxiliary", "omega", "expected"),
    [(0.9, 0.81, 1.0, 1.0), (0.9, 0.81, 0.5, 0.948683), (0.8, 0.7, 1.5, 0.977413), (1.2, 1.3, 1.0, 1.107692)],
)
def test_the_ode_draws_the_variance_of_the_closed_form(base, auxiliary, omega, expected):
    """D1. The flow is linear, so that its factor squared times the noise's variance is the variance drawn."""
    both = Extrapolated(ExactGaussian([0.0], base), ExactGaussian([0.0], auxiliary), omega)
    drawn = (stretch(both) * HIGH) ** 2
    assert drawn == pytest.approx(expected, abs=1e-3)
    assert drawn == pytest.approx(variance(base, auxiliary, omega), abs=1e-3)


def test_a_weight_of_zero_is_the_base_itself_and_one_of_minus_one_the_auxiliary():
    y, sigma = torch.randn((5, 2), generator=Key(0).torch(), dtype=torch.float64), torch.tensor(0.7)
    base, auxiliary = ExactGaussian([0.0, 1.0], 2.0), ExactGaussian([1.0, 0.0], 0.5)
    said = base(y, sigma)

    def broken(y, sigma, label=None):
        raise AssertionError("at weight 0 the auxiliary is not asked")

    assert Extrapolated(lambda *a: said, broken, 0.0)(y, sigma) is said
    torch.testing.assert_close(Extrapolated(base, auxiliary, -1.0)(y, sigma), auxiliary(y, sigma))
    torch.testing.assert_close(
        Extrapolated(base, auxiliary, 0.3)(y, sigma), 1.3 * base(y, sigma) - 0.3 * auxiliary(y, sigma)
    )


def test_scores_are_extrapolated_by_the_same_rule():
    y, sigma = torch.randn((5, 2), generator=Key(1).torch(), dtype=torch.float64), torch.tensor(0.7)
    base, auxiliary = ExactGaussian([0.0, 1.0], 2.0), ExactGaussian([1.0, 0.0], 0.5)
    score = (Extrapolated(base, auxiliary, 0.8)(y, sigma) - y) / sigma**2
    torch.testing.assert_close(score, 1.8 * base.score(y, sigma) - 0.8 * auxiliary.score(y, sigma))


def test_guiding_each_is_guiding_the_extrapolation():
    y, sigma = torch.randn((6, 1), generator=Key(2).torch(), dtype=torch.float64), torch.tensor(0.4)
    label = torch.tensor([0, 1, 0, 1, 1, 0])

    def shifted(by):
        return lambda y, sigma, label=None: y * by + (label[:, None] + by)

    inside = Extrapolated(Guided(shifted(0.5), 1.5, 2), Guided(shifted(0.2), 1.5, 2), 0.7)
    outside = Guided(Extrapolated(shifted(0.5), shifted(0.2), 0.7), 1.5, 2)
    torch.testing.assert_close(inside(y, sigma, label), outside(y, sigma, label))


def test_long_scores_are_counted():
    """Auxiliaries much narrower than the base: where y is far out the rule multiplies its score."""
    base, narrow = ExactGaussian([0.0], 1.0), ExactGaussian([0.0], 0.001)
    y, sigma, tally = torch.tensor([[1.0], [-2.0]]), torch.tensor(0.1), Tally()
    seen = Watched(Extrapolated(base, narrow, 1.0), base, tally)
    torch.testing.assert_close(seen(y, sigma), Extrapolated(base, narrow, 1.0)(y, sigma))
    # (1.01^-1 (1 + w) - w .011^-1) / 1.01^-1 = 2 - 1.01 / .011 = -89.8
    assert (tally.above, tally.of, tally.share) == (2, 2, 1.0)
    Watched(Extrapolated(base, base, 4.0), base, tally)(y, sigma)
    assert (tally.above, tally.share) == (2, 0.5)
    assert Tally().share == 0


def test_a_velocity_stands_for_its_score():
    """For N(0, I) on both sides v = (2 t - 1) x / (t^2 + (1 - t)^2), and the score of x_t is -x / (t^2 + (1 - t)^2)."""
    x, t = torch.tensor([[1.5], [-0.3]], dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    total = t**2 + (1 - t) ** 2
    found = of_velocity(x, t, (2 * t - 1) * x / total)
    torch.testing.assert_close(found / (1 - t), -x / total)


def test_what_cannot_be_is_refused():
    base = ExactGaussian([0.0], 1.0)
    for wrong in (-1.5, float("nan"), float("inf"), True, "1"):
        with pytest.raises(SpecError, match="weight of an extrapolation"):
            Extrapolated(base, base, wrong)
    y = torch.zeros(3, 1)
    with pytest.raises(SpecError, match="must be equal"):
        Extrapolated(base, lambda *a: torch.zeros(3, 2), 1.0)(y, torch.tensor(1.0))
    broken = Extrapolated(base, lambda y, *a: y * float("nan"), 1.0)
    with pytest.raises(FitFailed, match="not finite"):
        make_sampler("ddim").sample(broken, y, torch.tensor([1.0, 0.0]), unused)
