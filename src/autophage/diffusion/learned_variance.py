"""The variational bound that teaches improved DDPM its variances (Nichol and Dhariwal 2021, section 3.1).

    L = L_simple + lambda L_vlb,  lambda = .001,  L_vlb = sum over the T steps of KL(q(y_s | y_t, x0) | p(y_s | y_t))

In y = x0 + sigma n, with t the level, s the one below and D the denoiser (held fixed, so that the bound teaches the
variance only):

    q = N(x0 + (s/t)^2 (y - x0), b),   b = s^2 (t^2 - s^2) / t^2
    p = N(D + (s/t)^2 (y - D), exp(v ln B + (1 - v) ln b)),   B = (1 + s^2) (t^2 - s^2) / (1 + t^2)

A divergence of normals does not change under a common scaling, so this is the bound of the chain itself. At the last step
(s = 0) the data are discrete, and the term is -ln of p's mass on the record's own bin.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autophage.diffusion.noise import Discrete
from autophage.diffusion.samplers.ancestral import variances

WEIGHT = 0.001


def bound(
    noise: Discrete,
    x0: Tensor,
    y: Tensor,
    denoised: Tensor,
    fraction: Tensor,
    sigma: Tensor,
    bin_width: float,
) -> Tensor:
    """(n,) the bound's term at each record's step, in bits per entry.

    x0, y, denoised and the fraction v (n, ...); sigma (n,) levels of the chain; `bin_width` of the data's values (2 / 255
    for bytes in [-1, 1]).
    """
    shape = (-1, *(1,) * (x0.ndim - 1))
    step = noise.conditioning(sigma).round().long()
    levels = noise.levels.to(x0.device)
    below = torch.where(
        step > 0, levels[(step - 1).clamp(min=0)], torch.zeros((), dtype=levels.dtype, device=x0.device)
    )
    t, s = levels[step].reshape(shape), below.reshape(shape)
    b, large = variances(t, s)
    # At the last step the lower variance is zero; the chain takes that of the step before (as the authors do).
    least = variances(levels[1], levels[0])[0].log()
    small = torch.where(s > 0, b.log(), least)
    mixed = fraction * large.log().to(x0.dtype) + (1 - fraction) * small.to(x0.dtype)
    keep = (s / t).square().to(x0.dtype)
    mean_q, mean_p = x0 + keep * (y - x0), denoised + keep * (y - denoised)
    kl = 0.5 * (
        mixed
        - small.to(x0.dtype)
        + (small.to(x0.dtype) - mixed).exp()
        + (mean_q - mean_p).square() * (-mixed).exp()
        - 1
    )
    last = -_log_mass(x0, mean_p, 0.5 * mixed, bin_width)
    nats = torch.where((step == 0).reshape(shape), last, kl)
    return nats.flatten(1).mean(1) / math.log(2)


def _log_mass(x: Tensor, mean: Tensor, log_scale: Tensor, width: float) -> Tensor:
    """ln of a normal's mass on each entry's bin; the outermost bins reach to infinity."""
    scale = log_scale.exp()
    upper = torch.special.ndtr((x - mean + width / 2) / scale)
    lower = torch.special.ndtr((x - mean - width / 2) / scale)
    upper = torch.where(x > 1 - width / 2, torch.ones_like(upper), upper)
    lower = torch.where(x < -1 + width / 2, torch.zeros_like(lower), lower)
    return (upper - lower).clamp(min=1e-12).log()
