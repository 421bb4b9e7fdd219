"""Words and their numbers.

A word is a run of letters and digits, in small letters, with single apostrophes or hyphens inside; white space and all
other signs part words and are dropped. The numbers 0 to 3 mean padding, the beginning, the end and a word that is not
known; the words follow, the most frequent first, those as frequent in the order of the alphabet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from autophage.errors import DataError

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = 4
"""The number of the first word."""
MOST = 20_000
"""Words that a vocabulary keeps unless told."""

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words_of(caption: str) -> list[str]:
    """The words of a caption, in order.

    >>> words_of("A dog's red-hot ball, (thrown)!")
    ['a', "dog's", 'red-hot', 'ball', 'thrown']
    """
    return WORD.findall(str(caption).lower().replace("’", "'"))


def most_words(captions: Sequence[str] | np.ndarray) -> int:
    """The number of words of the longest caption; 0 where there is none."""
    return max((len(words_of(caption)) for caption in np.unique(np.asarray(captions, np.str_))), default=0)


@dataclass(frozen=True)
class Vocabulary:
    """The words that a network knows.

    >>> v = Vocabulary.of(["a red cat", "a cat", "A dog"])
    >>> v.words, v.size
    (('a', 'cat', 'dog', 'red'), 8)
    >>> v.encode(["A red bird", "dog"], 5).tolist()
    [[1, 4, 7, 3, 2], [1, 6, 2, 0, 0]]
    >>> v.decode([[1, 4, 7, 3, 2], [1, 6, 2, 0, 0]]).tolist()
    ['a red', 'dog']
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, captions: Sequence[str] | np.ndarray, most: int = MOST) -> Self:
        """The `most` most frequent words of captions (n,).

        Raises `DataError` when there is no word in them.
        """
        if most < 1:
            raise DataError(f"a vocabulary must keep 1 word or more, got {most}")
        different, counts = np.unique(np.asarray(captions, np.str_), return_counts=True)
        seen: Counter[str] = Counter()
        for caption, count in zip(different, counts.tolist(), strict=True):
            for word in words_of(caption):
                seen[word] += count
        if not seen:
            raise DataError(f"none of {len(different):,} different captions holds a word")
        return cls(tuple(sorted(seen, key=lambda word: (-seen[word], word))[:most]))

    @property
    def size(self) -> int:
        """How many numbers there are, the four special ones among them."""
        return SPECIAL + len(self.words)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words, SPECIAL)}

    def encode(self, captions: Sequence[str] | np.ndarray, length: int) -> np.ndarray:
        """Captions (n,) as int64 (n, length): the beginning, words, the end, padding.

        The first `length` - 2 words of a longer caption stand for it. Raises `DataError` when `length` is below 3 or a
        caption holds no word.
        """
        if length < 3:
            raise DataError(f"{length} numbers cannot hold a beginning, a word and an end; 3 or more can")
        different, which = np.unique(np.asarray(captions, np.str_), return_inverse=True)
        rows = np.full((len(different), length), PAD, np.int64)
        for row, caption in zip(rows, different, strict=True):
            words = words_of(caption)[: length - 2]
            if not words:
                raise DataError(f"the caption {str(caption)!r} holds no word")
            row[0] = BEGIN
            row[1 : 1 + len(words)] = [self.numbers.get(word, UNKNOWN) for word in words]
            row[1 + len(words)] = END
        return rows[which.reshape(-1)]

    def decode(self, ids: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """The words of numbers (n, length) up to the first end, with spaces between them: strings (n,).

        Padding, beginnings and unknown words are left out.
        """
        different, which = np.unique(np.asarray(ids, np.int64), axis=0, return_inverse=True)
        texts = []
        for row in different.tolist():
            row = row[: row.index(END)] if END in row else row
            texts.append(" ".join(self.words[number - SPECIAL] for number in row if number >= SPECIAL))
        return np.array(texts, np.str_)[which.reshape(-1)] if texts else np.array([], np.str_)

    def body(self) -> dict[str, Any]:
        """This vocabulary as plain data."""
        return {"words": list(self.words)}

    @classmethod
    def restored(cls, body: Mapping[str, Any]) -> Self:
        """The vocabulary whose `body` this is."""
        return cls(tuple(str(word) for word in body["words"]))
