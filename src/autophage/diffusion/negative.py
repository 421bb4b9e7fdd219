"""Away from what a model makes of itself: extrapolation of two denoisers (Alemohammad et al. 2024, SIMS).

    D(y; sigma, c) = (1 + omega) D_r(y; sigma, c) - omega D_s(y; sigma, c)

r is the base, s an auxiliary that has learned the base's own samples. As D = y + sigma^2 score, and as any prediction of
one parameterisation (noise, velocity, record) is the same affine map of D at equal (y, sigma), the rule is the same for
scores and for whatever two networks predict. Guidance is linear too, so that it makes no difference whether each denoiser is
guided or their extrapolation. What it draws from Gaussians: `autophage.theory.extrapolation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autophage.diffusion.denoiser import Denoiser
from autophage.errors import SpecError

LIMIT = 10.0
"""Times the base's score that an extrapolated one may be as long as without being counted."""

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(y, sigma, estimate) -> the score that the estimate stands for, up to a factor that y and sigma decide."""


@dataclass(frozen=True)
class Extrapolated:
    """Two denoisers of equal arguments as one; a `Denoiser` again.

    With weight 0 it is the base's own tensor. Raises `SpecError` unless the weight is a finite number of at least -1, where -1
    is the auxiliary itself.
    """

    base: Denoiser
    auxiliary: Denoiser
    weight: float
    """omega: above zero away from the auxiliary, below zero towards it."""

    def __post_init__(self) -> None:
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, Real) or not -1 <= weight < math.inf:
            raise SpecError(
                f"the weight of an extrapolation is {weight!r}; it must be a finite number of at least -1"
            )

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """D of y's shape (n, ...); sigma () or (n,); label (n,)."""
        ahead = self.base(y, sigma, label)
        return ahead if self.weight == 0 else self._away(ahead, self.auxiliary(y, sigma, label))

    def moments(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """D, and the base's learned variance; None where it has learned none."""
        known = getattr(self.base, "moments", None)
        if known is None:
            return self(y, sigma, label), None
        ahead, variance = known(y, sigma, label)
        return (ahead if self.weight == 0 else self._away(ahead, self.auxiliary(y, sigma, label))), variance

    def _away(self, ahead: Tensor, behind: Tensor) -> Tensor:
        if behind.shape != ahead.shape:
            raise SpecError(
                f"base and auxiliary estimate records of shapes {tuple(ahead.shape)} and {tuple(behind.shape)}; the two must be "
                "equal"
            )
        return torch.lerp(behind, ahead, 1 + self.weight)


@dataclass
class Tally:
    """How many of the scores that a sampler asked for were much longer than the base's."""

    above: int = 0
    of: int = 0

    def add(self, plain: Tensor, steered: Tensor) -> None:
        """Counts records whose steered score (n, ...) is more than `LIMIT` times as long as the plain one."""
        long, short = (torch.linalg.vector_norm(s.flatten(1).double(), dim=1) for s in (steered, plain))
        self.above += int((long > LIMIT * short).sum())
        self.of += len(plain)

    @property
    def share(self) -> float:
        """Of the steps of all records; 0 where none was taken."""
        return self.above / self.of if self.of else 0.0


class Away(NamedTuple):
    """What a model is sampled away from."""

    net: nn.Module
    """The auxiliary network."""
    weight: float
    """omega."""
    tally: Tally | None = None
    """Where scores are counted, if anybody asks."""


def of_record(y: Tensor, sigma: Tensor, estimate: Tensor) -> Tensor:
    """sigma^2 score = D - y."""
    return estimate - y


def of_velocity(x: Tensor, t: Tensor, estimate: Tensor) -> Tensor:
    """(1 - t) score = t v - x, of a flow's x_t = (1 - t) n + t x0 and v = E[x0 - n | x_t]."""
    return torch.as_tensor(t, dtype=x.dtype, device=x.device) * estimate - x


@dataclass(frozen=True)
class Watched:
    """A steered denoiser whose scores are compared with the base's, at the price of evaluating that too."""

    steered: Denoiser
    base: Denoiser
    tally: Tally
    score: Score = of_record

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """What the steered denoiser says."""
        found = self.steered(y, sigma, label)
        plain = self.base(y, sigma, label)
        self.tally.add(self.score(y, sigma, plain), self.score(y, sigma, found))
        return found

    def moments(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the steered denoiser says, with its learned variance."""
        known = getattr(self.steered, "moments", None)
        if known is None:
            return self(y, sigma, label), None
        found, variance = known(y, sigma, label)
        plain = self.base(y, sigma, label)
        self.tally.add(self.score(y, sigma, plain), self.score(y, sigma, found))
        return found, variance
