"""How the next training set is put together.

A workflow is a plan, not a copy: `plan(t)` says which batches enter generation t's training set and how many
records of each, and nothing is moved. The loop executes the plan on records or on sufficient statistics;
theory reads the same plan as a share matrix, the dry run as a cost. Batch 0 is the real set generation 0 was
fitted to, batch g + 1 the records sampled from generation g's model. Words of Dey & Donoho (2024) and Kazdan
et al. (2024).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.parts import CONFIG
from autophage.schedules import Schedule, Values, at, ceil, floor, share_at, size_at

DEFAULT_SIZE = 1000
"""Records per generation from an unlimited source when nothing is given."""


@dataclass(frozen=True)
class Row:
    """Records of one origin in a training set.

    `real` is batch 0, `fresh` new real draws, `synthetic` the batches of generations first..last. `count` is
    how many (None: all of them; of the real set the first, or with `anew` others each time); with share, each
    record of the set is of this row with that probability. With weight, the row's records carry that share of the
    training set's weight, among themselves as before; every row of a plan has one then, and they sum to one.
    """

    origin: Literal["real", "fresh", "synthetic"]
    first: int = 0
    last: int = 0
    count: int | None = None
    share: float | None = None
    anew: bool = False
    weight: float | None = None


@dataclass(frozen=True)
class Plan:
    """Generation t's training set. `new` records are asked of generation t-1's model. `draw`: the union of
    the rows, a uniform subsample of `size` without replacement, or a mixture (each record's origin drawn by
    the rows' shares)."""

    generation: int
    rows: tuple[Row, ...]
    new: int
    draw: Literal["union", "subsample", "mixture"] = "union"
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Workflow(ABC):
    """A rule that plans every generation's training set."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    sample_size: Schedule | None = None
    """Records at t >= 1: the whole training set for replace, keep_real, fresh and accumulate_subsample; what
    the newest model adds for accumulate and window. Default: the number of real records of generation 0."""
    initial_size: int | None = None
    """Real records generation 0 is fitted to. Default: the whole real training part; for an unlimited source,
    the size at t = 1."""

    def __post_init__(self) -> None:
        if self.initial_size is not None and self.initial_size < 1:
            raise SpecError(
                f"workflow.initial_size is {self.initial_size}; generation 0 needs at least one real record"
            )

    pooled: ClassVar[bool] = False
    """Every batch stays in the training set for ever, so that running sums can stand for them."""

    def start_size(self, available: int | None) -> int:
        """Real records of generation 0; `available` is the size of a finite source's training part."""
        if self.initial_size is not None:
            if available is not None and self.initial_size > available:
                raise SpecError(
                    f"workflow.initial_size asks for {self.initial_size} real records but the training part has {available}"
                )
            return self.initial_size
        if available is not None:
            return available
        if self.sample_size is not None:
            return max(size_at(self.sample_size, 1, "workflow.sample_size"), 1)
        return DEFAULT_SIZE

    def records_at(self, t: int, real: int) -> int:
        """`sample_size` at t, by default as many as generation 0's real records."""
        return real if self.sample_size is None else size_at(self.sample_size, t, "workflow.sample_size")

    @abstractmethod
    def plan(self, t: int, real: int) -> Plan:
        """Generation t's training set (t >= 1), where generation 0 was fitted to `real` real records."""

    def check(self, generations: int, real: int) -> list[str]:
        """Plans every generation, so that a bad size or share is refused before the start; returns
        warnings."""
        if isinstance(self.sample_size, Values) and len(self.sample_size.values) < generations - 1:
            raise SpecError(
                f"workflow.sample_size has {len(self.sample_size.values)} values; {generations} generations need {generations - 1}"
            )
        for t in range(1, generations):
            plan = self.plan(t, real)
            if plan.draw != "mixture" and all(row.count == 0 for row in plan.rows):
                raise SpecError(f"workflow plans an empty training set at t = {t}")
        return []

    @property
    def keeps(self) -> int | None:
        """How many of the newest synthetic batches a later plan may still ask for one by one (None: all)."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Replace(Workflow):
    """Every generation is fitted to samples of the newest model only: fully synthetic from generation 1
    on."""

    def plan(self, t: int, real: int) -> Plan:
        n = self.records_at(t, real)
        return Plan(t, (Row("synthetic", t - 1, t - 1, n),), n)


@dataclass(frozen=True, kw_only=True)
class Accumulate(Workflow):
    """The real set and everything ever sampled (Gerstgrasser et al. 2024)."""

    pooled: ClassVar[bool] = True

    def plan(self, t: int, real: int) -> Plan:
        return Plan(t, (Row("real"), Row("synthetic", 0, t - 1)), self.records_at(t, real))


@dataclass(frozen=True, kw_only=True)
class AccumulateSubsample(Workflow):
    """The pile grows, but each fit sees a uniform subsample of fixed size (Kazdan et al. 2024)."""

    def plan(self, t: int, real: int) -> Plan:
        n = self.records_at(t, real)
        return Plan(t, (Row("real"), Row("synthetic", 0, t - 1)), n, draw="subsample", size=n)

    @property
    def keeps(self) -> int | None:
        return None


@dataclass(frozen=True, kw_only=True)
class Window(Workflow):
    """The newest `size` batches, the real set being batch 0; with `keep_real` the real set never leaves."""

    size: int = 1
    """How many batches the window holds."""
    keep_real: bool = False
    """Keep the real set for ever."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise SpecError(f"workflow.size is {self.size}; a window holds at least one batch")

    def plan(self, t: int, real: int) -> Plan:
        first = t - self.size + 1  # batch number; batch b is generation b - 1
        rows = [Row("real")] if self.keep_real or first <= 0 else []
        rows.append(Row("synthetic", max(first, 1) - 1, t - 1))
        return Plan(t, tuple(rows), self.records_at(t, real))

    @property
    def keeps(self) -> int | None:
        return self.size


@dataclass(frozen=True, kw_only=True)
class Mix(Workflow):
    """The real set (or n of it), and floor(synthetic_ratio x real) samples of the newest model: the loop of
    Bertrand et al. (2024), who call the ratio lambda."""

    real: Literal["all"] | int = "all"
    """How many real records every generation keeps."""
    synthetic_ratio: Schedule = 1.0
    """Synthetic records per real record kept, 0 or more; 1 means half the training set is synthetic."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_size is not None:
            raise SpecError(
                "workflow mix takes synthetic_ratio, not sample_size: its size follows from the real set"
            )
        if isinstance(self.real, int) and self.real < 1:
            raise SpecError(f"workflow.real is {self.real}; write `all` or a number of records above zero")

    def start_size(self, available: int | None) -> int:
        if self.initial_size is None and available is None and isinstance(self.real, int):
            return self.real
        return super().start_size(available)

    def _kept(self, real: int) -> int:
        kept = real if self.real == "all" else int(self.real)
        if kept > real:
            raise SpecError(f"workflow.real asks for {kept} real records but generation 0 has {real}")
        return kept

    def _ratio(self, t: int) -> float:
        ratio = at(self.synthetic_ratio, t, "workflow.synthetic_ratio")
        if not 0 <= ratio < float("inf"):
            raise SpecError(
                f"workflow.synthetic_ratio is {ratio:g} at t = {t}; it must be zero or more and finite "
                "(for a fully synthetic loop write workflow: replace)"
            )
        return ratio

    def plan(self, t: int, real: int) -> Plan:
        kept = self._kept(real)
        n = floor(self._ratio(t) * kept)
        return Plan(
            t, (Row("real", count=None if self.real == "all" else kept), Row("synthetic", t - 1, t - 1, n)), n
        )

    def check(self, generations: int, real: int) -> list[str]:
        warnings = super().check(generations, real)
        for t in range(1, generations):
            if self._ratio(t) > 0 and self.plan(t, real).new == 0:
                warnings.append(
                    f"workflow.synthetic_ratio {self._ratio(t):g} x {self._kept(real)} real records is less than one "
                    f"synthetic record at t = {t}: the loop runs as if the ratio were 0"
                )
                break
        return warnings


@dataclass(frozen=True, kw_only=True)
class Fading(Workflow):
    """The real set, and of every batch ever sampled the first part, the smaller the older it is: at t the i-th of t
    batches gives floor(i/t x its size) records (Gillman et al. 2024, as published in their code)."""

    citation: ClassVar[tuple[str, ...]] = (
        "N. Gillman, M. Freeman, D. Aggarwal, C.-H. Hsu, C. Luo, Y. Tian, C. Sun (2024), Self-correcting self-consuming loops "
        "for generative model training. ICML; arXiv 2402.07087",
    )

    def plan(self, t: int, real: int) -> Plan:
        sizes = [self.records_at(i, real) for i in range(1, t + 1)]
        rows = [Row("synthetic", i - 1, i - 1, i * n // t) for i, n in enumerate(sizes, 1)]
        return Plan(t, (Row("real"), *(row for row in rows if row.count)), sizes[-1])

    @property
    def keeps(self) -> int | None:
        return None


@dataclass(frozen=True, kw_only=True)
class KeepReal(Workflow):
    """A training set of constant size: a share of it original real records, drawn anew each generation, the
    rest samples of the newest model (Shumailov et al. 2024, who keep 10 %)."""

    real_share: Schedule = 0.1
    """The share of real records, in [0, 1]."""

    def plan(self, t: int, real: int) -> Plan:
        n = self.records_at(t, real)
        kept = ceil(share_at(self.real_share, t, "workflow.real_share") * n)
        if kept > real:
            raise SpecError(
                f"workflow.real_share asks for {kept} real records at t = {t} but generation 0 has {real}"
            )
        return Plan(
            t, (Row("real", count=kept, anew=True), Row("synthetic", t - 1, t - 1, n - kept)), n - kept
        )


@dataclass(frozen=True, kw_only=True)
class Fresh(Workflow):
    """New real records every generation: each record is real with probability real_share (`mixture`), or
    ceil(real_share x n) of them are (`exact`); the rest are samples of the newest model. With `exact`, the two
    parts may be weighted otherwise than by their counts (He, Xu & Cheng 2025)."""

    real_share: Schedule = 0.5
    """The share of new real records, in [0, 1]."""
    counts: Literal["mixture", "exact"] = "mixture"
    """Whether the number of real records is drawn or fixed."""
    provenance: Literal["hidden", "known"] = "hidden"
    """Whether a learner that could use it is told which records are real."""
    reuse: bool = False
    """Let a finite source repeat its records once its unused part has run out."""
    real_weight: Schedule | None = None
    """The weight of the real part in the fit, in (0, 1], with `counts: exact`; the golden ratio 0.618 is best for
    the mean where the parts are equal. Default: every record counts once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.real_weight is not None and self.counts != "exact":
            raise SpecError(
                "workflow.real_weight weighs two parts of known size; it needs workflow.counts: exact"
            )

    def _weight(self, t: int, fresh: int, n: int) -> float | None:
        if self.real_weight is None:
            return None
        weight = at(self.real_weight, t, "workflow.real_weight")
        if not 0 < weight <= 1:
            end = ": without weight on real records the variance grows without bound" if weight == 0 else ""
            raise SpecError(f"workflow.real_weight is {weight:g} at t = {t}; it must lie in (0, 1]{end}")
        if not fresh:
            raise SpecError(
                f"workflow.real_weight has no fresh real records to weigh at t = {t}, and without any there is no "
                "stationary variance; set workflow.real_share above zero"
            )
        if fresh == n and weight < 1:
            raise SpecError(
                f"workflow.real_weight is {weight:g} at t = {t} but all {n} records are real; it must be 1 there"
            )
        return weight

    def plan(self, t: int, real: int) -> Plan:
        n = self.records_at(t, real)
        share = share_at(self.real_share, t, "workflow.real_share")
        if self.counts == "exact":
            fresh = min(ceil(share * n), n)
            weight = self._weight(t, fresh, n)
            rest = None if weight is None else 1 - weight
            return Plan(
                t,
                (
                    Row("fresh", count=fresh, weight=weight),
                    Row("synthetic", t - 1, t - 1, n - fresh, weight=rest),
                ),
                n - fresh,
            )
        rows = (Row("fresh", count=n, share=share), Row("synthetic", t - 1, t - 1, n, share=1 - share))
        return Plan(t, rows, n, draw="mixture", size=n)


def takes_parts(plan: Plan, real: int) -> bool:
    """Whether a plan takes part of a batch, which only records can give, not their statistics."""
    return plan.draw == "subsample" or any(
        row.count is not None
        and (
            (row.origin == "real" and row.count != real)
            or (row.origin == "synthetic" and (row.last > row.first or row.last < plan.generation - 1))
        )
        for row in plan.rows
    )


def shares(plan: Plan, sizes: Sequence[float] | np.ndarray) -> tuple[np.ndarray, float]:
    """The share of each batch in a training set: (A[t, 0..t], fresh), where sizes[b] is batch b's size. By weight,
    where the plan has weights.

    Rows of the linear workflow predictor; they sum to one.
    """
    weights = np.zeros(plan.generation + 1)
    fresh = 0.0
    for row in plan.rows:
        if row.weight is not None:
            amount = row.weight
        elif row.share is not None:
            amount = row.share * (plan.size or 1)
        else:
            amount = float(row.count) if row.count is not None else -1.0
        if row.origin == "fresh":
            fresh += amount
        elif row.origin == "real":
            weights[0] += sizes[0] if amount < 0 else amount
        else:
            batches = np.arange(row.first + 1, row.last + 2)
            if amount < 0:
                weights[batches] += np.asarray(sizes)[batches]
            else:
                weights[batches] += amount / len(batches)
    total = weights.sum() + fresh
    return weights / total, fresh / total


def share_matrix(
    workflow: Workflow, generations: int, real: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(A, fresh, sizes): A[t, b] the share of batch b in generation t's training set, fresh[t] that of new
    real records, sizes[b] the records of batch b. Generation 0 is all batch 0."""
    A, fresh, sizes = np.zeros((generations, generations)), np.zeros(generations), np.zeros(generations)
    sizes[0] = real
    A[0, 0] = 1.0
    for t in range(1, generations):
        plan = workflow.plan(t, real)
        sizes[t] = plan.new
        A[t, : t + 1], fresh[t] = shares(plan, sizes)
    return A, fresh, sizes
