"""Training and sampling of the CIFAR-10 network of EDM's size on an accelerator: `python -m benchmarks.accelerator`.

Wall-clock seconds of the slope between a short and a long training, the device waited for, so that neither compilation nor
the network's way to the device counts. Floating point operations are those of the network's matrix products and
convolutions, counted by torch; a training is three times its forward pass.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from autophage.keys import Key
from autophage.learners import denoising
from autophage.learners.denoising import RecordsToLearn
from autophage.learners.diffusion import Diffusion
from autophage.learners.record_spaces import Pictures
from autophage.networks.kinds import network_from
from autophage.parts import Sampling
from autophage.training.devices import Device
from autophage.training.trainer import train
from benchmarks.training import by_hand, edm, sampled_by_hand

SHAPE = (3, 32, 32)
SHORT, LONG, ROUNDS = 5, 25, 2
PEAK = {"bfloat16": 989e12, "tf32": 494.5e12}
"""Dense operations a second of an H100 or H200 (SXM), by the maker's sheet."""
FAST = Device("cuda", "bfloat16", channels_last=True, compile=True)
EAGER = Device("cuda", "tf32")
BRIEF = Device("cuda", "bfloat16")


def operations(net: torch.nn.Module) -> float:
    """Floating point operations of one record's forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *SHAPE), torch.zeros(1), None)
    return float(counter.get_total_flops())


def slope(work: Callable[[int], Any], batch: int) -> float:
    """Records a second: the median over rounds of the long training less the short one."""

    def seconds(steps: int) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        work(steps)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(SHORT)
    spent = [(LONG - SHORT) * batch / (seconds(LONG) - seconds(SHORT)) for _ in range(ROUNDS)]
    return statistics.median(spent)


def training(preset: str, batch: int) -> list[str]:
    """Lines of the table of trainings."""
    network = network_from({"kind": "unet", "preset": preset})
    x = np.random.default_rng(0).integers(0, 256, (5_000, int(np.prod(SHAPE))), dtype=np.uint8)
    space = Pictures((32, 32, 3), 0.0, 255.0, "uint8")
    net = network.build(SHAPE, 3, None, Key(0))
    one = operations(net)
    held = torch.from_numpy(x).cuda()
    size = sum(p.numel() for p in net.parameters())
    print(
        f"{preset}: {size:,} parameters, {one / 1e9:.1f} GFLOP a record and forward pass, batch {batch}",
        flush=True,
    )

    def ours(device: Device) -> Callable[[int], Any]:
        def work(steps: int) -> None:
            learner = Diffusion(
                records=steps * batch,
                batch_size=batch,
                device="cuda",
                precision=device.precision,
                channels_last=device.channels_last,
                compile=device.compile,
            )
            records = RecordsToLearn(x, space, None, None, None, 0.0, False, "cuda")
            objective = learner.objective(records, learner.facts(space))
            train(copy.deepcopy(net), objective, learner.course(True), Key(0))

        return work

    def theirs(device: Device) -> Callable[[int], Any]:
        return lambda steps: by_hand(copy.deepcopy(net), held, SHAPE, steps, batch, device)

    lines = []
    for name, work, precision in (
        ("ours, bfloat16, compiled, channels last", ours(FAST), "bfloat16"),
        ("by hand, the same", theirs(FAST), "bfloat16"),
        ("ours, float32 with TF32, eager", ours(EAGER), "tf32"),
    ):
        rate = slope(work, batch)
        done = rate * 3 * one
        lines.append(f"| {name} | {rate:,.0f} | {done / 1e12:.0f} | {100 * done / PEAK[precision]:.0f} % |")
        print(lines[-1], f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB", flush=True)
        torch.cuda.reset_peak_memory_stats()
    return lines


def sampling(preset: str) -> list[str]:
    """Lines of the table of samplers: Heun in 3 steps, by batch and precision, and a plain loop."""
    network = network_from({"kind": "unet", "preset": preset})
    space = Pictures((32, 32, 3), 0.0, 255.0, "uint8")
    net = network.build(SHAPE, 3, None, Key(0))
    lines = []
    for batch in (256, 2048):
        for device in (EAGER, BRIEF):
            model = edm(network, copy.deepcopy(net), space, device).tuned(Sampling(steps=3))
            before, denoising.AT_ONCE["cuda"] = denoising.AT_ONCE["cuda"], batch
            rate = _rate(lambda m=model: m.sample(2048, key=Key(0)), 2048)  # type: ignore[misc]
            denoising.AT_ONCE["cuda"] = before
            lines.append(f"| ours, {batch} at once, {device.precision} | {rate:,.0f} |")
            print(lines[-1], flush=True)
        moved = copy.deepcopy(net).cuda()

        def plain(n: Any = moved, b: int = batch) -> None:
            for _ in range(2048 // b):
                sampled_by_hand(n, SHAPE, b, 3, BRIEF)

        lines.append(f"| by hand, {batch} at once, bfloat16 | {_rate(plain, 2048):,.0f} |")
        print(lines[-1], flush=True)
    return lines


def _rate(work: Callable[[], Any], n: int) -> float:
    work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}", flush=True)
    if sys.argv[1:] != ["sampling"]:
        training("edm_cifar10", 256)
    if sys.argv[1:] != ["training"]:
        sampling("edm_cifar10")
