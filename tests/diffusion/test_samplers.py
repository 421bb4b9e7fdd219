"""Samplers against exact denoisers: moments without Monte-Carlo, measured orders, textbook steps, other libraries."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from autophage.diffusion.exact import ExactGaussian, ExactMixture
from autophage.diffusion.samplers import SAMPLERS, make_sampler
from autophage.diffusion.samplers.ancestral import variances
from autophage.diffusion.samplers.heun import LARGEST_CHURN
from autophage.diffusion.samplers.sampler import Sampler, State
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key

DOUBLE = torch.float64
ROOT = torch.tensor([[1.0, 0.4, 0.1], [0.0, 0.6, -0.2], [0.3, 0.0, 0.15]], dtype=DOUBLE)
GAUSSIAN = ExactGaussian([0.5, -1.0, 2.0], ROOT @ ROOT.T)
LINE = ExactMixture([0.3, 0.7], [[-1.0], [1.5]], [0.04, 0.25])

EVERY: dict[str, tuple[str, dict[str, Any]]] = {
    "ancestral_small": ("ancestral", {}),
    "ancestral_large": ("ancestral", {"variance": "large"}),
    "ddim": ("ddim", {}),
    "ddim_half": ("ddim", {"eta": 0.5}),
    "ddim_full": ("ddim", {"eta": 1.0}),
    "euler": ("euler", {}),
    "euler_churn": ("euler", {"churn": 2.0}),
    "heun": ("heun", {}),
    "heun_churn": ("heun", {"churn": 10.0}),
    "heun_churn_between": ("heun", {"churn": 10.0, "churn_min": 0.1, "churn_max": 5.0}),
    "dpmpp_2m": ("dpmpp_2m", {}),
}
ORDER = {name: 2 if name.startswith(("heun", "dpmpp")) else 1 for name in EVERY}
DETERMINISTIC = ["ddim", "euler", "heun", "dpmpp_2m"]


def chosen(name: str) -> Sampler:
    kind, settings = EVERY[name]
    return make_sampler(kind, **settings)


def ladder_of(steps: int, top: float = 20.0, low: float = 0.02) -> torch.Tensor:
    """Karras et al.'s: evenly spaced in sigma^(1/7), ending above 0; with low = 0 in sigma^(1/4), down to it."""
    rho = 7 if low else 4
    return torch.linspace(top ** (1 / rho), low ** (1 / rho), steps + 1, dtype=DOUBLE) ** rho


def draws(shape: tuple[int, ...], seed: int = 5) -> Callable[[int], torch.Tensor]:
    """Standard normal noise, named by its step."""

    def draw(i: int) -> torch.Tensor:
        return torch.randn(shape, generator=(Key(seed) / "step" / i).torch(), dtype=DOUBLE)

    return draw


def silent(i: int) -> torch.Tensor:
    raise AssertionError(f"a deterministic sampler drew the noise of step {i}")


def start_of(shape: tuple[int, ...], sigma: float) -> torch.Tensor:
    return sigma * draws(shape, 8)(0)


