"""Noise laws: how much noise a network sees while it learns, and which levels a sampler walks down.

    x_t = alpha x0 + alpha sigma n                 variance preserving, alpha = (1 + sigma^2)^(-1/2)
    y   = x0 + sigma n                             variance exploding, and everywhere in this room

| law | levels while learning | c_noise |
|---|---|---|
| linear | sigma_k^2 = (1 - abar_k) / abar_k, abar_k = prod (1 - beta_i), beta linear in [1e-4, .02] for 1,000 steps | k |
| cosine | the same, abar_k = f(k+1) / f(0), f(k) = cos^2((k / T + s) / (1 + s) pi/2), s = .008, beta at most .999 | k |
| vp | sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, t ~ U(1e-5, 1) | 999 t |
| ve | ln sigma ~ U(ln .02, ln 100) | ln (sigma / 2) |
| edm | ln sigma ~ N(-1.2, 1.2^2) | ln (sigma) / 4 |

(Ho, Jain and Abbeel 2020; Nichol and Dhariwal 2021, equation 17; Karras et al. 2022, table 1.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from autophage.errors import SpecError

LOGARITHM = 250.0
"""Networks expect a conditioning number of the size of a timestep; logarithms of sigma are multiplied by this."""

Spacing = Literal["trailing", "leading", "linspace", "quadratic"]


class NoiseLaw(ABC):
    """A law of noise levels sigma."""

    preserving: ClassVar[bool]
    """The network sees x_t of unit variance (where the data have it), not y."""
    highest: float
    lowest: float
    """The levels that a sampler begins with, and ends with before it goes to zero."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """n levels to learn at, (n,) float64."""

    @abstractmethod
    def conditioning(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level: c_noise, on the scale of timesteps."""

    @property
    def prior(self) -> float:
        """The standard deviation of y at the highest level, where it stands for pure noise."""
        return math.sqrt(1 + self.highest**2) if self.preserving else self.highest

    def ladder(self, steps: int, rho: float = 7.0) -> Tensor:
        """steps + 1 levels falling to zero (float64): sigma_i^(1/rho) evenly spaced from the highest to the lowest
        (Karras et al. 2022, equation 5)."""
        if steps < 1:
            raise SpecError(f"a sampler needs at least 1 step, got {steps}")
        share = torch.linspace(0, 1, steps, dtype=torch.float64) if steps > 1 else torch.zeros(1).double()
        ends = self.highest ** (1 / rho), self.lowest ** (1 / rho)
        return torch.cat([(ends[0] + share * (ends[1] - ends[0])) ** rho, torch.zeros(1).double()])


