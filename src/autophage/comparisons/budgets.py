"""Equal budgets: what a safeguard costs beyond the plain loop is taken from its models' training.

A pilot of one retraining says what that is: auxiliary networks, rejected proposals, draws of its own. The training budget
`learner.records` of every arm is then chosen so that one retraining costs what the plain loop's does, in

    records   records seen in training, auxiliary networks' included
    steps     network evaluations, sampling included (`autophage.comparisons.costs`)
    seconds   wall time, as the pilot measured it on this machine

but never below a tenth of the plain budget; an arm that would need less is marked as over the budget. A learner without a budget of
records takes what its training set asks; its costs are told, and nothing is matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from autophage.comparisons.costs import PASSES, Cost

Budget = Literal["records", "steps", "seconds"]
BUDGETS = ("records", "steps", "seconds")
LEAST = 0.1
"""The smallest share of the plain loop's training that an arm keeps."""


@dataclass(frozen=True)
class Matched:
    """An arm's training budget."""

    records: int
    """`learner.records`."""
    share: float
    """Of the plain loop's."""
    over: bool = False
    """The safeguard alone costs more than the budget leaves."""


def matched(records: int, plain: Cost, arm: Cost, budget: Budget, second: float = 0.0) -> Matched:
    """The training budget of an arm whose pilot cost `arm` where the plain one cost `plain`, both with `records` to train on.
    `second` is how many records are trained on in one.

    >>> plain = Cost(trained=1000, proposals=100, evaluations=4000, seconds=10)
    >>> matched(1000, plain, Cost(trained=1000, auxiliary_records=250, proposals=100, evaluations=4750), "records").records
    750
    >>> matched(1000, plain, Cost(trained=1000, proposals=400, evaluations=7000), "steps")
    Matched(records=100, share=0.1, over=True)
    """
    if budget == "records":
        excess = arm.trained + arm.auxiliary_records - plain.trained - plain.auxiliary_records
    elif budget == "steps":
        excess = (arm.evaluations - plain.evaluations) / PASSES
    else:
        excess = (arm.seconds - plain.seconds) * second
    wanted = records - max(0.0, excess)
    least = LEAST * records
    return Matched(max(1, round(max(wanted, least))), max(wanted, least) / records, wanted < least)


def has_budget(learner: Any) -> bool:
    """Whether a learner trains on a budget of records."""
    return isinstance(getattr(learner, "records", None), int)
