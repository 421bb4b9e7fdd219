"""Who trains on whom, drawn and told: origins on the left, agents on the right, a band for every share that flowed.

A feed's share is of the synthetic records of a training set, whatever their generation; the share of real records is of the whole
set, and so is the width of a band. Agents of one chain that train on the same shares stand in one box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autophage.ecosystem import REAL_RECORDS, Flow
from autophage.report.courses import spaced
from autophage.samples import REAL

WIDTH = 1060
"""Of the drawing, in its own units."""
LEFT, BEND, WORDS, RIGHT = 250, 545, 556, 790
"""Where the boxes of origins end, the bands end, their words begin, and the boxes of agents begin."""
LINE, PAD, SPACE = 21, 13, 16
"""Heights of a line of words, of a box's margin, and between boxes."""
THICK, THIN = 14.0, 1.5
"""Widths of a band of a whole training set, and of the thinnest one."""
TOLD = 0.005
"""Shares that differ by more than this differ on the page."""
MOST_TABLED = 24
"""Generations in the tables."""
LONGEST = 30
"""Letters of a name in the drawing."""


@dataclass(frozen=True)
class Agent:
    """One agent, ready to be read."""

    name: str
    learner: str
    workflow: str
    key: int
    """Which arm of the page."""
    given: str | None = None
    """Whose records it describes or paints; `real` for real ones."""
    frozen: bool = False
    decoding: str = ""
    """How its model is sampled, where the spec says so."""


@dataclass(frozen=True)
class Ecosystem:
    """The agents of a run and what flowed between them."""

    agents: Sequence[Agent]
    asked: Mapping[str, Mapping[str, float]]
    """By agent: of the synthetic records it trains on, the shares that it asks of others."""
    flows: Mapping[str, Mapping[int, Sequence[Flow]]] = field(default_factory=dict)
    """By agent and generation: where the records of its training set came from."""
    title: str = ""


