import numpy as np
import pytest
from scipy.special import digamma, polygamma

from autophage.keys import Key
from autophage.learners.exponential import SMALLEST_MEAN, Exponential, ExponentialModel


def near(values, expected):
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


def test_replacing_is_a_random_walk_of_the_logarithm():
    n, learner, generations = 5, Exponential(), 12
    model = ExponentialModel(np.array([[1.0]])).spread(20_000)
    for g in range(generations):
        model = learner.estimate(learner.refit(model, n, Key(1) / g))
    logs = np.log(model.mean[:, 0])
    drift = digamma(n) - np.log(n)
    near(logs, generations * drift)
    near((logs - generations * drift) ** 2, generations * polygamma(1, n))


def test_n7_accumulating_keeps_the_error_bounded():
    learner, n, replicates = Exponential(), 40, 20_000
    pile = learner.refit(ExponentialModel(np.array([[1.0]])).spread(replicates), n, Key(2))
    for t in range(1, 50):
        pile = learner.merge([pile, learner.refit(learner.estimate(pile), n, Key(2) / t)])
    exact = np.prod(1 + 1 / (n * np.arange(1, 51) ** 2)) - 1
    assert exact == pytest.approx(0.041117, abs=2e-6)
    near((learner.estimate(pile).mean[:, 0] - 1) ** 2, exact)


def test_a_vanished_mean_is_absorbed_and_can_be_frozen():
    before = ExponentialModel(np.array([[SMALLEST_MEAN], [1.0]]))
    assert before.absorbed().tolist() == [True, False]
    after = ExponentialModel(np.array([[SMALLEST_MEAN / 2], [3.0]]))
    assert after.frozen(before.absorbed(), before).mean.tolist() == [[SMALLEST_MEAN], [3.0]]
    assert (before.variances > 0).all()
    assert ExponentialModel(np.array([[1.0]])).absorbed() is None
