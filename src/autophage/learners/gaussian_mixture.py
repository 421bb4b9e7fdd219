"""Mixtures of Gaussians with full covariances, fitted by expectation-maximisation, many replicates at once.

Notation: component k has weight w_k, mean m_k (d,), covariance S_k (d, d) = L L'; records x (n, d).
A round is

    r_ik = w_k N(x_i; m_k, S_k) / sum_j w_j N(x_i; m_j, S_j)
    n_k = sum_i r_ik,   w_k = n_k / n,   m_k = sum_i r_ik x_i / n_k
    S_k = sum_i r_ik (x_i - m_k)(x_i - m_k)' / n_k + ridge I

and a replicate is done when its mean log-likelihood has moved by less than the tolerance (or rounds run
out); from then on nothing of it changes, whatever the others still do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import array, not_negative, positive, whole_number
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.parts import Learner, Model, Sampling, require_finite
from autophage.samples import Batch, Samples

ENTRIES = 2**20
"""Replicates are fitted in groups whose largest intermediate array has about this many numbers."""
FLOOR = 1e-12
"""Eigenvalues below this share of the largest are lifted to it where a covariance has no Cholesky factor."""
EMPTY = 1e-8
"""A component with less than this of one record has died: it keeps its place, and its weight goes to zero."""


class GaussianMixtureModel(Model):
    """`weights` (R, K), `means` (R, K, d) and `covariances` (R, K, d, d)."""

    def __init__(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        self.weights = weights
        self.means = means
        self.covariances = covariances
        self.replicates = len(weights)

    @property
    def dim(self) -> int:
        return self.means.shape[2]

    @property
    def components(self) -> int:
        return self.weights.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """(R, d): sum_k w_k m_k."""
        return np.einsum("rk,rkd->rd", self.weights, self.means)

    @property
    def variances(self) -> np.ndarray:
        """(R, d): the diagonal of `covariance`."""
        return np.diagonal(self.covariance(), axis1=1, axis2=2)

    def covariance(self) -> np.ndarray:
        """(R, d, d): sum_k w_k (S_k + (m_k - mean)(m_k - mean)')."""
        gap = self.means - self.mean[:, None]
        return np.einsum(
            "rk,rkij->rij", self.weights, self.covariances + gap[..., :, None] * gap[..., None, :]
        )

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Batch:
        R, d = self.replicates, self.dim
        u = (key / "component").generator().random((R, n))
        z = (key / "noise").generator().standard_normal((R, n, d))
        edges = np.cumsum(self.weights, axis=1)
        edges /= edges[:, -1:]
        chosen = (u[..., None] >= edges[:, None, :-1]).sum(axis=-1)
        factors = _factors(self.covariances, floor=0.0)
        x = np.empty((R, n, d))
        for k in range(self.components):
            drawn = z @ np.swapaxes(factors[:, k], 1, 2) + self.means[:, None, k]
            np.copyto(x, drawn, where=(chosen == k)[..., None])
        return Batch.of(x)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """(R, n) for records x (n, d) shared by all replicates, or (R, n, d).

        Raises `FitFailed` when a component has no variance, as after a sampling bias of 0.
        """
        if not np.diagonal(self.covariances, axis1=2, axis2=3).all():
            raise FitFailed("a mixture whose components have no variance has no density")
        x = np.asarray(x, dtype=np.float64)
        shared = x[None] if x.ndim == 2 else x
        n = shared.shape[1]
        out = np.empty((self.replicates, n))
        for rows in _groups(self.replicates, n * self.components * self.dim):
            part = shared[rows] if len(shared) > 1 else shared
            joint = _log_joint(part, self.weights[rows], self.means[rows], self.covariances[rows])
            out[rows] = _log_sum(joint)
        return out

    def tuned(self, sampling: Sampling) -> GaussianMixtureModel:
        """Every component's covariance times the bias (Alemohammad et al. 2024, for one component)."""
        if sampling.bias is None or sampling.bias == 1:
            return self
        return GaussianMixtureModel(self.weights, self.means, sampling.bias * self.covariances)

    def spread(self, replicates: int) -> GaussianMixtureModel:
        if self.replicates == replicates:
            return self
        parts = (self.weights, self.means, self.covariances)
        return GaussianMixtureModel(*(np.broadcast_to(a, (replicates, *a.shape[1:])) for a in parts))

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("weights", "means", "covariances")
        return {name: np.ascontiguousarray(getattr(self, name)) for name in names}


@dataclass(frozen=True, kw_only=True)
class GaussianMixture(Learner):
    """A mixture of `components` Gaussians with full covariances, by expectation-maximisation (Dempster,
    Laird and Rubin 1977).

    Starts from the previous model (`start: previous`), or from centres spread out over the records by
    greedy k-means++ (Arthur and Vassilvitskii 2007). A component that has caught a single point keeps the
    ridge as its covariance; one that has caught none stays where it was with weight zero. Raises
    `FitFailed` when there are fewer records than components or they are not finite.
    """

    batched: ClassVar[bool] = True
    has_log_prob: ClassVar[bool] = True
    warm_starts: ClassVar[bool] = True
    sampling_keys: ClassVar[frozenset[str]] = frozenset({"bias"})
    citation: ClassVar[tuple[str, ...]] = ()

    components: int = 2
    """How many Gaussians."""
    tolerance: float = 1e-3
    """A fit is done when the mean log-likelihood of a record moves by less than this in a round (nats)."""
    max_iterations: int = 100
    """The most rounds a fit may take."""
    ridge: float = 1e-6
    """Added to the variances of every component, in squared units of the data."""

    def __post_init__(self) -> None:
        whole_number(self.components, "learner.components", least=1)
        positive(self.tolerance, "learner.tolerance")
        whole_number(self.max_iterations, "learner.max_iterations", least=1)
        not_negative(self.ridge, "learner.ridge")

    def smallest(self, dim: int) -> int:
        return self.components

    def fit(self, data: Batch, *, start: Model | None = None, key: Key) -> GaussianMixtureModel:
        if data.x.ndim < 3:
            raise DataError(f"a Gaussian mixture takes vectors, got records of shape {data.x.shape[2:]}")
        x = np.asarray(data.x, dtype=np.float64).reshape(*data.x.shape[:2], -1)
        R, n, d = x.shape
        if n < self.components:
            raise FitFailed(f"{self.components} components need as many records, got {n}")
        require_finite(x, "the training set")
        if start is not None:
            assert isinstance(start, GaussianMixtureModel)
            R = max(R, start.replicates)
            begin = start.spread(R)
        u = (key / "centres").generator().random((R, self.components, _trials(self.components)))
        parts = []
        for rows in _groups(R, n * self.components * d):
            group = x[rows] if len(x) > 1 else np.broadcast_to(x, (rows.stop - rows.start, n, d))
            if start is None:
                first = self._from_scratch(group, u[rows])
            else:
                first = begin.weights[rows], begin.means[rows], begin.covariances[rows]
            parts.append(self._climb(group, *first))
        weights, means, covariances = (np.concatenate(a) for a in zip(*parts, strict=True))
        lost = ~(np.isfinite(means).all(axis=(1, 2)) & np.isfinite(covariances).all(axis=(1, 2, 3)))
        if lost.any():
            raise FitFailed(f"the mixture of replicate {np.argmax(lost)} diverged; a ridge would hold it")
        return GaussianMixtureModel(weights, means, covariances)

    def _from_scratch(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One round from whole records, each belonging to the nearest of the centres spread out by u."""
        centres = _spread_out(x, u)
        whole = self._maximise(x, np.ones((*x.shape[:2], 1)))[2]
        own = np.eye(self.components)[_nearest(x, centres)]
        return self._maximise(x, own, (centres, np.repeat(whole, self.components, axis=1)))

    def _climb(self, x: np.ndarray, w: np.ndarray, m: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, ...]:
        """Rounds until every replicate is done; those that are done are no longer worked on."""
        w, m, S = w.copy(), m.copy(), S.copy()
        before = np.full(len(x), -np.inf)
        busy = np.arange(len(x))
        for _ in range(self.max_iterations):
            joint = _log_joint(x, w[busy], m[busy], S[busy])
            log_p = _log_sum(joint)
            w[busy], m[busy], S[busy] = self._maximise(
                x, np.exp(joint - log_p[..., None]), (m[busy], S[busy])
            )
            level = log_p.mean(axis=1)
            going = ~(np.abs(level - before) < self.tolerance)
            if not going.any():
                break
            busy, before = busy[going], level[going]
            x = x if going.all() else x[going]
        return w, m, S

    def _maximise(
        self, x: np.ndarray, r: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means, covariances from responsibilities r (R, n, K); empty components as `before`."""
        R, K, d = len(x), r.shape[2], x.shape[2]
        mass = r.sum(axis=1)
        safe = np.maximum(mass, EMPTY)[..., None]
        turned = np.swapaxes(r, 1, 2)
        m = turned @ x / safe
        S = np.empty((R, K, d, d))
        for k in range(K):
            gap = x - m[:, None, k]
            S[:, k] = np.swapaxes(gap * r[:, :, k, None], 1, 2) @ gap / safe[:, k, :, None]
        S += self.ridge * np.eye(d)
        if before is not None and (mass < EMPTY).any():
            dead = mass < EMPTY
            m[dead], S[dead] = before[0][dead], before[1][dead]
        return mass / mass.sum(axis=1, keepdims=True), m, S

    def initial(self, values: Mapping[str, Any], dim: int) -> GaussianMixtureModel:
        """The model of `initial_model: {weights (K,), means (K, d), covariances (K, d, d)}`."""
        if set(values) != {"weights", "means", "covariances"}:
            raise SpecError(
                "initial_model of a gaussian_mixture takes weights, means and covariances; "
                f"got {sorted(values)}"
            )
        w, m, S = (array(values[k], f"initial_model.{k}") for k in ("weights", "means", "covariances"))
        K = self.components
        if w.shape != (K,) or m.shape != (K, dim) or S.shape != (K, dim, dim):
            raise SpecError(
                f"initial_model needs {K} weights, {K} means of {dim} numbers and as many covariances"
            )
        if (w < 0).any() or not abs(w.sum() - 1) <= 1e-6:
            raise SpecError("initial_model.weights must be zero or above and sum to 1")
        if not np.allclose(S, np.swapaxes(S, 1, 2)) or not np.linalg.eigvalsh(S).min() > 0:
            raise SpecError(f"initial_model.covariances must be positive definite {dim} x {dim} matrices")
        return GaussianMixtureModel((w / w.sum())[None], m[None], S[None])

    def restore(self, arrays: Mapping[str, np.ndarray]) -> GaussianMixtureModel:
        return GaussianMixtureModel(arrays["weights"], arrays["means"], arrays["covariances"])


def _groups(replicates: int, entries: int) -> list[slice]:
    size = max(1, ENTRIES // entries)
    return [slice(low, min(low + size, replicates)) for low in range(0, replicates, size)]


def _factors(covariances: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Lower-triangular square roots (R, K, d, d). Where rounding or a lack of records has left a matrix
    without one, eigenvalues below the floor, a share of the largest, are lifted to it."""
    try:
        return np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        out = np.empty(covariances.shape)
        for index in np.ndindex(covariances.shape[:2]):
            out[index] = _factor(covariances[index], floor)
        return out


def _factor(covariance: np.ndarray, floor: float) -> np.ndarray:
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        if not np.isfinite(covariance).all():
            return np.full_like(covariance, np.nan)
        values, vectors = np.linalg.eigh(covariance)
        least = max(floor * values[-1], float(np.finfo(float).tiny) if floor else 0.0)
        half = vectors * np.sqrt(np.maximum(values, least))
        lower = np.transpose(np.linalg.qr(half.T, mode="r"))
        return np.tril(lower) * np.where(np.diagonal(lower) < 0, -1.0, 1.0)


def _log_joint(x: np.ndarray, w: np.ndarray, m: np.ndarray, S: np.ndarray) -> np.ndarray:
    """(R, n, K): log w_k + log N(x_i; m_k, S_k); -inf for a component of weight zero."""
    d, L = x.shape[2], _factors(S)
    inverse = np.swapaxes(np.linalg.inv(L), 2, 3)
    log_det = np.log(np.diagonal(L, axis1=2, axis2=3)).sum(axis=2)
    with np.errstate(divide="ignore"):
        constant = np.log(w) - log_det - 0.5 * d * np.log(2 * np.pi)
    out = np.empty((len(w), x.shape[1], w.shape[1]))
    for k in range(w.shape[1]):
        y = (x - m[:, None, k]) @ inverse[:, k]
        with np.errstate(over="ignore"):  # infinitely far from a component of almost no extent
            out[:, :, k] = constant[:, None, k] - 0.5 * np.einsum("rnd,rnd->rn", y, y)
    return out


def _log_sum(joint: np.ndarray) -> np.ndarray:
    """(R, n): the logarithm of the summed exponentials over the last axis."""
    top = joint.max(axis=2)
    return top + np.log(np.exp(joint - top[..., None]).sum(axis=2))


def _trials(components: int) -> int:
    """Candidates for every further centre."""
    return 2 + int(np.log(components))


def _spread_out(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(R, K, d): the first centre uniformly from the records x (R, n, d); each further one is, of a few
    candidates drawn with probability proportional to the squared distance from the centres so far, the one
    that lowers the sum of these distances most. u (R, K, trials) are uniform numbers."""
    R, n, d = x.shape
    rows = np.arange(R)
    centres = np.empty((R, u.shape[1], d))
    centres[:, 0] = x[rows, np.minimum((u[:, 0, 0] * n).astype(int), n - 1)]
    distance = ((x - centres[:, None, 0]) ** 2).sum(axis=2)
    for k in range(1, u.shape[1]):
        edges = np.cumsum(distance, axis=1)
        picks = [np.minimum((edges <= t[:, None] * edges[:, -1:]).sum(axis=1), n - 1) for t in u[:, k].T]
        nearer = np.stack([np.minimum(distance, ((x - x[rows, p][:, None]) ** 2).sum(axis=2)) for p in picks])
        best = nearer.sum(axis=2).argmin(axis=0)
        centres[:, k] = x[rows, np.stack(picks)[best, rows]]
        distance = nearer[best, rows]
    return centres


def _nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(R, n): which centre is nearest to each record."""
    distances = [((x - centres[:, None, k]) ** 2).sum(axis=2) for k in range(centres.shape[1])]
    return np.argmin(np.stack(distances), axis=0)
