"""Realisable binary classification in rounds that hold a share of the learner's own labels (Amin et al. 2026).

    from autophage.studies import pac
    course = pac.simulate("repeated_erm", pac.rare_points(20, 0.01), 0.8, n=100, rounds=300, replicates=1000, key=0)
    course.mean_risk[-1]

Domains are in `domains` (finite) and `thresholds`, one learner in each of `repeated_erm`, `contradiction`,
`randomised_publication` and `oracle`; `learner.PacLearner` and `domains.Domain` say what others must have.
"""

from autophage.studies.pac.domains import Domain, FiniteDomain, rare_points
from autophage.studies.pac.learner import Learned, PacLearner
from autophage.studies.pac.simulation import LEARNERS, PacCourse, simulate
from autophage.studies.pac.thresholds import Thresholds

__all__ = [
    "LEARNERS",
    "Domain",
    "FiniteDomain",
    "Learned",
    "PacCourse",
    "PacLearner",
    "Thresholds",
    "rare_points",
    "simulate",
]
