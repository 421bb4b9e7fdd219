"""A policy update against the forward and backward passes that it cannot do without: what credit, clipping and bookkeeping cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from autophage.alignment.policy import DiffusionPolicy, Rollout, roll_out
from autophage.alignment.update import Update, adam, update
from autophage.alignment.weights import Weights, ddim
from autophage.diffusion.noise import LogNormal
from autophage.keys import Key
from autophage.learners.record_spaces import Pictures
from autophage.networks.kinds import network_from
from benchmarks.timing import paired
from benchmarks.training import HERE, edm

SAMPLES, STEPS, AT_ONCE = 64, 4, 128


@dataclass(frozen=True)
class Overhead:
    """CPU seconds of an update, and of its bare passes."""

    name: str
    ours: float
    bare: float

    def line(self) -> str:
        return f"| {self.name} | {100 * (self.ours / self.bare - 1):.1f} % | < 10 % |"


def bare(policy: DiffusionPolicy, rollout: Rollout, optimiser: torch.optim.Optimizer) -> None:
    """One optimiser step of a plain loss over every step of every sample."""
    at = torch.from_numpy(np.repeat(rollout.at, SAMPLES))
    x = rollout.x.flatten(0, 1)
    optimiser.zero_grad(set_to_none=True)
    for rows in torch.arange(len(x)).split(AT_ONCE):
        policy.predict(x[rows], at[rows], None).square().mean().backward()
    optimiser.step()


def overheads() -> list[Overhead]:
    """16 x 16 colour pictures, the default network."""
    shape = (3, 16, 16)
    space = Pictures((16, 16, 3), 0.0, 255.0, "uint8")
    spec = network_from({"kind": "small_unet"})
    net = spec.build(shape, 3, None, Key(0))
    kept = 1 / (1 + LogNormal().ladder(STEPS + 1).numpy() ** 2)
    policy = DiffusionPolicy(edm(spec, net, space, HERE), ddim(kept[:-1], kept[1:]))
    rollout = roll_out(policy, SAMPLES, Key(0))
    rollout = replace(rollout, reward=rollout.records.mean(1).astype(float))
    weights = np.zeros(len(policy.steps))
    weights[rollout.at] = Weights.of(policy.steps.only(policy.steps.trained)).std
    found = []
    for method in ("ppo", "pcpo-loss"):
        how = Update(method, weights, passes=1, minibatches=1, at_once=AT_ONCE)
        first, second = adam(policy, 1e-9), adam(policy, 1e-9)
        ours, without = paired(
            (lambda o=first, h=how: update(policy, rollout, h, o, Key(1)), 1),  # type: ignore[misc]
            (lambda o=second: bare(policy, rollout, o), 1),  # type: ignore[misc]
        )
        name = f"policy update by {method}, {SAMPLES} samples of {STEPS} steps, 16 x 16 x 3: overhead over its bare passes"
        found.append(Overhead(name, ours, without))
    return found
