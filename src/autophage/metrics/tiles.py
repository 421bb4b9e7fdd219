"""Squared distances between two sets, tile by tile, as lower bounds that are never wrong.

One float32 matrix product gives a tile of |a - b|^2; a bound on everything that was rounded on the way is folded into
the product itself. So what a tile calls far away is far away, and only what lies near a decision is looked at again: by a
product in float64 where that is much of a tile, and in the end from differences, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np

CHUNK = 2**22
"""Distances held at once: tiles of 2,048 x 2,048 (16 MiB)."""
LARGEST = 1e37
"""Squared lengths beyond this would overflow in float32."""
WIDEST = 2**19
"""Numbers in a record from which on a float32 sum of products is worth too little."""
CROWDED = 64
"""More than one distance in so many to look at again, and a tile is computed in float64."""
_NUMBERS = 2**22
"""Numbers converted at once."""


@dataclass(frozen=True)
class Prepared:
    """Records (n, d), and what a product needs of them: `around` (n, d + 2) holds a record less `middle`, the lower end of
    its squared length, and 1; `doubt` (n,) how far the tiles' numbers may lie from the truth on its account."""

    records: np.ndarray
    middle: np.ndarray
    around: np.ndarray
    size: np.ndarray
    doubt: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def centred(self, rows: slice) -> np.ndarray:
        """Records less `middle`, in float64."""
        return self.records[rows] - self.middle


