"""All eight definitions on one course."""

from __future__ import annotations

from autophage.verdicts.any_increase import any_increase
from autophage.verdicts.catastrophic import catastrophic
from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.divergence import divergence
from autophage.verdicts.entanglement import entanglement
from autophage.verdicts.hallucination import hallucination
from autophage.verdicts.profile import Profile, Status
from autophage.verdicts.scaling import scaling
from autophage.verdicts.tails import tails
from autophage.verdicts.variance import variance

DEFINITIONS = (
    catastrophic,
    any_increase,
    divergence,
    scaling,
    variance,
    entanglement,
    tails,
    hallucination,
)


def judge(course: Course, thresholds: Thresholds | None = None, *, status: Status = "completed") -> Profile:
    """The collapse profile of a course: one verdict for each of D1 to D8.

    >>> import numpy as np
    >>> risk = [[1, 4, 9, 16], [1, 5, 9, 15], [1, 4, 8, 17]]
    >>> course = Course(generations=np.arange(4), risk=risk, trivial=20)
    >>> profile = judge(course)
    >>> profile["D1"].verdict, profile["D3"].verdict, profile["D7"].needs
    ('yes', 'undecided', {'metric': 'tail_coverage'})
    """
    chosen = thresholds or Thresholds()
    return Profile(tuple(test(course, chosen) for test in DEFINITIONS), status, course.notes)
