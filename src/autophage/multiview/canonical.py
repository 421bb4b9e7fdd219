"""How much views agree, as a number with a gradient that exists wherever the number does.

    Corr(X, Y)          = | S_xx^(-1/2) S_xy S_yy^(-1/2) |_*                         the sum of the canonical correlations
    agreement(X_1..X_K) = sum of the m largest mu / (K - 1),   S_off w = mu B w      generalised correlation analysis (MAXVAR)

S is the covariance of all views side by side, B its diagonal blocks, each with a ridge r I, S_off the others; two views
agree by exactly Corr(X, Y). With W the leading generalised eigenvectors, W' B W = I, and M = diag(mu),

    d agreement = tr (W' dS_off W - M W' dB W) / (K - 1),

which holds no difference of eigenvalues: equal ones are no obstacle, nor is a covariance of low rank. Where Corr has no
derivative (a correlation of zero) this is a subgradient. The small matrices are decomposed in float64 on the processor,
wherever the views live.

Sources: Andrew, Arora, Bilmes & Livescu (2013), Deep canonical correlation analysis; Kettenring (1971), Canonical analysis
of several sets of variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autophage.errors import DataError, FitFailed, SpecError

SLACK = 1e-6
"""How far a sum of correlations may lie above its greatest value, as a share of it, before the whitening counts as failed."""
THIN = 1e-4
"""A Cholesky factor whose pivots fall below this share of the largest one gives way to an eigendecomposition."""
RANK = 1e-11
"""Eigenvalues of a covariance below this share of the largest are taken for zero where there is no ridge."""


def correlation(x: Tensor, y: Tensor, ridge: float = 0.0) -> Tensor:
    """The sum of the canonical correlations of x (N, p) and y (N, q), a differentiable number of x's type.

    Without a ridge, directions without variance are left out: Corr(x, x) is the rank of x. Raises `DataError` for views of
    different length, N <= max(p, q) + 1 without a ridge, or entries that are not finite, `SpecError` for a negative ridge,
    `FitFailed` where the whitening failed.

    >>> x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> round(float(correlation(x, x @ torch.tensor([[1.0], [2.0], [0.0]], dtype=x.dtype))), 9)
    1.0
    """
    _check([x, y], ridge)
    return _Agreement.apply(ridge, min(x.shape[1], y.shape[1]), x, y)


def agreement(views: Sequence[Tensor], ridge: float = 0.0) -> Tensor:
    """What K >= 2 views of equal width m have in common, between about 0 and m; of two views their `correlation`. Raises as that
    does, and `DataError` for views of different width."""
    _check(views, ridge)
    widths = {v.shape[1] for v in views}
    if len(widths) > 1:
        raise DataError(
            f"views to compare are {', '.join(map(str, sorted(widths)))} wide; all must have one width"
        )
    return _Agreement.apply(ridge, widths.pop(), *views)


def canonical_correlations(x: Any, y: Any, ridge: float = 0.0) -> np.ndarray:
    """The canonical correlations of x (N, p) and y (N, q), falling, (min(p, q),) float64. Raises as `correlation` does."""
    views = [torch.as_tensor(np.asarray(v, dtype=np.float64)) for v in (x, y)]
    _check(views, ridge)
    blocks, _ = _covariances(views)
    left, right = (_whitening(blocks[i][i], ridge) for i in (0, 1))
    return np.linalg.svd(left.T @ blocks[0][1] @ right, compute_uv=False)[: min(v.shape[1] for v in views)]


def _check(views: Sequence[Tensor], ridge: float) -> None:
    if len(views) < 2:
        raise DataError(f"{len(views)} view was given; agreement needs two or more")
    if not 0 <= ridge < float("inf"):
        raise SpecError(f"ridge is {ridge!r}; it must be a finite number, zero or above")
    lengths = [len(v) for v in views]
    if len(set(lengths)) > 1:
        raise DataError(
            f"the views hold {', '.join(map(str, lengths))} records; row i of every view must be the same object"
        )
    wide = max(v.shape[1] for v in views)
    if ridge == 0 and lengths[0] <= wide + 1:
        raise DataError(
            f"{lengths[0]} records of views {wide} wide have a singular covariance; bring at least {wide + 2}, or a ridge "
            "above zero"
        )


class _Agreement(torch.autograd.Function):
    """The number and its gradient, which both come out of one decomposition."""

    @staticmethod
    def forward(ctx: Any, ridge: float, width: int, *views: Tensor) -> Tensor:
        blocks, centred = _covariances(views)
        mu, w = directions(blocks, ridge, width)
        value = float(mu.sum()) / (len(views) - 1)
        if not value <= width * (1 + SLACK):
            raise FitFailed(
                f"the whitening failed: {width} correlations came to {value:g}; a larger ridge helps"
            )
        ctx.widths = [v.shape[1] for v in views]
        scaled = torch.as_tensor(_gradient(w, mu, ctx.widths) * (2 / (len(centred) - 1)))
        ctx.save_for_backward(centred, scaled.to(centred))
        return views[0].new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *out: Tensor) -> Any:  # type: ignore[override]
        centred, gradient = ctx.saved_tensors
        found = _product(centred, out[0].double() * gradient).to(out[0].dtype)
        return None, None, *found.split(ctx.widths, dim=1)


def _covariances(views: Sequence[Tensor]) -> tuple[list[list[np.ndarray]], Tensor]:
    """S_kl as float64 matrices, and the centred views side by side. Raises `FitFailed` where they are not finite."""
    ends = [0, *np.cumsum([v.shape[1] for v in views]).tolist()]
    # In single precision full agreement would round to more than its greatest value.
    centred = views[0].new_empty((len(views[0]), ends[-1]), dtype=torch.float64)
    for view, low, high in zip(views, ends, ends[1:], strict=False):
        torch.sub(view.detach(), view.detach().mean(dim=0, dtype=torch.float64), out=centred[:, low:high])
    s = _product(centred.T, centred).cpu().numpy() / (len(centred) - 1)
    if not np.isfinite(s).all():
        raise FitFailed("views to compare hold entries that are not finite, or too large to be squared")
    cut = [slice(a, b) for a, b in pairwise(ends)]
    return [[s[a, b] for b in cut] for a in cut], centred


def _product(a: Tensor, b: Tensor) -> Tensor:
    # On thin matrices numpy's product takes half the time of torch's.
    return torch.from_numpy(a.numpy() @ b.numpy()) if a.device.type == "cpu" else a @ b


def _whitening(s: np.ndarray, ridge: float) -> np.ndarray:
    """V with V' (s + r I) V = I, columns that span what has variance: the inverse Cholesky factor, or scaled eigenvectors."""
    from scipy.linalg.lapack import dpotrf, dtrtri

    b = s + ridge * np.eye(len(s))
    factor, info = dpotrf(b, lower=0, clean=1)
    if info == 0:
        pivots = factor.diagonal()
        if pivots.min() > THIN * pivots.max():
            return dtrtri(factor, lower=0)[0]
    values, vectors = np.linalg.eigh(b)
    kept = values > (RANK * values[-1] if ridge == 0 else 0.0)
    if not kept.any():
        return np.zeros((len(s), 1))
    return vectors[:, kept] / np.sqrt(values[kept])


