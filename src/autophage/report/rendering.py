"""`report.html`: one file that works offline, the verdict first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autophage.parts import Prediction
from autophage.report.courses import Chart, charts, keys, number, spaced, span
from autophage.report.descriptions import shown as described
from autophage.report.ecosystem import drawn as ecosystems
from autophage.report.exhibits import Film, blended, drift_caption, drifts, film, pairs, side_by_side
from autophage.report.gallery import layout
from autophage.report.judgement import shown as judgements
from autophage.report.ledger import cards as ledger_cards
from autophage.report.ledger import specifications as ledger_specifications
from autophage.report.montage import embedded
from autophage.report.page import Page
from autophage.report.shell import filled, linked, write_bytes
from autophage.report.vegalite import COLOURS, describe, hover_text, specification

MOST_ROWS = 60
"""Generations in the table behind a chart."""

DEFINITIONS = {
    "D1": "Catastrophic risk",
    "D2": "Any rise in risk",
    "D3": "Diverging risk",
    "D4": "Changed scaling law",
    "D5": "Collapsing variance",
    "D6": "Entangled modes",
    "D7": "Vanishing tails",
    "D8": "Hallucinated data",
}
"""The eight notions of collapse (Schaeffer et al. 2025), for verdicts that come without a name."""

_ICONS = {"yes": "▲", "no": "✓", "undecided": "?"}


@dataclass(frozen=True)
class Verdict:
    """One chip of the profile."""

    definition: str
    name: str
    verdict: str
    icon: str
    effect: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Theory:
    """One row of the theory table."""

    metric: str
    arms: str
    claim: str
    status: str
    statement: str
    source: str


def render(page: Page) -> str:
    """The page as HTML: the same text for the same page, whenever it is made."""
    return _rendered(page, film(page.arms))


def _rendered(page: Page, reel: Film | None) -> str:
    drawn = charts(page)
    named = keys(page)
    single = page.arms[0] if len(page.arms) == 1 else None
    profile = page.profile or (single.profile if single else None)
    cards = [_card(n, chart) for n, chart in enumerate(drawn)]
    readings = [card["reading"] for card in cards]
    context = {
        "page": page,
        "single": single is not None,
        "keys": [(n % COLOURS, key) for n, key in enumerate(named)],
        "arm_key": [
            next(n for n, key in enumerate(named) if key.arm == i) % COLOURS for i in range(len(page.arms))
        ],
        "sentence": (profile or {}).get("sentence") or _without(page),
        "regime": ((profile or {}).get("regime") or {}).get("sentence", ""),
        "verdicts": _verdicts(profile),
        "matrix": _matrix(page) if sum(bool(arm.profile) for arm in page.arms) > 1 else [],
        "all_notions": _all_notions(page, profile),
        "advice": _advice(page),
        "charts": cards,
        "reading": max(readings, key=readings.count, default=""),
        "undrawn": _undrawn(page, drawn),
        "bounded": any(c.side for chart in drawn for c in chart.curves),
        "predicted": any(chart.curves for chart in drawn),
        "galleries": layout(page.arms),
        "described": described(page.arms),
        "exhibits": [(e, embedded(e.content, "png")) for e in page.exhibits],
        "ecosystems": [ecosystems(e) for e in page.ecosystems],
        "film": reel,
        "side_by_side": side_by_side(page),
        "blended": blended(page),
        "neighbours": pairs(page.arms),
        "drifts": drifts(page.arms),
        "classed": any(arm.drift is not None and arm.drift.names for arm in page.arms),
        "drift_caption": drift_caption(page.arms),
        "judged": judgements(page.arms),
        "ledger": page.ledger,
        "ledger_cards": [] if page.ledger is None else ledger_cards(page.ledger, len(drawn)),
        "theories": _theories(page),
        "facts": [(label, value) for label, value in page.facts],
        "citations": [linked(text) for text in page.citations],
    }
    specified = [specification(chart) for chart in drawn]
    if page.ledger is not None:
        specified += ledger_specifications(page.ledger)
    return filled("page.html.j2", context, specified)


def write(page: Page, path: str | Path) -> Path:
    """`render(page)` as a file, whole or not at all, and its film beside it: `collapse.webp`, or `NAME-collapse.webp`
    for a page that is not called report. Raises `RunError` when they cannot be written."""
    path = Path(path)
    reel = film(page.arms)
    if reel is not None:
        name = "collapse" if path.stem == "report" else f"{path.stem}-collapse"
        write_bytes(reel.content, path.with_name(f"{name}.webp"))
    return write_bytes(_rendered(page, reel).encode("utf-8"), path)


def _without(page: Page) -> str:
    return "" if any(arm.profile for arm in page.arms) else "No verdict was asked of this run."


def _verdicts(profile: Mapping[str, Any] | None) -> list[Verdict]:
    return [_verdict(v) for v in (profile or {}).get("verdicts") or []]


def _all_notions(page: Page, profile: Mapping[str, Any] | None) -> bool:
    """Whether every definition of collapse has been asked, and nothing else."""
    asked = [p for p in (profile, *(arm.profile for arm in page.arms)) if p and p.get("verdicts")]
    return all({v.definition for v in _verdicts(p)} == set(DEFINITIONS) for p in asked)


def _verdict(v: Mapping[str, Any]) -> Verdict:
    definition = str(v.get("definition", ""))
    word = str(v.get("verdict", "undecided"))
    evidence = v.get("evidence") or ()
    return Verdict(
        definition=definition,
        name=str(v.get("name") or DEFINITIONS.get(definition, "")),
        verdict=word if word in _ICONS else "undecided",
        icon=_ICONS.get(word, "?"),
        effect=_effect(v.get("effect"), v.get("ci95")),
        evidence=tuple(map(str, [evidence] if isinstance(evidence, str) else evidence)),
    )


def _effect(effect: Any, interval: Any) -> str:
    if effect is None:
        return ""
    text = number(float(effect)) if isinstance(effect, (int, float, np.number)) else str(effect)
    ends = list(interval) if isinstance(interval, (Sequence, np.ndarray)) else []
    if len(ends) == 2 and all(e is not None and not np.isnan(e) for e in ends):
        text += f" [{number(ends[0])}, {number(ends[1])}]"
    return text


def _matrix(page: Page) -> list[tuple[str, str, list[Verdict | None]]]:
    """Definitions against arms, for a page that compares."""
    columns = [{v.definition: v for v in _verdicts(arm.profile)} for arm in page.arms if arm.profile]
    rows = list(dict.fromkeys(definition for column in columns for definition in column))
    return [
        (d, next(c[d].name for c in columns if d in c), [column.get(d) for column in columns]) for d in rows
    ]


def _advice(page: Page) -> dict[str, Any] | None:
    """One action: the page's own, else that of the first arm that has one."""
    arm = None if page.advice else next((a for a in page.arms if a.advice), None)
    advice = page.advice or (arm.advice if arm else None)
    if not advice:
        return None
    change = advice.get("change")
    if isinstance(change, Mapping):
        change = "\n".join(_flat(change))
    elif isinstance(change, Sequence) and not isinstance(change, str):
        change = "\n".join(map(str, change))
    return {
        "sentence": str(advice.get("sentence", "")),
        "change": "" if change is None else str(change),
        "expected": str(advice.get("expected") or ""),
        "arm": arm.name if arm and len(page.arms) > 1 else "",
    }


