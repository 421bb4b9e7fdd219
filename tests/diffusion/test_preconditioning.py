"""Parametrisations are one denoiser, and their losses are the papers'."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autophage.diffusion import learned_variance, noise
from autophage.diffusion.preconditioning import NetworkDenoiser, Prediction, coefficients, errors
from autophage.keys import Key

PREDICTIONS = get_args(Prediction)
VARIANCE = 0.25


class Ideal(nn.Module):
    """The best network for records N(0, 1/4): it answers in a parametrisation what E[x0 | y] says."""

    def __init__(self, prediction: Prediction, law: noise.NoiseLaw) -> None:
        super().__init__()
        self.prediction, self.law = prediction, law
        self.levels = torch.logspace(-2, 1.5, 400).double()
        self.told = law.conditioning(self.levels)

    def forward(self, x: Tensor, told: Tensor, label: Tensor | None) -> Tensor:
        sigma = torch.from_numpy(
            np.interp(told.double().numpy(), self.told.numpy(), self.levels.log().numpy())
        ).exp()[:, None]
        c = coefficients(self.prediction, sigma, 0.5)
        y = x / c.into
        best = y * VARIANCE / (VARIANCE + sigma**2)
        return (best - c.skip * y) / c.out


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_parametrisation_is_the_same_denoiser(prediction: Prediction) -> None:
    law = noise.VarianceExploding(0.005, 60)
    denoise = NetworkDenoiser(Ideal(prediction, law), law, prediction)
    y = Key(0).generator().standard_normal((50, 1))
    for sigma in (0.02, 0.5, 1.0, 7.0):
        found = denoise(torch.from_numpy(y), torch.tensor(sigma))
        np.testing.assert_allclose(found, y * VARIANCE / (VARIANCE + sigma**2), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_targets_are_those_of_the_papers(prediction: Prediction) -> None:
    """The loss of a network that answers zero is the mean square of its target."""

    class Zero(nn.Module):
        def forward(self, x: Tensor, told: Tensor, label: Tensor | None) -> Tensor:
            self.saw = x
            return torch.zeros_like(x)

    x0, n = torch.from_numpy(Key(1).generator().standard_normal((2, 40, 3))).double()
    sigma = torch.full((40,), 0.7, dtype=torch.float64)
    s = 0.7
    r = math.sqrt(1 + s * s)
    scale = s * 0.5 / math.sqrt(s * s + 0.25)
    y = x0 + s * n
    target, saw = {
        "epsilon": (n, y / r),
        "v": (n / r - s / r * x0, y / r),  # alpha n - sigma_vp x0 with alpha = 1/r and sigma_vp = s/r
        "sample": (x0, y / r),
        "noise_level": (-n, y),
        "edm": ((x0 - 0.25 / (s * s + 0.25) * y) / scale, y / math.sqrt(s * s + 0.25)),
    }[prediction]
    net = Zero()
    each, output = errors(net, noise.linear(), prediction, x0, sigma, n)
    np.testing.assert_allclose(each, target.square().mean(1), rtol=1e-10)
    np.testing.assert_allclose(net.saw, saw, rtol=1e-10)
    assert output.shape == x0.shape


def test_the_weight_of_edm_is_one_over_c_out_squared() -> None:
    sigma = torch.tensor([0.1, 1.0, 9.0]).double()
    c = coefficients("edm", sigma, 0.5)
    np.testing.assert_allclose(c.out**-2.0, (sigma**2 + 0.25) / (sigma * 0.5) ** 2)
    # In- and output of unit variance for data of standard deviation 1/2.
    np.testing.assert_allclose(c.into**2 * (0.25 + sigma**2), 1)
    target = (1 - c.skip) ** 2 * 0.25 + (c.skip * sigma) ** 2
    np.testing.assert_allclose(target / c.out**2, 1)


def bound_by_hand(k: int, x0: float, y: float, mean: float, v: float) -> float:
    """Improved DDPM's term in its own coordinates x_t = alpha y, step k of the linear chain of 10."""
    beta = np.array(noise.linear(10).betas)
    kept = np.cumprod(1 - beta)
    before = np.append(1.0, kept[:-1])
    x_t = math.sqrt(kept[k]) * y
    tilde = beta * (1 - before) / (1 - kept)
    log_tilde = math.log(tilde[max(k, 1)] if k == 0 else tilde[k])
    first, second = (
        math.sqrt(before[k]) * beta[k] / (1 - kept[k]),
        math.sqrt(1 - beta[k]) * (1 - before[k]) / (1 - kept[k]),
    )
    q, p = first * x0 + second * x_t, first * mean + second * x_t
    log_p = v * math.log(beta[k]) + (1 - v) * log_tilde
    if k:
        kl = 0.5 * (-1 + log_p - log_tilde + math.exp(log_tilde - log_p) + (q - p) ** 2 * math.exp(-log_p))
        return kl / math.log(2)
    from scipy.stats import norm

    width = 2 / 255
    mass = norm.cdf((x0 + width / 2 - p) / math.exp(log_p / 2)) - norm.cdf(
        (x0 - width / 2 - p) / math.exp(log_p / 2)
    )
    return -math.log(mass) / math.log(2)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_the_variational_bound_is_that_of_improved_ddpm(k: int) -> None:
    chain = noise.linear(10)
    values = dict(x0=0.3, y=0.5, mean=0.1, v=0.6)
    x0, y, mean, v = (torch.tensor([[a]], dtype=torch.float64) for a in values.values())
    found = learned_variance.bound(chain, x0, y, mean, v, chain.levels[k : k + 1], 2 / 255)
    assert float(found) == pytest.approx(bound_by_hand(k, **values), rel=1e-9)


def test_the_last_step_is_the_mass_on_the_records_own_bin() -> None:
    chain = noise.linear(10)
    x0, y, mean, v = (torch.tensor([[a]], dtype=torch.float64) for a in (0.3, 0.31, 0.302, 1.0))
    found = learned_variance.bound(chain, x0, y, mean, v, chain.levels[:1], 2 / 255)
    assert float(found) == pytest.approx(bound_by_hand(0, 0.3, 0.31, 0.302, 1.0), rel=1e-9)
    # The outermost bins reach to infinity: a sure model of a black pixel pays nothing.
    black = torch.tensor([[-1.0]]).double()
    nothing = learned_variance.bound(chain, black, black, black - 0.5, v, chain.levels[:1], 2 / 255)
    assert float(nothing) == pytest.approx(0, abs=1e-6)


def test_the_bound_teaches_the_variance_only_through_its_own_output() -> None:
    chain = noise.linear(10)
    v = torch.full((1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    x0, y, mean = (torch.tensor([[a]], dtype=torch.float64) for a in (0.3, 0.5, 0.3))
    learned_variance.bound(chain, x0, y, mean, v, chain.levels[4:5], 2 / 255).sum().backward()
    assert v.grad is not None and float(v.grad) != 0
