"""A family whose first fit is excellent and whose second one may be ruined (after Barzilai & Shamir 2025).

    p_{a,mu} = (1-a) U[0, 1-2a] + (a/2) U[0, 1] + (a/2) U[mu, mu + f(a)],   0 <= a <= 1/4,  2 <= mu <= 3,

with f = 1 for a <= 1/8 and f = exp(-50 n) beyond; the truth is a = 0. Fits are by maximum likelihood to the
real records and everything sampled so far, n records a generation. Given the data the likelihood rises with a
between the points where another record drops out of [0, 1-2a], so a fit compares those points and the ends
1/8 and 1/4 of the two branches. On the branch beyond 1/8 the spike is a point in floating numbers: its records
are equal, and its log density 50 n is kept in logarithms. Where no record lies in the spike, mu is 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key

EDGE = 0.125
"""Where the spike becomes narrow."""
LARGEST = 0.25
"""The largest a."""


@dataclass(frozen=True)
class SpikeCourse:
    """Fits of R replicates over G generations, each (R, G)."""

    a: np.ndarray
    """The fitted a."""
    mu: np.ndarray
    """The fitted mu."""
    spiked: np.ndarray
    """Records of the generation's training set that lie in a spike (beyond 1)."""

    @property
    def distance(self) -> np.ndarray:
        """Total variation between the fit and the truth: a (2 - a)."""
        return self.a * (2 - self.a)

    @property
    def hit(self) -> np.ndarray:
        """Whether the generation's training set has a record in a spike."""
        return self.spiked > 0

    @property
    def jumped(self) -> np.ndarray:
        """Whether the fit lies beyond a = 1/8, at a distance of at least 15/64."""
        return self.a > EDGE


def simulate(n: int = 200, generations: int = 2, *, replicates: int, key: Key | int = 0) -> SpikeCourse:
    """Iterated maximum likelihood of the family on a growing pile: n real records, then n of every fit.

    Exact maximum likelihood; cost grows with replicates x n x generations^2. Raises `SpecError` for n < 2.

    >>> found = simulate(200, 2, replicates=2000, key=1)
    >>> bool(found.distance[:, 0].max() < 0.1), bool(0.1 < found.jumped[:, 1].mean() < 0.22)
    (True, True)
    """
    for name, value, least in (("n", n, 2), ("generations", generations, 1), ("replicates", replicates, 1)):
        if not value >= least:
            raise SpecError(f"{name} is {value}; it must be at least {least}")
    key = key if isinstance(key, Key) else Key(key)
    pile = (key / "real").generator().random((replicates, n))
    a, mu = np.empty((replicates, generations)), np.empty((replicates, generations))
    spiked = np.empty((replicates, generations), np.int64)
    for t in range(generations):
        if t:
            pile = np.hstack([pile, sampled(a[:, t - 1], mu[:, t - 1], n, key / "sample" / t)])
        a[:, t], mu[:, t], spiked[:, t] = fitted(pile, n)
    return SpikeCourse(a, mu, spiked)


def sampled(a: np.ndarray, mu: np.ndarray, n: int, key: Key) -> np.ndarray:
    """n records (R, n) of each p_{a,mu}; a and mu (R,)."""
    u = key.generator().random((len(a), n, 2))
    which, place = u[..., 0], u[..., 1]
    a, mu = a[:, None], mu[:, None]
    bulk = np.where(which < 1 - a, place * (1 - 2 * a), place)
    width = np.where(a <= EDGE, 1.0, 0.0)  # exp(-50 n) is below the spacing of floating numbers
    return np.where(which < 1 - a / 2, bulk, mu + place * width)


def fitted(pile: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The maximum-likelihood a and mu of each pile (R, m), and its records in a spike, each (R,)."""
    replicates = len(pile)
    inside = pile <= 1
    spiked = (~inside).sum(axis=1)
    low = np.where(inside, np.inf, pile).min(axis=1)
    high = np.where(inside, -np.inf, pile).max(axis=1)
    # Where the next record would drop out of [0, 1-2a], and the two ends; only records above 1/2 can drop out.
    x = -np.sort(-np.where(inside, pile, -1.0), axis=1)
    edges = np.broadcast_to([1 - 2 * EDGE, 1 - 2 * LARGEST], (replicates, 2))
    above = np.count_nonzero(x > 0.5, axis=1).max()
    x = x[:, : above + 1]
    ends = np.hstack([np.clip(x, 0.5, 1.0), edges])
    # A record at the edge 1-2a itself is still inside.
    outside = np.hstack(
        [
            np.broadcast_to(np.arange(x.shape[1]), x.shape),
            np.count_nonzero(x > edges[0, 0], axis=1)[:, None],
            np.count_nonzero(x > edges[0, 1], axis=1)[:, None],
        ]
    )
    # Records at 1/2 and below never drop out: clipped, they stand for a = 1/4, whose count is the last column's.
    outside = np.minimum(outside, outside[:, -1:])
    a = (1 - ends) / 2
    one = low == high  # all records of the spike in one point
    allowed = (spiked[:, None] == 0) | (a <= EDGE) | (one & (low <= 3))[:, None]
    gain = np.where(a > EDGE, 50.0 * n, 0.0) * spiked[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.log(a / 2)
        bulk = np.log((1 - a) / (1 - 2 * a) + a / 2)
        missed = outside + spiked[:, None]
        likelihood = (inside.sum(axis=1)[:, None] - outside) * bulk + np.where(missed > 0, missed * half, 0.0)
    best = np.argmax(np.where(allowed, likelihood + gain, -np.inf), axis=1)
    chosen = a[np.arange(replicates), best]
    return chosen, np.where(spiked > 0, np.minimum(low, 3.0), 2.0), spiked
