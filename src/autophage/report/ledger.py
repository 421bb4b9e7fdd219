"""What the arms of a comparison gained and cost, as a table and two charts: gain against cost, and fidelity against
diversity over the generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.report.courses import number
from autophage.report.vegalite import COLOURS


@dataclass(frozen=True)
class Entry:
    """One arm, ready to be read."""

    key: int
    """Which arm of the page."""
    name: str
    gain: str
    risk: str
    cells: Sequence[str]
    knows: str = ""
    blind: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Point:
    """One arm in the plane of cost and gain."""

    key: int
    name: str
    cost: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Walk:
    """One arm in the plane of fidelity and diversity, generation by generation."""

    key: int
    name: str
    generations: Sequence[int]
    fidelity: Sequence[float]
    diversity: Sequence[float]


@dataclass(frozen=True)
class Ledger:
    """A comparison."""

    sentence: str
    """What came out, in one sentence."""
    matching: str
    """How the budgets were matched."""
    risk: str
    columns: Sequence[str]
    rows: Sequence[Entry]
    points: Sequence[Point] = ()
    cost: str = ""
    """What the horizontal axis of `points` counts."""
    walks: Sequence[Walk] = ()
    plane: tuple[str, str] = ("precision", "recall")


def cards(ledger: Ledger, first: int) -> list[dict[str, str]]:
    """What the page says about the charts; the first has this number."""
    found = []
    if ledger.points:
        told = "; ".join(f"{p.name}: gain {number(p.gain)} at {number(p.cost)}" for p in ledger.points)
        found.append(("Gain against cost", f"{ledger.cost}, whole run", told))
    if ledger.walks:
        told = "; ".join(
            f"{w.name}: from {number(w.fidelity[0])}, {number(w.diversity[0])} to {number(w.fidelity[-1])}, "
            f"{number(w.diversity[-1])}"
            for w in ledger.walks
        )
        found.append(("Fidelity and diversity", "large mark: last generation", told))
    return [
        {"id": f"chart-{first + n}", "title": title, "hint": hint, "description": f"{title}. {told}."}
        for n, (title, hint, told) in enumerate(found)
    ]


def specifications(ledger: Ledger) -> list[dict[str, Any]]:
    """The charts' Vega-Lite objects, in the order of `cards`."""
    found = []
    if ledger.points:
        found.append(_gains(ledger))
    if ledger.walks:
        found.append(_walks(ledger))
    return found


def _shell(layers: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "width": "container",
        "height": 300,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        "data": {"values": rows},
        "layer": layers,
    }


def _axis(field: str, title: str, zero: bool, percent: bool = False) -> dict[str, Any]:
    axis = {"format": ".0%" if percent else "~s", "tickCount": 5}
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": zero, "padding": 14},
        "axis": axis,
    }


def _colour(named: Sequence[Any]) -> dict[str, Any]:
    return {
        "field": "s",
        "type": "nominal",
        "legend": None,
        "scale": {
            "domain": [p.name for p in named],
            "range": [f"var(--key-{p.key % COLOURS})" for p in named],
        },
    }


def _name(x: dict[str, Any], y: dict[str, Any], **mark: Any) -> dict[str, Any]:
    said = {"type": "text", "align": "left", "dx": 8, "dy": -6, "fontSize": 11, "color": "var(--ink)", **mark}
    return {"mark": said, "encoding": {"x": x, "y": y, "text": {"field": "s"}}}


def _gains(ledger: Ledger) -> dict[str, Any]:
    rows = [
        {"s": p.name, "c": _short(p.cost), "v": _short(p.gain), "lo": _short(p.low), "hi": _short(p.high)}
        for p in ledger.points
    ]
    x, y = _axis("c", ledger.cost, False), _axis("v", "gain over the plain loop", True, True)
    colour = _colour(ledger.points)
    bars = {
        "transform": [{"filter": "isValid(datum.lo)"}],
        "mark": {"type": "rule", "strokeWidth": 1.4, "opacity": 0.6},
        "encoding": {"x": x, "y": {**y, "field": "lo"}, "y2": {"field": "hi"}, "color": colour},
    }
    marks = {
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
        "encoding": {"x": x, "y": y, "color": colour},
    }
    return _shell([bars, marks, _name(x, y)], rows)


def _walks(ledger: Ledger) -> dict[str, Any]:
    rows = [
        {"s": w.name, "g": g, "f": _short(f), "d": _short(d), "last": g == w.generations[-1]}
        for w in ledger.walks
        for g, f, d in zip(w.generations, w.fidelity, w.diversity, strict=True)
    ]
    x, y = _axis("d", ledger.plane[1], False), _axis("f", ledger.plane[0], False)
    x["axis"], y["axis"] = ({"format": ".2f", "tickCount": 5} for _ in range(2))
    colour = _colour(ledger.walks)
    path = {
        "mark": {"type": "line", "strokeWidth": 1.6, "opacity": 0.8, "point": {"size": 18, "filled": True}},
        "encoding": {"x": x, "y": y, "color": colour, "order": {"field": "g"}},
    }
    ends = {
        "transform": [{"filter": "datum.last"}],
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
        "encoding": {"x": x, "y": y, "color": colour},
    }
    names = {**_name(x, y), "transform": [{"filter": "datum.last"}]}
    return _shell([path, ends, names], rows)


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
