"""What a page shows of pictures beyond the gallery: neighbours, drifting classes, arms side by side, the film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import escape

from autophage.report.animation import animation, still
from autophage.report.courses import number
from autophage.report.drift import Drift
from autophage.report.gallery import SIDE, Cell, Strip, dots, heads, stacked, trace
from autophage.report.montage import embedded
from autophage.report.neighbours import Neighbours
from autophage.report.page import Arm, Page

COLOURS = 10
"""Classes that have a colour of their own."""


@dataclass(frozen=True)
class Pair:
    """A generated picture and its nearest real one."""

    picture: str
    alt: str
    relative: str
    copied: bool


@dataclass(frozen=True)
class PairRow:
    """The pairs of one arm in one generation, or of several arms that share it."""

    arms: tuple[tuple[int, str], ...]
    """Their numbers and names."""
    generation: int
    sentence: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Film:
    """The animation as two `data:` addresses, and its content as a file."""

    moving: str
    still: str
    alt: str
    content: bytes


def film(arms: Sequence[Arm]) -> Film | None:
    """The arms' pictures through the generations, or None where there are none."""
    content = animation(arms)
    if content is None:
        return None
    names = [a.name for a in arms if a.gallery is not None and a.gallery.kind == "images"]
    alt = f"animation: the same pictures of {', '.join(names)} in one generation after the other"
    return Film(embedded(content, "webp"), embedded(still(content), "webp"), alt, content)


def pairs(arms: Sequence[Arm]) -> list[PairRow]:
    """Generated pictures beside their nearest real ones, arm by arm."""
    rows: dict[bytes, PairRow] = {}
    for n, arm in enumerate(arms):
        for i, generation in enumerate(arm.neighbours.generations if arm.neighbours is not None else ()):
            assert arm.neighbours is not None
            # Arms of one comparison share generation 0: its pictures are shown once.
            same = b"%d " % generation + arm.neighbours.pictures[i].tobytes()
            shared = rows[same].arms if same in rows else ()
            rows[same] = _pair_row((*shared, (n, arm.name)), arm.neighbours, i)
    return list(rows.values())


def side_by_side(page: Page) -> Strip | None:
    """The last pictures of all arms that began with the same noise; None where fewer than two did, and where the
    blend of two arms shows them already."""
    arms = page.arms
    if page.blend is not None and len(arms) == 2:
        return None
    shown = [
        (n, arm, arm.gallery) for n, arm in enumerate(arms) if arm.gallery is not None and arm.gallery.noise
    ]
    shown = [(n, arm, g) for n, arm, g in shown if g.kind == "images"]
    if not shown:
        return None
    first = shown[0][2]
    alike = [
        (n, arm, g)
        for n, arm, g in shown
        if g.noise == first.noise
        and np.shape(g.samples)[1:] == np.shape(first.samples)[1:]
        and heads(g) == heads(first)
    ]
    if len(alike) < 2:
        return None
    cells = tuple(
        Cell(
            arm.name,
            f"pictures of {arm.name} in generation {g.generations[-1]}, from the same noise as the other arms'",
            picture=stacked(trace(g, len(g.generations) - 1)),
        )
        for _, arm, g in alike
    )
    return Strip("The last generation of each arm", None, cells, heads=heads(first))


def blended(page: Page) -> Strip | None:
    """The pictures between two arms as a strip."""
    blend = page.blend
    if blend is None:
        return None
    cells = tuple(
        Cell(
            blend.first if share == 0 else blend.second if share == 1 else f"{number(100 * share)} %",
            f"pictures of the model {number(100 * share)} % of the way from {blend.first} to {blend.second}",
            picture=stacked(pictures),
        )
        for share, pictures in zip(blend.shares, blend.pictures, strict=True)
    )
    return Strip(f"From {blend.first} to {blend.second}", None, cells, heads=blend.heads)


def drifts(arms: Sequence[Arm]) -> list[Strip]:
    """The clouds of the first, the middle and the last generation, and the courses of the classes' centres."""
    found = [(n, arm.name, arm.drift) for n, arm in enumerate(arms) if arm.drift is not None]
    if not found:
        return []
    wide = _view([x for _, _, d in found for x in (d.real, *d.points)], 0.01)
    close = _view([x.reshape(-1, 2) for _, _, d in found for x in (d.centres, d.real_centres)], 0.0)
    strips = []
    for n, name, d in found:
        cells = [
            Cell(
                f"generation {g}", f"pictures of generation {g} as points, {name}", drawing=_cloud(d, i, wide)
            )
            for i, g in enumerate(d.generations)
        ]
        what = "centres of the classes" if d.names else "centre"
        alt = f"{what} in generations {d.generations[0]} to {d.generations[-1]}, {name}"
        cells.append(Cell(f"{what}, enlarged", alt, drawing=_tracks(d, close)))
        strips.append(Strip(name, n, tuple(cells)))
    return strips


