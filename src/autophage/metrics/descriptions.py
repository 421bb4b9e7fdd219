"""What records are said to be: the caption of each where records have captions, else its class.

Metrics of descriptions read both alike. A class is one word; captions are split into words as `captions.vocabulary` does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from autophage.captions.vocabulary import words_of
from autophage.errors import DataError, SpecError
from autophage.parts import Model, Sampling, Source, View
from autophage.samples import Samples


def descriptions(samples: Samples) -> np.ndarray | None:
    """The description (n,) of each record: captions (strings), else labels, or None where records carry neither.

    >>> descriptions(Samples.of(np.zeros(2), label=[3, 1])).tolist()
    [3, 1]
    """
    return samples.label if samples.caption is None else samples.caption


def described(samples: Samples, metric: str, whose: str = "the generated") -> np.ndarray:
    """`descriptions`. Raises `DataError`, naming the metric, where there are none or they are of another number."""
    found = descriptions(samples)
    if found is None:
        raise DataError(
            f"{metric} needs a caption or a class with every record, and {whose} ones carry neither; it is for learners that "
            "use captions or labels"
        )
    as_many(samples.fields["x"], found, metric)
    return found


def as_many(x: Any, described: Any, metric: str) -> None:
    """Raises `DataError` unless there is one description for each record."""
    if np.ndim(described) != 1 or len(x) != len(described):
        raise DataError(
            f"{metric} needs one description for each record, got {np.shape(described)} for {len(x)} records"
        )


def require_descriptions(source: Source, metric: str, *, captions: bool = False) -> None:
    """Raises `SpecError` where the real records have no descriptions (or, with `captions`, no captions), or all the same one."""
    held = source.reference()
    found = held.caption if captions else descriptions(held)
    if found is None:
        what = "captions" if captions else "captions or labels"
        raise SpecError(
            f"metric {metric} needs {what}, and the data have none; take data that have, such as scenes"
        )
    if len(np.unique(found)) < 2:
        raise SpecError(
            f"metric {metric} needs at least 2 different captions or classes, and all {len(found)} held-out records have the same"
        )


def plain(found: np.ndarray) -> np.ndarray:
    """Descriptions (n,) so that captions that differ in signs and capitals alone are equal: their words with one space between.

    >>> plain(np.array(["A red, ball.", "a red ball"])).tolist()
    ['a red ball', 'a red ball']
    """
    if found.dtype.kind not in "US":
        return found
    different, which = np.unique(found, return_inverse=True)
    return np.array([" ".join(words_of(text)) for text in different.tolist()], np.str_)[which.reshape(-1)]


@dataclass(frozen=True)
class Bags:
    """Descriptions as bags of words: how often each of V words is in each of n of them.

    `which` (n,) is the place of each description among the D different ones, `counts` (D, V).
    """

    words: tuple[str, ...]
    counts: csr_array
    which: np.ndarray

    @staticmethod
    def of(found: np.ndarray, vocabulary: tuple[str, ...] | None = None, most: int | None = None) -> Bags:
        """Bags of descriptions (n,), of the words of `vocabulary`, or of the `most` most frequent ones that are in them."""
        different, which, times = np.unique(found, return_inverse=True, return_counts=True)
        said = [Counter(words_of(str(text))) for text in different.tolist()]
        if vocabulary is None:
            total: Counter[str] = Counter()
            for words, n in zip(said, times.tolist(), strict=True):
                for word, count in words.items():
                    total[word] += n * count
            vocabulary = tuple(sorted(total, key=lambda word: (-total[word], word))[:most])
        place = {word: i for i, word in enumerate(vocabulary)}
        entries = [
            (row, place[word], float(count))
            for row, words in enumerate(said)
            for word, count in words.items()
            if word in place
        ]
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        counts = csr_array(
            (np.array(values, np.float64), (np.array(rows, np.int64), np.array(columns, np.int64))),
            shape=(len(different), len(vocabulary)),
        )
        return Bags(vocabulary, counts, which.reshape(-1))

    @cached_property
    def times(self) -> np.ndarray:
        """(D,) how many of the n say the same."""
        return np.bincount(self.which, minlength=self.counts.shape[0])

    def dense(self) -> np.ndarray:
        """(n, V)"""
        return self.counts.toarray()[self.which]


def decoding_as(view: View, decoding: str) -> Model:
    """The view's captioner with another way to choose its words, keeping the budget that the loop gives it; itself where it
    knows no such choice."""
    before = getattr(getattr(view, "sampler", None), "sampling", None)
    budget = before.budget if isinstance(before, Sampling) else None
    try:
        return view.model.tuned(Sampling(decoding=decoding, budget=budget))  # type: ignore[arg-type]
    except NotImplementedError:
        return view.model
