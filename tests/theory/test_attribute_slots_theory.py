"""Attribute slots: the sheet's numbers and what the formulas must agree with."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import attribute_slots as theory
from autophage.theory.categorical import gini_replace


@pytest.mark.parametrize(
    "b, expected", [(0, 0.2976), (0.25, 0.3212), (0.5, 0.4038), (0.75, 0.5902), (0.9, 0.7958)]
)
def test_sheet_m1(b, expected):
    assert theory.diversity_course(50, 60, b)[-1] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("B, expected", [(0, 0.2820), (2, 0.3055), (4, 0.3881), (6, 0.5770), (8, 1.0)])
def test_sheet_m2(B, expected):
    assert theory.diversity_course(40, 50, B / 8)[-1] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("M, expected", [(1, 0.2913), (2, 0.4840), (4, 0.6227)])
def test_sheet_m3(M, expected):
    assert theory.diversity_course(50, 50, models=M, gini=0.8)[-1] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("M, exact", [(1, 0.0103), (2, 0.5044), (4, 0.7515), (8, 0.8750)])
def test_sheet_m4(M, exact):
    assert theory.biased_gini([1 / 8] * 8, 0.05, M, 100)[-1] == pytest.approx(exact, abs=5e-5)
    assert theory.biased_gini([1 / 8] * 8, 0.05, M, 5000)[-1] == pytest.approx(1 - 1 / M, abs=1e-12)


def test_sheet_m4_model_by_model():
    p = np.full(8, 1 / 8)
    for _ in range(100):
        p = np.mean([0.95 * p + 0.05 * np.eye(8)[j] for j in range(4)], axis=0)
    np.testing.assert_allclose(theory.biased_frequencies([1 / 8] * 8, 0.05, 4, 100)[-1], p, atol=1e-12)


def test_sheet_m5():
    assert theory.label_accuracy(10, 0.05, 20)[-1] == pytest.approx(0.386927, abs=1e-6)
    assert theory.label_accuracy(10, 0.05, 20, "frozen")[1:] == pytest.approx([0.95] * 20, abs=1e-12)
    assert theory.caption_variance(10, 0.05, 20)[-1] == pytest.approx(0.808526, abs=1e-6)


def test_sheet_m5_by_powers_of_the_confusion_matrix():
    K, e = 10, 0.05
    R = np.full((K, K), e / (K - 1)) + (1 - e - e / (K - 1)) * np.eye(K)
    P = np.linalg.matrix_power(R, 20)
    assert theory.label_accuracy(K, e, 20)[-1] == pytest.approx(P[0, 0], rel=1e-12)
    assert theory.caption_variance(K, e, 20)[-1] == pytest.approx(1 - (P[0] ** 2).sum(), rel=1e-12)
    assert theory.caption_variance(K, e, 20, "frozen")[7] == pytest.approx(1 - (R[0] ** 2).sum(), rel=1e-12)


def test_captions_spread_while_labels_go_wrong():
    assert (np.diff(theory.caption_variance(10, 0.05, 50)) > 0).all()
    assert (np.diff(theory.label_accuracy(10, 0.05, 50)) < 0).all()


def test_a_caption_that_says_nothing_leaves_plain_resampling():
    p = np.array([0.5, 0.3, 0.2])
    plain = theory.diversity_course(30, 10, gini=1 - (p**2).sum())
    np.testing.assert_allclose(plain[1:], gini_replace(p, [30] * 10), rtol=1e-12)
    assert (theory.diversity_course(30, 10, 1.0) == 1).all()


def test_budgets_and_models_slow_the_collapse():
    assert theory.time_constant(50) == 50 and theory.time_constant(50, 1.0) == np.inf
    assert theory.time_constant(50, 0.5, 3) == pytest.approx(200)
    t = int(theory.time_constant(5000, 0.5))
    assert theory.diversity_course(5000, t, 0.5)[-1] == pytest.approx(np.exp(-1), rel=1e-3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: theory.diversity_course(50, 10, 1.1), "named is 1.1"),
        (lambda: theory.diversity_course(50, 10, models=0), "models is 0"),
        (lambda: theory.diversity_course(0, 10), "images is 0"),
        (lambda: theory.biased_gini([0.5, 0.5], 0.1, 3, 5), "value of its own"),
        (lambda: theory.biased_gini([0.5, 0.5], 1.1, 2, 5), "bias is 1.1"),
        (lambda: theory.label_accuracy(1, 0.1, 5), "values is 1"),
        (lambda: theory.label_accuracy(3, 0.1, 5, "external"), "evolving or frozen"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(SpecError, match=words):
        call()
