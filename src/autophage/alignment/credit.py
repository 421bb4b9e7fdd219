"""Credit: how much likelier a step has become, which of it is rewarded, and the losses.

    log rho = -(w D.z + w^2 |D|^2 / 2)                      D the change of the prediction, z the noise that was drawn
    ppo     -min(rho A, clip(rho, 1 - xi, 1 + xi) A)        the same gradient as max(0, xi |A| - A (rho - 1))
    log     max(0, xi |A| - A log rho)
    A       (r - mean) / std over the samples of one prompt

The difference of two log densities is never formed, nor rho - 1 in the log losses: in half precision rho - 1 is 0
where log rho is 1e-4. For a fixed |D| and s = w |D|, log rho ~ N(-s^2 / 2, s^2), E rho = 1, and the KL divergence of
a step is s^2 / 2. (Schulman et al. 2017; Black et al. 2024; Lee and Ye 2026.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autophage.data.arguments import one_of, positive
from autophage.errors import FitFailed, SpecError

METHODS = ("ppo", "grpo", "base", "pcpo-sigma", "pcpo-loss")
"""Arms: the clipped surrogate (`grpo` is its name where groups of samples share a prompt and flows are sampled by a
stochastic equation), the log hinge with native weights, with the sampler's noise reshaped, and with weights put into
the loss."""
FLOOR = 1e-8
"""The least standard deviation that rewards are divided by."""
MOST_DROPPED = 0.05
"""The largest share of rewards that may be no number."""


def log_ratio(change: Tensor, noise: Tensor, weight: Tensor) -> Tensor:
    """log rho (m,) of predictions that changed by D (m, ...) in steps that drew z (m, ...), with weights (m,);
    float32 or wider.

    >>> one = torch.ones(1, 2, dtype=torch.float64)
    >>> log_ratio(one, -one, torch.tensor([0.5]).double())
    tensor([0.7500], dtype=torch.float64)
    """
    kind = torch.promote_types(change.dtype, torch.float32)
    d, z = change.to(kind).flatten(1), noise.to(kind).flatten(1)
    w = weight.to(d)
    return -w * (torch.linalg.vecdot(d, z) + 0.5 * w * torch.linalg.vecdot(d, d))


def surrogate(log_rho: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate, to be minimised: (m,) of (m,)."""
    rho = log_rho.exp()
    return -torch.minimum(rho * advantage, rho.clamp(1 - clip, 1 + clip) * advantage)


def hinge(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """max(0, xi |A| - A q), q either log rho or rho - 1: (m,) of (m,)."""
    return (clip * advantage.abs() - advantage * ratio).clamp(min=0)


def losses(method: str, log_rho: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """What a method minimises (m,), and (m,) bool where it has stopped pulling: the ratio has left the range of the
    clip on the side that the advantage asks for."""
    one_of(method, "method", METHODS)
    if method in ("ppo", "grpo"):
        moved = torch.expm1(log_rho.detach())
        return surrogate(log_rho, advantage, clip), moved * advantage.sign() > clip
    return hinge(log_rho, advantage, clip), log_rho.detach() * advantage.sign() > clip


@dataclass(frozen=True, eq=False)
class Advantages:
    """What the rewards of a rollout came to."""

    kept: np.ndarray
    """(k,) numbers of the samples whose reward is a number."""
    value: np.ndarray
    """(k,) their advantages."""
    dropped: int


def advantages(reward: np.ndarray, group: np.ndarray) -> Advantages:
    """Group-normalised rewards (n,), `group` (n,) the number of each sample's prompt; a group of equal rewards has none.

    A reward that is not finite drops its sample; `FitFailed` above 5 % of them. Raises `SpecError` for a group of one sample.

    >>> advantages(np.array([1.0, 3.0, 2.0, 2.0]), np.array([0, 0, 1, 1])).value.tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    reward, group = np.asarray(reward, np.float64), np.asarray(group)
    numbers, sizes = np.unique(group, return_counts=True)
    if (sizes == 1).any():
        raise SpecError(
            f"group {numbers[sizes == 1][0]} has one sample, which nothing can be compared with; give every prompt two or more"
        )
    usable = np.isfinite(reward)
    dropped = int((~usable).sum())
    if dropped > MOST_DROPPED * len(reward):
        raise FitFailed(
            f"{dropped} of {len(reward)} rewards are not finite; above {MOST_DROPPED:.0%} nothing is learned from them"
        )
    kept = np.flatnonzero(usable)
    value = np.zeros(len(kept))
    for number in numbers:
        own = group[kept] == number
        r = reward[kept][own]
        if len(r):
            value[own] = (r - r.mean()) / max(r.std(), FLOOR)
    return Advantages(kept, value, dropped)


@dataclass(frozen=True)
class Clipped:
    """The chance that a step is clipped, by the sign of its advantage."""

    rewarded: float
    """P(log rho > xi)."""
    punished: float
    """P(log rho < -xi)."""


def clipped_chance(s: float, clip: float) -> Clipped:
    """Of log rho ~ N(-s^2 / 2, s^2). Exact, for a fixed |D|.

    >>> found = clipped_chance(0.1, 0.1)
    >>> round(found.rewarded, 5), round(found.punished, 5)
    (0.14686, 0.17106)
    """
    positive(s, "s")
    return Clipped(_upper((clip + s * s / 2) / s), _upper((clip - s * s / 2) / s))


def taylor_error(log_rho: float) -> float:
    """|log rho - (rho - 1)| / |log rho|, how far the two ratios are apart.

    >>> round(taylor_error(0.024), 4)
    0.0121
    """
    return abs(log_rho - math.expm1(log_rho)) / abs(log_rho)


def _upper(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))
