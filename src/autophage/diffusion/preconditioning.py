"""A network as a denoiser, whatever it was taught to predict, and its loss.

    D(y; sigma) = c_skip y + c_out F(c_in y; c_noise),        loss = |F - (x0 - c_skip y) / c_out|^2

(Karras et al. 2022, equations 7 and 8: this loss is lambda(sigma) |D - x0|^2 with lambda = 1 / c_out^2.) With
r = (1 + sigma^2)^(1/2) and the data's standard deviation s:

| prediction | F's target | c_skip | c_out | c_in |
|---|---|---|---|---|
| epsilon | the noise n | 1 | -sigma | 1/r |
| v | (n - sigma x0) / r, up to its sign convention | 1/r^2 | -sigma/r | 1/r |
| sample | x0 | 0 | 1 | 1/r |
| noise_level | -n: sigma times the score | 1 | sigma | 1 |
| edm | what makes in- and output of unit variance | s^2/(sigma^2+s^2) | sigma s/(sigma^2+s^2)^(1/2) | (sigma^2+s^2)^(-1/2) |

(Ho et al. 2020 for epsilon, Salimans and Ho 2022 for v = alpha n - alpha sigma x0, Song et al. 2021 for the score.)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from autophage.diffusion.noise import NoiseLaw

Prediction = Literal["epsilon", "v", "sample", "noise_level", "edm"]


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in at a level, each of sigma's shape."""

    skip: Tensor
    out: Tensor
    into: Tensor


def coefficients(prediction: Prediction, sigma: Tensor, data_scale: float = 0.5) -> Coefficients:
    """The table above; float64 in, float64 out.

    >>> [round(float(c), 4) for c in coefficients("v", torch.tensor(1.0).double())]
    [0.5, -0.7071, 0.7071]
    """
    one = torch.ones_like(sigma)
    root = (1 + sigma**2).sqrt()
    if prediction == "epsilon":
        return Coefficients(one, -sigma, 1 / root)
    if prediction == "v":
        return Coefficients(1 / root**2, -sigma / root, 1 / root)
    if prediction == "sample":
        return Coefficients(0 * one, one, 1 / root)
    if prediction == "noise_level":
        return Coefficients(one, sigma, one)
    total = sigma**2 + data_scale**2
    return Coefficients(data_scale**2 / total, sigma * data_scale / total.sqrt(), total.rsqrt())


class NetworkDenoiser:
    """A `Denoiser` made of a network, a noise law and what the network predicts.

    A network with twice as many output channels as the data has also learned a variance (improved DDPM): `moments`
    gives it.
    """

    def __init__(
        self, net: nn.Module, noise: NoiseLaw, prediction: Prediction, data_scale: float = 0.5
    ) -> None:
        self.net, self.noise, self.prediction, self.data_scale = net, noise, prediction, data_scale

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        return self.moments(y, sigma, label)[0]

    def moments(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """x0-hat, and v in [0, 1] of y's shape: where between the two natural choices the logarithm of the step's
        variance lies (Nichol and Dhariwal 2021, equation 15); None where the network has not learned it."""
        level = torch.as_tensor(sigma, dtype=torch.float64, device=y.device).expand(len(y))
        c = Coefficients(*(along(k, y) for k in coefficients(self.prediction, level, self.data_scale)))
        told = self.noise.conditioning(level).to(y.dtype)
        output = self.net(c.into * y, told, label)
        variance = None
        if output.shape[1] == 2 * y.shape[1]:
            output, variance = output.chunk(2, dim=1)
            variance = (variance + 1) / 2
        return c.skip * y + c.out * output, variance


def errors(
    net: nn.Module,
    noise: NoiseLaw,
    prediction: Prediction,
    x0: Tensor,
    sigma: Tensor,
    n: Tensor,
    label: Tensor | None = None,
    data_scale: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """The squared error of F, and F's output: (n,) the mean over a record's entries, and (n, ...) as the network gave it.

    x0 and n (n, ...), sigma (n,) float64.
    """
    c = Coefficients(*(along(k, x0) for k in coefficients(prediction, sigma, data_scale)))
    y = x0 + along(sigma, x0) * n
    output = net(c.into * y, noise.conditioning(sigma).to(x0.dtype), label)
    # (x0 - c_skip y) / c_out loses digits where c_out is small; noise predictions know their target.
    target = {"epsilon": n, "noise_level": -n}.get(prediction)
    if target is None:
        target = (x0 - c.skip * y) / c.out
    mean = output.chunk(2, dim=1)[0] if output.shape[1] == 2 * x0.shape[1] else output
    return (mean - target).square().flatten(1).mean(1), output


def along(values: Tensor, x: Tensor) -> Tensor:
    """Numbers (n,) or () that multiply records (n, ...)."""
    return values.to(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
