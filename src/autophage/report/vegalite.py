"""A `Chart` as a Vega-Lite specification, drawn in the page by the bundles under `assets/`.

Colours are CSS variables, so one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autophage.report.courses import Chart, Curve, Series, number, span
from autophage.report.labels import labels

COLOURS = 10
"""The page defines --key-0 .. --key-9; further keys start over."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
MOST_POINTS = 26
"""Up to this many generations each one gets a mark."""


def specification(chart: Chart) -> dict[str, Any]:
    """The Vega-Lite object of one chart: JSON with every number finite, or null."""
    x = {
        "field": "g",
        "type": "quantitative",
        "title": "generation",
        "scale": {"domain": _reach(chart), "nice": False, "zero": False},
        "axis": {"tickMinStep": 1, "format": "d", "grid": False, "tickCount": 6, "labelFlush": False},
    }
    y = {"field": "v", "type": "quantitative", "title": None, "scale": _scale(chart), "axis": _ticks(chart)}
    colour = {
        "field": "s",
        "type": "nominal",
        "legend": None,
        "scale": {
            "domain": [s.label for s in chart.series],
            "range": [f"var(--key-{s.key % COLOURS})" for s in chart.series],
        },
    }
    layers = [
        _ruled_out(chart, x, y),
        _area("band", "lo", "hi", 0.16, x, y, colour) if any(_seen(s.low) for s in chart.series) else None,
        _area("band", "ilo", "ihi", 0.22, x, y, colour) if any(s.inner for s in chart.series) else None,
        _lines(x, y, colour) if chart.drawn_lines else None,
        _course("middle", 2.4, x, y, colour),
        _course("median", 1.1, x, y, colour) if any(s.median is not None for s in chart.series) else None,
        _marks(chart, x, y, colour),
        *_theory(chart, x, y),
        _hover(chart, x),
    ]
    return {
        "width": "container",
        "height": 220,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "description": describe(chart),
        "datasets": _datasets(chart),
        "layer": [layer for layer in layers if layer],
    }


def describe(chart: Chart) -> str:
    """The chart in words, for those who cannot see it."""
    courses = "; ".join(f"{s.label}: {span(s.centre)}" for s in chart.series)
    last = max(int(s.generation[-1]) for s in chart.series)
    theory = f" Theory drawn: {', '.join(c.label for c in chart.curves)}." if chart.curves else ""
    return f"{chart.metric} ({chart.centre}) over generations 0 to {last}. {courses}.{theory}"


def hover_text(series: Series, i: int) -> str:
    """One generation of one course: `0.42 (0.4 to 0.45)`."""
    text = number(series.centre[i])
    if np.isfinite(series.low[i]) and np.isfinite(series.high[i]):
        text += f" ({number(series.low[i])} to {number(series.high[i])})"
    return text


def _reach(chart: Chart) -> list[float]:
    first = min(int(s.generation[0]) for s in chart.series)
    last = max(int(s.generation[-1]) for s in chart.series)
    return [first - 0.5, last + 0.5] if first == last else [first, last]


def _scale(chart: Chart) -> dict[str, Any]:
    scale: dict[str, Any] = {"domain": [_short(d) for d in chart.domain], "nice": False}
    return {**scale, "type": "log"} if chart.log else {**scale, "zero": False}


def _ticks(chart: Chart) -> dict[str, Any]:
    axis: dict[str, Any] = {"labelExpr": "replace(format(datum.value, '.6~g'), 'e+', 'e')"}
    if not chart.log:
        return {**axis, "tickCount": 5}
    low, high = math.ceil(math.log10(chart.domain[0])), math.floor(math.log10(chart.domain[1]))
    step = max(1, math.ceil((high - low + 1) / 6))
    return {**axis, "values": [10.0**e for e in range(high, low - 1, -step)]}


def _datasets(chart: Chart) -> dict[str, list[dict[str, Any]]]:
    low = chart.domain[0]
    floor = low if chart.log else -math.inf
    middle, median, band, lines, theory = [], [], [], [], []
    hover: dict[int, dict[str, Any]] = {}
    for n, s in enumerate(chart.series):
        for i, g in enumerate(s.generation.tolist()):
            middle.append({"g": g, "s": s.label, "v": _short(s.centre[i])})
            if s.median is not None and s.median[i] > floor:
                median.append({"g": g, "s": s.label, "v": _short(s.median[i])})
            row: dict[str, Any] = {"g": g, "s": s.label}
            if np.isfinite(s.low[i]) and np.isfinite(s.high[i]):
                row |= {"lo": _short(max(s.low[i], floor)), "hi": _short(max(s.high[i], floor))}
            if s.inner and np.isfinite(s.inner[0][i]):
                row |= {"ilo": _short(max(s.inner[0][i], floor)), "ihi": _short(max(s.inner[1][i], floor))}
            if len(row) > 2:
                band.append(row)
            hover.setdefault(g, {"g": g})[f"s{n}"] = hover_text(s, i)
            if s.lines is not None:
                lines += [
                    {"g": g, "s": s.label, "r": r, "v": _short(v) if v > floor else None}
                    for r, v in enumerate(s.lines[:, i].tolist())
                ]
    for n, c in enumerate(chart.curves):
        for g, v in zip(c.generation.tolist(), c.value.tolist(), strict=True):
            if v > floor:
                theory.append(
                    {"g": g, "c": n, "v": _short(v)}
                    | ({"edge": _short(_edge(c, chart, v))} if c.side else {})
                )
            if g in hover:
                hover[g][f"t{n}"] = number(v)
    return {
        "middle": middle,
        "median": median,
        "band": band,
        "lines": lines,
        "theory": theory,
        "names": [{"g": _short(n.generation), "v": _short(n.value), "name": n.text} for n in labels(chart)],
        "hover": [hover[g] for g in sorted(hover)],
    }


