"""Ordinary differential equations from noise at t = 0 to records at t = 1.

    dx / dt = v(x, t),   x(0) = z

| method | order | evaluations |
|---|---|---|
| euler | 1 | 1 a step |
| midpoint, heun | 2 | 2 a step (midpoint is of order 3 on the straight paths from noise to a Gaussian) |
| rk4 | 4 | 4 a step |
| dopri5 | 5 | 6 a step that it accepts or refuses, and 2 to begin with; it chooses the steps by itself |

All are explicit Runge-Kutta rules (Hairer, Norsett and Wanner 1993, chapter II); the fixed ones take equal steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autophage.data.arguments import positive, whole_number
from autophage.errors import FitFailed, SpecError
from autophage.registry import nearest

Velocity = Callable[[Tensor, Tensor], Tensor]
"""v(x (n, ...), t ()), of x's shape; t is float64."""

TOLERANCE = 1e-5
"""Relative and absolute error that dopri5 allows itself in a step."""
ATTEMPTS = 1000
"""Steps of dopri5, refused ones included, after which it gives up."""
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
"""A step is changed by .9 of what the error suggests, between a fifth and ten times."""


@dataclass(frozen=True)
class Rule:
    """An explicit Runge-Kutta rule: k_i = v(x + h sum_j a_ij k_j, t + c_i h), then x + h sum_i b_i k_i."""

    nodes: tuple[float, ...]
    """c."""
    matrix: tuple[tuple[float, ...], ...]
    """The rows of a, each as long as its stage has predecessors."""
    weights: tuple[float, ...]
    """b."""
    order: int


