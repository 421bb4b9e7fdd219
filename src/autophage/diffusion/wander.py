"""How much a sampler's estimates of a record still move on their way to it (Aithal et al. 2024).

    wander = (1/d) sum_i Var over the window of x0hat_i,        the variance dividing by the number of estimates

Where the true score jumps between modes and the network's does not, a record is pulled to and fro, and its estimates move until the
end. Units are the network's: standardised vectors, pictures in [-1, 1].
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from autophage.errors import FitFailed, SpecError


class Trace(NamedTuple):
    """Which estimates of a walk are looked at: `window` of them, the last ones but for the `skip` at the very end."""

    window: int
    skip: int = 0

    def check(self, estimates: int | None) -> None:
        """Raises `SpecError` for a window that a walk of so many estimates does not hold."""
        if self.window < 2 or self.skip < 0:
            raise SpecError(
                f"the window is {self.window} estimates with {self.skip} skipped; a variance needs at least 2, and none or more "
                "can be skipped"
            )
        if estimates is not None and self.window + self.skip > estimates:
            said = f" and skips {self.skip}" if self.skip else ""
            raise SpecError(
                f"the window asks for {self.window} estimates{said}, but the sampler makes {estimates} on its way"
            )


class Wander:
    """The estimates of one walk, as a sampler shows them.

    >>> wander = Wander(Trace(window=2))
    >>> for x0 in (9.0, 1.0, 3.0):
    ...     wander.see(torch.full((1, 4), x0))
    >>> wander.variance().tolist()
    [1.0]
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._seen: deque[Tensor] = deque(maxlen=trace.window + trace.skip)

    def see(self, x0: Tensor) -> None:
        """The next estimate (n, ...) of the records."""
        self._seen.append(x0)

    def variance(self) -> Tensor:
        """(n,) float64: `wander` of each record. Raises `FitFailed` when fewer estimates were seen than are asked for."""
        window, skip = self.trace
        if len(self._seen) < window + skip:
            raise FitFailed(
                f"the sampler made {len(self._seen)} estimates on its way; a window of {window} with {skip} skipped needs more"
            )
        looked = torch.stack(list(self._seen)[:window]).cpu().double()
        return looked.var(dim=0, correction=0).flatten(1).mean(1)
