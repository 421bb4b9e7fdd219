"""From a sweep to its diagrams: which keys become axes, which lines theory draws."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.report.phases import (
    Curves,
    Diagram,
    Line,
    Map,
    Side,
    Strand,
    contour,
    crossings,
    heading,
    levels,
    spans_decades,
)
from autophage.sweeps.grid import Axis, said
from autophage.sweeps.program import SPREADS, TENTH, TIMED
from autophage.verdicts.course import Thresholds

if TYPE_CHECKING:
    from autophage.sweeps.sweep import Sweep

MOST_FACETS = 6
"""Maps of one metric; a sweep over more keys shows the first ones."""
MOST_STRANDS = 6
TINY = 0.08
"""A boundary that only touches a corner, as a share of the diagram, is none."""

_SPREAD = re.compile(r"^(variance|standard_deviation|gini|support|entropy|sample_variance)")
_RISK = re.compile(r"^(squared_error|squared_mean_error|frechet_model|excess_risk)")


def diagrams(swept: Sweep) -> list[Diagram]:
    """A diagram for every metric in the last generation: maps where two keys are numbers, else curves."""
    numeric = [i for i, a in enumerate(swept.axes) if a.numbers is not None and len(a.values) > 1]
    found: list[Diagram] = []
    for metric in swept.metrics:
        if metric == TIMED and not (swept.phase(TIMED) < swept.horizons).any():
            continue  # nothing has fallen so far: a map of one colour
        if len(numeric) >= 2:
            found += _maps(swept, metric, numeric[0], numeric[1])
        else:
            found += _curves(swept, metric, numeric[0] if numeric else 0)
    return found


def title(swept: Sweep, metric: str) -> str:
    """A diagram's heading, with the generation it speaks of."""
    if metric == TIMED:
        return "Generations until the spread falls below a tenth"
    if swept.work.at:
        return f"{heading(metric)}, generation {swept.work.at[-1]}"
    last = np.unique(swept.horizons) - 1
    return f"{heading(metric)}, " + (f"generation {last[0]}" if len(last) == 1 else "last generation")


def boundary_of(metric: str) -> tuple[float, str] | None:
    """The share of generation 0's value at which a phase begins, and what that is called."""
    if metric == TIMED or _SPREAD.match(metric):
        return TENTH, "theory: a tenth is left"
    if _RISK.match(metric):
        factor = Thresholds().catastrophic_ratio
        return factor, f"theory: {factor:g} x generation 0's"
    return None


def relative(swept: Sweep, metric: str) -> np.ndarray | None:
    """Theory's last generation over its generation 0, of the metric itself or of the spread that is timed."""
    if metric != TIMED:
        return swept.theory.relative(metric)
    return next((f for m in SPREADS if (f := swept.theory.relative(m)) is not None), None)


def _side(axis: Axis) -> tuple[Side, np.ndarray]:
    """An axis as it is drawn, and the order of its values there."""
    if axis.numbers is None:
        words = tuple(v if isinstance(v, str) else said(v) for v in axis.values)
        return Side(axis.name, np.arange(len(words), dtype=np.float64), words=words), np.arange(len(words))
    order = np.argsort(axis.numbers, kind="stable")
    return Side(axis.name, axis.numbers[order], axis.log), order


def _maps(swept: Sweep, metric: str, i: int, j: int) -> list[Diagram]:
    (x, along), (y, up) = _side(swept.axes[i]), _side(swept.axes[j])
    others = [k for k in range(len(swept.axes)) if k not in (i, j)]
    combos = list(itertools.product(*(range(len(swept.axes[k].values)) for k in others)))
    fields = {
        "value": swept.phase(metric),
        "error": swept.phase(metric, "sd") / np.sqrt(np.maximum(swept.phase(metric, "n"), 1)),
        "theory": swept.predicted(metric),
        "relative": relative(swept, metric),
    }
    found: list[Diagram] = []
    for combo in combos[:MOST_FACETS]:
        place: list[Any] = [slice(None)] * len(swept.axes)
        for k, at in zip(others, combo, strict=True):
            place[k] = at
        cut: dict[str, Any] = {}
        for name, field in fields.items():
            flat = None if field is None else field[tuple(place)]
            flat = flat.T if flat is not None and i < j else flat  # rows are y, columns x
            cut[name] = None if flat is None or np.isnan(flat).all() else flat[np.ix_(up, along)]
        if cut["value"] is None:
            continue
        facet = ", ".join(
            f"{swept.axes[k].name} {_word(swept.axes[k], at)}" for k, at in zip(others, combo, strict=True)
        )
        error = cut["error"] if cut["error"] is not None else np.full_like(cut["value"], np.nan)
        remarks = _remarks(swept, metric)
        if len(combos) > MOST_FACETS and combo == combos[0]:
            remarks.append(
                f"{len(combos)} combinations of the other keys were swept; the first {MOST_FACETS} are drawn."
            )
        lines = _map_lines(swept, metric, x, y, cut, (i, j))
        found.append(
            Map(
                metric,
                title(swept, metric),
                facet,
                x,
                y,
                cut["value"],
                error,
                cut["theory"],
                lines,
                tuple(remarks),
            )
        )
    return found


