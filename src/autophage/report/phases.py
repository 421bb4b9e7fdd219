"""Diagrams of a sweep as plain values: maps over two numbers, curves over one, with theory's lines drawn in.

Whoever has a grid of numbers fills in `Map` and `Curves`; `phase_specs` makes Vega-Lite of them and `phase_plots` a
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.errors import DataError

DECADES = 1.5
"""Positive values that span more are drawn on a log scale."""
MOST_LEVELS = 3
MOST_DECADES = 6
"""Colours of a log scale reach this far down; all below is as good as nothing."""


@dataclass(frozen=True)
class Side:
    """One axis of a diagram: the values of a key, in their order."""

    title: str
    values: np.ndarray
    """(n,) rising; of words, their places 0 .. n-1."""
    log: bool = False
    words: tuple[str, ...] = ()
    """What the places are called, where the key is not a number."""

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not len(self.values) or (np.diff(self.values) <= 0).any():
            raise DataError(f"the values of the axis {self.title} must rise from one to the next")
        if self.log and not (self.values > 0).all():
            raise DataError(
                f"the axis {self.title} cannot be drawn on a log scale: it has values that are not above zero"
            )

    def warped(self, x: np.ndarray) -> np.ndarray:
        """x as it lies on the paper."""
        return np.log(x) if self.log else x

    def unwarped(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x) if self.log else x

    @property
    def edges(self) -> np.ndarray:
        """(n + 1,) where a cell ends and the next begins: half way between their values, as drawn."""
        v = self.warped(self.values)
        if len(v) == 1:
            return self.unwarped(np.array([v[0] - 0.5, v[0] + 0.5]))
        half = np.diff(v) / 2
        inner = v[:-1] + half
        return self.unwarped(np.concatenate([[v[0] - half[0]], inner, [v[-1] + half[-1]]]))


@dataclass(frozen=True)
class Line:
    """A line that theory draws across a diagram.

    `boundary`: where a phase begins; `level`: where the predicted metric has the named value; `threshold`: a number
    that a theorem names for an axis.
    """

    kind: Literal["boundary", "level", "threshold"]
    label: str
    pieces: tuple[np.ndarray, ...]
    """Each (m, 2), in units of the axes."""
    named: tuple[float, float] | None = None
    """Where its name stands, if that is known; else a free place on the line is taken."""


@dataclass(frozen=True)
class Map:
    """A metric over two numbers."""

    metric: str
    title: str
    facet: str
    """What the other keys are, where there are some."""
    x: Side
    y: Side
    value: np.ndarray
    """(ny, nx), NaN where there is none."""
    error: np.ndarray
    """(ny, nx) standard errors, NaN where there is none."""
    theory: np.ndarray | None
    """(ny, nx) predicted values, NaN where theory was not asked."""
    lines: tuple[Line, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.y.values), len(self.x.values))
        for name in ("value", "error", "theory"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise DataError(f"a map of {shape[0]} x {shape[1]} cells got {name} of shape {array.shape}")

    @property
    def log(self) -> bool:
        """Whether the colours are on a log scale."""
        return spans_decades(self.value)

    @property
    def domain(self) -> tuple[float, float]:
        """The values of the first and the last colour; what lies below the first is drawn like it."""
        seen = self.value[np.isfinite(self.value)]
        low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        if self.log:
            return max(low, high / 10**MOST_DECADES), high
        return (low, high) if high > low else (low - 0.5, high + 0.5)


@dataclass(frozen=True)
class Strand:
    """One course over a key: its mean with standard error, and theory's."""

    label: str
    mean: np.ndarray
    error: np.ndarray
    theory: np.ndarray | None


