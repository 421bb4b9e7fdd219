"""Captions for pictures that have only labels: the names of their classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from autophage.captions.vocabulary import words_of
from autophage.data.arguments import one_of
from autophage.data.source import FiniteSource
from autophage.errors import DataError
from autophage.samples import Samples

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, kw_only=True)
class ClassCaptions(FiniteSource):
    """A finite set of labelled records that may be captioned by their classes."""

    captions: Literal["none", "classes"] = "none"
    """classes: every record is captioned with the name of its class (digits by their words); none: records carry none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.captions, "data.captions", ("none", "classes"))

    @property
    def captions_of_classes(self) -> tuple[str, ...]:
        """What a record of each class is called.

        Raises `DataError` when there are no classes, or one's name has no word in it.
        """
        names = self.classes
        if names is None:
            raise DataError(
                "data.captions is classes, but these records carry no labels; write data.captions: none, or put labels beside "
                "them"
            )
        nameless = [name for name in names if not words_of(name)]
        if nameless:
            raise DataError(
                f"the class {nameless[0]!r} has no word in its name, and data.captions: classes needs one"
            )
        return names

    def train(self) -> Samples:
        return self._captioned[0]

    def reference(self) -> Samples:
        return self._captioned[1]

    @cached_property
    def _captioned(self) -> tuple[Samples, Samples]:
        parts = (self._split.train, self._split.reference)
        if self.captions == "none":
            return parts
        if parts[0].label is None:
            _ = self.captions_of_classes  # says what is missing
        names = np.array(self.captions_of_classes, np.str_)
        train, reference = (
            dataclasses.replace(part, fields={**part.fields, "caption": names[np.asarray(part.label)]})
            for part in parts
        )
        return train, reference


def spelt(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes, those of the digits 0 to 9 as words.

    >>> spelt(("0", "7", "10", "ship"))
    ('zero', 'seven', '10', 'ship')
    """
    return tuple(DIGITS[int(name)] if len(name) == 1 and name in "0123456789" else name for name in names)
