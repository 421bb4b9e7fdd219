"""Maps and curves of a sweep as Vega-Lite specifications, drawn in the page by the bundles under `assets/`."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.report.courses import number
from autophage.report.phases import Curves, Diagram, Line, Map, Side, coarser, named_at
from autophage.report.vegalite import COLOURS, SHAPES

MOST_CELLS = 50
"""Cells a side that a page carries; of more, neighbours are averaged."""
SCHEME = "viridis"
"""Even steps of lightness, told apart by nearly all eyes, on paper of either colour."""
_TICKS = "replace(format(datum.value, '.6~g'), 'e+', 'e')"


def phase_specification(diagram: Diagram) -> dict[str, Any]:
    """The Vega-Lite object of one diagram: JSON with every number finite, or null."""
    return _map(diagram) if isinstance(diagram, Map) else _curves(diagram)


def phase_description(diagram: Diagram) -> str:
    """The diagram in words, for those who cannot see it."""
    if isinstance(diagram, Map):
        seen = diagram.value[np.isfinite(diagram.value)]
        span = (
            f"from {number(float(seen.min()))} to {number(float(seen.max()))}"
            if len(seen)
            else "without values"
        )
        lines = f" Theory draws: {'; '.join(line.label for line in diagram.lines)}." if diagram.lines else ""
        return f"{diagram.metric} over {diagram.x.title} and {diagram.y.title}, {span}.{lines}"
    ends = "; ".join(
        f"{s.label or diagram.metric}: {number(float(s.mean[0]))} to {number(float(s.mean[-1]))}"
        for s in diagram.strands
    )
    return f"{diagram.metric} over {diagram.x.title}. {ends}."


def _map(whole: Map) -> dict[str, Any]:
    drawn = coarser(whole, MOST_CELLS)
    x, y = _axis("x", drawn.x), _axis("y", drawn.y)
    low, high = drawn.domain
    colour = {
        "field": "v",
        "type": "quantitative",
        "scale": {
            "type": "log" if drawn.log else "linear",
            "scheme": SCHEME,
            "domain": [_short(low), _short(high)],
            "clamp": True,
        },
        "legend": {
            "title": None,
            "gradientLength": 250,
            "gradientThickness": 11,
            "labelColor": "var(--muted)",
            "labelFontSize": 11,
            "labelExpr": _TICKS,
            "tickCount": 5,
            "offset": 12,
            **({"values": _decades(low, high)} if drawn.log else {}),
        },
    }
    tooltip = [
        {"field": "tx", "type": "nominal", "title": drawn.x.title},
        {"field": "ty", "type": "nominal", "title": drawn.y.title},
        {"field": "t", "type": "nominal", "title": "measured"},
    ]
    if drawn.theory is not None:
        tooltip.append({"field": "th", "type": "nominal", "title": "theory"})
    cells = {
        "data": {"name": "cells"},
        "mark": {"type": "rect", "clip": True, "strokeWidth": 0},
        "encoding": {
            "x": x,
            "x2": {"field": "x2"},
            "y": y,
            "y2": {"field": "y2"},
            "color": colour,
            "tooltip": tooltip,
        },
    }
    return {
        "width": "container",
        "height": 320,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "description": phase_description(whole),
        "datasets": {"cells": _cells(drawn), **_line_data(drawn.lines, drawn.x, drawn.y)},
        "layer": [cells, *_lines(drawn.lines, x, y, light=True)],
    }


def _cells(drawn: Map) -> list[dict[str, Any]]:
    xs, ys = drawn.x.edges, drawn.y.edges
    rows = []
    for i, j in zip(*np.nonzero(np.isfinite(drawn.value)), strict=True):
        text = number(float(drawn.value[i, j]))
        if np.isfinite(drawn.error[i, j]):
            text += f" ± {number(float(drawn.error[i, j]), 2)}"
        row = {
            # A little overlap hides the seams that rounding leaves between neighbours.
            "x": _short(xs[j]),
            "x2": _short(xs[j + 1] + (0.06 * (xs[j + 1] - xs[j]) if j + 2 < len(xs) else 0.0)),
            "y": _short(ys[i]),
            "y2": _short(ys[i + 1] + (0.06 * (ys[i + 1] - ys[i]) if i + 2 < len(ys) else 0.0)),
            "v": _short(drawn.value[i, j]),
            "t": text,
            "tx": number(float(drawn.x.values[j])),
            "ty": number(float(drawn.y.values[i])),
        }
        if drawn.theory is not None and np.isfinite(drawn.theory[i, j]):
            row["th"] = number(float(drawn.theory[i, j]))
        rows.append(row)
    return rows


def _axis(field: str, side: Side) -> dict[str, Any]:
    edges = side.edges
    scale: dict[str, Any] = {"domain": [_short(edges[0]), _short(edges[-1])], "nice": False, "zero": False}
    if side.log:
        scale["type"] = "log"
    axis: dict[str, Any] = {"grid": False, "labelExpr": _TICKS, "tickCount": 5}
    if side.log:
        axis["values"] = _decades(float(edges[0]), float(edges[-1]))
    return {"field": field, "type": "quantitative", "title": side.title, "scale": scale, "axis": axis}


def _decades(low: float, high: float) -> list[float]:
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    found = [float(f"{m * 10.0**e:.1g}") for e in exponents for m in steps if low <= m * 10.0**e <= high]
    return found[:: -(-len(found) // 7)]


def _line_data(lines: tuple[Line, ...], x: Side, y: Side) -> dict[str, list[dict[str, Any]]]:
    points, names = [], []
    for n, line in enumerate(lines):
        for m, piece in enumerate(line.pieces):
            points += [
                {"x": _short(px), "y": _short(py), "o": o, "c": f"{n}.{m}", "k": line.kind}
                for o, (px, py) in enumerate(piece.tolist())
            ]
        at = named_at(line, x, y)
        names.append({"x": _short(at[0]), "y": _short(at[1]), "name": line.label})
    return {"theory": points, "names": names} if lines else {}


def _lines(lines: tuple[Line, ...], x: dict, y: dict, light: bool) -> list[dict[str, Any]]:
    """Theory's lines and their names: white with a dark rim on a coloured ground, ink elsewhere."""
    if not lines:
        return []
    ink, rim = ("#ffffff", "#14171a") if light else ("var(--ink)", "var(--card)")
    plain = {
        "x": {**x, "field": "x"},
        "y": {**y, "field": "y"},
        "detail": {"field": "c"},
        "order": {"field": "o"},
    }
    wide = {"boundary": 2.6, "level": 1.3, "threshold": 1.6}
    dashes: dict[str, list[int]] = {"boundary": [1, 0], "level": [5, 4], "threshold": [2, 3]}
    drawn: list[dict[str, Any]] = []
    for kind in dict.fromkeys(line.kind for line in lines):
        own = {
            "data": {"name": "theory"},
            "transform": [{"filter": f"datum.k === '{kind}'"}],
            "encoding": plain,
        }
        under = {"type": "line", "color": rim, "strokeWidth": wide[kind] + 1.8, "opacity": 0.55, "clip": True}
        over = {
            "type": "line",
            "color": ink,
            "strokeWidth": wide[kind],
            "strokeDash": dashes[kind],
            "clip": True,
        }
        drawn += [{**own, "mark": under}, {**own, "mark": over}]
    text = {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}, "text": {"field": "name"}}
    font = {"type": "text", "fontSize": 11, "fontStyle": "italic", "dy": -9}
    halo = {
        **font,
        "fill": None,
        "stroke": rim,
        "strokeWidth": 3,
        "strokeJoin": "round",
        "strokeOpacity": 0.75,
    }
    name = {"data": {"name": "names"}, "encoding": text}
    return [*drawn, {**name, "mark": halo}, {**name, "mark": {**font, "color": ink}}]


