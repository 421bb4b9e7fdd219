"""Encoders and decoders of variational autoencoders.

    forward(x, noise) -> mean m (n, k), log variance l (n, k), output (n, *shape)
    z = m + exp(l / 2) noise,   output = decode(z)

The output is what the likelihood needs: logits for Bernoulli pixels, means for Gaussian ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from autophage.keys import Key

Architecture = Literal["conv", "mlp", "linear"]

WIDTHS: dict[Architecture, tuple[int, ...]] = {"conv": (64, 128), "mlp": (256, 256), "linear": ()}
"""Channels of the convolutions, neurons of the hidden layers; decoders have them in reverse."""
WIDEST = 20.0
"""The largest log variance of a latent."""
SWIFT = 10.0
"""Adam moves every weight by about its rate in a step; the one observation noise, for all records, may go faster."""


@dataclass(frozen=True)
class VaeArchitecture:
    """What must be known to build a network.

    Pictures (c, h, w) need `conv`, `mlp` or `linear`; vectors (d,) one of the last two.

    >>> published = VaeArchitecture("conv", (1, 28, 28), latent=20, widths=(64, 128))
    >>> sum(p.numel() for p in published.build(Key(0)).parameters())
    647081
    """

    kind: Architecture
    shape: tuple[int, ...]
    latent: int
    widths: tuple[int, ...]
    observation: Literal["none", "fixed", "learned"] = "none"
    """Whether the decoder comes with a Gaussian observation noise, and whether its scale is learned."""

    def build(self, key: Key) -> VaeNetwork:
        """The network before its training, weights from `key`."""
        with key.globally():
            return VaeNetwork(self)

    def stored(self) -> dict[str, Any]:
        """What `restored` rebuilds it from: plain data."""
        return asdict(self)

    @staticmethod
    def restored(body: Mapping[str, Any]) -> VaeArchitecture:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in body.items()}
        return VaeArchitecture(**values)


class VaeNetwork(nn.Module):
    """An encoder and a decoder."""

    noise: Tensor | None

    def __init__(self, architecture: VaeArchitecture) -> None:
        super().__init__()
        self.latent = architecture.latent
        build = {"conv": _convolutions, "mlp": _layers, "linear": _layers}[architecture.kind]
        self.trunk, width, self.decoder = build(architecture.shape, architecture.widths, self.latent)
        self.mean = nn.Linear(width, self.latent)
        # The posterior of a linear model has one covariance for every record.
        linear = architecture.kind == "linear"
        self.log_variance = _Same(self.latent) if linear else nn.Linear(width, self.latent)
        if architecture.observation == "learned":
            self.noise = nn.Parameter(torch.zeros(()))
        else:
            fixed = torch.zeros(architecture.shape) if architecture.observation == "fixed" else None
            self.register_buffer("noise", fixed)

    @property
    def log_noise(self) -> Tensor | None:
        """The log of the observation variance, in units of network inputs: a number, or of a record's shape; None without
        Gaussian decoder."""
        return None if self.noise is None else SWIFT * self.noise

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances (n, k) of the latents of network inputs x."""
        seen = self.trunk(x)
        # Far from its training data an encoder may say anything; what is measured there must stay a number.
        return self.mean(seen), self.log_variance(seen).clamp(-WIDEST, WIDEST)

    def decode(self, z: Tensor) -> Tensor:
        """What the decoder says of latents z (n, k)."""
        return self.decoder(z)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        return mean, log_variance, self.decode(mean + (0.5 * log_variance).exp() * noise)


class _Same(nn.Module):
    """The same learned numbers for every record."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(len(x), -1)


def _convolutions(
    shape: Sequence[int], widths: Sequence[int], latent: int
) -> tuple[nn.Module, int, nn.Module]:
    """4 x 4 convolutions of stride 2, each halving both sides, and their transposes."""
    channels, *sides = shape
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for i, width in enumerate(widths):
        down += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.ReLU()]
        odd = (sides[0] % 2, sides[1] % 2)  # halved and doubled again, a side must be what it was
        back = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, output_padding=odd)
        up = [back, *([nn.ReLU()] if i else []), *up]
        channels, sides = width, [side // 2 for side in sides]
    small = (channels, *sides)
    width = channels * sides[0] * sides[1]
    decoder = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Unflatten(1, small), *up)
    return nn.Sequential(*down, nn.Flatten()), width, decoder


def _layers(shape: Sequence[int], widths: Sequence[int], latent: int) -> tuple[nn.Module, int, nn.Module]:
    """Fully connected hidden layers; none for a linear model."""
    size = int(torch.Size(shape).numel())
    trunk: list[nn.Module] = [nn.Flatten()]
    seen = size
    for width in widths:
        trunk += [nn.Linear(seen, width), nn.ReLU()]
        seen = width
    decoder: list[nn.Module] = []
    said = latent
    for width in reversed(widths):
        decoder += [nn.Linear(said, width), nn.ReLU()]
        said = width
    decoder += [nn.Linear(said, size), nn.Unflatten(1, tuple(shape))]
    return nn.Sequential(*trunk), seen, nn.Sequential(*decoder)