def directions(blocks: list[list[np.ndarray]], ridge: float, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(mu, W): the leading generalised eigenvalues, falling, at most `width` of them, and their eigenvectors below each other, of
    covariances S_kl given as blocks[k][l]."""
    white = [_whitening(row[k], ridge) for k, row in enumerate(blocks)]
    count = len(blocks)
    if count == 2:
        u, mu, v = np.linalg.svd(white[0].T @ blocks[0][1] @ white[1], full_matrices=False)
        lead = np.concatenate([white[0] @ u, white[1] @ v.T]) / np.sqrt(2)
        return mu[:width], lead[:, :width]
    c = np.block(
        [
            [
                white[k].T @ blocks[k][l] @ white[l] if k != l else np.zeros((white[k].shape[1],) * 2)
                for l in range(count)
            ]
            for k in range(count)
        ]
    )
    values, vectors = np.linalg.eigh(c)
    mu, lead = values[::-1][:width], vectors[:, ::-1][:, :width]
    pieces = np.split(lead, np.cumsum([w.shape[1] for w in white])[:-1])
    return mu, np.concatenate([w @ piece for w, piece in zip(white, pieces, strict=True)])


def _gradient(w: np.ndarray, mu: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """The derivative by the covariance of all views side by side."""
    g = w @ w.T
    start = 0
    for wide in widths:
        own = slice(start, start + wide)
        g[own, own] = -(w[own] * mu) @ w[own].T
        start += wide
    return g / (len(widths) - 1)
