"""The undecided verdict, where a prerequisite is missing."""

from __future__ import annotations

import numpy as np

from autophage.verdicts.course import Course
from autophage.verdicts.profile import Verdict
from autophage.verdicts.wording import count, number

FEWEST = 3
"""Replicates below which no definition is decided from measurements."""


def unmeasured(definition: str, course: Course, what: str, metric: str, remedy: str = "") -> Verdict:
    """Undecided, since a metric was not measured."""
    return Verdict(
        definition=definition,
        verdict="undecided",
        generations=course.horizon,
        evidence=(f"No {what} was measured; {remedy or f'add `{metric}` to metrics'}.",),
        needs={"metric": metric},
    )


def no_risk(definition: str, course: Course) -> Verdict:
    """Undecided, since no risk was measured."""
    remedy = "name a metric in verdict.risk, such as excess_risk or frechet_pixels"
    return unmeasured(definition, course, "risk", "verdict.risk", remedy)


def too_few(definition: str, course: Course, curves: np.ndarray, name: str) -> Verdict:
    """Undecided, since there are too few replicates of curves (S, G+1); what they did is told all the
    same."""
    seeds = len(curves)
    return Verdict(
        definition=definition,
        verdict="undecided",
        seeds=seeds,
        generations=course.horizon,
        evidence=(
            f"{name} went from {number(curves[:, 0].mean())} to {number(curves[:, -1].mean())}, but "
            f"{count(seeds, 'replicate')} cannot tell a trend from chance; at least {FEWEST} are needed.",
        ),
        needs={"replicates": FEWEST},
    )
