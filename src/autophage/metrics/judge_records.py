"""Real pairs that a judge learns from: none that the loop trains on.

The judge of a loop's captions must not have seen the loop's own records, else it agrees with them for the wrong reason. Loops
take the first records of the training part; a judge takes the last ones, or half of the held-out ones where none are left.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from autophage.errors import SpecError
from autophage.metrics.records import FIXED
from autophage.metrics.spaces.pictures import SourceRecords
from autophage.parts import Source, View
from autophage.samples import Samples

MOST = 10_000
"""Real pairs a judge learns from unless told."""


class Pairs(NamedTuple):
    """Real records with their descriptions: what the judge learns from, and others that it did not see."""

    learnt: Samples
    held_out: Samples


def at_most(components: int, records: Samples) -> int:
    """So many principal components, or as many as these records have."""
    return min(components, len(records), math.prod(records.fields["x"].shape[1:]))


def real_pairs(source: Source, used: int, size: int | None, metric: str) -> Pairs:
    """The last `size` records of the training part, of which the loop uses the first `used`.

    Without a size: at most 10,000 of those that are left over, or a fixed half of the held-out records where these are more.
    Raises `SpecError` where a size is given and fewer are left.
    """
    held = source.reference()
    total = 0 if source.unlimited else len(source.train())
    left = max(total - used, 0)
    if size is not None and size > left:
        raise SpecError(
            f"metric {metric}: judge_size is {size:,}, but the loop trains on the first {min(used, total):,} of {total:,} real "
            f"records, so that a judge of {size:,} would have seen records of the loop; set workflow.initial_size to at most "
            f"{max(total - size, 0):,}, judge_size to at most {left:,}, or leave judge_size out"
        )
    half = len(held) // 2
    if size is None and left < max(half, 2):
        rows = (FIXED / "judge" / "half").generator().permutation(len(held))
        learnt, held = held[np.sort(rows[:half])], held[np.sort(rows[half:])]
    else:
        learnt = source.train()[total - min(size or MOST, left) : total]
    return Pairs(SourceRecords.of_source(learnt, source), SourceRecords.of_source(held, source))


def pairs_of(view: View, size: int | None, metric: str) -> Pairs:
    """`real_pairs` of a view, found once a run for all metrics that ask for as many."""
    memo: dict[Any, Any] = view.memo
    used = view.real_used
    name = ("metrics", "judge's pairs", size)
    if name not in memo:
        memo[name] = real_pairs(view.source, used, size, metric)
    return memo[name]
