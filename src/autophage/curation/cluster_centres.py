"""Samples are put on the centres of clusters of the real records (a corrector of Gillman et al. 2024).

    x -> the nearest of the k-means centres of the real records of x's class; of all real records where there are no classes

The centres are found once a run and never change. What is corrected has at most so many different values: support is lost for
certainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import FitFailed
from autophage.interventions import Curating
from autophage.samples import Batch, Samples, reckonable

RESTARTS = 4
"""Fits of k-means, of which the best counts."""


def corrected(samples: Any, mask: np.ndarray, clusters: int, context: Curating) -> Any:
    """The samples with those of the mask (R, n) on their nearest centre, which stay synthetic; notes `support`, how many
    different records there are then."""
    if isinstance(samples, Batch):
        found = [
            _moved(samples.x[r], None, mask[r], _centres(context, clusters, r))
            for r in range(samples.replicates)
        ]
        context.note("support", [_support(x) for x in found])
        return Batch(np.stack(found), samples.generation, samples.agent, samples.weight)
    x = _moved(samples.x, samples.label, mask[0], _centres(context, clusters, 0))
    context.note("support", _support(x))
    return Samples({**samples.fields, "x": x}, *samples.columns)


def _centres(context: Curating, clusters: int, r: int) -> dict[int | None, np.ndarray]:
    """The centres (k, d) of each class; under None those of records without classes."""
    real = context.real
    if isinstance(real, Batch):
        r = 0 if real.replicates == 1 else r
    kept = context.memo.setdefault("cluster centres", {})
    name = (context.agent, getattr(context, "block", 0), clusters, r)
    if name not in kept:
        records = real.replicate(r) if isinstance(real, Batch) else real
        flat, label = records.flat(), records.label
        groups = {None: flat} if label is None else {int(c): flat[label == c] for c in np.unique(label)}
        kept[name] = {c: kmeans(x, clusters) for c, x in groups.items()}
    return kept[name]


def kmeans(x: np.ndarray, clusters: int) -> np.ndarray:
    """The centres (k, d) of k-means on records (n, d), the same at every call; the records themselves where no more than
    `clusters` of them differ."""
    different = np.unique(x, axis=0)
    if len(different) <= clusters:
        return different
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(clusters, n_init=RESTARTS, random_state=0).fit(x).cluster_centers_)


def _moved(
    x: np.ndarray, label: np.ndarray | None, mask: np.ndarray, centres: dict[int | None, np.ndarray]
) -> np.ndarray:
    flat = np.asarray(reckonable(x).reshape(len(x), -1), dtype=np.float64)
    out = flat.copy()
    if label is None and None not in centres:
        centres = {None: np.concatenate(list(centres.values()))}
    for c in [None] if None in centres else np.unique(np.asarray(label)[mask]).tolist():
        if c not in centres:
            raise FitFailed(
                f"there are samples of class {c}, of which there is no real record to be corrected by"
            )
        rows = np.flatnonzero(mask if c is None else mask & (np.asarray(label) == c))
        near = np.square(centres[c]).sum(axis=1) - 2 * flat[rows] @ centres[c].T
        out[rows] = centres[c][near.argmin(axis=1)]
    wide = mask.reshape(-1, *(1,) * (x.ndim - 1))
    moved = out.reshape(x.shape)
    if x.dtype.kind in "iu":
        moved = np.rint(moved)
    return np.where(wide, moved.astype(x.dtype), x)


def _support(x: np.ndarray) -> int:
    return len(np.unique(x.reshape(len(x), -1), axis=0))
