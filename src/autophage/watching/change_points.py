"""Where a course changes its pace: straight pieces, found exactly.

    minimise over all ways to cut 1..n into pieces   sum over pieces RSS(piece) / s^2 + penalty x (pieces - 1)

with RSS that of the piece's own least-squares line and s the local noise. Were s known, the penalty would be 4 ln n, a
Bayesian information criterion (Schwarz 1978, Yao 1988) that counts two parameters of a line and its place, and one more so
that a course without a cut is rarely cut. It is estimated with v degrees of freedom: the penalty is three times that quantile
of F(3, v) that is as rarely exceeded as 4 ln n is by chi squared with three. The recursion F(j) = min_i F(i) + cost(i, j) +
penalty finds the best of all 2^(n-1) cuts (Jackson et al. 2005). Pieces have at least three points. A smooth bend is cut too:
pieces are a description and no claim of a cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, fdtri

from autophage.watching.noise import LONG, Noise

LEAST = 3
"""Points of a piece."""
FLOOR = 0.02
"""The noise counts as at least this share of the range of the values' middle half (of the last half of a long course, where
that is less): finer pieces could not be seen in a figure."""


@dataclass(frozen=True)
class Piece:
    """A straight piece of a course: the points start to end - 1."""

    start: int
    end: int
    first: float
    """The line at the first point ..."""
    last: float
    """... and at the last."""
    slope: float
    """Per step."""
    slope_error: float
    """Standard error of the slope at the local noise."""

    @property
    def points(self) -> int:
        """How many points the piece has."""
        return self.end - self.start

    def way(self) -> int:
        """1 where it rises, -1 where it falls, 0 where its slope is within two standard errors of none."""
        return 0 if abs(self.slope) <= 2 * self.slope_error else (1 if self.slope > 0 else -1)


def cuts(x: np.ndarray, y: np.ndarray, scale: float, price: float, least: int = LEAST) -> list[int]:
    """Where the pieces of y (n,) at x (n,) begin, the first one at 0: the least total cost, exactly.

    `scale` is the noise of one point, `price` the penalty of a piece more.
    """
    n = len(x)
    if n < 2 * least:
        return [0]
    cost = _Costs(x, y, scale)
    best = np.full(n + 1, np.inf)
    best[0] = -price
    origin = np.zeros(n + 1, dtype=int)
    for end in range(least, n + 1):
        starts = np.arange(0, end - least + 1)
        total = best[starts] + cost(starts, end) + price
        origin[end] = int(total.argmin())
        best[end] = total[origin[end]]
    found = [n]
    while found[-1]:
        found.append(int(origin[found[-1]]))
    return found[:0:-1]


def penalty(n: int, freedom: float) -> float:
    """The price of a piece more, for n points whose noise was estimated with that many degrees of freedom.

    >>> round(penalty(100, 1e9), 2), round(float(4 * np.log(100)), 2)
    (18.42, 18.42)
    """
    rare = float(chdtrc(3, 4 * np.log(n)))
    return 3 * float(fdtri(3, max(freedom, 1.0), 1 - rare))


def pieces(x: np.ndarray, y: np.ndarray, noise: Noise) -> tuple[Piece, ...]:
    """The straight pieces of a course at its local noise."""
    n, scale = len(x), noise.scale
    half = y[n // 2 :] if n >= LONG else y
    middle = min(float(np.subtract(*np.quantile(part, [0.75, 0.25]))) for part in (y, half))
    tiny = 1e-9 * float(np.abs(half).max())
    scale = max(scale if np.isfinite(scale) else 0.0, FLOOR * middle, tiny, 1e-300)
    starts = cuts(x, y, scale, penalty(n, noise.freedom))
    return tuple(_piece(x, y, a, b, scale) for a, b in zip(starts, [*starts[1:], n], strict=True))


def fitted(x: np.ndarray, found: tuple[Piece, ...]) -> np.ndarray:
    """(n,) the pieces at the points."""
    return np.concatenate([p.first + p.slope * (x[p.start : p.end] - x[p.start]) for p in found])


def _piece(x: np.ndarray, y: np.ndarray, start: int, end: int, scale: float) -> Piece:
    xs, ys = x[start:end], y[start:end]
    middle = xs.mean()
    spread = float(((xs - middle) ** 2).sum())
    slope = float((xs - middle) @ (ys - ys.mean())) / spread
    first = float(ys.mean() + slope * (xs[0] - middle))
    return Piece(start, end, first, first + slope * float(xs[-1] - xs[0]), slope, scale / spread**0.5)


class _Costs:
    """RSS / s^2 of the line through the points start to end - 1, from running sums."""

    def __init__(self, x: np.ndarray, y: np.ndarray, scale: float) -> None:
        u = (x - x.mean()) / (x.std() or 1.0)
        v = (y - y.mean()) / scale
        self.sums = [np.append(0.0, np.cumsum(a)) for a in (np.ones(len(x)), u, v, u * u, u * v, v * v)]

    def __call__(self, starts: np.ndarray, end: int) -> np.ndarray:
        n, u, v, uu, uv, vv = (s[end] - s[starts] for s in self.sums)
        spread = np.maximum(uu - u * u / n, 1e-300)
        return np.maximum(vv - v * v / n - (uv - u * v / n) ** 2 / spread, 0.0)
