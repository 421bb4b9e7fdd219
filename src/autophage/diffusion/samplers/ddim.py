"""DDIM: ancestral sampling with less noise, or none (Song, Meng and Ermon 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autophage.data.arguments import not_negative
from autophage.diffusion.samplers.ancestral import variances
from autophage.diffusion.samplers.sampler import Sampler, State, Step
from autophage.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Ddim(Sampler):
    """The non-Markovian chain with eta of the ancestral noise.

        y_s ~ N(x0 + k (y_t - x0), eta^2 b),   b = s^2 (t^2 - s^2) / t^2,   k = (s^2 - eta^2 b)^(1/2) / t

    eta = 0 has no noise and k = s/t: Euler's rule for the probability-flow ODE in sigma, of order 1. eta = 1 has k = (s/t)^2
    and is `Ancestral(variance="small")`, step by step.

    In variance-preserving coordinates x = abar^(1/2) y, abar_t = 1 / (1 + t^2), the noise has standard deviation
    eta ((1 - abar_s) / (1 - abar_t))^(1/2) (1 - abar_t / abar_s)^(1/2), which is abar_s^(1/2) eta b^(1/2). A clipped estimate
    of x0 is used throughout: the direction (y - x0) / t is recomputed from it.

    Source: Song, Meng and Ermon 2021, equations 12 and 16.
    """

    eta: float = 0.0
    """Share of the ancestral noise, in [0, 1]: 0 adds none, 1 is ancestral sampling."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.eta, "sampler.eta")
        if self.eta > 1:
            raise SpecError(
                f"sampler.eta is {self.eta}; it must lie in [0, 1], where 1 is ancestral sampling"
            )

    def advance(self, state: State, step: Step) -> tuple[Tensor, Tensor]:
        y, t, s = state.y, step.t, step.s
        x0 = step.x0(y, t)
        share, ratio = self.eta**2, (s / t) ** 2
        # k^2 = r - eta^2 r (1 - r), with r = (s/t)^2, written so that nothing cancels.
        lower = torch.lerp(x0, y, math.sqrt(share * ratio**2 + (1 - share) * ratio))
        if self.eta == 0 or s == 0:
            return lower, x0
        return lower.add_(step.noise(y), alpha=self.eta * math.sqrt(variances(t, s)[0])), x0
