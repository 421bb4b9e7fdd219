"""Autoencoders beside the agreement.

    DCCAE          L = -agreement + lambda sum_k |X_k - g_k(Z_k)|^2 / d_k
    DCCA_PRIVATE   L = -agreement + lambda sum_k |X_k - g_k(Z_k, P_k)|^2 / d_k + mu sum_k Corr(Z_k, P_k),     P_k = h_k(X_k)

Squares are means over records. The private code P_k takes up what a view has alone, and shall not repeat the shared one.
Only Z_k is handed on. Sources: Wang, Arora, Livescu & Bilmes (2015), On deep multi-view representation learning; private
codes after Wang, Yan, Lee & Livescu (2016), Deep variational canonical correlation analysis, without its variational part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from autophage.data.arguments import not_negative, whole_number
from autophage.multiview.canonical import agreement, correlation
from autophage.multiview.deep import Deep, Step


@dataclass(frozen=True, kw_only=True)
class DCCAE(Deep):
    """Deep correlation analysis whose representations must also rebuild their views."""

    citation: ClassVar[tuple[str, ...]] = (
        "Wang, Arora, Livescu and Bilmes (2015), On deep multi-view representation learning, ICML",
        *Deep.citation,
    )

    reconstruction: float = 1.0
    """lambda, the weight of the squared error of rebuilding a view."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.reconstruction, "method.reconstruction")

    def networks(self, widths: Sequence[int]) -> dict[str, list[int]]:
        decoders = {f"decoder{k}": [self.dim, *self.hidden[::-1], wide] for k, wide in enumerate(widths)}
        return super().networks(widths) | decoders

    def loss(self, step: Step) -> Tensor:
        return -agreement(step.z, self.ridge) + self.reconstruction * self.error(step, step.z)

    def error(self, step: Step, codes: Sequence[Tensor]) -> Tensor:
        """The squared error of rebuilding, summed over views."""
        rebuilt = [step.nets[f"decoder{k}"](code) for k, code in enumerate(codes)]
        return torch.stack([((a - b) ** 2).mean() for a, b in zip(rebuilt, step.x, strict=True)]).sum()


@dataclass(frozen=True, kw_only=True)
class DCCAPrivate(DCCAE):
    """Deep correlation analysis with a private code in each view for what the others lack."""

    citation: ClassVar[tuple[str, ...]] = (
        "Wang, Yan, Lee and Livescu (2016), Deep variational canonical correlation analysis, arXiv 1610.03454",
        *Deep.citation,
    )

    private: int = 10
    """Width of the private codes."""
    separation: float = 1.0
    """mu, the weight of the correlation between the shared and the private code of a view."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.private, "method.private", least=1)
        not_negative(self.separation, "method.separation")

    def networks(self, widths: Sequence[int]) -> dict[str, list[int]]:
        found = super().networks(widths)
        for k, wide in enumerate(widths):
            found[f"private{k}"] = [wide, *self.hidden, self.private]
            found[f"decoder{k}"] = [self.dim + self.private, *self.hidden[::-1], wide]
        return found

    def loss(self, step: Step) -> Tensor:
        private = [step.nets[f"private{k}"](x) for k, x in enumerate(step.x)]
        codes = [torch.cat(pair, dim=1) for pair in zip(step.z, private, strict=True)]
        apart = [correlation(z, p, self.ridge) for z, p in zip(step.z, private, strict=True)]
        return (
            -agreement(step.z, self.ridge)
            + self.reconstruction * self.error(step, codes)
            + self.separation * torch.stack(apart).sum()
        )
