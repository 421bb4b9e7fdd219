"""Training and sampling of pictures against hand-written loops over the same network, batch and precision."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autophage.diffusion.noise import LogNormal
from autophage.keys import Key
from autophage.learners.denoising import RecordsToLearn
from autophage.learners.diffusion import Diffusion, DiffusionModel, Process
from autophage.learners.record_spaces import Pictures
from autophage.networks.kinds import network_from
from autophage.training.devices import Device
from autophage.training.trainer import train
from benchmarks.timing import paired

BATCH = 128
STEPS = 40
HERE = Device()
"""One thread of a processor."""


@dataclass(frozen=True)
class Rate:
    """Records per CPU second, ours and the hand-written loop's."""

    name: str
    ours: float
    reference: float
    target: str

    def line(self) -> str:
        return f"| {self.name} | {self.reference:,.0f} | {self.ours:,.0f} | {self.ours / self.reference:.2f}x | {self.target} |"


def by_hand(
    net: nn.Module,
    x: Tensor,
    shape: tuple[int, ...],
    steps: int,
    batch: int = BATCH,
    device: Device = HERE,
) -> None:
    """What a script would write: EDM's loss, Adam, a gradient clip and averaged weights. x lies on the device."""
    c, h, w = shape
    net.to(device.name).to(memory_format=device.memory_format).train().requires_grad_(True)
    average = copy.deepcopy(net)
    forward = device.compiled(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for step in range(steps):
        rows = torch.randint(len(x), (batch,), device=x.device)
        clean = (x[rows].float() / 127.5 - 1).view(batch, h, w, c).permute(0, 3, 1, 2).contiguous()
        sigma = torch.exp(-1.2 + 1.2 * torch.randn(batch, 1, 1, 1, device=x.device))
        noisy = clean + sigma * torch.randn_like(clean)
        root = (sigma**2 + 0.25).sqrt()
        skip, out = 0.25 / root**2, sigma * 0.5 / root
        told = 250 * sigma.flatten().log() / 4
        with device.autocast():
            output = forward(noisy / root, told, None)
            loss = (output - (clean - skip * noisy) / out).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = 0.5 ** (1 / max(0.05 * (step + 1), 1e-8))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)


@torch.no_grad()
def sampled_by_hand(
    net: nn.Module, shape: tuple[int, ...], n: int, steps: int, device: Device = HERE
) -> np.ndarray:
    """EDM's deterministic Heun sampler, as a script would write it."""
    ladder = [float(s) for s in LogNormal().ladder(steps)]
    y = torch.randn(n, *shape, device=device.name) * ladder[0]

    def slope(y: Tensor, s: float) -> Tensor:
        root = math.sqrt(s * s + 0.25)
        told = torch.full((n,), 250 * math.log(s) / 4, device=device.name)
        with device.autocast():
            output = net(y / root, told, None)
        return (y - 0.25 / root**2 * y - s * 0.5 / root * output.float()) / s

    for s, t in pairwise(ladder):
        d = slope(y, s)
        new = y + (t - s) * d
        if t:
            new = y + (t - s) * (d + slope(new, t)) / 2
        y = new
    return ((y.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()


def edm(network: Any, net: nn.Module, space: Pictures, device: Device) -> DiffusionModel:
    """The model that `net` is, had it been trained with EDM's noise."""
    facts = {"process": Process(LogNormal(), "edm").body(), "spacing": "trailing", "clip": False}
    return DiffusionModel(network, net, space, None, facts, device, {})


def rates() -> list[Rate]:
    """8 x 8 grey (the digits' size) and 32 x 32 colour pictures, the default network of either."""
    found = []
    for shape in ((1, 8, 8), (3, 32, 32)):
        c, h, w = shape
        x = np.random.default_rng(0).integers(0, 256, (2000, c * h * w), dtype=np.uint8)
        space = Pictures((h, w, c), 0.0, 255.0, "uint8")
        net = network_from({"kind": "small_unet"}).build(shape, c, None, Key(0))
        learner = Diffusion(records=STEPS * BATCH, batch_size=BATCH, device="cpu")
        records = RecordsToLearn(x, space, None, None, None, 0.0, False, "cpu")
        objective = learner.objective(records, learner.facts(space))
        held = torch.from_numpy(x)
        ours, reference = paired(
            (lambda n=net, o=objective, a=learner: train(n, o, a.course(True), Key(0)), STEPS * BATCH),  # type: ignore[misc]
            (lambda n=net, d=held, s=shape: by_hand(n, d, s, STEPS), STEPS * BATCH),  # type: ignore[misc]
        )
        name = f"training, {h} x {w} x {c}, batch {BATCH}, float32"
        found.append(Rate(name, 1 / ours, 1 / reference, ">= 1.0x (overhead < 3 %)"))
        found.append(_sampling(net, space, shape))
    return found


def _sampling(net: nn.Module, space: Pictures, shape: tuple[int, ...]) -> Rate:
    """EDM's deterministic Heun sampler in 18 steps."""
    c, h, w = shape
    n, steps = 256, 18
    model = edm(network_from({"kind": "small_unet"}), net, space, HERE)
    ours, reference = paired(
        (lambda: model.sample(n, key=Key(0)), n), (lambda: sampled_by_hand(net, shape, n, steps), n), rounds=3
    )
    return Rate(f"sampling, {h} x {w} x {c}, Heun 18 steps, 256 at once", 1 / ours, 1 / reference, "report")
