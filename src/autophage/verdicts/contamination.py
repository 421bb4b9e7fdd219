"""Beside the eight definitions: where theory says a loop with fresh real records ends, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.theory.contaminated import Regime, Turning, turning_points
from autophage.verdicts.intervals import Interval, mean_interval
from autophage.verdicts.wording import between, number

CLEAR = 4.0
"""Standard errors between measurement and theory that are no chance."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measured course of R_t, means over replicates."""

    metric: str
    first: float
    """In generation 0."""
    last: float
    """In the last generation ..."""
    ci95: Interval
    """... and its 95 % interval."""
    turning: Turning
    """Of the mean course."""
    predicted: float | None = None
    """What theory says of the last generation."""
    agrees: bool | None = None
    """Whether the two differ by less than four standard errors; None where one is missing, or with one replicate."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The regime that theory names, what was measured, and the exact turning points where the course is known."""

    regime: Regime
    measured: Measured | None = None
    turning: Turning | None = None

    def sentence(self) -> str:
        """The regime, and the measurement beside it."""
        said = self.regime.sentence()
        found = self.measured
        if found is None:
            return f"{said} Its error was not measured."
        told = f" Measured: {found.metric} went from {number(found.first)} to {number(found.last)}"
        if np.isfinite(found.ci95).all():
            told += f" {between(found.ci95)}"
        if found.predicted is not None:
            told += f"; theory says {number(found.predicted)} for this generation"
        if found.agrees is False:
            told += ", which the measurement contradicts"
        if found.turning.improvement is not None:
            told += f"; after generation {found.turning.improvement} it stays below generation 0's"
        elif found.turning.deterioration is not None:
            told += f"; it rose above generation 0's in generation {found.turning.deterioration}"
        return f"{said}{told}."

    def to_dict(self) -> dict[str, Any]:
        """Safe to write as JSON."""
        found = self.measured
        measured = None
        if found is not None:
            ends = [x if np.isfinite(x) else None for x in found.ci95]
            measured = {**vars(found), "ci95": ends, "turning": found.turning._asdict()}
        return {
            **self.regime.to_dict(),
            "sentence": self.sentence(),
            "turning": None if self.turning is None else self.turning._asdict(),
            "measured": measured,
        }


def contamination(
    regime: Regime, metric: str, curves: np.ndarray | None, predicted: np.ndarray | None
) -> Contamination:
    """From the measured R_t, curves (S, G) or None, and its exact course (G,) or None."""
    turning = None if predicted is None else turning_points(predicted)
    if curves is None or not len(curves):
        return Contamination(regime=regime, turning=turning)
    last, interval = mean_interval(curves[:, -1])
    error = float(curves[:, -1].std(ddof=1)) / len(curves) ** 0.5 if len(curves) > 1 else None
    expected = None if predicted is None else float(predicted[-1])
    agrees = None
    if expected is not None and error is not None:
        agrees = abs(last - expected) <= CLEAR * error + 1e-9 * abs(expected)
    means = curves.mean(axis=0)
    found = Measured(
        metric=metric,
        first=float(means[0]),
        last=last,
        ci95=interval,
        turning=turning_points(means),
        predicted=expected,
        agrees=agrees,
    )
    return Contamination(regime=regime, measured=found, turning=turning)
