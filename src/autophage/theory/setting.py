"""What theory needs to know of a run, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One agent's loop. Sizes and shares have one entry per generation; entry 0 of shares, ratios and counts
    is ignored."""

    generations: int
    """G; courses have entries 0..G-1."""
    data_kind: str = "gaussian"
    data: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the real law: `mean` (number or (d,)), `cov` (number, (d,) or (d, d)), `probabilities`
    (K,); of a regression `noise` (standard deviation of the labels), `spectrum` and `signal` (d,) in the
    inputs' eigenbasis, `label_noises` and `ridges` (G,) where they change over generations. A missing entry
    means unknown, except that `gaussian` data is N(0, I)."""
    learner_kind: str = "gaussian"
    ddof: int = 0
    covariance: Literal["full", "diagonal", "known"] = "full"
    known_variance: float = 1.0
    """Variance per coordinate of a Gaussian whose covariance is `known`."""
    ridge: float = 0.0
    """Penalty of a regression, or what a Gaussian adds to its variances."""
    design: Literal["fresh", "fixed"] = "fresh"
    """Whether a regression draws new inputs each generation."""
    smoothing: float = 0.0
    """What a categorical learner adds to its counts."""
    start: Literal["scratch", "previous"] = "scratch"
    """Where a fit begins; for a bigram, what becomes of the row of a context that does not occur."""
    bandwidth: float | None = None
    """Fixed kernel bandwidth; None where it is chosen from the data."""
    workflow_kind: str = "replace"
    sizes: Any = ()
    """(G,) n_0 real records, then what the design calls size at t: the whole training set for replace, fresh,
    keep_real and accumulate_subsample; what model t-1 adds for accumulate, window and mix."""
    real_shares: Any = None
    """(G,) or one number: fresh's and keep_real's real share of the records."""
    real_weights: Any = None
    """(G,) or one number: the weight of fresh's real part in the fit; None: its share of the records."""
    share_law: tuple[float, float] | None = None
    """(c, p) where fresh's real share is c t^-p."""
    size_law: tuple[float, float] | None = None
    """(n, b) where the size at t >= 1 is n t^b, rounded up."""
    counts: Literal["mixture", "exact"] = "mixture"
    provenance: Literal["hidden", "known"] = "hidden"
    synthetic_ratio: float | None = None
    """mix, when constant: synthetic per real record."""
    kept: Any = None
    """(G,) or one number: real records in the training set of mix or keep_real; None: all of n_0."""
    window: int | None = None
    keep_real: bool = False
    share_matrix: Any = None
    """(G, G): the workflow's own share matrix, for workflows without a course of their own."""
    batch_sizes: Any = None
    """(G,): records of each batch of `share_matrix`; default `sizes`."""
    bias: float = 1.0
    """Sampling bias of Gaussian models."""
    temperature: float = 1.0
    dim: int = 1
    """Numbers in one record (symbols: how many)."""
    initial: Mapping[str, Any] | None = None
    """A given generation 0: `mean` and `var` or `cov`, or `probabilities`."""
    real_fixed: bool = False
    """All replicates share one finite real set, whose own moments (ddof 0) `data` holds."""
    agents: int = 1
    curation: bool = False
    """Samples are curated, or models treated: no theorem about the plain loop applies."""
    curations: tuple[Mapping[str, Any], ...] = ()
    """The curations as plain values, each with its `kind`, for predictors that know them; empty also where models are
    treated."""
    gains: Any = None
    """(G,) the gains of treatment `gain`, entry 0 ignored; None under any other treatment, and beside curations."""

    def __post_init__(self) -> None:
        sizes = np.asarray(self.sizes, dtype=np.float64)
        if sizes.shape != (self.generations,):
            raise SpecError(f"theory needs one size per generation: {self.generations}, got {sizes.size}")
        object.__setattr__(self, "sizes", sizes)

    def course(self, value: Any) -> np.ndarray:
        """A schedule's entries for t = 1..G-1, from one number or (G,)."""
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.generations,))[1:]

    def course_or(self, course: Any, otherwise: float) -> np.ndarray:
        """(G,) entries of a course, or one number throughout where there is none."""
        return np.broadcast_to(
            np.asarray(otherwise if course is None else course, dtype=np.float64), (self.generations,)
        )

    @property
    def real_size(self) -> int:
        """n_0."""
        return int(self.sizes[0])

    @property
    def keeps_whole_real(self) -> bool:
        """The kept real records are all of generation 0's."""
        return self.kept is None or bool((self.course(self.kept) == self.real_size).all())

    @property
    def mean(self) -> np.ndarray | None:
        """(d,) the true mean, or None."""
        mean = self.data.get("mean", 0.0 if self.data_kind == "gaussian" else None)
        return None if mean is None else np.broadcast_to(np.asarray(mean, dtype=np.float64), (self.dim,))

    @property
    def cov(self) -> np.ndarray | None:
        """(d, d) the true covariance, or None."""
        return _matrix(self.data.get("cov", 1.0 if self.data_kind == "gaussian" else None), self.dim)

    @property
    def initial_cov(self) -> np.ndarray | None:
        """(d, d) the covariance of a given generation 0, or None."""
        if self.initial is None:
            return None
        return _matrix(self.initial.get("cov", self.initial.get("var", 1.0)), self.dim)

    @property
    def initial_mean(self) -> np.ndarray:
        """(d,) the mean of a given generation 0."""
        return np.broadcast_to(
            np.asarray((self.initial or {}).get("mean", 0.0), dtype=np.float64), (self.dim,)
        )

    @property
    def full(self) -> bool:
        """Coordinates are fitted jointly."""
        return self.covariance == "full" and self.dim > 1

    @property
    def plain_sampling(self) -> bool:
        """Models are sampled as they were fitted."""
        return self.bias == 1 and self.temperature == 1


def _matrix(value: Any, dim: int) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(value, dtype=np.float64)
    return array if array.ndim == 2 else np.diag(np.broadcast_to(array, (dim,)))
