"""The page of a watched log: the answer first, the course with its pieces and its forecast, then the verdicts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.report.courses import number, spaced, span
from autophage.report.shell import filled, write_bytes
from autophage.watching.change_points import fitted
from autophage.watching.watched import in_steps

if TYPE_CHECKING:
    from autophage.watching.courses import Line
    from autophage.watching.watched import Watched

MOST_ROWS = 60
MOST_LINES = 12
"""Runs that are drawn one by one."""
DECADES = 2.0
"""Positive values that span more than this are drawn on a log scale."""
_ICONS = {"yes": "▲", "no": "✓", "undecided": "?"}


def render(watched: Watched, repeat: Sequence[str] = ()) -> str:
    """The page as HTML: the same text for the same log."""
    profile = in_steps(watched.profile.to_dict(), watched.use, watched.counted)
    forecast = watched.forecast
    context = {
        "watched": watched,
        "title": watched.name,
        "subtitle": f"{watched.use.name} ({watched.use.better} is better) over {len(watched.use.steps)} points, {watched.counted} "
        f"{watched.use.steps[0]:g} to {watched.use.steps[-1]:g}"
        + (f", {len(watched.use.runs)} runs" if len(watched.use.runs) > 1 else ""),
        "word": {"yes": "decays", "no": "no decay", "undecided": "undecided"}[watched.decay.answer],
        "cards": [_card(n, line, watched.counted) for n, line in enumerate(watched.lines)],
        "profile": profile["sentence"],
        "verdicts": [
            {**v, "icon": _ICONS[v["verdict"]], "effect": _effect(v["effect"])} for v in profile["verdicts"]
        ],
        "forecast": None if forecast is None else forecast.sentence,
        "notes": [*watched.notes, *profile["notes"]],
        "files": [str(f) for f in watched.files],
        "repeat": list(repeat) or [shlex.join(["autophage", "watch", *map(str, watched.files)])],
    }
    return filled(
        "watched.html.j2", context, [_use(watched), *(_other(watched, line) for line in watched.lines[1:])]
    )


def write(watched: Watched, path: str | Path, repeat: Sequence[str] = ()) -> Path:
    """`render(watched)` as a file, whole or not at all. Raises `RunError` when it cannot be written."""
    return write_bytes(render(watched, repeat).encode("utf-8"), Path(path))


def _effect(effect: Any) -> str:
    return number(effect) if isinstance(effect, float) else str(effect or "")


def _card(n: int, line: Line, counted: str) -> dict[str, Any]:
    chosen = spaced(len(line.steps), MOST_ROWS)
    return {
        "id": f"chart-{n}",
        "title": line.name,
        "hint": f"{line.better} is better",
        "span": span(line.mean),
        "description": f"{line.name} by {counted}: {span(line.mean)}.",
        "rows": [(f"{line.steps[i]:g}", number(float(line.mean[i]))) for i in chosen],
    }


def _use(watched: Watched) -> dict[str, Any]:
    """The use with its straight pieces, its best point, its changes and its forecast."""
    line, forecast = watched.use, watched.forecast
    fit = fitted(line.steps, watched.pieces)
    shown = [line.mean, fit]
    if forecast is not None:
        reach = 0.5 * float(np.ptp(line.mean))  # no interval squeezes what was logged into a corner
        ends = np.clip([forecast.low, forecast.high], line.mean.min() - reach, line.mean.max() + reach)
        shown += [forecast.values, *ends]
    x, y, log = _axes(watched, line, shown)
    layers = []
    if forecast is not None:
        rows = _points(
            log,
            x=forecast.steps,
            y=forecast.values,
            low=_kept(forecast.low, line.mean, log),
            high=_kept(forecast.high, line.mean, log),
        )
        between = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
        dashed = {
            "type": "line",
            "strokeDash": [5, 4],
            "strokeWidth": 1.6,
            "color": "var(--key-1)",
            "clip": True,
        }
        area = {"type": "area", "opacity": 0.16, "color": "var(--key-1)", "clip": True}
        layers += [
            {"data": {"values": rows}, "mark": area, "encoding": between},
            {"data": {"values": rows}, "mark": dashed, "encoding": {"x": x, "y": y}},
        ]
    layers += _course(line, x, y, log)
    pieces = [
        row | {"piece": n}
        for n, p in enumerate(watched.pieces)
        for row in _points(log, x=line.steps[p.start : p.end], y=fit[p.start : p.end])
    ]
    layers.append(
        {
            "data": {"values": pieces},
            "mark": {"type": "line", "color": "var(--ink)", "strokeWidth": 1.4},
            "encoding": {"x": x, "y": y, "detail": {"field": "piece"}},
        }
    )
    layers += _rules([(c.step, "") for c in watched.changes], x, [2, 4], 0.5)
    layers += _rules([(watched.decay.best_step, "best")], x, [1, 0], 0.9)
    return _drawn(
        layers,
        f"{line.name} by {watched.counted}, with its straight pieces, changes and forecast: {span(line.mean)}.",
    )


def _other(watched: Watched, line: Line) -> dict[str, Any]:
    x, y, log = _axes(watched, line, [line.mean])
    layers = [*_course(line, x, y, log), *_rules([(watched.decay.best_step, "")], x, [1, 0], 0.9)]
    return _drawn(layers, f"{line.name} by {watched.counted}: {span(line.mean)}.")


def _drawn(layers: list[dict[str, Any]], description: str) -> dict[str, Any]:
    return {
        "width": "container",
        "height": 300,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "description": description,
        "layer": layers,
    }


def _axes(watched: Watched, line: Line, shown: list[np.ndarray]) -> tuple[dict, dict, bool]:
    logged = line.mean
    runs = np.quantile(line.values, [0.05, 0.95]) if len(line.runs) <= MOST_LINES else []
    values = np.concatenate([*shown, runs])
    log = bool((logged > 0).all() and logged.max() > 10**DECADES * logged.min())
    if log:  # pieces and forecasts are straight lines, and may reach below zero where the log does not
        values = values[values > 0.1 * logged.min()]
    last = watched.use.steps[-1] if watched.forecast is None else watched.forecast.steps[-1]
    reach = [min(float(watched.use.steps[0]), float(line.steps[0])), max(float(last), float(line.steps[-1]))]
    x = {
        "field": "x",
        "type": "quantitative",
        "title": watched.counted,
        "scale": {"domain": reach, "nice": False, "zero": False},
        "axis": {"grid": False, "tickCount": 6, "labelFlush": False},
    }
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.5 * (abs(high) or 1.0)
    domain = [low / 1.1, high * 1.1] if log else [low - margin, high + margin]
    y = {
        "field": "y",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": domain, "nice": False, "zero": False} | ({"type": "log"} if log else {}),
        "axis": {"labelExpr": "replace(format(datum.value, '.6~g'), 'e+', 'e')", "tickCount": 5},
    }
    return x, y, log


def _course(line: Line, x: dict, y: dict, log: bool) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = []
    if 1 < len(line.runs) <= MOST_LINES:
        rows = [
            row | {"run": n}
            for n, values in enumerate(line.values)
            for row in _points(log, x=line.steps, y=values)
        ]
        thin = {"type": "line", "strokeWidth": 0.8, "opacity": 0.4, "color": "var(--key-0)", "clip": True}
        layers.append(
            {"data": {"values": rows}, "mark": thin, "encoding": {"x": x, "y": y, "detail": {"field": "run"}}}
        )
    rows = _points(log, x=line.steps, y=line.mean)
    if len(rows) > MOST_ROWS:
        mark: dict[str, Any] = {"type": "line", "strokeWidth": 1.2, "color": "var(--key-0)"}
    else:
        mark = {"type": "point", "filled": True, "size": 26, "opacity": 1, "color": "var(--key-0)"}
    tip = [
        {"field": "x", "type": "quantitative", "title": "at"},
        {"field": "y", "type": "quantitative", "title": line.name, "format": ".4~g"},
    ]
    layers.append({"data": {"values": rows}, "mark": mark, "encoding": {"x": x, "y": y, "tooltip": tip}})
    return layers


def _rules(at: list[tuple[float, str]], x: dict, dash: list[int], opacity: float) -> list[dict[str, Any]]:
    if not at:
        return []
    data = {"values": [{"x": float(s), "name": name} for s, name in at]}
    rule = {
        "type": "rule",
        "color": "var(--key-2)" if dash == [1, 0] else "var(--ink)",
        "strokeDash": dash,
        "opacity": opacity,
    }
    layers: list[dict[str, Any]] = [{"data": data, "mark": rule, "encoding": {"x": x}}]
    if any(name for _, name in at):
        text = {
            "type": "text",
            "align": "left",
            "dx": 4,
            "y": 8,
            "fontSize": 11,
            "fontStyle": "italic",
            "color": "var(--ink)",
        }
        layers.append({"data": data, "mark": text, "encoding": {"x": x, "text": {"field": "name"}}})
    return layers


def _kept(bound: np.ndarray, values: np.ndarray, log: bool) -> np.ndarray:
    """A bound that a log scale can draw."""
    return np.maximum(bound, 1e-3 * float(values.min())) if log else bound


def _points(log: bool, **columns: np.ndarray) -> list[dict[str, float]]:
    """Rows of six significant digits; on a log scale without what is not above zero."""
    return [
        {name: float(f"{v:.6g}") for name, v in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
        if all(np.isfinite(v) for v in row) and (not log or row[1] > 0)
    ]
