"""A residual perceptron for vectors: two moons, tables, latent codes.

    h = W x,    h <- h + W2 SiLU(s (1 + a) + b),  s = W1 LayerNorm(h),  (a, b) = A e,    out = V LayerNorm(h)

e is what the network is told (`conditioning.py`); each block's W2, and V, begin at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.networks.conditioning import Conditioning
from autophage.networks.network import Net, Network, Shape, share, zeroed
from autophage.networks.words import Words


@dataclass(frozen=True, kw_only=True)
class MLP(Network):
    """A residual perceptron for vectors (d,), `out_channels` numbers out.

    >>> from autophage.keys import Key
    >>> net = MLP(width=16).build((2,), 2, None, Key(0))
    >>> net(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    kind: ClassVar[str] = "mlp"
    vectors: ClassVar[bool] = True
    reads: ClassVar[bool] = True

    width: int = 128
    """Units of a layer."""
    blocks: int = 3
    """Residual blocks, two layers each."""
    dropout: float = 0.0
    """Share of a block's units that is left out while it learns."""

    def __post_init__(self) -> None:
        whole_number(self.width, "network.width", least=1)
        whole_number(self.blocks, "network.blocks", least=1)
        share(self.dropout, "network.dropout")

    def _built(self, shape: Shape, out_channels: int, classes: int | Words | None) -> Net:
        return _Perceptron(self, shape, out_channels, classes)


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.told = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.second = zeroed(nn.Linear(width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.told(e).chunk(2, dim=1)
        s = torch.addcmul(shift, self.first(self.norm(h)), 1 + scale)
        return h + self.second(self.dropout(nn.functional.silu(s)))


class _Perceptron(Net):
    def __init__(self, network: MLP, shape: Shape, out_channels: int, classes: int | Words | None) -> None:
        super().__init__(network, shape, out_channels, classes)
        self.conditioning = Conditioning(network.width, classes)
        self.into = nn.Linear(shape[0], network.width)
        self.blocks = nn.ModuleList(_Block(network.width, network.dropout) for _ in range(network.blocks))
        self.norm = nn.LayerNorm(network.width)
        self.out = zeroed(nn.Linear(network.width, out_channels))

    @property
    def bottleneck(self) -> nn.Module:
        return self.blocks[(len(self.blocks) - 1) // 2]

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        e = self.conditioning(noise, self.told(label, x))
        h = self.into(x)
        for block in self.blocks:
            h = block(h, e)
        return self.out(self.norm(h))