def _flat(change: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested keys as `--set` takes them: `workflow.kind: mix`."""
    lines = []
    for key, value in change.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append(
                f"{prefix}{key}: {value if isinstance(value, str) else json.dumps(value, default=str)}"
            )
    return lines


def _card(n: int, chart: Chart) -> dict[str, Any]:
    hints = {"lower": "↓ lower is better", "higher": "↑ higher is better"}
    said = [f"line: {chart.centre}" if chart.band or chart.drawn_lines else "", chart.band]
    reading = "; ".join(filter(None, [*said, "log scale" if chart.log else ""]))
    lengths = [s.generation for s in chart.series]
    generations = np.unique(np.concatenate(lengths))
    generations = generations[spaced(len(generations), MOST_ROWS)]
    rows = []
    for g in generations.tolist():
        cells = []
        for s in chart.series:
            at = np.flatnonzero(s.generation == g)
            cells.append((hover_text(s, int(at[0])), int(s.count[at[0]])) if len(at) else ("–", 0))
        theory = [number(c.value[c.generation == g][0]) if g in c.generation else "–" for c in chart.curves]
        rows.append((g, cells, theory))
    return {
        "id": f"chart-{n}",
        "metric": chart.metric,
        "title": chart.title,
        "hint": hints.get(chart.direction, ""),
        "reading": reading[:1].upper() + reading[1:],
        "spans": [(s.key % COLOURS, s.label, span(s.centre)) for s in chart.series],
        "description": describe(chart),
        "remarks": chart.remarks,
        "columns": [s.label for s in chart.series],
        "theory": [c.label for c in chart.curves],
        "rows": rows,
    }


def _undrawn(page: Page, drawn: Sequence[Chart]) -> list[str]:
    named = {m for arm in page.arms for m in arm.metrics["metric"].unique().to_list()}
    return sorted(named - {chart.metric for chart in drawn})


def _theories(page: Page) -> list[Theory]:
    """Every prediction once, with the arms it speaks of."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for arm in page.arms:
        for p in arm.predictions:
            row = (p.metric, _claim(p), _status(p), p.statement, p.source)
            rows.setdefault(row, []).append(arm.name)
    everyone = {arm.name for arm in page.arms}
    return [
        Theory(metric, "" if len(everyone) == 1 else ", ".join(dict.fromkeys(arms)), *rest)
        for (metric, *rest), arms in rows.items()
    ]


def _claim(p: Prediction) -> str:
    values = np.atleast_1d(np.asarray(p.values, dtype=np.float64))
    text = number(values[-1]) if p.quantity in ("threshold", "limit") else span(values)
    return " ".join(filter(None, [p.quantity.replace("_", " "), text, p.unit]))


def _status(p: Prediction) -> str:
    return f"{p.side} bound" if p.status == "bound" and p.side else p.status
