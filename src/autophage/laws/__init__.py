"""Contract suites: what must hold for any part, run on yours.

    from autophage import laws
    laws.learner(MyLearner(), data)        # raises laws.Broken in one sentence

Each suite is a plain function: it needs no test framework, takes a part and small data, and raises `Broken`
at the first law that does not hold. The project runs the same suites on its own parts.
"""

from autophage.laws.broken import Broken, holds
from autophage.laws.curations import curation
from autophage.laws.learners import learner
from autophage.laws.metrics import metric
from autophage.laws.processes import process
from autophage.laws.sources import source
from autophage.laws.workflows import workflow

__all__ = ["Broken", "curation", "holds", "learner", "metric", "process", "source", "workflow"]