def _edge(curve: Curve, chart: Chart, value: float) -> float:
    """How far the ruled-out side of a bound is shaded: all of it, or a hem where other arms may be."""
    low, high = chart.domain
    if len(chart.series) == 1:
        return high if curve.side == "upper" else low
    hem = 0.05 if curve.side == "upper" else -0.05
    return value * (high / low) ** hem if chart.log else value + hem * (high - low)


def _ruled_out(chart: Chart, x: dict, y: dict) -> dict[str, Any] | None:
    if not any(c.side for c in chart.curves):
        return None
    return {
        "data": {"name": "theory"},
        "transform": [{"filter": "isValid(datum.edge)"}],
        "mark": {"type": "area", "color": "var(--ink)", "opacity": 0.06, "clip": True},
        "encoding": {"x": x, "y": y, "y2": {"field": "edge"}, "detail": {"field": "c"}},
    }


def _area(data: str, low: str, high: str, opacity: float, x: dict, y: dict, colour: dict) -> dict[str, Any]:
    return {
        "data": {"name": data},
        "transform": [{"filter": f"isValid(datum.{low})"}],
        "mark": {"type": "area", "opacity": opacity, "clip": True},
        "encoding": {"x": x, "y": {**y, "field": low}, "y2": {"field": high}, "color": colour},
    }


def _lines(x: dict, y: dict, colour: dict) -> dict[str, Any]:
    return {
        "data": {"name": "lines"},
        "mark": {"type": "line", "strokeWidth": 0.8, "opacity": 0.45, "clip": True},
        "encoding": {"x": x, "y": y, "color": colour, "detail": {"field": "r"}},
    }


def _course(data: str, width: float, x: dict, y: dict, colour: dict) -> dict[str, Any]:
    return {
        "data": {"name": data},
        "mark": {"type": "line", "strokeWidth": width, "clip": True},
        "encoding": {"x": x, "y": y, "color": colour},
    }


def _marks(chart: Chart, x: dict, y: dict, colour: dict) -> dict[str, Any] | None:
    if max(len(s.generation) for s in chart.series) > MOST_POINTS:
        return None
    shape = {
        "field": "s",
        "type": "nominal",
        "legend": None,
        "scale": {
            "domain": [s.label for s in chart.series],
            "range": [SHAPES[s.key % len(SHAPES)] for s in chart.series],
        },
    }
    return {
        "data": {"name": "middle"},
        "mark": {"type": "point", "filled": True, "size": 34, "opacity": 1, "clip": False},
        "encoding": {"x": x, "y": y, "color": colour, "shape": shape},
    }


def _theory(chart: Chart, x: dict, y: dict) -> list[dict[str, Any]]:
    if not chart.curves:
        return []
    line = {
        "data": {"name": "theory"},
        "mark": {
            "type": "line",
            "color": "var(--ink)",
            "strokeWidth": 1.4,
            "strokeDash": [5, 4],
            "opacity": 0.9,
            "clip": True,
        },
        "encoding": {"x": x, "y": y, "detail": {"field": "c"}},
    }
    halo = {
        "data": {"name": "names"},
        "mark": {
            "type": "text",
            "fontSize": 11,
            "fontStyle": "italic",
            "fill": None,
            "stroke": "var(--card)",
            "strokeWidth": 3,
            "strokeJoin": "round",
        },
        "encoding": {"x": x, "y": y, "text": {"field": "name"}},
    }
    name = {"type": "text", "fontSize": 11, "fontStyle": "italic", "color": "var(--ink)"}
    return [line, halo, {**halo, "mark": name}]


def _hover(chart: Chart, x: dict) -> dict[str, Any]:
    shown = [{"field": "g", "type": "quantitative", "title": "generation", "format": "d"}]
    shown += [{"field": f"s{n}", "type": "nominal", "title": s.label} for n, s in enumerate(chart.series)]
    shown += [{"field": f"t{n}", "type": "nominal", "title": c.label} for n, c in enumerate(chart.curves)]
    return {
        "data": {"name": "hover"},
        "params": [
            {
                "name": "near",
                "select": {
                    "type": "point",
                    "fields": ["g"],
                    "nearest": True,
                    "on": "pointerover",
                    "clear": "pointerout",
                },
            }
        ],
        "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1},
        "encoding": {
            "x": x,
            "opacity": {"condition": {"param": "near", "empty": False, "value": 0.35}, "value": 0},
            "tooltip": shown,
        },
    }


def _seen(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).any())


def _short(x: float) -> float | None:
    """Six significant digits keep the page small; what is not finite becomes null."""
    return float(f"{x:.6g}") if math.isfinite(x) else None
