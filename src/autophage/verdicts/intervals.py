"""Intervals and tests over replicates. Everything is symmetric in the replicates: their order never
matters."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.special import bdtr, stdtr, stdtrit

LEVEL = 0.95
Interval = tuple[float, float]


def quantile(seeds: int, probability: float = 0.5 + LEVEL / 2) -> float:
    """Student's t quantile with seeds - 1 degrees of freedom."""
    return float(stdtrit(seeds - 1, probability))


def mean_interval(x: np.ndarray) -> tuple[float, Interval]:
    """Mean of x (S,) and its two-sided 95 % t interval; all of the line for a single replicate.

    >>> mean_interval(np.array([1.0, 1.0, 1.0]))
    (1.0, (1.0, 1.0))
    """
    middle = float(x.mean())
    if len(x) < 2:
        return middle, (-np.inf, np.inf)
    half = quantile(len(x)) * float(x.std(ddof=1)) / len(x) ** 0.5
    return middle, (middle - half, middle + half)


def upper_bound(x: np.ndarray) -> float:
    """One-sided upper 95 % bound of the mean of x (S,)."""
    if len(x) < 2:
        return np.inf
    return float(x.mean() + quantile(len(x), LEVEL) * x.std(ddof=1) / np.sqrt(len(x)))


def ratio_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, Interval]:
    """mean(a) / mean(b) for paired a, b (S,) with b's mean above zero, and its 95 % interval (Fieller 1954).

    The ratio of means, not the mean of ratios: a seed that happened to start near zero must not rule the
    answer. Where mean(b) itself is not clearly above zero the interval is the whole line.

    >>> ratio_interval(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))[0]
    2.0
    """
    seeds = len(a)
    ratio = float(a.mean() / b.mean()) if b.mean() > 0 else np.nan
    if seeds < 2:
        return ratio, (-np.inf, np.inf)
    cov = np.cov(a, b) / seeds * quantile(seeds) ** 2
    square = b.mean() ** 2 - cov[1, 1]
    linear = a.mean() * b.mean() - cov[0, 1]
    constant = a.mean() ** 2 - cov[0, 0]
    if not (square > 0 and b.mean() > 0):
        return ratio, (-np.inf, np.inf)
    root = np.sqrt(max(linear**2 - square * constant, 0.0))
    return ratio, (float((linear - root) / square), float((linear + root) / square))


def increase_test(d: np.ndarray) -> tuple[float, str]:
    """One-sided p value that the mean of d (S,) is above zero, and the name of the test.

    The exact sign-flip permutation for 5 to 8 replicates; Student's t above that, and below it too, where no
    permutation of so few signs could reach 5 %.
    """
    seeds = len(d)
    if seeds < 2:
        return 1.0, "no test"
    if not d.any():
        return 1.0, "no difference at all"
    if 5 <= seeds <= 8:
        sums = np.array(list(product((1.0, -1.0), repeat=seeds))) @ d
        return float(np.mean(sums >= d.sum() - 1e-12 * np.abs(d).sum())), "sign-flip permutation test"
    error = d.std(ddof=1) / np.sqrt(seeds)
    if error <= 1e-14 * abs(d.mean()):
        return (0.0 if d.mean() > 0 else 1.0), "identical differences"
    return float(stdtr(seeds - 1, -d.mean() / error)), "one-sided t test"


def median_interval(x: np.ndarray) -> tuple[float, Interval]:
    """Median of x (S,) and an interval of at least 95 %: order statistics from six replicates on, and the t
    interval below that, where order statistics cannot reach 95 %."""
    seeds, middle = len(x), float(np.median(x))
    if seeds < 6:
        return middle, mean_interval(x)[1]
    ordered = np.sort(x)
    depth = int(np.sum(bdtr(np.arange(seeds), seeds, 0.5) <= (1 - LEVEL) / 2))
    return middle, (float(ordered[depth - 1]), float(ordered[seeds - depth]))


def typical_ratio(after: np.ndarray, before: np.ndarray) -> tuple[float, Interval]:
    """after / before of a typical replicate, with its 95 % interval.

    The geometric mean, because the mean of a diversity that dies out is carried by ever fewer replicates
    (for a Gaussian refitted without bias it stays 1 for ever while every replicate goes to zero); the
    median once some replicate has reached zero.
    """
    ratios = after / before
    if (ratios > 0).all():
        middle, (low, high) = mean_interval(np.log(ratios))
        return float(np.exp(middle)), (float(np.exp(low)), float(np.exp(min(high, 700.0))))
    return median_interval(ratios)


def slopes(curves: np.ndarray, generations: np.ndarray) -> np.ndarray:
    """(S,) least-squares slope of each replicate's curve (S, n) over the generations (n,)."""
    x = generations - generations.mean()
    return curves @ x / (x @ x)


def late_slopes(curves: np.ndarray, generations: np.ndarray) -> np.ndarray:
    """The slopes over the last half of the generations."""
    start = (len(generations) - 1) // 2
    return slopes(curves[:, start:], generations[start:])
