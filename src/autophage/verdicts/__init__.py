"""Definitions of collapse as tests on a measured course.

The literature uses eight notions of collapse, some in conflict (Schaeffer, Kazdan, Arulandu & Koyejo 2025).
Each is a file here and a test with three answers; *undecided* is the answer whenever a measurement is
missing or the data do not suffice, never "no". The criteria and thresholds are this project's own, since
the catalogue states concepts.
"""

from autophage.verdicts.advice import Advice, Setting, advice
from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.judging import judge
from autophage.verdicts.profile import Profile, Verdict
from autophage.verdicts.tables import from_table

__all__ = ["Advice", "Course", "Profile", "Setting", "Thresholds", "Verdict", "advice", "from_table", "judge"]
