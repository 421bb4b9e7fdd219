"""Frequencies learnt from batches of hidden provenance, with a detector (Kanabar & Gastpar 2025).

Batch 0 is real. In batch t each of n_t records is real with probability alpha, else a sample of the estimate
P_{t-1} published last; the detector marks each record. Among the records with mark d a share beta_d is real,
so they are a batch of their own with that share, and the best linear gain over all of them is

    I_t = I_{t-1} + sum_d n_d beta_d^2,   P_t = P_{t-1} + sum_d (n_d beta_d / I_t) (emp_d - P_{t-1}).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from autophage.keys import Key
from autophage.theory.arguments import probabilities, unit_interval


def simulate(
    p: Any,
    sizes: Sequence[int],
    real_share: float,
    error: float | None,
    replicates: int,
    key: Key | int,
    kind: Literal["symmetric", "erasure"] = "symmetric",
) -> np.ndarray:
    """(replicates, batches): sum of squared errors of the published estimates.

    `error` is the chance that a mark is wrong (symmetric) or missing (erasure); None means no detector.
    Estimates that leave the simplex are published as they are clipped to it.
    """
    p = probabilities(p)
    alpha = unit_interval(real_share, "real_share")
    key = Key(key) if isinstance(key, int) else key
    share, marks = _marks(alpha, error, kind)
    estimate = (key / 0).generator().multinomial(sizes[0], np.broadcast_to(p, (replicates, len(p)))) / sizes[
        0
    ]
    information = np.full(replicates, float(sizes[0]))
    course = [((estimate - p) ** 2).sum(axis=1)]
    for t, n in enumerate(sizes[1:], 1):
        here = key / t
        published = np.clip(estimate, 0, None)
        published /= published.sum(axis=1, keepdims=True)
        # Marks first, then origins, then symbols: three multinomial draws in all, whatever n.
        count = (here / "marks").generator().multinomial(n, np.broadcast_to(marks, (replicates, len(marks))))
        real = (here / "real").generator().binomial(count, share)
        added = (count * share**2).sum(axis=1)
        information = information + added
        step = np.zeros_like(estimate)
        for d in range(len(marks)):
            symbols = (
                (here / "real" / d).generator().multinomial(real[:, d], np.broadcast_to(p, estimate.shape))
            )
            symbols = symbols + (here / "synthetic" / d).generator().multinomial(
                count[:, d] - real[:, d], published
            )
            step += share[d] * (symbols - count[:, d : d + 1] * published)
        estimate = published + step / information[:, None]
        course.append(((estimate - p) ** 2).sum(axis=1))
    return np.stack(course, axis=1)


def _marks(alpha: float, error: float | None, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(the real share among records with each mark, the chance of each mark)."""
    if error is None:
        return np.array([alpha]), np.array([1.0])
    e = unit_interval(error, "error")
    if kind == "symmetric":
        joint = np.array([[alpha * (1 - e), (1 - alpha) * e], [alpha * e, (1 - alpha) * (1 - e)]])
    else:
        joint = np.array([[alpha * (1 - e), 0.0], [0.0, (1 - alpha) * (1 - e)], [alpha * e, (1 - alpha) * e]])
    joint = joint[joint.sum(axis=1) > 0]
    chance = joint.sum(axis=1)
    return joint[:, 0] / chance, chance
