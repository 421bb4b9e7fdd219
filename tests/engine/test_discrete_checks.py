"""The sheets' checks of discrete loops, run by the engine. k-th generations of the sheets are our generation
k - 1."""

from __future__ import annotations

import numpy as np
import pytest


def zipf(K, exponent=1.0):
    weights = np.arange(1, K + 1) ** -float(exponent)
    return weights / weights.sum()


def gini(model):
    return 1 - (model.probabilities**2).sum(axis=1)


def alive(model):
    return (model.mean[:, 0] > 0).astype(float)


def replace(data, learner, n, **more):
    return {
        "data": data,
        "learner": {"kind": learner},
        "workflow": {"kind": "replace", "sample_size": n},
        **more,
    }


def test_r8_symbols_are_lost_and_diversity_decays(course, close):
    q = [0.4, 0.3, 0.15, 0.1, 0.04, 0.01]
    spec = replace({"kind": "categorical", "probabilities": q}, "categorical", 50, replicates=100_000)
    found = course(lambda m: np.column_stack([m.probabilities == 0, gini(m)]), [0, 29], **spec)
    close(found[0][:, 4], 0.12989, 0.005, relative=False)
    close(found[0][:, 5], 0.60501, 0.0065, relative=False)
    close(found[29][:, 6], 0.390458, 0.003, relative=False)


@pytest.mark.parametrize("path", ["samples", "statistics"])
def test_d1_sum_of_squares(course, close, path):
    spec = replace(
        {"kind": "categorical", "zipf": {"symbols": 10, "exponent": 1}}, "categorical", 50, replicates=40_000
    )
    spec["learner"]["path"] = path
    found = course(lambda m: (m.probabilities**2).sum(axis=1), [0, 9, 29], **spec)
    for generation, expected in ((0, 0.19704), (9, 0.33053), (29, 0.55306)):
        close(found[generation], expected, 0.01)


@pytest.mark.parametrize(
    "n, p, at, expected",
    [
        (20, 0.3, [9, 59], [0.70113, 0.05421]),
        (100, 0.01, [0, 4, 19, 49], [0.63397, 0.27101, 0.09087, 0.04112]),
    ],
)
def test_d2_d6_bernoulli_survival(course, n, p, at, expected):
    """D2 is the chance of a non-zero frequency, D6 of neither 0 nor 1."""
    spec = replace({"kind": "bernoulli", "probability": p}, "bernoulli", n, replicates=100_000)
    undecided = p == 0.3
    found = course(lambda m: (m.mean[:, 0] > 0) & ((m.mean[:, 0] < 1) | (not undecided)), at, **spec)
    for generation, value in zip(at, expected, strict=True):
        share = found[generation].mean()
        assert abs(share - value) <= 4 * np.sqrt(value * (1 - value) / 100_000)


def test_d4_poisson_survival(course, close):
    spec = replace({"kind": "poisson", "rate": 1.0}, "poisson", 10, replicates=300_000)
    found = course(alive, [0, 4, 19], **spec)
    for generation, expected in ((0, 0.99995), (4, 0.95588), (19, 0.60006)):
        close(found[generation], expected, 0.004, relative=False)


def test_d5_distinct_symbols_stay_above_their_bound(course):
    spec = replace(
        {"kind": "categorical", "zipf": {"symbols": 200, "exponent": 1}}, "categorical", 300, replicates=5_000
    )
    found = course(lambda m: (m.probabilities > 0).sum(axis=1), [0, 4, 9], **spec)
    for generation, bound in ((0, 97.14), (4, 47.20), (9, 30.90)):
        values = found[generation]
        error = values.std() / np.sqrt(len(values))
        assert bound - 4 * error <= values.mean() <= 1.02 * bound + 4 * error


class NearlyZipf:
    """200 real records, the same for all, with frequencies as near to Zipf's as whole numbers get."""

    unlimited, domain, truth, dim, shape = False, "symbols", None, 10, (10,)
    counts = np.array([68, 34, 23, 17, 14, 11, 10, 8, 8, 7])

    def train(self):
        from autophage.samples import Samples

        return Samples.of(np.repeat(np.arange(10), self.counts))

    reference = train