def _curves(drawn: Curves) -> dict[str, Any]:
    low, high = drawn.domain
    y_side = Side("", np.array([low, high]), drawn.log)
    if drawn.x.words:
        x: dict[str, Any] = {
            "field": "x",
            "type": "nominal",
            "title": drawn.x.title,
            "sort": list(drawn.x.words),
            "axis": {"labelAngle": 0},
        }
    else:
        x = _axis("x", drawn.x)
    axis: dict[str, Any] = {"labelExpr": _TICKS, "tickCount": 5}
    scale: dict[str, Any] = {"domain": [_short(low), _short(high)], "nice": False}
    scale |= {"type": "log"} if drawn.log else {"zero": False}
    if drawn.log:
        axis["values"] = _decades(low, high)
    y = {"field": "v", "type": "quantitative", "title": None, "scale": scale, "axis": axis}
    labels = [s.label for s in drawn.strands]
    colour = {
        "field": "s",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": labels, "range": [f"var(--key-{n % COLOURS})" for n in range(len(labels))]},
    }
    shape = {
        **colour,
        "scale": {"domain": labels, "range": [SHAPES[n % len(SHAPES)] for n in range(len(labels))]},
    }
    tooltip = [{"field": "tx", "type": "nominal", "title": drawn.x.title}]
    tooltip += [
        {"field": "t", "type": "nominal", "title": "measured"},
        {"field": "th", "type": "nominal", "title": "theory"},
    ]
    main: dict[str, Any] = {"data": {"name": "curves"}, "encoding": {"x": x, "y": y, "color": colour}}
    rule = {"type": "rule", "strokeWidth": 1.4, "opacity": 0.55, "clip": True}
    interval = {**main["encoding"], "y": {**y, "field": "lo"}, "y2": {"field": "hi"}}
    points = {**main["encoding"], "shape": shape, "tooltip": tooltip}
    dashed = {"type": "line", "color": "var(--ink)", "strokeWidth": 1.5, "strokeDash": [5, 4], "clip": True}
    theory = {"x": x, "y": {**y, "field": "h"}, "detail": {"field": "s"}}
    layers: list[dict[str, Any]] = [
        {**main, "transform": [{"filter": "isValid(datum.lo)"}], "mark": rule, "encoding": interval}
    ]
    if not drawn.x.words:
        layers.append({**main, "mark": {"type": "line", "strokeWidth": 2.2, "clip": True}})
    layers.append(
        {**main, "mark": {"type": "point", "filled": True, "size": 38, "opacity": 1}, "encoding": points}
    )
    known = {"data": {"name": "curves"}, "transform": [{"filter": "isValid(datum.h)"}], "encoding": theory}
    if any(s.theory is not None for s in drawn.strands):
        mark = (
            {"type": "tick", "color": "var(--ink)", "orient": "horizontal", "thickness": 2, "size": 26}
            if drawn.x.words
            else dashed
        )
        layers.append({**known, "mark": mark})
    data: dict[str, Any] = {"curves": _curve_data(drawn, low)}
    if not drawn.x.words:
        data |= _line_data(drawn.lines, drawn.x, y_side)
        layers += _lines(drawn.lines, x, y, light=False)
    return {
        "width": "container",
        "height": 260,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "description": phase_description(drawn),
        "datasets": data,
        "layer": layers,
    }


def _curve_data(drawn: Curves, low: float) -> list[dict[str, Any]]:
    floor = low if drawn.log else -np.inf
    rows = []
    for s in drawn.strands:
        for i, value in enumerate(drawn.x.values.tolist()):
            name = drawn.x.words[i] if drawn.x.words else _short(value)
            text = number(float(s.mean[i]))
            row: dict[str, Any] = {
                "x": name,
                "s": s.label,
                "v": _short(s.mean[i]) if s.mean[i] > floor else None,
            }
            if np.isfinite(s.error[i]):
                half = 1.96 * s.error[i]
                row |= {"lo": _short(max(s.mean[i] - half, floor)), "hi": _short(s.mean[i] + half)}
                text += f" ± {number(float(s.error[i]), 2)}"
            row |= {"t": text, "tx": drawn.x.words[i] if drawn.x.words else number(value)}
            if s.theory is not None and np.isfinite(s.theory[i]) and s.theory[i] > floor:
                row |= {"h": _short(s.theory[i]), "th": number(float(s.theory[i]))}
            rows.append(row)
    return rows


def _short(x: float) -> float | None:
    """Seven significant digits keep the page small; what is not finite becomes null."""
    return float(f"{x:.7g}") if np.isfinite(x) else None
