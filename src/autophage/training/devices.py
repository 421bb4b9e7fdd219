"""Where a training runs: processor or accelerator, in which precision, alone or with other processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

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
        return torch.compile(net) if self.compile else net


class World:
    """The processes that train together; here the only one."""

    rank, size = 0, 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    def mine(self, n: int) -> slice:
        """This process's part of n records."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def summed(self, loss: Tensor, weights: Sequence[nn.Parameter]) -> Tensor:
        """Adds up loss and gradients over the processes."""
        return loss


_world = World()


def world() -> World:
    """The processes that train together."""
    return _world
