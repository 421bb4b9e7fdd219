"""A network that reads a record and writes words: convolutions, then a transformer decoder that looks at what they see.

    memory   m (n, p, w)   the record as p tokens: places of a picture, halved until at most 4 x 4 are left, or parts of a vector
    words    h_0 = e[id] + position,   h <- h + self(h),  h <- h + cross(h, m),  h <- h + MLP(h)   in each layer
    logits   (n, l, K)     of the word after each of l words;  self-attention sees words to the left only

(Vaswani et al. 2017; Vinyals et al. 2015 and Xu et al. 2015 for captions from convolutions.) Norms stand before each branch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from autophage.keys import Key

FINEST = 4
"""Places along the longer side of a picture after the halvings, at most."""
CHANNELS = 32
"""Of the first convolution; doubled with every halving, up to the width."""
PARTS = 4
"""Tokens of a vector."""
GROUPS = 8


@dataclass(frozen=True)
class CaptionerArchitecture:
    """What must be known to build a network, for pictures (c, h, w) or vectors (d,) and `size` numbers of words.

    >>> net = CaptionerArchitecture((3, 32, 32), size=26, length=6, width=64, layers=1, heads=2).build(Key(0))
    >>> net(torch.zeros(5, 3, 32, 32), torch.ones(5, 4, dtype=torch.long)).shape
    torch.Size([5, 4, 26])
    """

    shape: tuple[int, ...]
    size: int
    length: int
    """Numbers of the longest caption, its beginning and end included."""
    width: int
    layers: int
    heads: int

    def build(self, key: Key) -> CaptionerNetwork:
        """The network before its training, weights from `key`."""
        with key.globally():
            return CaptionerNetwork(self)

    def stored(self) -> dict[str, Any]:
        """What `restored` rebuilds it from: plain data."""
        return asdict(self)

    @staticmethod
    def restored(body: Mapping[str, Any]) -> CaptionerArchitecture:
        return CaptionerArchitecture(**{**body, "shape": tuple(body["shape"])})


class CaptionerNetwork(nn.Module):
    """An encoder and a decoder of words."""

    def __init__(self, architecture: CaptionerArchitecture) -> None:
        super().__init__()
        a = architecture
        self.eye = _Convolutions(a.shape, a.width) if len(a.shape) == 3 else _Layers(a.shape[0], a.width)
        self.words = nn.Embedding(a.size, a.width)
        self.position = nn.Parameter(0.02 * torch.randn(a.length, a.width))
        self.layers = nn.ModuleList(_Layer(a.width, a.heads) for _ in range(a.layers))
        self.norm = nn.LayerNorm(a.width)
        self.logits = nn.Linear(a.width, a.size)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.zeros_(self.logits.bias)

    def encode(self, x: Tensor) -> Tensor:
        """The memory (n, p, w) of network inputs x."""
        return self.eye(x)

    def decode(self, memory: Tensor, ids: Tensor) -> Tensor:
        """Logits (n, l, K) of the word after each of the words ids (n, l)."""
        h = self.words(ids) + self.position[: ids.shape[1]]
        for layer in self.layers:
            h = layer(h, memory)
        return self.logits(self.norm(h))

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.decode(self.encode(x), ids)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.cross = _Attention(width, heads), _Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, memory: Tensor) -> Tensor:
        first, second, third = self.norms
        seen = first(h)
        h = h + self.own(seen, seen, causal=True)
        h = h + self.cross(second(h), memory, causal=False)
        return h + self.mlp(third(h))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.asked, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.there = nn.Linear(width, 2 * width)

    def forward(self, h: Tensor, memory: Tensor, causal: bool) -> Tensor:
        n, length, width = h.shape
        asked = self.asked(h).view(n, length, self.heads, -1).transpose(1, 2)
        keys, values = self.there(memory).view(n, memory.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(asked, keys, values, is_causal=causal)
        return self.out(seen.transpose(1, 2).reshape(n, length, width))


class _Convolutions(nn.Module):
    """A picture as tokens: 3 x 3 convolutions, each of stride 2 until both sides are at most `FINEST`."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        channels, *sides = shape
        halvings = max(0, math.ceil(math.log2(max(sides) / FINEST)))
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for i in range(max(1, halvings)):
            after = min(CHANNELS << i, width)
            self.convolutions.append(nn.Conv2d(channels, after, 3, stride=2 if halvings else 1, padding=1))
            self.norms.append(nn.GroupNorm(math.gcd(GROUPS, after), after))
            channels = after
        for _ in range(halvings):
            sides = [-(-side // 2) for side in sides]
        self.last = nn.Conv2d(channels, width, 3, padding=1)
        self.position = nn.Parameter(0.02 * torch.randn(sides[0] * sides[1], width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            h = silu(norm(convolution(h)))
        return self.norm(self.last(h).flatten(2).transpose(1, 2) + self.position)


class _Layers(nn.Module):
    """A vector as tokens."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(size, 2 * width)
        self.second = nn.Linear(2 * width, PARTS * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.second(silu(self.first(x))).view(len(x), PARTS, -1))
