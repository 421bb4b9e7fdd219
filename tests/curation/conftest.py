"""What curations of one replicate see of a loop, without a loop."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation.diversity import Diversity
from autophage.keys import Key
from autophage.samples import Samples


class Workbench:
    """A `interventions.Curating` whose model draws from `law(n, generator)`: records, or records and labels."""

    def __init__(self, law, real=None, source=None):
        self.law, self.source = law, source
        self.generation, self.agent, self.block, self.replicates = 3, "main", 0, 1
        self.key, self.memo, self.noted = Key(7) / "curation", {}, {}
        self.proposals, self.drawn = np.zeros(1), 0
        self.real = real if real is None or isinstance(real, Samples) else Samples.of(real)
        self.model = self
        self.diversity = Diversity()

    def curated(self, curation, n):
        """What is left of n first records, its diversity noted as a loop does."""
        kept = curation.apply(self.first(n), context=self)
        self.noted |= {name: float(values[0]) for name, values in self.diversity.of(kept).items()}
        return kept

    def first(self, n):
        self.proposals = np.full(1, float(n))
        return self._seen(self._made(n, Key(7) / "first"))

    def draw(self, n):
        self.drawn += 1
        self.proposals = self.proposals + n
        return self._seen(self._made(n, Key(7) / "draw" / self.drawn))

    def sample(self, n, *, key, given=None):
        return self._made(n, key)

    def _seen(self, samples):
        self.diversity.look(samples)
        return samples

    def _made(self, n, key):
        made = self.law(n, key.generator())
        x, label = made if isinstance(made, tuple) else (made, None)
        return Samples.of(x, label=label, generation=3, agent="main")

    def note(self, name, values):
        self.noted[name] = float(np.broadcast_to(np.asarray(values, dtype=float), (1,))[0])


@pytest.fixture
def workbench():
    return Workbench


@pytest.fixture
def same_as_plain():
    """same_as_plain(idle curation, **spec): the run's numbers are those of the run without it, bit for bit."""

    def compared(curation, **spec):
        import autophage

        spec = {"seed": 3, "generations": 3, "metrics": ["sample_variance", "real_share"], **spec}
        plain, idle = (autophage.run(spec, curation=c, pictures=False) for c in ([], [curation]))
        assert len(plain.metrics) == 6 and not plain.failures
        assert plain.metrics.equals(idle.metrics)

    return compared