def test_d7_partially_synthetic(course, close):
    """N = 200 fixed real records of frequencies q, n = 300 synthetic: E||p - q||^2 after 15 rounds, which is in proportion to
    1 - ||q||^2."""
    q = NearlyZipf.counts / 200
    spec = {
        "data": NearlyZipf(),
        "learner": {"kind": "categorical"},
        "workflow": {"kind": "mix", "synthetic_ratio": 1.5},
        "replicates": 14_000,
    }
    found = course(lambda m: ((m.probabilities - q) ** 2).sum(axis=1), [15], **spec)[15]
    close(found * (1 - (zipf(10) ** 2).sum()) / (1 - (q**2).sum()), 1.53341e-3, 0.02)


@pytest.mark.parametrize(
    "data, learner, truth, expected",
    [
        ({"kind": "exponential", "mean": 1.0}, "exponential", 1.0, 0.041117),
        ({"kind": "poisson", "rate": 1.0}, "poisson", 1.0, 0.040628),
        ({"kind": "bernoulli", "probability": 0.3}, "bernoulli", 0.3, 0.0084302),
    ],
)
def test_n7_iterative_maximum_likelihood(course, close, data, learner, truth, expected):
    spec = {
        "data": data,
        "learner": {"kind": learner},
        "workflow": {"kind": "accumulate", "sample_size": 40},
        "replicates": 60_000,
    }
    close(course(lambda m: (m.mean[:, 0] - truth) ** 2, [49], **spec)[49], expected, 0.03)


@pytest.mark.parametrize(
    "tau, expected",
    [(0.9, (0.63636, 0.26792, 0.08283, 0.01289)), (1.2, (0.35371, 0.28806, 0.21803, 0.14021))],
)
def test_h1_h2_temperature_on_a_large_sample(course, tau, expected):
    """Five replacements at a sampling temperature, n large enough that the infinite-sample course holds."""
    spec = replace(
        {"kind": "categorical", "probabilities": [0.5, 0.3, 0.15, 0.05]},
        "categorical",
        10**9,
        replicates=50,
        sampling={"temperature": tau},
        initial_model={"probabilities": [0.5, 0.3, 0.15, 0.05]},
    )
    found = course(lambda m: m.probabilities, [5], **spec)[5]
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=5e-5)


def test_h5_polya(course, close):
    p = np.array([0.5, 0.3, 0.15, 0.05])
    spec = {
        "data": {"kind": "categorical", "probabilities": p.tolist()},
        "learner": {"kind": "categorical"},
        "workflow": {"kind": "accumulate", "sample_size": 10},
        "replicates": 100_000,
    }
    found = course(lambda m: (m.probabilities - p) ** 2, [29], **spec)[29]
    for i, expected in enumerate((0.03845, 0.03230, 0.01961, 0.00731)):
        close(found[:, i], expected, 0.04)


@pytest.mark.parametrize("counts", ["mixture", "exact"])
def test_fresh_share_of_categorical_records_follows_its_exact_recursion(course, close, counts):
    """E||p_t - q||^2 with real share a and n records: the law of total variance, mixture and exact counts
    apart."""
    q, n, a, T = zipf(8), 60, 0.2, 6
    second = float((q**2).sum())
    error = (1 - second) / n
    for _ in range(1, T):
        synthetic = 1 - second - error  # E(1 - ||p||^2), p unbiased for q
        if counts == "exact":
            error = (1 - a) ** 2 * error + (a * (1 - second) + (1 - a) * synthetic) / n
        else:
            # One record's law is a q + (1 - a) p, whose spread about q is (1 - a)^2 error.
            mixed = 1 - second - (1 - a) ** 2 * error
            error = (1 - a) ** 2 * error + mixed / n
    spec = {
        "data": {"kind": "categorical", "zipf": {"symbols": 8, "exponent": 1}},
        "learner": {"kind": "categorical"},
        "workflow": {"kind": "fresh", "sample_size": n, "real_share": a, "counts": counts},
        "replicates": 60_000,
    }
    for path in ("statistics", "samples"):
        spec["learner"] = {"kind": "categorical", "path": path}
        close(course(lambda m: ((m.probabilities - q) ** 2).sum(axis=1), [T - 1], **spec)[T - 1], error, 0.02)
