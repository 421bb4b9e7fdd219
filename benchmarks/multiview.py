"""Correlation analysis against scikit-learn and against bare decompositions, one thread, CPU seconds."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import paired


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    reference: float
    ours: float
    target: str
    note: str

    def line(self) -> str:
        return (
            f"| {self.name} | {1e3 * self.reference:,.2f} ms | {1e3 * self.ours:,.2f} ms | "
            f"{self.reference / self.ours:.2f}x | {self.target} | {self.note} |"
        )


def two_views(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((n, 4))
    x, y = (common @ rng.standard_normal((4, d)) + 2 * rng.standard_normal((n, d)) for _ in range(2))
    return x, y


def once(work: Callable[[], None]) -> float:
    """Seconds of one call, since the reference takes minutes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def linear(n: int, d: int, components: int = 4) -> Figure:
    """Fit and transform; equal correlations are part of the comparison."""
    from sklearn.cross_decomposition import CCA

    from autophage.multiview import MultiviewEncoder

    x, y = two_views(n, d)
    found: dict[str, np.ndarray] = {}

    def theirs() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            u, v = CCA(n_components=components, max_iter=500, tol=1e-7).fit(x, y).transform(x, y)
        found["theirs"] = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(u.T, v.T, strict=True)])

    def ours() -> None:
        u, v = MultiviewEncoder("cca", dim=components).fit_transform([x, y])
        found["ours"] = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(u.T, v.T, strict=True)])

    own, reference = (once(side) for side in (ours, theirs))
    apart = float(abs(found["theirs"] - found["ours"]).max())
    return Figure(
        f"linear analysis, N = {n:,}, d = {d}, {components} correlations",
        reference,
        own,
        ">= 3x scikit-learn",
        f"correlations apart by {apart:.0e}",
    )


def gradients(n: int = 2000, m: int = 20) -> list[Figure]:
    """Corr and its gradient, against autograd through eigendecompositions, and against what cannot be left out."""
    import torch

    from autophage.multiview import correlation

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, y = (torch.as_tensor(rng.standard_normal((n, m))).requires_grad_() for _ in range(2))
    eye = 1e-4 * torch.eye(m, dtype=torch.float64)
    z = torch.cat([x, y], dim=1).detach().numpy()
    s = z.T @ z / n
    left, right, cross = s[:m, :m], s[m:, m:], s[:m, m:]

    def root(cov):
        values, vectors = torch.linalg.eigh(cov + eye)
        return (vectors * values**-0.5) @ vectors.T

    def textbook() -> None:
        a, b = x - x.mean(0), y - y.mean(0)
        t = root(a.T @ a / (n - 1)) @ (a.T @ b / (n - 1)) @ root(b.T @ b / (n - 1))
        torch.autograd.grad(torch.linalg.svdvals(t).sum(), (x, y))

    def needed() -> None:
        # Two eigendecompositions, a singular value decomposition, the covariance, and the gradient's product.
        np.linalg.eigh(left)
        np.linalg.eigh(right)
        np.linalg.svd(cross)
        centred = z - z.mean(axis=0)
        centred.T @ centred
        centred @ s

    def bare() -> None:
        np.linalg.eigh(left)
        np.linalg.eigh(right)
        np.linalg.svd(cross)

    def ours() -> None:
        torch.autograd.grad(correlation(x, y, 1e-4), (x, y))

    times = paired((textbook, 1), (needed, 1), (bare, 1), (ours, 1), rounds=101)
    name = f"correlation and gradient, N = {n:,}, m = {m}, float64"
    return [
        Figure(f"{name}, autograd through eigendecompositions", times[0], times[3], ">= 0.67x", ""),
        Figure(f"{name}, decompositions, covariance and one product", times[1], times[3], ">= 0.67x", ""),
        Figure(
            f"{name}, decompositions alone", times[2], times[3], "report", "without the passes over N records"
        ),
    ]


def figures(n: int = 100_000, d: int = 100) -> list[Figure]:
    return [linear(n, d), *gradients()]


if __name__ == "__main__":
    for figure in figures(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000):
        print(figure.line(), flush=True)
