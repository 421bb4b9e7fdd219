"""SIMS and Neon for Gaussians: closed forms against simulations of what they are closed forms of."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.extrapolated_fits import log_variances, wishart_fits
from autophage.theory import extrapolation as theory

SAMPLES, GENERATIONS, REPS = 100, 50, 60_000


def test_one_step_recovers_the_truth_where_both_fits_shrink_equally():
    assert theory.variance(0.9, 0.81, 1) == pytest.approx(1, abs=1e-12)
    assert theory.exact_omega(1, 0.9, 0.81) == pytest.approx(1)
    omega = theory.exact_omega(1.0, 0.8, 0.7)
    assert theory.variance(0.8, 0.7, omega) == pytest.approx(1, abs=1e-12)
    assert theory.variance(0.8, 0.7, 0) == 0.8
    assert theory.variance(0.8, 0.7, -1) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("omega", "mean", "variance"),
    [(0.0, -1.0093, 1.0204), (0.5, -0.5046, 1.2755), (1.0, 0.0, 2.0407), (1.5, 0.5046, 3.3162)],
)
def test_log_variance_drifts_and_walks_as_told(omega, mean, variance):
    """D2 and D3, with replicates enough for four standard errors to fit into their tolerances."""
    assert theory.mean_log_variance(SAMPLES, GENERATIONS, omega) == pytest.approx(mean, abs=1e-4)
    assert theory.variance_of_log_variance(SAMPLES, GENERATIONS, omega) == pytest.approx(variance, abs=1e-4)
    found = log_variances(SAMPLES, GENERATIONS, omega, replicates=REPS)
    error = (variance / REPS) ** 0.5
    assert 4 * error < 0.03 and 4 * (2 / REPS) ** 0.5 < 0.03
    assert found.mean() == pytest.approx(mean, abs=0.03)
    assert found.var() == pytest.approx(variance, rel=0.03)


def test_the_gradient_at_the_fit_is_that_of_the_exact_form():
    """D5: minus the derivative of the expected loss, worked out at each fit, over 8,000 of them."""
    dim, n = 10, 100
    mean, cov = wishart_fits(dim, n, 8_000)
    inverse = np.linalg.inv(cov)
    truth = np.eye(dim) + mean[:, :, None] * mean[:, None, :]
    gradient = 0.5 * (inverse - inverse @ truth @ inverse)
    traces = -np.trace(gradient, axis1=1, axis2=2) / dim
    error = traces.std() / len(traces) ** 0.5
    gamma = theory.gradient_strength(dim, n)
    assert gamma == pytest.approx(0.16658, abs=5e-6)
    assert 4 * error < 0.004
    assert traces.mean() == pytest.approx(gamma, abs=4 * error)
    assert theory.printed_gradient_strength(dim, n) == pytest.approx(0.0991, abs=1e-4)


def test_a_little_of_the_inverse_halves_the_excess_loss_and_much_of_it_hurts():
    """D6."""
    mean, cov = wishart_fits(10, 100, 4_000)
    lengths = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0])
    losses = {a: theory.excess_loss(mean, theory.stretched(cov, a)) for a in lengths}
    for a, expected in ((0.0, 0.399), (0.15, 0.197), (1.0, 1.145)):
        error = losses[a].std() / len(mean) ** 0.5
        assert 4 * error < 0.02
        assert losses[a].mean() == pytest.approx(expected, abs=0.02)
    best = lengths[np.argmin([losses[a].mean() for a in lengths])]
    assert best == pytest.approx(0.15, abs=0.05)


def test_the_slope_of_the_path_at_its_start_is_the_gradients():
    """d/da of the loss of S + a S^-1 is <gradient, S^-1>, each worked out on its own."""
    mean, cov = wishart_fits(3, 50, 200)
    inverse = np.linalg.inv(cov)
    truth = np.eye(3) + mean[:, :, None] * mean[:, None, :]
    gradient = 0.5 * (inverse - inverse @ truth @ inverse)
    slope = np.einsum("rij,rij->r", gradient, inverse)
    h = 1e-5
    ahead, behind = (theory.excess_loss(mean, theory.stretched(cov, a)) for a in (h, -h))
    np.testing.assert_allclose((ahead - behind) / (2 * h), slope, rtol=1e-5)


def test_narrow_samplers_ask_for_a_step_out_and_wide_ones_for_a_step_in():
    assert theory.step_along_inverse(0.5, 1.0, 0.1) == pytest.approx(0.0375)
    assert theory.step_along_inverse(1.5, 1.0, 0.1) < 0 < theory.step_along_inverse(1.5, -0.5, 0.1)
    assert theory.converged_factor(1.0, 3.0) == 1
    assert theory.converged_factor(0.9, 0.0) == 1


def test_a_small_step_and_a_merge_are_the_path():
    """One step of gradient descent on the loss of samples of N(m, tau^2 S), then (1 + w) S - w S'."""
    rng = (Key(0) / "step").generator()
    root = rng.normal(size=(3, 3))
    S = root @ root.T + np.eye(3)
    tau, w, eta = 0.7, 0.8, 1e-6
    inverse = np.linalg.inv(S)
    gradient = 0.5 * (inverse - inverse @ (tau**2 * S) @ inverse)
    merged = (1 + w) * S - w * (S - eta * gradient)
    expected = theory.stretched(S, theory.step_along_inverse(tau, w, eta))
    np.testing.assert_allclose(merged - S, expected - S, rtol=1e-6)


def test_what_cannot_be_is_refused():
    for bad in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SpecError, match="variance is"):
            theory.variance(bad, 1, 1)
    with pytest.raises(SpecError, match="points nowhere"):
        theory.exact_omega(1, 0.9, 0.9)
    with pytest.raises(SpecError, match="dim \\+ 4"):
        theory.gradient_strength(10, 14)
    with pytest.raises(SpecError, match="at least 2"):
        theory.shrinkage(1)
    with pytest.raises(SpecError, match="positive definite"):
        theory.excess_loss(np.zeros(2), np.diag([1.0, -1.0]))
