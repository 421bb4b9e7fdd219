"""A policy: a network that says where each step of a walk goes, of which the steps make a law.

    x_0 ~ N(0, I),    x_{i+1} = carry_i x_i - C_i p(x_i, i) + sigma_i z_i

p is the noise (diffusion, in coordinates of unit variance) or the velocity eps - x0 (flows); carry, C and sigma are those of
`autophage.alignment.weights.Steps`. With eta = 1 it is DDIM's walk, equal to ancestral sampling.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from autophage.alignment.weights import Steps
from autophage.errors import FitFailed, RunError
from autophage.keys import Key


class Policy(ABC):
    """What is aligned: `net` holds the weights that learn, `steps` the walk."""

    net: nn.Module
    steps: Steps
    shape: tuple[int, ...]
    """Of one x."""
    device: str = "cpu"

    @abstractmethod
    def predict(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        """p (m, ...) at steps `at` (m,), int64, of x (m, ...), told (m, ...) a class, a caption or nothing."""

    @abstractmethod
    def predict_base(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        """The same by the weights that alignment began with; without a gradient."""

    @abstractmethod
    def records(self, x: Tensor) -> np.ndarray:
        """The records (n, d) of ended walks x (n, ...)."""

    def mean(self, x: Tensor, p: Tensor, i: int) -> Tensor:
        """Where step i leads on average."""
        return float(self.steps.carry[i]) * x - float(self.steps.gain[i]) * p

    def walking(self, steps: Steps) -> Self:
        """The same policy, which shares its network, on another walk."""
        other = copy.copy(self)
        other.steps = steps
        return other

    def weights(self) -> dict[str, Tensor]:
        """Copies of what learns, on the CPU."""
        return {n: p.detach().cpu().clone() for n, p in self.net.named_parameters()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes weights that `weights` gave. Raises `RunError` where they are of another network."""
        found = dict(self.net.named_parameters())
        if set(found) != set(weights) or any(found[n].shape != w.shape for n, w in weights.items()):
            raise RunError("the stored weights are not those of this policy's network")
        for name, weight in weights.items():
            found[name].copy_(weight)

    def parameters(self) -> list[nn.Parameter]:
        return [p for _, p in self.net.named_parameters()]


@dataclass(frozen=True, eq=False)
class Rollout:
    """Walks with all that the likelihood of a step needs; of the k steps that draw, n samples of each."""

    x: Tensor
    """(k, n, ...) where a step began."""
    z: Tensor
    """(k, n, ...) the noise it drew."""
    p: Tensor
    """(k, n, ...) what was predicted there."""
    at: np.ndarray
    """(k,) numbers of the steps."""
    told: Tensor | None
    """(n, ...)"""
    group: np.ndarray
    """(n,) the number of each sample's prompt."""
    records: np.ndarray
    """(n, d) where the walks ended."""
    reward: np.ndarray
    """(n,)"""
    digest: str
    """Of the schedule that was walked."""

    def check(self, steps: Steps) -> None:
        """Raises `RunError` where it was walked on another schedule than `steps`."""
        if self.digest != steps.digest:
            raise RunError(
                f"the stored walks took schedule {self.digest}, and the sampler now takes {steps.digest}; draw new ones"
            )


@torch.no_grad()
def roll_out(
    policy: Policy,
    n: int,
    key: Key,
    told: Tensor | None = None,
    group: np.ndarray | None = None,
    *,
    at_once: int = 512,
) -> Rollout:
    """n walks of the policy as it is, not yet rewarded. Equal for equal keys, `at_once` and weights. Raises
    `FitFailed` when a walk is no longer finite, naming the step."""
    steps = policy.steps
    at = np.flatnonzero(steps.trained)
    kept: dict[str, list[Tensor]] = {"x": [], "z": [], "p": []}
    x = _noise(policy, n, key / "start")
    for i in range(len(steps)):
        p = _predicted(policy, x, i, told, at_once)
        m = policy.mean(x, p, i)
        if steps.noise[i] > 0:
            z = _noise(policy, n, key / "step" / i)
            for name, value in (("x", x), ("z", z), ("p", p)):
                kept[name].append(value)
            m = m + float(steps.noise[i]) * z
        if not bool(torch.isfinite(m).all()):
            raise FitFailed(f"sampling broke off in step {i + 1} of {len(steps)}: a walk is no longer finite")
        x = m
    records = np.concatenate([policy.records(x[j : j + at_once]) for j in range(0, n, at_once)])
    group = np.zeros(n, np.int64) if group is None else np.asarray(group)
    held = {name: torch.stack(values) for name, values in kept.items()}
    return Rollout(
        **held,
        at=at,
        told=told,
        group=group,
        records=records,
        reward=np.full(n, np.nan),
        digest=steps.digest,
    )


