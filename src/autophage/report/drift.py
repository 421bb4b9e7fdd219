"""Where the classes of generated pictures go: the plane of the real pictures' first two principal components.

The plane is fitted to real pictures once and stays, so that generations and arms can be compared. A generated picture
has the class its model was asked for; otherwise that of the nearest mean of a real class in pixel space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autophage.errors import DataError
from autophage.metrics.features import PrincipalComponents

FITTED = 600
"""Real pictures that the plane is fitted to."""
POINTS = 150
"""Pictures drawn of a generation, and real ones."""
MOST = 10
"""Classes that are told apart."""


@dataclass(frozen=True)
class Drift:
    """Pictures as points (., 2) of a plane, and the centres of their classes through the generations."""

    real: np.ndarray
    """(m, 2)"""
    generations: Sequence[int]
    """Those whose points are drawn: the first, one in the middle, the last."""
    points: Sequence[np.ndarray]
    """Of each of them (n, 2)."""
    classes: Sequence[np.ndarray]
    """Of each of them (n,) the class of each point."""
    centres: np.ndarray
    """(G, K, 2) the mean of each class in every generation, NaN where a generation has none of it."""
    real_centres: np.ndarray
    """(K, 2)"""
    names: Sequence[str] = ()
    """Of the K classes; none where the real pictures have no classes, and K is 1."""
    asked: bool = False
    """Whether models were asked for these classes."""

    def __post_init__(self) -> None:
        fits = self.centres.shape[1:] == self.real_centres.shape and len(self.names) in (
            0,
            len(self.real_centres),
        )
        if not fits or not len(self.generations) == len(self.points) == len(self.classes):
            raise DataError(
                f"a drift's parts do not fit together: centres {self.centres.shape}, real ones "
                f"{self.real_centres.shape}, {len(self.names)} names, {len(self.points)} clouds of "
                f"{len(self.generations)} generations"
            )


def drift(
    drawn: Mapping[int, np.ndarray],
    real: np.ndarray,
    real_label: np.ndarray | None = None,
    label: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> Drift:
    """The drift of records (n, d), by generation, in the plane of real ones (m, d) of classes `real_label` (m,).

    `label` (n,) holds the classes that the models were asked for. Of more than ten classes the ten most frequent are
    followed. Raises `DataError` for records that are not finite and fewer than three real ones.
    """
    if len(real) < 3:
        raise DataError(f"a plane needs three or more real records, got {len(real)}")
    flat = np.asarray(real[:FITTED], dtype=np.float64).reshape(min(len(real), FITTED), -1)
    plane = PrincipalComponents(flat, min(2, flat.shape[1]))
    known = None if real_label is None else np.asarray(real_label)[: len(flat)]
    kept = _frequent(known)
    means = np.array([flat.mean(axis=0)] if known is None else [flat[known == k].mean(axis=0) for k in kept])
    clouds, classes, centres = [], [], []
    for x in drawn.values():
        records = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        points = _placed(plane, records)
        own = (
            kept[_nearest_mean(records, means)]
            if label is None or known is None
            else np.asarray(label)[: len(x)]
        )
        clouds.append(points)
        classes.append(np.searchsorted(kept, own).clip(0, len(kept) - 1))
        classes[-1][~np.isin(own, kept)] = -1
        centres.append([_middle(points[classes[-1] == k]) for k in range(len(kept))])
    shown = sorted({0, (len(clouds) - 1) // 2, len(clouds) - 1})
    generations = list(drawn)
    return Drift(
        _placed(plane, flat[:POINTS]),
        [generations[i] for i in shown],
        [clouds[i][:POINTS] for i in shown],
        [classes[i][:POINTS] for i in shown],
        np.array(centres),
        _placed(plane, means),
        () if known is None else tuple(names[k] if 0 <= k < len(names) else str(k) for k in kept.tolist()),
        label is not None and known is not None,
    )


def _frequent(label: np.ndarray | None) -> np.ndarray:
    if label is None:
        return np.zeros(1, dtype=np.int64)
    known, count = np.unique(label, return_counts=True)
    return np.sort(known[np.argsort(-count, kind="stable")[:MOST]])


def _nearest_mean(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    return ((means**2).sum(axis=1) - 2 * x @ means.T).argmin(axis=1)


def _placed(plane: PrincipalComponents, x: np.ndarray) -> np.ndarray:
    points = plane(x)
    return points if points.shape[1] == 2 else np.column_stack([points, np.zeros(len(points))])


def _middle(points: np.ndarray) -> np.ndarray:
    return points.mean(axis=0) if len(points) else np.full(2, np.nan)
