"""Samples generation by generation, as pictures that need no script.

Images stand in columns, one for each generation, and rows, one for each draw of noise, so that the eye follows one
picture through the generations. Clouds and bars are small SVG drawings in the page's own colours. All arms share
the real pictures and one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.report.courses import number, spaced
from autophage.report.montage import address, as_bytes, fitted, montage, spread_of
from autophage.report.page import Arm, Gallery

MOST_COLUMNS = 10
"""Generations shown side by side."""
MOST_TRACED = 8
"""Pictures followed through the generations."""
MOST_CLASSES = 12
"""The same, where there is one for each class."""
DEEP = 3
"""Real pictures in a column."""
MOST_POINTS = 400
MOST_BARS = 160
MOST_ROWS = 6
SIDE = 100
"""Width and height of a cloud's or bar chart's drawing, in its own units."""
SAME_NOISE = "Each row begins with the same noise in every generation."


@dataclass(frozen=True)
class Cell:
    """One generation of one arm: a picture (`data:` address), a drawing (SVG text) or a table's rows."""

    name: str
    alt: str
    picture: str = ""
    drawing: str = ""
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Strip:
    """The cells of one arm, or of the real records (`key` None)."""

    title: str
    key: int | None
    cells: tuple[Cell, ...]
    columns: Sequence[str] = ()
    heads: Sequence[str] = ()
    """The names of the rows of pictures."""


@dataclass(frozen=True)
class Shown:
    """A gallery as the page lays it out: strips of one kind."""

    kind: str
    strips: tuple[Strip, ...]
    caption: str


def layout(arms: Sequence[Arm]) -> list[Shown]:
    """The galleries of all arms, grouped by kind."""
    kinds = list(dict.fromkeys(arm.gallery.kind for arm in arms if arm.gallery is not None))
    return [_shown(kind, arms) for kind in kinds]


def columns(gallery: Gallery) -> np.ndarray:
    """Which positions of a gallery are shown."""
    return spaced(len(gallery.generations), MOST_COLUMNS)


def image_range(gallery: Gallery) -> tuple[float, float]:
    """The values drawn black and white."""
    if gallery.value_range is not None:
        return gallery.value_range
    return spread_of(gallery.samples if gallery.real is None else gallery.real)


def traced(gallery: Gallery) -> np.ndarray:
    """Which pictures are followed through the generations: the first of each class where models were asked for
    classes, else the first few."""
    if gallery.label is None:
        return np.arange(min(MOST_TRACED, np.shape(gallery.samples)[1]))
    first = np.sort(np.unique(np.asarray(gallery.label), return_index=True)[1])
    return first[:MOST_CLASSES]


def heads(gallery: Gallery) -> list[str]:
    """What the traced pictures are called: their classes, where they have any."""
    return [] if gallery.label is None else [gallery.named(gallery.label[i]) for i in traced(gallery)]


def trace(gallery: Gallery, i: int) -> np.ndarray:
    """The traced pictures of the gallery's i-th generation, as bytes (rows, h, w[, 3])."""
    return fitted(as_bytes(np.asarray(gallery.samples[i])[traced(gallery)], image_range(gallery)))


