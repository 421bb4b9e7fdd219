"""The page of a sweep: what came out, its diagrams, the theory that is drawn in. One file that works offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autophage.parts import Prediction
from autophage.report.courses import number
from autophage.report.phase_specs import phase_description, phase_specification
from autophage.report.phases import Curves, Diagram, Map, drawn_kinds, table_of
from autophage.report.shell import filled, linked, write_bytes
from autophage.report.vegalite import COLOURS


@dataclass(frozen=True)
class PhasePage:
    """Everything on the page, ready to be drawn."""

    title: str
    diagrams: Sequence[Diagram]
    subtitle: str = ""
    status: str = "completed"
    findings: Sequence[str] = ()
    """What came out, in sentences; the first is the head of the page."""
    theories: Sequence[Prediction] = ()
    """What the drawn lines rest on."""
    notes: Sequence[str] = ()
    facts: Sequence[tuple[str, Any]] = ()
    repeat: Sequence[str] = ()
    spec_yaml: str = ""
    citations: Sequence[str] = ()


def render(page: PhasePage) -> str:
    """The page as HTML: the same text for the same page, whenever it is made."""
    names = [s.label for d in page.diagrams if isinstance(d, Curves) for s in d.strands if s.label]
    context = {
        "page": page,
        "charts": [_card(n, d) for n, d in enumerate(page.diagrams)],
        "keys": [(n % COLOURS, name) for n, name in enumerate(dict.fromkeys(names))],
        "kinds": drawn_kinds(page.diagrams),
        "coloured": any(isinstance(d, Map) for d in page.diagrams),
        "dashed": any(
            s.theory is not None for d in page.diagrams if isinstance(d, Curves) for s in d.strands
        ),
        "theories": [_theory(p) for p in page.theories],
        "facts": list(page.facts),
        "citations": [linked(text) for text in page.citations],
    }
    return filled("phase.html.j2", context, [phase_specification(d) for d in page.diagrams])


def write(page: PhasePage, path: str | Path) -> Path:
    """`render(page)` as a file, whole or not at all. Raises `RunError` when it cannot be written."""
    return write_bytes(render(page).encode("utf-8"), Path(path))


def _card(n: int, diagram: Diagram) -> dict[str, Any]:
    card: dict[str, Any] = {
        "id": f"chart-{n}",
        "metric": diagram.metric,
        "title": diagram.title,
        "description": phase_description(diagram),
        "remarks": diagram.remarks,
    }
    if isinstance(diagram, Map):
        columns, rows = table_of(diagram)
        reading = "Colour on a log scale" if diagram.log else "Colour on a plain scale"
        corner = f"{diagram.y.title} \\ {diagram.x.title}"
        return {
            **card,
            "facet": diagram.facet,
            "reading": reading,
            "corner": corner,
            "columns": columns,
            "rows": rows,
        }
    columns = [s.label or "measured" for s in diagram.strands]
    rows = []
    for i, value in enumerate(diagram.x.values.tolist()):
        name = diagram.x.words[i] if diagram.x.words else number(value)
        rows.append((name, [_strand_cell(s, i) for s in diagram.strands]))
    reading = (
        "Log scale; bars: 95 % interval of the mean" if diagram.log else "Bars: 95 % interval of the mean"
    )
    return {
        **card,
        "facet": "",
        "reading": reading,
        "corner": diagram.x.title,
        "columns": columns,
        "rows": rows,
    }


def _strand_cell(strand: Any, i: int) -> str:
    text = number(float(strand.mean[i]))
    if strand.theory is not None and np.isfinite(strand.theory[i]):
        text += f" ({number(float(strand.theory[i]))})"
    return text


def _theory(p: Prediction) -> dict[str, str]:
    side = f"{p.side} bound" if p.status == "bound" and p.side else p.status
    claim = p.quantity.replace("_", " ")
    if p.quantity == "threshold":
        claim = f"threshold {number(float(np.atleast_1d(p.values)[0]))} {p.unit}".strip()
    return {"metric": p.metric, "claim": claim, "status": side, "statement": p.statement, "source": p.source}
