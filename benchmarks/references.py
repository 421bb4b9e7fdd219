"""What a script of this field does: one replicate after the other in plain numpy, nothing measured on the
way.

These loops are the yardstick. They are meant to be literal, not fast.
"""

from __future__ import annotations

import numpy as np


def gaussian(rng: np.random.Generator, generations: int, n: int) -> float:
    """One replicate of a one-dimensional Gaussian replace loop."""
    m, s = 0.0, 1.0
    for _ in range(generations):
        x = rng.normal(m, s, n)
        m, s = x.mean(), x.std()
    return s


def gaussian_accumulate(rng: np.random.Generator, generations: int, n: int) -> float:
    """One replicate that keeps everything."""
    pile = rng.normal(0.0, 1.0, n)
    for _ in range(generations - 1):
        pile = np.concatenate([pile, rng.normal(pile.mean(), pile.std(), n)])
    return pile.std()


def gaussian_vectors(rng: np.random.Generator, generations: int, n: int, d: int) -> np.ndarray:
    """One replicate in d dimensions, full covariance."""
    m, c = np.zeros(d), np.eye(d)
    for _ in range(generations):
        x = rng.multivariate_normal(m, c, n)
        m, c = x.mean(axis=0), np.cov(x.T)
    return c


def gaussian_mix(
    rng: np.random.Generator, generations: int, n: int, ratio: float, replicates: int
) -> np.ndarray:
    """Variances of a loop that keeps its real records, replicate by replicate."""
    found = np.empty(replicates)
    for r in range(replicates):
        real = rng.normal(0.0, 1.0, n)
        pile = real
        for _ in range(generations - 1):
            pile = np.concatenate([real, rng.normal(pile.mean(), pile.std(), int(ratio * n))])
        found[r] = pile.var()
    return found


def gaussian_mix_rows(
    rng: np.random.Generator, generations: int, n: int, ratio: float, replicates: int
) -> np.ndarray:
    """The same with the replicates as rows of one array."""
    real = rng.normal(0.0, 1.0, (replicates, n))
    pile = real
    for _ in range(generations - 1):
        m, s = pile.mean(axis=1, keepdims=True), pile.std(axis=1, keepdims=True)
        new = m + s * rng.standard_normal((replicates, int(ratio * n)))
        pile = np.concatenate([real, new], axis=1)
    return pile.var(axis=1)


def categorical(rng: np.random.Generator, generations: int, n: int, p: np.ndarray) -> np.ndarray:
    """One replicate of a categorical replace loop."""
    for _ in range(generations):
        p = rng.multinomial(n, p) / n
    return p


def contaminated(
    rng: np.random.Generator, generations: int, n: int, share: float, p: np.ndarray
) -> np.ndarray:
    """One replicate of a categorical loop whose training sets hold a share of new real records."""
    q = rng.multinomial(n, p) / n
    for _ in range(generations):
        q = rng.multinomial(n, share * p + (1 - share) * q) / n
    return q


def kde(
    rng: np.random.Generator, generations: int, n: int, h: float, points: np.ndarray, keep: bool
) -> np.ndarray:
    """One replicate of a kernel density loop with its log-likelihood on `points` in every generation."""
    pile = rng.normal(0.0, 1.0, n)
    course = np.empty(generations)
    for t in range(generations):
        kernels = np.exp(-0.5 * ((points[:, None] - pile) / h) ** 2) / (h * np.sqrt(2 * np.pi))
        course[t] = np.log(kernels.mean(axis=1)).mean()
        new = rng.choice(pile, n) + h * rng.normal(size=n)
        pile = np.concatenate([pile, new]) if keep else new
    return course


def least_squares(rng: np.random.Generator, generations: int, n: int, d: int, keep: bool) -> np.ndarray:
    """One replicate of least squares on its own labels: one design, labelled anew in every generation; with `keep` every
    label set stays and the pile is refitted."""
    x = rng.normal(size=(n, d))
    w = np.zeros(d)
    inputs, labels = [], []
    for _ in range(generations):
        inputs, labels = (inputs, labels) if keep else ([], [])
        inputs.append(x)
        labels.append(x @ w + rng.normal(size=n))
        w = np.linalg.lstsq(np.concatenate(inputs), np.concatenate(labels), rcond=None)[0]
    return w
