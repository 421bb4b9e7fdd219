import pickle

import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.kde import KDE
from autophage.samples import Batch


def normals(seed, replicates, n, d=1):
    return Batch.of(np.random.default_rng(seed).normal(size=(replicates, n, d)))


def near(values, expected):
    """Within four standard errors of the mean over the replicates (the first axis)."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * error).all()


def loop(n, h, generations, replicates, seed, accumulate=False):
    learner, pile = KDE(bandwidth=h), [normals(seed, replicates, n)]
    for t in range(1, generations + 1):
        model = learner.fit(pile, key=Key(seed) / t / "fit")
        if t < generations:
            new = model.sample(n, key=Key(seed) / t / "sample")
            pile = [*pile, new] if accumulate else [new]
    return model


def replaced(n, h, t):
    V, M = 1 - 1 / n, 1 / n
    for _ in range(t - 1):
        V, M = (V + h**2) * (1 - 1 / n), M + (V + h**2) / n
    return V, M


def accumulated(n, h, generations):
    V, M = 1 - 1 / n, 1 / n
    for t in range(1, generations):
        new = V + h**2
        V, M = (t * n * V + (n - 1) * new + t / (t + 1) * new) / ((t + 1) * n), M + new / (n * (t + 1) ** 2)
    return V, M


def test_k1_replacing_inflates_the_records_variance():
    V, M = replaced(50, 0.2, 40)
    assert np.allclose((V, M), (1.5143, 1.0457), atol=1e-4)
    model = loop(50, 0.2, 40, 10_000, 1)
    near(model.record_variances[:, 0], V)
    near(model.mean[:, 0] ** 2, M)
    near(model.variances[:, 0], V + 0.2**2)


def test_k2_accumulating_inflates_it_slowly():
    V, M = accumulated(50, 0.2, 40)
    assert np.allclose((V, M), (1.0982, 0.03295), atol=1e-4)
    model = loop(50, 0.2, 40, 3_000, 2, accumulate=True)
    near(model.record_variances[:, 0], V)
    near(model.mean[:, 0] ** 2, M)


def test_k3_k4_wide_kernels():
    V, M = replaced(20, 0.5, 60)
    assert np.allclose((V, M), (4.5657, 11.184), atol=1e-3)
    near(loop(20, 0.5, 60, 10_000, 3).record_variances[:, 0], V)
    V, M = accumulated(20, 0.5, 60)
    assert np.isclose(V + M, 1 + 0.5**2 * (np.sum(1 / np.arange(1, 61)) - 1), rtol=1e-12)  # 1.9200
    model = loop(20, 0.5, 60, 2_000, 4, accumulate=True)
    near(model.record_variances[:, 0] + model.mean[:, 0] ** 2, V + M)


def test_samples_follow_the_estimated_law():
    model = KDE(bandwidth=0.5).fit(Batch.of(np.array([[[-2.0], [0.0], [1.0], [1.0]]])), key=Key(0))
    x = model.sample(20_000, key=Key(1)).x.ravel()
    centres = np.array([-2.0, 0.0, 1.0, 1.0])
    assert (
        stats.kstest(
            x, lambda v: stats.norm.cdf(np.subtract.outer(v, centres), scale=0.5).mean(axis=-1)
        ).pvalue
        > 1e-4
    )
    near(x, model.mean[0, 0])
    near((x - model.mean[0, 0]) ** 2, model.variances[0, 0])
    assert model.covariance()[0, 0, 0] == pytest.approx(model.variances[0, 0])


@pytest.mark.parametrize("d", [1, 3])
def test_scott_equals_scipy_in_one_dimension_and_the_density_is_exact_in_all(d):
    batch, x = normals(5, 2, 30, d), np.random.default_rng(6).normal(size=(20, d))
    model = KDE(bandwidth="scott").fit(batch, key=Key(0))
    if d == 1:
        for r in range(2):
            oracle = stats.gaussian_kde(batch.x[r].T, bw_method="scott")
            assert model.bandwidth[r] ** 2 == pytest.approx(oracle.covariance[0, 0])
            assert model.log_prob(x)[r] == pytest.approx(oracle.logpdf(x.T), rel=1e-6)
    for r in range(2):
        kernels = [
            stats.multivariate_normal(c, model.bandwidth[r] ** 2 * np.eye(d)).pdf(x) for c in batch.x[r]
        ]
        assert model.log_prob(x)[r] == pytest.approx(np.log(np.mean(kernels, axis=0)), rel=1e-6)


def test_the_log_likelihood_of_a_growing_pile_is_right_to_1e_5():
    n, h, learner = 40, 0.2, KDE(bandwidth=0.2)
    pile, x = [normals(7, 3, n)], np.random.default_rng(8).normal(size=(500, 1))
    for t in range(6):
        model = learner.fit(pile, key=Key(t))
        records = np.concatenate([b.x for b in pile], axis=1)[..., 0]
        exact = np.log(stats.norm.pdf(x[None], records[:, None, :], h).mean(axis=2))
        assert model.log_prob(x) == pytest.approx(exact, rel=1e-5, abs=1e-5)
        assert model.log_prob(x).mean(axis=1) == pytest.approx(exact.mean(axis=1), rel=1e-6)
        pile.append(model.sample(n, key=Key(t)))


@pytest.mark.parametrize("bandwidth", [0.3, "scott"])
def test_one_joined_batch_and_several_end_to_end_are_the_same_law(bandwidth):
    parts = [normals(9, 1, 7, 2), normals(10, 4, 5, 2), normals(11, 4, 1, 2)]
    split, joined = (KDE(bandwidth=bandwidth).fit(d, key=Key(0)) for d in (parts, Batch.join(parts)))
    x = np.random.default_rng(12).normal(size=(9, 2))
    assert split.count == joined.count == 13
    for name in ("mean", "record_variances", "variances", "bandwidth"):
        assert getattr(split, name) == pytest.approx(getattr(joined, name), rel=1e-12)
    assert split.covariance() == pytest.approx(joined.covariance(), rel=1e-12)
    h = np.broadcast_to(joined.bandwidth, 4)[2]
    assert joined.covariance()[2] == pytest.approx(
        np.cov(Batch.join(parts).x[2].T, ddof=0) + h**2 * np.eye(2)
    )
    assert split.log_prob(x) == pytest.approx(joined.log_prob(x), rel=1e-5, abs=1e-5)
    assert split.sample(50, key=Key(1)).x == pytest.approx(joined.sample(50, key=Key(1)).x, rel=1e-12)


@pytest.mark.parametrize("bandwidth", [0.3, "scott"])
@pytest.mark.parametrize("d", [1, 2, 6])
def test_a_replicate_does_not_depend_on_how_many_follow(bandwidth, d):
    many = normals(13, 50, 20, d)
    few = Batch.of(many.x[:5].copy())
    x = np.concatenate([np.random.default_rng(14).normal(size=(30, d)), np.full((1, d), 30.0)])
    for g in range(3):
        models = [KDE(bandwidth=bandwidth).fit(b, key=Key(g)) for b in (few, many)]
        assert np.array_equal(models[0].log_prob(x), models[1].log_prob(x)[:5])
        assert np.array_equal(models[0].variances, models[1].variances[:5])
        few, many = (m.sample(20, key=Key(g)) for m in models)
        assert np.array_equal(few.x, many.x[:5])


@pytest.mark.parametrize("bandwidth", [0.3, "scott"])
def test_a_restored_model_goes_on_with_the_same_numbers(bandwidth):
    learner = KDE(bandwidth=bandwidth)
    model = learner.fit([normals(15, 1, 6), normals(16, 3, 4)], key=Key(0))
    again = learner.restore(model.arrays())
    x = np.linspace(-2, 2, 9)[:, None]
    assert np.array_equal(model.sample(7, key=Key(1)).x, again.sample(7, key=Key(1)).x)
    assert np.array_equal(model.log_prob(x), again.log_prob(x))
    wide = learner.fit(normals(17, 1, 6), key=Key(0)).spread(4)
    assert learner.restore(wide.arrays()).sample(2, key=Key(0)).x.shape == (4, 2, 1)
    assert wide.log_prob(x).shape == (4, 9) and wide.variances.shape == (4, 1)


def test_images_are_fitted_as_vectors_and_whole_numbers_as_numbers():
    batch = Batch.of(np.arange(24).reshape(1, 3, 2, 4))
    assert KDE(bandwidth=1.0).fit(batch, key=Key(0)).mean.tolist() == [list(range(8, 16))]


def test_a_learner_can_be_sent_to_another_process():
    learner = KDE(bandwidth=0.5)
    learner.fit(normals(18, 1, 5), key=Key(0)).log_prob(np.zeros((2, 1)))
    assert pickle.loads(pickle.dumps(learner)) == learner


@pytest.mark.parametrize("bandwidth", [0, -1.0, float("nan"), float("inf"), "silver", True])
def test_bandwidths_that_cannot_be_are_refused(bandwidth):
    with pytest.raises(SpecError, match=r"learner\.bandwidth"):
        KDE(bandwidth=bandwidth)


def test_what_cannot_be_fitted_fails_with_a_reason():
    with pytest.raises(FitFailed, match="1 or more records"):
        KDE(bandwidth=1.0).fit(Batch.of(np.zeros((2, 0, 1))), key=Key(0))
    with pytest.raises(FitFailed, match="2 or more records"):
        KDE().fit(Batch.of(np.zeros((2, 1, 1))), key=Key(0))
    with pytest.raises(FitFailed, match="equal"):
        KDE().fit(Batch.of(np.zeros((2, 3, 1))), key=Key(0))
    with pytest.raises(FitFailed, match="not finite"):
        KDE(bandwidth=1.0).fit(Batch.of(np.array([[[np.nan]]])), key=Key(0))
    with pytest.raises(DataError, match="vectors"):
        KDE(bandwidth=1.0).fit(Batch.of(np.zeros((2, 3))), key=Key(0))
