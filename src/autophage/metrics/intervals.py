"""95 % intervals: closed forms where there are any, blocks where the statistic is costly, bootstrap where it
is cheap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri, stdtrit

from autophage.parts import Compared

LEVEL = 0.95
NAN = float("nan")


def normal(value: float, error: float, n: int | None = None, level: float = LEVEL) -> Compared:
    """value -+ z error, for a standard error from a central limit theorem."""
    reach = ndtri(0.5 + level / 2) * error
    return Compared(float(value), float(value - reach), float(value + reach), n)


def exact(value: float, n: int | None = None) -> Compared:
    """A number without sampling error: its interval is itself."""
    return Compared(float(value), float(value), float(value), n)


def mean(values: np.ndarray, level: float = LEVEL) -> Compared:
    """The mean of independent values (n,) with its normal interval (NaN for a single value)."""
    n = len(values)
    error = values.std(ddof=1) / np.sqrt(n) if n > 1 else NAN
    return normal(values.mean(), error, n, level)


def wilson(successes: float, n: float, level: float = LEVEL, sized: int | None = None) -> Compared:
    """A share of n independent records with Wilson's score interval (Wilson 1927): honest at 0 and at n too.

    `sized` is the sample size to state where it is not n.

    >>> share = wilson(0, 100)
    >>> share.value, share.low, round(share.high, 4)
    (0.0, 0.0, 0.037)
    """
    z2 = ndtri(0.5 + level / 2) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # The bounds meet the value at 0 and n exactly; rounding must not push them past it.
    low, high = min(centre - reach, share), max(centre + reach, share)
    return Compared(float(share), float(max(low, 0)), float(min(high, 1)), sized or int(n))


def blocks(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    x: np.ndarray,
    y: np.ndarray,
    value: float,
    *,
    count: int = 10,
    smallest: int = 2,
    level: float = LEVEL,
) -> tuple[float, float]:
    """An interval for a costly two-sample statistic from its values on `count` disjoint blocks of both sets.

    For a statistic whose variance falls as 1/n (asymptotically linear, such as the squared Wasserstein
    distance: del Barrio and Loubes 2019), sd(block values) / sqrt(count) is its standard error on everything.
    It needs no common mean, so the small-sample bias of the blocks does not enter: the interval speaks of the
    statistic's expectation at the full sizes. Records must be in random order. A statistic of cost n^a costs
    count^(1-a) of itself again. NaN when a block would hold fewer than `smallest` records.
    """
    count = min(count, len(x) // smallest, len(y) // smallest)
    if count < 2:
        return NAN, NAN
    parts = [statistic(a, b) for a, b in zip(np.array_split(x, count), np.array_split(y, count), strict=True)]
    reach = stdtrit(count - 1, 0.5 + level / 2) * np.std(parts, ddof=1) / np.sqrt(count)
    return value - reach, value + reach


def covered(hit: np.ndarray, only: np.ndarray) -> Compared:
    """The share of tested records that are hit (n,) by balls around others, where `only` (n,) is the ball of
    a record that just one hits, else -1.

    Interval for a redraw of both sets: Wilson's arms for the tested records; and for the others a delete-one
    jackknife, in which each counts by the records that it alone hits (plus one, so that no hit at all is no
    certainty; the radii are held, which errs on the safe side). The two are added in squares.
    """
    found = wilson(hit.sum(), len(hit))
    alone = np.bincount(only[only >= 0])
    reach = ndtri(0.5 + LEVEL / 2) * np.sqrt(np.square(alone).sum() + 1) / len(hit)
    low = found.value - np.hypot(found.value - found.low, reach)
    high = found.value + np.hypot(found.high - found.value, reach)
    return Compared(found.value, float(max(low, 0)), float(min(high, 1)), len(hit))


def percentiles(draws: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """The central interval of bootstrap draws (resamples, ...)."""
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low, high


def median(values: np.ndarray, level: float = LEVEL) -> Compared:
    """The median of independent values (n,) between two order statistics, which needs no law (normal
    approximation of the binomial ranks; the extremes when n is small)."""
    ordered, n = np.sort(values), len(values)
    reach = ndtri(0.5 + level / 2) * np.sqrt(n) / 2
    low, high = max(int(np.floor(n / 2 - reach)), 0), min(int(np.ceil(n / 2 + reach)), n - 1)
    return Compared(float(np.median(ordered)), float(ordered[low]), float(ordered[high]), n)


def ratio(top: Compared, bottom: Compared) -> Compared:
    """top / bottom for independent estimates of positive numbers, from both intervals by squaring and adding
    their arms (Zou and Donner 2008). NaN when bottom is zero.

    >>> ratio(Compared(2, 1, 3, 50), Compared(4, 4, 4)).low
    0.25
    """
    if not bottom.value > 0:
        return Compared(NAN, n=top.n)
    value = top.value / bottom.value
    down = np.hypot(top.value - top.low, value * (bottom.high - bottom.value)) / bottom.value
    up = np.hypot(top.high - top.value, value * (bottom.value - bottom.low)) / bottom.value
    return Compared(value, float(max(value - down, 0.0)), float(value + up), top.n)
