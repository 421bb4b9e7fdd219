"""Thresholds on [0, 1]: x is labelled 1 from theta on, points are uniform. VC dimension 1.

A hypothesis is its threshold, (R,); 0 labels everything 1, and 1 everything 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autophage.errors import NotRealisable
from autophage.keys import Key
from autophage.theory.arguments import unit_interval

_BEHIND = np.float64(2.0).view(np.uint64) | np.uint64(1)
"""A point behind every other, with label 1: it changes no minimum."""
ROWS = 64
"""Replicates whose piles are searched together: what they need fits into a cache."""


class Points(NamedTuple):
    """Records, each field (R, n). Those that are not `present` belong to another part of the same round."""

    x: np.ndarray
    label: np.ndarray
    present: np.ndarray


class Interval(NamedTuple):
    """Thresholds in (above, upto], each (R,): above the largest known 0, up to the smallest known 1."""

    above: np.ndarray
    upto: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """All thresholds, one of them true."""

    theta: float = 0.5
    """The true threshold, in [0, 1]."""
    label_noise: float = 0.0
    """The chance that a natural label is flipped; above 0 the concept is not realisable."""

    def __post_init__(self) -> None:
        unit_interval(self.theta, "theta")
        unit_interval(self.label_noise, "label_noise")

    def start(self, replicates: int) -> np.ndarray:
        return np.ones(replicates)

    def constant(self, labels: np.ndarray) -> np.ndarray:
        return np.where(labels, 0.0, 1.0)

    def draw(self, n: int, contamination: float, published: np.ndarray, key: Key) -> tuple[Points, Points]:
        shape = (len(published), n)
        x = (key / "points").generator().random(shape)
        natural = (key / "origin").generator().random(shape) >= contamination
        label = np.where(natural, x >= self.theta, x >= published[:, None])
        if self.label_noise:
            label ^= natural & ((key / "flips").generator().random(shape) < self.label_noise)
        everything = np.ones(shape, dtype=bool)
        return Points(x, label, everything), Points(x, label, natural)

    def risk(self, hypothesis: np.ndarray) -> np.ndarray:
        return np.abs(np.clip(hypothesis, 0.0, 1.0) - self.theta)

    def contradicting(self, records: Points, hypothesis: np.ndarray) -> Points:
        other = records.label != (records.x >= hypothesis[:, None])
        return records._replace(present=records.present & other)

    def only(self, records: Points, where: np.ndarray) -> Points:
        return records._replace(present=records.present & where[:, None])

    def collect(self, pile: np.ndarray | None, records: Points) -> np.ndarray:
        """(R, N): all points in order, as one array of numbers: the last binary digit of each is its label."""
        marked = (records.x.view(np.uint64) & ~np.uint64(1)) | records.label
        marked = np.where(records.present, marked, _BEHIND)
        if pile is not None:
            marked = np.concatenate([pile, marked], axis=1)
        marked.sort(axis=1, kind="stable")
        return marked

    def minimiser(self, pile: np.ndarray, near: np.ndarray) -> np.ndarray:
        found = np.empty(len(pile))
        for low in range(0, len(pile), ROWS):
            some = slice(low, low + ROWS)
            found[some] = _best(pile[some], near[some])
        return found

    def constrained(self, space: Interval | None, records: Points) -> Interval:
        above = np.where(records.present & ~records.label, records.x, -1.0).max(axis=1)
        upto = np.where(records.present & records.label, records.x, 2.0).min(axis=1)
        if space is not None:
            above, upto = np.maximum(above, space.above), np.minimum(upto, space.upto)
        crossed = above >= upto
        if crossed.any():
            raise NotRealisable(
                f"in {crossed.sum()} of {len(crossed)} replicates a natural 0 lies above a natural 1, which no "
                "threshold allows"
            )
        return Interval(above, upto)

    def nearest(self, space: Interval, near: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(near, np.nextafter(space.above, 2.0)), space.upto)


def _best(pile: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(R,) thresholds with the fewest wrong labels, of several the nearest to `near`.

    Cell j holds the thresholds in (x_{j-1}, x_j]; stepping over a 1 adds a mistake, over a 0 mends one. So the best cell is
    not before the first 1, nor beyond the one behind the last 0, and only what lies between is searched.
    """
    N = pile.shape[1]
    ones = (pile & np.uint64(1)).astype(bool)
    first, last = int(ones.argmax(axis=1).min()), N - int((~ones[:, ::-1]).argmax(axis=1).min())
    x, cells = pile.view(np.float64), np.arange(last - first + 1)
    mistakes = np.zeros((len(pile), len(cells)), dtype=np.int32)
    np.cumsum(ones[:, first:last] * np.int8(2) - np.int8(1), axis=1, dtype=np.int32, out=mistakes[:, 1:])
    least = mistakes == mistakes.min(axis=1, keepdims=True)
    place = (x[:, first:last] < near[:, None]).sum(axis=1)[
        :, None
    ]  # the cell of `near`, or the end on its side
    before, after = least & (cells <= place), least & (cells >= place)
    left = _nearest(x, first + cells[-1] - before[:, ::-1].argmax(axis=1), near)
    right = _nearest(x, first + after.argmax(axis=1), near)
    left, right = (np.where(m.any(axis=1), t, np.inf) for m, t in ((before, left), (after, right)))
    return np.where(np.abs(left - near) <= np.abs(right - near), left, right)


def _nearest(x: np.ndarray, cell: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(R,) the threshold of a cell (x_{j-1}, x_j], j = cell (R,), that is nearest to `near`."""
    rows, N = np.arange(len(x)), x.shape[1]
    lower = np.where(cell > 0, np.nextafter(x[rows, np.maximum(cell - 1, 0)], 3.0), 0.0)
    upper = np.where(cell < N, x[rows, np.minimum(cell, N - 1)], 3.0)
    return np.minimum(np.maximum(near, lower), upper)
