"""Laws of sources of real data."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.data.pairs import outputs_of
from autophage.keys import Key
from autophage.laws.broken import holds


def source(part: Any) -> None:
    """Held-out records that are always the same; training records or draws of the same shape, finite, and
    repeatable. Raises `laws.Broken` at the first law that does not hold."""
    reference = part.reference()
    again = part.reference()
    holds("the reference is the same each time", np.array_equal(reference.x, again.x), part)
    holds("the reference holds at least two records", len(reference) >= 2, part)
    holds("records are finite", bool(np.isfinite(reference.x.astype(np.float64)).all()), part)
    holds("real records have generation -1", bool((np.asarray(reference.generation) == -1).all()), part)
    width = 1 if part.domain == "symbols" else part.dim
    if part.domain == "pairs":
        width += outputs_of(part)
    holds("dim is the width of a record", int(np.prod(reference.x.shape[1:], dtype=int)) == width, part)
    if not part.unlimited:
        train = part.train()
        holds("train and reference have one shape", train.x.shape[1:] == reference.x.shape[1:], part)
        holds("the training part is the larger", len(train) >= len(reference), part)
        return
    key = Key(0) / "laws"
    five, two = part.draw(30, key=key, replicates=5), part.draw(30, key=key, replicates=2)
    holds("draw gives replicates x n records", five.x.shape[:2] == (5, 30), part)
    holds("replicate r does not depend on how many follow", np.array_equal(five.x[:2], two.x), part)
    holds(
        "another key draws other records",
        not np.array_equal(two.x, part.draw(30, key=key / "b", replicates=2).x),
        part,
    )
    holds("drawn records have the reference's shape", five.x.shape[2:] == reference.x.shape[1:], part)
    if part.truth is not None:
        holds("the true law is a model of one replicate", part.truth.replicates == 1, part)