@dataclass(frozen=True)
class Curves:
    """A metric over one key, a strand for every combination of the others."""

    metric: str
    title: str
    x: Side
    strands: tuple[Strand, ...]
    lines: tuple[Line, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def log(self) -> bool:
        """Whether the metric is drawn on a log scale."""
        return spans_decades(np.concatenate([s.mean for s in self.strands]))

    @property
    def domain(self) -> tuple[float, float]:
        """The range of the metric's axis: all means and intervals, and theory's curves."""
        parts = [v for s in self.strands for v in (s.mean, s.mean - 2 * s.error, s.mean + 2 * s.error)]
        parts += [s.theory for s in self.strands if s.theory is not None]
        seen = np.concatenate(parts)
        seen = seen[np.isfinite(seen)]
        if self.log:
            floor = min(float(s.mean[s.mean > 0].min()) for s in self.strands if (s.mean > 0).any())
            seen = seen[seen >= floor / 10]
            return float(seen.min()) / 1.15, float(seen.max()) * 1.15
        low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        margin = 0.06 * (high - low) or 0.5 * (abs(high) or 1.0)
        return (0.0 if 0 <= low < 0.5 * high else low - margin), high + margin


Diagram = Map | Curves


def spans_decades(values: np.ndarray) -> bool:
    """Whether values call for a log scale: none negative or zero, and the largest is many times the smallest."""
    seen = values[np.isfinite(values)]
    return bool(len(seen) and (seen > 0).all() and np.log10(seen.max() / seen.min()) > DECADES)


def levels(field: np.ndarray, log: bool) -> list[float]:
    """A few round values strictly inside a field's range.

    >>> levels(np.array([0.02, 3.0]), log=True), levels(np.array([0.1, 0.9]), log=False)
    ([0.05, 0.2, 1.0], [0.2, 0.4, 0.6, 0.8])
    """
    seen = field[np.isfinite(field)]
    if not len(seen) or not seen.max() > seen.min():
        return []
    low, high = float(seen.min()), float(seen.max())
    if log:
        exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        round_ones = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
        inside = [float(f"{v:.3g}") for v in round_ones if low * 1.02 < v < high / 1.02]
        step = -(-len(inside) // MOST_LEVELS) or 1
        return inside[max(0, (len(inside) - 1 - 2 * step) // 2) :: step][:MOST_LEVELS]
    raw = (high - low) / (MOST_LEVELS + 1)
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first = int(np.ceil(low / step + 0.02))
    last = int(np.floor(high / step - 0.02))
    return [float(f"{k * step:.6g}") for k in range(first, last + 1)]


def contour(x: Side, y: Side, field: np.ndarray, level: float, log: bool = False) -> tuple[np.ndarray, ...]:
    """Where a field (ny, nx) has one value, by linear interpolation as drawn: pieces (m, 2). The field's rows and
    columns that are all NaN are passed over, so that it may be known on a lattice only."""
    from contourpy import contour_generator

    rows, columns = ~np.isnan(field).all(axis=1), ~np.isnan(field).all(axis=0)
    z = field[np.ix_(rows, columns)]
    if min(z.shape) < 2:
        return ()
    if log:
        with np.errstate(all="ignore"):
            z, level = np.log(np.where(z > 0, z, np.nan)), float(np.log(level))
    at = x.warped(x.values[columns]), y.warped(y.values[rows])
    found: Any = contour_generator(*at, np.ma.masked_invalid(z)).lines(level)
    return tuple(np.column_stack([x.unwarped(p[:, 0]), y.unwarped(p[:, 1])]) for p in found if len(p) > 1)


def crossings(x: Side, values: np.ndarray, level: float, log: bool = False) -> list[float]:
    """Where a curve over an axis has one value, by linear interpolation as drawn."""
    seen = np.isfinite(values) & ((values > 0) | (not log))
    at, v = x.warped(x.values[seen]), np.log(values[seen]) if log else values[seen]
    away = v - (np.log(level) if log else level)
    turns = np.flatnonzero((away[:-1] < 0) != (away[1:] < 0))
    found = at[turns] + (at[turns + 1] - at[turns]) * away[turns] / (away[turns] - away[turns + 1])
    return [float(f) for f in x.unwarped(found)]


LETTER = 0.0165
"""Width of a letter of a line's name, as a share of the diagram's."""


def named_at(line: Line, x: Side, y: Side) -> tuple[float, float]:
    """Where a line's name stands: on its longest piece, away from the border, and never beyond it."""
    ends = [side.warped(side.edges[[0, -1]]) for side in (x, y)]
    if line.named is not None:
        points = np.array([line.named])
    else:
        points = max(line.pieces, key=len)
    unit = np.column_stack(
        [
            (s.warped(points[:, k]) - e[0]) / (e[1] - e[0])
            for k, (s, e) in enumerate(zip((x, y), ends, strict=True))
        ]
    )
    half = min(0.5, LETTER * len(line.label) / 2)
    room = np.minimum(
        np.minimum(unit[:, 0], 1 - unit[:, 0]) / half, np.minimum(unit[:, 1], 1 - unit[:, 1]) / 0.1
    )
    central = 1 - np.abs(np.linspace(-1, 1, len(unit))) * 0.1
    best = unit[int(np.argmax(np.minimum(room, 1) * central))]
    best = np.clip(best, [half, 0.02], [1 - half, 0.93])
    return tuple(  # type: ignore[return-value]
        float(s.unwarped(np.array(e[0] + u * (e[1] - e[0]))))
        for s, e, u in zip((x, y), ends, best, strict=True)
    )


def coarser(drawn: Map, most: int) -> Map:
    """The map with at most `most` cells a side, neighbours averaged: what a page can carry."""
    ny, nx = drawn.value.shape
    if max(ny, nx) <= most:
        return drawn
    groups = [np.array_split(np.arange(n), min(n, most)) for n in (ny, nx)]
    sides = []
    for side, group in ((drawn.y, groups[0]), (drawn.x, groups[1])):
        centres = [side.unwarped(side.warped(side.values[g]).mean()) for g in group]
        sides.append(Side(side.title, np.array(centres), side.log, side.words))

    def averaged(array: np.ndarray, quadratic: bool = False) -> np.ndarray:
        out = np.full((len(groups[0]), len(groups[1])), np.nan)
        for i, rows in enumerate(groups[0]):
            for j, columns in enumerate(groups[1]):
                block = array[np.ix_(rows, columns)]
                seen = block[np.isfinite(block)]
                if len(seen):
                    out[i, j] = np.sqrt((seen**2).sum()) / len(seen) if quadratic else seen.mean()
        return out

    return Map(
        drawn.metric,
        drawn.title,
        drawn.facet,
        sides[1],
        sides[0],
        averaged(drawn.value),
        averaged(drawn.error, quadratic=True),
        None if drawn.theory is None else averaged(drawn.theory),
        drawn.lines,
        (
            *drawn.remarks,
            f"The page shows averages of neighbouring cells; cells.parquet has all {ny * nx:,}.",
        ),
    )


def heading(metric: str) -> str:
    """A metric's name as a heading."""
    words = metric.replace("_", " ").replace("frechet", "Fréchet")
    return words[:1].upper() + words[1:]


def table_of(drawn: Map, most: int = 10) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """A map as a small table: the columns' x values, and rows of a y value with `measured (theory)`."""
    from autophage.report.courses import number, spaced

    columns, rows = spaced(len(drawn.x.values), most), spaced(len(drawn.y.values), most)

    def cell(i: int, j: int) -> str:
        text = number(float(drawn.value[i, j]))
        theory = np.nan if drawn.theory is None else drawn.theory[i, j]
        return f"{text} ({number(float(theory))})" if np.isfinite(theory) else text

    body = [(number(float(drawn.y.values[i])), [cell(i, j) for j in columns]) for i in rows[::-1]]
    return [number(float(drawn.x.values[j])) for j in columns], body


def drawn_kinds(diagrams: Sequence[Diagram]) -> list[str]:
    """Which kinds of lines there are, for the legend."""
    found = {line.kind for d in diagrams for line in d.lines}
    return [k for k in ("boundary", "level", "threshold") if k in found]
