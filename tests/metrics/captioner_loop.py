"""A second implementation of the captioner and generator loop on MNIST, outside of the loop and its parts.

Spec sheet of multimodal loops, A.7: a Gaussian for each class paints, a softmax regression describes, both are fitted again to
what they made. numpy, scipy and scikit-learn only; nothing of autophage is used, so that the two can be compared.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import sqrtm
from sklearn.linear_model import LogisticRegression

CLASSES, COMPONENTS = 10, 20
ROWS = ("fd", "judge", "self", "accuracy", "within")
"""Columns of a course: Frechet distance, judge alignment, self-consistency, the captioner's accuracy on real pictures, and the
trace of the covariance within a caption."""


@dataclass(frozen=True)
class Arm:
    """One set-up of the loop."""

    greedy: bool = True
    """Captions are the likeliest classes, otherwise drawn."""
    frozen: bool = False
    """Generation 0's captioner describes in every generation."""
    models: int = 1
    """Pairs of models, each fitted to a draw from what all of them made."""
    keep_labels: bool = False
    """The generator learns from the classes it was asked for, the captioner stays (t2i-only)."""


def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (60000, 784) and classes of the training files."""
    read = []
    for name in ("train-images-*.gz", "train-labels-*.gz"):
        with gzip.open(next(folder.glob(name))) as file:
            read.append(file.read())
    x = np.frombuffer(read[0], np.uint8, offset=16).reshape(-1, 784)
    return x, np.frombuffer(read[1], np.uint8, offset=8).astype(int)


def scores(x: np.ndarray, fitted_on: int = 20_000) -> np.ndarray:
    """The pictures' first 20 principal components, fitted on some of them, over the standard deviation of all numbers."""
    some = x[np.random.default_rng(0).permutation(len(x))[:fitted_on]].astype(float)
    centre = some.mean(axis=0)
    axes = np.linalg.eigh(np.cov(some.T))[1][:, ::-1][:, :COMPONENTS]
    return (x - centre) @ axes / ((some - centre) @ axes).std()


class Painter:
    """A Gaussian for each class by maximum likelihood; one with fewer than 3 pictures stays what it was."""

    def __init__(self, x: np.ndarray, c: np.ndarray, before: Painter | None = None) -> None:
        self.shares = np.bincount(c, minlength=CLASSES) / len(c)
        shape = (CLASSES, x.shape[1])
        self.means = np.zeros(shape) if before is None else before.means.copy()
        self.roots = np.zeros((*shape, x.shape[1])) if before is None else before.roots.copy()
        for k in range(CLASSES):
            if (c == k).sum() >= 3:
                self.means[k] = x[c == k].mean(axis=0)
                self.roots[k] = sqrtm(np.cov(x[c == k].T, ddof=0) + 1e-12 * np.eye(x.shape[1])).real

    def paint(self, c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal((len(c), self.means.shape[1]))
        return self.means[c] + np.einsum("nij,nj->ni", self.roots[c], noise)


class Describer:
    """A softmax regression; the penalty is on squared weights, against the mean cross-entropy."""

    def __init__(self, x: np.ndarray, c: np.ndarray, penalty: float) -> None:
        self.model = LogisticRegression(C=1 / (penalty * len(x)), max_iter=1000).fit(x, c)

    def chances(self, x: np.ndarray) -> np.ndarray:
        found = np.zeros((len(x), CLASSES))
        found[:, self.model.classes_] = self.model.predict_proba(x)
        return found

    def describe(self, x: np.ndarray, greedy: bool, rng: np.random.Generator) -> np.ndarray:
        p = self.chances(x)
        if greedy:
            return p.argmax(axis=1)
        return (p.cumsum(axis=1) > rng.random((len(x), 1))).argmax(axis=1)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    A, B = np.cov(a.T), np.cov(b.T)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(A + B - 2 * sqrtm(A @ B).real))


def within(x: np.ndarray, c: np.ndarray) -> float:
    """The trace of the covariance within a class, averaged over pictures."""
    return sum(len(r) * r.var(axis=0).sum() for r in (x[c == k] for k in np.unique(c))) / len(x)


def course(
    z: np.ndarray,
    y: np.ndarray,
    arm: Arm,
    seed: int,
    *,
    n: int = 1000,
    generations: int = 9,
    judge_penalty: float = 1e-3,
    penalty: float = 2e-3,
) -> np.ndarray:
    """The rows (generations, 5) of one loop on components (N, 20) and classes (N,)."""
    return np.array(list(_generations(z, y, arm, seed, n, generations, judge_penalty, penalty)))


def _generations(
    z: np.ndarray,
    y: np.ndarray,
    arm: Arm,
    seed: int,
    n: int,
    generations: int,
    judge_penalty: float,
    penalty: float,
) -> Iterator[tuple[float, ...]]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(z))
    judge = Describer(z[order[-10_000:]], y[order[-10_000:]], judge_penalty)
    held, truth = z[order[-20_000:-10_000]], y[order[-20_000:-10_000]]
    sets = [order[i * n : (i + 1) * n] for i in range(arm.models)]
    painters = [Painter(z[s], y[s]) for s in sets]
    describers = [Describer(z[s], y[s], penalty) for s in sets]
    first = list(describers)
    for _ in range(generations):
        x, asked, said, own = [], [], [], []
        for i, (painter, describer) in enumerate(zip(painters, describers, strict=True)):
            c = rng.choice(CLASSES, n, p=painter.shares)
            made = painter.paint(c, rng)
            told = (first[i] if arm.frozen else describer).describe(made, arm.greedy, rng)
            x.append(made)
            asked.append(c)
            said.append(told)
            own.append(describer.chances(made)[np.arange(n), told].mean())
        X, C, D = np.concatenate(x), np.concatenate(asked), np.concatenate(said)
        right = np.mean([(d.chances(held).argmax(axis=1) == truth).mean() for d in describers])
        agreed = judge.chances(X)[np.arange(len(X)), D].mean()
        yield frechet(X, held), float(agreed), float(np.mean(own)), float(right), within(X, D)
        for i in range(arm.models):
            rows = rng.choice(len(X), n, replace=False)
            painters[i] = Painter(X[rows], (C if arm.keep_labels else D)[rows], painters[i])
            if not arm.keep_labels:
                describers[i] = Describer(X[rows], D[rows], penalty)
