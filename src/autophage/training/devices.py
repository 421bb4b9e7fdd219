"""Where a training runs: processor or accelerator, in which precision, alone or with other processes."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from autophage.errors import AutophageError, MissingExtra, RunError

T = TypeVar("T")

OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
"""What an accelerator, and what a processor, raises when memory runs out."""

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Device:
    """A device and how it is used. On a processor bfloat16 and compilation do not pay, so only the accelerator's defaults
    are fast ones."""

    name: str = "cpu"
    precision: Precision = "float32"
    channels_last: bool = False
    compile: bool = False

    @staticmethod
    def of(
        name: str = "auto",
        precision: str = "auto",
        channels_last: bool | None = None,
        compile: bool | None = None,
    ) -> Device:
        """The device meant by a spec: `auto` is the accelerator where there is one."""
        found = world().device if name == "auto" else name
        fast = found.startswith("cuda")
        return Device(
            found,
            ("bfloat16" if fast else "float32") if precision == "auto" else precision,  # type: ignore[arg-type]
            fast if channels_last is None else channels_last,
            fast if compile is None else compile,
        )

    @property
    def memory_format(self) -> Any:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Within the block, the network computes in this precision; weights stay float32."""
        kind = self.name.partition(":")[0]
        if self.precision == "tf32":
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high")
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)
        elif self.precision == "bfloat16":
            with torch.autocast(kind, torch.bfloat16):
                yield
        else:
            yield

    def compiled(self, net: nn.Module) -> Any:
        """The network, compiled where that was asked for."""
        if not self.compile:
            return net
        # Said of diffusers' blocks at the first step, and of no use to anyone who only trains them.
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        return torch.compile(net)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order: what comes out does not depend on how many cores there are. A small network only waits for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class World:
    """The processes that train together; here the only one."""

    rank, size = 0, 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    def here(self, device: str) -> str:
        """The device of that kind in this process."""
        return device

    def mine(self, n: int) -> slice:
        """This process's part of n records."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def summed(self, loss: Tensor, weights: Sequence[nn.Parameter]) -> Tensor:
        """Adds up loss and gradients over the processes."""
        return loss

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns here, every process having called it."""
        return function(*arguments)

    def gathered(self, part: np.ndarray) -> np.ndarray:
        """The processes' parts end to end, in the first one."""
        return part


class Joined(World):
    """Several processes, each with a device of its own, joined by accelerate.

    The first one runs the loop. The others `follow`: they wait until it calls a function in all of them, so nothing but
    training and sampling needs to know of them, and only the first one reads or writes files.
    """

    def __init__(self) -> None:
        from accelerate import Accelerator, InitProcessGroupKwargs

        # The others wait while the first one measures, which may take long.
        self._accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))],
        )
        self.rank, self.size = self._accelerator.process_index, self._accelerator.num_processes
        if self.size != int(os.environ["WORLD_SIZE"]):
            raise RunError(
                f"the launcher started {os.environ['WORLD_SIZE']} processes, but accelerate joined {self.size} of them; "
                "start them with torchrun or `accelerate launch --multi_gpu`"
            )

    @property
    def device(self) -> str:
        return str(self._accelerator.device)

    def here(self, device: str) -> str:
        return self.device if device.partition(":")[0] == self.device.partition(":")[0] else device

    def summed(self, loss: Tensor, weights: Sequence[nn.Parameter]) -> Tensor:
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in weights]
        whole = torch.cat([loss.reshape(1), *(g.flatten() for g in gradients)])
        whole = self._accelerator.reduce(whole, "sum")
        at = 1
        for p, gradient in zip(weights, gradients, strict=True):
            p.grad = whole[at : at + gradient.numel()].view_as(gradient)
            at += gradient.numel()
        return whole[0]

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        if self.first:
            self._told((function, arguments))
        return function(*arguments)

    def gathered(self, part: np.ndarray) -> np.ndarray:
        from accelerate.utils import gather_object

        return np.concatenate(gather_object([part]))

    def follow(self) -> None:
        """Calls what the first process calls, until it says that it is done."""
        while (asked := self._told(None)) is not None:
            function, arguments = asked
            # What goes wrong in a fit goes wrong in every process, and the first one tells the user.
            with contextlib.suppress(AutophageError):
                function(*arguments)

    def release(self) -> None:
        """Lets the others go."""
        self._told(None)

    def part(self) -> None:
        """Ends the connection, whose threads would otherwise outlive the interpreter and abort it."""
        self._accelerator.end_training()

    def _told(self, what: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([what])[0]


_world: World = World()


def world() -> World:
    """The processes that train together."""
    return _world


@contextlib.contextmanager
def joined() -> Iterator[bool]:
    """Within the block, the processes that a launcher has started train together: `accelerate launch --multi_gpu -m
    autophage run ...`, or `torchrun --nproc_per_node 2 -m autophage run ...`, which does without accelerators too. True in the
    process that is to run the loop; the others follow it, and are told False when it is done. Without a launcher nothing
    happens.

    Raises `MissingExtra` when there are several processes and accelerate is not installed.
    """
    global _world
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield True
        return
    try:
        _world = several = Joined()
    except ImportError as error:
        raise MissingExtra("several processes need accelerate; pip install 'autophage[dist]'") from error
    try:
        if several.first:
            try:
                yield True
            finally:
                several.release()
        else:
            several.follow()
            yield False
    finally:
        several.part()
        _world = World()
