"""Nearest neighbours and balls around records, in little memory and without rounding surprises.

Distances come in chunks from |a|^2 + |b|^2 - 2ab (one matrix product); whatever is reported, and every
comparison too close to call, is then computed again from differences. So a copy of a record lies at distance
exactly zero, "distance <= radius" means just that, and the answer does not depend on the chunk. In few
dimensions a k-d tree does it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError

CHUNK = 2**21
"""Distances held at once (16 MiB)."""
TREE_DIMENSIONS = 8
_ROUNDING = 4e-16


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
    """Distances (n, k) and indices (n, k) of the k nearest points (m, d) of each query (n, d), nearest first.

    `own=True`: queries are the points themselves, and none counts as its own neighbour (a duplicate does, at
    distance zero). Raises `SpecError` when there are fewer than k points to choose from, `DataError` when the
    widths differ.

    >>> nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0], [3.0]]), k=2)[0].tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    _same_width(queries, points)
    if not 1 <= k <= len(points) - own:
        raise SpecError(f"k is {k}; with {len(points)} records it must lie between 1 and {len(points) - own}")
    search = _by_tree if points.shape[1] <= TREE_DIMENSIONS else _by_product
    indices = search(queries, points, k + own, chunk)
    distances = np.empty(indices.shape)
    step = max(1, chunk // points.shape[1])
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        for j in range(k + own):
            distances[rows, j] = _lengths(queries[rows] - points[indices[rows, j]])
    order = np.lexsort((indices, distances), axis=1)
    distances, indices = (
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(indices, order, axis=1),
    )
    if not own:
        return distances, indices
    itself = indices == np.arange(len(queries))[:, None]
    itself[~itself.any(axis=1), -1] = True  # crowded out by more than k duplicates, all at distance zero
    return distances[~itself].reshape(-1, k), indices[~itself].reshape(-1, k)


def _by_tree(queries: np.ndarray, points: np.ndarray, k: int, chunk: int) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(points).query(queries, k=np.arange(1, k + 1))[1]


def _by_product(queries: np.ndarray, points: np.ndarray, k: int, chunk: int) -> np.ndarray:
    middle = points.mean(axis=0)
    around = points - middle
    size = np.einsum("ij,ij->i", around, around)
    around *= -2
    indices = np.empty((len(queries), k), dtype=np.int64)
    rows = max(1, chunk // len(points))
    for start in range(0, len(queries), rows):
        score = (queries[start : start + rows] - middle) @ around.T
        score += size  # the squared distance but for |query|^2, which is the same for all points
        near = np.argpartition(score, k - 1, axis=1)[:, :k] if k < len(points) else np.argsort(score, axis=1)
        indices[start : start + rows] = near
    return indices


def balls(points: np.ndarray, centres: np.ndarray, radii: np.ndarray, *, chunk: int = CHUNK) -> Balls:
    """Which points (n, d) lie in which closed balls: centres (m, d), radii (m,).

    >>> held = balls(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))
    >>> held.per_point.tolist(), held.per_ball.tolist(), held.only_ball.tolist(), held.only_point.tolist()
    ([2, 1], [1, 2], [-1, 1], [0, -1])
    """
    _same_width(points, centres)
    if len(radii) != len(centres):
        raise DataError(f"there are {len(centres)} centres but {len(radii)} radii")
    d = centres.shape[1]
    middle = centres.mean(axis=0)
    around = centres - middle
    size = np.einsum("ij,ij->i", around, around)
    reach = size - radii**2
    doubt = _ROUNDING * (d + 8)
    per_point, only_ball = np.zeros((2, len(points)), dtype=np.int64)
    per_ball, only_point = np.zeros((2, len(centres)), dtype=np.int64)
    rows, step = max(1, chunk // len(centres)), max(1, chunk // d)
    for start in range(0, len(points), rows):
        some = points[start : start + rows] - middle
        own = np.einsum("ij,ij->i", some, some)
        over = some @ around.T
        over *= -2
        over += own[:, None]
        over += reach  # squared distance less squared radius
        inside = over <= 0
        np.abs(over, out=over)
        over -= doubt * own[:, None]
        i, j = np.nonzero(over <= doubt * (size + radii**2))
        for first in range(0, len(i), step):
            a, b = i[first : first + step], j[first : first + step]
            inside[a, b] = _lengths(points[start + a] - centres[b]) <= radii[b]
        hits, here = inside.sum(axis=1), inside.sum(axis=0)
        per_point[start : start + rows] = hits
        per_ball += here
        row, column = np.flatnonzero(hits == 1), np.flatnonzero(here == 1)
        only_ball[start + row] = inside[row].argmax(axis=1)
        only_point[column] = start + inside[:, column].argmax(axis=0)
    only_ball[per_point != 1] = -1
    only_point[per_ball != 1] = -1
    return Balls(per_point, per_ball, only_ball, only_point)


def _lengths(difference: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", difference, difference))


def _same_width(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"neighbours need two matrices of one width, got shapes {a.shape} and {b.shape}")
