"""The diffusion transformer of diffusers (Peebles and Xie 2023, DiT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.networks.network import Margin, Net, Network, Shape, share, zeroed
from autophage.networks.of_diffusers import further, made

FIELDS = {
    "patch_size": "patch_size",
    "num_layers": "layers",
    "num_attention_heads": "heads",
    "attention_head_dim": "head_size",
    "dropout": "dropout",
}
"""Arguments of `DiTTransformer2DModel`, and the keys of `DiT` that say them."""
OF_THE_DATA = ("sample_size", "in_channels", "out_channels", "num_embeds_ada_norm")


@dataclass(frozen=True, kw_only=True)
class DiT(Network):
    """`DiTTransformer2DModel` of diffusers on pixels: square patches as tokens, residual branches and output that begin at
    zero, as its authors begin. Sides that make no square of patches are padded with zeros inside, and cut off again.

    A network without classes has a single one, which everybody is told. Every block has a class embedding of its own, with
    the null class as last row; labels are never dropped inside, since the learner does that.
    """

    kind: ClassVar[str] = "dit"

    patch_size: int = 2
    """Pixels along a side of a token."""
    layers: int = 6
    """Transformer blocks."""
    heads: int = 4
    """Attention heads of a block."""
    head_size: int = 64
    """Channels of a head; the width is heads x head_size."""
    dropout: float = 0.0
    """Share left out in each block while it learns."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of `DiTTransformer2DModel`, by the names diffusers gives them."""

    def __post_init__(self) -> None:
        for key in ("patch_size", "layers", "heads", "head_size"):
            whole_number(getattr(self, key), f"network.{key}", least=1)
        share(self.dropout, "network.dropout")
        if self.heads * self.head_size % 4:
            raise SpecError(
                f"network.heads x network.head_size is {self.heads * self.head_size}; it must be a multiple of 4"
            )
        object.__setattr__(self, "settings", further(self.settings, FIELDS, OF_THE_DATA))

    def arguments(self, shape: Shape, out_channels: int, classes: int | None) -> dict[str, Any]:
        """What `DiTTransformer2DModel` is called with."""
        return {
            **self.settings,
            **{argument: getattr(self, key) for argument, key in FIELDS.items()},
            "in_channels": shape[0],
            "out_channels": out_channels,
            "sample_size": side(shape, self.patch_size),
            "num_embeds_ada_norm": classes or 1,
        }

    def _built(self, shape: Shape, out_channels: int, classes: int | None) -> Net:
        model = made("DiTTransformer2DModel", self.arguments(shape, out_channels, classes))
        for block in model.transformer_blocks:
            zeroed(block.norm1.linear)
        zeroed(model.proj_out_1)
        zeroed(model.proj_out_2)
        return DiTOfDiffusers(self, model, shape, out_channels, classes)


def side(shape: Shape, patch: int) -> int:
    """The side of the smallest square of whole patches that holds the image.

    >>> side((3, 28, 31), 4)
    32
    """
    return -(-max(shape[1:]) // patch) * patch


class DiTOfDiffusers(Net):
    """`model` is diffusers' own module."""

    def __init__(
        self, network: DiT, model: nn.Module, shape: Shape, out_channels: int, classes: int | None
    ) -> None:
        super().__init__(network, shape, out_channels, classes)
        self.model = model
        self.margin = Margin(shape[1], shape[2], side(shape, network.patch_size))
        blocks: Any = model.transformer_blocks
        for block in blocks:
            block.norm1.emb.class_embedder.dropout_prob = 0.0

    @property
    def bottleneck(self) -> nn.Module:
        blocks: Any = self.model.transformer_blocks
        return blocks[(len(blocks) - 1) // 2]

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        told = self.told(label, x)
        if told is None:
            told = torch.zeros(len(x), dtype=torch.long, device=x.device)
        (output,) = self.model(self.margin.wider(x), noise, class_labels=told, return_dict=False)
        return self.margin.cut(output)