RULES: dict[str, Rule] = {
    "euler": Rule((0.0,), ((),), (1.0,), 1),
    "midpoint": Rule((0.0, 0.5), ((), (0.5,)), (0.0, 1.0), 2),
    "heun": Rule((0.0, 1.0), ((), (1.0,)), (0.5, 0.5), 2),
    "rk4": Rule(
        (0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4
    ),
}

DORMAND_PRINCE = Rule(
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    5,
)
"""Dormand and Prince 1980, RK5(4)7M."""
DIFFERENCE = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""Its weights less those of the rule of order 4 inside it, the seventh stage v(x', t + h) included."""

METHODS = (*RULES, "dopri5")


class Solution(NamedTuple):
    """x (n, ...) at t = 1, and how often v was asked for on the way."""

    x: Tensor
    evaluations: int


@torch.no_grad()
def integrate(
    velocity: Velocity,
    z: Tensor,
    method: str = "midpoint",
    *,
    steps: int = 25,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Follows the velocity from z (n, ...) at t = 0 to t = 1, in z's float type.

    `steps` is for methods of fixed steps, and their result for a record does not depend on the others. `tolerance` is for
    dopri5, as relative and absolute tolerance: a step is accepted when the root mean square over all entries of all records
    of error / (tolerance (1 + max(|x|, |x'|))) is at most 1. All records share the steps, so there a record depends on those
    it is integrated with, by about the tolerance.

    Raises `SpecError` for an unknown method or settings that are none, `FitFailed`, naming the time, when x is no longer
    finite or dopri5 gets nowhere.

    >>> z = torch.ones(1, 1, dtype=torch.float64)
    >>> found = integrate(lambda x, t: x, z, "rk4", steps=10)
    >>> round(float(found.x), 5), found.evaluations
    (2.71828, 40)
    """
    if method not in METHODS:
        raise SpecError(
            f"there is no method called {method!r} to integrate with{nearest(str(method), METHODS)}"
        )
    whole_number(steps, "steps", least=1)
    positive(tolerance, "tolerance")
    asked = _Counted(velocity)
    if method == "dopri5":
        return Solution(_adaptive(asked, z, tolerance), asked.times)
    rule, x = RULES[method], z
    for i in range(steps):
        t, h = i / steps, (i + 1) / steps - i / steps
        x = _moved(x, h, rule.weights, _slopes(rule, asked, x, t, h))
        if not bool(x.isfinite().all()):
            raise FitFailed(
                f"sampling broke off in step {i + 1} of {steps}: at t = {(i + 1) / steps:.6g} the velocity led to a value "
                "that is not finite"
            )
    return Solution(x, asked.times)


class _Counted:
    """A velocity that is checked and counted."""

    def __init__(self, velocity: Velocity) -> None:
        self.velocity, self.times = velocity, 0

    def __call__(self, x: Tensor, t: float) -> Tensor:
        self.times += 1
        slope = self.velocity(x, torch.full((), t, dtype=torch.float64, device=x.device))
        if slope.shape != x.shape:
            raise SpecError(
                f"the velocity has shape {tuple(slope.shape)} for records of shape {tuple(x.shape)}; the two must be equal"
            )
        return slope.to(x.dtype)


def _slopes(
    rule: Rule, velocity: _Counted, x: Tensor, t: float, h: float, first: Tensor | None = None
) -> list[Tensor]:
    """The stages k of one step; the first one where it is known already."""
    slopes: list[Tensor] = [] if first is None else [first]
    for c, row in list(zip(rule.nodes, rule.matrix, strict=True))[len(slopes) :]:
        slopes.append(velocity(_moved(x, h, row, slopes), t + c * h))
    return slopes


def _moved(x: Tensor, h: float, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """x + h sum_i b_i k_i."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = x.add(slope, alpha=h * weight)
    return x


def _adaptive(velocity: _Counted, x: Tensor, tolerance: float) -> Tensor:
    """Dormand and Prince's rule with the step control of Hairer, Norsett and Wanner 1993, section II.4."""
    rule, t = DORMAND_PRINCE, 0.0
    slope = velocity(x, t)
    h, refused = _first_step(velocity, x, slope, tolerance), False
    for _ in range(ATTEMPTS):
        # A last step that would leave a crumb goes to the end.
        last = t + 1.01 * h >= 1
        h = 1 - t if last else h
        slopes = _slopes(rule, velocity, x, t, h, slope)
        moved = _moved(x, h, rule.weights, slopes)
        slopes.append(velocity(moved, t + h))
        error = _moved(torch.zeros_like(x), h, DIFFERENCE, slopes)
        size = _norm(error, tolerance * (1 + torch.maximum(x.abs(), moved.abs())))
        if not math.isfinite(size):
            raise FitFailed(
                f"sampling broke off: on the way from t = {t:.6g} to {t + h:.6g} the velocity led to a value that is not finite"
            )
        change = min(GROW, max(SHRINK, SAFETY * size ** (-1 / rule.order))) if size else GROW
        if size <= 1:
            if last:
                return moved
            x, slope, t = moved, slopes[-1], t + h
            change = min(change, 1.0) if refused else change
        refused, h = size > 1, h * change
    raise FitFailed(
        f"dopri5 took {ATTEMPTS} steps and came to t = {t:.6g} of 1 only: the velocity is too rough for a tolerance of "
        f"{tolerance:g}; take a method of fixed steps"
    )


def _first_step(velocity: _Counted, x: Tensor, slope: Tensor, tolerance: float) -> float:
    """A step whose error is about the tolerance, by the first two derivatives (Hairer, Norsett and Wanner 1993, II.4.14)."""
    scale = tolerance * (1 + x.abs())
    place, speed = _norm(x, scale), _norm(slope, scale)
    guess = bend = math.nan
    if math.isfinite(place + speed):
        guess = 0.01 * place / speed if min(place, speed) >= 1e-5 else 1e-6
        bend = _norm(velocity(x.add(slope, alpha=guess), guess) - slope, scale) / guess
    if not math.isfinite(bend):
        raise FitFailed("sampling broke off at t = 0: the noise there, or its velocity, is not finite")
    most = max(speed, bend)
    by_bend = (0.01 / most) ** (1 / DORMAND_PRINCE.order) if most > 1e-15 else max(1e-6, 1e-3 * guess)
    return min(100 * guess, by_bend, 1.0)


def _norm(x: Tensor, scale: Tensor) -> float:
    """The root mean square of x / scale."""
    return float((x / scale).double().square().mean().sqrt()) if x.numel() else 0.0
