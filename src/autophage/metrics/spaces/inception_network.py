"""The Inception-v3 network of the FID, as the weights `pt_inception-2015-12-05` name its parts.

Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, in the form of the graph that the FID
was defined with (Heusel et al. 2017), which differs from the published network in three places: an average-pooling
branch divides by the pixels it really sees, not by nine; the pooling branch of the very last block takes the maximum;
and the classifier has 1,008 outputs, of which only the pooled 2,048 activations before it are used.

A block is described by its branches, each a chain of convolutions. The names of the parts are those of the weights and
mean kernel sizes: `branch7x7dbl_3` is the third convolution of the branch of two 7 x 7 ones.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 1008

Size = tuple[int, int]


class Step(NamedTuple):
    """One convolution: the name of its weights, channels out, kernel (height, width), stride; padding keeps the size of
    the picture unless the stride is 2 or `valid` is set."""

    name: str
    out: int
    kernel: Size = (1, 1)
    stride: int = 1
    valid: bool = False


class Convolution(nn.Module):
    """A convolution without offset, batch normalisation (epsilon 0.001), rectifier."""

    def __init__(self, channels: int, step: Step) -> None:
        super().__init__()
        valid = step.valid or step.stride > 1
        padding = (0, 0) if valid else (step.kernel[0] // 2, step.kernel[1] // 2)
        self.conv = nn.Conv2d(channels, step.out, step.kernel, step.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(step.out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches side by side, joined along the channels in their order.

    A branch is a list of steps one after the other; its last entry may be two steps in brackets, which both see what
    comes before them. `pool` says what the last branch does first (`average`, `maximum`), or that it is a maximum over
    3 x 3 with stride 2 and nothing else (`reduce`).
    """

    def __init__(self, channels: int, branches: list[list[Step | tuple[Step, Step]]], pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.branches: list[list[str | tuple[str, str]]] = []
        width = 0
        for branch in branches:
            names: list[str | tuple[str, str]] = []
            seen = channels
            for entry in branch:
                steps = [entry] if isinstance(entry, Step) else list(entry)
                for step in steps:
                    self.add_module(step.name, Convolution(seen, step))
                names.append(entry.name if isinstance(entry, Step) else (entry[0].name, entry[1].name))
                seen = sum(step.out for step in steps)
            self.branches.append(names)
            width += seen
        self.width = width + (channels if pool == "reduce" else 0)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for i, names in enumerate(self.branches):
            y = x
            if self.pool != "reduce" and i == len(self.branches) - 1:
                y = pooled(x, self.pool)
            for entry in names:
                if isinstance(entry, str):
                    y = self.get_submodule(entry)(y)
                else:
                    y = torch.cat([self.get_submodule(name)(y) for name in entry], dim=1)
            found.append(y)
        if self.pool == "reduce":
            found.append(functional.max_pool2d(x, 3, 2))
        return torch.cat(found, dim=1)


def pooled(x: Tensor, how: str) -> Tensor:
    """The average over the pixels of each 3 x 3 neighbourhood that lie in the picture, or their maximum."""
    if how == "maximum":
        return functional.max_pool2d(x, 3, 1, 1)
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def wide(pool_out: int) -> list[list[Step | tuple[Step, Step]]]:
    """The branches of a block at 35 x 35."""
    return [
        [Step("branch1x1", 64)],
        [Step("branch5x5_1", 48), Step("branch5x5_2", 64, (5, 5))],
        [
            Step("branch3x3dbl_1", 64),
            Step("branch3x3dbl_2", 96, (3, 3)),
            Step("branch3x3dbl_3", 96, (3, 3)),
        ],
        [Step("branch_pool", pool_out)],
    ]


def middle(inner: int) -> list[list[Step | tuple[Step, Step]]]:
    """The branches of a block at 17 x 17, where 7 x 7 is 1 x 7 after 7 x 1."""
    return [
        [Step("branch1x1", 192)],
        [
            Step("branch7x7_1", inner),
            Step("branch7x7_2", inner, (1, 7)),
            Step("branch7x7_3", 192, (7, 1)),
        ],
        [
            Step("branch7x7dbl_1", inner),
            Step("branch7x7dbl_2", inner, (7, 1)),
            Step("branch7x7dbl_3", inner, (1, 7)),
            Step("branch7x7dbl_4", inner, (7, 1)),
            Step("branch7x7dbl_5", 192, (1, 7)),
        ],
        [Step("branch_pool", 192)],
    ]


def small() -> list[list[Step | tuple[Step, Step]]]:
    """The branches of a block at 8 x 8, where 3 x 3 is 1 x 3 beside 3 x 1."""
    return [
        [Step("branch1x1", 320)],
        [
            Step("branch3x3_1", 384),
            (Step("branch3x3_2a", 384, (1, 3)), Step("branch3x3_2b", 384, (3, 1))),
        ],
        [
            Step("branch3x3dbl_1", 448),
            Step("branch3x3dbl_2", 384, (3, 3)),
            (Step("branch3x3dbl_3a", 384, (1, 3)), Step("branch3x3dbl_3b", 384, (3, 1))),
        ],
        [Step("branch_pool", 192)],
    ]


STEM: list[Step | str] = [
    Step("Conv2d_1a_3x3", 32, (3, 3), 2),
    Step("Conv2d_2a_3x3", 32, (3, 3), valid=True),
    Step("Conv2d_2b_3x3", 64, (3, 3)),
    "maximum",
    Step("Conv2d_3b_1x1", 80),
    Step("Conv2d_4a_3x3", 192, (3, 3), valid=True),
    "maximum",
]
"""What a picture passes first; `maximum` is over 3 x 3 with stride 2."""

BLOCKS: list[tuple[str, list[list[Step | tuple[Step, Step]]], str]] = [
    ("Mixed_5b", wide(32), "average"),
    ("Mixed_5c", wide(64), "average"),
    ("Mixed_5d", wide(64), "average"),
    (
        "Mixed_6a",
        [
            [Step("branch3x3", 384, (3, 3), 2)],
            [
                Step("branch3x3dbl_1", 64),
                Step("branch3x3dbl_2", 96, (3, 3)),
                Step("branch3x3dbl_3", 96, (3, 3), 2),
            ],
        ],
        "reduce",
    ),
    ("Mixed_6b", middle(128), "average"),
    ("Mixed_6c", middle(160), "average"),
    ("Mixed_6d", middle(160), "average"),
    ("Mixed_6e", middle(192), "average"),
    (
        "Mixed_7a",
        [
            [Step("branch3x3_1", 192), Step("branch3x3_2", 320, (3, 3), 2)],
            [
                Step("branch7x7x3_1", 192),
                Step("branch7x7x3_2", 192, (1, 7)),
                Step("branch7x7x3_3", 192, (7, 1)),
                Step("branch7x7x3_4", 192, (3, 3), 2),
            ],
        ],
        "reduce",
    ),
    ("Mixed_7b", small(), "average"),
    ("Mixed_7c", small(), "maximum"),
]


class InceptionV3(nn.Module):
    """Pictures (n, 3, 299, 299), scaled to (x - 128) / 128, as their 2,048 pooled activations (n, 2048).

    The classifier `fc` is there for the weights' sake and is not used.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        path: OrderedDict[str, nn.Module] = OrderedDict()
        for i, step in enumerate(STEM):
            if isinstance(step, Step):
                path[step.name] = Convolution(channels, step)
                channels = step.out
            else:
                path[f"maximum_{i}"] = nn.MaxPool2d(3, 2)
        for name, branches, pool in BLOCKS:
            block = Block(channels, branches, pool)
            path[name], channels = block, block.width
        self.order = tuple(path)
        for name, module in path.items():
            self.add_module(name, module)
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))
