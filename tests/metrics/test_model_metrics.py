from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from scipy.stats import multivariate_normal

from autophage.errors import SpecError
from autophage.metrics.diversity import Entropy, Gini, Support, entropy, gini_simpson
from autophage.metrics.likelihood import HeldOutLogLikelihood, log_likelihood
from autophage.metrics.model_metric import ModelMetric
from autophage.metrics.moments import (
    LogDet,
    LogVariance,
    SquaredError,
    SquaredMeanError,
    StandardDeviation,
    Variance,
)
from autophage.metrics.real_share import RealShare


class Full:
    """A Gaussian as learners expose it."""

    def __init__(self, mean, covariance):
        self.mean = mean
        self._covariance = covariance
        self.replicates = len(mean)

    @property
    def variances(self):
        return np.diagonal(self._covariance, axis1=1, axis2=2)

    def covariance(self):
        return self._covariance

    def log_prob(self, x):
        laws = (multivariate_normal(m, S) for m, S in zip(self.mean, self._covariance, strict=True))
        return np.stack([law.logpdf(x) for law in laws])


def measured(part, house, model, truth=None, replicates=3):
    (row,) = part.measure(house.View(SimpleNamespace(truth=truth), model=model, replicates=replicates))
    assert row.low is None and row.n is None  # exact
    return row.metric, row.value


@pytest.fixture
def model(rng) -> Full:
    root = rng.normal(size=(3, 2, 2))
    return Full(rng.normal(size=(3, 2)), root @ np.swapaxes(root, 1, 2))


def test_moments(rng, house, model):
    S = model.covariance()
    truth = Full(np.array([[1.0, 2.0]]), np.eye(2)[None])
    diagonal = np.stack([S[:, 0, 0], S[:, 1, 1]], axis=1)
    for part, name, value in (
        (Variance(), "variance", np.trace(S, axis1=1, axis2=2) / 2),
        (StandardDeviation(), "standard_deviation", np.sqrt(diagonal).mean(axis=1)),
        (LogVariance(), "log_variance", np.log(diagonal).mean(axis=1)),
        (LogDet(), "log_det", np.log(np.linalg.det(S))),
        (SquaredMeanError(), "squared_mean_error", np.sum((model.mean - [1, 2]) ** 2, axis=1)),
        (SquaredError(), "squared_error", np.sum((model.mean - [1, 2]) ** 2, axis=1)),
    ):
        row, found = measured(part, house, model, truth)
        assert row == name
        np.testing.assert_allclose(found, value, rtol=1e-9)


def test_log_space_is_used_where_a_model_has_it(house):
    tiny = SimpleNamespace(variances=np.zeros((3, 1)), log_det=lambda: np.array([-800.0, -900.0, -1000.0]))
    assert measured(LogVariance(), house, tiny)[1].tolist() == [-800, -900, -1000]
    assert measured(LogDet(), house, tiny)[1].tolist() == [-800, -900, -1000]
    assert measured(LogVariance(), house, SimpleNamespace(variances=np.zeros((3, 2))))[1][0] == -np.inf
    assert measured(LogDet(), house, Full(np.zeros((3, 2)), np.zeros((3, 2, 2))))[1][0] == -np.inf


def test_diversity(rng, house):
    p = rng.dirichlet(np.ones(6), size=3)
    p[0] = [1, 0, 0, 0, 0, 0]
    symbols = SimpleNamespace(probabilities=p)
    truth = SimpleNamespace(probabilities=np.full((1, 6), 1 / 6))
    np.testing.assert_allclose(measured(Entropy(), house, symbols)[1], scipy_entropy(p, axis=1))
    np.testing.assert_allclose(measured(Gini(), house, symbols)[1], 1 - (p**2).sum(axis=1))
    assert measured(Support(), house, symbols)[1].tolist() == [1, 6, 6]
    row, found = measured(SquaredError(), house, symbols, truth)
    assert row == "squared_error"
    np.testing.assert_allclose(found, ((p - 1 / 6) ** 2).sum(axis=1))
    assert gini_simpson(p[0]) == entropy(p[0]) == 0


def test_one_number_speaks_for_every_replicate(house, model):
    shared = Full(model.mean[:1], model.covariance()[:1])
    assert len(measured(Variance(), house, shared, replicates=4)[1]) == 4


def test_a_model_without_what_is_read_is_refused(house, model):
    symbols = SimpleNamespace(probabilities=np.ones((3, 2)) / 2)
    with pytest.raises(SpecError, match=r"metric variance: the model .* has no variances"):
        measured(Variance(), house, symbols)
    with pytest.raises(SpecError, match=r"the true law .* has no mean"):
        measured(SquaredMeanError(), house, model, truth=symbols)
    with pytest.raises(SpecError, match="this source has none"):
        measured(SquaredMeanError(), house, model)
    assert LogDet.lacking(Full) == []  # classes too, before anything is fitted
    assert Gini.lacking(Full) == ["probabilities"]

    class Declared:
        probabilities: np.ndarray

    assert Gini.lacking(Declared) == []


def test_every_model_metric_names_what_it_reads():
    def leaves(cls):
        return [cls] if not cls.__subclasses__() else [x for c in cls.__subclasses__() for x in leaves(c)]

    assert all(cls.reads and cls.row for cls in leaves(ModelMetric))


def test_log_likelihood(rng, house, model):
    x = rng.normal(size=(500, 2))
    source = SimpleNamespace(truth=None, reference=lambda: SimpleNamespace(x=x))
    (row,) = HeldOutLogLikelihood().measure(house.View(source, model=model, replicates=3))
    each = model.log_prob(x)
    np.testing.assert_allclose(row.value, each.mean(axis=1))
    np.testing.assert_allclose(
        (row.high - row.low) / 3.92, each.std(axis=1, ddof=1) / np.sqrt(500), rtol=1e-4
    )
    assert row.metric == "log_likelihood" and row.n == 500
    with pytest.raises(SpecError, match="3 replicates, not 5"):
        HeldOutLogLikelihood().measure(house.View(source, model=model, replicates=5))


def test_log_likelihood_interval_covers(rng):
    law = Full(np.zeros((1, 2)), np.eye(2)[None])
    truth = -1 - np.log(2 * np.pi)
    hits = []
    for _ in range(300):
        mean, error = log_likelihood(law, rng.normal(size=(100, 2)))  # type: ignore[arg-type]
        hits.append(abs(mean[0] - truth) < 1.96 * error[0])
    assert np.mean(hits) > 0.95 - 4 * 0.0126 - 0.01


def test_impossible_records_give_minus_infinity():
    class Dead:
        replicates = 1

        def log_prob(self, x):
            return np.where(x > 0, 0.0, -np.inf)

    mean, error = log_likelihood(Dead(), np.array([1.0, -1.0]))  # type: ignore[arg-type]
    assert mean[0] == -np.inf and np.isnan(error[0])


def test_real_share(house):
    (row,) = RealShare().measure(house.View(real_share=np.array([0.5, 1.0]), replicates=2))
    assert (row.metric, row.value.tolist()) == ("real_share", [0.5, 1.0])
    (row,) = RealShare().measure(house.View(real_share=0.25, replicates=2))
    assert row.value.tolist() == [0.25, 0.25]
