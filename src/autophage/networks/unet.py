"""The U-Nets of diffusers.

| preset | levels | blocks | attention | parameters, 3 x 32 x 32 | size of |
|---|---|---|---|---|---|
| ddpm_cifar10 | 128, 256, 256, 256 | 2 | 16 x 16 | 35,746,307 | Ho, Jain and Abbeel 2020 |
| edm_cifar10 | 256, 256, 256 | 4 | 16 x 16 | 54,293,763 | Karras et al. 2022 (ddpmpp, 55.7 million) |

Both have one more attention in the middle. `ddpm_cifar10` is the published network; `edm_cifar10` has the channels, depth,
attention and dropout of the EDM network, in the blocks of diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.networks.network import Margin, Net, Network, Shape, share, sizes
from autophage.networks.of_diffusers import further, made
from autophage.networks.words import Words

Preset = Literal["ddpm_cifar10", "edm_cifar10"]

FIELDS = {
    "block_out_channels": "block_out_channels",
    "layers_per_block": "layers_per_block",
    "dropout": "dropout",
    "norm_num_groups": "norm_groups",
    "attention_head_dim": "head_size",
}
"""Arguments of `UNet2DModel`, and the keys of `UNet` that say them."""
OF_THE_DATA = ("sample_size", "in_channels", "out_channels", "num_class_embeds", "class_embed_type")

SIZES: dict[Preset | None, dict[str, Any]] = {
    None: {"block_out_channels": (64, 128, 128), "layers_per_block": 2, "dropout": 0.0},
    "ddpm_cifar10": {
        "block_out_channels": (128, 256, 256, 256),
        "layers_per_block": 2,
        "dropout": 0.1,
        "attention": (1,),
    },
    "edm_cifar10": {
        "block_out_channels": (256, 256, 256),
        "layers_per_block": 4,
        "dropout": 0.13,
        "attention": (1,),
    },
}
DETAILS: dict[Preset | None, dict[str, Any]] = {
    None: {},
    # As in the checkpoints that were converted from the authors' own.
    "ddpm_cifar10": {"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6},
    "edm_cifar10": {"time_embedding_dim": 512, "norm_eps": 1e-6},
}


@dataclass(frozen=True, kw_only=True)
class UNet(Network):
    """`UNet2DModel` of diffusers. Sides that its levels cannot divide are padded with zeros inside, and cut off again.

    A network with classes has classes + 1 rows in its class embedding; the last is the null class.
    """

    kind: ClassVar[str] = "unet"

    preset: Preset | None = None
    """Sizes of a published network; the other keys change it."""
    block_out_channels: tuple[int, ...] | None = None
    """Channels per level, the finest first; unset: the preset's, or 64, 128, 128."""
    layers_per_block: int | None = None
    """Residual blocks per level on the way down, and one more on the way up; unset: the preset's, or 2."""
    attention: tuple[int, ...] | None = None
    """Levels with attention, 0 the finest; unset: the preset's, or the coarsest level. The middle always has it."""
    dropout: float | None = None
    """Share left out in each residual block while it learns; unset: the preset's, or 0."""
    norm_groups: int | None = None
    """Groups of the group normalisation, which divide every level's channels; unset: 32, or the highest power of two below."""
    head_size: int | None = None
    """Channels of an attention head; unset: one head."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of `UNet2DModel`, by the names diffusers gives them."""
    from_pretrained: str | None = None
    """Folder (or hub id) of a checkpoint whose network and weights training begins with; excludes the other keys."""

    def __post_init__(self) -> None:
        if self.preset not in SIZES:
            known = ", ".join(name for name in SIZES if name)
            raise SpecError(f"network.preset is {self.preset!r}; it must be one of: {known}")
        if self.block_out_channels is not None:
            channels = sizes(self.block_out_channels, "network.block_out_channels", 1)
            object.__setattr__(self, "block_out_channels", channels)
        if self.attention is not None:
            object.__setattr__(self, "attention", sizes(self.attention, "network.attention", 0, empty=True))
        for key in ("layers_per_block", "norm_groups", "head_size"):
            if getattr(self, key) is not None:
                whole_number(getattr(self, key), f"network.{key}", least=1)
        if self.dropout is not None:
            share(self.dropout, "network.dropout")
        object.__setattr__(self, "settings", further(self.settings, FIELDS, OF_THE_DATA))
        if self.attention is not None and {"down_block_types", "up_block_types"} & set(self.settings):
            raise SpecError("network.settings names the blocks, and so does network.attention; leave one out")
        if self.from_pretrained is not None:
            if not isinstance(self.from_pretrained, str) or not self.from_pretrained:
                raise SpecError(
                    f"network.from_pretrained is {self.from_pretrained!r}; it must be a folder or a hub id"
                )
            others: tuple[Any, ...] = (self.preset, self.block_out_channels, self.layers_per_block)
            others += (self.attention, self.dropout, self.norm_groups, self.head_size)
            if self.settings or any(value is not None for value in others):
                raise SpecError("network.from_pretrained brings its own sizes; leave the other keys out")

    def build(self, shape: Shape, out_channels: int, classes: int | Words | None, key: Key) -> Net:
        """As every network; with `from_pretrained` the checkpoint's own, whose `network` is free of that folder."""
        if self.from_pretrained is None or isinstance(classes, Words):
            return super().build(shape, out_channels, classes, key)
        from autophage.networks.checkpoints import adopt

        net = adopt(self.from_pretrained, shape=shape, classes=classes).net
        if net.network.kind != self.kind:
            raise SpecError(
                f"network.from_pretrained names a network of kind {net.network.kind}, not {self.kind}"
            )
        if (net.out_channels, net.classes) != (out_channels, classes):
            raise SpecError(
                f"the network of {self.from_pretrained} has {net.out_channels} output channels and classes: "
                f"{net.classes}; {out_channels} and {classes} are needed"
            )
        return net

    def arguments(self, shape: Shape, out_channels: int, classes: int | None) -> dict[str, Any]:
        """What `UNet2DModel` is called with."""
        usual = SIZES[self.preset]
        chosen = {
            key: usual.get(key) if getattr(self, key) is None else getattr(self, key)
            for key in ("block_out_channels", "layers_per_block", "dropout", "attention")
        }
        channels: Any = chosen["block_out_channels"]
        levels = range(len(channels))
        attention = chosen["attention"]
        if attention is None:
            attention = (levels[-1],)
        for level in attention:
            if level not in levels:
                raise SpecError(f"network.attention names level {level}; there are levels 0 to {levels[-1]}")
        groups = self.norm_groups or next(
            g for g in (32, 16, 8, 4, 2, 1) if not any(width % g for width in channels)
        )
        for width in channels:
            if width % groups:
                raise SpecError(
                    f"network.norm_groups is {groups}, which does not divide {width} of network.block_out_channels"
                )
        for level in {*attention, levels[-1]}:
            if channels[level] < (self.head_size or 0):
                raise SpecError(
                    f"network.head_size is {self.head_size}, more than the {channels[level]} channels of level {level}"
                )
        return {
            "down_block_types": tuple("AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels),
            "up_block_types": tuple(
                "AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)
            ),
            **DETAILS[self.preset],
            **self.settings,
            "block_out_channels": channels,
            "layers_per_block": chosen["layers_per_block"],
            "dropout": chosen["dropout"],
            "norm_num_groups": groups,
            "attention_head_dim": self.head_size,
            "in_channels": shape[0],
            "out_channels": out_channels,
            "sample_size": shape[1] if shape[1] == shape[2] else shape[1:],
            "num_class_embeds": None if classes is None else classes + 1,
        }

    def _built(self, shape: Shape, out_channels: int, classes: int | None) -> Net:
        model = made("UNet2DModel", self.arguments(shape, out_channels, classes))
        return UNetOfDiffusers(self, model, shape, out_channels, classes)


class UNetOfDiffusers(Net):
    """`model` is diffusers' own module."""

    def __init__(
        self, network: UNet, model: nn.Module, shape: Shape, out_channels: int, classes: int | None
    ) -> None:
        super().__init__(network, shape, out_channels, classes)
        self.model = model
        config: Any = model.config
        self.margin = Margin(shape[1], shape[2], 2 ** (len(config["block_out_channels"]) - 1))

    @property
    def bottleneck(self) -> nn.Module:
        model: Any = self.model
        return model.mid_block

    def forward(self, x: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        told = self.told(label, x)
        (output,) = self.model(self.margin.wider(x), noise, class_labels=told, return_dict=False)
        return self.margin.cut(output)
