"""Noise regularisation: L = -agreement + alpha sum_k zeta_k, with fresh noise in every step (He, Du, Xu & Ma 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from autophage.data.arguments import not_negative, one_of
from autophage.keys import Key
from autophage.multiview.canonical import agreement
from autophage.multiview.deep import Deep, Step
from autophage.multiview.noise import Law, drawn, noise_term


@dataclass(frozen=True, kw_only=True)
class NRDGCCA(Deep):
    """Deep generalised correlation analysis of two or more views whose encoders leave correlations with noise as they were."""

    citation: ClassVar[tuple[str, ...]] = (
        "He, Du, Xu and Ma (2024), Preventing model collapse in deep canonical correlation analysis by noise "
        "regularization, NeurIPS, "
        "arXiv 2411.00383",
        *Deep.citation,
    )

    alpha: float = 50.0
    """Weight of the noise term: too small and the representations collapse, too large and training is slow. Take the
    smallest that holds."""
    noise: Law = "gaussian"
    """The law of the noise, of mean 0 and variance 1: gaussian or uniform."""

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self.alpha, "method.alpha")
        one_of(self.noise, "method.noise", ("gaussian", "uniform"))

    def rows(self, x: list[Tensor], key: Key) -> list[Tensor]:
        if not self.alpha:
            return []
        return [drawn(view, self.noise, (key / "noise" / k).torch()) for k, view in enumerate(x)]

    def loss(self, step: Step) -> Tensor:
        total = -agreement(step.z, self.ridge)
        for z, z_noise, x, noise in zip(step.z, step.extra, step.x, step.rows, strict=False):
            total = total + self.alpha * noise_term(z, z_noise, x, noise, self.ridge)
        return total


@dataclass(frozen=True, kw_only=True)
class NRDCCA(NRDGCCA):
    """Noise-regularised deep canonical correlation analysis of two views."""

    most_views: ClassVar[int | None] = 2
