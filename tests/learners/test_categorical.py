import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.categorical import Categorical, CategoricalModel, CategoricalStatistics
from autophage.parts import Sampling
from autophage.samples import Batch

FOUR = np.array([0.5, 0.3, 0.15, 0.05])


def zipf(symbols, exponent=1.0):
    p = np.arange(1, symbols + 1) ** -exponent
    return p / p.sum()


def spread(p, replicates):
    return CategoricalModel(np.asarray(p)[None]).spread(replicates)


def near(values, expected):
    """Within four standard errors of the mean over the replicates (the first axis)."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error + 1e-12).all()


def replaced(p0, n, generations, replicates, seed):
    """The models of a loop that trains on its newest samples only; model 0 is fitted to n real records."""
    learner, model = Categorical(), spread(p0, replicates)
    for g in range(generations):
        model = learner.estimate(learner.refit(model, n, Key(seed) / g))
        yield model


# The law of the refit


@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_counts_follow_the_multinomial_on_both_paths(path):
    n, replicates, learner = 7, 40_000, Categorical(symbols=4)
    model, key = spread(FOUR, replicates), Key(1) / path
    drawn = (
        learner.refit(model, n, key) if path == "statistics" else learner.summarize(model.sample(n, key=key))
    )
    counts = drawn.counts.astype(float)
    assert drawn.count == n and (counts.sum(axis=1) == n).all()
    near(counts, n * FOUR)
    gap = counts - n * FOUR
    near(gap[:, :, None] * gap[:, None, :], n * (np.diag(FOUR) - np.outer(FOUR, FOUR)))


@pytest.mark.parametrize("p", [[0.6, 0.3, 0.1], [0.0, 0.6, 0.0, 0.3, 0.1, 0.0, 0.0, 0.0]])
@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_every_outcome_has_its_exact_probability(p, path):
    n, replicates, learner = 3, 30_000, Categorical(symbols=len(p))
    model, key = spread(p, replicates), Key(2) / path
    drawn = (
        learner.refit(model, n, key) if path == "statistics" else learner.summarize(model.sample(n, key=key))
    )
    assert (drawn.counts[:, np.asarray(p) == 0] == 0).all()
    codes, observed = np.unique(drawn.counts @ (4 ** np.arange(len(p))), return_counts=True)
    outcomes = {int(c): drawn.counts[drawn.counts @ (4 ** np.arange(len(p))) == c][0] for c in codes}
    expected = replicates * np.array([stats.multinomial.pmf(outcomes[int(c)], n, p) for c in codes])
    assert len(codes) == 10  # the ways to split 3 among 3
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_each_replicate_may_have_its_own_number_of_records():
    replicates = 20_000
    n = np.arange(replicates) % 5
    drawn = Categorical().refit(spread(FOUR, replicates), n, Key(3))
    assert (drawn.counts.sum(axis=1) == n).all()
    for size in range(1, 5):
        near(drawn.counts[n == size].astype(float), size * FOUR)


def test_rounding_never_revives_the_dead():
    # Sums fall just short of one or pass it; what is left over must not go to a symbol of probability zero.
    rng = np.random.default_rng(0)
    p = rng.random((4000, 40)) * (rng.random((4000, 40)) < 0.3)
    p[:, 0] += 0.1
    p /= p.sum(axis=1, keepdims=True)
    model = CategoricalModel(p)
    drawn = Categorical().refit(model, 1000, Key(4))
    assert (drawn.counts.sum(axis=1) == 1000).all()
    assert (drawn.counts[p == 0] == 0).all()
    assert (np.take_along_axis(p, model.sample(200, key=Key(5)).x, axis=1) > 0).all()


# Streams


@pytest.mark.parametrize("p", [FOUR, zipf(100)])
def test_a_replicate_does_not_depend_on_how_many_follow(p):
    few, many = list(replaced(p, 20, 6, 5, 7)), list(replaced(p, 20, 6, 50, 7))
    for a, b in zip(few, many, strict=True):
        assert np.array_equal(a.probabilities, b.probabilities[:5])
        assert np.array_equal(a.sample(9, key=Key(8)).x, b.sample(9, key=Key(8)).x[:5])
        assert np.array_equal(a.log_prob(np.arange(4)), b.log_prob(np.arange(4))[:5])


def test_packing_the_living_symbols_changes_no_number(monkeypatch):
    import autophage.learners.categorical as module

    packed = [m.probabilities for m in replaced(zipf(60), 30, 5, 20, 9)]
    monkeypatch.setattr(module, "DENSE", -1.0)
    dense = [m.probabilities for m in replaced(zipf(60), 30, 5, 20, 9)]
    assert all(np.array_equal(a, b) for a, b in zip(packed, dense, strict=True))


@pytest.mark.parametrize("learner", [Categorical(), Categorical(smoothing=0.5)])
@pytest.mark.parametrize("p", [FOUR, zipf(60)])
def test_a_chain_gives_the_same_numbers_as_its_steps(learner, p):
    sizes, keys = [20, 5, 30, 9, 2, 3, 8, 8], [Key(14) / g for g in range(8)]
    model, absorbed = spread(p, 40), np.full(40, -1)
    end, when = learner.chain(model, sizes, keys, absorbed, 1)
    for generation, (n, key) in enumerate(zip(sizes, keys, strict=True), 1):
        model = learner.estimate(learner.refit(model, n, key))
        alone = (model.probabilities == 1).any(axis=1)
        absorbed = np.where((absorbed < 0) & alone, generation, absorbed)
    assert np.array_equal(end.probabilities, model.probabilities)
    assert np.array_equal(when, absorbed)
    assert (absorbed > 0).any() == (learner.smoothing == 0)


def test_a_restored_model_goes_on_with_the_same_numbers():
    learner = Categorical()
    *_, model = replaced(zipf(50), 30, 4, 6, 10)
    again = learner.restore(model.arrays())
    assert np.array_equal(learner.refit(model, 30, Key(1)).counts, learner.refit(again, 30, Key(1)).counts)
    assert np.array_equal(model.sample(5, key=Key(1)).x, again.sample(5, key=Key(1)).x)


# Closed forms


def test_d1_concentration_grows_as_seddik_says():
    n, p0 = 50, zipf(10)
    courses = [(m.probabilities**2).sum(axis=1) for m in replaced(p0, n, 30, 4000, 11)]
    start = (p0**2).sum()
    for t, value in ((1, 0.19704), (10, 0.33053), (30, 0.55306)):
        exact = 1 - (1 - 1 / n) ** t * (1 - start)
        assert exact == pytest.approx(value, abs=1e-5)
        near(courses[t - 1], exact)


def test_d5_surviving_symbols_stay_just_above_suresh_bound():
    n, p0, survivors, g = 300, zipf(200), {}, 1.0
    for k, model in enumerate(replaced(p0, n, 10, 1500, 12), start=1):
        survivors[k] = (model.probabilities > 0).sum(axis=1), np.sum(1 - np.exp(-n * p0 * g))
        g = 1 - np.exp(-g)
    for k, bound in ((1, 97.14), (5, 47.20), (10, 30.90)):
        distinct, expected = survivors[k]
        assert expected == pytest.approx(bound, abs=0.01)
        error = distinct.std() / np.sqrt(len(distinct))
        assert bound - 4 * error < distinct.mean() < 1.02 * bound + 4 * error


def test_h1_h2_h3_temperature_on_the_population():
    for temperature, expected in (
        (0.9, (0.63636, 0.26792, 0.08283, 0.01289)),
        (1.2, (0.35371, 0.28806, 0.21803, 0.14021)),
    ):
        model = CategoricalModel(FOUR[None])
        for _ in range(5):
            model = model.tuned(Sampling(temperature=temperature))
        assert model.probabilities[0] == pytest.approx(expected, abs=1e-5)
        exact = FOUR ** (temperature**-5)
        assert model.probabilities[0] == pytest.approx(exact / exact.sum(), rel=1e-12)


def test_h5_polya_urn_variance():
    learner, n, replicates = Categorical(), 10, 20_000
    model = spread(FOUR, replicates)
    pile = learner.refit(model, n, Key(13))
    for t in range(1, 30):
        pile = learner.merge([pile, learner.refit(learner.estimate(pile), n, Key(13) / t)])
    share = 1 - np.prod(1 - 1 / (n * np.arange(1, 31) ** 2))
    near((learner.estimate(pile).probabilities - FOUR) ** 2, FOUR * (1 - FOUR) * share)
    assert FOUR * (1 - FOUR) * share == pytest.approx([0.03845, 0.03230, 0.01961, 0.00731], abs=1e-5)


# The pieces


def test_an_icy_temperature_keeps_the_largest_and_one_changes_nothing():
    model = CategoricalModel(zipf(5000)[None])
    cold = model.tuned(Sampling(temperature=1e-4)).probabilities
    assert cold[0, 0] == 1 and np.isfinite(cold).all()
    assert model.tuned(Sampling(temperature=1.0)) is model and model.tuned(Sampling()) is model


def test_absorbed_means_one_symbol_has_it_all():
    model = CategoricalModel(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert model.absorbed().tolist() == [False, True]
    assert CategoricalModel(FOUR[None]).absorbed() is None
    again = Categorical().estimate(Categorical().refit(model, 1000, Key(0)))
    assert again.probabilities[1].tolist() == [0, 1]


def test_log_prob_is_the_logarithm_of_the_probability():
    model = CategoricalModel(np.array([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]]))
    assert np.exp(model.log_prob(np.array([1, 2]))).tolist() == [[0.75, 0.0], [0.25, 0.25]]
    assert np.exp(model.log_prob(np.array([[0], [2]]))).tolist() == [[0.25], [0.25]]


def test_merge_adds_counts_and_a_shared_batch_stands_for_all():
    learner = Categorical(symbols=3)
    real = learner.summarize(Batch.of(np.array([[0, 0, 2]])))
    new = learner.summarize(Batch.of(np.array([[1, 1], [2, 2]])))
    both = learner.merge([real, new])
    assert both.count == 5 and both.counts.tolist() == [[2, 2, 1], [2, 0, 3]]
    assert learner.merge([real]).counts.tolist() == real.counts.tolist()
    narrow = Categorical().summarize(Batch.of(np.array([[0, 1], [1, 1]])))
    assert Categorical().merge([narrow, new]).counts.tolist() == [[1, 3, 0], [0, 2, 2]]


def test_smoothing_keeps_every_symbol_alive():
    model = Categorical(symbols=3, smoothing=0.5).fit(Batch.of(np.array([[0, 0, 1]])), key=Key(0))
    assert model.probabilities[0] == pytest.approx([2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5])
    assert model.absorbed() is None


def test_symbols_may_come_as_floats_and_as_columns():
    assert Categorical().summarize(Batch.of(np.array([[[0.0], [2.0]]]))).counts.tolist() == [[1, 0, 1]]


def test_the_law_is_the_truth_of_its_own_family_only():
    truth = CategoricalModel(FOUR[None])
    assert Categorical().law(truth) is truth and Categorical().law(None) is None


@pytest.mark.parametrize(
    ("x", "says"),
    [([[0, 4]], "symbol 4"), ([[-1, 0]], "symbol -1"), ([[0.5]], "whole"), ([[np.nan]], "whole")],
)
def test_records_that_are_no_symbols_are_refused(x, says):
    with pytest.raises(DataError, match=says):
        Categorical(symbols=4).summarize(Batch.of(np.array(x)))


def test_records_of_several_numbers_are_refused():
    with pytest.raises(DataError, match="one number"):
        Categorical(symbols=4).summarize(Batch.of(np.zeros((1, 3, 2), int)))


@pytest.mark.parametrize(
    "settings", [{"symbols": 1}, {"symbols": 2.5}, {"smoothing": -1.0}, {"smoothing": float("nan")}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SpecError, match="learner." + next(iter(settings))):
        Categorical(**settings)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_must_be_above_zero_and_finite_and_the_limits_are_offered(temperature):
    words = (
        "finite .uniform sampling is its limit"
        if temperature > 0
        else "above zero .argmax sampling is its limit"
    )
    with pytest.raises(ValueError, match=rf"temperature is {temperature}; it must be {words}") as refused:
        Sampling(temperature=temperature)
    assert isinstance(refused.value, SpecError)


def test_nothing_to_count_is_a_failed_fit():
    with pytest.raises(FitFailed, match="no record"):
        Categorical().estimate(CategoricalStatistics(np.array([3, 0]), np.array([[3, 0], [0, 0]])))
    smooth = Categorical(smoothing=1.0).estimate(CategoricalStatistics(0, np.zeros((1, 4))))
    assert smooth.probabilities.tolist() == [[0.25] * 4]


def test_initial_models_are_checked():
    learner = Categorical()
    assert learner.initial({"probabilities": [0.25, 0.75]}, 2).probabilities.tolist() == [[0.25, 0.75]]
    for wrong in (
        {"mean": 1},
        {"probabilities": [0.5, 0.6]},
        {"probabilities": [1.5, -0.5]},
        {"probabilities": [1.0]},
    ):
        with pytest.raises(SpecError, match="initial_model"):
            learner.initial(wrong, 2)
