"""Nearest neighbours and balls around records, in little memory and without rounding surprises.

Tiles of lower bounds (`tiles`) say what may be near; whatever is reported, and every comparison too close to call, is
then computed from differences. So a copy of a record lies at distance exactly zero, "distance <= radius" means just
that, and the answer depends neither on the chunk nor on whether features came as float32 or float64. In few dimensions
a k-d tree finds the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.shortlist import Shortlist
from autophage.metrics.tiles import CHUNK, Prepared, Tile, lengths, prepare, tiles

TREE_DIMENSIONS = 8
_SLACK = 1e-15


class Balls(NamedTuple):
    """How many balls hold each point (n,), how many points each ball holds (m,), and who is alone: the ball
    of each point that lies in just one (n,), and the point of each ball that holds just one (m,), else -1."""

    per_point: np.ndarray
    per_ball: np.ndarray
    only_ball: np.ndarray
    only_point: np.ndarray


def nearest(
    queries: np.ndarray, points: np.ndarray, k: int = 1, *, own: bool = False, chunk: int = CHUNK
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, k) and indices (n, k) of the k nearest points (m, d) of each query (n, d), nearest first, of equals the
    one that comes first.

    `own=True`: queries are the points themselves, and none counts as its own neighbour (a duplicate does, at
    distance zero). Raises `SpecError` when there are fewer than k points to choose from, `DataError` when the
    widths differ.

    >>> nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0], [3.0]]), k=2)[0].tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    same_width(queries, points)
    check_count(k, len(points), own)
    if points.shape[1] <= TREE_DIMENSIONS:
        return _by_tree(queries, points, k, own)
    middle = points.mean(axis=0, dtype=np.float64)
    b = prepare(points, middle)
    return shortlist(b if own else prepare(queries, middle), b, k, chunk=chunk).nearest(k)


def check_count(k: int, points: int, own: bool) -> None:
    """Raises `SpecError` unless there are k points to choose from."""
    if not 1 <= k <= points - own:
        raise SpecError(f"k is {k}; with {points} records it must lie between 1 and {points - own}")


def shortlist(a: Prepared, b: Prepared, k: int, *, chunk: int = CHUNK) -> Shortlist:
    """Which records of b may be among the k nearest of each record of a; of a set against itself (a is b) every product
    serves both records, and none is its own neighbour."""
    own = a is b
    found = Shortlist(a.records, b.records, k)
    for tile in tiles(a, b, chunk=chunk):
        if tile.diagonal:
            np.fill_diagonal(tile.low, np.inf)
        across = own and not tile.diagonal
        if not np.isfinite(found.reach[tile.rows]).all():
            found.seed(tile.rows, tile.low, tile.slack(0))
        if across and not np.isfinite(found.reach[tile.columns]).all():
            found.seed(tile.columns, tile.low.T, tile.slack(1))
        i, j = tile.below(found.reach[tile.rows], found.reach[tile.columns] if across else None)
        if tile.diagonal:
            i, j = i[i != j], j[i != j]
        low, high = tile.bounds(i, j)
        query, point = tile.rows.start + i, tile.columns.start + j
        if tile.crowded(len(i)):
            found.tighten(query, high)
            use = low <= found.reach[query]
            if across:
                found.tighten(point, high)
                use |= low <= found.reach[point]
            i, j, low, high, query, point = (v[use] for v in (i, j, low, high, query, point))
            if tile.crowded(len(i)):
                low, high = tile.sharper(i, j)
        found.add(query, point, low, high)
        if across:
            found.add(point, query, low, high)
    return found


def _by_tree(queries: np.ndarray, points: np.ndarray, k: int, own: bool) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial import cKDTree

    indices = cKDTree(points).query(queries, k=np.arange(1, k + own + 1))[1]
    each = np.repeat(np.arange(len(queries)), k + own)
    distances = lengths(queries, each, points, indices.ravel()).reshape(indices.shape)
    order = np.lexsort((indices, distances), axis=1)
    distances, indices = (np.take_along_axis(a, order, axis=1) for a in (distances, indices))
    if not own:
        return distances, indices
    itself = indices == np.arange(len(queries))[:, None]
    itself[~itself.any(axis=1), -1] = True  # crowded out by more than k duplicates, all at distance zero
    return distances[~itself].reshape(-1, k), indices[~itself].reshape(-1, k)


def balls(
    points: np.ndarray, centres: np.ndarray, radii: np.ndarray, *, closed: bool = True, chunk: int = CHUNK
) -> Balls:
    """Which points (n, d) lie in which balls: centres (m, d), radii (m,); with their spheres unless `closed` is false.

    >>> held = balls(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    >>> held.per_point.tolist(), held.per_ball.tolist(), held.only_ball.tolist(), held.only_point.tolist()
    ([2, 1], [1, 2], [-1, 1], [0, -1])
    """
    same_width(points, centres)
    if len(radii) != len(centres):
        raise DataError(f"there are {len(centres)} centres but {len(radii)} radii")
    middle = centres.mean(axis=0, dtype=np.float64)
    sets = prepare(centres, middle), prepare(points, middle)
    return mutual_balls(*sets, [(radii, closed)], [], chunk=chunk)[0][0]


def mutual_balls(
    a: Prepared,
    b: Prepared,
    around_a: Sequence[tuple[np.ndarray, bool]],
    around_b: Sequence[tuple[np.ndarray, bool]],
    *,
    chunk: int = CHUNK,
) -> tuple[list[Balls], list[Balls]]:
    """Balls around the records of a that hold records of b, and the other way round, all in one pass. Each entry is the
    radii around a set's records, and whether the spheres belong to the balls."""
    one = [_Counts(len(a), len(b), *each) for each in around_a]
    other = [_Counts(len(b), len(a), *each) for each in around_b]
    if not one and not other:
        return [], []
    for tile in tiles(a, b, chunk=chunk):
        rows, columns = _widest(one, tile.rows), _widest(other, tile.columns)
        i, j = tile.below(rows, columns)
        if len(i) == 0:
            continue
        asked = [(c, tile.rows.start + i, tile.columns.start + j) for c in one]
        asked += [(c, tile.columns.start + j, tile.rows.start + i) for c in other]
        for (counts, centre, point), inside in zip(asked, _decided(tile, i, j, asked), strict=True):
            counts.add(centre[inside], point[inside])
    return [c.found() for c in one], [c.found() for c in other]


class _Counts:
    """Who lies in whose ball, as far as was looked."""

    def __init__(self, balls: int, points: int, radii: np.ndarray, closed: bool) -> None:
        self.radii, self.closed = radii, closed
        self.square = np.square(radii)
        self.per_ball, self.point_sum = np.zeros((2, balls), np.int64)
        self.per_point, self.ball_sum = np.zeros((2, points), np.int64)

    def add(self, ball: np.ndarray, point: np.ndarray) -> None:
        """Balls and points in them, pair by pair; each pair once."""
        for total, index, other in (
            (self.per_ball, ball, None),
            (self.point_sum, ball, point),
            (self.per_point, point, None),
            (self.ball_sum, point, ball),
        ):
            total += np.bincount(index, other, len(total)).astype(np.int64)

    def found(self) -> Balls:
        # The sum of the indices of a single one is its index.
        only_ball = np.where(self.per_point == 1, self.ball_sum, -1)
        only_point = np.where(self.per_ball == 1, self.point_sum, -1)
        return Balls(self.per_point, self.per_ball, only_ball, only_point)


def _widest(counts: Sequence[_Counts], some: slice) -> np.ndarray | None:
    """The largest squared radius of each record, and a little."""
    return np.max([c.square[some] for c in counts], axis=0) * (1 + _SLACK) if counts else None


def _decided(
    tile: Tile, i: np.ndarray, j: np.ndarray, asked: Sequence[tuple[_Counts, np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """For each question, which of the places (i, j) lie inside: by their bounds, and by their distance where these do not
    tell."""
    low, high = tile.bounds(i, j)

    def open_ones() -> np.ndarray:
        doubt = np.zeros(len(i), bool)
        for counts, centre, _ in asked:
            square = counts.square[centre]
            doubt |= (low <= square * (1 + _SLACK)) & ~(high < square * (1 - _SLACK))
        return np.flatnonzero(doubt)

    doubt = open_ones()
    if tile.crowded(len(doubt)):
        low[doubt], high[doubt] = tile.sharper(i[doubt], j[doubt])
        doubt = open_ones()
    away = lengths(tile.a.records, tile.rows.start + i[doubt], tile.b.records, tile.columns.start + j[doubt])
    answers = []
    for counts, centre, _ in asked:
        inside = high < counts.square[centre] * (1 - _SLACK)
        radius = counts.radii[centre[doubt]]
        inside[doubt] = away <= radius if counts.closed else away < radius
        answers.append(inside)
    return answers


def same_width(a: np.ndarray, b: np.ndarray) -> None:
    """Raises `DataError` unless both are matrices of one width."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"neighbours need two matrices of one width, got shapes {a.shape} and {b.shape}")
