"""Pictures with words under them, generation by generation: what they were painted for, or what was said of them.

Words are text of the page, not of the bitmap: they can be read aloud, searched and copied. Whatever is the same in every
generation, prompts or pictures, is shown once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autophage.errors import DataError
from autophage.report.courses import spaced
from autophage.report.gallery import MOST_COLUMNS, stacked
from autophage.report.montage import fitted

if TYPE_CHECKING:
    from autophage.report.page import Arm

SHOWN = 8
"""Pictures in a row."""
BRIEF = 12
LONGEST = 90
"""Letters of a caption; the whole of a longer one appears when it is pointed at."""


@dataclass(frozen=True)
class Said:
    """A few pictures of each generation and their words.

    Raises `DataError` when there are not as many words as pictures.
    """

    generations: Sequence[int]
    pictures: np.ndarray
    """(G, n, h, w[, 3]) bytes."""
    words: Sequence[Sequence[str]]
    """Of each generation, one for each picture."""
    described: bool = True
    """Whether the words were said of the pictures; otherwise the pictures were painted for them."""
    asked: Sequence[str] = ()
    """What the pictures were painted for, where somebody else describes them."""
    exact: bool = False
    """Whether words that are not what was asked for are wrong: those of labels are, those of captions need not be."""

    def __post_init__(self) -> None:
        n = np.shape(self.pictures)[1]
        if len(self.pictures) != len(self.generations) or len(self.words) != len(self.generations):
            raise DataError(
                f"descriptions of {len(self.generations)} generations got {len(self.pictures)} sheets of pictures and "
                f"{len(self.words)} of words"
            )
        for words in (*self.words, *([self.asked] if len(self.asked) else [])):
            if len(words) != n:
                raise DataError(f"{n} pictures got {len(words)} descriptions; give one for each")


@dataclass(frozen=True)
class Cell:
    """A picture, its words, or both."""

    words: str = ""
    picture: str = ""
    alt: str = ""
    off: bool = False
    """Whether the words are not what the picture was painted for."""
    whole: str = ""


@dataclass(frozen=True)
class Row:
    """One generation, or what all generations share."""

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Shown:
    """One agent's descriptions as they stand in the page."""

    key: int
    title: str
    reading: str
    columns: int
    rows: tuple[Row, ...]
    brief: bool
    """Whether all words are short, so that pictures may be small."""


def shown(arms: Sequence[Arm]) -> list[Shown]:
    """The descriptions of all arms that have some."""
    return [_shown(n, arm.name, arm.said) for n, arm in enumerate(arms) if arm.said is not None]


def _shown(key: int, name: str, said: Said) -> Shown:
    n = min(SHOWN, np.shape(said.pictures)[1])
    rows: list[Row] = []
    alike = len(said.generations) > 1
    same_words = not said.described and all(list(w) == list(said.words[0]) for w in said.words)
    same_pictures = alike and all(np.array_equal(p[:n], said.pictures[0][:n]) for p in said.pictures)
    prompts = list(said.words[0]) if same_words else list(said.asked)
    if prompts:
        rows.append(Row("asked for", "asked", tuple(_words(w, False) for w in prompts[:n])))
    if same_pictures:
        alts = [f"picture {k + 1} that {name} describes" for k in range(n)]
        rows.append(Row("", "shared", tuple(_pictures(said.pictures[0][:n], alts))))
    for i in spaced(len(said.generations), MOST_COLUMNS):
        g = said.generations[i]
        words = [] if same_words else list(said.words[i])[:n]
        off = [said.exact and bool(prompts) and w != a for w, a in zip(words, prompts or words, strict=False)]
        if same_pictures:
            cells = [_words(w, o) for w, o in zip(words, off, strict=True)]
        else:
            told = words or prompts[:n]
            alts = [f"picture {k + 1} of generation {g}, {name}: {told[k]}" for k in range(n)]
            cells = _pictures(said.pictures[i][:n], alts)
            if words:
                cells = [_with(c, w, o) for c, w, o in zip(cells, words, off, strict=True)]
        rows.append(Row(f"generation {g}", "said", tuple(cells)))
    reading = "what it says, by generation" if said.described else "what it was asked for, by generation"
    if any(cell.off for row in rows for cell in row.cells):
        reading += "; in colour where that is not what was asked for"
    brief = max(len(cell.words) for row in rows for cell in row.cells) <= BRIEF
    return Shown(key, name, reading, n, tuple(rows), brief)


def _pictures(images: np.ndarray, alts: Sequence[str]) -> list[Cell]:
    return [
        Cell(picture=stacked(image[None]), alt=alt) for image, alt in zip(fitted(images), alts, strict=True)
    ]


def _words(words: str, off: bool) -> Cell:
    return _with(Cell(), words, off)


def _with(cell: Cell, words: str, off: bool) -> Cell:
    short = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
    return Cell(short or "(nothing)", cell.picture, cell.alt, off, words or "(nothing)")