@dataclass(frozen=True)
class Discrete(NoiseLaw):
    """A chain of T steps, given by its betas."""

    betas: tuple[float, ...]
    preserving: ClassVar[bool] = True

    @property
    def timesteps(self) -> int:
        return len(self.betas)

    @cached_property
    def levels(self) -> Tensor:
        """sigma_k (T,) float64, rising."""
        kept = torch.cumprod(1 - torch.tensor(self.betas, dtype=torch.float64), 0)
        return ((1 - kept) / kept).sqrt()

    @cached_property
    def highest(self) -> float:  # type: ignore[override]
        return float(self.levels[-1])

    @cached_property
    def lowest(self) -> float:  # type: ignore[override]
        return float(self.levels[0])

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(self.timesteps, (n,), generator=generator, device=generator.device)
        return self.levels.to(generator.device)[chosen]

    def conditioning(self, sigma: Tensor) -> Tensor:
        """The step k, between two of them by linear interpolation in ln sigma."""
        known = self.levels.to(sigma.device).log()
        at = sigma.double().log().reshape(-1)
        above = torch.searchsorted(known, at).clamp(1, len(known) - 1)
        low, high = known[above - 1], known[above]
        between = ((at - low) / (high - low)).clamp(0, 1)
        # A level of the chain is that step exactly, whatever rounding says.
        nearest = between.round()
        between = torch.where((between - nearest).abs() < 1e-6, nearest, between)
        return (above - 1 + between).reshape(sigma.shape)

    def timestep_ladder(self, steps: int, spacing: Spacing = "trailing") -> Tensor:
        """steps + 1 levels of the chain falling to zero: evenly spaced ones of all T (`trailing` counts from the noisiest,
        `leading` from the cleanest, `linspace` has both ends), or `quadratic` ones, denser where there is little noise
        (Song et al. 2021)."""
        T = self.timesteps
        if not 1 <= steps <= T:
            raise SpecError(f"sampling.steps is {steps}; a chain of {T} steps allows 1 to {T}")
        if spacing == "trailing":
            chosen = np.round(np.arange(T, 0, -T / steps))[:steps].astype(int) - 1
        elif spacing == "leading":
            chosen = (np.arange(steps) * (T // steps))[::-1]
        elif spacing == "linspace":
            chosen = np.linspace(0, T - 1, steps).round().astype(int)[::-1]
        else:
            chosen = np.unique(np.round(np.linspace(0, math.sqrt(0.8 * (T - 1)), steps) ** 2).astype(int))[
                ::-1
            ]
        return torch.cat([self.levels[torch.from_numpy(chosen.copy())], torch.zeros(1).double()])


def linear(timesteps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """The chain of Ho, Jain and Abbeel (2020). For other lengths than 1,000 the betas are scaled by 1,000 / T, so that the
    noise at the end stays the same (Nichol and Dhariwal 2021)."""
    scale = 1000 / timesteps
    return Discrete(tuple(np.minimum(np.linspace(first * scale, last * scale, timesteps), 0.999).tolist()))


def cosine(timesteps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Discrete:
    """The chain of Nichol and Dhariwal (2021), equation 17."""
    k = np.arange(timesteps + 1) / timesteps
    kept = np.cos((k + offset) / (1 + offset) * np.pi / 2) ** 2
    return Discrete(tuple(np.minimum(1 - kept[1:] / kept[:-1], largest).tolist()))


@dataclass(frozen=True)
class VariancePreserving(NoiseLaw):
    """The continuous form of the linear chain (Song et al. 2021; Karras et al. 2022, table 1)."""

    rise: float = 19.9
    start: float = 0.1
    preserving: ClassVar[bool] = True

    def _level(self, t: float) -> float:
        return math.sqrt(math.expm1(0.5 * self.rise * t * t + self.start * t))

    @property
    def highest(self) -> float:  # type: ignore[override]
        return self._level(1.0)

    @property
    def lowest(self) -> float:  # type: ignore[override]
        return self._level(1e-3)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        t = 1e-5 + (1 - 1e-5) * _uniform(n, generator)
        return torch.expm1(0.5 * self.rise * t * t + self.start * t).sqrt()

    def conditioning(self, sigma: Tensor) -> Tensor:
        log = torch.log1p(sigma.double() ** 2)
        return 999 * ((self.start**2 + 2 * self.rise * log).sqrt() - self.start) / self.rise


@dataclass(frozen=True)
class VarianceExploding(NoiseLaw):
    """Levels evenly spread in their logarithm (Song et al. 2021; Karras et al. 2022, table 1)."""

    lowest: float = 0.02
    highest: float = 100.0
    preserving: ClassVar[bool] = False

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        low, high = math.log(self.lowest), math.log(self.highest)
        return (low + (high - low) * _uniform(n, generator)).exp()

    def conditioning(self, sigma: Tensor) -> Tensor:
        return LOGARITHM * (sigma.double() / 2).log()


@dataclass(frozen=True)
class LogNormal(NoiseLaw):
    """Levels where learning pays (Karras et al. 2022, table 1, EDM)."""

    mean: float = -1.2
    spread: float = 1.2
    lowest: float = 0.002
    highest: float = 80.0
    preserving: ClassVar[bool] = False

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(n, generator=generator, device=generator.device, dtype=torch.float64)
        return (self.mean + self.spread * drawn).exp()

    def conditioning(self, sigma: Tensor) -> Tensor:
        return LOGARITHM * sigma.double().log() / 4


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
