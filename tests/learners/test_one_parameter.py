"""What holds for all three families; their closed forms are in the tests named after them."""

import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.bernoulli import Bernoulli, BernoulliModel
from autophage.learners.exponential import Exponential, ExponentialModel
from autophage.learners.one_parameter import MeanStatistics
from autophage.learners.poisson import Poisson, PoissonModel
from autophage.samples import Batch

MEANS = np.array([0.3, 0.85])
FAMILIES = [(Bernoulli(), stats.bernoulli), (Poisson(), stats.poisson), (Exponential(), stats.expon)]


def law(family, mean):
    return family(scale=mean) if family is stats.expon else family(mean)


def total_law(family, n, mean):
    if family is stats.bernoulli:
        return stats.binom(n, mean)
    return stats.poisson(n * mean) if family is stats.poisson else stats.gamma(n, scale=mean)


def spread(learner, mean, replicates):
    return learner.model(np.atleast_2d(mean)).spread(replicates)


def near(values, expected):
    """Within four standard errors of the mean over the replicates (the first axis)."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_totals_follow_their_law_on_both_paths(learner, family, path):
    n, replicates = 6, 30_000
    model, key = spread(learner, MEANS, replicates), Key(1) / path
    drawn = (
        learner.refit(model, n, key) if path == "statistics" else learner.summarize(model.sample(n, key=key))
    )
    assert drawn.count == n
    for j, mean in enumerate(MEANS):
        exact, total = total_law(family, n, mean), drawn.total[:, j]
        near(total, exact.mean())
        near((total - exact.mean()) ** 2, exact.var())
        if family is stats.expon:
            assert stats.kstest(total, exact.cdf).pvalue > 1e-4
            continue
        top = int(exact.isf(1e-3))
        observed = np.bincount(np.minimum(total, top).astype(int), minlength=top + 1)
        expected = np.append(exact.pmf(np.arange(top)), exact.sf(top - 1))
        assert stats.chisquare(observed, replicates * expected).pvalue > 1e-4
    near((drawn.total[:, 0] - n * MEANS[0]) * (drawn.total[:, 1] - n * MEANS[1]), 0.0)


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_each_replicate_may_have_its_own_number_of_records(learner, family):
    n = np.arange(20_000) % 4
    drawn = learner.refit(spread(learner, MEANS, len(n)), n, Key(2))
    assert (drawn.total[n == 0] == 0).all()
    for size in (1, 3):
        near(drawn.total[n == size], size * MEANS)
    fitted = learner.estimate(MeanStatistics(np.array([2, 4]), np.array([[1.0], [1.0]])))
    assert fitted.mean.tolist() == [[0.5], [0.25]]


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_variances_and_densities_are_those_of_scipy(learner, family):
    model = learner.model(np.array([[0.3, 0.85], [0.5, 0.1]]))
    for r in range(2):
        assert model.variances[r] == pytest.approx([law(family, m).var() for m in model.mean[r]])
    x = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    logs = [
        [sum(_log(family, m, v) for m, v in zip(means, row, strict=True)) for row in x]
        for means in model.mean
    ]
    assert model.log_prob(x) == pytest.approx(np.array(logs), rel=1e-12)
    own = np.stack([x, x[::-1]])
    assert model.log_prob(own)[1] == pytest.approx(np.array(logs)[1, ::-1], rel=1e-12)


def _log(family, mean, value):
    return law(family, mean).logpdf(value) if family is stats.expon else law(family, mean).logpmf(value)


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_a_replicate_does_not_depend_on_how_many_follow(learner, family):
    few, many = spread(learner, MEANS, 5), spread(learner, MEANS, 50)
    for g in range(4):
        few, many = (learner.estimate(learner.refit(m, 30, Key(3) / g)) for m in (few, many))
        assert np.array_equal(few.mean, many.mean[:5])
        a, b = few.sample(40, key=Key(4)), many.sample(40, key=Key(4))
        assert np.array_equal(a.x, b.x[:5])
        assert np.array_equal(learner.summarize(a).total, learner.summarize(b).total[:5])
        assert np.array_equal(few.log_prob(a.x[0]), many.log_prob(a.x[0])[:5])


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_a_restored_model_goes_on_with_the_same_numbers(learner, family):
    model = learner.estimate(learner.refit(spread(learner, MEANS, 6), 30, Key(5)))
    again = learner.restore(model.arrays())
    assert type(again) is type(model) and np.array_equal(again.mean, model.mean)
    assert np.array_equal(learner.refit(model, 9, Key(6)).total, learner.refit(again, 9, Key(6)).total)


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_merge_adds_and_a_shared_batch_stands_for_all(learner, family):
    real = learner.summarize(Batch.of(np.array([[[1.0], [0.0]]])))
    new = learner.summarize(Batch.of(np.array([[[1.0]], [[0.0]]])))
    both = learner.merge([real, new])
    assert both.count == 3 and both.total.tolist() == [[2.0], [1.0]]
    assert learner.estimate(both).mean[:, 0] == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("learner", "wrong"),
    [
        (Bernoulli(), 2.0),
        (Bernoulli(), 0.5),
        (Poisson(), -1.0),
        (Poisson(), 0.5),
        (Exponential(), -0.1),
        *[(learner, np.nan) for learner, _ in FAMILIES],
        *[(learner, np.inf) for learner, _ in FAMILIES],
    ],
)
def test_records_outside_the_domain_are_refused(learner, wrong):
    with pytest.raises(DataError, match=learner.legal):
        learner.summarize(Batch.of(np.array([[[1.0], [wrong]]])))


@pytest.mark.parametrize(("learner", "family"), FAMILIES)
def test_no_records_are_a_failed_fit(learner, family):
    with pytest.raises(FitFailed, match="no record"):
        learner.estimate(MeanStatistics(np.array([2, 0]), np.zeros((2, 1))))


@pytest.mark.parametrize(
    ("learner", "wrong"), [(Bernoulli(), 1.5), (Bernoulli(), -0.5), (Poisson(), -1), (Exponential(), 0)]
)
def test_initial_models_are_checked(learner, wrong):
    assert learner.initial({"mean": 0.5}, 2).mean.tolist() == [[0.5, 0.5]]
    assert learner.initial({"mean": [0.5, 0.25]}, 2).mean.tolist() == [[0.5, 0.25]]
    for values in ({"mean": wrong}, {"mean": [0.5] * 3}, {"var": 1}, {"mean": float("nan")}):
        with pytest.raises(SpecError, match="initial_model"):
            learner.initial(values, 2)


def test_the_law_is_the_truth_of_its_own_family_only():
    truths = [m(np.array([[0.5]])) for m in (BernoulliModel, PoissonModel, ExponentialModel)]
    for learner, _ in FAMILIES:
        assert [learner.law(t) is t for t in truths] == [isinstance(t, learner.model) for t in truths]
        assert learner.law(None) is None
