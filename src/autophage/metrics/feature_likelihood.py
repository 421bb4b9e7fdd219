"""Feature likelihood: how probable held-out records are under a soft version of the generated set, and whether training records
are more so.

After the feature likelihood divergence of Jiralerspong et al. (2023). Every generated record y_j carries a Gaussian of its
own width, and the mixture

    p(z) = 1/m sum_j N(z; y_j, s_j^2 I)

is fitted to the training records in its widths only. A copy of a training record takes a narrow Gaussian, which says nothing
of held-out records: then training records look more probable than held-out ones. A set drawn in towards its mean may beat
fresh records, as kernels do their own blurring: read the score next to a measure of diversity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.features import Embedding, training_records
from autophage.metrics.intervals import mean, normal
from autophage.metrics.neighbourhoods import Neighbourhood
from autophage.metrics.records import FIXED, matched, remembered, shared, subset
from autophage.parts import Compared, Measurement, View, measurements

LARGEST = 5_000
STEPS = 50
"""Rounds of expectation and maximisation at most."""
SETTLED = 1e-4
"""Nats per number: a smaller gain ends the fit."""
_ROWS = 2**21


class FeatureLikelihood(NamedTuple):
    """Mean log densities in nats per number of a feature: of held-out records, and by how much training records have more."""

    held_out: Compared
    gap: Compared


def typical_square(train: np.ndarray) -> float:
    """The median squared distance of training records (n, d) to their nearest other one, over d.

    Raises `DataError` where it is zero.
    """
    found = float(np.median(np.square(Neighbourhood(train).radii(1)))) / train.shape[1]
    if not found > 0:
        raise DataError(
            "no width to start from: more than half of the training records have a copy among them"
        )
    return found


def feature_likelihood(
    train: np.ndarray,
    held_out: np.ndarray,
    generated: np.ndarray,
    *,
    prior: float = 1.0,
    typical: float | None = None,
) -> FeatureLikelihood:
    """Against training records (n, d), judged on held-out real ones (k, d), for generated records (m, d).

    The widths maximise the mean log density of the training records by expectation-maximisation from s_j^2 = t for all j,
    where t is the median squared distance of a training record to its nearest other one over d. Each Gaussian has seen
    `prior` further records of squared distance d t:

        s_j^2 = (sum_i r_ij |x_i - y_j|^2 + prior d t) / (d (sum_i r_ij + prior)),   r_ij the responsibilities.

    That keeps the width of a copy, and of a record that nothing falls to, above zero; a copy of one training record is
    given t prior / (1 + prior).

    held_out: mean ln p(z) / d over held-out records; higher is better. gap: the mean over training records less that; about
    0 is right, above it the generated records know the training ones too well (in few dimensions a little above: widths
    are fitted to few numbers). Intervals: normal, over held-out (and training) records, given the generated ones.

    Time: O((n + k) m d), and O(n m) a round. Raises `SpecError` unless prior > 0, `DataError` below two training records, on
    unequal widths, or NaN.
    """
    if not (prior > 0 and np.isfinite(prior)):
        raise SpecError(f"prior is {prior}; it must be a positive number of records")
    x, y = matched(train, generated)
    z = matched(x, held_out)[1]
    t = typical_square(x) if typical is None else typical
    middle = x.mean(axis=0)
    x, y, z = x - middle, y - middle, z - middle
    d = x.shape[1]
    away = _squares(x, y)
    squares = np.full(len(y), t)
    before = -np.inf
    for _ in range(STEPS):
        logs, taken, spread = _responsible(away, squares, d)
        # The penalised likelihood is what never falls.
        now = float(logs.sum() - prior * d / 2 * (np.log(squares) + t / squares).sum()) / (d * len(x))
        squares = (spread + prior * d * t) / (d * (taken + prior))
        if now - before < SETTLED:
            break
        before = now
    seen = _responsible(away, squares, d)[0] / d
    new = _responsible(_squares(z, y), squares, d)[0] / d
    held_out_mean, train_mean = mean(new), mean(seen)
    error = np.sqrt(seen.var(ddof=1) / len(seen) + new.var(ddof=1) / len(new)) if len(new) > 1 else np.nan
    gap = normal(train_mean.value - held_out_mean.value, error, len(y))
    return FeatureLikelihood(Compared(*_ends(held_out_mean), len(y)), gap)


def _ends(found: Compared) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m) in float32, computed in float64 part by part."""
    size = np.einsum("ij,ij->i", b, b)
    found = np.empty((len(a), len(b)), np.float32)
    step = max(1, _ROWS // len(b))
    for start in range(0, len(a), step):
        part = a[start : start + step]
        square = part @ b.T
        square *= -2
        square += size
        square += np.einsum("ij,ij->i", part, part)[:, None]
        found[start : start + step] = np.maximum(square, 0, out=square)
    return found


def _responsible(away: np.ndarray, squares: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The log density (n,) of each record; how many records fall to each centre (m,), and their squared distances summed."""
    logs = np.empty(len(away))
    taken, spread = np.zeros((2, len(squares)))
    offset = -0.5 * d * np.log(2 * np.pi * squares) - np.log(len(squares))
    step = max(1, _ROWS // len(squares))
    for start in range(0, len(away), step):
        part = away[start : start + step]
        share = part * (-0.5 / squares)
        share += offset
        top = share.max(axis=1, keepdims=True)
        share -= top
        np.exp(share, out=share)
        total = share.sum(axis=1, keepdims=True)
        logs[start : start + step] = (np.log(total) + top)[:, 0]
        share /= total
        taken += share.sum(axis=0)
        spread += np.einsum("ij,ij->j", share, part)
    return logs, taken, spread


@dataclass(frozen=True, kw_only=True)
class FeatureLikelihoodMetric(Embedding):
    """Log density of held-out records under Gaussians on generated ones (row `feature_likelihood`, nats per number), and by
    how much training records have more (row `feature_likelihood_gap`; 0 is right, above it memorisation)."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples", "train"})
    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    citation: ClassVar[tuple[str, ...]] = (
        "Jiralerspong, Bose, Gemp, Qin, Bachrach, Gidel (2023). Feature likelihood divergence: evaluating the generalization "
        "of generative models using samples. NeurIPS; arXiv 2302.04440",
    )

    prior: float = 1.0
    """How many records at the typical distance each Gaussian has seen beforehand; fewer show copies more sharply."""
    most: int = LARGEST
    """Records of each kind at most; beyond that, this many are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.prior > 0 and np.isfinite(self.prior)):
            raise SpecError(f"prior is {self.prior}; it must be a positive number of records")
        if not self.most >= 2:
            raise SpecError(f"most is {self.most}; feature_likelihood needs at least 2 records of each kind")

    @property
    def directions(self) -> dict[str, str]:
        """Which way is better, row by row."""
        return {self.row("feature_likelihood_gap"): "lower"}

    def measure(self, view: View) -> list[Measurement]:
        memo = view.memo
        shared(memo, view)
        extract = self.extractor(memo, lambda: training_records(view.source))
        name = ("typical square", self.features, self.components, self.most)
        answers = []
        for r in range(view.replicates):
            train, held_out, generated = view.reference(r, "train"), view.reference(r), view.generated(r)
            x = subset(self.real_features(train, extract, memo), self.most, FIXED / "training records")
            z = subset(self.real_features(held_out, extract, memo), self.most, FIXED / "real records")
            y = self.generated_features(generated, extract, memo)
            y = subset(y, self.most, view.key / type(self).__name__ / r / "generated records")
            if len(x) < 2:
                raise DataError("feature_likelihood needs at least two training records")
            typical = remembered(memo, name, train, partial(typical_square, x))
            found = feature_likelihood(x, z, y, prior=self.prior, typical=typical)
            answers.append(
                {
                    self.row("feature_likelihood"): found.held_out,
                    self.row("feature_likelihood_gap"): found.gap,
                }
            )
        return measurements(answers)
