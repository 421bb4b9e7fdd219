"""Hallucinations of a denoiser of bounded slope: the closed form against our own sampler of the probability-flow ODE."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from autophage.diffusion.samplers import make_sampler
from autophage.errors import SpecError
from autophage.theory.mode_interpolation import hallucination_share

HIGHEST = 40.0
POINTS = 20_000
CASES = [
    ("H1a", 0.5, 2.0, 0.3, 0.16566, 0.003),
    ("H1a", 1.0, 2.0, 0.3, 0.08020, 0.003),
    ("H1b", 0.5, 2.0, 0.2, 0.10788, 0.003),
    ("H1b", 1.0, 2.0, 0.2, 0.05312, 0.003),
    ("H1b", 0.5, 3.0, 0.2, 0.04532, 0.003),
    ("H1c", 0.5, 2.0, 0.1, 0.05312, 0.002),
    ("H1c", 1.0, 2.0, 0.1, 0.02645, 0.002),
    ("H1c", 0.5, 3.0, 0.1, 0.01112, 0.002),
]


def clipped(separation, slope):
    """The exact denoiser of two point modes as far as the slope allows, then a line held between the modes."""
    turn = separation / math.sqrt(slope)

    def denoise(y, sigma, label=None):
        if float(sigma) > turn:
            return separation * torch.tanh(separation * y / sigma**2)
        return (slope * y).clamp(-separation, separation)

    return denoise


def sampled_share(separation, slope, sigma_min, kappa=0.9, steps=100):
    """The share of `POINTS` records between the modes. They begin at the quantiles of the modes' noisy law, so that the only
    errors are those of the ODE solver and the grid."""
    turn = separation / math.sqrt(slope)
    down = [
        torch.logspace(math.log10(t), math.log10(s), steps, dtype=torch.float64)
        for t, s in ((HIGHEST, turn), (turn, sigma_min))
    ]
    ladder = torch.cat([down[0], down[1][1:]])
    n = torch.from_numpy(ndtri((np.arange(POINTS // 2) + 0.5) / (POINTS // 2)))
    start = torch.cat([separation + HIGHEST * n, -separation + HIGHEST * n])[:, None]
    denoise = clipped(separation, slope)
    y = make_sampler("heun").sample(denoise, start, ladder, lambda i: torch.zeros_like(start))
    x0 = denoise(y, torch.tensor(sigma_min))
    return float((x0.abs() < kappa * separation).double().mean())


@pytest.mark.parametrize(("check", "a", "slope", "sigma_min", "expected", "tolerance"), CASES)
def test_h1_the_closed_form_is_what_our_sampler_makes(check, a, slope, sigma_min, expected, tolerance):
    assert hallucination_share(a, slope, sigma_min) == pytest.approx(expected, abs=6e-6)
    assert sampled_share(a, slope, sigma_min) == pytest.approx(expected, abs=tolerance)


def test_it_depends_on_the_ratio_of_noise_and_separation_and_falls_with_capacity():
    assert hallucination_share(0.5, 2, 0.1) == pytest.approx(hallucination_share(1.0, 2, 0.2), rel=1e-12)
    shares = [hallucination_share(1.0, L, 0.1) for L in (2, 3, 4, 8)]
    assert all(b < a / 2 for a, b in itertools.pairwise(shares))


@pytest.mark.parametrize("slope", [2.0, 3.0, 4.0])
def test_it_falls_as_the_power_of_the_separation(slope):
    """P ~ (sigma_min / a)^(L - 1) once that is small."""
    near, far = (hallucination_share(a, slope, 1e-3) for a in (1.0, 2.0))
    assert math.log2(near / far) == pytest.approx(slope - 1, abs=1e-3)


@pytest.mark.parametrize(
    "given",
    [(0.0, 2, 0.1), (1.0, 1.0, 0.1), (1.0, 2, 0.0), (1.0, 2, 0.8), (math.nan, 2, 0.1), (1, math.inf, 0.1)],
)
def test_settings_that_are_none_are_refused(given):
    with pytest.raises(SpecError):
        hallucination_share(*given)


def test_a_share_of_the_modes_distance_is_asked_for():
    with pytest.raises(SpecError, match="kappa"):
        hallucination_share(1.0, 2.0, 0.1, kappa=0.0)
