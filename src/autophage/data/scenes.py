"""Pictures with captions whose truth is known: one figure drawn from four attributes, and the words of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.captions.vocabulary import words_of
from autophage.data.arguments import not_negative, one_of, whole_number
from autophage.data.scene_drawing import COUNTS, SIDE, SLOTS, Edges, drawn, read
from autophage.data.source import FIXED, FiniteSource, Picture, Records
from autophage.errors import SpecError

WHERE = {word: (slot, value) for slot, (_, words) in enumerate(SLOTS) for value, word in enumerate(words)}


@dataclass(frozen=True, kw_only=True)
class ScenesSource(FiniteSource):
    """Colour pictures of 32 x 32 pixels with values 0..255 (uint8), each a figure of one of 4 shapes, 6 colours, 9 cells and 3
    sizes, all 648 equally likely; labelled by shape, captioned by attribute words in the order of `slots`.

    `attributes` reads pictures back, without any error as long as they are exact. The records are the same in every run.

    >>> source = ScenesSource(size=20)
    >>> part = source.train()
    >>> part.x.shape, bool((source.attributes(part.x) == source.attributes_of(part.caption)).all())
    ((16, 3072), True)
    >>> source.captions_of([[1, 0, 4, 2]]).tolist()
    ['square red centre large']
    """

    dtype: ClassVar[Any] = np.uint8

    size: int = 10_000
    """Pictures, training and held-out ones together."""
    budget: int = 4
    """How many of the four attributes a caption names, for each picture a random choice of its own."""
    edges: Edges = "smooth"
    """smooth: pixels at an edge are covered in part (8 x 8 points each); plain: wholly or not at all."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on every number of a picture, which is rounded and cut to 0..255 then."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.size, "data.size", least=5)
        whole_number(self.budget, "data.budget", least=1)
        if self.budget > len(SLOTS):
            raise SpecError(
                f"data.budget is {self.budget}; a caption of a scene can name 1 to {len(SLOTS)} attributes"
            )
        one_of(self.edges, "data.edges", ("smooth", "plain"))
        not_negative(self.noise, "data.noise")

    @property
    def slots(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The attributes by name, each with the words of its values."""
        return SLOTS

    @property
    def classes(self) -> tuple[str, ...]:
        return SLOTS[0][1]

    @property
    def shape(self) -> tuple[int, ...]:
        return (SIDE, SIDE, 3)

    @property
    def kind_of_picture(self) -> Picture:
        return "image"

    @property
    def value_range(self) -> tuple[float, float]:
        return 0.0, 255.0

    def snap(self, x: np.ndarray) -> np.ndarray:
        """The nearest pictures: each number rounded (halves to even), at least 0 and at most 255, as uint8."""
        x = np.asarray(x)
        return x if x.dtype == np.uint8 else np.clip(np.rint(x), 0, 255).astype(np.uint8)

    def load(self) -> Records:
        key, n = FIXED / "scenes", self.size
        attributes = (key / "attributes").generator().integers(0, COUNTS, (n, len(COUNTS)))
        # The first `budget` places of a random order, so that a smaller budget names a part of what a larger one does.
        order = (key / "named").generator().random((n, len(COUNTS))).argsort(axis=1)
        told = np.where(order.argsort(axis=1) < self.budget, attributes, -1)
        x = drawn(attributes, self.edges)
        if self.noise:
            noise = (key / "noise").generator().standard_normal(x.shape, dtype=np.float32)
            x = self.snap(x + np.float32(self.noise) * noise)
        return Records(x.reshape(n, *self.shape), attributes[:, 0], "scenes", self.captions_of(told))

    def drawn(self, attributes: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """The exact pictures (n, 3072) uint8 of attributes (n, 4)."""
        return drawn(np.asarray(attributes), self.edges)

    def attributes(self, x: np.ndarray) -> np.ndarray:
        """The attributes (n, 4) int64 of pictures x (n, ...): those of the exact picture nearest to each."""
        return read(x, self.edges)

    def captions_of(self, attributes: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """Strings (n,) that name attributes (n, 4) in the order of `slots`, those of -1 not."""
        words = [np.array([*names, ""], np.str_) for _, names in SLOTS]
        rows = np.asarray(attributes, np.int64)
        named = [told[column] for told, column in zip(words, rows.T, strict=True)]
        return np.array(
            [" ".join(filter(None, row)) for row in zip(*(n.tolist() for n in named), strict=True)], np.str_
        )

    def attributes_of(self, captions: Sequence[str] | np.ndarray) -> np.ndarray:
        """The attributes (n, 4) int64 that captions (n,) name, -1 where one is not named; the first word of an attribute
        counts, words of none are passed over."""
        different, which = np.unique(np.asarray(captions, np.str_), return_inverse=True)
        found = np.full((len(different), len(SLOTS)), -1, np.int64)
        for row, caption in zip(found, different, strict=True):
            for word in words_of(caption):
                slot, value = WHERE.get(word, (0, -1))
                if value >= 0 and row[slot] < 0:
                    row[slot] = value
        return found[which.reshape(-1)]
