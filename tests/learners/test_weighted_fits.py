"""A record of weight two counts as the same record twice, and one of weight zero not at all."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.keys import Key
from autophage.learners.categorical import Categorical
from autophage.learners.exponential import Exponential
from autophage.learners.gaussian import Gaussian
from autophage.learners.poisson import Poisson
from autophage.samples import Batch

LEARNERS = [
    Gaussian(),
    Gaussian(ddof=1),
    Gaussian(covariance="diagonal"),
    Gaussian(covariance="known"),
    Poisson(),
    Exponential(),
]
WEIGHT = np.array([[2, 1, 0, 1, 3, 1], [1, 1, 1, 2, 0, 1]])


def repeated(x, weight):
    """One batch a replicate: each record as often as its weight says."""
    return [Batch.of(np.repeat(x[r], weight[r], axis=0)[None]) for r in range(len(x))]


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: repr(learner)[:40])
@pytest.mark.parametrize("dim", [1, 3])
def test_weights_count_records(learner, dim):
    x = (Key(3) / "x").generator().integers(1, 9, (2, 6, dim)).astype(float)
    found = learner.fit(Batch.of(x).reweighted(WEIGHT.astype(float)), key=Key(0))
    for r, batch in enumerate(repeated(x, WEIGHT)):
        expected = learner.fit(batch, key=Key(0))
        np.testing.assert_allclose(found.mean[r], expected.mean[0], rtol=1e-12)
        np.testing.assert_allclose(found.variances[r], expected.variances[0], rtol=1e-10)


def test_weights_count_symbols():
    x = np.array([[0, 1, 2, 0, 1, 2], [2, 2, 1, 0, 0, 1]])
    learner = Categorical(symbols=3)
    found = learner.fit(Batch.of(x).reweighted(WEIGHT.astype(float)), key=Key(0))
    for r, batch in enumerate(repeated(x, WEIGHT)):
        expected = learner.fit(batch, key=Key(0))
        np.testing.assert_allclose(found.probabilities[r], expected.probabilities[0], rtol=1e-12)


def test_real_share_is_by_weight():
    batch = Batch(np.zeros((2, 6, 1)), np.array([-1, -1, -1, 0, 0, 0]), "main", WEIGHT.astype(float))
    assert batch.real_share().tolist() == [3 / 8, 3 / 6]
    assert batch.replicate(0).real_share() == 3 / 8
