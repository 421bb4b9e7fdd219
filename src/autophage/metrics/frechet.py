"""Gaussian Wasserstein distance, also called Frechet distance: between models, and between records in a
feature space.

    W2^2(N(m1, S1), N(m2, S2)) = |m1 - m2|^2 + tr(S1 + S2 - 2 (S2^1/2 S1 S2^1/2)^1/2)

(Dowson and Landau 1982; Heusel et al. 2017 call it FID on Inception features). It is squared, as the field
reports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.features import FeatureMetric, training_records
from autophage.metrics.gaussians import Moments, distance_scale, overlap, roots_hold
from autophage.metrics.intervals import normal
from autophage.metrics.model_metric import ModelMetric, exposes
from autophage.metrics.records import FIXED, VECTORS, matched, remembered
from autophage.parts import Compared, Source
from autophage.samples import Samples

INVERSE_SHARES = (3.0, 2.5, 2.0, 1.5, 1.0)
"""Parts of the records whose distances are extrapolated, evenly spaced in 1/n."""


def gaussian_w2_squared(m1: Any, S1: Any, m2: Any, S2: Any) -> np.ndarray:
    """Squared 2-Wasserstein distance of Gaussians: means (..., d), covariances (..., d, d), leading axes
    broadcast.

    Symmetric eigenvalues only, negative ones clipped at zero, so it is real and never negative, and singular
    covariances are legal. Raises `DataError` when shapes do not fit or something is not finite.

    >>> round(gaussian_w2_squared([0, 0], np.eye(2), [1, 2], [[2, 0.5], [0.5, 1]]).item(), 6)
    5.247842
    """
    m1, S1, m2, S2 = (np.asarray(a, dtype=np.float64) for a in (m1, S1, m2, S2))
    d = m1.shape[-1] if m1.ndim else 0
    if not (d and m2.shape[-1:] == (d,) and S1.shape[-2:] == (d, d) and S2.shape[-2:] == (d, d)):
        raise DataError(
            "means (..., d) and covariances (..., d, d) must agree in d, "
            f"got {m1.shape}, {S1.shape}, {m2.shape}, {S2.shape}"
        )
    if not all(np.isfinite(a).all() for a in (m1, S1, m2, S2)):
        raise DataError("a Gaussian with NaN or infinite moments has no Wasserstein distance")
    apart = np.square(m1 - m2).sum(axis=-1)
    if d == 1:
        roots = np.sqrt(np.maximum(S1, 0)) - np.sqrt(np.maximum(S2, 0))
        return apart + np.square(roots)[..., 0, 0]
    if S2.size > S1.size:
        S1, S2 = S2, S1  # take the root of the smaller stack
    root = symmetric_root(S2)
    cross = np.linalg.eigvalsh(root @ S1 @ root)
    traces = np.trace(S1, axis1=-2, axis2=-1) + np.trace(S2, axis1=-2, axis2=-1)
    shape = traces - 2 * np.sqrt(np.maximum(cross, 0)).sum(axis=-1)
    return apart + np.maximum(shape, 0)


def diagonal_w2_squared(m1: Any, v1: Any, m2: Any, v2: Any) -> np.ndarray:
    """The same for diagonal covariances given as variances (..., d)."""
    roots = np.sqrt(np.maximum(v1, 0)) - np.sqrt(np.maximum(v2, 0))
    return (np.square(np.subtract(m1, m2)) + np.square(roots)).sum(axis=-1)


def symmetric_root(S: np.ndarray) -> np.ndarray:
    """The positive square root of symmetric matrices (..., d, d), negative eigenvalues clipped at zero."""
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def frechet(real: np.ndarray, generated: np.ndarray, *, interval: bool = True) -> Compared:
    """Squared Frechet distance of records (n, d) and (m, d), both with the unbiased covariance.

    Interval: normal, by the delta method. The distance is smooth in the moments, with derivative I - T in S1,
    where T = S2^1/2 (S2^1/2 S1 S2^1/2)^(-1/2) S2^1/2 is the optimal map; each record's influence is quadratic
    in it, and its spread is taken over at most 2,000 records a side. The interval speaks of the expected distance at these
    sample sizes, which lies above the distance of the laws (see `frechet_bias`, `frechet_infinity`). NaN when a set has no
    more records than its covariance has rank to fill (n <= d), where the bias rules.

    Moments are summed in float64, chunk by chunk. The value costs one Cholesky factor of the real covariance, two products
    and the eigenvalues of a symmetric matrix (`gaussians`); an interval needs its eigenvectors too, about twice that. Raises
    `DataError` on unequal widths, fewer than two records, or NaN.
    """
    x, y = matched(real, generated, fewest=2, compact=True)
    return frechet_of(Moments(x), Moments(y), interval=interval)


def frechet_of(a: Moments, b: Moments, *, interval: bool = True) -> Compared:
    """`frechet` of moments at hand, the real ones first."""
    apart, traces = distance_scale(a, b)
    if not interval or min(a.n, b.n) <= len(a.mean):
        return Compared(apart + max(traces - 2 * overlap(a, b), 0.0), n=b.n)
    from scipy.linalg import eigh

    A = a.factor
    if A.shape[1] == 0:
        return Compared(apart + traces, n=b.n)
    values, vectors = eigh(b.seen_through(A), check_finite=False, driver="evr")
    roots = np.sqrt(np.maximum(values, 0))
    shared = roots.sum() if roots_hold(values, (apart, traces)) else overlap(a, b)
    value = apart + max(traces - 2 * shared, 0.0)
    alive = values > values[-1] * len(values) * np.finfo(float).eps
    if alive.sum() >= min(a.n, b.n) - 1:
        return Compared(float(value), n=b.n)
    # In coordinates where S1 = A A' is the identity the map to the generated records is M^(1/2), M = A' S2 A, and
    # the map back its inverse: x' T x = |M^(1/4) A^-1 x|^2 and y' T^-1 y = |M^(-1/4) A' y|^2.
    x, y = a.some, b.some
    there = a.whitened(x) @ (vectors[:, alive] * np.sqrt(roots[alive]))
    back = y @ (A @ (vectors[:, alive] / np.sqrt(roots[alive])))
    shift = a.mean - b.mean
    influence_x = np.square(x).sum(axis=1) - np.square(there).sum(axis=1) + 2 * x @ shift
    influence_y = np.square(y).sum(axis=1) - np.square(back).sum(axis=1) - 2 * y @ shift
    error = np.sqrt(influence_x.var(ddof=1) / a.n + influence_y.var(ddof=1) / b.n)
    return normal(value, error, b.n)


def frechet_infinity(real: np.ndarray, generated: np.ndarray) -> Compared:
    """The squared Frechet distance that infinitely many records would have: extrapolated in 1/n (after Chong and Forsyth
    2020, who shrink the generated set only).

    Both sets are shuffled by a fixed stream; the distances of their first 1, 1/1.5, 1/2, 1/2.5 and 1/3 are fitted by a line
    in the inverse share, and the line is read off at zero, where the bias of either size is gone up to second order. It may
    fall below zero. No interval: the parts are nested. NaN where a third of a set has no more records than numbers in
    each: the bias is not linear there. Raises as `frechet` does.
    """
    x, y = matched(real, generated, fewest=2, compact=True)
    if min(len(x), len(y)) / INVERSE_SHARES[0] <= x.shape[1]:
        return Compared(float("nan"), n=len(y))
    orders = [(FIXED / "extrapolation" / len(s)).generator().permutation(len(s)) for s in (x, y)]
    sums: list[Moments] = []
    found = []
    done = [0, 0]
    for inverse in INVERSE_SHARES:
        for side, (records, order) in enumerate(zip((x, y), orders, strict=True)):
            end = round(len(records) / inverse)
            part = records[order[done[side] : end]]
            done[side] = end
            if len(sums) < 2:
                sums.append(Moments(part, centre=records.mean(axis=0, dtype=np.float64)))
            else:
                sums[side].more(part)
        found.append(frechet_of(*sums, interval=False).value)
    return Compared(float(np.polyfit(INVERSE_SHARES, found, 1)[1]), n=len(y))


def frechet_bias(covariance: np.ndarray, n_real: int, n_generated: int) -> float:
    """How far `frechet` lies above zero between two samples of one Gaussian with this covariance (d, d).

    First order in 1/n: (1/n + 1/m) [tr S + sum_ij l_i l_j / (2 (l_i + l_j)) + tr S / 4] with eigenvalues l of
    S; for the identity (1/n + 1/m)(d + (d^2 + d) / 4). A hint, not a correction: heavier tails have more of
    it. A floor of the same order is part of every reported distance, so compare runs at equal sizes only.
    `n_real` may be infinite.
    """
    values = np.maximum(np.linalg.eigvalsh(covariance), 0)
    values = values[values > 0]
    pairs = values[:, None] * values / (values[:, None] + values)
    return float((1 / n_real + 1 / n_generated) * (1.25 * values.sum() + pairs.sum() / 2))


def floor(real: np.ndarray) -> Compared:
    """The squared Frechet distance (`frechet`) of two halves of real records (n, d), n >= 4: what sampling alone makes of it.

    The halves are drawn by a fixed stream. Each has n / 2 records: the floor of sets of m and n records is lower by the factor
    (1/m + 1/n) n / 4, to first order (`frechet_bias`). No interval. Raises as `frechet` does.
    """
    x, _ = matched(real, real, fewest=4, compact=True)
    order = (FIXED / "halves").generator().permutation(len(x))
    half = len(x) // 2
    return frechet(x[order[:half]], x[order[half : 2 * half]], interval=False)


@dataclass(frozen=True, kw_only=True)
class FrechetModel(ModelMetric):
    """Squared Gaussian W2 from the fitted model's mean and covariance to the true law's; exact."""

    row: ClassVar[str] = "frechet_model"
    reads: ClassVar[frozenset[str]] = frozenset({"mean", "covariance|variances"})
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    domains: ClassVar[frozenset[str]] = VECTORS
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    def read(self, model: Any, truth: Any) -> np.ndarray:
        full = exposes(model, "covariance") and exposes(truth, "covariance")
        if full and model.mean.shape[-1] > 1:
            return gaussian_w2_squared(model.mean, model.covariance(), truth.mean, truth.covariance())
        return diagonal_w2_squared(model.mean, model.variances, truth.mean, truth.variances)


@dataclass(frozen=True, kw_only=True)
class Frechet(FeatureMetric):
    """Squared Frechet distance of generated and real records in a feature space.

    Rows `frechet_pixels`, `frechet_standardised` (columns of tables), `frechet_pca16`,
    `frechet_classifier_real_labels`. Biased upwards at small n: compare at equal sizes, or extrapolate.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    extrapolate: bool = False
    """Also report the distance extrapolated to infinitely many records, free of the bias of first order (rows
    `frechet_pixels_infinity`, ...); it costs five distances, and is NaN below three records for each number in a feature."""

    def compare(self, real: Samples, generated: Samples, *, key: Key, memo: dict) -> dict[str, Compared]:
        x, y = self.embedded(real, generated, memo)
        if min(len(x), len(y)) < 2:
            matched(x, y, fewest=2, compact=True)
        known = remembered(memo, ("moments", self.features, self.components), real, lambda: Moments(x))
        found = {f"frechet_{self.space}": frechet_of(known, Moments(y))}
        if self.extrapolate:
            found[f"frechet_{self.space}_infinity"] = frechet_infinity(x, y)
        return found

    def floors(self, source: Source, memo: dict) -> dict[str, Compared]:
        """Row name to `floor` of the held-out real records in this feature space, for the page: floors are no measurements of a
        generation."""
        real = source.reference()
        extract = self.extractor(memo, lambda: training_records(source))
        return {f"frechet_{self.space}": floor(self.real_features(real, extract, memo))}