@dataclass(frozen=True)
class Box:
    """A box of the drawing, and what stands in it."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[tuple[float, str, str, int | None], ...]
    """Each its height, the words, `strong` or `quiet`, and the arm whose colour stands before it."""


@dataclass(frozen=True)
class Band:
    """An arrow from an origin to an agent."""

    path: str
    head: str
    width: float
    key: int | None
    """The arm whose colour it has; None for real records."""
    y: float
    words: str
    off: bool
    """Whether what flowed is not what was asked for."""
    alt: str


@dataclass(frozen=True)
class Drawing:
    """The ecosystem of one generation."""

    title: str
    generation: int | None
    """None where nothing is known to have flowed."""
    width: int
    height: float
    words: int
    """Where the words of the bands begin."""
    origins: tuple[Box, ...]
    boxes: tuple[Box, ...]
    bands: tuple[Band, ...]
    alt: str
    rows: tuple[tuple[int, str, int, tuple[str, ...]], ...]
    """The table of origins: generation, agent, arm, cells under `columns`."""
    columns: tuple[str, ...]
    said: tuple[tuple[str, ...], ...]
    """The table of descriptions."""
    even: bool
    """Whether every share that flowed is the one that was asked for."""


def percent(share: float) -> str:
    """A share in words.

    >>> percent(1 / 3), percent(0.5), percent(0.0)
    ('33.3 %', '50 %', '0 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def flowed(flow: Sequence[Flow]) -> tuple[float, dict[str, float]]:
    """The share of real records in a training set, and by agent the share of its synthetic records."""
    real = sum(f.share for f in flow if f.generation == REAL)
    made = sum(f.share for f in flow if f.generation != REAL)
    shares: dict[str, float] = {}
    for f in flow:
        if f.generation != REAL and made > 0:
            shares[f.agent] = shares.get(f.agent, 0.0) + f.share / made
    return real, shares


def drawn(found: Ecosystem) -> Drawing:
    """The last generation's shares as a drawing and every generation's as tables; at theory scale, where no records flow, what
    was asked for alone."""
    generations = sorted({g for course in found.flows.values() for g in course})
    last = generations[-1] if generations else None
    inflow = {
        a.name: (0.0, dict(found.asked[a.name]))
        if last is None
        else flowed(found.flows.get(a.name, {}).get(last, ()))
        for a in found.agents
    }
    groups = _groups(found, inflow)
    givers = _givers(found, inflow)
    lines = {id(group): _lines(found, group[0].name, inflow, givers, last is not None) for group in groups}
    heights = [max(LINE * len(lines[id(g)]), 2 * LINE * len(g)) + PAD for g in groups]
    right = sum(heights) + SPACE * (len(groups) - 1)
    leaving = {
        g: sum(1 for group in groups for line in lines[id(group)] if line[0] == g)
        for g in (*([] if last is None else [None]), *givers)
    }
    tall = {
        g: max(2 * LINE + PAD, 2 * PAD + (THICK + 2) * _mass(g, groups, lines), 6.0 * leaving[g])
        for g in leaving
    }
    left = sum(tall.values()) + SPACE * (len(tall) - 1)
    height = max(left, right) + 2.0
    origins, starts, y = [], {}, (height - left) / 2
    for giver, size in tall.items():
        origins.append(_origin(found, giver, y, size, [real for real, _ in inflow.values()]))
        starts[giver] = y + size / 2 - THICK * _mass(giver, groups, lines) / 2 - leaving[giver] + 1
        y += size + SPACE
    boxes, bands, y = [], [], (height - right) / 2
    for group, size in zip(groups, heights, strict=True):
        boxes.append(_box(group, y, size))
        at = y + size / 2 - LINE * len(lines[id(group)]) / 2 + LINE / 2
        for giver, share, words, off in lines[id(group)]:
            width = max(THIN, THICK * share)
            start = starts[giver] + width / 2
            starts[giver] += THICK * share + 2
            names = " and ".join(a.name for a in group)
            bands.append(_band(found, giver, names, start, at, width, words, off, share > 0))
            at += LINE
        y += size + SPACE
    givers_of = tuple(dict.fromkeys(name for name in givers if name))
    rows = _rows(found, generations, givers_of)
    return Drawing(
        found.title,
        last,
        WIDTH,
        height,
        WORDS,
        tuple(origins),
        tuple(boxes),
        tuple(bands),
        f"who trains on whom{'' if last is None else f' in generation {last}'}: "
        + "; ".join(band.alt for band in bands),
        rows,
        ("real", *(f"newest of {g}" for g in givers_of), "older"),
        _said(found, generations),
        _even(found, generations),
    )


def _groups(found: Ecosystem, inflow: Mapping[str, tuple[float, dict[str, float]]]) -> list[list[Agent]]:
    """The agents, those of one chain together that ask for the same and got the same."""
    groups: dict[tuple[object, ...], list[Agent]] = {}
    for agent in found.agents:
        real, shares = inflow[agent.name]
        got = tuple((k, round(v, 6)) for k, v in sorted(shares.items()))
        same = (_path(found, agent.name)[0], round(real, 6), got, *sorted(found.asked[agent.name].items()))
        groups.setdefault(same, []).append(agent)
    return list(groups.values())


def _givers(found: Ecosystem, inflow: Mapping[str, tuple[float, dict[str, float]]]) -> list[str]:
    """Whose records somebody trains on, or asks for."""
    names = {name for _, shares in inflow.values() for name in shares}
    names |= {name for asked in found.asked.values() for name, share in asked.items() if share > 0}
    return [a.name for a in found.agents if a.name in names]


def _lines(
    found: Ecosystem,
    name: str,
    inflow: Mapping[str, tuple[float, dict[str, float]]],
    givers: Sequence[str],
    known: bool,
) -> list[tuple[str | None, float, str, bool]]:
    """What an agent trains on: the origin, its share of the whole set, in words, and whether that was not asked for."""
    real, shares = inflow[name]
    lines: list[tuple[str | None, float, str, bool]] = [
        (None, real, f"real: {percent(real)} of the set", False)
    ]
    if not shares:
        return lines
    asked = found.asked[name]
    for giver in givers:
        got, wanted = shares.get(giver, 0.0), asked.get(giver, 0.0)
        if got or wanted:
            words = f"asked {percent(wanted)}" + (f", flowed {percent(got)}" if known else "")
            lines.append((giver, (1 - real) * got, words, abs(got - wanted) > TOLD))
    return lines if real else lines[1:]


def _mass(
    giver: str | None,
    groups: Sequence[list[Agent]],
    lines: Mapping[int, list[tuple[str | None, float, str, bool]]],
) -> float:
    return sum(line[1] for group in groups for line in lines[id(group)] if line[0] == giver)


def _path(found: Ecosystem, name: str) -> list[str]:
    """A chain from its first agent, or the real records it is given, to this one."""
    by_name, path = {a.name: a for a in found.agents}, [name]
    while (given := by_name[path[0]].given if path[0] in by_name else None) is not None:
        path.insert(0, given)
    return path


def _short(words: str, longest: int = LONGEST) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _origin(found: Ecosystem, giver: str | None, y: float, height: float, real: Sequence[float]) -> Box:
    middle = y + height / 2
    if giver is None:
        ends = list(dict.fromkeys(map(percent, (min(real), max(real)))))
        below = f"{' to '.join(ends)} of a training set"
        lines = ((middle - 4, "real records", "strong", None), (middle + 13, below, "quiet", None))
        return Box(0.5, y, LEFT, height, lines)
    agent = next(a for a in found.agents if a.name == giver)
    path = _path(found, giver)
    by_name = {a.name: a for a in found.agents}
    kinds = " → ".join(by_name[name].learner for name in path if name in by_name)
    below = f"frozen, {kinds}" if agent.frozen else kinds
    return Box(
        0.5,
        y,
        LEFT,
        height,
        (
            (middle - 4, _short(" → ".join(path)), "strong", agent.key),
            (middle + 13, _short(below, 34), "quiet", None),
        ),
    )


def _box(group: Sequence[Agent], y: float, height: float) -> Box:
    lines: list[tuple[float, str, str, int | None]] = []
    at = y + height / 2 - LINE * len(group) + 0.72 * LINE
    for agent in group:
        lines.append((at, _short(agent.name), "strong", agent.key))
        lines.append((at + 0.8 * LINE, _short(f"{agent.learner} under {agent.workflow}", 38), "quiet", None))
        at += 2 * LINE
    return Box(RIGHT, y, WIDTH - RIGHT - 0.5, height, tuple(lines))


def _band(
    found: Ecosystem,
    giver: str | None,
    names: str,
    start: float,
    end: float,
    width: float,
    words: str,
    off: bool,
    any_flowed: bool,
) -> Band:
    middle = (LEFT + BEND) / 2
    path = f"M{LEFT} {start:.1f}C{middle:.0f} {start:.1f} {middle:.0f} {end:.1f} {BEND - 7} {end:.1f}"
    half = width / 2 + 2.5
    head = f"M{BEND - 8} {end - half:.1f}L{BEND} {end:.1f}L{BEND - 8} {end + half:.1f}Z"
    key = None if giver is None else next(a.key for a in found.agents if a.name == giver)
    alt = f"{giver or 'real records'} to {names}, {words.removeprefix('real: ')}"
    return Band(path if any_flowed else "", head if any_flowed else "", width, key, end, words, off, alt)


def _rows(
    found: Ecosystem, generations: Sequence[int], givers: Sequence[str]
) -> tuple[tuple[int, str, int, tuple[str, ...]], ...]:
    rows = []
    for i in spaced(len(generations), MOST_TABLED):
        g = generations[i]
        for agent in found.agents:
            flow = found.flows.get(agent.name, {}).get(g)
            if flow is None:
                continue
            real, shares = flowed(flow)
            cells = [percent(real)]
            for giver in givers:
                wanted, got = found.asked[agent.name].get(giver, 0.0), shares.get(giver, 0.0)
                newest = sum(f.share for f in flow if f.agent == giver and f.generation == g - 1)
                told = f"{percent(newest)} (asked {percent(wanted)}, flowed {percent(got)})"
                cells.append(told if shares and (wanted or got) else "–")
            older = sum(f.share for f in flow if f.generation not in (REAL, g - 1))
            rows.append((g, agent.name, agent.key, (*cells, percent(older) if g else "–")))
    return tuple(rows)


def _said(found: Ecosystem, generations: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """Descriptions that somebody trained on: generation, who described, by which model, whose records, how, for whom."""
    told: dict[tuple[int, str, str], list[str]] = {}
    for agent in found.agents:
        for flow in found.flows.get(agent.name, {}).values():
            for f in flow:
                if f.source:
                    mine = told.setdefault((f.generation, f.agent, f.source), [])
                    if agent.name not in mine:
                        mine.append(agent.name)
    by_name = {a.name: a for a in found.agents}
    tabled = {generations[i] - 1 for i in spaced(len(generations), MOST_TABLED)}
    rows = []
    for (g, name, source), readers in sorted(told.items(), key=lambda item: (item[0][0], item[0][1])):
        if g not in tabled or name not in by_name:
            continue
        who = by_name[name]
        model = "frozen: that of generation 0" if who.frozen else f"that of generation {g}"
        owner, _, when = source.rpartition("/")
        whose = "real records" if source == REAL_RECORDS else f"{owner}, generation {when}"
        rows.append(
            (str(g), whose, f"{name} ({who.learner})", model, who.decoding or "plain", ", ".join(readers))
        )
    return tuple(rows)


def _even(found: Ecosystem, generations: Sequence[int]) -> bool:
    if not generations:
        return False
    for name, asked in found.asked.items():
        for g in generations:
            _, shares = flowed(found.flows.get(name, {}).get(g, ()))
            if shares and any(abs(shares.get(k, 0.0) - asked.get(k, 0.0)) > TOLD for k in {*shares, *asked}):
                return False
    return True
