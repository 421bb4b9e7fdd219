"""Probabilistic PCA (a linear VAE) that is sampled without its observation noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import at_least


def eigenvalue_course(
    eigenvalues: Any, noise: float, latent: int, generations: int, *, decoder_means: bool = True
) -> np.ndarray:
    """Leading eigenvalues of generation t's training data, shape (G, latent).

    Decoder means only: every retained eigenvalue loses the noise variance s2 per generation, max(e_i - t s2,
    0), and its axis dies when it reaches s2. With the observation noise added back the retained ones stay.
    eigenvalues (d,): of the real covariance; noise: s2, fixed; latent: q. Status: exact (infinite data).
    Source: Tipping & Bishop (1999) for the fit; loop of Shumailov et al. (2024, VAE experiment), derived for
    autophage.

    >>> eigenvalue_course([4, 2, 1], 0.5, 2, 6).tolist()
    [[4.0, 2.0], [3.5, 1.5], [3.0, 1.0], [2.5, 0.5], [2.0, 0.0], [1.5, 0.0]]
    """
    values = np.sort(np.atleast_1d(np.asarray(eigenvalues, dtype=np.float64)))[::-1]
    at_least(noise, 0, "the observation noise")
    if not (values >= 0).all():
        raise SpecError("eigenvalues of a covariance must be zero or more")
    if not 1 <= latent <= len(values):
        raise SpecError(f"latent is {latent}; it must lie between 1 and the {len(values)} eigenvalues")
    loss = np.arange(generations)[:, None] * noise if decoder_means else np.zeros((generations, 1))
    return np.maximum(values[:latent] - loss, 0.0)
