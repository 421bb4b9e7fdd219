"""The fixed, invertible map between records and what a flow is fitted to.

Notation: record x (d numbers), noise v, z = s(x + v) standardised.

Whole numbers are dequantised, v ~ U[0, 1)^d, and what is drawn is rounded down to a legal record. Few levels (pixels)
are squashed as well, with y = x + v and a margin a,

    z = (logit(a + (1 - 2a) (y - low) / (high + 1 - low)) - mean) / scale

so that hardly a sample leaves the range (Dinh, Sohl-Dickstein and Bengio 2017, section 4.1); else z = (y - mean) / scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

MARGIN = 0.02
"""a: how far the logit stays away from both ends of the range, as a share of it."""
LEVELS = 256
"""Whole numbers with more levels than this are scaled like any other number, not squashed."""
FLOOR = 1e-3
"""The scale of a column that never changes, relative to the largest scale."""


@dataclass(frozen=True)
class Scaling:
    """The map s. `mean`, `scale`, `constant` (d,); `whole`: records are whole numbers from `low` to `high` and dequantised."""

    mean: Tensor
    scale: Tensor
    constant: Tensor
    whole: bool = False
    low: float = 0.0
    high: float = 0.0
    squash: bool = False

    @staticmethod
    def of(x: Tensor, weight: Tensor, whole: bool) -> Scaling:
        """From records x (n, d), float64, and their weights (n,); `whole` asks for dequantisation."""
        d = x.shape[1]
        plain = Scaling(torch.zeros(d).double(), torch.ones(d).double(), torch.zeros(d, dtype=torch.bool))
        if whole:
            low, high = float(x.min()), float(x.max())
            plain = replace(plain, whole=True, low=low, high=high, squash=high - low < LEVELS)
        share = (weight / weight.sum())[:, None]
        # Whole numbers stand for their cells: three points in each, so that nothing here is random.
        seen = [plain.forward(x + v)[0] for v in ((1 / 6, 1 / 2, 5 / 6) if whole else (0.0,))]
        mean = sum(((share * z).sum(0) for z in seen), torch.zeros(d).double()) / len(seen)
        square = sum(((share * (z - mean) ** 2).sum(0) for z in seen), torch.zeros(d).double()) / len(seen)
        scale = square.sqrt()
        constant = scale <= 1e-12 * mean.abs()  # what rounding leaves of a zero
        widest = float(scale.max())
        floor = FLOOR * widest if widest > 0 else 1.0
        mean = torch.where(constant, x[weight.argmax()], mean)  # the very number, not one rounded on the way
        return replace(plain, mean=mean, scale=torch.where(constant, floor, scale), constant=constant)

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """v (n, d), or one row of zeros where none is needed.

        A column that never changes gets Gaussian noise of its floored scale, since its density would have no bound.
        """
        shape = (n, len(self.mean))
        if self.whole:
            return torch.rand(shape, generator=generator, dtype=torch.float64)
        if not bool(self.constant.any()):
            return torch.zeros(1, shape[1], dtype=torch.float64)
        return torch.randn(shape, generator=generator, dtype=torch.float64) * self.scale * self.constant

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, d) and log |det ds/dy| (n,)."""
        jacobian = -self.scale.log().sum()
        if not self.squash:
            return (y - self.mean) / self.scale, jacobian.expand(len(y))
        slope = (1 - 2 * MARGIN) / self._width
        p = MARGIN + slope * (y - self.low)
        z = (torch.logit(p) - self.mean) / self.scale
        return z, jacobian + (math.log(slope) - p.log() - torch.log1p(-p)).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """Records (n, d), legal ones where the data are whole numbers."""
        y = self.mean + self.scale * z
        if self.squash:
            y = self.low + (torch.sigmoid(y) - MARGIN) * self._width / (1 - 2 * MARGIN)
        if self.whole:
            return y.floor().clamp(self.low, self.high)
        return torch.where(self.constant, self.mean, y)

    def legal(self, x: Tensor) -> Tensor:
        """(n,) False where a squashed record lies outside the range, and so has probability zero."""
        if not self.squash:
            return torch.ones(len(x), dtype=torch.bool)
        return ((x >= self.low) & (x <= self.high)).all(1)

    @property
    def _width(self) -> float:
        return self.high + 1 - self.low

    def bounds(self) -> dict[str, Any]:
        """What is not an array, for storing."""
        return {"whole": self.whole, "low": self.low, "high": self.high, "squash": self.squash}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean.numpy(), "scale": self.scale.numpy(), "constant": self.constant.numpy()}

    @staticmethod
    def restored(arrays: Mapping[str, np.ndarray], bounds: Mapping[str, Any]) -> Scaling:
        """The scaling that `arrays` and `bounds` came from."""
        mean, scale, constant = (torch.from_numpy(np.array(arrays[k])) for k in ("mean", "scale", "constant"))
        return Scaling(mean, scale, constant, **bounds)
