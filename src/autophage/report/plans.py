"""The page of a plan: the answer first, the course with and without it, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from autophage.report.courses import number
from autophage.report.shell import filled, linked, write_bytes

if TYPE_CHECKING:
    from autophage.planner.answer import Answer

ROLES = {"with": 0, "without": 1, "other": 5}
"""The page's colour of each role."""


def render(answer: Answer, repeat: Sequence[str] = ()) -> str:
    """The page as HTML: the same text for the same answer."""
    found = answer.confirmation
    columns = list(answer.table[0]) if answer.table else []
    context = {
        "answer": answer,
        "title": f"Plan: {answer.question}",
        "value": worded(answer.value),
        "keys": [(ROLES[line.role], line.name) for line in answer.lines],
        "confirmation": found,
        "confirmed": found is not None and found.confirmed,
        "columns": columns,
        "rows": [[worded(row.get(c, "")) for c in columns] for row in answer.table],
        "change": yaml.safe_dump(dict(answer.change), sort_keys=False, default_flow_style=None).rstrip()
        if answer.change
        else "",
        "theorem": linked(answer.theorem),
        "described": _described(answer),
        "heads": [
            answer.axis,
            *(line.name for line in answer.lines),
            *(["simulated"] if _on_points(answer) else []),
        ],
        "numbers": _numbers(answer),
        "repeat": list(repeat),
    }
    return filled("plan.html.j2", context, [specification(answer)])


def write(answer: Answer, path: str | Path, repeat: Sequence[str] = ()) -> Path:
    """`render(answer)` as a file, whole or not at all. Raises `RunError` when it cannot be written."""
    return write_bytes(render(answer, repeat).encode("utf-8"), Path(path))


def worded(value: Any) -> str:
    """A value of an answer for a reader."""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        x = float(value)
        if x == np.inf:
            return "unlimited"
        return f"{x:,.0f}" if 1e3 <= abs(x) < 1e15 else number(x)
    if isinstance(value, list | tuple):
        shown = [worded(v) for v in value]
        return ", ".join(shown if len(shown) <= 12 else [*shown[:5], "...", *shown[-3:]])
    return str(value)


def specification(answer: Answer) -> dict[str, Any]:
    """The picture as a Vega-Lite object."""
    values = np.concatenate([line.values for line in answer.lines])
    log = bool((values > 0).all() and values.max() > 30 * values.min())
    steps = answer.axis == "generation"
    sweeping = not steps and answer.points.min() > 0 and answer.points.max() > 50 * answer.points.min()
    x = {
        "field": "x",
        "type": "quantitative",
        "title": answer.axis,
        "scale": {"type": "log" if sweeping else "linear", "nice": False, "zero": False},
        "axis": {"grid": False, "tickCount": 6} | ({"tickMinStep": 1, "format": "d"} if steps else {}),
    }
    y = {
        "field": "y",
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log"} if log else {"zero": False},
        "axis": {"labelExpr": "replace(format(datum.value, '.6~g'), 'e+', 'e')", "tickCount": 5},
    }
    names = [line.name for line in answer.lines]
    colour = {
        "field": "line",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": names, "range": [f"var(--key-{ROLES[line.role]})" for line in answer.lines]},
    }
    data = [
        {"x": float(a), "y": float(b), "line": line.name}
        for line in answer.lines
        for a, b in zip(answer.points, line.values, strict=True)
        if np.isfinite(b) and (b > 0 or not log)
    ]
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": data},
            "mark": {"type": "line", "strokeWidth": 2.2},
            "encoding": {"x": x, "y": y, "color": colour},
        }
    ]
    if answer.target is not None:
        rule = {"data": {"values": [{"y": float(answer.target), "name": "target"}]}, "encoding": {"y": y}}
        ink = {"color": "var(--ink)", "strokeDash": [5, 4], "strokeWidth": 1.4}
        text = {
            "type": "text",
            "align": "left",
            "x": 4,
            "dy": -6,
            "fontSize": 11,
            "fontStyle": "italic",
            "color": "var(--ink)",
        }
        layers += [
            {**rule, "mark": {"type": "rule", **ink}},
            {**rule, "mark": text, "encoding": {"y": y, "text": {"field": "name"}}},
        ]
    if _on_points(answer):
        found = answer.confirmation
        assert found is not None
        rows = [
            {"x": float(a), "y": float(m), "low": float(max(m - 2 * e, m * 1e-3)), "high": float(m + 2 * e)}
            for a, m, e in zip(answer.points, found.measured, found.standard_error, strict=True)
        ]
        layers += [
            {
                "data": {"values": rows},
                "mark": {"type": "rule", "color": "var(--ink)", "opacity": 0.6},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "point", "filled": True, "size": 26, "color": "var(--ink)", "opacity": 1},
                "encoding": {"x": x, "y": y},
            },
        ]
    return {
        "width": "container",
        "height": 300,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "description": _described(answer),
        "layer": layers,
    }


def _on_points(answer: Answer) -> bool:
    """Whether the simulation speaks about the points of the picture."""
    return answer.confirmation is not None and len(answer.confirmation.measured) == len(answer.points)


def _described(answer: Answer) -> str:
    ends = "; ".join(
        f"{line.name}: {number(line.values[0])} to {number(line.values[-1])}" for line in answer.lines
    )
    return f"{answer.quantity} by {answer.axis}. {ends}."


def _numbers(answer: Answer) -> list[list[str]]:
    measured = answer.confirmation.measured if _on_points(answer) and answer.confirmation else None
    rows = []
    for i, point in enumerate(answer.points):
        row = [worded(point.item()), *(number(float(line.values[i])) for line in answer.lines)]
        rows.append(row + ([number(float(measured[i]))] if measured is not None else []))
    return rows
