"""Corrected loops: the sheet's values, and the formulas against the uncorrected loop and against a matrix recursion."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import corrected, moments_mixed, stability
from autophage.theory.moments import Refit
from autophage.theory.population import contraction_factor

GAMMAS = (0, 0.3, 1, 5)
INF = float("inf")


def test_g1_thresholds():
    found = [corrected.threshold(g) for g in GAMMAS]
    np.testing.assert_allclose(found, [0.5, 0.5652174, 0.6666667, 0.8571429], atol=1e-6)
    assert corrected.threshold(INF) == 1
    assert corrected.threshold(0) == stability.LARGEST_PROVABLE_RATIO


def test_g2_factors():
    found = [corrected.corrected(0.3, 0.1, 2, 1, g).rate for g in GAMMAS]
    np.testing.assert_allclose(found, [0.5625, 0.4326923, 0.28125, 0.09375], atol=1e-6)
    assert corrected.corrected(0.3, 0.1, 2, 1, INF).rate == 0


def test_without_correction_it_is_iterative_retraining():
    for ratio, eps in ((0.3, 0.1), (0.45, 0.2), (0.1, 0.0)):
        plain, found = stability.stability(ratio, eps, 2, 1), corrected.corrected(ratio, eps, 2, 1, 0)
        assert found.guarantee == plain.guarantee and found.largest_ratio == plain.largest_ratio
        assert (found.rate is None) == (plain.rate is None)
        if plain.rate is not None:
            assert found.rate == pytest.approx(plain.rate)
    assert corrected.contraction(0.7, 0) == contraction_factor(0.7)
    unit = Refit(real=1.0, known=1.0)
    np.testing.assert_allclose(
        corrected.gaussian_mean_error(50, 25, 0, 12),
        moments_mixed.mix(unit, 50, np.full(11, 25.0), 50).squared_error,
        rtol=1e-12,
    )


@pytest.mark.parametrize("strength", [0, 0.3, 1, 5, 100, INF])
def test_the_condition_holds_exactly_where_the_factor_is_below_one(strength):
    limit = corrected.corrected(0.1, 0.1, 2, 1, strength).largest_ratio
    inside, outside = (corrected.corrected(limit * f, 0.1, 2, 1, strength) for f in (0.999, 1.001))
    assert inside.guarantee and 0 <= inside.rate < 1 and not outside.guarantee and outside.rate is None
    assert limit * 1.2 == pytest.approx(corrected.threshold(strength))


@pytest.mark.parametrize(
    ("n", "ratio", "strength", "expected"),
    [
        (50, 0.5, 0, 0.0250000),
        (50, 0.5, 0.3, 0.0208509),
        (50, 0.5, 1, 0.0173913),
        (50, 0.5, 5, 0.0144325),
        (20, 1, 0.5, 0.0423197),
    ],
    ids=["g3-0", "g3-0.3", "g3-1", "g3-5", "g4"],
)
def test_g3_g4_gaussian_mean(n, ratio, strength, expected):
    limit = corrected.gaussian_mean_limit(n, ratio * n, strength)
    assert limit == pytest.approx(expected, abs=6e-8)
    assert corrected.gaussian_mean_error(n, ratio * n, strength, 60)[-1] == pytest.approx(limit, rel=1e-10)


@pytest.mark.parametrize("strength", [0, 0.5, 3, INF])
def test_the_mean_by_its_linear_recursion(strength):
    """Second moments of (xbar, mu) by the 2 x 2 transition matrix and the noise of m records, replacements included."""
    n, m = 30, 45
    w, q = m / (n + m), corrected.replaced_share(strength)
    step = np.array([[1, 0], [1 - w, w * (1 - q)]])
    second = np.full((2, 2), 1 / n)
    found = [second[1, 1]]
    for _ in range(20):
        # A corrected record has mean (1-q) mu and variance 1 + q (1-q) mu^2.
        noise = w**2 * (1 + q * (1 - q) * second[1, 1]) / m
        second = step @ second @ step.T + np.diag([0, noise])
        found.append(second[1, 1])
    np.testing.assert_allclose(corrected.gaussian_mean_error(n, m, strength, 21), found, rtol=1e-12)


def test_an_oracle_may_beat_the_real_records():
    assert corrected.gaussian_mean_limit(50, 25, 0) > 1 / 50 > corrected.gaussian_mean_limit(50, 25, 1)
    limit = [corrected.gaussian_mean_limit(50, 25, g) for g in (0, 0.1, 0.3, 1, 5, INF)]
    assert (np.diff(limit) < 0).all()
    assert limit[-1] == pytest.approx((2 / 3) ** 2 / 50 + (1 / 3) ** 2 / 25)


def test_a_corrector_that_draws_from_the_real_records_never_beats_them():
    """The engine's own loop with an empirical corrector settles there."""
    import autophage

    assert corrected.empirical_mean_limit(50, 25, 0) == pytest.approx(
        corrected.gaussian_mean_limit(50, 25, 0)
    )
    found = (
        autophage.run(
            seed=4,
            replicates=1500,
            generations=8,
            data={"kind": "gaussian", "dim": 32},
            learner={"kind": "gaussian", "covariance": "known"},
            workflow={"kind": "mix", "real": 20, "synthetic_ratio": 1},
            curation=[{"kind": "correction", "strength": 0.5, "corrector": "empirical"}],
            metrics=["squared_mean_error"],
        )
        .metrics.filter(generation=7)["value"]
        .to_numpy()
    )
    expected = 32 * corrected.empirical_mean_limit(20, 20, 0.5)
    assert (
        expected > 32 / 20
        and abs(found.mean() - expected) < 4 * found.std() / np.sqrt(1500) < 0.03 * expected
    )


def test_the_error_bound_is_the_uncorrected_one_with_the_faster_factor():
    found = corrected.corrected(0.3, 0.1, 2, 1, 1)
    bound = corrected.parameter_error_bound(found, 4, start=0.5, n=1e30)
    np.testing.assert_allclose(bound, 0.5 * 0.28125 ** np.arange(4), rtol=1e-9)
    hopeless = corrected.corrected(2.0, 0.1, 2, 1, 1)
    assert np.isinf(corrected.parameter_error_bound(hopeless, 3, start=0.5, n=100)).all()


def test_contraction():
    assert corrected.contraction(1, 1) == 0.25 and corrected.contraction(3, INF) == 0


@pytest.mark.parametrize("strength", [-0.1, float("nan"), -INF])
@pytest.mark.parametrize(
    "call",
    [
        corrected.threshold,
        corrected.replaced_share,
        lambda g: corrected.corrected(0.1, 0.1, 1, 1, g),
        lambda g: corrected.contraction(0.5, g),
        lambda g: corrected.gaussian_mean_limit(10, 5, g),
        lambda g: corrected.gaussian_mean_error(10, 5, g, 3),
    ],
    ids=["threshold", "share", "stability", "contraction", "limit", "course"],
)
def test_e_bad_strength(call, strength):
    with pytest.raises(SpecError, match="correction strength is .*; it must be zero or more, or inf"):
        call(strength)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (10, 0), (float("nan"), 5), (10, INF)])
def test_bad_sizes(n, m):
    with pytest.raises(SpecError, match="finite number above zero"):
        corrected.gaussian_mean_limit(n, m, 1)
