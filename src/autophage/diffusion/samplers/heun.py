"""Heun's rule for the probability-flow ODE, with or without churn (Karras et al. 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autophage.data.arguments import not_negative, positive
from autophage.diffusion.samplers.sampler import Sampler, State, Step
from autophage.errors import SpecError

LARGEST_CHURN = math.sqrt(2) - 1
"""A step at most doubles the variance of the noise that is there."""


@dataclass(frozen=True, kw_only=True)
class Heun(Sampler):
    """Steps of the probability-flow ODE by Heun's rule.

        u = t (1 + g),   y_u = y + churn_noise (u^2 - t^2)^(1/2) n,   g = min(churn / steps, 2^(1/2) - 1)
        d = (y_u - D(y_u; u)) / u,   y' = y_u + (s - u) d
        d' = (y' - D(y'; s)) / s,    y_s = y_u + (s - u) (d + d') / 2

    g is 0 outside churn_min <= t <= churn_max, and with churn = 0 throughout: the deterministic sampler. The step down to 0
    ends at y', as all steps do without `second_order` (Euler's rule). Adding noise takes the law at t exactly to that at u
    when churn_noise is 1, so that churn costs no order. Asymptotic: order 2, without `second_order` 1.

    Source: Karras, Aittala, Aila and Laine 2022, algorithms 1 and 2.
    """

    churn: float = 0.0
    """How much noise is added anew, over all steps (S_churn); 0 is deterministic."""
    churn_min: float = 0.0
    """No noise is added below this level (S_min)."""
    churn_max: float | None = None
    """No noise is added above this level (S_max); unset, there is no such bound."""
    churn_noise: float = 1.0
    """Standard deviation of the added noise against what the levels ask for (S_noise)."""
    second_order: bool = True
    """Heun's rule; false takes Euler's, with half the evaluations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.churn, "sampler.churn")
        not_negative(self.churn_min, "sampler.churn_min")
        positive(self.churn_noise, "sampler.churn_noise")
        if self.churn_max is not None:
            not_negative(self.churn_max, "sampler.churn_max")
            if self.churn_max < self.churn_min:
                raise SpecError(
                    f"sampler.churn_max is {self.churn_max}, below sampler.churn_min = {self.churn_min}; it must not be"
                )
        if not isinstance(self.second_order, bool):
            raise SpecError(f"sampler.second_order is {self.second_order!r}; it must be true or false")

    def evaluations(self, steps: int, to_zero: bool = True) -> int:
        return 2 * steps - to_zero if self.second_order else steps

    def advance(self, state: State, step: Step) -> tuple[Tensor, Tensor]:
        y, u, s = state.y, step.t, step.s
        if gain := self._gain(step):
            y = y.add(step.noise(y), alpha=self.churn_noise * u * math.sqrt(gain * (2 + gain)))
            u *= 1 + gain
        x0 = step.x0(y, u)
        lower = torch.lerp(x0, y, s / u)
        if s == 0 or not self.second_order:
            return lower, x0
        slope = (y - x0) / u + (lower - step.x0(lower, s)) / s
        return y.add(slope, alpha=(s - u) / 2), x0

    def _gain(self, step: Step) -> float:
        if step.t < self.churn_min or (self.churn_max is not None and step.t > self.churn_max):
            return 0.0
        return min(self.churn / (len(step.ladder) - 1), LARGEST_CHURN)
