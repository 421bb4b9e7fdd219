"""A course carried on: an extrapolation of its last regime, and no more than that.

The last regime is what lies behind the last turn of the straight pieces from rising to falling or back. Two laws are fitted
to its m points, and the better by AICc is carried on:

    line         y = a + b x
    levelling    y = a + b exp(-k x), which needs at least eight points and a lead of six

The interval is that of one further point, Student's at 95 %: var = s^2 (1 + r h), h the leverage of the new point in the
law linearised at its best fit, s the larger of the local noise and the law's own residuals, and r = (1 + c) / (1 - c) for
residuals that are correlated by c from one point to the next. It holds if nothing changes: no theory stands behind it. The
same extrapolation, asked at three quarters of the course for the value at the end, says what it would have been worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from autophage.errors import SpecError
from autophage.verdicts.fits import aicc
from autophage.verdicts.wording import number
from autophage.watching.change_points import Piece, pieces
from autophage.watching.noise import settled_noise

LEAD = 6.0
"""AICc by which the levelling law must be better."""
FEWEST = 4
"""Points of a regime that is carried on."""
BENT = 8
"""Points from which the levelling law is tried."""
DRAWN = 25
"""Points at which a forecast is given."""


@dataclass(frozen=True)
class Forecast:
    """Where a course goes if its last regime goes on."""

    law: Literal["line", "levelling"]
    since: float
    """The step at which the last regime began."""
    steps: np.ndarray
    """(m,) from the last step on."""
    values: np.ndarray
    low: np.ndarray
    """(m,) 95 % interval of one further point ..."""
    high: np.ndarray
    limit: float | None
    """What the levelling law tends to."""
    tried: bool | None
    """Whether the last value lay within the interval given at three quarters of the course; None where that was too early."""
    sentence: str
    status: str = "extrapolation"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and words."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}


def forecast(
    x: np.ndarray, y: np.ndarray, name: str = "it", ahead: float | None = None, counted: str = "step"
) -> tuple[Forecast | None, str]:
    """The course y (n,) at steps x (n,) carried on by `ahead` steps, and where there is none, why.

    `ahead` is as long as the last regime unless it is given, and at most half of the course then. Raises `SpecError` for
    a length that is not above zero.
    """
    if ahead is not None and not (np.isfinite(ahead) and ahead > 0):
        raise SpecError(f"the forecast reaches {ahead} steps ahead; it must be a number above zero")
    found = _carried(x, y, ahead)
    if found is None:
        return None, f"no forecast: the last regime of {name} has fewer than {FEWEST} points."
    law, since, steps, values, low, high, limit = found
    tried = _tried(x, y)
    return Forecast(
        law, since, steps, values, low, high, limit, tried, _sentence(name, found, tried, counted)
    ), ""


def regime(x: np.ndarray, found: tuple[Piece, ...]) -> int:
    """The first point of the last regime: behind the last turn, or the last jump that is larger than the piece it leads to."""
    start = found[-1].start
    way = found[-1].way()
    for before, after in zip(found[-2::-1], found[:0:-1], strict=True):
        jump = abs(after.first - (before.last + before.slope * (x[after.start] - x[before.end - 1])))
        if before.way() != way or before.points < 2 or jump > abs(after.last - after.first):
            break
        start = before.start
    return start


def _carried(x: np.ndarray, y: np.ndarray, ahead: float | None) -> Any:
    noise = settled_noise(x, y)
    start = regime(x, pieces(x, y, noise))
    if len(x) - start < FEWEST:
        return None
    xs, ys = x[start:], y[start:]
    far = ahead if ahead is not None else min(float(xs[-1] - xs[0]), 0.5 * float(x[-1] - x[0]))
    steps = np.linspace(float(x[-1]), float(x[-1]) + far, DRAWN)
    law, rate = _law(xs, ys, noise.scale)
    unit = float(xs[-1] - xs[0])

    def basis(at: np.ndarray) -> np.ndarray:
        u = (at - xs[0]) / unit
        if law == "line":
            return np.stack([np.ones_like(u), u], axis=1)
        return np.stack([np.ones_like(u), np.exp(-rate * u)], axis=1)

    design = basis(xs)
    weights = np.linalg.lstsq(design, ys, rcond=None)[0]
    residual = ys - design @ weights
    values = basis(steps) @ weights

    def linearised(at: np.ndarray) -> np.ndarray:
        u = (at - xs[0]) / unit
        if law == "line":
            return basis(at)
        return np.column_stack([basis(at), -weights[1] * u * np.exp(-rate * u)])

    free = linearised(xs).shape[1]
    freedom = max(len(xs) - free, 1)
    scale = max(noise.scale, float(np.sqrt(residual @ residual / freedom)))
    inverse = np.linalg.pinv(linearised(xs).T @ linearised(xs))
    new = linearised(steps)
    leverage = ((new @ inverse) * new).sum(1)
    tied = 0.0
    if residual @ residual > 0:
        tied = float(np.clip(residual[1:] @ residual[:-1] / (residual @ residual), 0.0, 0.9))
    half = float(stdtrit(freedom, 0.975)) * scale * np.sqrt(1 + leverage * (1 + tied) / (1 - tied))
    limit = float(weights[0]) if law == "levelling" else None
    return law, float(xs[0]), steps, values, values - half, values + half, limit


def _law(x: np.ndarray, y: np.ndarray, scale: float) -> tuple[Literal["line", "levelling"], float]:
    """The better law, and the rate of the levelling one per length of the regime."""
    n = len(x)
    if n < BENT:
        return "line", 0.0
    u = (x - x[0]) / (x[-1] - x[0])
    rates = np.geomspace(0.3, 30.0, 120)
    rows = np.vstack([u, np.exp(-np.outer(rates, u))])
    rows -= rows.mean(1, keepdims=True)
    target = y - y.mean()
    sums = target @ target - (rows @ target) ** 2 / (rows**2).sum(1)
    floor = max(scale**2, 1e-18 * float((y**2).mean()), 1e-300)  # finer than the noise no law is better
    best = int(sums[1:].argmin())
    line = aicc(max(float(sums[0]), 0.0) / floor, n, 3, 1.0)
    bent = aicc(max(float(sums[1 + best]), 0.0) / floor, n, 4, 1.0)
    return ("levelling", float(rates[best])) if bent < line - LEAD else ("line", 0.0)


def _tried(x: np.ndarray, y: np.ndarray) -> bool | None:
    then = int(0.75 * len(x))
    if then < 2 * FEWEST:
        return None
    found = _carried(x[:then], y[:then], float(x[-1] - x[then - 1]))
    return None if found is None else bool(found[4][-1] <= y[-1] <= found[5][-1])


def _sentence(name: str, found: Any, tried: bool | None, counted: str) -> str:
    law, since, steps, values, low, high, limit = found
    way = "a straight line" if law == "line" else f"levelling off at {number(limit)}"
    then = f"at {counted} {steps[-1]:g}"
    text = (
        f"If its last regime, since {counted} {since:g}, goes on ({way}), {name} is {number(values[-1])} {then} "
        f"(95 % interval {number(low[-1])} to {number(high[-1])}): an extrapolation, which holds as long as nothing changes."
    )
    if tried is not None:
        word = "contained" if tried else "missed"
        text += f" Made at three quarters of this course, it would have {word} the last value."
    return text
