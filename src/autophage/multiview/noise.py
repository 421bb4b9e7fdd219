"""The noise regulariser: unrelated noise shall stay as correlated with the data as it was.

    zeta = | Corr(f(X), f(A)) - Corr(X, A) (m / d)^(3/2) |              A like X in shape, independent of it, m = width of f(X)

An invertible linear f leaves Corr as it is; one of low rank lowers it, since N records of independent Gaussians, q wide, have a
correlation of about 8 / (3 pi) q^(3/2) / sqrt N. For the same reason a target found in d dimensions is out of reach in m
others, and is scaled. (He, Du, Xu & Ma 2024, noise-regularised DCCA; the scaling is derived here.)
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from autophage.errors import DataError
from autophage.multiview.canonical import correlation

Law = Literal["gaussian", "uniform"]


def noise_term(z: Tensor, z_noise: Tensor, x: Tensor, noise: Tensor, ridge: float = 0.0) -> Tensor:
    """zeta of one view: x (N, d) and noise (N, d), and what the encoder makes of them, z and z_noise (N, m). Raises
    `DataError` where shapes disagree."""
    if noise.shape != x.shape:
        raise DataError(
            f"the noise has shape {tuple(noise.shape)} and the view {tuple(x.shape)}; make them equal"
        )
    if z.shape != z_noise.shape:
        raise DataError(
            f"encoded noise has shape {tuple(z_noise.shape)} and the encoded view {tuple(z.shape)}"
        )
    target = correlation(x, noise, ridge) * (z.shape[1] / x.shape[1]) ** 1.5
    return (correlation(z, z_noise, ridge) - target).abs()


def drawn(x: Tensor, law: Law, generator: torch.Generator) -> Tensor:
    """Noise like x of mean 0 and variance 1, drawn on the processor so that it does not depend on the device."""
    if law == "uniform":
        unit = torch.rand(x.shape, dtype=x.dtype, generator=generator)
        return ((unit - 0.5) * math.sqrt(12)).to(x.device)
    return torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)


def expected(q: int, n: int) -> float:
    """The correlation of n records of two independent Gaussians, q wide each, for n much larger than q.

    >>> round(expected(20, 2000), 3), round(expected(1, 2000) / math.sqrt(2 / (math.pi * 2000)), 2)
    (1.698, 1.06)
    """
    return 8 / (3 * np.pi) * q**1.5 / math.sqrt(n) if q else 0.0