def prepare(records: np.ndarray, middle: np.ndarray, *, wide: bool = False) -> Prepared:
    """Records for products, in float32 unless `wide`, or their lengths would overflow, or they are very wide.

    A tile's entry is a sum of d + 2 products of rounded numbers. With unit roundoff u its error is at most
    (2 d + 8) u (|a|^2 + |b|^2): 2 (d + 2) for the sum (2 |a . b| <= |a|^2 + |b|^2, and the squared lengths themselves),
    3 for the entries; in float64 the squared lengths were rounded as well, (4 d + 16) is enough. Underflow adds d times
    the least normal number.
    """
    n, d = records.shape
    size = np.empty(n)
    around = np.empty((n, d + 2), np.float64 if wide else np.float32)
    step = max(1, _NUMBERS // d)
    with np.errstate(over="ignore"):
        for start in range(0, n, step):
            rows = slice(start, start + step)
            centred = records[rows] - middle
            around[rows, :d] = centred
            size[rows] = np.einsum("ij,ij->i", centred, centred)
    if not wide and not (size.max() < LARGEST and d < WIDEST):
        return prepare(records, middle, wide=True)
    doubt = _doubt(size, d, around.dtype)
    around[:, d] = size - doubt
    around[:, d + 1] = 1
    return Prepared(records, middle, around, size, doubt)


def _doubt(size: np.ndarray, d: int, dtype: np.dtype) -> np.ndarray:
    about = np.finfo(dtype)
    terms = 2 * d + 8 if about.bits == 32 else 4 * d + 16
    share = terms * float(about.eps) / 2
    return 1.01 * (share / (1 - share) * size + 2 * terms * float(about.tiny))


def together(a: Prepared, b: Prepared) -> tuple[Prepared, Prepared]:
    """Two sets around one middle, prepared in one precision."""
    if a.around.dtype == b.around.dtype:
        return a, b
    wide = np.dtype(np.float64)
    return (
        a if a.around.dtype == wide else prepare(a.records, a.middle, wide=True),
        b if b.around.dtype == wide else prepare(b.records, b.middle, wide=True),
    )


@dataclass(frozen=True)
class Tile:
    """Lower bounds (r, c) of the squared distances of some records of `a` to some of `b`. The array is reused: take what you
    need before the next tile."""

    a: Prepared
    b: Prepared
    rows: slice
    columns: slice
    low: np.ndarray
    mask: np.ndarray

    @property
    def diagonal(self) -> bool:
        """Whether rows and columns are the same records."""
        return self.a is self.b and self.rows == self.columns

    def below(self, rows: np.ndarray | None, columns: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Places (i, j) in the tile whose lower bound does not exceed the limit (r,) of their row, or (c,) of their
        column."""
        mask = self.mask
        if rows is not None:
            np.less_equal(self.low, self._rounded_up(rows)[:, None], out=mask)
        if columns is not None:
            limit = self._rounded_up(columns)
            if rows is None:
                np.less_equal(self.low, limit, out=mask)
            else:
                np.logical_or(mask, self.low <= limit, out=mask)
        i, j = np.divmod(np.flatnonzero(mask), mask.shape[1])
        return i, j

    def _rounded_up(self, limit: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return np.nextafter(limit.astype(self.low.dtype), np.array(np.inf, self.low.dtype))

    def slack(self, axis: int) -> np.ndarray:
        """How much the lower bounds of each row (axis 0), or column (1), may be too low at most."""
        rows, columns = self.a.doubt[self.rows], self.b.doubt[self.columns]
        return 2 * (rows + columns.max() if axis == 0 else columns + rows.max())

    def bounds(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the squared distances at places (i, j)."""
        low = self.low[i, j].astype(np.float64)
        return low, low + 2 * (self.a.doubt[self.rows][i] + self.b.doubt[self.columns][j])

    def crowded(self, count: int) -> bool:
        """Whether a product in float64 is the cheaper way to look at so many places again."""
        return count * CROWDED > self.low.size and self.low.dtype == np.float32

    def sharper(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same bounds from a product in float64."""
        product = self.a.centred(self.rows) @ self.b.centred(self.columns).T
        size = self.a.size[self.rows][i] + self.b.size[self.columns][j]
        square = size - 2 * product[i, j]
        doubt = _doubt(size, self.a.records.shape[1], np.dtype(np.float64))
        return square - doubt, square + doubt


def tiles(a: Prepared, b: Prepared, *, chunk: int = CHUNK) -> Iterator[Tile]:
    """The tiles of a against b, row of tiles by row of tiles; of a set against itself, those on and above the diagonal."""
    a, b = (a, b) if a is b else together(a, b)
    d = a.around.shape[1] - 2
    low, mask = _spaces(a, b, chunk)
    for rows in _steps(len(a), chunk):
        part = a.around[rows]
        left = np.empty_like(part)
        np.multiply(part[:, :d], -2, out=left[:, :d])
        left[:, d], left[:, d + 1] = 1, part[:, d]
        for columns in _steps(len(b), chunk):
            if a is b and columns.start < rows.start:
                continue
            shape = len(part), columns.stop - columns.start
            here, seen = (s[: shape[0] * shape[1]].reshape(shape) for s in (low, mask))
            if a is b and rows == columns:
                np.matmul(part[:, :d], part[:, :d].T, out=here)  # a symmetric product costs half
                here *= -2
                here += part[:, d]
                here += part[:, d, None]
            else:
                np.matmul(left, b.around[columns].T, out=here)
            yield Tile(a, b, rows, columns, here, seen)


def _spaces(a: Prepared, b: Prepared, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    largest = _side(len(a), chunk) * _side(len(b), chunk)
    return np.empty(largest, a.around.dtype), np.empty(largest, bool)


def _side(n: int, chunk: int) -> int:
    """Records in a tile: of n, so many at a time that tiles are of one size."""
    count = -(-n // max(1, isqrt(chunk)))
    return -(-n // count)


def _steps(n: int, chunk: int) -> Iterator[slice]:
    side = _side(n, chunk)
    for start in range(0, n, side):
        yield slice(start, min(start + side, n))


def lengths(a: np.ndarray, i: np.ndarray, b: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The distances of records a[i] to b[j], from differences in float64: zero for a copy, the same in whatever company."""
    found = np.empty(len(i))
    step = max(1, 2**18 // a.shape[1])
    for start in range(0, len(i), step):
        some = slice(start, start + step)
        difference = np.subtract(a[i[some]], b[j[some]], dtype=np.float64)
        found[some] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found
