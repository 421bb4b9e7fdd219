"""How far pictures have drifted from their originals, and how much is left of them.

    variance                    mean over pixels of the variance across pictures
    mse                         mean squared difference to the original
    covariance_with_original    mean over pixels of the covariance of a pixel with what it was
    correlation_with_original   that over the root of both variances
    contrast                    mean over pictures of the variance of a picture's own pixels
    high_frequency              mean power above half the Nyquist frequency, in units of a pixel's variance
    high_frequency_relative     that over the originals'
    untouched                   share of squares that no fill has met
    feature_distance_<space>    mean distance of a picture's features to those of its original, in a space that is named

The covariance says how much is known of the original still, whatever the fill; variance and high frequencies say whether the
pictures themselves degenerate. Intervals are normal, over pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autophage.errors import DataError
from autophage.metrics.intervals import mean, ratio
from autophage.metrics.spectrum import spectra
from autophage.parts import Compared, Measurement

SMALLEST_SPECTRUM = 4
"""Pixels a side that a spectrum needs."""


def drift(
    x: np.ndarray,
    original: np.ndarray,
    touched: np.ndarray,
    features: tuple[str, Callable[[np.ndarray], np.ndarray]] | None,
) -> list[Measurement]:
    """The measurements of pictures x (n, h, w, c) against their originals, with `touched` (n, G) and a named feature space.

    Raises `DataError` where the two sets differ in shape.
    """
    if x.shape != original.shape:
        raise DataError(
            f"pictures of shape {x.shape} cannot be compared with originals of shape {original.shape}"
        )
    n = len(x)
    flat, first = x.reshape(n, -1), original.reshape(n, -1)
    now, was = flat - flat.mean(axis=0), first - first.mean(axis=0)
    # Centred at the mean of n pictures: the unbiased estimate divides by n - 1.
    unbiased = n / max(n - 1, 1)
    variance = mean(unbiased * np.square(now).mean(axis=1))
    shared = mean(unbiased * (now * was).mean(axis=1))
    found = {
        "variance": variance,
        "mse": mean(np.square(flat - first).mean(axis=1)),
        "covariance_with_original": shared,
        "correlation_with_original": _correlation(now, was),
        "contrast": mean(flat.var(axis=1)),
        "untouched": mean(1 - touched.mean(axis=1)),
    }
    shape = x.shape[1:]
    if min(shape[:2]) >= SMALLEST_SPECTRUM:
        pixels = shape[0] * shape[1]
        high, usual = (mean(spectra(p, shape).high / pixels) for p in (x, original))
        found["high_frequency"] = high
        if usual.value > 0:
            found["high_frequency_relative"] = ratio(high, usual)
    if features is not None:
        space, embed = features
        away = np.linalg.norm(
            np.asarray(embed(flat), np.float64) - np.asarray(embed(first), np.float64), axis=1
        )
        found[f"feature_distance_{space}"] = mean(away)
    return [
        Measurement(name, np.array([c.value]), np.array([c.low]), np.array([c.high]), n)
        for name, c in found.items()
    ]


def _correlation(now: np.ndarray, was: np.ndarray) -> Compared:
    """sum of products over the root of the sums of squares; its interval by the delta method over pictures."""
    a, b, c = np.square(now).mean(axis=1), np.square(was).mean(axis=1), (now * was).mean(axis=1)
    if not (a.mean() > 0 and b.mean() > 0):
        return Compared(float("nan"), n=len(now))
    r = c.mean() / np.sqrt(a.mean() * b.mean())
    each = r + c / np.sqrt(a.mean() * b.mean()) - r * (a / a.mean() + b / b.mean()) / 2
    return mean(each)
