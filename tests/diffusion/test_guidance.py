"""Guidance on models whose densities are known: two Gaussians on a line, and pairs of Gaussians."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from autophage.diffusion.exact import ExactGaussian, ExactMixture
from autophage.diffusion.guidance import Guided, bias_of_weight, weight_of_bias
from autophage.diffusion.samplers import make_sampler
from autophage.errors import SpecError

TWO = ExactMixture([0.3, 0.7], [[-0.5], [1.0]], [0.25, 0.64])
"""Class 0: N(-0.5, 0.25), class 1: N(1, 0.64); null = 2."""
CLASS = 0
WEIGHTS = [-0.5, 0.5, 2.0]


def level(sigma: float) -> torch.Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


def labels(y: torch.Tensor) -> torch.Tensor:
    return torch.full((len(y),), CLASS)


def guided(y: np.ndarray, weight: float, sigma: float) -> np.ndarray:
    """The guided denoiser on the line."""
    at = torch.tensor(y)[:, None]
    return Guided(TWO, weight, TWO.null)(at, level(sigma), labels(at))[:, 0].numpy()


def log_tilted(y: np.ndarray, weight: float, sigma: float) -> np.ndarray:
    """ln p(y | c)^(1 + w) / p(y)^w at a noise level, by scipy."""
    given = norm.logpdf(y, -0.5, math.hypot(0.5, sigma))
    free = np.logaddexp(math.log(0.3) + given, math.log(0.7) + norm.logpdf(y, 1.0, math.hypot(0.8, sigma)))
    return (1 + weight) * given - weight * free


class Pair:
    """Label 0: N(m, a), label 1, the null one: N(m_u, b); it counts what it is asked."""

    def __init__(self, given: ExactGaussian, free: ExactGaussian) -> None:
        self.given, self.free = given, free
        self.asked: list[int] = []

    def __call__(self, y, sigma, label=None):
        self.asked.append(len(y))
        chosen = (label == 0).reshape(-1, *(1,) * (y.ndim - 1))
        return torch.where(chosen, self.given(y, sigma), self.free(y, sigma))


def pair(given: float = 0.5, free: float = 1.0) -> Pair:
    return Pair(ExactGaussian([0.0], given), ExactGaussian([0.0], free))


# The guided score on two Gaussians


@pytest.mark.parametrize("sigma", [0.05, 0.6, 4.0])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_guided_denoiser_is_the_slope_of_the_tilted_density(weight, sigma):
    """(D_w - y) / sigma^2 against central differences of ln p_sigma(y | c)^(1 + w) / p_sigma(y)^w."""
    y, h = np.linspace(-2, 3, 41), 1e-5
    slope = (log_tilted(y + h, weight, sigma) - log_tilted(y - h, weight, sigma)) / (2 * h)
    np.testing.assert_allclose((guided(y, weight, sigma) - y) / sigma**2, slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_guidance_adds_the_slope_of_the_classifier(weight):
    """D_w = D(y; c) + w sigma^2 d ln p(c | y) / dy."""
    sigma, h = 0.6, 1e-5
    y = np.linspace(-2, 3, 41)

    def log_share(at):
        return TWO.shares(torch.tensor(at)[:, None], level(sigma))[:, CLASS].log().numpy()

    slope = (log_share(y + h) - log_share(y - h)) / (2 * h)
    np.testing.assert_allclose(
        guided(y, weight, sigma) - guided(y, 0.0, sigma), weight * sigma**2 * slope, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_guided_mode_is_that_of_the_tilted_density(weight):
    """y -> D_w(y) climbs to a mode (it is mean shift); the tilted density's is found on a grid."""
    sigma, y = 0.3, np.array([-0.5])
    for _ in range(200):
        y = guided(y, weight, sigma)
    grid = np.linspace(-2, 1, 300_001)
    assert y[0] == pytest.approx(grid[log_tilted(grid, weight, sigma).argmax()], abs=2e-5)
    assert y[0] < -0.5, "guidance pushes away from the other class"


