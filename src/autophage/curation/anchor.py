"""Where a filter's knowledge of the truth comes from, and how records lean with respect to it.

Notation: T(x) sufficient statistics (k,), model mean mu and covariance S of T, anchor a, error mu - a. For one
statistic z = (T - mu)/s and delta = (mu - a)/s; for several, delta = sqrt((mu - a)' S^-1 (mu - a)), the length of the error
in the metric of the Fisher information, and z is T's standardised component along the error:

    z delta = (mu - a)' S^-1 (T - mu),   z has mean 0 and variance 1 under the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import frozen, vector
from autophage.errors import SpecError
from autophage.interventions import Curating
from autophage.parts import CONFIG, Learner, Model, Source

AT_ONCE = 1 << 22
"""Statistics that are computed together: one-hot vectors of many replicates are large."""


@dataclass(frozen=True, kw_only=True)
class KnownAnchor:
    """A constraint that is known to hold."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    mean: float | tuple[float, ...]
    """The true mean of the sufficient statistics: one number for all of them, or one for each."""

    def __post_init__(self) -> None:
        vector(self.mean, "curation.anchor.mean")
        object.__setattr__(self, "mean", frozen(self.mean))

    def statistics(self, size: int) -> np.ndarray:
        """(k,) for k = `size` statistics. Raises `SpecError` where there are more or fewer."""
        given = vector(self.mean, "curation.anchor.mean")
        if len(given) not in (1, size):
            raise SpecError(
                f"curation.anchor.mean has {len(given)} numbers; the learner fits {size} statistics, so give 1 or {size}"
            )
        return np.broadcast_to(given, (size,))


AnchorSpec = Literal["real", ""] | KnownAnchor | None
"""`real`, `{mean: ...}`, or null: there is none, and nothing may be filtered. The empty string is a missing answer."""


class Anchor(NamedTuple):
    """What stands for the truth."""

    mean: np.ndarray
    """(1 or R, k)."""
    variance: np.ndarray
    """(1 or R,) the trace of its covariance: its own expected squared error; 0 where it is known."""


def check_anchor(anchor: AnchorSpec, learner: Learner, source: Source) -> None:
    """Raises `SpecError` where the learner's models expose no sufficient statistics, or not as many as the anchor has."""
    size = learner.sufficient_size(source.dim) if hasattr(learner, "sufficient_size") else 0
    if not size:
        raise SpecError(
            f"curation: learner {type(learner).__name__.lower()} exposes no sufficient statistics to filter by; take a "
            "gaussian, poisson, bernoulli, exponential or categorical learner, or interval_verifier, which looks at records"
        )
    if isinstance(anchor, KnownAnchor):
        anchor.statistics(size)


def refuse_unsaid(anchor: AnchorSpec) -> None:
    """Raises `SpecError` where nobody said what the anchor is."""
    if anchor == "":
        raise SpecError(
            "curation.anchor is not given; write `real` (generation 0's real records), {mean: ...} (a known constraint), or "
            "null to say that there is none, which filters nothing"
        )


def resolve(anchor: AnchorSpec, context: Curating) -> Anchor | None:
    """The anchor of every replicate, or None where there is none. That of real records is computed once."""
    if anchor is None:
        return None
    if isinstance(anchor, KnownAnchor):
        mean, _ = context.model.moments_of_sufficient()
        return Anchor(anchor.statistics(mean.shape[1])[None], np.zeros(1))
    name = ("anchor", context.agent)
    known = context.memo.get(name)
    if known is None or known[0] is not context.real:  # another block has real records of its own
        known = context.memo[name] = (context.real, _of_records(context.model, context.real))
    return known[1]


def _of_records(model: Model, real: Any) -> Anchor:
    x = records(real)
    total = squares = 0.0
    for low in range(0, x.shape[1], 4096):
        statistics = model.sufficient(x[:, low : low + 4096])
        total = total + statistics.sum(axis=1)
        squares = squares + (statistics**2).sum(axis=1)
    n = x.shape[1]
    mean = total / n
    spread = np.maximum(squares / n - mean**2, 0.0) * (n / max(n - 1, 1))
    return Anchor(mean, spread.sum(axis=1) / n)


def records(samples: Any) -> np.ndarray:
    """(R, n, ...): a `Batch`'s records, or those of `Samples` as one replicate."""
    x = np.asarray(samples.x)
    return x if hasattr(samples, "replicates") else x[None]


class Lean(NamedTuple):
    """How records stand to the error."""

    z: np.ndarray
    """(R, n) standardised, mean 0 and variance 1 under the model."""
    delta: np.ndarray
    """(R, 1) the standardised error; signed for one statistic, a length for several."""


def lean(model: Model, x: np.ndarray, anchor: Anchor) -> Lean:
    """z and delta of records x (R, n, ...). Directions in which the model has no variance are left out."""
    mean, scatter = model.moments_of_sufficient()
    error = mean - anchor.mean
    if mean.shape[1] == 1:
        sd = np.sqrt(scatter.reshape(-1, 1))
        unit = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
        return Lean(along(model, x, unit), error * unit)
    direction = solved(scatter, error)
    delta = np.sqrt(np.maximum((direction * error).sum(axis=1), 0.0))[:, None]
    unit = np.divide(direction, delta, out=np.zeros_like(direction), where=delta > 0)
    return Lean(along(model, x, unit), delta)


def solved(scatter: np.ndarray, error: np.ndarray) -> np.ndarray:
    """S^-1 error, (R, k), with the pseudo-inverse where S is singular."""
    if scatter.ndim == 2:
        return np.divide(
            error, scatter, out=np.zeros(np.broadcast_shapes(error.shape, scatter.shape)), where=scatter > 0
        )
    inverse = np.linalg.pinv(scatter, rcond=1e-12, hermitian=True)
    return np.einsum("rij,rj->ri", inverse, error)


def along(model: Model, x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """direction' (T - mu), (R, n), for directions (R, k)."""
    mean, _ = model.moments_of_sufficient()
    R, n, k = len(x), x.shape[1], mean.shape[1]
    direction = np.broadcast_to(direction, (R, k))
    found = np.empty((R, n))
    step = max(1, AT_ONCE // max(n * k, 1))
    for low in range(0, R, step):
        some = slice(low, low + step)
        found[some] = np.einsum("rnk,rk->rn", model.sufficient(x[some]), direction[some])
    return found - np.einsum("rk,rk->r", np.broadcast_to(mean, (R, k)), direction)[:, None]
