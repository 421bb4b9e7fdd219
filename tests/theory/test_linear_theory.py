"""The linear workflow predictor: U1-U6, and the exact moments of a Gaussian mean of known variance."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory.linear import (
    ACCUMULATE_EFFICIENCY,
    error_covariance,
    propagation,
    variance_inflation,
    window_shares,
)
from autophage.theory.moments import Refit, pile, replace
from autophage.theory.moments_mixed import fresh, mix, window

FIFTY = np.full(20, 50.0)


@pytest.mark.parametrize(
    ("shares", "sizes", "expected"),
    [
        (window_shares(FIFTY, 1), FIFTY, 20.0000),
        (window_shares(FIFTY, 3), FIFTY, 5.7153),
        (window_shares(FIFTY), FIFTY, 1.5962),
        (window_shares(FIFTY, 3, keep_real=True), FIFTY, 1.5981),
        (window_shares(FIFTY, 1, keep_real=True), FIFTY, 1.3333),
        (window_shares(50.0 * np.arange(1, 21)), 50.0 * np.arange(1, 21), 1.4158),
    ],
    ids=["U1", "U2", "U3", "U4", "U5", "U6"],
)
def test_u1_to_u6(shares, sizes, expected):
    assert variance_inflation(shares, sizes)[-1] == pytest.approx(expected, abs=5.1e-5)


def test_covariance_is_that_of_simulated_means():
    rng = np.random.default_rng(0)
    n = np.array([4, 7, 5, 6])
    A = window_shares(n, 2, keep_real=True)
    R = 200_000
    e = np.zeros((4, R))
    batch = np.zeros((4, R))
    for t in range(4):
        batch[t] = (e[t - 1] if t else 0) + rng.standard_normal(R) / np.sqrt(n[t])
        e[t] = A[t] @ batch
    found = error_covariance(A, n)
    np.testing.assert_allclose(np.cov(e), found, atol=5 * found.max() * np.sqrt(2 / R))


def test_it_is_exact_for_a_gaussian_mean_of_known_variance():
    n = np.array([6, 9, 4, 7, 5])
    unit = Refit(known=1.0)
    for shares, course in [
        (window_shares(n, 1), replace(unit, n)),
        (window_shares(n), pile(unit, n)),
        (window_shares(n, 2), window(unit, n, 2)),
        (window_shares(n, 1, keep_real=True), mix(unit, 6, n[1:])),
    ]:
        np.testing.assert_allclose(np.diag(error_covariance(shares, n)), course.squared_error, rtol=1e-12)
    # Fresh: half of each set is new.
    r = np.array([0, 4, 4, 4, 4.0])
    sizes = np.array([6, 4, 4, 4, 4.0])
    A = np.diag([1, 0.5, 0.5, 0.5, 0.5])
    found = error_covariance(A, sizes, fresh_shares=r / 8, fresh_sizes=r)
    expected = fresh(unit, [6, 8, 8, 8, 8], 0.5, "exact").squared_error
    np.testing.assert_allclose(np.diag(found), expected, rtol=1e-12)


def test_propagation_rows_hold_the_whole_error():
    A = window_shares([3, 4, 5, 6])
    np.testing.assert_allclose(propagation(A)[:, 0], 1)  # the real batch's noise is never diluted
    assert variance_inflation(window_shares([50] * 400), [50] * 400)[-1] < 1 / ACCUMULATE_EFFICIENCY
    assert variance_inflation(window_shares([50] * 400), [50] * 400)[-1] > 0.998 / ACCUMULATE_EFFICIENCY


@pytest.mark.parametrize(
    ("shares", "sizes", "words"),
    [
        ([[1, 0]], [1], "square"),
        ([[1, 0], [0.4, 0.5]], [1, 1], "sum to one"),
        ([[0.5, 0.5], [0.5, 0.5]], [1, 1], "above the diagonal"),
        ([[1, 0], [2, -1]], [1, 1], "zero or more"),
        ([[1, 0], [float("nan"), 1]], [1, 1], "zero or more"),
        ([[1, 0], [0.5, 0.5]], [1, 0], "above zero"),
        ([[1, 0], [0.5, 0.5]], [1], "every batch"),
    ],
)
def test_bad_shares_are_refused(shares, sizes, words):
    with pytest.raises(SpecError, match=words):
        error_covariance(shares, sizes)


def test_fresh_sizes_are_needed():
    with pytest.raises(SpecError, match="fresh_sizes"):
        error_covariance([[1, 0], [0, 0.5]], [1, 1], fresh_shares=[0, 0.5])
    with pytest.raises(SpecError, match="window"):
        window_shares([3, 3], 0)
