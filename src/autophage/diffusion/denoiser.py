"""What every diffusion sampler asks of a model.

Notation, here and in the whole room: a record x0, noise n ~ N(0, I), and y = x0 + sigma n. A variance-preserving
x_t = alpha x0 + alpha sigma n with alpha = (1 + sigma^2)^(-1/2) is y = x_t / alpha, so one noise level sigma is enough
(Karras et al. 2022, section 2).
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Denoiser(Protocol):
    """D(y; sigma, c): an estimate of E[x0 | y], given the class c where there is one."""

    def __call__(self, y: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """x0-hat, of the shape of y (n, ...); sigma () or (n,); label (n,) integers."""
        ...
