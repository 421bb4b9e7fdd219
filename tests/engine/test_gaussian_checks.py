"""The sheets' checks of Gaussian loops, run by the engine. Sheets count refits from the truth: t refits are
our generation t - 1, and checks that start from a known law use `initial_model`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

GAUSSIAN = {"data": {"kind": "gaussian"}}


def variance(model):
    return model.variances.mean(axis=1)


def deviation(model):
    return np.sqrt(model.variances[:, 0])


def squared_mean(model):
    return (model.mean**2).sum(axis=1)


def w2(model):
    return model.mean[:, 0] ** 2 + (deviation(model) - 1) ** 2


def log_variance(model):
    return np.log(model.variances[:, 0])


def replace(n, ddof=1, path="auto", **more):
    return {
        **GAUSSIAN,
        "learner": {"kind": "gaussian", "ddof": ddof, "path": path},
        "workflow": {"kind": "replace", "sample_size": n},
        **more,
    }


def test_r2_standard_deviation_and_distance(course, close):
    found = course(
        lambda m: np.stack([deviation(m), w2(m)], axis=1), [29], **replace(50), replicates=400_000
    )[29]
    close(found[:, 0], 0.85809, 0.005)
    close(found[:, 1], 0.88383, 0.015)


def test_r3_variance_stays_while_distance_grows(course, close):
    found = course(lambda m: np.stack([variance(m), w2(m)], axis=1), [9], **replace(100), replicates=300_000)[
        9
    ]
    close(found[:, 0], 1.0, 0.005)
    close(found[:, 1], 0.149872, 0.01)


@pytest.mark.parametrize("t, mean, spread", [(20, -2.30413, 4.97450)])
def test_r4_and_n2_log_variance(course, close, t, mean, spread):
    found = course(log_variance, [t - 1], **replace(10), replicates=400_000)[t - 1]
    close(found, mean, 0.0065)
    close((found - found.mean()) ** 2, spread, 0.02)


def test_n2_mean_deviation(course, close):
    close(course(deviation, [19], **replace(10), replicates=400_000)[19], 0.57440, 0.02)


def test_n3_tail_is_below_every_bound(course):
    found = course(deviation, [199], **replace(10), replicates=40_000)[199]
    share = (found > 0.1).mean()
    error = np.sqrt(share * (1 - share) / len(found))
    assert 0.002 + 4 * error <= 0.008 and 0.002 <= share <= 0.008
    assert share < 0.03050 < 0.03910 < 0.05927


def test_r5_log_determinant_in_three_dimensions(course, close):
    spec = replace(12, data={"kind": "gaussian", "dim": 3, "cov": [[1, 0, 0], [0, 2, 0], [0, 0, 0.5]]})
    found = course(lambda m: m.log_det(), [14], **spec, replicates=120_000)[14]
    close(found, -9.12244, 0.09, relative=False)
    close((found - found.mean()) ** 2, 10.0409, 0.04)


def test_r7_and_n1_maximum_likelihood(course, close):
    """The mean variance is carried by rare replicates; the conserved second moment is not."""
    found = course(
        lambda m: np.stack([variance(m), squared_mean(m)], axis=1), [24], **replace(20, 0), replicates=600_000
    )
    close(found[24][:, 1], 0.722610, 0.03)
    close(found[24][:, 0], 0.277390, 0.03)
    both = course(
        lambda m: np.stack([variance(m), squared_mean(m)], axis=1),
        [19],
        **replace(10, 0),
        replicates=1_000_000,
    )
    close(both[19][:, 0], 0.12158, 0.03)
    close(both[19][:, 1], 0.87842, 0.03)
    close(both[19].sum(axis=1), 1.0, 0.03)


@pytest.mark.parametrize("path", ["samples", "statistics"])
@pytest.mark.parametrize("n, at, expected", [(10, 29, 0.8462), (4, 29, 0.6419)])
def test_n4_n5_accumulate(course, close, path, n, at, expected):
    spec = {
        **GAUSSIAN,
        "learner": {"kind": "gaussian", "path": path},
        "workflow": {"kind": "accumulate", "sample_size": n},
        "replicates": 120_000 if path == "statistics" else 80_000,
    }
    found = course(lambda m: np.stack([variance(m), squared_mean(m)], axis=1), [at], **spec)[at]
    close(found[:, 0], expected, 0.02)
    close(found.sum(axis=1), 1.0, 0.02)


def test_n5_mean(course, close):
    spec = {
        **GAUSSIAN,
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "accumulate", "sample_size": 4},
        "replicates": 200_000,
    }
    close(course(squared_mean, [29], **spec)[29], 0.3581, 0.02)


def test_n6_subsample_converges_to_a_positive_level(course, close):
    spec = {
        **GAUSSIAN,
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "accumulate_subsample", "sample_size": 10},
        "replicates": 30_000,
    }
    found = course(lambda m: np.stack([variance(m), squared_mean(m)], axis=1), [0, 4, 19], **spec)
    for generation, expected in ((0, 0.9000), (4, 0.7793), (19, 0.7495)):
        close(found[generation][:, 0], expected, 0.03)
        close(found[generation].sum(axis=1), 1.0, 0.03)


class ExactMoments:
    """n real records of mean exactly 0 and variance exactly 1, the same for all: what R14 and R15 condition
    on."""

    unlimited, domain, truth, dim, shape = False, "vectors", None, 1, (1,)

    def __init__(self, n):
        x = np.random.default_rng(5).standard_normal(n)
        self.x = ((x - x.mean()) / x.std())[:, None]

    def train(self):
        from autophage.samples import Samples

        return Samples.of(self.x)

    reference = train


def test_r14_real_set_kept_conserves_the_second_moment(course, close):
    spec = {
        "data": ExactMoments(20),
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "mix", "synthetic_ratio": 1.0},
    }
    found = course(
        lambda m: np.stack([squared_mean(m), variance(m)], axis=1), [30], **spec, replicates=200_000
    )[30]
    close(found[:, 0], 0.0163934, 0.015)
    close(found[:, 1], 0.9836066, 0.002)
    kappa = 1 / (20 * 3)
    close(found[:, 1], 1 / (1 + kappa), 0.002)


@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_r15_forgets_its_start(course, close, path):
    spec = {
        "data": ExactMoments(20),
        "learner": {"kind": "gaussian", "path": path},
        "workflow": {"kind": "mix", "synthetic_ratio": 0.5},
        "initial_model": {"mean": 2.0, "var": 4.0},
    }
    found = course(
        lambda m: np.stack([squared_mean(m), variance(m), m.mean[:, 0]], axis=1),
        [3],
        **spec,
        replicates=400_000,
    )[3]
    close(found[:, 0], 0.0283457, 0.01)
    close(found[:, 1], 1.230914, 0.003)
    close(found[:, 2], 0.0740741, 0.02)


def test_r16_known_variance_and_random_real_set(course, close):
    spec = {
        **GAUSSIAN,
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "mix", "synthetic_ratio": 1.0, "initial_size": 25},
    }
    close(course(squared_mean, [60], **spec, replicates=400_000)[60], 0.0533333, 0.01)


def test_r17_sampling_bias(course, close):
    spec = replace(50, sampling={"bias": 0.9}, initial_model={"mean": 0, "var": 1})
    found = course(
        lambda m: np.stack([variance(m), squared_mean(m)], axis=1), [10], **spec, replicates=500_000
    )[10]
    close(found[:, 0], 0.348678, 0.01)
    close(found[:, 1], 0.117238, 0.01)


def fresh(n, share, **more):
    return {
        **GAUSSIAN,
        "learner": {"kind": "gaussian", "ddof": 1},
        "workflow": {"kind": "fresh", "sample_size": n, "real_share": share, "counts": "exact"},
        **more,
    }


@pytest.mark.parametrize(
    "spec, at, second, v",
    [
        (fresh(250, 0.2), 60, 0.0111910, 1.0089888),
        (fresh(200, 0.1, sampling={"bias": 0.9}), 80, 0.0139924, 0.5329772),
    ],
)
def test_r18_r19_fresh_data_limits(course, close, spec, at, second, v):
    found = course(
        lambda m: np.stack([squared_mean(m), variance(m)], axis=1), [at], **spec, replicates=180_000
    )[at]
    close(found[:, 0], second, 0.015)
    close(found[:, 1], v, 0.003)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bias, start, expected, width", [(1.0, 100, 12.2, 0.8), (0.8, 100, 20.65, 0.4), (0.8, 1000, 20.65, 0.4)]
)
def test_r20_fresh_limit_does_not_depend_on_the_start(course, bias, start, expected, width):
    """d = 100, full covariance from 100 real and 900 own samples."""
    from autophage.metrics.frechet import gaussian_w2_squared

    spec = fresh(1000, 0.1, sampling={"bias": bias})
    spec["data"] = {"kind": "gaussian", "dim": 100}
    spec["workflow"] = {**spec["workflow"], "initial_size": start}
    spec["learner"] = {"kind": "gaussian", "ddof": 1, "ridge": 1e-9 if start <= 100 else 0.0}
    at = list(range(40, 61, 4))
    eye = np.eye(100)[None]

    def distance(m):
        return gaussian_w2_squared(m.mean, m.covariance(), np.zeros((1, 100)), eye)

    found = course(distance, at, **spec, replicates=6)
    assert abs(np.mean(list(found.values())) - expected) <= width


def test_bartlett_below_full_rank_has_the_wisharts_moments(course):
    """n <= d: the scatter of n records has rank n - 1 and mean (n - 1) I."""
    from autophage.keys import Key
    from autophage.learners.gaussian import Gaussian, GaussianModel

    R, d, n = 20_000, 4, 3
    model = GaussianModel(np.zeros((R, d)), factor=np.broadcast_to(np.eye(d), (R, d, d)))
    drawn = Gaussian(ridge=1e-6).refit(model, n, Key(1))
    scatter = drawn.root @ np.swapaxes(drawn.root, 1, 2)
    assert np.linalg.matrix_rank(scatter[0]) == n - 1
    error = np.sqrt(2 * (n - 1) / R)
    np.testing.assert_allclose(scatter.mean(axis=0), (n - 1) * np.eye(d), atol=5 * error)
    trace = np.trace(scatter, axis1=1, axis2=2)
    assert abs(trace.var() - 2 * d * (n - 1)) < 5 * 2 * d * (n - 1) * np.sqrt(2 / R) * 2


def test_c_of_n_is_the_factor_of_one_refit(course, close):
    n = 5
    c = np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))
    assert c == pytest.approx(0.9399856, abs=1e-7)
    close(course(deviation, [0], **replace(n), replicates=200_000)[0], c, 0.004)
