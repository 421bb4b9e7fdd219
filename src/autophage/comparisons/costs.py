"""What an arm of a comparison cost, retraining by retraining; generation 0, which all arms share, is not counted.

    evaluations = 3 (records trained on + auxiliary_records) + E f (records drawn)

with E network evaluations for a record of the plain sampler (`Learner.evaluations`) and f the factor that a treatment noted
(`evaluations_factor`: two networks instead of one). Learning from a record is a forward and a backward pass, three evaluations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.parts import Sampling
from autophage.runs.estimate import estimate

if TYPE_CHECKING:
    import polars

    from autophage.runs.run import Run

PASSES = 3
"""Network evaluations' worth of learning from a record."""


@dataclass(frozen=True)
class Cost:
    """Means over replicates, whole runs."""

    trained: float = 0.0
    """Records seen in training the loop's models."""
    auxiliary_records: float = 0.0
    """Records seen in training other networks."""
    proposals: float = 0.0
    """Records drawn for training sets, rejected ones included."""
    auxiliary_draws: float = 0.0
    """Records drawn for a safeguard's own use."""
    labels: float = 0.0
    """Answers of an outside judge."""
    fresh_records: float = 0.0
    """Real records beyond generation 0's."""
    evaluations: float = 0.0
    """Network evaluations, see above."""
    seconds: float = 0.0
    """Wall time of the process."""

    def less_auxiliary(self, share: float) -> Cost:
        """The same with only this share of the extra networks' training and of the draws for own use.

        >>> pilot = Cost(trained=10, auxiliary_records=4, proposals=2, auxiliary_draws=2, evaluations=54)
        >>> pilot.less_auxiliary(0.5).evaluations
        45.0
        """
        learned = PASSES * (self.trained + self.auxiliary_records)
        each = (self.evaluations - learned) / max(self.proposals + self.auxiliary_draws, 1e-9)
        off = (1 - share) * (PASSES * self.auxiliary_records + each * self.auxiliary_draws)
        return replace(
            self,
            auxiliary_records=share * self.auxiliary_records,
            auxiliary_draws=share * self.auxiliary_draws,
            evaluations=self.evaluations - off,
        )

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


COLUMNS = tuple(f.name for f in fields(Cost))


def cost_of(run: Run, agent: str = "main") -> Cost:
    """The cost of a finished run that measured `noted` (and, for a learner with a budget, `training`)."""
    rows = run.metrics
    drawn = _sum(rows, "proposals", agent)
    fresh = 0.0
    loop, learner = run.loop, run.loop.agents[agent].learner
    planned = 0.0
    for t in range(1, run.spec.generations):
        plan = loop.plan(agent, t)
        assert plan is not None
        planned += plan.new
        fresh += sum(row.count or 0 for row in plan.rows if row.origin == "fresh")
    trained = _sum(rows, "training_records", agent, first=1)
    if not trained:
        trained = estimate(loop)["records_trained"] / run.spec.replicates - loop.real[agent]
    auxiliary, own = _sum(rows, "auxiliary_records", agent), _sum(rows, "auxiliary_draws", agent)
    made = drawn or planned
    factor = max(1.0, _mean(rows, "evaluations_factor", agent))
    each = factor * evaluations_of(learner, loop.agents[agent].sampling)
    return Cost(
        trained=trained,
        auxiliary_records=auxiliary,
        proposals=made,
        auxiliary_draws=own,
        labels=_sum(rows, "labels", agent),
        fresh_records=fresh + _sum(rows, "fresh_records", agent),
        evaluations=PASSES * (trained + auxiliary) + each * (made + own),
        seconds=run.seconds,
    )


def evaluations_of(learner: Any, sampling: Sampling) -> float:
    """Network evaluations for one record."""
    asked = getattr(learner, "evaluations", None)
    return float(asked(sampling)) if asked is not None else 1.0


def _rows(rows: polars.DataFrame, metric: str, agent: str, first: int) -> np.ndarray:
    import polars as pl

    found = rows.filter(
        (pl.col("metric") == metric) & (pl.col("agent") == agent) & (pl.col("generation") >= first)
    )
    return found["value"].to_numpy()


def _sum(rows: polars.DataFrame, metric: str, agent: str, first: int = 0) -> float:
    """The sum over generations, mean over replicates."""
    found = _rows(rows, metric, agent, first)
    replicates = max(1, rows["replicate"].n_unique())
    return float(np.nansum(found)) / replicates


def _mean(rows: polars.DataFrame, metric: str, agent: str) -> float:
    found = _rows(rows, metric, agent, 0)
    return float(np.nanmean(found)) if len(found) else 0.0