@pytest.mark.parametrize("weight", [0.5, 2.0])
@pytest.mark.parametrize("test", [np.sin, np.tanh, np.square], ids=["sin", "tanh", "square"])
def test_tilted_density_is_at_rest_under_the_guided_score(weight, test):
    """Stein's identity, E[f'' + score f'] = 0 under the tilted density, by quadrature: Langevin steps with the guided
    score keep that density."""
    sigma, y = 0.3, np.linspace(-6, 6, 4001)
    density = np.exp(log_tilted(y, weight, sigma))
    density /= density.sum()
    first = np.gradient(test(y), y)
    second = np.gradient(first, y)
    terms = second, (guided(y, weight, sigma) - y) / sigma**2 * first
    assert abs((density * sum(terms)).sum()) < 1e-4
    assert max(abs((density * term).sum()) for term in terms) > 0.01


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_at_little_noise_the_guided_score_is_that_of_the_tilted_data(weight):
    """Its density, from the integrated score at sigma = 0.01, has the mean, variance and class share of
    p(x | c)^(1 + w) / p(x)^w at sigma = 0."""
    sigma, y = 0.01, np.linspace(-5, 4, 18_001)
    score = (guided(y, weight, sigma) - y) / sigma**2
    steps = np.diff(y) * (score[1:] + score[:-1]) / 2
    shares = TWO.shares(torch.tensor(y)[:, None], level(1e-9))[:, CLASS].numpy()

    def summary(log_density):
        p = np.exp(log_density - log_density.max())
        p /= p.sum()
        mean = (p * y).sum()
        return mean, (p * (y - mean) ** 2).sum(), (p * shares).sum()

    found = summary(np.concatenate([[0.0], np.cumsum(steps)]))
    assert found == pytest.approx(summary(log_tilted(y, weight, 0.0)), rel=2e-3)


def test_class_share_of_guided_samples_grows_with_the_weight():
    """Quantiles of the class at a high level, carried down by the ODE: what is drawn looks more and more like its class."""
    ladder = torch.cat(
        [torch.logspace(2.5, -2, 45, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)]
    )
    start = torch.tensor(norm.ppf((np.arange(100) + 0.5) / 100, -0.5, math.hypot(0.5, float(ladder[0]))))[
        :, None
    ]

    def share(weight):
        drawn = make_sampler("dpmpp_2m").sample(
            Guided(TWO, weight, TWO.null), start, ladder, torch.zeros, labels(start)
        )
        return float(TWO.shares(drawn, level(1e-9))[:, CLASS].mean())

    shares = [share(w) for w in (-1.0, -0.5, 0.0, 0.5, 1.0, 3.0)]
    assert all(b > a + 0.01 for a, b in itertools.pairwise(shares))
    x = np.linspace(-6, 6, 8001)
    plain = TWO.shares(torch.tensor(x)[:, None], level(1e-9))[:, CLASS].numpy()
    assert shares[0] == pytest.approx(0.3, abs=0.01), "unconditional: the class's own share"
    assert shares[2] == pytest.approx((plain * norm.pdf(x, -0.5, 0.5)).sum() * (x[1] - x[0]), abs=0.003)


# Pairs of Gaussians: closed forms of the guided flow


def flowed(denoise, border: float = 0.0, steps: int = 240) -> float:
    """Variance at 0 of the guided ODE from N(0, a + 80^2), exactly: the flow is linear. No step of size leads over the
    interval's border."""
    levels = torch.linspace(80 ** (1 / 5), 0.01 ** (1 / 5), steps, dtype=torch.float64) ** 5
    if border:
        levels = (
            torch.cat([levels, torch.tensor([border * (1 + 1e-9), border], dtype=torch.float64)])
            .sort()
            .values.flip(0)
        )
    ladder = torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
    start = torch.ones(1, 1, dtype=torch.float64)
    end = make_sampler("heun").sample(denoise, start, ladder, torch.zeros, torch.zeros(1, dtype=torch.long))
    return float(end) ** 2 * (0.5 + 80**2)


@pytest.mark.parametrize(("weight", "expected"), [(0.2, 0.43528), (1.0, 0.25)])
def test_r2_guided_variance_of_the_flow(weight, expected):
    """Check R2 of the mitigations sheet, a = .5, b = 1: a (a/b)^w, its w being 1 + ours."""
    assert flowed(Guided(pair(), weight, 1)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("above", "expected"), [(0.1, 0.12749), (0.5, 0.18), (1.0, 0.28125), (3.0, 0.45125)])
