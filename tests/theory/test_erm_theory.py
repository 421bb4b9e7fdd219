"""Mean estimation from contaminated rounds in closed form: B1-B6, B8, B9 and the bad input of B.7."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autophage.errors import SpecError
from autophage.theory import erm

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("contamination", "rounds", "plain", "best"),
    [
        (0, 50, 0.02000, 0.02000),
        (0.3, 100, 0.02270, 0.02020),
        (0.5, 100, 0.05611, 0.03883),
        (0.7, 100, 0.18903, 0.10091),
        (0.9, 200, 0.68130, 0.33445),
        (1, 200, 1.63995, 1.00000),
    ],
    ids=["B1", "B2", "B3", "B4", "B5", "B6"],
)
def test_b1_to_b6_in_closed_form(contamination, rounds, plain, best):
    assert erm.variance(rounds, contamination) == pytest.approx(plain, abs=6e-6)
    assert erm.optimal_variance(rounds, contamination) == pytest.approx(best, abs=6e-6)


@pytest.mark.parametrize("contamination", [0.3, 0.95])
def test_b8_closed_form_is_the_recursion_up_to_a_million(contamination):
    gains = 1 / np.arange(1, 10**6 + 1)
    course = erm.variance_course(10**6, contamination)
    np.testing.assert_allclose(course, erm.variance_for_gains(gains, contamination), rtol=1e-9)
    assert erm.variance(10**6, contamination) == course[-1]


@given(contamination=SHARES)
@settings(max_examples=30, deadline=None)
def test_b8_closed_form_is_the_recursion_for_any_share(contamination):
    gains = 1 / np.arange(1, 2001)
    np.testing.assert_allclose(
        erm.variance_course(2000, contamination), erm.variance_for_gains(gains, contamination), rtol=1e-9
    )


def test_b9_the_parametric_rate():
    assert 10**6 * erm.variance(10**6, 0.3) == pytest.approx(2.5, rel=0.005)
    assert erm.rate(0.3).constant == pytest.approx(2.5)


@pytest.mark.parametrize("contamination", [0.1, 0.25, 0.75, 0.85, 1.0])
def test_the_course_has_its_rate(contamination):
    found = erm.rate(contamination)
    assert not found.logarithm
    t = 10**6
    assert erm.variance(t, contamination) == pytest.approx(found.constant * t**found.exponent, rel=2e-3)


def test_the_critical_rate_has_a_logarithm():
    """t v_t - ln t settles, so that the first term of v_t is ln(t)/t."""
    t = np.array([10**5, 10**6])
    found = erm.rate(0.5)
    assert found == erm.Rate("critical", -1.0, 1.0, True)
    left = t * erm.variance(t, 0.5) - np.log(t)
    assert left[1] == pytest.approx(left[0], abs=1e-4)


def test_constants_of_the_slow_regime():
    """C(0.7) is about 3.39, 3.388 where t = 1e6; and C(a) lies between bounds on the rest of its sum (Gautschi)."""
    assert erm.rate(0.7).constant == pytest.approx(3.39, abs=0.01)
    assert 10**3.6 * erm.variance(10**6, 0.7) == pytest.approx(3.388, abs=0.001)
    assert erm.rate(1).constant == pytest.approx(np.pi**2 / 6, rel=1e-12)
    N = 10**5
    for a in (0.6, 0.7, 0.9):
        part = (erm.variance(N + 1, a) - (N + 1) ** -2.0) * _quotient(N, a)
        low = part + (N + a) ** (1 - 2 * a) / (2 * a - 1)
        high = part + N ** (1 - 2 * a) / (2 * a - 1)
        assert low < erm.rate(a).constant < high


def _quotient(N, a):
    """(Gamma(t+1)/Gamma(t+a))^2 at t = N + 1, as a product."""
    k = np.arange(1, N + 1)
    from scipy.special import gamma

    return ((N + 1) * np.exp(np.log(k / (k + a)).sum()) / gamma(1 + a)) ** 2


@given(contamination=SHARES, rounds=st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_knowing_more_never_hurts(contamination, rounds):
    """Told which records are natural, knowing only how many there are, knowing nothing."""
    told = erm.provenance_variance(rounds, contamination)
    best = erm.optimal_variance(rounds, contamination)
    plain = erm.variance(rounds, contamination)
    assert told <= best * (1 + 1e-12) and best <= plain * (1 + 1e-12)


def test_the_advantage_of_the_best_weights_tends_to_its_limit():
    a, t = 0.3, 10**6
    assert erm.variance(t, a) / erm.optimal_variance(t, a) == pytest.approx(
        (1 - a) ** 2 / (1 - 2 * a), rel=0.005
    )


@given(contamination=SHARES, seed=st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_no_other_gains_beat_the_best_ones(contamination, seed):
    best = erm.optimal_gain(np.arange(1, 31), contamination)
    course = erm.variance_for_gains(best, contamination)
    np.testing.assert_allclose(course, erm.optimal_variance(np.arange(1, 31), contamination), rtol=1e-12)
    other = best + 0.05 * np.random.default_rng(seed).standard_normal(30)
    other[0] = 1
    assert erm.variance_for_gains(other, contamination)[-1] >= course[-1]


@given(contamination=SHARES, rounds=st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_implied_weights_are_a_mean(contamination, rounds):
    weights = erm.implied_weights(erm.optimal_gain(np.arange(1, rounds + 1), contamination))
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)


def test_implied_weights_are_what_the_recursion_does():
    gains = np.array([1, 0.4, 0.9, 0.2, 0.0])
    X = np.random.default_rng(0).standard_normal(5)
    Y = 0.0
    for K, x in zip(gains, X, strict=True):
        Y += K * (x - Y)
    assert erm.implied_weights(gains) @ X == pytest.approx(Y)


@given(true=SHARES, slack=SHARES)
@settings(max_examples=50, deadline=None)
def test_an_assumed_upper_bound_is_a_guarantee(true, slack):
    assumed = true + slack * (1 - true)
    course = erm.mismatched_variance(100, assumed, true)
    t = np.arange(1, 101)
    assert (course <= erm.optimal_variance(t, assumed) * (1 + 1e-12)).all()
    assert (course >= erm.optimal_variance(t, true) * (1 - 1e-12)).all()


def test_an_assumed_lower_bound_is_none():
    assert erm.mismatched_variance(100, 0.3, 0.7)[-1] > erm.optimal_variance(100, 0.3)
    assert erm.mismatched_variance(100, 0, 0.7) == pytest.approx(erm.variance_course(100, 0.7))


# Rounds of unequal size


def test_equal_rounds_have_the_gains_of_equal_rounds():
    found = erm.unequal_rounds(np.ones(50), 0.7)
    np.testing.assert_allclose(found.gains, erm.optimal_gain(np.arange(1, 51), 0.7), rtol=1e-12)
    assert not found.capped.any()


def test_precisions_are_those_of_pooled_unbiased_means():
    sizes, shares = np.array([30, 10, 25, 0, 40]), np.array([0, 0.2, 0.5, 0.9, 0.6])
    found = erm.unequal_rounds(sizes, shares)
    np.testing.assert_allclose(found.precisions, np.cumsum(sizes * (1 - shares) ** 2), rtol=1e-12)
    assert found.gains[3] == 0 and not found.capped.any()


@given(
    sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=20),
    contamination=SHARES,
)
@settings(max_examples=100, deadline=None)
def test_reported_precisions_are_those_of_the_reported_gains(sizes, contamination):
    sizes[0] += 1
    found = erm.unequal_rounds(sizes, contamination)
    course = erm.variance_for_gains(found.gains, contamination, sizes=sizes)
    np.testing.assert_allclose(1 / found.precisions, course, rtol=1e-9)
    assert (found.gains <= 1).all() and (found.gains[found.capped] == 1).all()


def test_a_gain_above_one_is_capped_and_reported():
    found = erm.unequal_rounds([10, 1000], 0.5)
    assert found.capped.tolist() == [False, True] and found.gains[1] == 1
    assert found.precisions[1] < 10 + 1000 * 0.25  # what the gain of 1.92 would have had
    free = erm.variance_for_gains([1, 500 / 260], 0.5, sizes=[10, 1000])
    assert free[1] == pytest.approx(1 / 260)


# Bad input


@pytest.mark.parametrize("contamination", [-0.01, 1.01, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "function", ["variance", "optimal_gain", "optimal_variance", "provenance_variance", "variance_course"]
)
def test_b7_contamination_outside_the_unit_interval(function, contamination):
    with pytest.raises(SpecError, match=r"contamination is .*\[0, 1\]"):
        getattr(erm, function)(3, contamination)


@pytest.mark.parametrize("contamination", [-0.01, 1.01, float("nan"), [0, 0.5, 2]])
def test_b7_contamination_outside_the_unit_interval_of_courses(contamination):
    with pytest.raises(ValueError, match="contamination is"):
        erm.variance_for_gains([1, 0.5, 0.3], contamination)
    with pytest.raises(ValueError, match="contamination is"):
        erm.unequal_rounds([5, 5, 5], contamination)


def test_other_bad_input_is_refused():
    for call, words in [
        (lambda: erm.rate(1.5), "contamination is 1.5"),
        (lambda: erm.variance(0, 0.5), "count from 1"),
        (lambda: erm.variance(2.5, 0.5), "whole numbers"),
        (lambda: erm.mismatched_variance(5, 1.5, 0.5), "assumed is 1.5"),
        (lambda: erm.variance_for_gains([0.5, 0.5], 0.5), "first gain"),
        (lambda: erm.variance_for_gains([1, float("nan")], 0.5), "finite"),
        (lambda: erm.variance_for_gains([1, 0.5], 0.5, sizes=[1, 0]), "without records"),
        (lambda: erm.variance_for_gains([1, 0.5], [0.5] * 3), "shape"),
        (lambda: erm.unequal_rounds([0, 5], 0.5), "size of round 1"),
        (lambda: erm.unequal_rounds([5, -1], 0.5), "size of round 2"),
        (lambda: erm.unequal_rounds([], 0.5), "one number of records per round"),
        (lambda: erm.implied_weights([]), "gains must be"),
    ]:
        with pytest.raises(SpecError, match=words):
            call()
