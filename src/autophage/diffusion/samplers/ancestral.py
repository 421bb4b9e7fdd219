"""Ancestral sampling: the reverse chain of DDPM (Ho et al. 2020) on any ladder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from autophage.diffusion.samplers.sampler import Sampler, State, Step
from autophage.errors import SpecError

Variance = Literal["small", "large", "learned"]


@dataclass(frozen=True, kw_only=True)
class Ancestral(Sampler):
    """Each step draws from the chain's law given the estimate of x0:

        y_s ~ N(x0 + (s/t)^2 (y_t - x0), V)
        small:    V = b = s^2 (t^2 - s^2) / t^2                   exact where the data are one point
        large:    V = B = (1 + s^2) (t^2 - s^2) / (1 + t^2)       exact where the data are N(0, I)
        learned:  V = exp(v ln B + (1 - v) ln b), v in [0, 1] for every entry, from `denoise.moments(y, sigma, label)`

    In the variance-preserving x_t = y_t / (1 + t^2)^(1/2) these are the posterior variance beta-tilde and beta itself, the
    ladder's levels being the chain's own or any of them. The step down to 0 adds no noise. Asymptotic: of order 1.

    Source: Ho, Jain and Abbeel 2020, equations 6, 7 and section 3.2; Nichol and Dhariwal 2021, equation 15.
    """

    variance: Variance = "small"
    """The noise that a step adds: the lower bound of what is right (small), the upper one (large), or what the model learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance not in get_args(Variance):
            raise SpecError(
                f"sampler.variance is {self.variance!r}; it must be one of {', '.join(get_args(Variance))}"
            )

    def advance(self, state: State, step: Step) -> tuple[Tensor, Tensor]:
        y, t, s = state.y, step.t, step.s
        if self.variance == "learned":
            x0, v = step.moments(y, t)
        else:
            x0 = step.x0(y, t)
        mean = torch.lerp(x0, y, (s / t) ** 2)
        if s == 0:
            return mean, x0
        small, large = variances(t, s)
        if self.variance == "learned":
            # The square root of b^(1-v) B^v.
            scale = torch.exp(0.5 * (math.log(small) + v * (math.log(large) - math.log(small))))
            return mean.addcmul_(scale, step.noise(y)), x0
        return mean.add_(step.noise(y), alpha=math.sqrt(small if self.variance == "small" else large)), x0


Level = TypeVar("Level", float, Tensor)


def variances(t: Level, s: Level) -> tuple[Level, Level]:
    """(b, B): the small and the large variance of a step from level t to level s.

    >>> variances(2.0, 1.0)
    (0.75, 1.2)
    """
    gap = (t - s) * (t + s)
    return (s / t) ** 2 * gap, (1 + s * s) * gap / (1 + t * t)