def real_columns(gallery: Gallery, across: int = MOST_COLUMNS) -> list[tuple[str, np.ndarray]]:
    """Real pictures in columns of three, each with its name: a column for each class where classes are known."""
    real = np.asarray(gallery.real)
    if gallery.real_label is None:
        count = max(1, min(across, len(real) // DEEP))
        chosen = [("", np.arange(c * DEEP, min(len(real), (c + 1) * DEEP))) for c in range(count)]
    else:
        label = np.asarray(gallery.real_label)
        known = np.unique(label)[:across]
        chosen = [(gallery.named(k), np.flatnonzero(label == k)[:DEEP]) for k in known]
    bounds = image_range(gallery)
    return [(name, fitted(as_bytes(real[rows], bounds))) for name, rows in chosen]


def limits(arms: Sequence[Arm]) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the shared view of all clouds: nearly all real and generated points."""
    clouds = [a.gallery for a in arms if a.gallery is not None and a.gallery.kind == "clouds"]
    parts = [
        np.asarray(x, dtype=np.float64).reshape(-1, 2) for c in clouds for x in (c.real,) if x is not None
    ]
    parts += [np.asarray(c.samples, dtype=np.float64)[columns(c)].reshape(-1, 2) for c in clouds]
    found = []
    for points in parts:
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            found.append(np.quantile(points, [0.005, 0.995], axis=0))
    if not found:
        return np.full(2, -1.0), np.full(2, 1.0)
    low = np.min([f[0] for f in found], axis=0)
    high = np.max([f[1] for f in found], axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 1.0)
    return low - margin, high + margin


def ranked(gallery: Gallery) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities (G, K') and the truth (K',): beyond `MOST_BARS` symbols, neighbours summed."""
    p = np.nan_to_num(np.asarray(gallery.samples, dtype=np.float64))
    truth = None if gallery.real is None else np.nan_to_num(np.asarray(gallery.real, dtype=np.float64))
    if p.shape[1] > MOST_BARS:
        edges = np.linspace(0, p.shape[1], MOST_BARS + 1).astype(int)[:-1]
        p = np.add.reduceat(p, edges, axis=1)
        truth = None if truth is None else np.add.reduceat(truth, edges)
    return p, truth


def tallest(arms: Sequence[Arm]) -> float:
    """The top of the shared scale of all bars."""
    top = 0.0
    for arm in arms:
        if arm.gallery is not None and arm.gallery.kind == "bars":
            p, truth = ranked(arm.gallery)
            top = max(top, float(p.max()), 0.0 if truth is None else float(truth.max()))
    return top or 1.0


def _shown(kind: str, arms: Sequence[Arm]) -> Shown:
    pairs = [(n, arm, arm.gallery) for n, arm in enumerate(arms) if arm.gallery is not None]
    pairs = [(n, arm, g) for n, arm, g in pairs if g.kind == kind]
    captions = dict.fromkeys(g.caption for _, _, g in pairs if g.caption)
    if kind == "clouds":
        captions["The real records lie behind each cloud in grey."] = None
    if kind == "bars":
        captions["The line is the truth."] = None
    # Pictures that are shown with their captions are shown there.
    traces = [(n, arm, g) for n, arm, g in pairs if kind != "images" or arm.said is None]
    if kind == "images" and any(g.noise for _, _, g in traces):
        captions[SAME_NOISE] = None
        if any(g.label is not None for _, _, g in traces):
            captions["Models were asked for the class that is named on its left."] = None
    strips = []
    first = pairs[0][2]
    if first.real is not None and kind == "images":
        real = tuple(
            Cell(name, f"real pictures{f' of class {name}' if name else ''}", picture=stacked(pictures))
            for name, pictures in real_columns(first)
        )
        strips.append(Strip("Real", None, real))
    if first.real is not None and kind == "table":
        rows = _texts(first.real)
        strips.append(Strip("Real", None, (Cell("real", "real rows", rows=rows),), tuple(first.columns)))
    view = limits(arms) if kind == "clouds" else tallest(arms) if kind == "bars" else None
    for n, arm, gallery in traces:
        shown = list(columns(gallery))
        if kind == "table":
            shown = [shown[i] for i in spaced(len(shown), 3)]
        cells = tuple(_cell(gallery, i, arm.name, view) for i in shown)
        named = tuple(gallery.columns) if kind == "table" else ()
        strips.append(Strip(arm.name, n, cells, named, heads(gallery) if kind == "images" else ()))
    return Shown(kind, tuple(strips), " ".join(captions))


def stacked(pictures: np.ndarray, across: int = 1) -> str:
    """Pictures below each other as a `data:` address."""
    return address(montage(pictures, across), max(pictures.shape[1:3]))


def _cell(gallery: Gallery, i: int, arm: str, view: Any) -> Cell:
    generation = str(gallery.generations[i])
    alt = f"samples of generation {generation}, {arm}"
    if gallery.kind == "images":
        named = heads(gallery)
        alt += f", of classes {', '.join(named)}" if named else ""
        alt += ", each from the same noise as in the other generations" if gallery.noise else ""
        return Cell(generation, alt, picture=stacked(trace(gallery, i)))
    if gallery.kind == "clouds":
        return Cell(generation, alt, drawing=_cloud(gallery, i, *view))
    if gallery.kind == "bars":
        return Cell(generation, alt, drawing=_bars(gallery, i, view))
    return Cell(generation, alt, rows=_texts(gallery.samples[i]))


def dots(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """The points inside the view as one SVG path of round dots."""
    points = np.asarray(points, dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)][:MOST_POINTS]
    unit = (points - low) / (high - low)
    unit = unit[((unit >= 0) & (unit <= 1)).all(axis=1)] * SIDE
    return "".join(f"M{x:.1f} {SIDE - y:.1f}h0" for x, y in unit)


def _cloud(gallery: Gallery, i: int, low: np.ndarray, high: np.ndarray) -> str:
    real = "" if gallery.real is None else f'<path class="was" d="{dots(gallery.real, low, high)}"/>'
    return f'{real}<path class="dots" d="{dots(gallery.samples[i], low, high)}"/>'


def _bars(gallery: Gallery, i: int, top: float) -> str:
    p, truth = ranked(gallery)
    edges = np.linspace(0, SIDE, p.shape[1] + 1)
    bars = "".join(
        f"M{left:.2f} {SIDE}V{SIDE - SIDE * v / top:.2f}H{right:.2f}V{SIDE}Z"
        for left, right, v in zip(edges[:-1], edges[1:], p[i], strict=True)
        if v > 0
    )
    drawing = f'<path class="bars" d="{bars}"/>'
    if truth is not None:
        steps = "".join(
            f"{'M' if j == 0 else 'L'}{edges[j]:.2f} {SIDE - SIDE * v / top:.2f}H{edges[j + 1]:.2f}"
            for j, v in enumerate(truth)
        )
        drawing += f'<path class="truth" d="{steps}"/>'
    return drawing


def _texts(rows: Sequence[Sequence[object]]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(number(float(v)) if isinstance(v, (float, np.floating)) else str(v) for v in row)
        for row in rows[:MOST_ROWS]
    )
