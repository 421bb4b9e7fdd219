"""One ridge fit of real and synthetic labels together (Dohmatob, Feng, Subramonian & Kempe 2024, strong model collapse).

n1 rows labelled by the truth w1, n2 by w1 + delta with delta ~ N(0, diag(Delta)) drawn anew for every replicate, pooled and
fitted once: no generations. Theory beside it: `theory.strong_collapse`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.designs import Design, chunks, fits, whole_rows
from autophage.studies.label_chain import LabelErrors
from autophage.theory.strong_collapse import Part, mixed_error, mixture


def simulate(
    spectrum: Any,
    signal: Any,
    gap: Any,
    real: Part,
    synthetic: Part,
    *,
    replicates: int,
    key: Key | int,
    ridges: Any = 0.0,
) -> LabelErrors:
    """R independent pooled fits at once, for every penalty of `ridges` (a number or (K,)) on the same draws.

    spectrum, signal (d,): s_j and w1_j; gap (d,) or one number: Delta_j. Raises `SpecError` as `strong_collapse.mixed_error`.

    >>> found = simulate([1.0] * 10, [0.3] * 10, 0.1, Part(60, 0.5), Part(40, 0.5), replicates=2000, key=0)
    >>> found.errors.shape, bool(found.flagged[0])
    ((2000, 1), False)
    """
    key = key if isinstance(key, Key) else Key(key)
    s, w1, gaps = mixture(spectrum, signal, gap)
    grid = np.atleast_1d(np.asarray(ridges, dtype=np.float64))
    if grid.ndim != 1 or not len(grid):
        raise SpecError("ridges must be a number or a list of penalties")
    theory = np.array([mixed_error(s, w1, gaps, real, synthetic, float(r)).total for r in grid])
    n = whole_rows(real.rows) + whole_rows(synthetic.rows)
    designs = [
        (Design(s, part.rows, key / name), part)
        for name, part in (("real", real), ("synthetic", synthetic))
        if part.rows
    ]
    drift = (key / "gap").generator()
    errors = np.empty((int(replicates), len(grid)))
    for chunk in chunks(replicates, len(s) * sum(design.count for design, _ in designs)):
        count = chunk.stop - chunk.start
        delta = np.sqrt(gaps) * drift.standard_normal((count, len(s)))
        sides, labels = [], []
        for design, part in designs:
            B, noise = design.draw(count)
            w = w1 if part is real else w1 + delta
            sides.append(B)
            labels.append((np.broadcast_to(w, (count, len(s)))[:, None] @ B)[:, 0] + part.noise * noise)
        found = fits(np.concatenate(sides, axis=2), np.concatenate(labels, axis=1), n * grid)
        errors[chunk] = (found - w1) ** 2 @ s
    return LabelErrors(grid, errors, theory)