def test_r3_guidance_above_a_level_only(above, expected):
    """Check R3, w = 2: a ((a + sc^2) / (b + sc^2))^w; guidance at high noise is almost free."""
    assert flowed(Guided(pair(), 2.0, 1, above=above), above) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("up_to", "expected"), [(0.5, 0.34722), (3.0, 0.13850)])
def test_c3_guidance_up_to_a_level_only(up_to, expected):
    """The other half of C3: a (a/b (b + sc^2) / (a + sc^2))^w."""
    assert expected == pytest.approx(0.5 * (0.5 * (1 + up_to**2) / (0.5 + up_to**2)) ** 2, rel=1e-4)
    assert flowed(Guided(pair(), 2.0, 1, up_to=up_to), up_to) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("above", [0.0, 0.5, 3.0])
def test_r4_weight_zero_keeps_the_variance(above):
    """Check R4: no weight, any interval."""
    assert flowed(Guided(pair(), 0.0, 1, above=above)) == pytest.approx(0.5, rel=1e-3)


def test_c2_the_same_law_twice_is_not_guided():
    assert flowed(Guided(pair(0.5, 0.5), 3.0, 1)) == pytest.approx(0.5, rel=1e-3)


def test_the_flow_does_not_draw_the_tilted_density():
    """Guidance tilts each level, not the data: the flow's variance is a (a/b)^w, the tilted density's another."""
    a, b, w = 0.5, 1.0, 1.0
    found, tilted = flowed(Guided(pair(a, b), w, 1)), 1 / ((1 + w) / a - w / b)
    assert tilted == pytest.approx(1 / 3)
    assert abs(found - tilted) > 0.05


# The wrapper


def test_weight_zero_is_the_very_same_tensor_after_one_plain_evaluation():
    kept = torch.randn(3, 2)
    asked = []

    def denoise(y, sigma, label=None):
        asked.append((y, sigma, label))
        return kept

    y, sigma, label = torch.randn(3, 2), torch.tensor(1.0), torch.tensor([0, 1, 2])
    assert Guided(denoise, 0.0, 3)(y, sigma, label) is kept
    assert Guided(denoise, 0.0, 3)(y, sigma) is kept
    assert Guided(denoise, 2.0, 3, above=1.0)(y, sigma) is kept, "a level on the lower end is not guided"
    assert Guided(denoise, 2.0, 3, up_to=0.5)(y, sigma, label) is kept
    assert [a[0] is y and a[1] is sigma for a in asked] == [True] * 4
    assert [a[2] is label for a in asked] == [True, False, False, True]


def test_both_halves_are_one_evaluation():
    model, y = pair(), torch.randn(5, 1, dtype=torch.float64)
    found = Guided(model, 1.5, 1)(y, level(0.7), torch.zeros(5, dtype=torch.long))
    assert model.asked == [10]
    torch.testing.assert_close(found, 2.5 * model.given(y, level(0.7)) - 1.5 * model.free(y, level(0.7)))


def test_weight_minus_one_is_unconditional():
    y = torch.linspace(-2, 3, 11, dtype=torch.float64)[:, None]
    assert torch.equal(Guided(TWO, -1.0, 2)(y, level(0.7), labels(y)), TWO(y, level(0.7)))


def test_a_record_without_a_class_is_left_alone():
    y = torch.linspace(-2, 3, 3, dtype=torch.float64)[:, None]
    found = Guided(TWO, 4.0, 2)(y, level(0.7), torch.tensor([2, 0, 2]))
    torch.testing.assert_close(found[[0, 2]], TWO(y[[0, 2]], level(0.7)))
    assert abs(float(found[1] - TWO(y, level(0.7))[1])) > 0.1


def test_each_record_may_have_its_own_level():
    y = torch.randn(6, 1, 1, 1, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.5, 0.7, 2.0, 2.1, 9.0], dtype=torch.float64)
    label = torch.zeros(6, dtype=torch.long)
    wrapped = Guided(pair(), 1.5, 1, above=0.5, up_to=2.0)
    rows = [wrapped(y[i : i + 1], sigma[i], label[:1]) for i in range(6)]
    torch.testing.assert_close(wrapped(y, sigma, label), torch.cat(rows))
    plain = pair()(y, sigma, label)
    assert [bool(v) for v in (wrapped(y, sigma, label) != plain).ravel()] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_types_are_kept():
    y = torch.randn(4, 1)
    for sigma in (level(0.7), torch.full((4,), 0.7, dtype=torch.float64)):
        assert (
            Guided(pair(), 1.0, 1, above=0.1)(y, sigma, torch.zeros(4, dtype=torch.long)).dtype
            == torch.float32
        )


