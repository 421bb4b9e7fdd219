"""A small U-Net for small images and one thread of a laptop.

    block(h, e) = h + W2 SiLU((1 + a) GroupNorm(W1 h) + b),        (a, b) = A e

The way down halves the sides: the 2 x 2 places of a patch become one by a linear map. The way up doubles them likewise, and
what the way down left at a level is added (Ronneberger, Fischer and Brox 2015; Dhariwal and Nichol 2021 for scale and shift).
W1, W2 are 3 x 3 convolutions, e is what the network is told (`conditioning.py`); W2 and the last layer begin at zero. One
normalisation per block, sums instead of concatenations and channels-last memory make it fast without an accelerator.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.networks.conditioning import Conditioning
from autophage.networks.network import Margin, Net, Network, Shape, share, sizes, zeroed
from autophage.networks.words import Words

TOLD = 128
"""Numbers in e."""
GROUP = 8
"""Channels that are normalised together."""
HEAD = 32
"""Channels of an attention head."""


@dataclass(frozen=True, kw_only=True)
class SmallUNet(Network):
    """A U-Net of two or three levels, from 8 x 8 grey to 64 x 64 colour. Sides that its patches and levels cannot divide are
    padded with zeros inside, and cut off again.

    >>> from autophage.keys import Key
    >>> net = SmallUNet().build((1, 8, 8), 1, None, Key(0))
    >>> net(torch.zeros(5, 1, 8, 8), torch.zeros(5)).shape
    torch.Size([5, 1, 8, 8])
    """

    kind: ClassVar[str] = "small_unet"
    reads: ClassVar[bool] = True

    width: int | None = None
    """Channels of the finest level; unset: 16 without patches, 32 with."""
    multipliers: tuple[int, ...] | None = None
    """Channels per level, the finest first, in units of the width; unset: 1, 4 up to 8 x 8, then 1, 3, with patches 1, 2."""
    blocks: int = 1
    """Residual blocks per level and way."""
    patch_size: int | None = None
    """Pixels along a side that enter together as channels; unset: 2 up to 32 x 32, then 4. On 8 x 8 digits 2 learns as well as 1
    from as many records, in half the time."""
    attention: bool = False
    """Attention between the places of the coarsest level."""
    dropout: float = 0.0
    """Share of a block's channels' places that is left out while it learns."""

    def __post_init__(self) -> None:
        for key in ("width", "patch_size"):
            if getattr(self, key) is not None:
                whole_number(getattr(self, key), f"network.{key}", least=1)
        whole_number(self.blocks, "network.blocks", least=1)
        if self.multipliers is not None:
            object.__setattr__(self, "multipliers", sizes(self.multipliers, "network.multipliers", 1))
        if not isinstance(self.attention, bool):
            raise SpecError(f"network.attention is {self.attention!r}; it must be true or false")
        share(self.dropout, "network.dropout")

    def patches(self, shape: Shape) -> int:
        """Pixels along a side of a patch, for images of this shape."""
        if self.patch_size is not None:
            return self.patch_size
        longest = max(shape[1:])
        return 2 if longest <= 32 else 4

    def widths(self, shape: Shape) -> tuple[int, ...]:
        """Channels per level, the finest first, for images of this shape."""
        if self.patches(shape) > 1:
            usual, multipliers = 32, (1, 2)
        else:
            usual, multipliers = 16, (1, 4) if max(shape[1:]) <= 8 else (1, 3)
        return tuple((self.width or usual) * m for m in self.multipliers or multipliers)

    def _built(self, shape: Shape, out_channels: int, classes: int | Words | None) -> Net:
        return _UNet(self, shape, out_channels, classes)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


class _Block(nn.Module):
    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = _norm(channels)
        self.told = nn.Linear(TOLD, 2 * channels)
        self.dropout = nn.Dropout(dropout)
        self.second = zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.told(e)[:, :, None, None].chunk(2, dim=1)
        s = torch.addcmul(shift, self.norm(self.first(h)), 1 + scale)
        return h + self.second(self.dropout(nn.functional.silu(s)))


class _Attention(nn.Module):
    """Every place of an image asks every other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD if channels % HEAD == 0 else 1
        self.norm = _norm(channels)
        self.asked = nn.Linear(channels, 3 * channels, bias=False)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, h: Tensor) -> Tensor:
        n, channels, height, width = h.shape
        places = self.norm(h).flatten(2).transpose(1, 2)
        asked = self.asked(places).view(n, height * width, 3, self.heads, channels // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        found = self.out(found.transpose(1, 2).reshape(n, height * width, channels))
        return h + found.transpose(1, 2).reshape(h.shape)


class _Halve(nn.Module):
    """Four places become one: a 2 x 2 convolution of stride 2. In channels-last memory a matrix product is faster."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.map = nn.Linear(4 * fine, coarse)

    def forward(self, h: Tensor) -> Tensor:
        n, c, height, width = h.shape
        four = h.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return self.map(four.reshape(n, height // 2, width // 2, 4 * c)).permute(0, 3, 1, 2)


class _Double(nn.Module):
    """One place becomes four: the transpose of `_Halve`."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.map = nn.Linear(coarse, 4 * fine)

    def forward(self, h: Tensor) -> Tensor:
        n, _, height, width = h.shape
        four = self.map(h.permute(0, 2, 3, 1)).reshape(n, height, width, 2, 2, -1).permute(0, 1, 3, 2, 4, 5)
        return four.reshape(n, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


class _UNet(Net):
    def __init__(
        self, network: SmallUNet, shape: Shape, out_channels: int, classes: int | Words | None
    ) -> None:
        super().__init__(network, shape, out_channels, classes)
        patch, widths = network.patches(shape), network.widths(shape)
        self.patch = patch
        self.margin = Margin(shape[1], shape[2], patch * 2 ** (len(widths) - 1))

        def blocks(channels: int) -> nn.ModuleList:
            return nn.ModuleList(_Block(channels, network.dropout) for _ in range(network.blocks))

        self.conditioning = Conditioning(TOLD, classes)
        self.into = nn.Conv2d(shape[0] * patch**2, widths[0], 3, padding=1)
        finer, steps = widths[:-1], list(itertools.pairwise(widths))
        self.down = nn.ModuleList(blocks(width) for width in finer)
        self.narrower = nn.ModuleList(_Halve(fine, coarse) for fine, coarse in steps)
        self.middle = blocks(widths[-1])
        self.attention = _Attention(widths[-1]) if network.attention else nn.Identity()
        self.wider = nn.ModuleList(_Double(coarse, fine) for fine, coarse in reversed(steps))
        self.up = nn.ModuleList(blocks(width) for width in reversed(finer))
        self.norm = _norm(widths[0])
        self.out = zeroed(nn.Conv2d(widths[0], out_channels * patch**2, 3, padding=1))

    @property
    def bottleneck(self) -> nn.Module:
        return self.attention  # the last thing at the coarsest level, also where it does nothing

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        e = self.conditioning(noise, self.told(label, x))
        h = nn.functional.pixel_unshuffle(self.margin.wider(x), self.patch)
        h = self.into(h.contiguous(memory_format=torch.channels_last))
        left = []
        for level, narrower in zip(self.down, self.narrower, strict=True):
            h = _through(level, h, e)
            left.append(h)
            h = narrower(h)
        h = self.attention(_through(self.middle, h, e))
        for wider, level in zip(self.wider, self.up, strict=True):
            h = _through(level, left.pop() + wider(h), e)
        h = self.out(nn.functional.silu(self.norm(h)))
        return self.margin.cut(nn.functional.pixel_shuffle(h, self.patch))


def _through(blocks: nn.Module, h: Tensor, e: Tensor) -> Tensor:
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        h = block(h, e)
    return h