def drift_caption(arms: Sequence[Arm]) -> str:
    """What the drawings of `drifts` show, in words."""
    found = [arm.drift for arm in arms if arm.drift is not None]
    words = ["The plane of the real pictures' first two principal components; real ones in grey."]
    if any(d.names for d in found):
        asked = any(d.asked for d in found)
        how = (
            "the class that the model was asked for"
            if asked
            else "the class of the nearest real class mean in pixel space"
        )
        words.append(
            f"Colour: {how}. Last drawing: rings are the real centres of the classes, lines lead the generated"
        )
        words.append("ones from generation to generation, dots are the last.")
    else:
        words.append(
            "Last drawing: the ring is the real centre, the line leads the generated one on, the dot is the last."
        )
    return " ".join(words)


def _pair_row(arms: tuple[tuple[int, str], ...], found: Neighbours, i: int) -> PairRow:
    generation = found.generations[i]
    shown = []
    named = " and ".join(name for _, name in arms)
    for k, (picture, real) in enumerate(zip(found.pictures[i], found.real[i], strict=True)):
        relative, copied = number(float(found.relative[i, k]), 2), bool(found.copied[i, k])
        alt = (
            f"generated picture {k + 1} of generation {generation}, {named}, and its nearest real picture; "
            f"distance {relative} times the usual{', a copy' if copied else ''}"
        )
        shown.append(Pair(stacked(np.stack([picture, real]), 2), alt, relative, copied))
    copies = int(found.copies[i])
    sentence = (
        f"median distance of {found.judged} pictures {number(float(found.median[i]), 2)}, "
        f"{copies or 'no'} {'copy' if copies == 1 else 'copies'} among them"
    )
    return PairRow(arms, generation, sentence, tuple(shown))


def _view(parts: Sequence[np.ndarray], tail: float) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a shared view, `tail` of each part's points on either side left out."""
    parts = [p[np.isfinite(p).all(axis=1)] for p in parts]
    ends = np.array([np.quantile(p, [tail, 1 - tail], axis=0) for p in parts if len(p)])
    low, high = ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)
    margin = np.where(high > low, 0.1 * (high - low), 1.0)
    return low - margin, high + margin


def _cloud(d: Drift, i: int, view: tuple[np.ndarray, np.ndarray]) -> str:
    drawing = f'<path class="was" d="{dots(d.real, *view)}"/>'
    for k in range(len(d.real_centres)):
        colour = f" class-{k % COLOURS}" if d.names else ""
        drawing += f'<path class="dots{colour}" d="{dots(d.points[i][d.classes[i] == k], *view)}"/>'
    return drawing


def _tracks(d: Drift, view: tuple[np.ndarray, np.ndarray]) -> str:
    """For each class a ring at the real centre, a line through the generations, a dot and its name at the end."""
    drawing = [f'<path class="was" d="{dots(d.real, *view)}"/>']
    low, high = view
    for k, real in enumerate(d.real_centres):
        colour = f" class-{k % COLOURS}" if d.names else ""
        course = d.centres[:, k]
        course = course[np.isfinite(course).all(axis=1)]
        x, y = _spot(real, low, high)
        drawing.append(f'<circle class="ring{colour}" cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>')
        if not len(course):
            continue
        spots = [_spot(point, low, high) for point in course]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        x, y = spots[-1]
        drawing.append(
            f'<path class="track{colour}" d="M{line}"/><path class="end{colour}" d="M{x:.1f} {y:.1f}h0"/>'
        )
        if d.names:
            across = x + 2.5 if x < 90 else x - 2.5
            anchor = "" if x < 90 else ' text-anchor="end"'
            drawing.append(
                f'<text class="class-{k % COLOURS}" x="{across:.1f}" y="{y + 1.7:.1f}"{anchor}>{_escaped(d.names[k])}</text>'
            )
    return "".join(drawing)


def _spot(point: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    x, y = SIDE * (point - low) / (high - low)
    return float(x), float(SIDE - y)


def _escaped(text: str) -> str:
    return str(escape(text if len(text) <= 12 else text[:11] + "…"))
