"""Real and generated records with the balls around them, for precision, recall, density and coverage alike.

Two passes over half the distances within each set give the radii, one pass over the distances between the sets says who
lies in whose ball, whichever of the four is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from autophage.metrics.neighbours import (
    TREE_DIMENSIONS,
    Balls,
    check_count,
    mutual_balls,
    nearest,
    same_width,
    shortlist,
)
from autophage.metrics.shortlist import Shortlist
from autophage.metrics.tiles import CHUNK, Prepared, prepare

NEIGHBOURS = 8
"""Neighbours that are looked for at least, so that another k costs nothing."""


class Ask(NamedTuple):
    """Which balls: around whose records, reaching to the k-th neighbour in their set but not beyond the quantile `cap` of all
    radii, with their spheres or without."""

    around: Literal["real", "generated"]
    k: int
    cap: float | None = None
    closed: bool = True


class Neighbourhood:
    """The records (n, d) of one set and how far each lies from its neighbours in the set."""

    def __init__(self, x: np.ndarray, middle: np.ndarray | None = None, *, chunk: int = CHUNK) -> None:
        self.x = x
        self.chunk = chunk
        self.middle = x.mean(axis=0, dtype=np.float64) if middle is None else middle
        self._near: Shortlist | None = None
        self._distances = np.empty((len(x), 0))

    @cached_property
    def prepared(self) -> Prepared:
        """The records, ready for products."""
        return prepare(self.x, self.middle)

    def radii(self, k: int, cap: float | None = None) -> np.ndarray:
        """The distance (n,) of each record to its k-th nearest other record, cut at the quantile `cap` of all of them. Raises
        `SpecError` unless 1 <= k < n."""
        check_count(k, len(self.x), True)
        most = min(max(k, NEIGHBOURS), len(self.x) - 1)
        if self.x.shape[1] <= TREE_DIMENSIONS:
            if self._distances.shape[1] < k:
                self._distances = nearest(self.x, self.x, most, own=True)[0]
            reach = self._distances[:, k - 1]
        else:
            if self._near is None or self._near.k < k:
                self._near = shortlist(self.prepared, self.prepared, most, chunk=self.chunk)
            reach = self._near.kth(k)
        return reach if cap is None else np.minimum(reach, np.quantile(reach, cap))


class Neighbourhoods:
    """Two sets of one width, `real` (n, d) and `generated` (m, d), and what lies in whose balls."""

    def __init__(
        self, real: Neighbourhood | np.ndarray, generated: np.ndarray, *, chunk: int = CHUNK
    ) -> None:
        self.real = real if isinstance(real, Neighbourhood) else Neighbourhood(real, chunk=chunk)
        same_width(self.real.x, generated)
        self.generated = Neighbourhood(generated, self.real.middle, chunk=chunk)
        self._known: dict[Ask, Balls] = {}

    def balls(self, ask: Ask, others: Iterable[Ask] = ()) -> Balls:
        """Which records of the other set lie in the balls asked for. `others` that are not known yet are found in the same
        pass."""
        if ask not in self._known:
            asked = [a for a in dict.fromkeys([ask, *others]) if a not in self._known]
            around_real = [a for a in asked if a.around == "real"]
            around_generated = [a for a in asked if a.around == "generated"]
            found = mutual_balls(
                self.real.prepared,
                self.generated.prepared,
                [(self.real.radii(a.k, a.cap), a.closed) for a in around_real],
                [(self.generated.radii(a.k, a.cap), a.closed) for a in around_generated],
                chunk=self.real.chunk,
            )
            self._known.update(zip(around_real, found[0], strict=True))
            self._known.update(zip(around_generated, found[1], strict=True))
        return self._known[ask]
