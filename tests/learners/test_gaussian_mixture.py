import warnings

import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.gaussian_mixture import GaussianMixture, GaussianMixtureModel
from autophage.parts import Sampling
from autophage.samples import Batch

ANGLES = 2 * np.pi * np.arange(8) / 8
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def mixture(replicates=1):
    """Three overlapping components in two dimensions."""
    covariances = np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.2, 0.0], [0.0, 2.0]], [[0.3, -0.1], [-0.1, 0.1]]])
    means = np.array([[0.0, 0.0], [3.0, 1.0], [-1.0, 2.0]])
    return GaussianMixtureModel(np.array([[0.5, 0.3, 0.2]]), means[None], covariances[None]).spread(
        replicates
    )


def eight(replicates):
    covariances = np.tile(0.04 * np.eye(2), (1, 8, 1, 1))
    return GaussianMixtureModel(np.full((1, 8), 1 / 8), CENTRES[None], covariances).spread(replicates)


def near(values, expected):
    """Within four standard errors of the mean over the first axis."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


def same(a, b):
    return all(np.array_equal(a.arrays()[k], b.arrays()[k]) for k in a.arrays())


# The model


def test_samples_follow_the_law():
    model = mixture()
    x = model.sample(40_000, key=Key(1)).x[0]
    near(x, model.mean[0])
    gap = x - model.mean[0]
    near(gap[:, :, None] * gap[:, None, :], model.covariance()[0])
    assert model.variances[0] == pytest.approx(np.diag(model.covariance()[0]))
    along = np.array([0.6, 0.8])  # on a line the mixture stays a mixture
    sd = np.sqrt(np.einsum("i,kij,j->k", along, model.covariances[0], along))

    def law(v):
        return (model.weights[0] * stats.norm.cdf(v[:, None], model.means[0] @ along, sd)).sum(axis=1)

    assert stats.kstest(x @ along, law).pvalue > 1e-4


def test_the_density_is_scipys():
    model, x = mixture(2), np.random.default_rng(0).normal(size=(30, 2)) * 3
    parts = zip(model.weights[0], model.means[0], model.covariances[0], strict=True)
    exact = np.log(sum(w * stats.multivariate_normal(m, S).pdf(x) for w, m, S in parts))
    assert model.log_prob(x) == pytest.approx(np.stack([exact, exact]), rel=1e-10)
    assert model.log_prob(np.stack([x, x[::-1]]))[1] == pytest.approx(exact[::-1], rel=1e-10)


def test_bias_scales_the_components_and_zero_leaves_their_means():
    model = mixture()
    half = model.tuned(Sampling(bias=0.5))
    assert half.covariances == pytest.approx(0.5 * model.covariances)
    assert np.array_equal(half.means, model.means) and model.tuned(Sampling()) is model
    points = model.tuned(Sampling(bias=0.0))
    drawn = points.sample(5000, key=Key(2)).x[0]
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert found == pytest.approx(np.unique(model.means[0], axis=0))
    order = np.lexsort(model.means[0].T[::-1])
    assert stats.chisquare(counts, 5000 * model.weights[0][order]).pvalue > 1e-4
    with pytest.raises(FitFailed, match="no density"):
        points.log_prob(np.zeros((1, 2)))


# The fit


def oracle(x, start, **settings):
    from sklearn.mixture import GaussianMixture as Oracle

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the rounds run out
        return Oracle(
            len(start.weights[0]),
            weights_init=start.weights[0],
            means_init=start.means[0],
            precisions_init=np.linalg.inv(start.covariances[0]),
            init_params="random_from_data",
            **settings,
        ).fit(x)


@pytest.mark.parametrize(("tolerance", "rounds"), [(1e-3, 100), (1e-7, 500), (1e-9, 3)])
def test_a_warm_fit_equals_sklearns(tolerance, rounds):
    learner = GaussianMixture(components=3, tolerance=tolerance, max_iterations=rounds, start="previous")
    data = mixture(4).sample(150, key=Key(3))
    fitted = learner.fit(data, start=mixture(), key=Key(0))
    assert fitted.replicates == 4
    for r in range(4):
        other = oracle(data.x[r], mixture(), tol=tolerance, max_iter=rounds, reg_covar=1e-6)
        assert fitted.weights[r] == pytest.approx(other.weights_, abs=1e-8)
        assert fitted.means[r] == pytest.approx(other.means_, abs=1e-8)
        assert fitted.covariances[r] == pytest.approx(other.covariances_, abs=1e-8)
        assert fitted.log_prob(data.x[r])[r] == pytest.approx(other.score_samples(data.x[r]), abs=1e-8)


def test_one_component_is_the_gaussian_of_the_moments():
    x = np.random.default_rng(1).normal(size=(3, 40, 2))
    fitted = GaussianMixture(components=1, ridge=0.0).fit(Batch.of(x), key=Key(0))
    for r in range(3):
        assert fitted.mean[r] == pytest.approx(x[r].mean(axis=0))
        assert fitted.covariance()[r] == pytest.approx(np.cov(x[r].T, ddof=0))


def test_from_scratch_separate_components_are_found():
    data = eight(40).sample(200, key=Key(4))
    fitted = GaussianMixture(components=8).fit(data, key=Key(5))
    nearest = ((fitted.means[:, :, None] - CENTRES) ** 2).sum(axis=3).argmin(axis=2)
    found = np.array([len(set(row)) for row in nearest])
    assert (found == 8).mean() > 0.75  # single runs may share a mode and split another
    right = found == 8
    assert np.abs(fitted.means[right] - CENTRES[nearest[right]]).max() < 0.3


@pytest.mark.parametrize("start", ["scratch", "previous"])
@pytest.mark.parametrize("d", [1, 2])
def test_a_replicate_does_not_depend_on_the_others(start, d):
    learner = GaussianMixture(components=3, start=start)
    many = Batch.of(np.random.default_rng(6).normal(size=(50, 60, d)) ** 3)
    few = Batch.of(many.x[:5].copy())
    a = b = None
    for g in range(3):
        a, b = (
            learner.fit(x, start=m if start == "previous" else None, key=Key(7) / g)
            for x, m in ((few, a), (many, b))
        )
        assert all(np.array_equal(a.arrays()[k], b.arrays()[k][:5]) for k in a.arrays())
        x = np.random.default_rng(8).normal(size=(20, d))
        assert np.array_equal(a.log_prob(x), b.log_prob(x)[:5])
        few, many = (m.sample(60, key=Key(9) / g) for m in (a, b))
        assert np.array_equal(few.x, many.x[:5])
    # Nor on the group it is fitted in.
    alone = learner.fit(Batch.of(many.x[:1].copy()), key=Key(10))
    assert all(
        np.array_equal(alone.arrays()[k], learner.fit(many, key=Key(10)).arrays()[k][:1])
        for k in alone.arrays()
    )


def test_shared_data_from_different_starts():
    shared = mixture().sample(100, key=Key(11))
    starts = GaussianMixture(components=3).fit(mixture(4).sample(100, key=Key(12)), key=Key(13))
    learner = GaussianMixture(components=3, start="previous", max_iterations=2)
    fitted = learner.fit(shared, start=starts, key=Key(0))
    repeated = learner.fit(Batch.of(np.repeat(shared.x, 4, axis=0)), start=starts, key=Key(0))
    assert fitted.replicates == 4 and same(fitted, repeated)


def test_a_restored_model_goes_on_with_the_same_numbers():
    learner = GaussianMixture(components=3, start="previous")
    model = learner.fit(mixture(4).sample(100, key=Key(14)), key=Key(15))
    again = learner.restore(model.arrays())
    data = model.sample(80, key=Key(16))
    assert np.array_equal(data.x, again.sample(80, key=Key(16)).x)
    assert same(learner.fit(data, start=model, key=Key(17)), learner.fit(data, start=again, key=Key(17)))


# What can go wrong


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
@pytest.mark.parametrize("n", [3, 30])
def test_equal_records_end_in_a_point_not_in_nan(ridge, n):
    fitted = GaussianMixture(components=3, ridge=ridge).fit(Batch.of(np.full((2, n, 2), 5.0)), key=Key(0))
    assert fitted.mean == pytest.approx(np.full((2, 2), 5.0))
    assert fitted.covariance() == pytest.approx(np.stack([ridge * np.eye(2)] * 2), abs=1e-12)
    assert np.isfinite(fitted.sample(10, key=Key(1)).x).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_component_on_a_single_point_keeps_the_ridge(scale):
    x = np.random.default_rng(2).normal(size=(1, 40, 3))
    x[0, 0] = 50.0
    fitted = GaussianMixture(components=2, ridge=1e-6).fit(Batch.of(scale * x), key=Key(0))
    assert all(np.isfinite(a).all() for a in fitted.arrays().values())
    alone = fitted.weights[0].argmin()
    if scale >= 1:
        assert fitted.weights[0, alone] == pytest.approx(1 / 40)
        assert fitted.covariances[0, alone] == pytest.approx(1e-6 * np.eye(3), rel=1e-6)


def test_a_component_without_records_stays_with_weight_zero():
    start = GaussianMixtureModel(np.array([[0.5, 0.5]]), np.array([[[0.0], [1e4]]]), np.ones((1, 2, 1, 1)))
    data = Batch.of(np.random.default_rng(3).normal(size=(1, 50, 1)))
    fitted = GaussianMixture(start="previous").fit(data, start=start, key=Key(0))
    assert fitted.weights[0] == pytest.approx([1, 0], abs=1e-12)
    assert fitted.means[0, 1, 0] == 1e4 and fitted.covariances[0, 1, 0, 0] == 1
    assert fitted.log_prob(data.x[0])[0] == pytest.approx(
        stats.norm.logpdf(data.x[0, :, 0], *_moments(data.x))
    )
    again = GaussianMixture(start="previous").fit(fitted.sample(50, key=Key(1)), start=fitted, key=Key(0))
    assert np.isfinite(again.means).all() and again.weights[0, 1] == 0


def _moments(x):
    return x.mean(), np.sqrt(x.var() + 1e-6)


def test_records_on_a_line_need_no_ridge():
    line = np.random.default_rng(4).normal(size=(2, 60, 1)) * np.array([1.0, -2.0])
    fitted = GaussianMixture(components=2, ridge=0.0).fit(Batch.of(line), key=Key(0))
    drawn = fitted.sample(200, key=Key(1)).x
    assert drawn[..., 1] == pytest.approx(-2 * drawn[..., 0], abs=1e-4)


def test_what_cannot_be_fitted_fails_with_a_reason():
    learner = GaussianMixture(components=4)
    assert learner.smallest(2) == 4
    with pytest.raises(FitFailed, match="4 components"):
        learner.fit(Batch.of(np.zeros((1, 3, 2))), key=Key(0))
    with pytest.raises(FitFailed, match="not finite"):
        learner.fit(Batch.of(np.full((1, 9, 2), np.nan)), key=Key(0))
    with pytest.raises(DataError, match="vectors"):
        learner.fit(Batch.of(np.zeros((1, 9))), key=Key(0))
    broken = GaussianMixtureModel(np.array([[1.0]]), np.array([[[np.nan]]]), np.ones((1, 1, 1, 1)))
    with pytest.raises(FitFailed, match="replicate 0"):
        GaussianMixture(components=1).fit(Batch.of(np.zeros((1, 9, 1))), start=broken, key=Key(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"components": 0},
        {"components": 1.5},
        {"tolerance": 0},
        {"max_iterations": 0},
        {"ridge": -1},
        {"ridge": np.nan},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SpecError, match=f"learner.{next(iter(settings))}"):
        GaussianMixture(**settings)


def test_initial_models_are_checked():
    learner, S = GaussianMixture(), [[[1.0]], [[2.0]]]
    good = {"weights": [0.25, 0.75], "means": [[0.0], [1.0]], "covariances": S}
    assert learner.initial(good, 1).mean.tolist() == [[0.75]]
    for wrong in (
        {"weights": [0.5, 0.6]},
        {"weights": [1.0]},
        {"means": [0.0, 1.0]},
        {"covariances": [[[1.0]], [[0.0]]]},
        {"ridge": 1},
    ):
        with pytest.raises(SpecError, match="initial_model"):
            learner.initial(good | wrong, 1)


# Iterative retraining


def retrained(synthetic_ratio, seed, runs=12, n=200, generations=50):
    """R26: modes above 1 % of the mass, and 1 - sum of squared masses relative to the truth's."""
    key, learner = Key(seed), GaussianMixture(components=8, start="previous")
    real = eight(runs).sample(n, key=key / "real")
    model = learner.fit(real, start=eight(runs), key=key)
    for g in range(generations):
        size = n if synthetic_ratio is None else int(synthetic_ratio * n)
        new = model.sample(size, key=key / g)
        model = learner.fit(new if synthetic_ratio is None else Batch.join([real, new]), start=model, key=key)
    nearest = ((model.means[:, :, None] - CENTRES) ** 2).sum(axis=3).argmin(axis=2)
    mass = np.stack([(model.weights * (nearest == j)).sum(axis=1) for j in range(8)], axis=1)
    return (mass > 0.01).sum(axis=1), (1 - (mass**2).sum(axis=1)).mean() / (1 - 1 / 8)


def test_r26_own_samples_lose_modes():
    modes, diversity = retrained(None, 1)
    assert 3 <= modes.mean() <= 7 and modes.max() < 8
    assert diversity == pytest.approx(0.78, abs=0.08)


@pytest.mark.parametrize("synthetic_ratio", [1.0, 0.25])
def test_r26_kept_real_records_keep_every_mode(synthetic_ratio):
    modes, diversity = retrained(synthetic_ratio, 2)
    assert (modes == 8).all()
    assert diversity > 0.99