def moments(sampler: Sampler, law: ExactGaussian, ladder: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of what the sampler draws from N(m, S + t^2 I), exactly.

    With a linear denoiser a sampler is affine in the start and in every step's noise: one run, with 0 and then each unit
    vector in each of these places, gives the whole map.
    """
    dim, steps = len(law.mean), len(ladder) - 1
    eye = torch.eye(dim, dtype=DOUBLE)
    start = torch.zeros(1 + dim + steps * dim, dim, dtype=DOUBLE)
    start[1 : 1 + dim] = eye

    def draw(i: int) -> torch.Tensor:
        noise = torch.zeros_like(start)
        noise[1 + dim + i * dim : 1 + dim + (i + 1) * dim] = eye
        return noise

    end = sampler.sample(law, start, ladder, draw)
    from_start, from_noise = (end[1:] - end[0]).split([dim, steps * dim])
    wide = law.cov + ladder[0] ** 2 * eye
    return end[0] + law.mean @ from_start, from_start.T @ wide @ from_start + from_noise.T @ from_noise


def order_of(errors: list[float], steps: list[int]) -> float:
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


# Gaussian data: moments and orders


@pytest.mark.parametrize("low", [0.02, 0.0], ids=["above_zero", "to_zero"])
@pytest.mark.parametrize("name", EVERY)
def test_moments_of_gaussian_data_are_reached_at_the_order_of_the_method(name, low):
    """The covariance's error falls as steps^-1 or steps^-2, in the last halving too; the mean is exact at every number."""
    counts, errors = [32, 64, 128], []
    for steps in counts:
        ladder = ladder_of(steps, low=low)
        mean, cov = moments(chosen(name), GAUSSIAN, ladder)
        torch.testing.assert_close(mean, GAUSSIAN.mean, rtol=0, atol=1e-12)
        target = GAUSSIAN.cov + ladder[-1] ** 2 * torch.eye(3, dtype=DOUBLE)
        errors.append(float((cov - target).norm() / target.norm()))
    band = (0.8, 1.15) if ORDER[name] == 1 else (1.9, 2.2)
    assert band[0] < order_of(errors, counts) < band[1]
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(ORDER[name], abs=0.15)
    assert errors[-1] < (0.1 if ORDER[name] == 1 else 1e-2)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_flow_itself_is_reached_record_by_record(name):
    counts, start = [32, 64, 128], start_of((6, 3), 20.0)
    errors = []
    for steps in counts:
        found = chosen(name).sample(GAUSSIAN, start, ladder_of(steps), silent)
        errors.append(float((found - GAUSSIAN.flow(start, 20.0, 0.02)).norm()))
    assert order_of(errors, counts) == pytest.approx(ORDER[name], abs=0.15)


def test_churn_noise_above_one_widens_and_below_one_narrows():
    ladder = ladder_of(128)
    spread = [
        float(moments(make_sampler("heun", churn=10.0, churn_noise=c), GAUSSIAN, ladder)[1].trace())
        for c in (0.9, 1.0, 1.1)
    ]
    assert spread[0] + 0.01 < spread[1] < spread[2] - 0.01


# Data for which a method is exact


@pytest.mark.parametrize("name", [n for n in EVERY if n != "ancestral_large"])
def test_a_point_is_reached_exactly_in_any_number_of_steps(name):
    """D is constant: every step but those of the large variance has the right law."""
    point = ExactGaussian([0.5, -1.0], 0.0)
    mean, cov = moments(chosen(name), point, torch.tensor([9.0, 2.0, 1.5, 0.1], dtype=DOUBLE))
    torch.testing.assert_close(mean, point.mean)
    torch.testing.assert_close(cov, 0.01 * torch.eye(2, dtype=DOUBLE), rtol=1e-9, atol=1e-12)
    assert torch.equal(
        chosen(name).sample(point, start_of((4, 2), 9.0), torch.tensor([9.0, 1.0, 0.0]), draws((4, 2))),
        point.mean.expand(4, 2),
    )


def test_the_large_variance_is_exact_for_standard_normal_data():
    law = ExactGaussian([0.0, 0.0], 1.0)
    ladder = torch.tensor([9.0, 2.0, 1.5, 0.1], dtype=DOUBLE)
    cov = moments(make_sampler("ancestral", variance="large"), law, ladder)[1]
    torch.testing.assert_close(cov, 1.01 * torch.eye(2, dtype=DOUBLE))
    small = moments(make_sampler("ancestral"), law, ladder)[1]
    assert float(small[0, 0]) < 0.9


class Learned:
    """A denoiser that has learned where the log variance lies; v is a number or follows the levels' law."""

    def __init__(self, law: Any, v: float | Callable[[float], float]) -> None:
        self.law, self.v = law, v

    def __call__(self, y, sigma, label=None):
        return self.law(y, sigma, label)

    def moments(self, y, sigma, label=None):
        v = self.v if isinstance(self.v, float) else self.v(float(sigma))
        return self.law(y, sigma, label), torch.full_like(y, v)


@pytest.mark.parametrize(("v", "fixed"), [(0.0, "small"), (1.0, "large")])
def test_limits_of_the_learned_variance(v, fixed):
    start, ladder = start_of((5, 3), 20.0), ladder_of(7, low=0.0)
    found = make_sampler("ancestral", variance="learned").sample(
        Learned(GAUSSIAN, v), start, ladder, draws((5, 3))
    )
    expected = make_sampler("ancestral", variance=fixed).sample(GAUSSIAN, start, ladder, draws((5, 3)))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_right_learned_variance_is_exact_for_gaussian_data():
    """x0 ~ N(0, c I): var(y_s | y_t) = (c + s^2)(t^2 - s^2) / (c + t^2) lies between b (c = 0) and B (c = 1)."""
    c, ladder = 0.3, [9.0, 2.0, 1.5, 0.1]

    def v(t: float) -> float:
        s = ladder[ladder.index(t) + 1]
        small, large = variances(t, s)
        right = (c + s * s) * (t * t - s * s) / (c + t * t)
        assert small < right < large
        return math.log(right / small) / math.log(large / small)

    law = ExactGaussian([0.0, 0.0], c)
    start = torch.zeros(1 + 2 + 6, 2, dtype=DOUBLE)
    denoise = Learned(law, v)
    start[1:3] = torch.eye(2)

    def draw(i: int) -> torch.Tensor:
        noise = torch.zeros_like(start)
        noise[3 + 2 * i : 5 + 2 * i] = torch.eye(2)
        return noise

    end = make_sampler("ancestral", variance="learned").sample(
        denoise, start, torch.tensor(ladder, dtype=DOUBLE), draw
    )
    cov = (c + 81) * end[1:3].T @ end[1:3] + end[3:].T @ end[3:]
    torch.testing.assert_close(cov, (c + 0.01) * torch.eye(2, dtype=DOUBLE))


# A mixture: no longer linear


def share_below(x: float, sigma: float) -> float:
    return 0.3 * norm.cdf(x, -1, math.hypot(0.2, sigma)) + 0.7 * norm.cdf(x, 1.5, math.hypot(0.5, sigma))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_on_a_line_the_flow_keeps_quantiles(name):
    """The flow of a law on the line is increasing and carries p_t into p_s, so F_s(y_s) = F_t(y_t), however many modes."""
    top, low, counts = 10.0, 0.05, [40, 80, 160]
    start = torch.tensor([[-14.0], [-9.0], [-6.0], [2.0], [5.0], [9.0]], dtype=DOUBLE)
    expected = [
        brentq(lambda x, y=y: share_below(x, low) - share_below(y, top), -9, 9, xtol=1e-13)
        for y in start[:, 0].tolist()
    ]
    errors = [
        float(
            (
                chosen(name).sample(LINE, start, ladder_of(n, top, low), silent)[:, 0]
                - torch.tensor(expected)
            ).norm()
        )
        for n in counts
    ]
    assert order_of(errors, counts) == pytest.approx(ORDER[name], abs=0.25)
    assert errors[-1] < (0.1 if ORDER[name] == 1 else 1e-3)


def kernel(
    sampler: Sampler, ladder: torch.Tensor, i: int, grid: torch.Tensor, below: torch.Tensor
) -> torch.Tensor:
    """(to, from) chances of step i, from where it takes each grid point with noise of -1 and of 1."""
    low, high = (
        next(
            sampler.states(
                LINE, State(grid[:, None], i), ladder, lambda _, n=n: torch.full((len(grid), 1), n)
            )
        ).y[:, 0]
        for n in (-1.0, 1.0)
    )
    return (-0.5 * ((below[:, None] - (low + high) / 2) / ((high - low) / 2)) ** 2).softmax(0)


@pytest.mark.parametrize("name", ["ancestral_small", "ancestral_large", "ddim_half"])
def test_shares_of_a_mixture_are_reached_by_noisy_steps(name):
    """The law of y is pushed through each step's Gaussian kernel on a grid, without Monte-Carlo: the share of the left mode
    and the variance come closer at order 1."""
    top, low, counts = 5.0, 0.1, [10, 20, 40]
    wanted = share_below(0.0, low), 0.3 * 0.04 + 0.7 * 0.25 + 0.21 * 2.5**2 + low**2
    errors = []
    for steps in counts:
        ladder = ladder_of(steps, top, low)
        grid = torch.linspace(-6 * top, 6 * top, 400, dtype=DOUBLE)
        mass = LINE.log_prob(grid[:, None], ladder[0]).softmax(0)
        for i, s in enumerate(ladder[1:].tolist()):
            below = torch.linspace(-2 - 6 * s, 3.5 + 6 * s, 400, dtype=DOUBLE)
            mass, grid = kernel(chosen(name), ladder, i, grid, below) @ mass, below
        mean = mass @ grid
        found = float(mass[grid < 0].sum()), float(mass @ (grid - mean) ** 2)
        errors.append([abs(a - b) for a, b in zip(found, wanted, strict=True)])
    for kind in zip(*errors, strict=True):
        assert order_of(list(kind), counts) == pytest.approx(1, abs=0.2)
    assert errors[-1][0] < 0.02


# Second implementations: the textbooks' coordinates


def chain(timesteps: int = 40) -> tuple[np.ndarray, torch.Tensor]:
    """Cumulated alphas of a linear chain, and its levels from the noisiest down, then 0."""
    abar = np.cumprod(1 - np.linspace(1e-3, 0.2, timesteps))
    return abar, torch.tensor([*np.sqrt((1 - abar) / abar)[::-1], 0.0], dtype=DOUBLE)


@pytest.mark.parametrize("variance", ["small", "large", "learned"])
def test_ancestral_steps_are_those_of_ddpm(variance):
    """Ho et al. 2020, equations 6 and 7, in x_t = abar^(1/2) x0 + (1 - abar)^(1/2) n; Nichol and Dhariwal, equation 15."""
    abar, ladder = chain()
    draw, v = draws((5, 3)), 0.3
    x = start_of((5, 3), float(ladder[0])).numpy() * abar[-1] ** 0.5
    for i, k in enumerate(range(len(abar) - 1, -1, -1)):
        now, before = abar[k], abar[k - 1] if k else 1.0
        beta = 1 - now / before
        level = torch.tensor(math.sqrt((1 - now) / now), dtype=DOUBLE)
        x0 = GAUSSIAN(torch.tensor(x / now**0.5), level).numpy()
        mean = (before**0.5 * beta * x0 + ((1 - beta) ** 0.5) * (1 - before) * x) / (1 - now)
        tilde = beta * (1 - before) / (1 - now)
        if k == 0:
            x = mean
            break
        chosen_variance = {
            "small": tilde,
            "large": beta,
            "learned": math.exp(v * math.log(beta) + (1 - v) * math.log(tilde)),
        }[variance]
        x = mean + chosen_variance**0.5 * draw(i).numpy()
    found = make_sampler("ancestral", variance=variance).sample(
        Learned(GAUSSIAN, v), start_of((5, 3), float(ladder[0])), ladder, draw
    )
    np.testing.assert_allclose(found, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_steps_are_those_of_the_paper(eta):
    """Song et al. 2021, equations 12 and 16, in variance-preserving coordinates, every third step of the chain."""
    abar, _ = chain()
    kept = abar[::-1][::3]
    ladder = torch.tensor([*np.sqrt((1 - kept) / kept), 0.0], dtype=DOUBLE)
    draw, start = draws((5, 3)), start_of((5, 3), float(ladder[0]))
    x = start.numpy() * kept[0] ** 0.5
    for i, now in enumerate(kept):
        lower = kept[i + 1] if i + 1 < len(kept) else 1.0
        x0 = GAUSSIAN(torch.tensor(x / now**0.5), ladder[i]).numpy()
        epsilon = (x - now**0.5 * x0) / (1 - now) ** 0.5
        scale = eta * ((1 - lower) / (1 - now) * (1 - now / lower)) ** 0.5
        x = lower**0.5 * x0 + (1 - lower - scale**2) ** 0.5 * epsilon + scale * draw(i).numpy()
    found = make_sampler("ddim", eta=eta).sample(GAUSSIAN, start, ladder, draw)
    np.testing.assert_allclose(found, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("clip", [None, (-0.5, 0.5)], ids=["free", "clipped"])
@pytest.mark.parametrize("data", ["gaussian", "mixture"])
def test_ddim_with_all_its_noise_is_ancestral_bit_for_bit(data, clip):
    law, dim = (GAUSSIAN, 3) if data == "gaussian" else (LINE, 1)
    start, ladder = start_of((8, dim), 20.0), ladder_of(25, low=0.0)
    full = make_sampler("ddim", eta=1.0, clip=clip).sample(law, start, ladder, draws((8, dim)))
    assert torch.equal(full, make_sampler("ancestral", clip=clip).sample(law, start, ladder, draws((8, dim))))


def test_ddim_without_noise_is_euler():
    start, ladder = start_of((8, 3), 20.0), ladder_of(25, low=0.0)
    found = make_sampler("ddim").sample(GAUSSIAN, start, ladder, silent)
    torch.testing.assert_close(
        found, make_sampler("euler").sample(GAUSSIAN, start, ladder, silent), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("churn", [0.0, 4.0, 40.0])
@pytest.mark.parametrize("second_order", [True, False], ids=["heun", "euler"])
def test_heun_is_algorithm_2(churn, second_order):
    """Karras et al. 2022, algorithm 2, line by line (algorithm 1 without churn)."""
    ladder, draw = ladder_of(12, low=0.0), draws((4, 1))
    y = start_of((4, 1), 20.0)
    start, times = y, ladder.tolist()
    low, high, noise = 0.1, 8.0, 1.007
    for i, (t, after) in enumerate(itertools.pairwise(times)):
        gamma = min(churn / 12, math.sqrt(2) - 1) if low <= t <= high else 0.0
        up = t + gamma * t
        y = y + math.sqrt(up**2 - t**2) * noise * draw(i)
        d = (y - LINE(y, torch.tensor(up, dtype=DOUBLE))) / up
        end = y + (after - up) * d
        if second_order and after != 0:
            d = d / 2 + (end - LINE(end, torch.tensor(after, dtype=DOUBLE))) / (2 * after)
            end = y + (after - up) * d
        y = end
    sampler = make_sampler(
        "heun" if second_order else "euler", churn=churn, churn_min=low, churn_max=high, churn_noise=noise
    )
    torch.testing.assert_close(sampler.sample(LINE, start, ladder, draw), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("low", [0.02, 0.0], ids=["above_zero", "to_zero"])
def test_dpmpp_2m_is_algorithm_2_of_its_paper(low):
    """Lu et al. 2022, algorithm 2, in variance-preserving coordinates with lambda = ln(alpha / sigma)."""
    ladder = ladder_of(12, low=low)
    sigma = ladder.numpy()
    alpha = (1 + sigma**2) ** -0.5
    noise = sigma * alpha
    start = start_of((4, 1), 20.0)
    x, ends = start.numpy() * alpha[0], []
    with np.errstate(divide="ignore"):
        lam = np.log(alpha) - np.log(noise)
    h = np.diff(lam)
    for i in range(12):
        ends.append(LINE(torch.tensor(x / alpha[i]), ladder[i]).numpy())
        extrapolated = ends[-1]
        if i > 0 and np.isfinite(h[i]):
            r = h[i - 1] / h[i]
            extrapolated = (1 + 1 / (2 * r)) * ends[-1] - ends[-2] / (2 * r)
        x = noise[i + 1] / noise[i] * x - alpha[i + 1] * (np.exp(-h[i]) - 1) * extrapolated
    found = make_sampler("dpmpp_2m").sample(LINE, start, ladder, silent)
    np.testing.assert_allclose(found, x / alpha[-1], rtol=1e-10, atol=1e-10)


# Another library's schedulers, given the same exact denoiser


def of_diffusers(name: str, **settings: Any) -> Any:
    """A scheduler on a chain of 40 steps, its cumulated alphas in float64."""
    diffusers = pytest.importorskip("diffusers")
    made = getattr(diffusers, name)(num_train_timesteps=40, beta_start=1e-3, beta_end=0.2, **settings)
    made.alphas_cumprod = torch.tensor(chain()[0])
    if hasattr(made, "one"):
        made.one = torch.tensor(1.0, dtype=DOUBLE)
    if hasattr(made, "final_alpha_cumprod"):
        made.final_alpha_cumprod = torch.tensor(1.0, dtype=DOUBLE)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
def test_ancestral_is_diffusers_ddpm(variance):
    kind = {"small": "fixed_small", "large": "fixed_large", "learned": "learned_range"}[variance]
    theirs = of_diffusers("DDPMScheduler", variance_type=kind, prediction_type="sample", clip_sample=True)
    theirs.set_timesteps(40)
    abar, ladder = chain()
    start = start_of((5, 3), float(ladder[0]))
    x, noises, generator = start * abar[-1] ** 0.5, [], torch.Generator().manual_seed(1)
    twin = torch.Generator().manual_seed(1)
    for k in theirs.timesteps.tolist():
        x0 = GAUSSIAN(x / abar[k] ** 0.5, ladder[39 - k])
        if variance == "learned":
            x0 = torch.cat([x0, torch.full_like(x0, -0.4)], 1)
        noises.append(torch.randn((5, 3), generator=twin, dtype=DOUBLE))
        x = theirs.step(x0, k, x, generator=generator).prev_sample
    ours = make_sampler("ancestral", variance=variance, clip=(-1, 1)).sample(
        Learned(GAUSSIAN, 0.3), start, ladder, lambda i: noises[i]
    )
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_diffusers_ddim(eta):
    theirs = of_diffusers("DDIMScheduler", prediction_type="sample", clip_sample=False)
    theirs.set_timesteps(10)
    abar, _ = chain()
    kept = theirs.timesteps.tolist()
    ladder = torch.tensor([*np.sqrt((1 - abar[kept]) / abar[kept]), 0.0], dtype=DOUBLE)
    start, draw = start_of((5, 3), float(ladder[0])), draws((5, 3))
    x = start * abar[kept[0]] ** 0.5
    for i, k in enumerate(kept):
        x0 = GAUSSIAN(x / abar[k] ** 0.5, ladder[i])
        # Its last step ends at timestep -1, whose alpha is 1: no noise is left to add.
        x = theirs.step(x0, k, x, eta=eta, variance_noise=draw(i)).prev_sample
    ours = make_sampler("ddim", eta=eta).sample(GAUSSIAN, start, ladder, draw)
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_dpmpp_2m_is_diffusers_multistep_solver():
    theirs = of_diffusers(
        "DPMSolverMultistepScheduler",
        algorithm_type="dpmsolver++",
        solver_order=2,
        prediction_type="sample",
        final_sigmas_type="zero",
    )
    theirs.set_timesteps(16)
    ladder = theirs.sigmas.double()
    start = start_of((5, 3), float(ladder[0]))
    alpha = (1 + ladder**2).rsqrt()
    x = start * alpha[0]
    for i, k in enumerate(theirs.timesteps):
        x = theirs.step(GAUSSIAN(x / alpha[i], ladder[i]), k, x).prev_sample
    ours = make_sampler("dpmpp_2m").sample(GAUSSIAN, start, ladder, silent)
    # It works in float32.
    torch.testing.assert_close(ours, x.double(), rtol=2e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("churn", [0.0, 4.0])
def test_euler_is_diffusers_euler(churn):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.EulerDiscreteScheduler(
        num_train_timesteps=40, beta_start=1e-3, beta_end=0.2, prediction_type="sample"
    )
    theirs.set_timesteps(16)
    ladder = theirs.sigmas.double()
    x = start = start_of((5, 3), float(ladder[0]))
    noises, generator, twin = {}, torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    gain = min(churn / 16, LARGEST_CHURN)
    for i, k in enumerate(theirs.timesteps):
        if gain:
            noises[i] = torch.randn((5, 3), generator=twin, dtype=DOUBLE)
        # It adds the noise after the model's answer; ours asks after the noise, as the paper does.
        up = ladder[i] * (1 + gain)
        raised = x + noises[i] * (up**2 - ladder[i] ** 2).sqrt() if gain else x
        theirs.is_scale_input_called = True
        x = theirs.step(GAUSSIAN(raised, up), k, x, s_churn=churn, generator=generator).prev_sample.double()
    ours = make_sampler("euler", churn=churn).sample(GAUSSIAN, start, ladder, noises.__getitem__)
    torch.testing.assert_close(ours, x, rtol=2e-5, atol=2e-5)


@pytest.mark.slow
def test_heun_is_diffusers_heun():
    theirs = of_diffusers("HeunDiscreteScheduler", prediction_type="sample", clip_sample=False)
    theirs.set_timesteps(16)
    doubled = theirs.sigmas.double()
    ladder = torch.cat([doubled[:1], doubled[1:-1:2], doubled[-1:]])
    x = start = start_of((5, 3), float(ladder[0]))
    for k in theirs.timesteps:
        # Between its two halves the level asked for is the next one.
        x = theirs.step(GAUSSIAN(x, level_asked(theirs, k)), k, x).prev_sample
    ours = make_sampler("heun").sample(GAUSSIAN, start, ladder, silent)
    torch.testing.assert_close(ours, x.double(), rtol=2e-5, atol=2e-5)


def level_asked(theirs: Any, k: Any) -> torch.Tensor:
    return theirs.sigmas[0 if theirs.step_index is None else theirs.step_index].double()


# The walk


@pytest.mark.parametrize("name", EVERY)
def test_a_walk_goes_on_from_any_state_bit_for_bit(name):
    start, ladder, draw = start_of((5, 1), 20.0), ladder_of(9, low=0.0), draws((5, 1))
    whole = chosen(name).sample(LINE, start, ladder, draw)
    for state in chosen(name).states(LINE, start, ladder, draw):
        assert torch.equal(chosen(name).sample(LINE, state, ladder, draw), whole)
    assert state.step == 9 and torch.equal(state.y, whole)
    assert state.x0 is not None and torch.equal(state.x0, whole), "the last step ends at its estimate"


@pytest.mark.parametrize("name", EVERY)
def test_the_evaluations_that_are_announced_are_made(name):
    asked = []

    def denoise(y, sigma, label=None):
        asked.append(float(sigma))
        return GAUSSIAN(y, sigma)

    for low in (0.02, 0.0):
        asked.clear()
        chosen(name).sample(denoise, start_of((2, 3), 20.0), ladder_of(9, low=low), draws((2, 3)))
        assert len(asked) == chosen(name).evaluations(9, to_zero=low == 0)
    assert chosen("heun").evaluations(18) == 35


def test_levels_reach_the_denoiser_in_full_precision():
    asked = []

    def denoise(y, sigma, label=None):
        assert sigma.shape == () and sigma.dtype == DOUBLE and y.dtype == torch.float32
        asked.append(float(sigma))
        return torch.zeros_like(y)

    ladder = ladder_of(9, low=0.0)
    make_sampler("ddim").sample(denoise, torch.ones(2, 3), ladder, silent)
    assert asked == ladder[:-1].tolist()


@pytest.mark.parametrize("name", EVERY)
def test_records_keep_type_shape_and_place_in_single_precision(name):
    """float32 images follow float64 ones up to rounding; the noise's own type does not matter."""
    law = ExactGaussian(torch.zeros(12), torch.linspace(0.1, 2, 12))
    shape, ladder = (4, 3, 2, 2), ladder_of(20, low=0.0)
    start = start_of(shape, 20.0)
    wide = chosen(name).sample(law, start, ladder, draws(shape))
    single = chosen(name).sample(law, start.float(), ladder.float(), draws(shape))
    assert single.dtype == torch.float32 and single.shape == shape
    torch.testing.assert_close(single.double(), wide, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", EVERY)
def test_what_came_in_is_left_as_it_was(name):
    start, ladder, label = start_of((5, 1), 20.0), ladder_of(6, low=0.0), torch.tensor([0, 1, 2, 0, 1])
    before = [v.clone() for v in (start, ladder, label)]
    kept = draws((5, 1))
    noises = [kept(i) for i in range(6)]
    chosen(name).sample(LINE, start, ladder, noises.__getitem__, label)
    assert all(torch.equal(a, b) for a, b in zip(before, (start, ladder, label), strict=True))
    assert all(torch.equal(kept(i), n) for i, n in enumerate(noises))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_labels_reach_the_denoiser(name):
    label = torch.tensor([0, 1, 2])
    start = torch.tensor([[1.0], [1.0], [1.0]], dtype=DOUBLE)
    found = chosen(name).sample(LINE, start, ladder_of(40, top=10.0, low=0.0), silent, label)
    single = [
        chosen(name).sample(law, start[:1], ladder_of(40, top=10.0, low=0.0), silent)
        for law in (*LINE.components, LINE)
    ]
    torch.testing.assert_close(found, torch.cat(single))


def test_one_record_does_not_depend_on_the_others():
    start, ladder, draw = start_of((6, 1), 20.0), ladder_of(9, low=0.0), draws((6, 1))
    whole = make_sampler("ancestral").sample(LINE, start, ladder, draw)
    half = make_sampler("ancestral").sample(LINE, start[:3], ladder, lambda i: draw(i)[:3])
    torch.testing.assert_close(half, whole[:3])


def test_no_gradients_are_kept_and_the_mode_is_put_back():
    weight = torch.ones((), dtype=DOUBLE, requires_grad=True)
    sampler, start, ladder = make_sampler("heun"), start_of((2, 3), 20.0), ladder_of(4)

    def denoise(y, sigma, label=None):
        assert not torch.is_grad_enabled()
        return GAUSSIAN(y, sigma) * weight

    for state in sampler.states(denoise, start, ladder, silent):
        assert torch.is_grad_enabled() and not state.y.requires_grad
    assert not sampler.sample(denoise, start, ladder, silent).requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", EVERY)
def test_estimates_are_clipped(name):
    found = make_sampler(EVERY[name][0], **EVERY[name][1], clip=[-1, 1]).sample(
        lambda y, sigma, label: 3 * torch.ones_like(y),
        start_of((4, 2), 20.0),
        ladder_of(5, low=0.0),
        draws((4, 2)),
    )
    assert torch.equal(found, torch.ones(4, 2, dtype=DOUBLE))


def test_churn_is_drawn_within_its_band_only():
    drawn = []

    def draw(i):
        drawn.append(i)
        return torch.zeros(2, 3)

    ladder = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.0])
    make_sampler("heun", churn=1.0, churn_min=1.0, churn_max=4.0).sample(
        GAUSSIAN, torch.ones(2, 3), ladder, draw
    )
    assert drawn == [1, 2, 3]
    drawn.clear()
    make_sampler("ancestral").sample(GAUSSIAN, torch.ones(2, 3), ladder, draw)
    assert drawn == [0, 1, 2, 3], "the step down to 0 adds no noise"


# Failures and refusals


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clipped"])
def test_an_estimate_that_is_not_finite_ends_the_walk_at_its_step(bad, clip):
    def denoise(y, sigma, label=None):
        return torch.full_like(y, bad if sigma < 3 else 0.0)

    with pytest.raises(FitFailed, match=r"step 3 of 4: at noise level 2 the denoiser"):
        make_sampler("ddim", clip=clip).sample(
            denoise, torch.ones(2, 3), torch.tensor([9.0, 4.0, 2.0, 1.0, 0.0]), silent
        )


def test_a_learned_variance_that_is_not_finite_ends_the_walk():
    with pytest.raises(FitFailed, match="step 1 of 2: at noise level 9"):
        make_sampler("ancestral", variance="learned").sample(
            Learned(GAUSSIAN, math.nan), torch.ones(2, 3), torch.tensor([9.0, 1.0, 0.0]), draws((2, 3))
        )


def test_records_that_are_not_finite_do_not_start():
    with pytest.raises(FitFailed, match="did not begin"):
        make_sampler("ddim").sample(GAUSSIAN, torch.full((2, 3), math.nan), torch.tensor([9.0, 0.0]), silent)


def walked(
    name: str = "ddim", ladder: Any = (9.0, 1.0, 0.0), draw: Any = silent, start: Any = None, **settings: Any
) -> Any:
    start = torch.ones(2, 3) if start is None else start
    denoise = settings.pop("denoise", GAUSSIAN)
    return make_sampler(name, **settings).sample(denoise, start, torch.tensor(ladder), draw)


BAD = {
    "rising": (lambda: walked(ladder=(1.0, 2.0, 0.0)), "level 0 is 1 and level 1 is 2"),
    "equal": (lambda: walked(ladder=(2.0, 1.0, 1.0)), "level 1 is 1 and level 2 is 1"),
    "negative": (lambda: walked(ladder=(2.0, 1.0, -1.0)), "negative or not finite"),
    "nan": (lambda: walked(ladder=(2.0, math.nan, 0.0)), "negative or not finite"),
    "infinite": (lambda: walked(ladder=(math.inf, 1.0, 0.0)), "negative or not finite"),
    "one_level": (lambda: walked(ladder=(1.0,)), "at least two noise levels"),
    "no_level": (lambda: walked(ladder=()), "at least two noise levels"),
    "axes": (lambda: walked(ladder=((1.0, 0.0),)), r"shape \(1, 2\)"),
    "denoiser_shape": (lambda: walked(denoise=lambda y, sigma, label: y[:, :1]), r"returned shape \(2, 1\)"),
    "noise_shape": (lambda: walked("ancestral", draw=lambda i: torch.ones(3)), r"draw\(0\) has shape \(3,\)"),
    "state_beyond": (lambda: walked(start=State(torch.ones(2, 3), 3)), "stands at step 3"),
    "state_bare": (
        lambda: walked("dpmpp_2m", (9.0, 1.0, 0.5), start=State(torch.ones(2, 3), 1)),
        "goes on from a whole `State`",
    ),
    "not_learned": (lambda: walked("ancestral", variance="learned"), "this model has learned none"),
    "name": (lambda: make_sampler("dimm"), "did you mean 'ddim'"),
    "name_number": (lambda: make_sampler(3), "known: ancestral"),
    "setting": (lambda: make_sampler("ddim", etta=1.0), "did you mean 'eta'"),
    "setting_fixed": (lambda: make_sampler("euler", second_order=True), "has no setting 'second_order'"),
    "variance": (lambda: make_sampler("ancestral", variance="huge"), "one of small, large, learned"),
    "eta_above": (lambda: make_sampler("ddim", eta=1.5), r"must lie in \[0, 1\]"),
    "eta_below": (lambda: make_sampler("ddim", eta=-0.1), "sampler.eta is -0.1"),
    "eta_nan": (lambda: make_sampler("ddim", eta=math.nan), "sampler.eta is nan"),
    "eta_true": (lambda: make_sampler("ddim", eta=True), "sampler.eta is True"),
    "churn": (lambda: make_sampler("heun", churn=-1.0), "sampler.churn is -1"),
    "churn_nan": (lambda: make_sampler("heun", churn=math.nan), "sampler.churn is nan"),
    "churn_band": (lambda: make_sampler("heun", churn_min=2.0, churn_max=1.0), "below sampler.churn_min = 2"),
    "churn_max": (lambda: make_sampler("heun", churn_max=math.inf), "sampler.churn_max is inf"),
    "churn_noise": (lambda: make_sampler("heun", churn_noise=0.0), "sampler.churn_noise is 0"),
    "clip_order": (lambda: make_sampler("heun", clip=(1.0, -1.0)), "the lower one first"),
    "clip_one": (lambda: make_sampler("heun", clip=1.0), "two finite numbers"),
    "clip_nan": (lambda: make_sampler("heun", clip=(math.nan, 1.0)), "two finite numbers"),
    "clip_text": (lambda: make_sampler("heun", clip="ab"), "two finite numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_sampled_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(SpecError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_second_order_must_be_a_truth_value():
    from autophage.diffusion.samplers.heun import Heun

    with pytest.raises(SpecError, match="true or false"):
        Heun(second_order="yes")


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_is_a_frozen_value_that_explains_itself(name):
    made = make_sampler(name)
    assert made == make_sampler(name) and hash(made) == hash(make_sampler(name))
    assert "Source:" in type(made).__doc__
    with pytest.raises(AttributeError):
        made.clip = (0.0, 1.0)


def test_the_table_of_samplers_is_light():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, autophage.diffusion.samplers; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
