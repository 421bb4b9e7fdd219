"""Generated pictures beside the nearest real ones: has the model learnt a law, or its training set by heart?

Distances are Euclidean in pixel space, over the median distance of held-out real pictures to the training set, so
that 1 is what a new real picture would have. A blurred picture lies close to many real ones, a copy to one only:
a picture counts as a copy where the nearest real one is less than a third as far away as the second nearest (Yoon,
Choi, Kwon and Ryu 2023; Gu, Du, Pang, Li, Lin and Wang 2023), or is itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autophage.errors import DataError
from autophage.metrics.neighbours import nearest
from autophage.report.montage import as_bytes, fitted
from autophage.samples import Field, chunks

SHOWN = 8
"""Generated pictures drawn."""
JUDGED = 64
"""Generated pictures compared, the drawn ones first among them, and held-out ones."""
COPY = 1 / 3
AT_ONCE = 4096
"""Training records held in double precision."""


@dataclass(frozen=True)
class Neighbours:
    """A few generated pictures of some generations, each with its nearest real one."""

    generations: Sequence[int]
    pictures: np.ndarray
    """(G, n, h, w[, 3]) bytes."""
    real: np.ndarray
    """Of the same shape: the nearest pictures of the training set."""
    relative: np.ndarray
    """(G, n) the distance over the usual one of held-out real pictures; infinite where these repeat the training set."""
    copied: np.ndarray
    """(G, n) whether it is a copy."""
    median: np.ndarray
    """(G,) the median relative distance of all pictures compared."""
    copies: np.ndarray
    """(G,) how many of them are copies."""
    judged: int
    """How many were compared in each generation."""

    def __post_init__(self) -> None:
        lead = self.pictures.shape[:2]
        same = self.real.shape == self.pictures.shape and self.relative.shape == self.copied.shape == lead
        if not same or len(self.generations) != lead[0]:
            raise DataError(
                f"neighbours of {len(self.generations)} generations do not fit together: pictures {self.pictures.shape}, "
                f"real {self.real.shape}, distances {self.relative.shape}, copies {self.copied.shape}"
            )


def neighbours(
    drawn: Mapping[int, np.ndarray],
    train: Field,
    held_out: np.ndarray,
    shape: tuple[int, ...],
    value_range: tuple[float, float],
) -> Neighbours:
    """The nearest pictures of the training set `train` (m, d) to the first few records (n, d) of each generation,
    with held-out real ones (k, d) as the yardstick.

    Raises `DataError` for fewer than two training records, and where records are not finite or of another width.
    """
    if len(train) < 2:
        raise DataError(f"neighbours need two or more training records, got {len(train)}")
    count = min(JUDGED, *(len(x) for x in drawn.values()))
    queries = [_flat(x)[:count] for x in (held_out, *drawn.values())]
    if len({q.shape[1] for q in queries}) > 1:
        raise DataError(
            f"records of {sorted({q.shape[1] for q in queries})} numbers are no neighbours of each other"
        )
    if not all(np.isfinite(q).all() for q in queries):
        raise DataError("neighbours need finite records")
    distances, indices = two_nearest(np.concatenate(queries), train)
    yardstick = len(queries[0])
    usual = float(np.median(distances[:yardstick, 0]))
    away = distances[yardstick:].reshape(len(drawn), count, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.nan_to_num(away[..., 0] / usual, nan=0.0, posinf=np.inf)
    copied = (away[..., 0] < COPY * away[..., 1]) | (away[..., 0] == 0)
    shown = min(SHOWN, count)
    rows = indices[yardstick:, 0].reshape(len(drawn), count)[:, :shown].ravel()
    generated = np.concatenate([q[:shown] for q in queries[1:]])
    pair = [
        fitted(as_bytes(x.reshape(-1, *shape), value_range))
        for x in (generated, _flat(np.asarray(train[rows])))
    ]
    pictures, real = (images.reshape(len(drawn), shown, *images.shape[1:]) for images in pair)
    return Neighbours(
        list(drawn),
        pictures,
        real,
        relative[:, :shown],
        copied[:, :shown],
        np.median(relative, axis=1),
        copied.sum(axis=1),
        count,
    )


def two_nearest(queries: np.ndarray, points: Field) -> tuple[np.ndarray, np.ndarray]:
    """Distances (n, 2) and indices (n, 2) of the two nearest points (m, d), m >= 2, of each query (n, d), the points
    read in parts, so that a training set on disk never stands in memory as a whole.

    >>> two_nearest(np.array([[0.0], [3.0]]), np.array([[1.0], [5.0], [3.5]]))[1].tolist()
    [[0, 2], [2, 1]]
    """
    distances = np.empty((len(queries), 0))
    indices = np.empty((len(queries), 0), dtype=np.int64)
    first = 0
    for part in chunks(points, AT_ONCE):
        away, where = nearest(queries, _flat(part), min(2, len(part)))
        distances = np.concatenate([distances, away], axis=1)
        indices = np.concatenate([indices, where + first], axis=1)
        best = np.argsort(distances, axis=1, kind="stable")[:, :2]
        distances = np.take_along_axis(distances, best, axis=1)
        indices = np.take_along_axis(indices, best, axis=1)
        first += len(part)
    return distances, indices


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)
