"""What representations are worth: how well a standard regressor or classifier on them predicts what was asked, on held-out
records.

    Z = [Z_1 .. Z_K] standardised,    W = (Z'Z + penalty N I)^-1 Z'Y on training records,
    R^2_j = 1 - |Y_j - Z W_j|^2 / |Y_j - mean|^2

Columns of Z are standardised by the training records, so that no score depends on the scale of a representation. Classes are
regressed on as zeros and ones by ridge, and the largest wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from autophage.errors import FitFailed

Regressor = Literal["ridge", "svr"]

DEAD = 1e-12
"""A column that varies less than this tells nothing."""


def scores(
    train: Sequence[np.ndarray],
    targets: np.ndarray,
    test: Sequence[np.ndarray],
    held_out: np.ndarray,
    regressor: Regressor = "ridge",
    penalty: float = 0.01,
) -> np.ndarray:
    """Of representations (N, m) of each view: R^2 of each column of numbers (T,), or, for classes (N,), 1 or 0 for each held-out
    record (n,) that is classified rightly or not."""
    z, z_new = np.concatenate(train, axis=1), np.concatenate(test, axis=1)
    if not (np.isfinite(z).all() and np.isfinite(z_new).all()):
        raise FitFailed("representations hold entries that are not finite")
    middle, scale = z.mean(axis=0), z.std(axis=0)
    scale[scale <= DEAD * max(scale.max(), 1.0)] = np.inf
    z, z_new = (z - middle) / scale, (z_new - middle) / scale
    if targets.ndim == 1:
        return (_classified(z, targets, z_new, regressor, penalty) == held_out).astype(np.float64)
    if regressor == "svr":
        from sklearn.svm import SVR

        guess = np.stack([SVR().fit(z, y).predict(z_new) for y in targets.T], axis=1)
    else:
        guess = _ridge(z, targets, z_new, penalty)
    left = ((held_out - guess) ** 2).sum(axis=0)
    return 1 - left / ((held_out - held_out.mean(axis=0)) ** 2).sum(axis=0)


def _ridge(z: np.ndarray, y: np.ndarray, z_new: np.ndarray, penalty: float) -> np.ndarray:
    level = y.mean(axis=0)
    gram = z.T @ z
    gram[np.diag_indices_from(gram)] += penalty * len(z)
    return z_new @ np.linalg.lstsq(gram, z.T @ (y - level), rcond=None)[0] + level


def _classified(
    z: np.ndarray, y: np.ndarray, z_new: np.ndarray, regressor: Regressor, penalty: float
) -> np.ndarray:
    if regressor == "svr":
        from sklearn.svm import SVC

        return SVC().fit(z, y).predict(z_new)
    known = np.unique(y)
    return known[_ridge(z, (y[:, None] == known).astype(np.float64), z_new, penalty).argmax(axis=1)]
