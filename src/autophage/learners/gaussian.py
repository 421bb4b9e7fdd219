"""The Gaussian: mean and covariance by moments, and the exact law of their refit.

Notation: replicate r has mean m (d,) and covariance Sigma = L L' (d, d). For n new records the sample mean is
m + L z / sqrt(n) and the scatter matrix L W L', W ~ Wishart(n - 1, I), drawn through Bartlett's factor A (W =
A A', A lower trapezoidal: A_jj^2 ~ chi^2(n - 1 - j), entries below normal). Carrying L -> L A / sqrt(n -
ddof) needs no decomposition, costs the same for every n, and stays exact when n <= d.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.wishart import bartlett
from autophage.parts import Model, Sampling, SufficientLearner
from autophage.samples import Batch, Samples

CACHED = 1 << 17
"""Numbers that are drawn and summed up before the next are: a megabyte."""
LOOK = 32
"""Refits between two looks for replicates that became a point mass."""
SMALLEST_SCALE = float(np.exp(-350.0))
"""A variance below exp(-700) is a point mass: the chain is frozen there, before it underflows to a false
zero."""


class GaussianStatistics(NamedTuple):
    """count (scalar or (R,)), mean (R, d), and the scatter about it: `scatter` (R, d, d), or (R, d) its
    diagonal for diagonal and one-dimensional models; or instead a square root of it, `root` (R, d, m) or (R,
    d), which spares a decomposition and underflows later."""

    count: Any
    mean: np.ndarray
    scatter: Any
    root: Any = None

    def full(self) -> np.ndarray:
        """The scatter, from its root if need be."""
        if self.scatter is not None:
            return self.scatter
        return self.root**2 if self.root.ndim == 2 else self.root @ np.swapaxes(self.root, 1, 2)


class GaussianModel(Model):
    """N(mean, Sigma) for R replicates: `mean` (R, d), and `factor` (R, d, d) with Sigma = factor factor', or,
    for a diagonal Sigma, `scale` (R, d) of standard deviations."""

    clipped: Any = 0
    """(R,) how many eigenvalues of the fitted covariance rounding had made negative; they are set to 0."""

    def __init__(
        self, mean: np.ndarray, factor: np.ndarray | None = None, scale: np.ndarray | None = None
    ) -> None:
        if (factor is None) == (scale is None):
            raise SpecError("a Gaussian model takes either factor or scale")
        self.mean = mean
        self.factor: Any = factor
        self.scale: Any = scale
        self.replicates = len(mean)

    @property
    def dim(self) -> int:
        return self.mean.shape[-1]

    @property
    def variances(self) -> np.ndarray:
        """(R, d): the diagonal of Sigma."""
        if self.scale is not None:
            return self.scale**2
        return np.einsum("rij,rij->ri", self.factor, self.factor)

    def covariance(self) -> np.ndarray:
        """(R, d, d)."""
        if self.scale is not None:
            return self.scale[:, :, None] ** 2 * np.eye(self.dim)
        return self.factor @ np.swapaxes(self.factor, 1, 2)

    def log_det(self) -> np.ndarray:
        """(R,): log det Sigma, summed in log space so that long courses do not underflow."""
        with np.errstate(divide="ignore"):
            return 2 * np.log(np.abs(self._diagonal())).sum(axis=-1)

    def _diagonal(self) -> np.ndarray:
        if self.scale is not None:
            return self.scale
        diagonal = np.diagonal(self.factor, axis1=1, axis2=2)
        if _is_lower(self.factor):
            return diagonal
        return np.abs(np.diagonal(np.linalg.qr(np.swapaxes(self.factor, 1, 2), mode="r"), axis1=1, axis2=2))

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        z = key.generator().standard_normal((self.replicates, n, self.dim))
        if self.scale is not None:
            z *= self.scale[:, None, :]
        else:
            z = z @ np.swapaxes(self.factor, 1, 2)
        z += self.mean[:, None, :]
        return Batch.of(z)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, n) for records x (n, d) shared by all replicates, or (R, n, d)."""
        centred = (
            np.asarray(x, dtype=np.float64).reshape(*x.shape[: x.ndim - 1], self.dim) - self.mean[:, None, :]
        )
        if self.scale is not None:
            z = centred / self.scale[:, None, :]
        else:
            z = np.swapaxes(np.linalg.solve(self.factor, np.swapaxes(centred, 1, 2)), 1, 2)
        return -0.5 * ((z**2).sum(axis=-1) + self.log_det()[:, None] + self.dim * np.log(2 * np.pi))

    def tuned(self, sampling: Sampling) -> GaussianModel:
        """N(mean, bias Sigma) (Alemohammad et al. 2024, section 2)."""
        if sampling.bias is None or sampling.bias == 1:
            return self
        shrink = np.sqrt(sampling.bias)
        if self.scale is not None:
            return type(self)(self.mean, scale=shrink * self.scale)
        return type(self)(self.mean, factor=shrink * self.factor)

    def spread(self, replicates: int) -> GaussianModel:
        if self.replicates == replicates:
            return self
        wide = [None if a is None else np.broadcast_to(a, (replicates, *a.shape[1:])) for a in self._parts()]
        return type(self)(*wide)  # type: ignore[arg-type]

    def moved(self, towards: Model, gain: float) -> GaussianModel:
        """The model `gain` of the way towards another one of the same covariance, in its mean."""
        assert isinstance(towards, GaussianModel)
        return type(self)((1 - gain) * self.mean + gain * towards.mean, towards.factor, towards.scale)

    def absorbed(self) -> np.ndarray | None:
        if self.scale is not None:
            if self.scale.min() > SMALLEST_SCALE:
                return None
            return np.asarray((self.scale <= SMALLEST_SCALE).any(axis=1))
        # A positive diagonal of a triangular factor clears nearly every case at the cost of one look.
        if np.diagonal(self.factor, axis1=1, axis2=2).min() > SMALLEST_SCALE and _is_lower(self.factor):
            return None
        low = np.abs(self._diagonal()).min(axis=1) <= SMALLEST_SCALE
        return low if low.any() else None

    def frozen(self, where: np.ndarray, before: Model) -> GaussianModel:
        assert isinstance(before, GaussianModel)

        def chosen(after: Any, earlier: Any) -> Any:
            return (
                None
                if after is None
                else np.where(where.reshape(-1, *(1,) * (after.ndim - 1)), earlier, after)
            )

        return type(self)(
            chosen(self.mean, before.mean),
            chosen(self.factor, before.factor),
            chosen(self.scale, before.scale),
        )

    def sufficient(self, x: np.ndarray) -> np.ndarray:
        """(R, n, 2d): every coordinate, then the square of each."""
        flat = np.asarray(x, dtype=np.float64).reshape(*x.shape[:2], self.dim)
        return np.concatenate([flat, flat**2], axis=2)

    def moments_of_sufficient(self) -> tuple[np.ndarray, np.ndarray]:
        """With mean m: Cov(x_i, x_j) = S_ij, Cov(x_i, x_j^2) = 2 m_j S_ij, Cov(x_i^2, x_j^2) = 2 S_ij^2 + 4 m_i m_j S_ij."""
        m, S = self.mean, self.covariance()
        mixed = 2 * m[:, None, :] * S
        squares = 2 * S**2 + 4 * m[:, :, None] * m[:, None, :] * S
        upper = np.concatenate([S, mixed], axis=2)
        lower = np.concatenate([np.swapaxes(mixed, 1, 2), squares], axis=2)
        mean = np.concatenate([m, m**2 + self.variances], axis=1)
        return mean, np.concatenate([upper, lower], axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("mean", "factor", "scale")
        return {
            k: np.ascontiguousarray(v) for k, v in zip(names, self._parts(), strict=True) if v is not None
        }

    def _parts(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        return self.mean, self.factor, self.scale


class GaussianMeanModel(GaussianModel):
    """A Gaussian whose covariance is known, so that its mean is all there is to fit: the sufficient statistic is x."""

    def sufficient(self, x: np.ndarray) -> np.ndarray:
        """(R, n, d): the records themselves."""
        return np.asarray(x, dtype=np.float64).reshape(*x.shape[:2], self.dim)

    def moments_of_sufficient(self) -> tuple[np.ndarray, np.ndarray]:
        return self.mean, self.variances if self.scale is not None else self.covariance()


def _is_lower(factor: np.ndarray) -> bool:
    return not np.triu(factor[0], 1).any() and not np.triu(factor[-1], 1).any()


@dataclass(frozen=True, kw_only=True)
class Gaussian(SufficientLearner):
    """Mean and covariance of a Gaussian, fitted by moments."""

    has_log_prob: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "positive", "counts", "binary"})
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias"})
    citation: ClassVar[tuple[str, ...]] = ()

    ddof: Literal[0, 1] = 0
    """Divisor n - ddof of the scatter: 0 is maximum likelihood, 1 is unbiased."""
    covariance: Literal["full", "diagonal", "known"] = "full"
    """What is estimated; `known` keeps the first model's covariance, or the identity, and refits the mean."""
    ridge: float = 0.0
    """Added to the variances. A full covariance from fewer than d + 1 records needs one."""
    known_variance: float | None = None
    """The variance of every coordinate when covariance is `known` (default 1)."""

    def __post_init__(self) -> None:
        if not (self.ridge >= 0 and np.isfinite(self.ridge)):
            raise SpecError(f"learner.ridge is {self.ridge}; it must be zero or a positive number")
        if self.known_variance is not None:
            if self.covariance != "known":
                raise SpecError("learner.known_variance is set but learner.covariance is not `known`")
            if not (self.known_variance > 0 and np.isfinite(self.known_variance)):
                raise SpecError(f"learner.known_variance is {self.known_variance}; it must be above zero")

    @property
    def moves(self) -> bool:
        """Its models can be `moved` towards each other: they differ in the mean only."""
        return self.covariance == "known"

    def smallest(self, dim: int) -> int:
        if self.covariance == "known" or self.ridge > 0:
            return 1 + self.ddof
        return dim + 1 if self.covariance == "full" and dim > 1 else 2

    def sufficient_size(self, dim: int) -> int:
        return dim if self.covariance == "known" else 2 * dim

    def summarize(self, batch: Batch) -> GaussianStatistics:
        x = np.asarray(batch.x, dtype=np.float64)
        if x.ndim > 3:
            x = x.reshape(*x.shape[:2], -1)
        n, d = x.shape[1:]
        if batch.weight is not None:
            return self._weighted(x, batch.weight)
        # Sums about the first record lose no digits when the spread is tiny beside the mean.
        first = x[:, 0]
        if d == 1:
            moved = x[..., 0] - first
            shift = moved.sum(axis=1) / n
            squares = np.einsum("rn,rn->r", moved, moved) - n * shift**2
            return GaussianStatistics(n, first + shift[:, None], np.maximum(squares, 0.0)[:, None])
        moved = x - first[:, None]
        shift = np.einsum("rnd->rd", moved) / n
        moved -= shift[:, None]
        if self._diagonal_only(d):
            return GaussianStatistics(n, first + shift, np.einsum("rnd,rnd->rd", moved, moved))
        return GaussianStatistics(n, first + shift, np.swapaxes(moved, 1, 2) @ moved)

    def _weighted(self, x: np.ndarray, weight: np.ndarray) -> GaussianStatistics:
        """Records x (R, n, d) with weights (R, n): their sum is the count."""
        count = weight.sum(axis=1)
        moved = x - x[:, :1]
        with np.errstate(invalid="ignore", divide="ignore"):  # a replicate without records fails in the fit
            shift = np.einsum("rn,rnd->rd", weight, moved) / count[:, None]
        moved = moved - shift[:, None]
        heavy = weight[..., None] * moved
        if self._diagonal_only(x.shape[2]):
            return GaussianStatistics(count, x[:, 0] + shift, np.einsum("rnd,rnd->rd", heavy, moved))
        return GaussianStatistics(count, x[:, 0] + shift, np.swapaxes(heavy, 1, 2) @ moved)

    def resample(self, model: Model, n: int, key: Key) -> GaussianStatistics:
        """As `summarize(model.sample(n))`, without keeping the records x = m + L z: a few replicates at a time, the moments
        of their standard normals z are carried over by mean(x) = m + L mean(z), scatter(x) = L scatter(z) L'. No digits
        are lost when the spread is tiny beside the mean."""
        assert isinstance(model, GaussianModel)
        stream = key.generator()
        R, d = model.mean.shape
        step = max(1, CACHED // (n * d))
        buffer = np.empty((min(step, R), n, d))
        shift = np.empty((R, d))
        diagonal = model.scale is not None
        scatter = np.empty((R, d) if diagonal else (R, d, d))
        for low in range(0, R, step):
            z = buffer[: min(step, R - low)]
            stream.standard_normal(out=z)
            some = slice(low, low + len(z))
            if d == 1 and diagonal:
                flat = z[..., 0]
                shift[some, 0] = flat @ np.ones(n)
                scatter[some, 0] = np.vecdot(flat, flat)
                continue
            shift[some] = np.einsum("rnd->rd", z)
            scatter[some] = np.einsum("rnd,rnd->rd", z, z) if diagonal else np.swapaxes(z, 1, 2) @ z
        shift /= n
        if diagonal:
            scatter -= n * shift**2
            np.maximum(scatter, 0.0, out=scatter)
            return GaussianStatistics(n, model.mean + model.scale * shift, scatter * model.scale**2)
        scatter -= n * shift[:, :, None] * shift[:, None, :]
        scatter = model.factor @ scatter @ np.swapaxes(model.factor, 1, 2)
        mean = model.mean + np.einsum("rij,rj->ri", model.factor, shift)
        if self._diagonal_only(d):
            scatter = np.ascontiguousarray(np.diagonal(scatter, axis1=1, axis2=2))
        return GaussianStatistics(n, mean, scatter)

    def _diagonal_only(self, dim: int) -> bool:
        return dim == 1 or self.covariance != "full"

    def refit(self, model: Model, n: int | np.ndarray, key: Key) -> GaussianStatistics:
        assert isinstance(model, GaussianModel)
        R, d = model.mean.shape
        count = np.asarray(n)
        safe = np.maximum(count, 1)
        z = (key / "mean").generator().standard_normal((R, d))
        if self._diagonal_only(d) and model.scale is not None:
            z *= model.scale
            z *= 1 / np.sqrt(safe) if count.ndim == 0 else 1 / np.sqrt(safe)[:, None]
            z += model.mean
            if self.covariance == "known":
                return GaussianStatistics(n, z, np.zeros((R, d)))
            root = _chi(key / "scatter", np.maximum(count - 1, 0), (R, d))
            root *= model.scale
            return GaussianStatistics(n, z, None, root)
        factor = model.factor if model.factor is not None else model.scale[:, :, None] * np.eye(d)
        mean = model.mean + np.einsum("rij,rj->ri", factor, z) / np.sqrt(safe).reshape(-1, 1)
        root = factor @ bartlett(R, d, count - 1, key)
        if self._diagonal_only(d):
            return GaussianStatistics(n, mean, np.einsum("rij,rij->ri", root, root))
        return GaussianStatistics(n, mean, None, root)

    def scaled(self, statistics: GaussianStatistics, factor: float) -> GaussianStatistics:
        count, mean, scatter, root = statistics
        return GaussianStatistics(
            count * factor,
            mean,
            None if scatter is None else scatter * factor,
            None if root is None else root * math.sqrt(factor),
        )

    def merge(self, statistics: Sequence[GaussianStatistics]) -> GaussianStatistics:
        """Chan's pairwise formula: scatters add, plus the spread of the means."""
        if len(statistics) == 1:
            return statistics[0]
        counts = [np.asarray(s.count, dtype=np.float64).reshape(-1, 1) for s in statistics]
        total = sum(counts)
        safe = np.maximum(total, 1)
        # About the first mean, not about zero: no digits are lost when the spread is small.
        origin = statistics[0].mean
        shift = sum(c * (s.mean - origin) for c, s in zip(counts, statistics, strict=True)) / safe
        mean = origin + shift
        count = sum(np.asarray(s.count) for s in statistics)
        scatter: Any = 0.0
        for c, s in zip(counts, statistics, strict=True):
            gap = s.mean - mean
            own = s.full()
            spread = c * gap**2 if own.ndim == 2 else c[..., None] * gap[:, :, None] * gap[:, None, :]
            scatter = scatter + own + spread
        return GaussianStatistics(count, mean, scatter)

    def estimate(self, statistics: GaussianStatistics, *, start: Model | None = None) -> GaussianModel:
        count = np.asarray(statistics.count)
        if count.min() <= self.ddof and self.covariance != "known":
            raise FitFailed(f"a Gaussian needs more than {self.ddof} records, got {int(count.min())}")
        mean = statistics.mean
        if self.covariance == "known":
            scale = np.sqrt(1.0 if self.known_variance is None else self.known_variance)
            return GaussianMeanModel(mean, scale=np.broadcast_to(scale, mean.shape))
        divisor = count - self.ddof
        known = statistics.scatter if statistics.root is None else statistics.root
        wide = divisor if count.ndim == 0 else divisor.reshape(-1, *(1,) * (known.ndim - 1))
        if statistics.root is not None and not self.ridge:
            scaled = statistics.root * (1 / np.sqrt(wide))
            return (
                GaussianModel(mean, scale=scaled) if known.ndim == 2 else GaussianModel(mean, factor=scaled)
            )
        if known.ndim == 2:
            return GaussianModel(mean, scale=np.sqrt(statistics.full() / wide + self.ridge))
        factor, clipped = _root(statistics.full() / wide + self.ridge * np.eye(mean.shape[1]))
        model = GaussianModel(mean, factor=factor)
        if clipped is not None:
            model.clipped = clipped
        return model

    def chain(
        self,
        model: Model,
        counts: Sequence[int],
        keys: Sequence[Key],
        absorbed: np.ndarray,
        first: int,
        exact: bool = True,
    ) -> tuple[Model, np.ndarray]:
        assert isinstance(model, GaussianModel)
        if (
            not exact
            or not keys
            or model.scale is None
            or model.dim > 1
            or self.ridge
            or self.covariance == "known"
            or (absorbed >= 0).any()
        ):
            return super().chain(model, counts, keys, absorbed, first, exact)
        # The same numbers as refit and estimate, in place: at a thousand replicates the interpreter is the cost.
        stream, shape = keys[0].generator(), model.mean.shape
        mean, scale, safe, last = model.mean, model.scale, (model.mean, model.scale, 0), len(counts)
        for i, (n, key) in enumerate(zip(counts, keys, strict=True), 1):
            if n <= self.ddof:
                raise FitFailed(f"a Gaussian needs more than {self.ddof} records, got {n}")
            z = (key / "mean").rewind(stream).standard_normal(shape)
            z *= scale
            z *= 1 / math.sqrt(n)
            z += mean
            root = (key / "scatter").rewind(stream).standard_gamma(0.5 * (n - 1), shape)
            root *= 2.0
            np.sqrt(root, out=root)
            root *= scale
            root *= 1 / math.sqrt(n - self.ddof)
            mean, scale = z, root
            if i % LOOK == 0 or i == last:
                if scale.min() <= SMALLEST_SCALE:  # some replicate froze since the last look: step there
                    mean, scale, i = safe
                    start = GaussianModel(mean, scale=scale)
                    return super().chain(start, counts[i:], keys[i:], absorbed, first + i)
                safe = mean, scale, i
        return GaussianModel(mean, scale=scale), absorbed

    def law(self, truth: Model | None) -> Model | None:
        if not isinstance(truth, GaussianModel):
            return None
        if self._diagonal_only(truth.dim) and truth.scale is None:
            return None if truth.dim > 1 else GaussianModel(truth.mean, scale=np.abs(truth.factor[:, :, 0]))
        return truth

    def initial(self, values: Mapping[str, Any], dim: int) -> GaussianModel:
        """The model of `initial_model: {mean, var}` (or `cov`)."""
        known = {"mean", "var", "cov"}
        if not set(values) <= known or ("var" in values and "cov" in values):
            raise SpecError(
                f"initial_model of a gaussian takes mean and one of var, cov; got {sorted(values)}"
            )
        mean = np.broadcast_to(np.asarray(values.get("mean", 0.0), dtype=np.float64), (dim,))[None]
        if "cov" in values:
            cov = np.asarray(values["cov"], dtype=np.float64)
            if cov.shape != (dim, dim) or not np.allclose(cov, cov.T) or np.linalg.eigvalsh(cov).min() <= 0:
                raise SpecError(f"initial_model.cov must be a positive definite {dim} x {dim} matrix")
            if not self._diagonal_only(dim):
                return GaussianModel(mean, factor=np.linalg.cholesky(cov)[None])
            return self._known(GaussianModel(mean, scale=np.sqrt(np.diag(cov))[None]))
        var = np.broadcast_to(np.asarray(values.get("var", 1.0), dtype=np.float64), (dim,))
        if not (var > 0).all():
            raise SpecError("initial_model.var must be above zero")
        if self._diagonal_only(dim):
            return self._known(GaussianModel(mean, scale=np.sqrt(var)[None]))
        return GaussianModel(mean, factor=np.diag(np.sqrt(var))[None])

    def restore(self, arrays: Mapping[str, np.ndarray]) -> GaussianModel:
        return self._known(GaussianModel(arrays["mean"], arrays.get("factor"), arrays.get("scale")))

    def _known(self, model: GaussianModel) -> GaussianModel:
        """The model as one whose covariance is known, where this learner's are."""
        return GaussianMeanModel(*model._parts()) if self.covariance == "known" else model


def _chi(key: Key, freedom: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Square roots of chi-squares, zero where there is no freedom; `freedom` is a number or (R,)."""
    shapes = 0.5 * float(freedom) if freedom.ndim == 0 else 0.5 * freedom[:, None]
    drawn = key.generator().standard_gamma(shapes, shape)
    drawn *= 2.0
    return np.sqrt(drawn, out=drawn)


def _root(scatter: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """A lower-triangular square root; where rounding or rank spoils Cholesky, of clipped eigenvalues. Then also (R,) how many of
    them were negative."""
    try:
        return np.linalg.cholesky(scatter), None
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(scatter)
        negative = (values < 0).sum(axis=1)
        if negative.any():
            # The same words every time, so that a course that has collapsed is told of once.
            warnings.warn(
                "rounding has made a fitted covariance indefinite; its negative eigenvalues are set to 0 and counted in "
                "the model's `clipped`",
                RuntimeWarning,
                stacklevel=3,
            )
        half = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        lower = np.swapaxes(np.linalg.qr(np.swapaxes(half, 1, 2), mode="r"), 1, 2)
        signs = np.where(np.diagonal(lower, axis1=1, axis2=2) < 0, -1.0, 1.0)
        return lower * signs[:, None, :], negative
