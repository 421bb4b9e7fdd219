"""Sizes and shares that may change over generations: a number, or a schedule.

`{constant: 100}`, `{power: {scale: 20, exponent: 1}}` (scale x t^exponent) and `{values: [..]}` (its first
entry is t = 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autophage.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """scale x t^exponent."""

    scale: float
    """The value at t = 1."""
    exponent: float
    """How fast it grows (above zero) or falls (below)."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same at every t."""

    constant: float
    """The value."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """A power law in t."""

    power: Scaling
    """scale x t^exponent."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """One value for each t, the first for t = 1."""

    values: list[float]
    """generations - 1 entries."""


Schedule = float | Constant | Power | Values


def at(schedule: Schedule, t: int, what: str = "the schedule") -> float:
    """The schedule's value at t >= 1.

    >>> at(Power(power=Scaling(scale=20, exponent=1)), 3), at(7, 5), at(Values(values=[5, 6]), 2)
    (60.0, 7.0, 6.0)
    """
    if isinstance(schedule, Constant):
        return float(schedule.constant)
    if isinstance(schedule, Power):
        try:
            return float(schedule.power.scale * float(t) ** schedule.power.exponent)
        except OverflowError:
            return math.copysign(math.inf, schedule.power.scale)
    if isinstance(schedule, Values):
        if t > len(schedule.values):
            raise SpecError(
                f"{what} has {len(schedule.values)} values but generation {t} needs one for t = {t}"
            )
        return float(schedule.values[t - 1])
    return float(schedule)


def as_power(schedule: Schedule) -> tuple[float, float] | None:
    """(scale, exponent) with scale x t^exponent the schedule's value at every t, or None.

    >>> as_power(7), as_power(Power(power=Scaling(scale=20, exponent=1))), as_power(Values(values=[5, 6]))
    ((7.0, 0.0), (20.0, 1.0), None)
    """
    if isinstance(schedule, Values):
        return None
    if isinstance(schedule, Power):
        return float(schedule.power.scale), float(schedule.power.exponent)
    return at(schedule, 1), 0.0


def size_at(schedule: Schedule, t: int, what: str) -> int:
    """A number of records at t: rounded up. Raises `SpecError`, naming t, unless it is finite and 0 or at least 1: a
    size that has shrunk below one record is refused, not rounded."""
    value = at(schedule, t, what)
    if not (math.isfinite(value) and value >= 0):
        raise SpecError(f"{what} is {value:g} at t = {t}; a number of records must be zero or more")
    if 0 < value < 1 - 1e-9:
        raise SpecError(f"{what} is {value:g} at t = {t}; a number of records must be zero, or one and more")
    return ceil(value)


def share_at(schedule: Schedule, t: int, what: str) -> float:
    """A share at t. Raises `SpecError`, naming t, outside [0, 1]."""
    value = at(schedule, t, what)
    if not 0 <= value <= 1:
        raise SpecError(f"{what} is {value:g} at t = {t}; a share must lie in [0, 1]")
    return value


def ceil(value: float) -> int:
    """Rounded up, forgiving the rounding of products: 0.1 x 30 is 3 records, not 4."""
    return math.ceil(value - 1e-9 * max(1.0, abs(value)))


def floor(value: float) -> int:
    """Rounded down, forgiving the rounding of products: 0.29 x 100 is 29 records, not 28."""
    return math.floor(value + 1e-9 * max(1.0, abs(value)))
