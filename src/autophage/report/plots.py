"""Figures for a paper: the page's courses and gallery with matplotlib, as PNG, SVG and PDF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from autophage.errors import DataError
from autophage.report.courses import Chart, charts, keys
from autophage.report.gallery import as_bytes, block, columns, image_range, limits, montage, ranked, tallest
from autophage.report.labels import labels
from autophage.report.page import Arm, Gallery, Page
from autophage.report.shell import write_bytes

COLOURS = ("#0b72b2", "#c2510a", "#007f5f", "#9a4c95", "#94700a", "#5a6570")
MARKS = ("o", "s", "^", "D", "P", "v")
INK, GREY = "#1b1f24", "#8a929c"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "autophage",
    "savefig.dpi": 300,
}
FORMATS = ("png", "svg", "pdf")


def figures(page: Page, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes `courses.*`, and `gallery.*` where there are pictures, into `folder`; the paths of the files.

    The same page gives the same bytes. Raises `DataError` for a format other than png, svg and pdf,
    `RunError` when the folder cannot be written.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise DataError(f"figures can be png, svg or pdf, not {', '.join(map(repr, unknown))}")
    written = []
    with matplotlib.rc_context(STYLE):
        for name, figure in (("courses", _courses(page)), ("gallery", _gallery(page.arms))):
            if figure is not None:
                figure.draw_without_rendering()
                figure.set_layout_engine(None)  # laid out once, not again for every format
                written += [_save(figure, Path(folder) / f"{name}.{f}", f) for f in formats]
    return written


def _save(figure: Figure, path: Path, form: str) -> Path:
    dated: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }
    content = io.BytesIO()
    figure.savefig(content, format=form, metadata=dated[form])
    return write_bytes(content.getvalue(), path)


def _courses(page: Page) -> Figure | None:
    drawn = charts(page)
    if not drawn:
        return None
    across = min(3, len(drawn))
    rows = -(-len(drawn) // across)
    figure = Figure(figsize=(2.35 * across if across > 1 else 3.4, 1.95 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False).ravel()
    for axes in grid[len(drawn) :]:
        axes.remove()
    for axes, chart in zip(grid, drawn, strict=False):
        _draw(axes, chart)
    named = keys(page)
    if len(named) > 1:
        handles = [
            Line2D(
                [],
                [],
                color=COLOURS[n % len(COLOURS)],
                marker=MARKS[n % len(MARKS)],
                markersize=4,
                linewidth=1.6,
            )
            for n in range(len(named))
        ]
        figure.legend(
            handles, [_plain(k.label) for k in named], loc="outside upper left", ncols=min(4, len(named))
        )
    return figure


def _draw(axes: Axes, chart: Chart) -> None:
    low, high = chart.domain
    if chart.log:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    for c in chart.curves:
        if c.side and len(chart.series) == 1:
            axes.fill_between(
                c.generation, c.value, high if c.side == "upper" else low, color=INK, alpha=0.06, lw=0
            )
    for s in chart.series:
        colour = COLOURS[s.key % len(COLOURS)]
        floor = low if chart.log else -np.inf
        axes.fill_between(
            s.generation, np.maximum(s.low, floor), np.maximum(s.high, floor), color=colour, alpha=0.16, lw=0
        )
        if s.inner is not None:
            inner = [np.maximum(edge, floor) for edge in s.inner]
            axes.fill_between(s.generation, *inner, color=colour, alpha=0.22, lw=0)
        if s.lines is not None:
            axes.plot(s.generation, s.lines.T, color=colour, lw=0.5, alpha=0.45)
        if s.median is not None:
            axes.plot(s.generation, s.median, color=colour, lw=0.8)
        mark = MARKS[s.key % len(MARKS)] if len(s.generation) <= 26 else None
        axes.plot(
            s.generation, s.centre, color=colour, lw=1.6, marker=mark, markersize=3, clip_on=mark is None
        )
    for c in chart.curves:
        axes.plot(c.generation, c.value, color=INK, lw=0.9, dashes=(4, 3))
    for label in labels(chart, width=0.023, height=0.07):
        text = axes.text(label.generation, label.value, _plain(label.text), fontsize=6.5, style="italic")
        text.set(ha="center", va="center", path_effects=[withStroke(linewidth=2, foreground="white")])
    hint = {"lower": "lower is better", "higher": "higher is better"}.get(chart.direction, "")
    axes.set_title(_plain(chart.title), loc="left")
    if hint:
        axes.set_title(hint, loc="right", fontsize=6.5, color=GREY)
    axes.set_xlabel("generation")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", lw=0.4, color="#e3e5e8")
    axes.set_axisbelow(True)


def _gallery(arms: Sequence[Arm]) -> Figure | None:
    """Rows are the real records (images) and the arms, columns the generations; tables stay with the page."""
    pairs = [(n, arm.name, arm.gallery) for n, arm in enumerate(arms) if arm.gallery is not None]
    kind = next((g.kind for _, _, g in pairs if g.kind != "table"), None)
    pairs = [pair for pair in pairs if pair[2].kind == kind]
    if not pairs:
        return None
    if kind == "images":
        return _images([(name if len(arms) > 1 else "generated", gallery) for _, name, gallery in pairs])
    across = max(len(columns(g)) for _, _, g in pairs)
    figure = Figure(figsize=(0.72 * across + 0.5, 0.72 * len(pairs) + 0.3), layout="constrained")
    grid = figure.subplots(len(pairs), across, squeeze=False)
    view = limits(arms) if kind == "clouds" else None
    top = tallest(arms) if kind == "bars" else 1.0
    for line, (n, name, gallery) in zip(grid, pairs, strict=True):
        line[0].set_ylabel(_plain(name if len(arms) > 1 else "generated"), fontsize=7.5)
        shown = columns(gallery)
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(kind == "clouds")
        for axes in line[len(shown) :]:
            axes.set_visible(False)
        for axes, i in zip(line, shown, strict=False):
            _picture(axes, gallery, int(i), COLOURS[n % len(COLOURS)], view, top)
            axes.set_xlabel(str(gallery.generations[i]), fontsize=7, labelpad=2)
    figure.supxlabel("generation", fontsize=8)
    return figure


def _images(galleries: Sequence[tuple[str, Gallery]]) -> Figure:
    """One row of montages for the real images and for each arm."""
    first = galleries[0][1]
    across = max(len(columns(g)) for _, g in galleries)
    rows: list[tuple[str, list[np.ndarray], list[str]]] = []
    if first.real is not None:
        size = block(np.shape(first.real)[1:3])[1]
        real = as_bytes(np.asarray(first.real), image_range(first))
        starts = range(0, min(len(real), size * across), size)
        whole = [montage(real[s : s + size]) for s in starts if s + size <= len(real) or s == 0]
        rows.append(("real", whole, [""] * len(whole)))
    for name, gallery in galleries:
        shown = columns(gallery)
        sheets = [montage(as_bytes(np.asarray(gallery.samples[i]), image_range(gallery))) for i in shown]
        rows.append((name, sheets, [str(gallery.generations[i]) for i in shown]))
    height, width = np.max([sheet.shape[:2] for _, sheets, _ in rows for sheet in sheets], axis=0)
    gap = width // 6
    tall = 0.72 * height / width
    figure = Figure(figsize=(0.78 * across + 0.3, (tall + 0.16) * len(rows) + 0.25), layout="constrained")
    for axes, (name, sheets, names) in zip(
        figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True
    ):
        strip = np.zeros((height, across * (width + gap) - gap, 4), dtype=np.uint8)
        for i, sheet in enumerate(sheets):
            left = i * (width + gap)
            strip[: sheet.shape[0], left : left + sheet.shape[1]] = sheet
        axes.imshow(strip, interpolation="nearest")
        axes.set_ylabel(_plain(name), fontsize=7.5)
        axes.set_yticks([])
        axes.set_xticks([i * (width + gap) + width / 2 for i in range(len(names))], names, fontsize=7)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
    figure.supxlabel("generation", fontsize=8)
    return figure


def _picture(axes: Axes, gallery: Gallery, i: int, colour: str, view: Any, top: float) -> None:
    if gallery.kind == "clouds":
        low, high = view
        for points, c, size in ((gallery.real, "#c9cdd2", 1.0), (gallery.samples[i], colour, 1.2)):
            if points is not None:
                shown = np.asarray(points)[:400]
                axes.scatter(shown[:, 0], shown[:, 1], s=size, color=c, linewidths=0, rasterized=True)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
    else:
        p, truth = ranked(gallery)
        edges = np.arange(p.shape[1] + 1)
        axes.stairs(p[i], edges, fill=True, color=colour, alpha=0.8)
        if truth is not None:
            axes.stairs(truth, edges, color=INK, lw=0.7)
        axes.set_ylim(0, 1.03 * top)


def _plain(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
