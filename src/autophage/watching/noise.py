"""The local noise of a course: how far its points lie from a line between their neighbours.

With w = (x_{i+1} - x_i) / (x_{i+1} - x_{i-1}) the residual

    e_i = (y_i - w y_{i-1} - (1 - w) y_{i+1}) / sqrt(1 + w^2 + (1 - w)^2)

has the variance of the noise wherever the course is straight on the scale of two points (Gasser, Sroka & Jennen-Steinmetz
1986). Residuals beyond three robust standard deviations are cut there, so that a spike or the steep beginning of a
training are not taken for noise. For even steps and normal noise the mean square of all has the spread of a chi squared
with 18 (n - 2) / 35 degrees of freedom. Noise that is correlated from one point to the next is underestimated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WIDE = 3.0
"""Robust standard deviations beyond which a residual is cut."""

LONG = 24
"""Points from which the last half may speak for itself ..."""
FAR_LESS = 1 / 3
"""... where its noise is below this share of that of all."""


class Noise(NamedTuple):
    """Standard deviation of one point, and the degrees of freedom it was estimated with."""

    scale: float
    freedom: float


def local_noise(x: np.ndarray, y: np.ndarray) -> Noise:
    """The noise of y (n,) at increasing x (n,); of fewer than three points it is unknown (NaN).

    >>> local_noise(np.arange(5.0), 2 * np.arange(5.0)).scale
    0.0
    """
    if len(x) < 3:
        return Noise(float("nan"), 0.0)
    w = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    residual = np.abs(y[1:-1] - w * y[:-2] - (1 - w) * y[2:]) / np.sqrt(1 + w**2 + (1 - w) ** 2)
    robust = 1.4826 * float(np.median(residual))
    if robust > 0:  # zero where most points lie on lines, as counts and shares of few records do
        residual = np.minimum(residual, WIDE * robust)
    return Noise(float(np.sqrt((residual**2).mean())), max(18 * len(residual) / 35, 1.0))


def settled_noise(x: np.ndarray, y: np.ndarray) -> Noise:
    """The local noise of a course that may begin steeply: that of its last half, where that is far less than that of all.

    A beginning so steep that two points are no straight line would be taken for noise. Under even noise the half is taken
    for less than one course in a hundred.
    """
    whole = local_noise(x, y)
    if len(x) < LONG:
        return whole
    half = local_noise(x[len(x) // 2 :], y[len(y) // 2 :])
    return half if half.scale < FAR_LESS * whole.scale else whole