def _map_lines(
    swept: Sweep, metric: str, x: Side, y: Side, cut: dict[str, Any], axes: tuple[int, int]
) -> tuple[Line, ...]:
    lines: list[Line] = []
    phase = boundary_of(metric)
    if phase is not None and cut["relative"] is not None:
        pieces = tuple(
            p for p in contour(x, y, cut["relative"], phase[0], log=True) if _reach(x, y, p) > TINY
        )
        lines += [Line("boundary", phase[1], pieces)] if pieces else []
    if not lines and cut["theory"] is not None:
        log = spans_decades(cut["value"])
        word = "theory" if metric == TIMED or swept.theory.exact(metric) else "theory, asymptotic"
        for level in levels(cut["theory"], log and spans_decades(cut["theory"])):
            pieces = contour(x, y, cut["theory"], level, log)
            lines += [Line("level", f"{word}: {level:g}", pieces)] if pieces else []
    for threshold in swept.theory.thresholds:
        if threshold.axis not in axes:
            continue
        own, other = (x, y) if threshold.axis == axes[0] else (y, x)
        low, high = own.edges[[0, -1]]
        if low < threshold.value < high:
            across = np.linspace(0, 1, 41) * np.ptp(other.warped(other.edges)) + other.warped(other.edges)[0]
            there = np.full(41, threshold.value)
            columns = (
                (there, other.unwarped(across))
                if threshold.axis == axes[0]
                else (other.unwarped(across), there)
            )
            lines.append(
                Line(
                    "threshold",
                    _threshold_name(threshold.prediction.side, threshold.value),
                    (np.column_stack(columns),),
                )
            )
    return tuple(lines)


def _reach(x: Side, y: Side, piece: np.ndarray) -> float:
    """How far a piece of a line goes, as a share of the diagram."""
    return max(float(np.ptp(s.warped(piece[:, k])) / np.ptp(s.warped(s.edges))) for k, s in enumerate((x, y)))


def _threshold_name(side: str | None, value: float) -> str:
    return f"largest provable: {value:g}" if side == "upper" else f"threshold: {value:g}"


def _curves(swept: Sweep, metric: str, i: int) -> list[Diagram]:
    x, along = _side(swept.axes[i])
    others = [k for k in range(len(swept.axes)) if k != i]
    combos = list(itertools.product(*(range(len(swept.axes[k].values)) for k in others)))
    value, n = swept.phase(metric), np.maximum(swept.phase(metric, "n"), 1)
    error, predicted = swept.phase(metric, "sd") / np.sqrt(n), swept.predicted(metric)
    field, phase = relative(swept, metric), boundary_of(metric)
    strands, lines, seen = [], [], set()
    for combo in combos[:MOST_STRANDS]:
        place: list[Any] = [slice(None)] * len(swept.axes)
        for k, at in zip(others, combo, strict=True):
            place[k] = at
        where = tuple(place)
        mean = value[where][along]
        if not np.isfinite(mean).any():
            continue
        label = ", ".join(_word(swept.axes[k], at) for k, at in zip(others, combo, strict=True))
        theory = None if predicted is None or np.isnan(predicted[where]).all() else predicted[where][along]
        strands.append(Strand(label, mean, error[where][along], theory))
        if field is not None and phase is not None and not x.words:
            for crossed in crossings(x, field[where][along], phase[0], log=True):
                seen.add((crossed, label))
    drawn = Curves(metric, title(swept, metric), x, tuple(strands))
    if not strands:
        return []
    for crossed, label in sorted(seen):
        name = phase[1] + (f" ({label})" if label else "")  # type: ignore[index]
        lines.append(_upright("boundary", name, crossed, drawn))
    for threshold in swept.theory.thresholds:
        if threshold.axis == i and x.edges[0] < threshold.value < x.edges[-1]:
            name = _threshold_name(threshold.prediction.side, threshold.value)
            lines.append(_upright("threshold", name, threshold.value, drawn))
    remarks = tuple(_remarks(swept, metric))
    if len(combos) > MOST_STRANDS:
        remarks += (
            f"{len(combos)} combinations of the other keys were swept; the first {MOST_STRANDS} are drawn.",
        )
    return [Curves(metric, drawn.title, x, drawn.strands, tuple(lines), remarks)]


def _upright(kind: Any, label: str, at: float, drawn: Curves) -> Line:
    """A line across a diagram of curves, its name where the curves leave most room."""
    up = np.geomspace(*drawn.domain, 41) if drawn.log else np.linspace(*drawn.domain, 41)
    height = np.linspace(0, 1, 41)
    place, around = drawn.x.warped(drawn.x.values), float(drawn.x.warped(np.array(at)))
    near = np.abs(place - around) < 0.25 * np.ptp(place)
    taken = [np.interp(v, up, height) for s in drawn.strands for v in s.mean[near] if np.isfinite(v)]
    free = [min((abs(h - t) for t in taken), default=1.0) for h in height[2:-3]]
    return Line(
        kind, label, (np.column_stack([np.full(41, at), up]),), (at, float(up[2 + int(np.argmax(free))]))
    )


def _remarks(swept: Sweep, metric: str) -> list[str]:
    if metric != TIMED:
        return []
    ends = np.unique(swept.horizons)
    return [f"{ends[0] if len(ends) == 1 else 'The number of generations'} stands for: not within the run."]


def _word(axis: Axis, at: int) -> str:
    value = axis.values[at]
    return value if isinstance(value, str) else said(value)
