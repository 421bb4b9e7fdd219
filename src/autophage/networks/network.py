"""What every network is: a spec that builds it, and a module that knows what it was built from.

    net(x, noise, label) -> (n, c_out, h, w)           x (n, c, h, w), or (n, c_out) for vectors x (n, d)

`noise` (n,) tells how noisy a record is: the timestep of a chain, 0 .. T - 1, or a number of that size that the learner
made of a continuous level. `label` (n,) holds 0 .. classes - 1, and `classes` for "not told", the null class of
classifier-free guidance (Ho and Salimans 2022); None tells nobody's label. A network that reads captions is built with `Words`
for `classes`, and `label` (n, length) then holds their words.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.networks.words import Words

Shape = tuple[int, ...]
"""(c, h, w) of an image, (d,) of a vector."""


@dataclass(frozen=True, kw_only=True)
class Network(ABC):
    """A kind of network and its sizes: what a spec says of it.

    Plain data both ways: `body` and `kinds.network_from`.
    """

    kind: ClassVar[str]
    vectors: ClassVar[bool] = False
    """For records (d,); else for images (c, h, w)."""
    reads: ClassVar[bool] = False
    """Can be built with `Words`, to be told captions."""

    def build(self, shape: Shape, out_channels: int, classes: int | Words | None, key: Key) -> Net:
        """The network before its training, for records of this shape; its weights come from `key`.

        Raises `SpecError` where shape, channels or classes cannot be, or do not fit the network.
        """
        axes = ("d",) if self.vectors else ("c", "h", "w")
        if len(shape) != len(axes):
            wanted = "vectors (d,)" if self.vectors else "images (c, h, w)"
            raise SpecError(f"network {self.kind} is for {wanted}; the records have the shape {tuple(shape)}")
        for axis, size in zip(axes, shape, strict=True):
            whole_number(size, f"network {self.kind}: {axis} of the records' shape", least=1)
        whole_number(out_channels, f"network {self.kind}: out_channels", least=1)
        if isinstance(classes, Words):
            self.check_reads_captions()
        elif classes is not None:
            whole_number(classes, f"network {self.kind}: classes", least=1)
        with key.globally():
            return self._built(tuple(int(s) for s in shape), int(out_channels), classes)

    @classmethod
    def check_reads_captions(cls) -> None:
        """Raises `SpecError` where a network of this kind cannot be told captions."""
        if not cls.reads:
            raise SpecError(f"network {cls.kind} can be told classes but no captions; take small_unet or mlp")

    @abstractmethod
    def _built(self, shape: Shape, out_channels: int, classes: Any) -> Net:
        """The network, its weights drawn from torch's global generator."""

    def body(self) -> dict[str, Any]:
        """The spec as plain data, its kind included."""
        return {"kind": self.kind, **asdict(self)}


class Net(nn.Module):
    """A built network.

    `network`, `shape`, `out_channels` and `classes` are all that must be stored beside the weights to build it again:
    `net.network.build(net.shape, net.out_channels, net.classes, key)`.
    """

    def __init__(
        self, network: Network, shape: Shape, out_channels: int, classes: int | Words | None
    ) -> None:
        super().__init__()
        self.network, self.shape, self.out_channels, self.classes = network, shape, out_channels, classes

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    @property
    def bottleneck(self) -> nn.Module:
        """The module whose output is the record's latent code. Raises `SpecError` where a network does not say."""
        raise SpecError(
            f"network {self.network.kind} does not say where its bottleneck is, so it has no latents"
        )

    def told(self, label: Tensor | None, x: Tensor) -> Tensor | None:
        """The labels (n,) of the records x (n, ...), or their captions: the null one for everybody where none are given, and None
        where the network knows no classes, which then must not be given any."""
        if self.classes is None:
            if label is not None:
                raise SpecError(
                    "the network knows no classes, but labels were given; build it with `classes`"
                )
            return None
        if label is not None:
            return label
        if isinstance(self.classes, Words):
            return self.classes.nobody(len(x), x.device)
        return torch.full((len(x),), self.classes, dtype=torch.long, device=x.device)


class Margin:
    """Zeros around images whose sides the network cannot divide, cut off its output again.

    As many on both sides, or one more below and to the right.

    >>> margin = Margin(28, 27, 8)
    >>> margin.wider(torch.ones(1, 1, 28, 27)).shape, margin.cut(torch.ones(1, 1, 32, 32)).shape
    (torch.Size([1, 1, 32, 32]), torch.Size([1, 1, 28, 27]))
    """

    def __init__(self, height: int, width: int, multiple: int) -> None:
        self.height, self.width = height, width
        self.padded = tuple(math.ceil(side / multiple) * multiple for side in (height, width))
        self.top, self.left = (self.padded[0] - height) // 2, (self.padded[1] - width) // 2

    @property
    def needed(self) -> bool:
        return self.padded != (self.height, self.width)

    def wider(self, x: Tensor) -> Tensor:
        if not self.needed:
            return x
        right = self.padded[1] - self.width - self.left
        below = self.padded[0] - self.height - self.top
        return nn.functional.pad(x, (self.left, right, self.top, below))

    def cut(self, x: Tensor) -> Tensor:
        if not self.needed:
            return x
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]


Module = TypeVar("Module", bound=nn.Module)


def zeroed(module: Module) -> Module:
    """The same layer with all its weights at zero: a residual branch, or an output, that begins with nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def parameters(net: nn.Module) -> int:
    """How many numbers a network learns.

    >>> parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def share(value: Any, key: str) -> None:
    """Raises `SpecError` unless `value` is a probability of dropping something: in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise SpecError(f"{key} is {value!r}; it must lie in [0, 1)")


def sizes(value: Any, key: str, least: int, empty: bool = False) -> tuple[int, ...]:
    """`value`, a list of whole numbers, as a tuple; refused with a `SpecError` where it is none, or empty and must not be."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise SpecError(f"{key} is {value!r}; it must be a list of whole numbers")
    found = tuple(value)
    if not found and not empty:
        raise SpecError(f"{key} is empty; give at least one whole number")
    for number in found:
        whole_number(number, key, least=least)
    return tuple(int(number) for number in found)
