"""Captions cut to a budget of words, the decoding budget of recursive captioning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autophage.captions.vocabulary import WORD, words_of
from autophage.errors import DataError


def shortened(captions: Sequence[str] | np.ndarray, budget: int | None) -> np.ndarray:
    """The captions (n,) up to the end of their word number `budget`; None leaves them whole.

    Raises `DataError` when the budget is below 1, or a caption holds no word.

    >>> shortened(["A red, round ball.", "blue"], 2).tolist()
    ['A red', 'blue']
    """
    if budget is not None and budget < 1:
        raise DataError(f"a budget of {budget} words leaves nothing of a caption; 1 or more does")
    different, which = np.unique(np.asarray(captions, np.str_), return_inverse=True)
    texts = []
    for caption in different.tolist():
        if not words_of(caption):
            raise DataError(f"the caption {caption!r} holds no word, so that nothing is left within a budget")
        found = list(WORD.finditer(caption))
        cut = budget is not None and len(found) > budget
        texts.append(caption[: found[budget - 1].end()] if cut and budget is not None else caption)
    return np.array(texts, np.str_)[which.reshape(-1)] if texts else np.array([], np.str_)
