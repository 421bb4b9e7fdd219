"""What a network of ours is told of a record: how noisy it is, and of which class, or by which caption.

    e = SiLU(W2 SiLU(W1 [cos(f t), sin(f t)]) + c[label]),        f_i = 10000^(-i/k), i = 0 .. k - 1

c[label] is a row of a table, or what `words.py` makes of a caption. (Vaswani et al. 2017 for the waves, Ho, Jain and Abbeel 2020
for their place in a denoising network.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autophage.networks.words import WordEncoder, Words

WAVES = 32
"""k: cosines, and as many sines."""


class Conditioning(nn.Module):
    """e (n, size) from the conditioning numbers (n,) and, with classes, labels (n,) of which `classes` is the null class; with
    words, captions (n, length)."""

    frequencies: Tensor

    def __init__(self, size: int, classes: int | Words | None) -> None:
        super().__init__()
        self.register_buffer(
            "frequencies", torch.exp(-math.log(1e4) * torch.arange(WAVES) / WAVES), persistent=False
        )
        self.first = nn.Linear(2 * WAVES, size)
        self.second = nn.Linear(size, size)
        self.classes: nn.Module | None = None
        if isinstance(classes, Words):
            self.classes = WordEncoder(classes, size)
        elif classes is not None:
            self.classes = nn.Embedding(classes + 1, size)

    def forward(self, noise: Tensor, label: Tensor | None) -> Tensor:
        angle = noise.float()[:, None] * self.frequencies
        waves = torch.cat([angle.cos(), angle.sin()], dim=1).to(self.first.weight.dtype)
        told = self.second(nn.functional.silu(self.first(waves)))
        if self.classes is not None and label is not None:
            told = told + self.classes(label)
        return nn.functional.silu(told)
