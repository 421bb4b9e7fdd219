"""The diagrams of a sweep with matplotlib: one picture, at full resolution."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke, withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter

from autophage.report.courses import number
from autophage.report.phases import Curves, Diagram, Line, Map, Side, named_at
from autophage.report.plots import COLOURS, INK, MARKS, STYLE
from autophage.report.shell import write_bytes

_WIDTH = {"boundary": 2.0, "level": 1.0, "threshold": 1.2}
_DASHES = {"boundary": "-", "level": (0, (4, 3)), "threshold": (0, (1.5, 2))}


def picture(diagrams: Sequence[Diagram], path: str | Path) -> Path:
    """All diagrams in one PNG; the same diagrams give the same bytes. Raises `RunError` when it cannot be written."""
    across = min(2, len(diagrams))
    rows = -(-len(diagrams) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * across, 2.9 * rows), layout="constrained")
        grid = figure.subplots(rows, across, squeeze=False).ravel()
        for axes in grid[len(diagrams) :]:
            axes.remove()
        for axes, diagram in zip(grid, diagrams, strict=False):
            if isinstance(diagram, Map):
                _map(figure, axes, diagram)
            else:
                _curves(axes, diagram)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=200, metadata={"Software": None})
    return write_bytes(content.getvalue(), Path(path))


def _map(figure: Figure, axes: Axes, drawn: Map) -> None:
    norm = LogNorm(*drawn.domain) if drawn.log else Normalize(*drawn.domain)
    mesh = axes.pcolormesh(
        drawn.x.edges,
        drawn.y.edges,
        np.ma.masked_invalid(drawn.value),
        norm=norm,
        cmap="viridis",
        rasterized=True,
    )
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=28)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=7, width=0.5, length=2)
    _scaled(axes, drawn.x, drawn.y)
    _lines(axes, drawn.lines, drawn.x, drawn.y, "white", "#14171a")
    title = drawn.title + (f" ({drawn.facet})" if drawn.facet else "")
    axes.set_title(_plain(title), loc="left", fontsize=8)


def _curves(axes: Axes, drawn: Curves) -> None:
    at = np.arange(len(drawn.x.words)) if drawn.x.words else drawn.x.values
    for n, s in enumerate(drawn.strands):
        style: dict[str, Any] = {
            "color": COLOURS[n % len(COLOURS)],
            "marker": MARKS[n % len(MARKS)],
            "markersize": 3.5,
        }
        half = np.where(np.isfinite(s.error), 1.96 * s.error, 0.0)
        line = "none" if drawn.x.words else "-"
        axes.errorbar(
            at, s.mean, half, lw=1.5, elinewidth=0.7, ls=line, label=_plain(s.label) or None, **style
        )
        if s.theory is not None:
            mark: dict[str, Any] = (
                {"marker": "_", "ls": "none", "ms": 12} if drawn.x.words else {"dashes": (4, 3)}
            )
            axes.plot(at, s.theory, color=INK, lw=0.9, **mark)
    low, high = drawn.domain
    if drawn.log:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    if drawn.x.words:
        axes.set_xticks(at, [_plain(w) for w in drawn.x.words])
        axes.set_xlabel(_plain(drawn.x.title))
        axes.margins(x=0.2)
    else:
        _scaled(axes, drawn.x, None)
        _lines(axes, drawn.lines, drawn.x, Side("", np.array([low, high]), drawn.log), INK, "white")
    if any(s.label for s in drawn.strands):
        axes.legend(fontsize=6.5)
    axes.grid(axis="y", lw=0.4, color="#e3e5e8")
    axes.set_axisbelow(True)
    axes.set_title(_plain(drawn.title), loc="left", fontsize=8)


def _scaled(axes: Axes, x: Side, y: Side | None) -> None:
    for side, axis, scale, label in (
        (x, axes.xaxis, axes.set_xscale, axes.set_xlabel),
        (y, axes.yaxis, axes.set_yscale, axes.set_ylabel),
    ):
        if side is None:
            continue
        if side.log:
            scale("log")
            axis.set_major_formatter(FuncFormatter(lambda v, _: number(float(v), 3)))
            axis.set_minor_formatter(NullFormatter())
        label(_plain(side.title))
    axes.set_xlim(x.edges[0], x.edges[-1])
    if y is not None:
        axes.set_ylim(y.edges[0], y.edges[-1])


def _lines(axes: Axes, lines: Sequence[Line], x: Side, y: Side, ink: str, rim: str) -> None:
    for line in lines:
        effects = [Stroke(linewidth=_WIDTH[line.kind] + 1.2, foreground=rim, alpha=0.5), Normal()]
        for piece in line.pieces:
            drawn = axes.plot(
                piece[:, 0], piece[:, 1], color=ink, lw=_WIDTH[line.kind], ls=_DASHES[line.kind]
            )
            drawn[0].set_path_effects(effects)
        at = named_at(line, x, y)
        text = axes.annotate(
            _plain(line.label), at, (0, 5), textcoords="offset points", fontsize=6.5, style="italic"
        )
        text.set(ha="center", color=ink, path_effects=[withStroke(linewidth=2, foreground=rim, alpha=0.6)])


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
