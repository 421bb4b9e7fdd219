"""The exponential tilt: weights that move the mean by a linear pull (Han et al. 2025; form derived)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.curation.anchor import Anchor, along, records, solved
from autophage.curation.anchored_filter import AnchoredFilter
from autophage.curation.certificate import Certificate, by_quadrature
from autophage.curation.family import Law
from autophage.curation.keeping import effective_size, weighed
from autophage.data.arguments import array, frozen
from autophage.errors import SpecError
from autophage.interventions import Curating
from autophage.parts import Learner, Source
from autophage.theory.contraction import lyapunov


@dataclass(frozen=True, kw_only=True)
class Tilt(AnchoredFilter):
    """Weights w = exp(-(B (mu - a))' S^-1 (T - mu)), scaled to mean 1: every record stays, and the refitted statistic moves
    to mu - B (mu - a), exactly for a Gaussian mean and to first order elsewhere. In one dimension w = exp(-b delta z), and
    the effective sample is n exp(-b^2 delta^2).

    `pull` is b in (0, 2), or a square matrix B whose I - B has eigenvalues of modulus below 1. Raises `SpecError`
    otherwise, and for learners whose models expose no sufficient statistics.

    >>> from autophage.curation.family import Normal
    >>> Tilt(anchor="real", pull=0.3).certificate(Normal()).label
    'contractive: c = 0.51 for errors of 0.3 to 3 standard deviations (normal statistic)'
    """

    pull: float | tuple[tuple[float, ...], ...]
    """The share b of the error that one round removes, in (0, 2); or a matrix B, row by row."""

    @property
    def weighs(self) -> bool:  # type: ignore[override]
        """Whether records come out with weights."""
        return self.anchor is not None

    def __post_init__(self) -> None:
        super().__post_init__()
        B = array(self.pull, "curation.pull")
        if B.ndim == 0 and not 0 < B < 2:
            raise SpecError(
                f"curation.pull is {self.pull}; it must lie in (0, 2): with |1 - b| of 1 or more nothing contracts"
            )
        if B.ndim > 0:
            if B.ndim != 2 or B.shape[0] != B.shape[1]:
                raise SpecError(f"curation.pull must be a number or a square matrix; got shape {B.shape}")
            largest = np.abs(np.linalg.eigvals(np.eye(len(B)) - B)).max()
            if not largest < 1:
                raise SpecError(
                    f"curation.pull is a matrix B whose I - B has an eigenvalue of modulus {largest:.3g}; with 1 or more "
                    "nothing contracts"
                )
        object.__setattr__(self, "pull", frozen(self.pull))

    def check(self, learner: Learner, source: Source) -> None:
        super().check(learner, source)
        size = learner.sufficient_size(source.dim)
        if not isinstance(self.pull, int | float) and len(self.pull) != size:
            raise SpecError(
                f"curation.pull is a matrix of {len(self.pull)} rows; the learner fits {size} statistics"
            )

    def response(self, delta: np.ndarray, law: Law) -> tuple[np.ndarray, np.ndarray]:
        def weight(z: np.ndarray, d: np.ndarray) -> np.ndarray:
            log_weight = -np.multiply(self.pull, d * z)
            return np.asarray(np.exp(log_weight - log_weight.max(axis=1, keepdims=True)))

        return by_quadrature(weight, accepts=False)(delta, law)

    def certificate(self, law: Law) -> Certificate:
        """By quadrature for a number b; for a matrix the c that x'Px shows with P = sum_k (A')^k A^k, A = I - B, and normal
        statistics."""
        if isinstance(self.pull, int | float):
            return super().certificate(law)
        from scipy.linalg import solve_discrete_lyapunov

        B = np.array(self.pull)
        A = np.eye(len(B)) - B
        c = lyapunov(A, solve_discrete_lyapunov(A.T, np.eye(len(B))), 1.0).contraction
        least = float(np.exp(-((np.linalg.norm(B, 2) * self.region[1]) ** 2)))
        return Certificate(c, 0.0, (least, 1.0), self.region, "normal")

    def filtered(self, samples: Any, anchor: Anchor, context: Curating) -> Any:
        mean, scatter = context.model.moments_of_sufficient()
        error = mean - anchor.mean
        B = np.asarray(self.pull, dtype=np.float64)
        direction = solved(scatter, B * error if B.ndim == 0 else error @ B.T)
        log_weight = -along(context.model, records(samples), direction)
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        context.note("effective_size", effective_size(weight))
        return weighed(samples, weight, self.kind)
