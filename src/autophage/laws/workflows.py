"""Laws of workflows."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.laws.broken import holds
from autophage.workflows import share_matrix


def workflow(part: Any, *, generations: int = 8, real: int = 40) -> None:
    """A plan for every generation that only asks for what is there, the same each time it is asked for, and
    whose shares sum to one. Raises `laws.Broken` at the first law that does not hold."""
    for t in range(1, generations):
        plan = part.plan(t, real)
        holds("planning is a pure function of t", plan == part.plan(t, real), part)
        holds("a plan asks the newest model for zero or more records", plan.new >= 0, part)
        for row in plan.rows:
            if row.origin == "synthetic":
                holds(
                    "no plan asks for samples of a generation that is yet to come",
                    0 <= row.first <= row.last <= t - 1,
                    part,
                )
            holds("counts are zero or more", row.count is None or row.count >= 0, part)
            if row.origin == "real" and row.count is not None:
                holds("no plan asks for more real records than there are", row.count <= real, part)
    A, fresh, sizes = share_matrix(part, generations, real)
    holds("the shares of every training set sum to one", bool(np.allclose(A.sum(axis=1) + fresh, 1)), part)
    holds("no batch enters before it was sampled", bool(np.allclose(np.triu(A, 1), 0)), part)
    holds("generation 0 is fitted to real data only", A[0, 0] == 1 and fresh[0] == 0, part)
    holds("sizes are whole numbers", bool((sizes == np.floor(sizes)).all()), part)
    early, _, _ = share_matrix(part, generations - 2, real)
    holds(
        "more generations do not change the earlier ones",
        bool(np.array_equal(early, A[: generations - 2, : generations - 2])),
        part,
    )
