"""Laws whose denoiser is known: what samplers, losses and guidance are measured against.

Notation: x0 ~ p, y = x0 + sigma n; p_sigma is the law of y, and D(y; sigma) = E[x0 | y] = y + sigma^2 grad ln p_sigma(y)
(Robbins 1956, Miyasawa 1961: often called Tweedie's formula). Worked out in float64, given back in the type of y;
on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autophage.errors import SpecError


class ExactGaussian:
    """Data of law N(m, S), S any covariance.

        D(y; sigma) = m + S (S + sigma^2 I)^-1 (y - m)
        dy / dsigma = (y - D) / sigma  has the flow  y_s = m + (S + s^2 I)^(1/2) (S + t^2 I)^(-1/2) (y_t - m)

    Exact. mean: (d,) numbers; cov: (d, d), or (d,) variances, or one variance. Records may have any shape of d entries,
    taken in C order. Raises `SpecError` where cov is no covariance of mean's size.

    >>> law = ExactGaussian([1.0], [[4.0]])
    >>> law(torch.tensor([[6.0]]), torch.tensor(1.0)), law.flow(torch.tensor([[6.0]]), 1.0, 0.0)
    (tensor([[5.]]), tensor([[5.4721]]))
    """

    def __init__(self, mean: Tensor | Sequence[float], cov: Tensor | Sequence | float) -> None:
        self.mean = torch.as_tensor(mean, dtype=torch.float64).reshape(-1)
        dim, given = len(self.mean), torch.as_tensor(cov, dtype=torch.float64)
        self.cov = torch.diag(given.expand(dim)) if given.ndim < 2 and given.numel() in (1, dim) else given
        if self.cov.shape != (dim, dim):
            raise SpecError(
                f"cov has shape {tuple(given.shape)}; a mean of {dim} entries asks for ({dim}, {dim})"
            )
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.cov).all()):
            raise SpecError(
                "mean or cov holds a value that is not finite; every entry must be an ordinary number"
            )
        values, self.axes = torch.linalg.eigh(self.cov)
        scale = float(values.abs().max())
        if not torch.allclose(self.cov, self.cov.T) or float(values.min()) < -1e-10 * scale:
            raise SpecError("cov is no covariance; it must be symmetric, without a negative eigenvalue")
        self.values = values.clamp(min=0)

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x0-hat (n, ...) of y's shape; sigma () or (n,), above 0 where S has no inverse. There is no class to tell apart."""
        return self._stretched(y, self.values / (self.values + _squared(sigma)))

    def score(self, y: Tensor, sigma: Tensor) -> Tensor:
        """grad ln p_sigma(y) = -(S + sigma^2 I)^-1 (y - m), of y's shape."""
        return self._stretched(y, -1 / (self.values + _squared(sigma)), around=0)

    def log_prob(self, y: Tensor, sigma: Tensor) -> Tensor:
        """(n,) ln p_sigma(y) in nats, float64."""
        total = self.values + _squared(sigma)
        inner = self._inner(y).square() / total
        return -0.5 * (inner + total.log() + math.log(2 * math.pi)).sum(-1)

    def flow(self, y: Tensor, t: float, s: float) -> Tensor:
        """Where the probability-flow ODE takes y (n, ...) from noise level t to level s, which may be above or below."""
        return self._stretched(y, ((self.values + s**2) / (self.values + t**2)).sqrt())

    def _inner(self, y: Tensor) -> Tensor:
        """(n, d) coordinates along the axes of S, from m."""
        return (y.reshape(len(y), -1).double() - self.mean) @ self.axes

    def _stretched(self, y: Tensor, factors: Tensor, around: float = 1) -> Tensor:
        moved = self._inner(y) * factors @ self.axes.T + around * self.mean
        return moved.reshape(y.shape).to(y.dtype)


class ExactMixture:
    """Data of law sum_k pi_k N(m_k, S_k); component k is class k.

        D(y; sigma) = sum_k r_k(y) D_k(y; sigma),   r_k(y) = P(k | y) ~ pi_k N(y; m_k, S_k + sigma^2 I)

    A record labelled k has component k's denoiser, one labelled `null` (the number of components), like one without a label,
    the mixture's. Exact. means: K rows of d numbers; covs: one for each, each as for `ExactGaussian`. Raises `SpecError` where
    the weights are no probabilities above 0, or one for each component.
    """

    def __init__(self, weights: Tensor | Sequence[float], means: Sequence, covs: Sequence) -> None:
        self.weights = torch.as_tensor(weights, dtype=torch.float64)
        if not (len(means) == len(covs) == len(self.weights)):
            raise SpecError(
                f"weights, means and covs have {len(self.weights)}, {len(means)} and {len(covs)} entries; each component needs "
                "one of each"
            )
        if not ((self.weights > 0).all() and abs(float(self.weights.sum()) - 1) < 1e-9):
            raise SpecError(f"weights are {self.weights.tolist()}; they must be above 0 and sum to 1")
        self.components = [ExactGaussian(m, c) for m, c in zip(means, covs, strict=True)]
        self.null = len(self.components)

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x0-hat (n, ...) of y's shape; sigma () or (n,), label (n,)."""
        return self._mean_over(
            y, self.shares(y, sigma, label), [c(y.double(), sigma) for c in self.components]
        )

    def score(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """grad ln p_sigma(y), or that of p_sigma(y | label), of y's shape."""
        return self._mean_over(
            y, self.shares(y, sigma, label), [c.score(y.double(), sigma) for c in self.components]
        )

    def log_prob(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """(n,) ln p_sigma(y), or ln p_sigma(y | label), in nats, float64."""
        return self._joint(y, sigma, label).logsumexp(-1)

    def shares(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, K) P(k | y) at noise level sigma; that of a labelled record is all at its label."""
        return self._joint(y, sigma, label).softmax(-1)

    def _joint(self, y: Tensor, sigma: Tensor, label: Tensor | None) -> Tensor:
        """(n, K) ln P(k) + ln p_sigma(y | k), where a label leaves one k only."""
        rows = torch.cat([torch.eye(self.null, dtype=torch.float64), self.weights[None]]).log()
        if label is None:
            label = torch.full((len(y),), self.null)
        elif not ((label >= 0) & (label <= self.null)).all():
            raise SpecError(
                f"a label lies outside 0 to {self.null}; the components are 0 to {self.null - 1}, and {self.null} is none"
            )
        return rows[label] + torch.stack([c.log_prob(y, sigma) for c in self.components], -1)

    def _mean_over(self, y: Tensor, shares: Tensor, of: list[Tensor]) -> Tensor:
        flat = torch.stack([each.reshape(len(y), -1) for each in of], 1)
        return torch.einsum("nk,nkd->nd", shares, flat).reshape(y.shape).to(y.dtype)


def _squared(sigma: Tensor) -> Tensor:
    """sigma^2 in float64, () or (n, 1)."""
    level = torch.as_tensor(sigma, dtype=torch.float64).square()
    return level if level.ndim == 0 else level.reshape(-1, 1)
