"""Kanabar & Gastpar: the sheet's values, and every closed form against a second way to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import moments_mixed, provenance
from autophage.theory.categorical import one_hot

ZIPF = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
D8 = [100] * 31
D9 = [200] + [400] * 30
D9_SHARES = (1 + np.arange(31)) ** -0.5


def test_d8_optimal_gain_pooled_and_oracle():
    assert provenance.optimal_risk(ZIPF, D8, 0.2)[-1] == pytest.approx(3.8899e-3, rel=1e-4)
    pooled = provenance.gain_risk(ZIPF, D8, 0.2, 1 / np.arange(1, 32))
    assert pooled[-1] == pytest.approx(4.894e-3, rel=0.005)  # the sheet's own value is simulated
    assert provenance.oracle_risk(ZIPF, D8, 0.2, "exact")[-1] == pytest.approx(1.225e-3, rel=5e-4)
    assert provenance.oracle_risk(ZIPF, D8, 0.2)[-1] == pytest.approx(1.227e-3, rel=5e-4)


def test_d9_decaying_real_share():
    assert provenance.optimal_risk(ZIPF, D9, D9_SHARES)[-1] == pytest.approx(6.0772e-4, rel=1e-4)
    assert provenance.stays_in_simplex(D9, D9_SHARES).all()


def test_d10_what_a_detector_is_worth():
    assert provenance.detector_gain(0.1, 0.05) == pytest.approx(6.44934, abs=1e-5)
    assert provenance.detector_gain(0.1, 0.05, "erasure") == pytest.approx(9.55, abs=1e-9)


@pytest.mark.parametrize("a", [0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("e", [0.0, 0.05, 0.3, 0.5])
def test_detectors_by_their_formulas_and_below_the_bound(a, e):
    symmetric = (1 - e) ** 2 / (a * (1 - e) + (1 - a) * e)
    symmetric += e**2 / (a * e + (1 - a) * (1 - e)) if e else 0.0
    assert provenance.detector_gain(a, e) == pytest.approx(symmetric, rel=1e-12)
    assert provenance.detector_gain(a, e, "erasure") == pytest.approx((1 - e) / a + e, rel=1e-12)
    bound = provenance.gain_bound([1 - e, e], [e, 1 - e], a)
    assert 1 - 1e-12 <= provenance.detector_gain(a, e) <= bound * (1 + 1e-12) <= (1 / a) * (1 + 1e-12)


def test_a_detector_multiplies_the_information():
    bare = provenance.information(D8, 0.2)
    gained = provenance.information(D8, 0.2, provenance.detector_gain(0.2, 0.0))
    np.testing.assert_allclose(gained, provenance.oracle_information(D8, 0.2))
    assert (np.diff(bare) == pytest.approx(4.0)) and bare[0] == 100


def test_the_sum_form_of_the_optimal_risk():
    n, a = np.array(D9, float), D9_SHARES
    risk, total, second = provenance.optimal_risk(ZIPF, n, a), 0.0, (ZIPF**2).sum()
    for t in range(len(n)):
        before = risk[t - 1] if t else 0.0
        total += n[t] * a[t] ** 2 * (1 - second - (1 - a[t]) ** 2 * before)
        assert risk[t] == pytest.approx(total / (n[: t + 1] @ a[: t + 1] ** 2) ** 2, rel=1e-12)


@pytest.mark.parametrize("counts", ["mixture", "exact"])
def test_gain_one_is_the_fresh_loop_without_a_treatment(counts):
    """Against the recursion of moments, which was derived another way."""
    sizes, shares = [40, 50, 50, 60, 100], [1, 0.2, 0.5, 0.1, 0.25]
    fresh = moments_mixed.fresh(one_hot(ZIPF), sizes, shares[1:], counts).squared_error
    np.testing.assert_allclose(provenance.gain_risk(ZIPF, sizes, shares, 1.0, counts), fresh, rtol=1e-12)


def test_no_small_change_of_an_optimal_gain_helps():
    """Exactly so for a variance that does not depend on the model; here up to the risk's own square."""
    gains = provenance.optimal_gains(D8, 0.2)
    best = provenance.gain_risk(ZIPF, D8, 0.2, gains)[-1]
    for factor in (0.9, 1.1):
        assert provenance.gain_risk(ZIPF, D8, 0.2, np.minimum(gains * factor, 1.0))[-1] > best


