"""Linear analysis in closed form, and no analysis at all.

    (S_off) W = (S_D + r I) W diag(mu),       Z_k = (X_k - mean) W_k sqrt K

The covariance is summed over pieces of the records, which are read twice and copied once, a piece at a time.
Sources: Hotelling (1936), Relations between two sets of variates; Kettenring (1971).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from autophage.keys import Key
from autophage.multiview.canonical import directions
from autophage.multiview.method import Method, Weights

PIECE = 8_192
"""Records that are centred at a time."""


@dataclass(frozen=True, kw_only=True)
class GCCA(Method):
    """Generalised canonical correlation analysis (MAXVAR) of two or more views."""

    citation: ClassVar[tuple[str, ...]] = (
        "Kettenring (1971), Canonical analysis of several sets of variables, Biometrika 58",
    )

    def check(self, widths: Sequence[int], records: int) -> None:
        super().check(widths, records)
        # All columns are whitened here, not only a representation.
        from autophage.errors import DataError, SpecError

        if self.ridge == 0 and records <= max(widths) + 1:
            raise DataError(
                f"{records} records of views {max(widths)} wide have a singular covariance; bring at least "
                f"{max(widths) + 2}, or set "
                "method.ridge above zero"
            )
        if self.dim > min(widths):
            raise SpecError(
                f"method.dim is {self.dim}, and a linear map of the narrowest view has {min(widths)} directions; take at "
                "most so many"
            )

    def start(self, x: Sequence[np.ndarray], key: Key) -> Weights:
        means = [view.mean(axis=0) for view in x]
        blocks = covariances(x, means)
        mu, w = directions(blocks, self.ridge, self.dim)
        w = w * np.sqrt(len(x))
        cut = np.cumsum([view.shape[1] for view in x])[:-1]
        found = {f"mean/{k}": mean for k, mean in enumerate(means)}
        found |= {f"map/{k}": piece for k, piece in enumerate(np.split(w, cut))}
        return found | {"correlations": mu / (len(x) - 1)}

    def encode(self, weights: Weights, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [(view - weights[f"mean/{k}"]) @ weights[f"map/{k}"] for k, view in enumerate(x)]

    def matrices(self, weights: Weights) -> list[np.ndarray]:
        return [w for name, w in weights.items() if name.startswith("map/")]


@dataclass(frozen=True, kw_only=True)
class CCA(GCCA):
    """Canonical correlation analysis of two views."""

    citation: ClassVar[tuple[str, ...]] = (
        "Hotelling (1936), Relations between two sets of variates, Biometrika 28",
    )
    most_views: ClassVar[int | None] = 2


@dataclass(frozen=True, kw_only=True)
class Concatenation(Method):
    """The standardised views as they are: a floor that no method should fall below."""

    def check(self, widths: Sequence[int], records: int) -> None:
        return None

    def warnings(self, records: int) -> list[str]:
        return []

    def start(self, x: Sequence[np.ndarray], key: Key) -> Weights:
        return {
            f"{name}/{k}": value
            for k, view in enumerate(x)
            for name, value in (("mean", view.mean(axis=0)), ("scale", view.std(axis=0)))
        }

    def encode(self, weights: Weights, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [(view - weights[f"mean/{k}"]) / weights[f"scale/{k}"] for k, view in enumerate(x)]


def covariances(x: Sequence[np.ndarray], means: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """S_kl of views about their means."""
    widths = [view.shape[1] for view in x]
    ends = np.cumsum([0, *widths])
    n = len(x[0])
    total = np.zeros((ends[-1], ends[-1]))
    room = np.empty((min(PIECE, n), ends[-1]))
    for low in range(0, n, PIECE):
        piece = room[: min(PIECE, n - low)]
        for view, mean, a, b in zip(x, means, ends, ends[1:], strict=False):
            np.subtract(view[low : low + PIECE], mean, out=piece[:, a:b])
        total += piece.T @ piece
    total /= n - 1
    cut = [slice(a, b) for a, b in pairwise(ends)]
    return [[total[a, b] for b in cut] for a in cut]
