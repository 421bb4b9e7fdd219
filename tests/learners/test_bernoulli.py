import numpy as np
import pytest
from scipy import stats

from autophage.keys import Key
from autophage.learners.bernoulli import Bernoulli, BernoulliModel


def alive(n, p, generations):
    """P(p_k is neither 0 nor 1) and P(p_k is not 0) for k = 1.., from the chain of n + 1 counts."""
    step = stats.binom.pmf(np.arange(n + 1), n, np.arange(n + 1)[:, None] / n)
    counts = stats.binom.pmf(np.arange(n + 1), n, p)
    inside, nonzero = [], []
    for _ in range(generations):
        inside.append(1 - counts[0] - counts[n])
        nonzero.append(1 - counts[0])
        counts = counts @ step
    return np.array(inside), np.array(nonzero)


def near(values, expected):
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


def replaced(n, p, generations, replicates, seed):
    learner, model = Bernoulli(), BernoulliModel(np.array([[p]])).spread(replicates)
    for g in range(generations):
        model = learner.estimate(learner.refit(model, n, Key(seed) / g))
        yield model


def test_d6_absorption_follows_the_exact_chain():
    inside, _ = alive(20, 0.3, 60)
    assert inside[[9, 59]] == pytest.approx([0.70113, 0.05421], abs=1e-5)
    models = list(replaced(20, 0.3, 60, 20_000, 1))
    for k in (1, 10, 60):
        stuck = models[k - 1].absorbed()
        free = np.ones(20_000) if stuck is None else 1.0 - stuck
        assert abs(free.mean() - inside[k - 1]) <= 4 * np.sqrt(inside[k - 1] * (1 - inside[k - 1]) / 20_000)


def test_d2_survival_of_a_rare_event():
    _, nonzero = alive(100, 0.01, 50)
    assert nonzero[[0, 4, 19, 49]] == pytest.approx([0.63397, 0.27101, 0.09087, 0.04112], abs=1e-5)
    models = list(replaced(100, 0.01, 50, 20_000, 2))
    for k in (1, 5, 20, 50):
        near((models[k - 1].mean[:, 0] > 0).astype(float), nonzero[k - 1])


def test_n7_accumulating_keeps_the_error_bounded():
    learner, n, replicates = Bernoulli(), 40, 20_000
    pile = learner.refit(BernoulliModel(np.array([[0.3]])).spread(replicates), n, Key(3))
    for t in range(1, 50):
        pile = learner.merge([pile, learner.refit(learner.estimate(pile), n, Key(3) / t)])
    exact = 0.21 * (1 - np.prod(1 - 1 / (n * np.arange(1, 51) ** 2)))
    assert exact == pytest.approx(0.0084302, abs=1e-7)
    near((learner.estimate(pile).mean[:, 0] - 0.3) ** 2, exact)


def test_absorbed_needs_every_coordinate():
    model = BernoulliModel(np.array([[0.0, 0.5], [0.0, 1.0], [0.2, 0.5]]))
    assert model.absorbed().tolist() == [False, True, False]
    assert BernoulliModel(np.array([[0.5]])).absorbed() is None


def test_what_cannot_happen_has_no_density_and_what_must_has_all():
    model = BernoulliModel(np.array([[0.0], [1.0]]))
    assert model.log_prob(np.array([[0.0], [1.0]])).tolist() == [[0.0, -np.inf], [-np.inf, 0.0]]
