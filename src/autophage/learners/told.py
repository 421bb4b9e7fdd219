"""Which captions a painter knows: the words it learned them by, and how often each stood in its training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.captions.vocabulary import Vocabulary, most_words, words_of
from autophage.errors import DataError, FitFailed
from autophage.keys import Key
from autophage.networks.words import Words
from autophage.samples import Samples

AROUND = 2
"""Numbers of a caption that are no words: its beginning and its end."""


@dataclass(frozen=True, eq=False)
class CaptionLaw:
    """The captions of a training set as a law to draw from: each by its share of the records' weight.

    >>> law = CaptionLaw.of(np.array(["a", "b", "a"]))
    >>> law.different.tolist(), law.share.tolist()
    (['a', 'b'], [2.0, 1.0])
    """

    different: np.ndarray
    """Captions (k,), every one once."""
    share: np.ndarray
    """Their weights (k,), zero or above."""

    @classmethod
    def of(cls, captions: np.ndarray, weight: np.ndarray | None = None) -> CaptionLaw:
        """The law of captions (n,) of weights (n,). Raises `FitFailed` where one of them holds no word."""
        different, which = np.unique(np.asarray(captions, np.str_), return_inverse=True)
        for caption in different.tolist():
            if not words_of(caption):
                raise FitFailed(
                    f"the caption {caption!r} of a training record holds no word; every record needs one"
                )
        return cls(different, np.bincount(which.reshape(-1), weight, len(different)).astype(float))

    def asked(self, n: int, key: Key, given: Samples | None) -> np.ndarray:
        """n captions: those of `given` where it has any, else drawn by their shares; then number i does not depend on n.

        Raises `DataError` where `given` has fewer than n.
        """
        if given is not None and given.caption is not None:
            captions = np.asarray(given.caption, np.str_)[:n]
            if len(captions) < n:
                raise DataError(f"{n} captions are needed to paint {n} records, got {len(captions)}")
            return captions
        steps = np.cumsum(self.share)
        at = (key / "captions").generator().random(n) * steps[-1]
        # Rounding may carry a draw to the very end, beyond the last caption that has a share.
        last = np.flatnonzero(self.share)[-1]
        return self.different[np.minimum(np.searchsorted(steps, at, side="right"), last)]

    def body(self) -> dict[str, Any]:
        """This law as plain data."""
        return {"different": self.different.tolist(), "share": self.share.tolist()}

    @classmethod
    def restored(cls, body: Mapping[str, Any]) -> CaptionLaw:
        """The law whose `body` this is."""
        return cls(np.array(body["different"], np.str_), np.array(body["share"], np.float64))


@dataclass(frozen=True, eq=False)
class CaptionsTold:
    """The law of a training set's captions, and how a network of ours is told them."""

    law: CaptionLaw
    vocabulary: Vocabulary
    length: int
    """Numbers of a caption, `AROUND` among them; words beyond are not told."""
    encoder: Literal["bag", "transformer"]

    @classmethod
    def of(
        cls, captions: np.ndarray, law: CaptionLaw, most: int | None, encoder: Literal["bag", "transformer"]
    ) -> CaptionsTold:
        """For a network that begins with captions (n,): their words, and `most` of them in one or as many as the longest has.

        Raises `FitFailed` where there is no word in them.
        """
        try:
            vocabulary = Vocabulary.of(captions)
        except DataError as error:
            raise FitFailed(f"the training captions cannot be learned: {error}") from error
        return cls(law, vocabulary, AROUND + (most or most_words(law.different)), encoder)

    def after(self, law: CaptionLaw) -> CaptionsTold:
        """The same words for another training set; those that the first one had not are all told as the unknown one."""
        return CaptionsTold(law, self.vocabulary, self.length, self.encoder)

    @property
    def words(self) -> Words:
        """What the network is built for."""
        return Words(self.vocabulary.size, self.length, self.encoder)

    def told(self, captions: np.ndarray) -> np.ndarray:
        """Captions (n,) as int64 (n, length). Raises `DataError` for one without a word."""
        return self.vocabulary.encode(captions, self.length)

    def body(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "law": self.law.body(),
            "vocabulary": self.vocabulary.body(),
            "length": self.length,
            "encoder": self.encoder,
        }

    @classmethod
    def restored(cls, body: Mapping[str, Any]) -> CaptionsTold:
        """What `body` describes."""
        law, vocabulary = CaptionLaw.restored(body["law"]), Vocabulary.restored(body["vocabulary"])
        return cls(law, vocabulary, body["length"], body["encoder"])