def _noise(policy: Policy, n: int, key: Key) -> Tensor:
    # Drawn on the CPU: the same walk on every device.
    return torch.randn((n, *policy.shape), generator=key.torch()).to(policy.device)


def _predicted(policy: Policy, x: Tensor, i: int, told: Tensor | None, at_once: int) -> Tensor:
    parts = []
    for j in range(0, len(x), at_once):
        rows = slice(j, j + at_once)
        at = torch.full((len(x[rows]),), i, dtype=torch.int64, device=x.device)
        parts.append(policy.predict(x[rows], at, None if told is None else told[rows]))
    return torch.cat(parts)


class Residual(nn.Module):
    """What is added to a known prediction: tanh layers of (x, share of the steps left), the last one zero at first."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.Linear(dim + 1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), last
        )

    def forward(self, x: Tensor, left: Tensor) -> Tensor:
        """(m, d) of x (m, d) and left (m,) in (0, 1]."""
        return self.layers(torch.cat([x, left[:, None]], 1))


class ScorePolicy(Policy):
    """A known denoiser D(y; sigma), which may be any function, and a small residual network that learns beside it.

    x are vectors (d,), in coordinates x = y sqrt(a). The residual alone counts as prediction in a rollout: the known
    part does not change.
    """

    def __init__(
        self, denoise: Callable[..., Tensor], dim: int, steps: Steps, key: Key, width: int = 64
    ) -> None:
        self.denoise, self.shape, self.steps = denoise, (dim,), steps
        with key.globally():
            self.net = Residual(dim, width)

    def predict(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        return self.net(x, (len(self.steps) - at) / len(self.steps))

    def predict_base(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        return torch.zeros_like(x)

    @torch.no_grad()
    def mean(self, x: Tensor, p: Tensor, i: int) -> Tensor:
        kept = float(self.steps.before[i])
        sigma = torch.tensor(((1 - kept) / kept) ** 0.5, dtype=torch.float64)
        y = x / kept**0.5
        known = (y - self.denoise(y, sigma).to(y)) / float(sigma)
        return super().mean(x, known + p, i)

    def records(self, x: Tensor) -> np.ndarray:
        return x.double().numpy()


class ModelPolicy(Policy):
    """A model of `diffusion` or `flow_matching`: all of its network learns. A subclass says how the network predicts."""

    def __init__(self, model: Any, steps: Steps) -> None:
        self.model, self.steps, self.shape = model, steps, model.space.shape
        self.device = model.device.name
        self.net = copy.deepcopy(model.net).to(self.device).eval().requires_grad_(True)
        self.first = copy.deepcopy(model.net).to(self.device).eval().requires_grad_(False)

    @abstractmethod
    def predicted(self, net: nn.Module, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        """p (m, ...) by either network."""

    def predict(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        # In float32 on every device: D, a small change of p, would drown in the rounding of bfloat16.
        return self.predicted(self.net, x, at, told)

    @torch.no_grad()
    def predict_base(self, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        return self.predicted(self.first, x, at, told)

    def records(self, x: Tensor) -> np.ndarray:
        return self.model.space.leave(x)

    def aligned(self) -> Any:
        """The model with the weights as they are now; samples, stores and publishes as the one it began with."""
        found = copy.copy(self.model)
        found.net = copy.deepcopy(self.net).to("cpu").eval().requires_grad_(False)
        found.last = found.optimiser = None
        return found

    def _along(self, values: np.ndarray, at: Tensor, x: Tensor) -> Tensor:
        """Numbers (T,) of the steps `at`, float64, (m, 1, ...)."""
        found = torch.as_tensor(values, dtype=torch.float64, device=x.device)[at]
        return found.reshape(-1, *(1,) * (x.ndim - 1))


class DiffusionPolicy(ModelPolicy):
    """eps = (y - D(y; sigma)) / sigma, y = x / sqrt(a), whatever the network predicts; D is held in the range that
    its sampler holds it in."""

    def predicted(self, net: nn.Module, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        kept = self._along(self.steps.before, at, x)
        sigma = ((1 - kept) / kept).sqrt()
        y = x / kept.sqrt().to(x)
        x0 = self.model.process.denoiser(net)(y, sigma.flatten(), told)
        if self.model.facts["clip"]:
            x0 = x0.clamp(-1, 1)
        return (y - x0) / sigma.to(x)


class FlowPolicy(ModelPolicy):
    """The velocity eps - x0: the learner's own, with its time running the other way."""

    def predicted(self, net: nn.Module, x: Tensor, at: Tensor, told: Tensor | None) -> Tensor:
        t = self._along(self.steps.before, at, x).flatten()
        return -self.model._velocity_of(net)(x, 1 - t, told)