def test_oracle_risk_by_enumeration():
    v = 1 - (ZIPF**2).sum()
    draws = list(itertools.product([0, 1], repeat=3))
    expected = sum(0.3 ** sum(d) * 0.7 ** (3 - sum(d)) / (1 + sum(d)) for d in draws)
    assert provenance.oracle_risk(ZIPF, [1, 3], 0.3)[-1] == pytest.approx(v * expected, rel=1e-12)
    many = provenance.oracle_risk(ZIPF, [10**6, 10**7], 0.5)
    np.testing.assert_allclose(many, v / np.array([1e6, 6e6]), rtol=1e-6)


def test_leaving_the_simplex_is_what_the_condition_says():
    gains = provenance.optimal_gains([10, 1000, 10], 0.2)
    assert provenance.stays_in_simplex([10, 1000, 10], 0.2).tolist() == [True, False, True]
    assert gains[1] == pytest.approx(200 / 50) and gains[2] < 1


def test_a_masked_batch_is_labelled():
    """By simulation: every record other than the mask's symbol is real."""
    p, n, a, k, R = np.array([0.5, 0.3, 0.2]), 50, 0.3, 1, 100_000
    counts = np.random.default_rng(5).multinomial(n, a * p + (1 - a) * np.eye(3)[k], R)
    found = counts / (n * a)
    found[:, k] = 0
    found[:, k] = 1 - found.sum(axis=1)
    loss = ((found - p) ** 2).sum(axis=1)
    error = loss.std() / np.sqrt(R)
    assert abs(loss.mean() - provenance.labelled_risk(p, n, a, k)) < 4 * error < 0.02 * loss.mean()


def test_masking_loss_holds_for_the_worst_mask():
    """A point mass against the point mass on another symbol costs 2, which no other pair exceeds."""
    risk, c = 1e-3, 0.7
    published = (1 - c * risk) * 2 * risk + c * risk * 2
    assert published <= provenance.masking_loss(risk, c) <= 1.001 * published


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: provenance.information([10, 0], 0.5), "size at generation 1"),
        (lambda: provenance.information([10, 10], 1.5), "real shares must lie in"),
        (lambda: provenance.information([10, 10], float("nan")), "real shares must lie in"),
        (lambda: provenance.information([10, 10], [1, 0.5, 0.5]), "one per generation"),
        (lambda: provenance.information([10, 10], 0.5, 0.5), "gain is a finite number of at least 1"),
        (lambda: provenance.gain_risk([0.5, 0.5], [9, 9], 0.5, 1.2), "gains must lie in"),
        (lambda: provenance.gain_risk([0.5, 0.6], [9, 9], 0.5, 1.0), "sum to one"),
        (lambda: provenance.gain_risk([0.5, 0.5], [9, 9], 0.5, 1.0, "about"), "mixture or exact"),
        (lambda: provenance.optimal_risk([0.5, 0.5], [9, 9], 0.5, "about"), "mixture or exact"),
        (lambda: provenance.oracle_risk([0.5, 0.5], [9, 9], 0.5, "about"), "mixture or exact"),
        (lambda: provenance.detector_gain(0.0, 0.1), "real share is 0"),
        (lambda: provenance.detector_gain(0.1, float("nan")), "detector's error"),
        (lambda: provenance.detector_gain(0.1, 0.1, "oracle"), "symmetric or erasure"),
        (lambda: provenance.chi_square_gain([1.0], [0.5, 0.5], 0.1), "the same answers"),
        (lambda: provenance.masking_loss(-1.0, 0.5), "the risk"),
        (lambda: provenance.labelled_risk([0.5, 0.5], 10, 0.5, 2), "symbol is 2"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(SpecError, match=words):
        call()
