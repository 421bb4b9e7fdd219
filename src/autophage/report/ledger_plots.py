"""The charts of a comparison for a paper, with matplotlib: gain against cost, and fidelity against diversity."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autophage.report.ledger import Ledger
from autophage.report.plots import COLOURS, GREY, MARKS, STYLE
from autophage.report.shell import write_bytes


def pictures(ledger: Ledger, folder: str | Path) -> list[Path]:
    """Writes `gain.png` and, where both were measured, `plane.png`; the paths of the files."""
    found = []
    if ledger.points:
        found.append(_drawn(ledger, _gains, Path(folder) / "gain.png"))
    if ledger.walks:
        found.append(_drawn(ledger, _plane, Path(folder) / "plane.png"))
    return found


def _drawn(ledger: Ledger, draw: Callable[[Axes, Ledger], None], path: Path) -> Path:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.6))
        draw(figure.add_axes((0.13, 0.14, 0.83, 0.82)), ledger)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=200)
    return write_bytes(buffer.getvalue(), path)


def _gains(axes: Axes, ledger: Ledger) -> None:
    axes.axhline(0, color=GREY, linewidth=0.6)
    for p in ledger.points:
        colour, mark = COLOURS[p.key % len(COLOURS)], MARKS[p.key % len(MARKS)]
        if np.isfinite(p.low):
            axes.plot([p.cost, p.cost], [100 * p.low, 100 * p.high], color=colour, linewidth=1.2)
        axes.plot([p.cost], [100 * p.gain], mark, color=colour, markersize=5)
        axes.annotate(
            p.name, (p.cost, 100 * p.gain), (5, 3), textcoords="offset points", color=colour, fontsize=7
        )
    axes.margins(x=0.2)
    axes.set_xlabel(ledger.cost)
    axes.set_ylabel("gain over the plain loop (%)")


def _plane(axes: Axes, ledger: Ledger) -> None:
    for w in ledger.walks:
        colour, mark = COLOURS[w.key % len(COLOURS)], MARKS[w.key % len(MARKS)]
        axes.plot(w.diversity, w.fidelity, color=colour, linewidth=1.0, alpha=0.8, marker=".", markersize=3)
        axes.plot(w.diversity[-1:], w.fidelity[-1:], mark, color=colour, markersize=5)
        at = (w.diversity[-1], w.fidelity[-1])
        axes.annotate(w.name, at, (5, 3), textcoords="offset points", color=colour, fontsize=7)
    axes.margins(x=0.15)
    axes.set_xlabel(ledger.plane[1])
    axes.set_ylabel(ledger.plane[0])
