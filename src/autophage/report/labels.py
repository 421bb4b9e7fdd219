"""Places for the names of theory's curves, where they hide nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autophage.report.courses import Chart


@dataclass(frozen=True)
class Label:
    """Where a curve's name stands without hiding a line: its middle, in units of the axes."""

    generation: float
    value: float
    text: str


def labels(chart: Chart, width: float = 0.021, height: float = 0.062) -> list[Label]:
    """A place for each curve's name, near its curve, right of centre where that is free.

    `width` and `height` are those of one letter, as shares of the drawing.
    """
    first = min(int(s.generation[0]) for s in chart.series)
    reach = max(max(int(s.generation[-1]) for s in chart.series) - first, 1)
    drawn = [(s.key, s.generation, v) for s in chart.series for v in (s.centre, s.median) if v is not None]
    drawn += [(c.key, c.generation, c.value) for c in chart.curves]
    lines = [(key, (g - first) / reach, _share(v, chart)) for key, g, v in drawn]
    taken: list[tuple[float, float, float]] = []
    found = []
    for curve in chart.curves:
        half = min(0.5, width * len(curve.label) / 2)
        x, y = (curve.generation - first) / reach, _share(curve.value, chart)
        best, place = -np.inf, (0.5, 0.5)
        for at in np.linspace(1 - half, half, 15):
            middle = np.interp(at, x, y)
            for away in (1.0, -1.0, 1.25, -1.25, 1.6, -1.6, 2.4, -2.4, 3.6, -3.6):
                up = middle + away * height
                free = _clearance(at, up, half, curve.key, lines, taken, height)
                score = min(free, 0.7 * height) + 0.02 * at - 0.006 * abs(away)
                if score > best:
                    best, place = score, (float(at), float(up))
        taken.append((*place, half))
        low, high = np.log10(chart.domain) if chart.log else chart.domain
        value = low + place[1] * (high - low)
        found.append(Label(first + place[0] * reach, float(10**value if chart.log else value), curve.label))
    return found


def _clearance(
    x: float,
    y: float,
    half: float,
    key: int,
    lines: Sequence[tuple[int, np.ndarray, np.ndarray]],
    taken: Sequence[tuple[float, float, float]],
    height: float,
) -> float:
    """How far a name at (x, y) stays from every line. Negative where it leaves the drawing, covers another
    name, or stands nearer to another key's line than to its own."""
    if not 0.5 * height < y < 1 - 0.5 * height:
        return -1.0
    if any(abs(x - a) < half + b and abs(y - c) < 1.1 * height for a, c, b in taken):
        return -1.0
    across = np.linspace(x - half, x + half, 9)
    nearest, own, other = np.inf, np.inf, np.inf
    for line, g, v in lines:
        seen = np.isfinite(v)
        if seen.any():
            gaps = np.abs(np.interp(across, g[seen], v[seen]) - y)
            nearest = min(nearest, float(gaps.min()))
            if line == key:
                own = min(own, float(gaps.mean()))
            else:
                other = min(other, float(gaps.mean()))
    return nearest if own <= other else -0.1


def _share(value: np.ndarray, chart: Chart) -> np.ndarray:
    """Values as shares of the chart's height."""
    low, high = chart.domain
    if not chart.log:
        return (value - low) / (high - low)
    with np.errstate(all="ignore"):
        return np.log10(value / low) / np.log10(high / low)
