"""A fixed weight between fresh real and newest synthetic records: C1-C4 in closed form, and C's bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autophage.errors import SpecError
from autophage.theory.golden_ratio import best_weight, limit_variance, pooled_weight, variance_course
from autophage.theory.linear import error_covariance

COUNTS = st.integers(1, 10**6)


@pytest.mark.parametrize(
    ("real", "synthetic", "weight", "variance"),
    [(100, 100, 0.618034, 0.00618034), (100, 400, 0.390388, 0.00390388), (50, 10, 0.854102, 0.0170820)],
    ids=["C1", "C2", "C3"],
)
def test_c1_to_c3_in_closed_form(real, synthetic, weight, variance):
    best = best_weight(real, synthetic)
    assert best == pytest.approx(weight, abs=5e-7)
    assert limit_variance(best, real, synthetic) == pytest.approx(variance, rel=1e-5)
    assert limit_variance(best, real, synthetic) == pytest.approx(best / real, rel=1e-12)


def test_c4_pooling_is_worse():
    assert pooled_weight(100, 100) == 0.5
    assert limit_variance(0.5, 100, 100) == pytest.approx(0.00666667, abs=5e-9)


@given(real=COUNTS, synthetic=COUNTS, other=st.floats(1e-3, 1))
def test_no_weight_beats_the_best(real, synthetic, other):
    best = best_weight(real, synthetic)
    k = real / synthetic
    assert best == pytest.approx((np.sqrt(k * k + 4 * k) - k) / 2, rel=1e-4)
    least = limit_variance(best, real, synthetic)
    assert limit_variance(other, real, synthetic) >= least * (1 - 1e-9)
    assert best > pooled_weight(real, synthetic)


@given(real=COUNTS, synthetic=COUNTS, weight=st.floats(0.2, 1), start=st.floats(0, 10))
def test_courses_settle_from_any_start(real, synthetic, weight, start):
    course = variance_course(weight, real, synthetic, start=start, rounds=200)
    limit = limit_variance(weight, real, synthetic)
    assert course[0] == start and course[-1] == pytest.approx(limit, rel=1e-6)


def test_the_course_is_the_linear_predictors():
    """Its weights are shares of a training set: replace with a fresh real part."""
    w, n, m, G = np.array([0.3, 0.8, 0.5, 0.1]), np.array([7, 9, 2, 30]), np.array([4, 6, 8, 3]), 5
    A = np.zeros((G, G))
    A[0, 0] = 1
    A[np.arange(1, G), np.arange(1, G)] = 1 - w
    found = error_covariance(A, [20, *m], fresh_shares=[0, *w], fresh_sizes=[0, *n])
    course = variance_course(w, n, m, start=1 / 20, rounds=4)
    np.testing.assert_allclose(course, np.diag(found), rtol=1e-12)


def test_without_synthetic_records_the_weight_is_one():
    assert best_weight(50, 0) == pooled_weight(50, 0) == 1
    assert limit_variance(1, 50, 0) == variance_course(1, 50, 0, start=3, rounds=1)[-1] == 1 / 50


def test_a_single_round_may_do_without_real_records():
    course = variance_course([0, 0.5], [0, 10], 10, start=0.1, rounds=2)
    assert course.tolist() == pytest.approx([0.1, 0.2, 0.025 + 0.25 * 0.3])


# Bad input


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), float("inf")])
def test_c_a_weight_outside_the_unit_interval(weight):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        limit_variance(weight, 100, 100)
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        variance_course(weight, 100, 100, start=0.1, rounds=3)


def test_c_a_weight_of_zero_grows_without_bound():
    with pytest.raises(ValueError, match="grows without bound"):
        limit_variance(0, 100, 100)
    with pytest.raises(ValueError, match="grows without bound"):
        variance_course(0, 100, 100, start=0.1, rounds=3)


@pytest.mark.parametrize("real", [0, -1, float("nan")])
def test_c_without_real_records_nothing_is_stationary(real):
    for call in (
        lambda: best_weight(real, 100),
        lambda: pooled_weight(real, 100),
        lambda: limit_variance(0.5, real, 100),
        lambda: variance_course(0.5, real, 100, start=0.1, rounds=3),
    ):
        with pytest.raises(SpecError, match="no stationary variance"):
            call()


def test_other_bad_input_is_refused():
    for call, words in [
        (lambda: limit_variance(0.5, 100, 0), "no synthetic records"),
        (lambda: best_weight(100, -1), "number of synthetic records"),
        (lambda: variance_course(0.5, 100, 100, start=-1, rounds=3), "first answer"),
        (lambda: variance_course(0.5, 100, 100, start=1, rounds=0), "rounds is 0"),
    ]:
        with pytest.raises(SpecError, match=words):
            call()
