"""Log-sums of Gaussian kernels, and the memory that lets a growing pile of centres cost only its newest part.

    log_kernel_sums(c, x, h)[r, j] = log sum_i exp(-|x_j - c_ri|^2 / (2 h^2))

A pile comes in segments: arrays (R or 1, n, d) that never change. The log-sum over a pile is added up one
segment after another, so that it is the same number whether remembered or computed anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

BLOCK = 2**18
"""Kernels evaluated at once: they stay in the processor's cache."""
CENTRES = 1024
"""Centres of one replicate taken at once."""
DIFFERENCES = 4
"""Up to this dimension a squared distance is a sum of squared differences, in single precision."""
NEAR = 64.0
"""Points within this many bandwidths of their middle: single precision then holds log-sums to about 1e-5."""
LIFT = np.float32(64.0)
"""Single precision kernels are scaled by exp(64): fewer fall among the subnormal numbers, which are slow."""
FAINT = 1e-25
"""A scaled sum of kernels below this may have lost terms to underflow."""
SETS = 4
"""How many sets of points are remembered, the last ones used."""
REMEMBERED = 2**24
"""Sums of more numbers than this are not remembered."""


def log_kernel_sums(centres: np.ndarray, x: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """(R, m) log-sums over centres (R, n, d) at points x (m, d) or (R, m, d), with bandwidth (1,) or (R,).

    Leading axes of 1 stand for every replicate. A replicate's numbers depend on nothing of another's.

    >>> pair = np.array([[[0.0], [2.0]]])
    >>> log_kernel_sums(pair, np.array([[1.0]]), np.array([1.0])).round(6).tolist()
    [[0.193147]]
    """
    h = bandwidth[:, None, None]
    points = x if x.ndim == 3 else x[None]
    origin = 0.5 * (points.min(axis=1, keepdims=True) + points.max(axis=1, keepdims=True))
    z = (points - origin) / h
    c = (centres - origin) / h
    one_scale = len(bandwidth) == 1 and len(points) == 1
    quick = one_scale and x.shape[-1] <= DIFFERENCES and np.abs(z).max() <= NEAR
    total: np.ndarray | None = None
    for start in range(0, c.shape[1], CENTRES):
        part = _in_blocks(c[:, start : start + CENTRES], z, _quick if quick else _careful)
        total = part if total is None else log_add(total, part)
    assert total is not None
    return total


def log_add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log(exp a + exp b) of finite numbers; several times as fast as `np.logaddexp`."""
    top = np.maximum(a, b)
    return np.log(np.exp(a - top) + np.exp(b - top)) + top


def _in_blocks(
    c: np.ndarray, z: np.ndarray, log_sums: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    n, m = c.shape[1], z.shape[1]
    wide = min(m, BLOCK // n)
    deep = max(1, BLOCK // (n * wide))
    out = np.empty((len(c), m))
    for r in range(0, len(c), deep):
        rows = slice(r, r + deep)
        for j in range(0, m, wide):
            columns = slice(j, j + wide)
            out[rows, columns] = log_sums(c[rows], z[rows if len(z) > 1 else slice(None), columns])
    return out


def _quick(c: np.ndarray, z: np.ndarray) -> np.ndarray:
    """In single precision, from differences; where the sum is faint, carefully."""
    half = np.sqrt(0.5)
    c32, z32 = (half * c).astype(np.float32), (half * z).astype(np.float32)
    exponent: Any = LIFT
    for k in range(c.shape[2]):
        # The product of (c, 1) and (1, -z) is the difference c - z, rounded once, and faster than
        # broadcasting.
        left = np.stack([c32[..., k], np.ones_like(c32[..., k])], axis=-1)
        right = np.stack([np.ones_like(z32[..., k]), -z32[..., k]], axis=-2)
        gap = left @ right
        gap *= gap
        exponent = np.subtract(exponent, gap, out=gap)
    kernels = np.exp(exponent, out=exponent)
    total = (np.ones((1, c.shape[1]), np.float32) @ kernels)[:, 0]
    logs = np.log(np.maximum(total, FAINT), dtype=np.float64) - LIFT
    faint = total < FAINT
    return np.where(faint, _careful(c, z), logs) if faint.any() else logs


def _careful(c: np.ndarray, z: np.ndarray) -> np.ndarray:
    """In double precision, relative to the largest kernel."""
    exponent = c @ np.swapaxes(z, 1, 2)
    exponent -= 0.5 * np.einsum("rnd,rnd->rn", c, c)[:, :, None]
    top = exponent.max(axis=1, keepdims=True)
    exponent -= top
    np.exp(exponent, out=exponent)
    return np.log(exponent.sum(axis=1)) + top[:, 0] - 0.5 * np.einsum("rnd,rnd->rn", z, z)


class KernelSums:
    """Remembers the log-sums of piles that only grow at their end.

    For each set of points it keeps the log-sum over the first segment and that over all of the last pile it
    was asked for. A pile that begins with either pays for the rest only: under `accumulate` the newest
    batch, under `mix` all but the real records. Segments are told apart by the memory they lie in, which is
    watched by a weak reference, so nothing is kept alive and no number can be mistaken for another's.
    """

    def __init__(self) -> None:
        self._courses: list[_Course] = []

    def __reduce__(self) -> tuple:
        return KernelSums, ()  # a copy in another process starts with no memory

    def log_sums(self, segments: Sequence[np.ndarray], x: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
        """(R, m) log-sums over all segments, R the largest leading axis."""
        course = next((c for c in self._courses if c.holds(x, bandwidth)), None)
        if course is None:
            course = _Course(x.copy(), bandwidth.copy())
        self._courses = [course, *(c for c in self._courses if c is not course)][:SETS]
        names = [_Name(s) for s in segments]
        done, total = course.longest(names)
        first = course.kept[0] if done else None
        for segment in segments[done:]:
            part = log_kernel_sums(segment, x, bandwidth)
            total = part if total is None else log_add(total, part)
            if first is None:
                first = names[:1], total
        assert first is not None and total is not None
        course.kept = [first, (names, total)] if total.size <= REMEMBERED else []
        return total


class _Name:
    """Where an array lies, for as long as its memory lives."""

    def __init__(self, array: np.ndarray) -> None:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self.owner = weakref.ref(owner)
        self.place = (array.ctypes.data, array.shape, array.strides, array.dtype)

    def same(self, other: _Name) -> bool:
        owner = self.owner()
        return owner is not None and owner is other.owner() and self.place == other.place


class _Course:
    """The log-sums kept for one set of points: (names of the segments, their log-sum), shortest first."""

    def __init__(self, x: np.ndarray, bandwidth: np.ndarray) -> None:
        self.x = x
        self.bandwidth = bandwidth
        self.kept: list[tuple[list[_Name], np.ndarray]] = []

    def holds(self, x: np.ndarray, bandwidth: np.ndarray) -> bool:
        return np.array_equal(self.bandwidth, bandwidth) and np.array_equal(self.x, x)

    def longest(self, names: Sequence[_Name]) -> tuple[int, np.ndarray | None]:
        """How many of the first segments have a known log-sum, and that sum."""
        for known, total in reversed(self.kept):
            if len(known) <= len(names) and all(a.same(b) for a, b in zip(known, names, strict=False)):
                return len(known), total
        return 0, None
