"""DPM-Solver++(2M): an exponential integrator that remembers one step (Lu et al. 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autophage.diffusion.samplers.sampler import Sampler, State, Step
from autophage.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class DpmSolverPlusPlus2M(Sampler):
    """The linear part of the probability-flow ODE is solved exactly, D extrapolated from the last two steps.

        y_s = (s/t) y_t + (1 - s/t) E,   E = D_t + (h / (2 h_before)) (D_t - D_before)

    with lambda = -ln sigma, h = ln(t/s) and h_before that of the step before. The first step and the one down to 0 take
    E = D_t. One evaluation a step. Asymptotic: order 2.

    Source: Lu, Zhou, Bao, Chen, Li and Zhu 2022, algorithm 2, whose alpha and sigma are (1 + t^2)^(-1/2) and t (1 + t^2)^(-1/2)
    here; the factor alpha_s (exp(-h) - 1) becomes s/t - 1.
    """

    def advance(self, state: State, step: Step) -> tuple[Tensor, Tensor]:
        y, t, s = state.y, step.t, step.s
        x0 = end = step.x0(y, t)
        if step.number > 0 and s > 0:
            if state.x0 is None:
                raise SpecError(
                    f"the state at step {step.number} holds no x0; a multistep sampler goes on from a whole `State`, as "
                    "`states` gives it"
                )
            before = step.ladder[step.number - 1]
            end = x0 + (x0 - state.x0) * (math.log(t / s) / (2 * math.log(before / t)))
        return torch.lerp(end, y, s / t), x0
