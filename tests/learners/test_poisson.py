import numpy as np
import pytest

from autophage.keys import Key
from autophage.learners.poisson import Poisson, PoissonModel


def near(values, expected):
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


def test_d4_a_count_dies_out_as_suresh_says():
    n, replicates, learner = 10, 40_000, Poisson()
    model, g = PoissonModel(np.array([[1.0]])).spread(replicates), 1.0
    expected = {1: 0.99995, 5: 0.95588, 20: 0.60006}
    for k in range(1, 21):
        model = learner.estimate(learner.refit(model, n, Key(1) / k))
        if k in expected:
            exact = 1 - np.exp(-n * g)
            assert exact == pytest.approx(expected[k], abs=1e-5)
            stuck = model.absorbed()
            dead = np.zeros(replicates) if stuck is None else stuck
            assert abs((1 - dead).mean() - exact) <= 4 * np.sqrt(exact * (1 - exact) / replicates)
        g = 1 - np.exp(-g)


def test_n7_accumulating_keeps_the_error_bounded():
    learner, n, replicates = Poisson(), 40, 20_000
    pile = learner.refit(PoissonModel(np.array([[1.0]])).spread(replicates), n, Key(2))
    for t in range(1, 50):
        pile = learner.merge([pile, learner.refit(learner.estimate(pile), n, Key(2) / t)])
    exact = np.sum(1 / (n * np.arange(1, 51) ** 2))
    assert exact == pytest.approx(0.040628, abs=1e-6)
    near((learner.estimate(pile).mean[:, 0] - 1) ** 2, exact)


def test_absorbed_is_where_nothing_is_left_to_count():
    model = PoissonModel(np.array([[0.0, 0.0], [0.0, 0.5]]))
    assert model.absorbed().tolist() == [True, False]
    assert model.log_prob(np.array([[0.0, 0.0], [1.0, 0.0]]))[0].tolist() == [0.0, -np.inf]
    assert Poisson().refit(model, 50, Key(0)).total[0].tolist() == [0, 0]
