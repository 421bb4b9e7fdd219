"""A contaminated categorical loop, K = 50, T = 200 rounds, 4,000 replicates (Bakshi & Chakraborty 2026), against plain
loops, and against the multinomials it cannot do without."""

from __future__ import annotations

import numpy as np

from benchmarks import references
from benchmarks.loops import ours
from benchmarks.timing import Row, paired

SYMBOLS, ROUNDS, REPLICATES, N, SHARE = 50, 200, 4000, 100, 0.1


def rows() -> list[Row]:
    p = 1.0 / np.arange(1, SYMBOLS + 1)
    p /= p.sum()
    work, units = ours(
        generations=ROUNDS + 1,
        replicates=REPLICATES,
        data={"kind": "categorical", "probabilities": p.tolist()},
        learner={"kind": "categorical"},
        workflow={"kind": "fresh", "sample_size": N, "real_share": SHARE},
    )
    rng, batched = np.random.default_rng(0), np.random.Generator(np.random.SFC64(2))

    def reference() -> None:
        for _ in range(60):
            references.contaminated(rng, ROUNDS, N, SHARE, p)

    def multinomials() -> None:
        # The library's own rate along the same course.
        q = np.tile(p, (REPLICATES // 4, 1))
        for _ in range(ROUNDS):
            q = SHARE * p + (1 - SHARE) * batched.multinomial(N, q) / N

    times = paired(
        (work, units), (reference, 60 * ROUNDS), (multinomials, REPLICATES // 4 * ROUNDS), rounds=5
    )
    return [
        Row(
            f"contaminated categorical, {SYMBOLS} symbols, {ROUNDS} rounds, {REPLICATES:,} replicates",
            times[0],
            times[1],
            ">= 70 % of the limit",
            times[2],
            "batched multinomials",
            "fresh, real share 0.1",
        )
    ]
