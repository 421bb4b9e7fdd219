"""Recursive inpainting of a Gaussian field with exact conditionals.

A fill of square S keeps the rest R and writes x_S <- A x_R + tau C z, with A, C those of the field's law N(0, S_0). Every iteration
picks one of G squares with the same probability, so that with M_g the whole map (the identity but for the rows of square g) and
N_g = C C' at that square

    S_{t+1} = mean_g [ M_g S_t M_g' + tau^2 N_g ],         X_{t+1} = mean_g [ M_g X_t ],          S_0 = X_0 = Cov(x_0)

with S_t = Cov(x_t) and X_t = Cov(x_t, x_0). X does not know tau. The limits are tau^2 S_0 and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autophage.inpainting.gaussian_field import conditionals
from autophage.inpainting.squares import Grid
from autophage.theory.arguments import at_least, unit_interval

LARGEST = 400
"""Pixels of the largest pictures whose course a page computes; beyond that the recursion takes minutes."""

STATEMENTS = {
    "variance": "The variance of a pixel falls to tau^2 of what it was; with tau = 1 it stays.",
    "covariance_with_original": "The covariance with the original falls to zero, equally fast at any tau.",
    "mse": "The squared difference to the original rises to (1 + tau^2) times a pixel's variance.",
}


class Moments(NamedTuple):
    """Of a pixel, averaged over the picture, after the asked numbers of fills."""

    variance: np.ndarray
    covariance: np.ndarray
    """With the original."""

    def mse(self) -> np.ndarray:
        """Mean squared difference to the original: the first of the courses must belong to no fill."""
        return self.variance + self.variance[0] - 2 * self.covariance


def second_moments(covariance: np.ndarray, grid: Grid, tau: float, fills: Sequence[int]) -> Moments:
    """The recursion above for a field with covariance (d, d), read after `fills` fills (rising; the first should be 0).

    Status: exact. Source: derived for autophage; the set-up is that of Conde et al. (2024).

    >>> law = 0.8 ** np.abs(np.subtract.outer(range(4), range(4)))
    >>> found = second_moments(np.kron(law, law), Grid(4, 4, 2), 0.0, [0, 8])
    >>> [round(float(v), 4) for v in found.variance]
    [1.0, 0.6539]
    """
    unit_interval(tau, "tau")
    at_least(min(fills), 0, "fills")
    laws = conditionals(covariance, grid)
    S, X = covariance.copy(), covariance.copy()
    d, done = len(S), 0
    variance, shared = [], []
    for wanted in fills:
        while done < wanted:
            S, X = _filled(S, X, laws, tau)
            done += 1
        variance.append(S.trace() / d)
        shared.append(X.trace() / d)
    return Moments(np.array(variance), np.array(shared))


def _filled(S: np.ndarray, X: np.ndarray, laws: Sequence, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """One fill on average over the squares: every map is the identity but for a few rows, so only those are made anew."""
    G = len(laws)
    after, shared = S * (G - 1), X * (G - 1)
    # Squares do not overlap: what one map leaves alone is summed at once, and put right where it does not.
    after += S
    shared += X
    for law in laws:
        inside, around = law.inside, law.around
        rows = law.weights @ S[around]
        change = rows - S[inside]
        after[inside] += change
        after[:, inside] += change.T
        block = law.weights @ rows[:, around].T + tau**2 * law.noise @ law.noise.T
        twice = change[:, inside] + change[:, inside].T + S[np.ix_(inside, inside)]
        after[np.ix_(inside, inside)] += block - twice
        shared[inside] += law.weights @ X[around] - X[inside]
    return after / G, shared / G


def untouched(grid: Grid, fills: Sequence[int]) -> np.ndarray:
    """The expected share of squares that no fill has met, (1 - 1/G)^t. Status: exact.

    >>> untouched(Grid(8, 8, 2), [16, 64]).round(4).tolist()
    [0.3561, 0.0161]
    """
    return np.array([grid.untouched(t) for t in fills])
