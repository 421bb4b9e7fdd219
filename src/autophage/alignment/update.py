"""One update of a policy by its own rewarded walks: a few passes over them, all steps of a sample in one gradient.

    minimise  1/m sum over samples, steps of  l(log rho, A) + kl w^2 |p - p_base|^2 / 2

l is a method's loss (`autophage.alignment.credit`); the steps' weights in log rho are those the method asks for, that
of the KL term is the sampler's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autophage.alignment.credit import advantages, log_ratio, losses
from autophage.alignment.policy import Policy, Rollout
from autophage.alignment.weights import Weights
from autophage.errors import FitFailed
from autophage.keys import Key


@dataclass(frozen=True, eq=False)
class Update:
    """How a policy learns from a rollout."""

    method: str
    weights: np.ndarray
    """(T,) what log rho is formed with; those of the sampler, or even ones."""
    clip: float = 0.1
    """xi."""
    passes: int = 2
    minibatches: int = 2
    """Parts of the samples, each an optimiser step."""
    kl: float = 0.0
    """Weight of the KL term."""
    gradient_clip: float | None = None
    """Largest gradient norm."""
    at_once: int = 4096
    """Steps of samples that pass through the network together."""


@dataclass(frozen=True)
class Updated:
    """How an update went."""

    clipped: np.ndarray
    """(k,) share of the samples whose step was clipped, by step, over all passes."""
    loss: float
    """Mean over the optimiser steps."""


def update(
    policy: Policy, rollout: Rollout, how: Update, optimiser: torch.optim.Optimizer, key: Key
) -> Updated:
    """Changes the policy's weights. Raises `RunError` where the rollout walked another schedule, `FitFailed` where
    too many rewards or the loss are not finite."""
    rollout.check(policy.steps)
    found = advantages(rollout.reward, rollout.group)
    device = policy.device
    advantage = torch.from_numpy(found.value).float().to(device)
    kept = torch.from_numpy(found.kept).to(device)
    weight = torch.from_numpy(how.weights[rollout.at]).float().to(device)
    at = torch.from_numpy(rollout.at).to(device)
    own = torch.from_numpy(Weights.of(policy.steps.only(policy.steps.trained)).std).float().to(device)
    base = predictions_of_base(policy, rollout, how.at_once) if how.kl else None
    generator = (key / "order").torch()
    clipped, total, taken = torch.zeros(len(at), device=device), 0.0, 0
    for _ in range(how.passes):
        order = torch.randperm(len(kept), generator=generator).to(device)
        for mine in order.tensor_split(how.minibatches):
            optimiser.zero_grad(set_to_none=True)
            value = torch.zeros((), device=device)
            for steps, samples in _rows(len(at), mine, how.at_once):
                who = kept[samples]
                told = None if rollout.told is None else rollout.told[who]
                p = policy.predict(rollout.x[steps, who], at[steps], told)
                log_rho = log_ratio(p - rollout.p[steps, who], rollout.z[steps, who], weight[steps])
                loss, stopped = losses(how.method, log_rho, advantage[samples], how.clip)
                if base is not None:
                    apart = (p - base[steps, who]).flatten(1).square().sum(1)
                    loss = loss + 0.5 * how.kl * own[steps].square() * apart
                part = loss.sum() / len(mine)
                part.backward()
                value += part.detach()
                clipped.index_add_(0, steps, stopped.float())
            if not bool(torch.isfinite(value)):
                raise FitFailed("the policy's loss is no longer finite; lower process.learning_rate")
            if how.gradient_clip is not None:
                torch.nn.utils.clip_grad_norm_(policy.parameters(), how.gradient_clip)
            optimiser.step()
            total, taken = total + float(value), taken + 1
    shares = clipped.double().cpu().numpy() / (how.passes * len(kept))
    return Updated(shares, total / taken)


def _rows(steps: int, samples: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All pairs of a step and one of the samples, some at once: two (m,) of their numbers."""
    pairs = torch.arange(steps * len(samples), device=samples.device)
    for part in pairs.split(at_once):
        yield part // len(samples), samples[part % len(samples)]


@torch.no_grad()
def predictions_of_base(policy: Policy, rollout: Rollout, at_once: int = 4096) -> Tensor:
    """(k, n, ...) what the policy would have predicted before all alignment."""
    found = torch.empty_like(rollout.p)
    everybody = torch.arange(rollout.x.shape[1], device=rollout.x.device)
    at = torch.from_numpy(rollout.at).to(rollout.x.device)
    for steps, samples in _rows(len(at), everybody, at_once):
        told = None if rollout.told is None else rollout.told[samples]
        found[steps, samples] = policy.predict_base(rollout.x[steps, samples], at[steps], told)
    return found


def kl_to_base(policy: Policy, rollout: Rollout, at_once: int = 4096) -> np.ndarray:
    """(n,) KL divergence of each walk's steps from those of the policy before alignment, nats: sum w^2 |p - p_base|^2 / 2."""
    w = torch.from_numpy(Weights.of(policy.steps.only(policy.steps.trained)).std).to(rollout.p)
    apart = (rollout.p - predictions_of_base(policy, rollout, at_once)).flatten(2).square().sum(2)
    return (0.5 * w.square()[:, None] * apart).sum(0).double().cpu().numpy()


def adam(policy: Policy, learning_rate: float) -> torch.optim.Adam:
    """The optimiser of a policy's weights."""
    return torch.optim.Adam(policy.parameters(), lr=learning_rate)


def moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser has gathered, as named tensors on the CPU."""
    return {
        f"{number}/{name}": value.detach().cpu().clone()
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def resume(optimiser: torch.optim.Optimizer, stored: Mapping[str, Tensor]) -> None:
    """Puts `moments` back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in stored.items():
        number, _, field = name.partition("/")
        state.setdefault(int(number), {})[field] = value.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
