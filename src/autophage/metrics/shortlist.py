"""Which points may be among the k nearest of each query, as bounds on distances come in, and in the end which are."""

from __future__ import annotations

import numpy as np

from autophage.metrics.tiles import lengths

CAP = 8
"""Times k: a longer list is settled by exact distances, so that copies without end do not fill the memory."""
PENDING = 4
"""Times k n: bounds kept before the lists are sorted and cut."""

SEEDS = 512
"""Points that are enough to bound a query's reach for a start."""


class Shortlist:
    """Bounds on squared distances of queries (n, d) to points (m, d). Points must be added in the order of their indices,
    query by query, and each pair once."""

    def __init__(self, queries: np.ndarray, points: np.ndarray, k: int) -> None:
        n = len(queries)
        self.queries, self.points, self.k = queries, points, k
        self.best = np.full((n, k), np.inf)
        """Upper bounds of the k nearest so far."""
        self.reach = np.full(n, np.inf)
        """What is certainly farther is not among the nearest; -inf where nothing can be nearer than what was found."""
        self._done = np.zeros(n, bool)
        empty = np.empty(0, np.int32)
        self._kept = (empty, empty, np.empty(0), np.empty(0))
        self._new: list[tuple[np.ndarray, ...]] = []
        self._pending = 0

    def seed(self, some: slice, low: np.ndarray, doubt: np.ndarray) -> None:
        """Tightens the reach of some queries by lower bounds (r, c) for c points, too low by at most `doubt` (r,). The points
        are still to be added."""
        if low.shape[1] >= self.k:
            low = low[:, : max(SEEDS, self.k)]
            kth = np.partition(low, self.k - 1, axis=1)[:, self.k - 1]
            self.reach[some] = np.minimum(self.reach[some], kth + doubt)

    def tighten(self, i: np.ndarray, high: np.ndarray) -> None:
        """The same by upper bounds for pairs whose query is i."""
        order = np.argsort(i, kind="stable")
        where, table = _table(i[order], high[order])
        if table.shape[1] >= self.k:
            kth = np.partition(table, self.k - 1, axis=1)[:, self.k - 1]
            self.reach[where] = np.minimum(self.reach[where], kth)

    def add(self, i: np.ndarray, j: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Bounds for pairs of a query i and a point j."""
        use = low <= self.reach[i]
        if not use.any():
            return
        i, j, low, high = i[use], j[use], low[use], high[use]
        order = np.argsort(i, kind="stable")
        i, j, low, high = i[order], j[order], low[order], high[order]
        where, table = _table(i, high)
        both = np.concatenate([self.best[where], table], axis=1)
        both.partition(self.k - 1, axis=1)
        self.best[where] = both[:, : self.k]
        self.reach[where] = np.minimum(self.reach[where], both[:, : self.k].max(axis=1))
        self._new.append((i.astype(np.int32), j.astype(np.int32), low, high))
        self._pending += len(i)
        if self._pending > max(PENDING * self.best.size, 2**18):
            self._cut()

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices (n, k) of the k nearest, for k up to the list's own."""
        self._cut()
        i, j, _, _ = self._kept
        away = lengths(self.queries, i, self.points, j)
        order = np.lexsort((j, away, i))
        first = np.searchsorted(i, np.arange(len(self.queries)))
        pick = order[first[:, None] + np.arange(k)]
        return away[pick], j[pick].astype(np.int64)

    def kth(self, k: int) -> np.ndarray:
        """The distance (n,) to the k-th nearest, for k up to the list's own. Only what may be the k-th is computed."""
        self._cut()
        i, j, low, high = self._kept
        at_least, at_most = (
            np.partition(_table(i, bound)[1], k - 1, axis=1)[:, k - 1] for bound in (low, high)
        )
        nearer = high < at_least[i]
        maybe = np.flatnonzero(~nearer & (low <= at_most[i]))
        left = k - np.bincount(i[nearer], minlength=len(self.queries))
        away = lengths(self.queries, i[maybe], self.points, j[maybe])
        ordered = np.sort(_table(i[maybe], away)[1], axis=1)
        return ordered[np.arange(len(left)), left - 1]

    def _cut(self) -> None:
        """Leaves what may still be among the nearest, sorted by query, and settles lists that are too long."""
        if not self._new:
            return
        parts = [self._kept, *self._new]
        self._new, self._pending = [], 0
        i, j, low, high = (np.concatenate(column) for column in zip(*parts, strict=True))
        use = np.flatnonzero(low <= np.where(self._done, 0, self.reach)[i])
        use = use[np.argsort(i[use], kind="stable")]
        i, j, low, high = i[use], j[use], low[use], high[use]
        count = np.bincount(i, minlength=len(self.queries))
        if count.max() > CAP * self.k:
            i, j, low, high = self._settled(i, j, low, high, count)
        self._kept = i, j, low, high

    def _settled(
        self, i: np.ndarray, j: np.ndarray, low: np.ndarray, high: np.ndarray, count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Long lists cut to their k nearest, whose distances are then known. A query with k copies needs no more points
        than it takes to find them."""
        long = count > CAP * self.k
        rank = np.arange(len(i)) - np.searchsorted(i, i)
        first = np.flatnonzero(long[i] & (rank < 2 * self.k))
        known = np.full(len(i), np.inf)
        known[first] = lengths(self.queries, i[first], self.points, j[first])
        done = np.bincount(i[first][known[first] == 0], minlength=len(count)) >= self.k
        rest = np.flatnonzero(long[i] & ~done[i] & (rank >= 2 * self.k))
        known[rest] = lengths(self.queries, i[rest], self.points, j[rest])
        order = np.lexsort((j, known, i))
        ranked = np.empty(len(i), np.int64)
        ranked[order] = rank
        use = np.flatnonzero(~long[i] | (ranked < self.k))
        i, j, low, high, known = (a[use] for a in (i, j, low, high, known))
        exact = long[i]
        # The square of a rounded root: a hair to either side.
        low[exact] = np.square(known[exact]) * (1 - 1e-15)
        high[exact] = np.square(known[exact]) * (1 + 1e-15)
        where, table = _table(i[exact], high[exact])
        self.best[where] = table
        self.reach[where] = table.max(axis=1)
        self._done |= done
        self.reach[self._done] = -np.inf
        return i, j, low, high


def _table(i: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The queries (u,) of a sorted list, and their values as rows (u, longest), filled up with infinity."""
    start = np.flatnonzero(np.r_[True, i[1:] != i[:-1]]) if len(i) else np.empty(0, np.int64)
    count = np.diff(np.r_[start, len(i)])
    table = np.full((len(start), count.max(initial=0)), np.inf)
    table[np.repeat(np.arange(len(start)), count), np.arange(len(i)) - np.repeat(start, count)] = values
    return i[start], table
