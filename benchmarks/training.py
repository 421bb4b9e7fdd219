"""Training and sampling of pictures against hand-written loops over the same network, batch and precision."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

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


@dataclass(frozen=True)
class Rate:
    """Records per CPU second, ours and the hand-written loop's."""

    name: str
    ours: float
    reference: float
    target: str

    def line(self) -> str:
        return f"| {self.name} | {self.reference:,.0f} | {self.ours:,.0f} | {self.ours / self.reference:.2f}x | {self.target} |"


def by_hand(net: nn.Module, x: Tensor, shape: tuple[int, ...], steps: int) -> None:
    """What a script would write: EDM's loss, Adam, a gradient clip and averaged weights."""
    c, h, w = shape
    net.train().requires_grad_(True)
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for step in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        clean = (x[rows].float() / 127.5 - 1).view(BATCH, h, w, c).permute(0, 3, 1, 2).contiguous()
        sigma = torch.exp(-1.2 + 1.2 * torch.randn(BATCH, 1, 1, 1))
        noisy = clean + sigma * torch.randn_like(clean)
        root = (sigma**2 + 0.25).sqrt()
        skip, out = 0.25 / root**2, sigma * 0.5 / root
        told = 250 * sigma.flatten().log() / 4
        loss = (net(noisy / root, told, None) - (clean - skip * noisy) / out).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = 0.5 ** (1 / max(0.05 * (step + 1), 1e-8))
        with torch.no_grad():
            for a, p in zip(average.parameters(), net.parameters(), strict=True):
                a.lerp_(p, 1 - keep)


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
    law, n = LogNormal(), 256
    process = Process(law, "edm")
    facts = {"process": process.body(), "spacing": "trailing"}
    model = DiffusionModel(network_from({"kind": "small_unet"}), net, space, None, facts, Device(), {})

    @torch.no_grad()
    def plain() -> np.ndarray:
        ladder = [float(s) for s in law.ladder(18)]
        y = torch.randn(n, *shape) * ladder[0]

        def slope(y: Tensor, s: float) -> Tensor:
            root = math.sqrt(s * s + 0.25)
            told = torch.full((n,), 250 * math.log(s) / 4)
            clean = 0.25 / root**2 * y + s * 0.5 / root * net(y / root, told, None)
            return (y - clean) / s

        for s, t in pairwise(ladder):
            d = slope(y, s)
            new = y + (t - s) * d
            if t:
                new = y + (t - s) * (d + slope(new, t)) / 2
            y = new
        return ((y.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()

    ours, reference = paired((lambda: model.sample(n, key=Key(0)), n), (plain, n), rounds=3)
    return Rate(f"sampling, {h} x {w} x {c}, Heun 18 steps, 256 at once", 1 / ours, 1 / reference, "report")
