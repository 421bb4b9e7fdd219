"""Averaged weights, and how far behind they lag.

    e <- d e + (1 - d) w after every step

A loop samples from e, and e forgets where it began only as fast as the product of the d falls: 1 - prod d is the share of
the way that the sampled model has gone, reported for every generation. With d = .9999 and 390 steps it is 3.8 %, so a
retraining hardly shows (a trap of published loops).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Averaging:
    """Which d: a number per step (`decay`), or by a half-life in records that is at most `ramp` of those seen so far
    (Karras et al. 2022: 500,000 and 5 %)."""

    decay: float | None = None
    half_life: float = 500_000
    ramp: float = 0.05

    def keeps(self, seen: int, batch: int) -> float:
        """d after `seen` records, the last step's batch included."""
        if self.decay is not None:
            return self.decay
        return 0.5 ** (batch / max(min(self.half_life, self.ramp * seen), 1e-8))

    def lag(self, records: int, batch: int, steps: int) -> float:
        """prod d over a training of so many steps: how much of the start is left.

        >>> round(1 - Averaging(decay=0.9999).lag(50_000, 128, 390), 3)
        0.038
        """
        if self.decay is not None:
            return self.decay**steps
        left = 1.0
        for step in range(1, steps + 1):
            left *= self.keeps(min(step * batch, records), batch)
        return left


@torch.no_grad()
def average(averaged: Sequence[Tensor], weights: Sequence[Tensor], keeps: float) -> None:
    """One step of the average, in place."""
    torch._foreach_lerp_(list(averaged), list(weights), 1 - keeps)