class Moments(Pair):
    """Learned variances: .1 where there is a class, .9 where there is none."""

    def moments(self, y, sigma, label=None):
        v = torch.where(label == 0, 0.1, 0.9)[:, None].expand(y.shape)
        return self(y, sigma, label), v


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_learned_variances_are_those_of_the_class(weight):
    model = Moments(ExactGaussian([0.0], 0.5), ExactGaussian([0.0], 1.0))
    y, label = torch.randn(4, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.long)
    x0, v = Guided(model, weight, 1).moments(y, level(0.7), label)
    assert torch.equal(v, torch.full((4, 1), 0.1))
    assert torch.equal(x0, Guided(model, weight, 1)(y, level(0.7), label))


def test_a_model_without_learned_variances_has_none_when_guided():
    y, label = torch.randn(4, 1, dtype=torch.float64), torch.zeros(4, dtype=torch.long)
    x0, v = Guided(pair(), 2.0, 1).moments(y, level(0.7), label)
    assert v is None and torch.equal(x0, Guided(pair(), 2.0, 1)(y, level(0.7), label))
    model = pair()
    model.moments = lambda y, sigma, label=None: (model(y, sigma, label), None)
    assert Guided(model, 2.0, 1).moments(y, level(0.7), label)[1] is None
    with pytest.raises(SpecError, match="has learned none"):
        make_sampler("ancestral", variance="learned").sample(
            Guided(model, 2.0, 1), y, torch.tensor([1.0, 0.0]), torch.zeros, label
        )


# The sampling bias


@pytest.mark.parametrize(("bias", "weight"), [(1, 0.0), (0.8, 0.25), (2 / 3, 0.5), (0.5, 1.0), (0.1, 9.0)])
def test_bias_and_weight(bias, weight):
    """lambda = 1 / (1 + w), both ways."""
    assert weight_of_bias(bias) == pytest.approx(weight, abs=1e-15)
    assert bias_of_weight(weight) == pytest.approx(bias)


# Refusals

BAD = {
    "weight_nan": (lambda: Guided(TWO, math.nan, 2), "guidance.weight is nan"),
    "weight_inf": (lambda: Guided(TWO, math.inf, 2), "guidance.weight is inf"),
    "weight_below": (lambda: Guided(TWO, -1.5, 2), "at least -1"),
    "weight_text": (lambda: Guided(TWO, "2", 2), "guidance.weight is '2'"),
    "weight_true": (lambda: Guided(TWO, True, 2), "guidance.weight is True"),
    "null": (lambda: Guided(TWO, 1.0, -1), "guidance.null is -1"),
    "null_float": (lambda: Guided(TWO, 1.0, 2.5), "guidance.null is 2.5"),
    "above": (lambda: Guided(TWO, 1.0, 2, above=-1.0), "guidance.above is -1"),
    "above_nan": (lambda: Guided(TWO, 1.0, 2, above=math.nan), "guidance.above is nan"),
    "up_to": (lambda: Guided(TWO, 1.0, 2, above=1.0, up_to=1.0), "guidance.up_to is 1.0"),
    "up_to_nan": (lambda: Guided(TWO, 1.0, 2, up_to=math.nan), "guidance.up_to is nan"),
    "no_label": (
        lambda: Guided(TWO, 1.0, 2)(torch.zeros(3, 1), level(1.0)),
        "needs the class of every record",
    ),
    "bias_zero": (lambda: weight_of_bias(0), "without bound"),
    "bias_above": (lambda: weight_of_bias(1.1), r"sampling.bias is 1.1"),
    "bias_nan": (lambda: weight_of_bias(math.nan), "sampling.bias is nan"),
    "bias_of_below": (lambda: bias_of_weight(-0.5), "only a weight of 0 or above"),
    "bias_of_nan": (lambda: bias_of_weight(math.nan), "guidance.weight is nan"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_guided_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        make()
