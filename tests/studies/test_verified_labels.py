"""Verified labels: the classifier turns round at the predicted share of wrong labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from autophage.errors import FilterStarved, SpecError
from autophage.studies.verified_labels import agreement, simulate
from autophage.theory import verified

R = 40


@pytest.mark.parametrize(
    ("phi", "psi", "measured"),
    [
        (1.0, 1.0, (0.949, 0.849, 0.141, 0.047)),
        (0.8, 0.2, (0.945, 0.833, 0.142, 0.040)),
        (0.9, 0.6, (0.943, 0.841, 0.174, 0.051)),
        (0.5, 0.7, (0.942, 0.821, 0.172, 0.059)),
    ],
    ids=["v1", "v2", "v3", "v4"],
)
def test_v1_v4_agreement_with_bayes(phi, psi, measured):
    """The sheet asserts > 0.75 just below the breakdown and < 0.25 just above; its other numbers are means of 20 fits."""
    p = verified.breakdown(phi, psi)
    for distance, expected in zip((-0.15, -0.05, 0.05, 0.15), measured, strict=True):
        found = simulate(p + distance, phi, psi, replicates=R, key=4).agreement
        error = found.std() / np.sqrt(R)
        if distance == -0.05:
            assert found.mean() - 4 * error > 0.75
        if distance == 0.05:
            assert found.mean() + 4 * error < 0.25
        # The sheet's mean of 20 has a standard error of its own.
        assert abs(found.mean() - expected) < 4 * error * np.sqrt(1 + R / 20)


def test_what_passes_is_what_theory_says():
    found = simulate(0.3, 0.8, 0.2, records=20_000, replicates=30, key=2)
    share, noise = verified.kept_share(0.3, 0.8, 0.2), verified.residual_noise(0.3, 0.8, 0.2)
    n = 30 * 20_000
    assert abs(found.kept.sum() / n - share) < 4 * np.sqrt(share * (1 - share) / n)
    wrong = (found.wrong * found.kept).sum() / found.kept.sum()
    assert abs(wrong - noise) < 4 * np.sqrt(noise * (1 - noise) / (n * share))


def test_weights_tend_to_those_of_the_residual_noise():
    """(S + c I)^-1 (1 - 2 eps) mu e_1 with S = I + mu^2 e_1 e_1', eps the share of wrong labels that passed."""
    found = simulate(0.25, 0.9, 0.5, records=40_000, dim=3, shift=1.5, ridge=0.2, replicates=20, key=5)
    eps = verified.residual_noise(0.25, 0.9, 0.5)
    expected = np.array([(1 - 2 * eps) * 1.5 / (1 + 1.5**2 + 0.2), 0, 0])
    error = found.weights.std(axis=0) / np.sqrt(20)
    assert (np.abs(found.weights.mean(axis=0) - expected) < 4 * error + 1e-4).all() and error.max() < 2e-3


@pytest.mark.parametrize("shift", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("s", [-200.0, -3.0, -0.1, 0.0, 0.5, 30.0])
def test_agreement_by_adaptive_quadrature(shift, s):
    def integrand(x):
        folded = np.exp(-((x - shift) ** 2) / 2) + np.exp(-((x + shift) ** 2) / 2)
        return folded / np.sqrt(2 * np.pi) * ndtr(s * x)

    expected = quad(integrand, 0, shift + 9, points=[10 / max(abs(s), 5)], epsabs=1e-13, limit=500)[0]
    assert agreement(np.array([[s, 0.6, 0.8]]), shift)[0] == pytest.approx(expected, abs=1e-11)


def test_agreement_by_labels():
    w = np.array([[0.7, 0.5, -0.2]])
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400_000, 3))
    x[:, 0] += rng.choice([-1, 1], len(x))
    same = ((x @ w[0] > 0) == (x[:, 0] > 0)).mean()
    assert abs(same - agreement(w)[0]) < 4 * np.sqrt(0.25 / len(x))
    np.testing.assert_allclose(agreement(-w), 1 - agreement(w), atol=1e-12)
    assert agreement(np.zeros((1, 3)))[0] == 0.5


def test_replicates_do_not_depend_on_how_many_follow(monkeypatch):
    from autophage.studies import verified_labels

    long = simulate(0.3, 0.8, 0.4, records=200, replicates=30, key=6)
    short = simulate(0.3, 0.8, 0.4, records=200, replicates=4, key=6)
    np.testing.assert_array_equal(long.weights[:4], short.weights)
    monkeypatch.setattr(verified_labels, "ENTRIES", 7 * 200 * 10)
    np.testing.assert_array_equal(
        simulate(0.3, 0.8, 0.4, records=200, replicates=30, key=6).weights, long.weights
    )


def test_few_records_and_no_penalty_give_the_smallest_solution():
    found = simulate(0.2, 1.0, 1.0, records=6, dim=10, ridge=0, replicates=50, key=7)
    assert np.isfinite(found.weights).all() and (found.kept == 6).all()


def test_a_verifier_that_keeps_nothing_starves_the_fit():
    with pytest.raises(FilterStarved, match="keeps nothing"):
        simulate(0.3, 0.0, 0.0)
    with pytest.raises(FilterStarved, match="none of 5 records passed"):
        simulate(0.5, 0.01, 0.01, records=5, replicates=50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"wrong": 1.5}, "share of wrong labels is 1.5"),
        ({"wrong": 0.3, "phi": -1}, "phi is -1"),
        ({"wrong": 0.3, "psi": float("nan")}, "psi is nan"),
        ({"wrong": 0.3, "records": 0}, "records is 0"),
        ({"wrong": 0.3, "dim": 2.5}, "dim is 2.5"),
        ({"wrong": 0.3, "replicates": 0}, "replicates is 0"),
        ({"wrong": 0.3, "shift": 0}, "shift is 0"),
        ({"wrong": 0.3, "ridge": -0.1}, "ridge is -0.1"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(SpecError, match=words):
        simulate(**arguments)
