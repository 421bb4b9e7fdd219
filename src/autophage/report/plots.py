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
from autophage.report.animation import animation
from autophage.report.courses import Chart, charts, keys, number
from autophage.report.gallery import columns, heads, limits, ranked, real_columns, tallest, trace
from autophage.report.labels import labels
from autophage.report.montage import gap, montage
from autophage.report.page import Gallery, Page
from autophage.report.shell import write_bytes

COLOURS = (
    *("#0b72b2", "#c2510a", "#007f5f", "#9a4c95", "#94700a"),
    *("#5a6570", "#b3123f", "#3d3fa6", "#5c7a00", "#0f7c86"),
)
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
LARGEST_GIF = 4_000_000
"""Bytes."""


def figures(page: Page, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes `courses.*`, `gallery.*` where there are samples to see, and `neighbours.*` where pictures have them,
    into `folder`; the paths of the files. The format gif is for the film alone: `collapse.gif`.

    The same page gives the same bytes. Raises `DataError` for a format other than png, svg, pdf and gif,
    `RunError` when the folder cannot be written.
    """
    unknown = [f for f in formats if f not in (*FORMATS, "gif")]
    if unknown:
        raise DataError(f"figures can be png, svg, pdf or gif, not {', '.join(map(repr, unknown))}")
    written = []
    drawings = {"courses": _courses, "gallery": _gallery, "neighbours": _neighbours}
    with matplotlib.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw(page) if set(formats) & set(FORMATS) else None
            if figure is not None:
                figure.draw_without_rendering()
                figure.set_layout_engine(None)  # laid out once, not again for every format
                written += [_save(figure, Path(folder) / f"{name}.{f}", f) for f in formats if f in FORMATS]
    if "gif" in formats and (film := animation(page.arms, "gif", LARGEST_GIF)) is not None:
        written.append(write_bytes(film, Path(folder) / "collapse.gif"))
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


def _gallery(page: Page) -> Figure | None:
    """Columns are the generations, rows the arms, or in each arm the draws of noise (images); tables stay with the
    page."""
    arms = page.arms
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
    """A block for the real images and for each arm: columns are generations (real: classes), rows draws of noise."""
    first = galleries[0][1]
    blocks: list[tuple[str, list[np.ndarray], list[str], Sequence[str]]] = []
    if first.real is not None:
        names, pictures = zip(*real_columns(first), strict=True)
        blocks.append(("real", list(pictures), list(names), ()))
    for name, gallery in galleries:
        shown = columns(gallery)
        numbers = [str(gallery.generations[i]) for i in shown]
        blocks.append((name, [trace(gallery, int(i)) for i in shown], numbers, heads(gallery)))
    across = max(len(stacks) for _, stacks, _, _ in blocks)
    deep = [max(len(stack) for stack in stacks) for _, stacks, _, _ in blocks]
    figure = Figure(
        figsize=(0.42 * max(across, 4) + 0.7, 0.46 * sum(deep) + 0.3 * len(deep) + 0.25), layout="constrained"
    )
    lines = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=deep)[:, 0]
    for axes, (name, stacks, names, rows) in zip(lines, blocks, strict=True):
        _block(axes, stacks, across)
        axes.set_ylabel(_plain(name), fontsize=7.5)
        axes.set_xticks(_middles(stacks[0], 2, len(names)), list(map(_plain, names)), fontsize=6.5)
        axes.set_yticks(_middles(stacks[0], 1, len(rows)), list(map(_plain, rows)), fontsize=6.5)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
    figure.supxlabel("generation", fontsize=8)
    return figure


def _block(axes: Axes, stacks: Sequence[np.ndarray], across: int) -> None:
    """Columns of pictures as one picture, with room for `across` of them."""
    sheets = [montage(stack, 1) for stack in stacks]
    width, space = sheets[0].shape[1], gap(stacks[0].shape[1:])
    sheet = np.zeros((max(map(len, sheets)), across * (width + space) - space, 4), dtype=np.uint8)
    for i, part in enumerate(sheets):
        sheet[: len(part), i * (width + space) : i * (width + space) + width] = part
    axes.imshow(sheet, interpolation="nearest")


def _middles(stack: np.ndarray, axis: int, count: int) -> list[float]:
    """Where the middles of `count` pictures like those of a stack (n, h, w) lie on a sheet, along its axis."""
    size = stack.shape[axis]
    return [k * (size + gap(stack.shape[1:])) + (size - 1) / 2 for k in range(count)]


def _neighbours(page: Page) -> Figure | None:
    """Rows are arms and generations, columns generated pictures, each above its nearest real one."""
    lines = [
        (arm.name, found, i)
        for arm in page.arms
        if (found := arm.neighbours) is not None
        for i in range(len(found.generations))
    ]
    if not lines:
        return None
    across = max(found.pictures.shape[1] for _, found, _ in lines)
    figure = Figure(figsize=(0.5 * across + 0.8, 1.3 * len(lines) + 0.3), layout="constrained")
    for axes, (name, found, i) in zip(
        figure.subplots(len(lines), 1, squeeze=False)[:, 0], lines, strict=True
    ):
        pairs = [np.stack(pair) for pair in zip(found.pictures[i], found.real[i], strict=True)]
        _block(axes, pairs, across)
        words = [
            f"{number(float(r), 2)}{' copy' if c else ''}"
            for r, c in zip(found.relative[i], found.copied[i], strict=True)
        ]
        axes.set_xticks(_middles(pairs[0], 2, len(words)), words, fontsize=6.5)
        axes.set_yticks([])
        arm = f"{_plain(name)}\n" if len(page.arms) > 1 else ""
        axes.set_ylabel(f"{arm}generation {found.generations[i]}", fontsize=7)
        axes.tick_params(length=0, pad=2)
        axes.spines[:].set_visible(False)
    figure.supxlabel(
        "above: generated, below: the nearest real picture; distance relative to held-out ones", fontsize=7
    )
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
