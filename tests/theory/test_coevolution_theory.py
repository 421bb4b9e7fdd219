"""Co-evolving text and images: the sheet's numbers, the limits of the formulas, and recursions step by step."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import coevolution as theory
from autophage.theory.coevolution import CaptionedGaussians, on_circle


def test_sheet_g1_text_alone():
    assert theory.text_course(0.8, 100, 60)[-1] == pytest.approx(0.43773, abs=5e-6)


@pytest.mark.parametrize(
    "alpha, eps, expected", [(1, 0.05, 0.73222), (0.2, 0.2, 0.70866), (0.05, 0.5, 0.63660)]
)
def test_sheet_g2_corpus_injection(alpha, eps, expected):
    assert theory.corpus_limit(100, alpha, eps, 5) == pytest.approx(expected, abs=5e-6)
    assert theory.corpus_course([1, 0, 0, 0, 0], 100, 2000, alpha, eps)[-1] == pytest.approx(
        expected, abs=5e-6
    )


def test_sheet_g3_images_alone():
    trace, drift = theory.image_course(20, 40, trace=2.0)
    assert trace[[10, 40]] == pytest.approx([1.1975, 0.2570], abs=5e-5)
    assert drift[[10, 40]] == pytest.approx([0.8025, 1.7430], abs=5e-5)
    np.testing.assert_allclose(trace + drift, 2.0, rtol=1e-12)


@pytest.mark.parametrize("N, m, expected", [(50, 5, 1.8087), (20, 20, 1.9344), (100, 2, 1.5952)])
def test_sheet_g4_user_content(N, m, expected):
    assert theory.user_content(N, m, 2.0)[0] == pytest.approx(expected, abs=5e-5)


def test_sheet_g5_log_determinant():
    assert theory.log_det_rate(20, 2) == pytest.approx(-0.16420, abs=5e-6)


def test_sheet_overlap():
    found = [theory.overlap(on_circle(5, s)) for s in (0.3, 0.5, 0.8)]
    assert found == pytest.approx([0.906, 0.589, 0.302], abs=5e-4)


def test_sheet_practical_reading():
    """Five user images per fifty generated ones keep 90 % for ever; two per hundred 80 %, to the nearest per cent."""
    assert theory.user_images_needed(50, 0.9) == 5
    assert theory.user_content(50, 5)[0] > 0.9 > theory.user_content(50, 4)[0]
    assert theory.user_content(100, 2)[0] == pytest.approx(0.8, abs=0.005)


# Limits and recursions


def test_overlap_has_its_limits():
    assert theory.overlap(on_circle(5, 0.01)) == pytest.approx(1.0, abs=1e-9)
    same = CaptionedGaussians([0.3, 0.7], np.zeros((2, 2)), np.stack([np.eye(2)] * 2))
    assert theory.overlap(same) == pytest.approx(0.0, abs=1e-12)
    assert theory.overlap(CaptionedGaussians([1.0, 0.0], np.eye(2), np.stack([np.eye(2)] * 2))) == 1.0


def test_overlap_of_two_captions_on_a_line_by_direct_integration():
    p, s, x = 0.3, np.array([0.7, 1.2]), np.linspace(-12, 12, 200_001)
    density = (
        np.array([p, 1 - p])[:, None] * np.exp(-((x - [[-1], [1]]) ** 2) / (2 * s[:, None] ** 2)) / s[:, None]
    )
    gamma, mixture = density[0] / density.sum(0), density.sum(0) / np.sqrt(2 * np.pi)
    variance = np.trapezoid(mixture * gamma**2, x) - p**2
    system = CaptionedGaussians([p, 1 - p], [[-1.0], [1.0]], (s**2)[:, None, None])
    assert theory.overlap(system) == pytest.approx(2 * variance / (2 * p * (1 - p)), abs=1e-6)


def test_overlap_in_more_dimensions_does_not_see_the_idle_ones():
    flat = on_circle(5, 0.5)
    S = np.stack([np.diag([0.25, 0.25, 4.0])] * 5)
    raised = CaptionedGaussians(flat.p, np.column_stack([flat.means, np.full(5, 7.0)]), S)
    assert theory.overlap(raised) == pytest.approx(theory.overlap(flat), abs=2e-3)


def test_narrower_images_overlap_less():
    found = [theory.overlap(on_circle(5, s)) for s in (0.8, 0.5, 0.3, 0.1)]
    assert found == sorted(found)
    assert theory.soft_text_next(on_circle(5, 0.01), 100) == pytest.approx(theory.text_course(0.8, 100, 1)[1])


def test_the_corpus_course_by_two_values():
    """K = 2: p is one number, and its mean square a recursion of its own."""
    n, alpha, eps, u = 30, 0.3, 0.2, 0.9
    mean, square = 0.5, 0.25
    course = theory.corpus_course([0.5, 0.5], n, 12, alpha, eps, [u, 1 - u])
    for t in range(12):
        assert course[t] == pytest.approx(2 * (mean - square), rel=1e-12)
        drawn = (1 - 1 / n) * square + mean / n
        mixed = (1 - eps) ** 2 * drawn + 2 * eps * (1 - eps) * u * mean + eps**2 * u**2
        mean, square = mean + alpha * eps * (u - mean), alpha * mixed + (1 - alpha) * drawn
    assert theory.corpus_course([0.5, 0.5], n, 3000, alpha, eps, [u, 1 - u])[-1] == pytest.approx(
        theory.corpus_limit(n, alpha, eps, [u, 1 - u])
    )


def test_no_corpus_is_text_alone_and_a_corpus_alone_is_its_own_diversity():
    np.testing.assert_allclose(
        theory.corpus_course([0.5, 0.5], 40, 30, 0.0, 0.5), theory.text_course(0.5, 40, 30)
    )
    assert theory.corpus_limit(40, 1.0, 0.0) == 0.0
    assert theory.corpus_limit(40, 1.0, 1.0, [0.5, 0.25, 0.25]) == pytest.approx(1 - 0.375)


def test_user_content_by_its_recursion():
    N, m, trace = 20, 3, 2.0
    variance, drift = trace, 0.0
    courses = theory.user_content_course(N, m, 15, trace)
    for t in range(15):
        assert (courses[0][t], courses[1][t]) == pytest.approx((variance, drift), rel=1e-12)
        f = N / (N + m)
        moved = f**2 * (drift + variance / N) + (1 - f) ** 2 * trace / m
        variance, drift = f * (variance + drift) + (1 - f) * trace - moved, moved
    none = theory.user_content_course(N, 0, 15, trace)
    np.testing.assert_allclose(none, theory.image_course(N, 15, trace), rtol=1e-12)
    assert theory.user_content(N, 0, trace) == (0.0, trace)


@pytest.mark.parametrize("N, kept", [(5, 0.5), (50, 0.9), (100, 0.8), (1000, 0.99), (10, 0.0)])
def test_user_images_needed_are_enough_and_no_fewer(N, kept):
    m = theory.user_images_needed(N, kept)
    assert theory.user_content(N, m)[0] >= kept - 1e-12
    assert m == 0 or theory.user_content(N, m - 1)[0] < kept


def test_without_bias_the_mean_stands_and_the_typical_course_falls():
    trace, drift = theory.image_course(20, 10, ddof=1)
    assert (trace == 1).all() and drift[-1] == pytest.approx(0.5)
    assert theory.log_det_rate(20, 2, ddof=0) == pytest.approx(
        theory.log_det_rate(20, 2) + 2 * np.log(19 / 20)
    )
    assert theory.log_det_rate(10_000, 3) == pytest.approx(-3 * 4 / 2 / 10_000, rel=0.01)  # -d(d+1)/(2N)


# Refusals

EYES = np.stack([np.eye(2)] * 2)


@pytest.mark.parametrize(
    "p, means, S, words",
    [
        ([0.5, 0.6], np.eye(2), EYES, "sum to one"),
        ([1.5, -0.5], np.eye(2), EYES, "zero or more"),
        ([0.5, 0.5 + 2e-6], np.eye(2), EYES, "sum to one"),
        ([np.nan, 1.0], np.eye(2), EYES, "zero or more"),
        ([0.5, 0.5], np.eye(3), EYES, "means must be 2"),
        ([0.5, 0.5], np.eye(2), EYES[:1], "shape"),
        ([0.5, 0.5], np.eye(2), np.array([np.eye(2), [[1, 0.5], [0.2, 1]]]), "caption 1 is not symmetric"),
        (
            [0.5, 0.5],
            np.eye(2),
            np.array([[[1, 2], [2, 1]], np.eye(2)]),
            "caption 0 is not positive definite",
        ),
        (
            [0.5, 0.5],
            np.eye(2),
            np.array([[[1, 1], [1, 1]], np.eye(2)]),
            "caption 0 is not positive definite",
        ),
        ([0.5, 0.5], np.eye(2), np.zeros((2, 2, 2)), "not positive definite"),
    ],
)
def test_b6_a_system_must_be_one(p, means, S, words):
    with pytest.raises(SpecError, match=words):
        CaptionedGaussians(p, means, S)


def test_b6_a_sum_within_rounding_is_put_right():
    assert CaptionedGaussians([0.5, 0.5 + 5e-7], np.eye(2), EYES).p.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: theory.corpus_limit(100, 1.2, 0.1), "chance is 1.2"),
        (lambda: theory.corpus_limit(100, 0.5, -0.1), "share is -0.1"),
        (lambda: theory.corpus_course([0.5, 0.5], 100, 3, 0.5, 0.1, [1 / 3] * 3), "corpus has 3 captions"),
        (lambda: theory.user_content(50, -1), "user_images is -1"),
        (lambda: theory.user_images_needed(50, 1), "below 1"),
        (lambda: theory.log_det_rate(2, 2), "images is 2"),
        (lambda: theory.image_course(20, 5, ddof=2), "ddof is 2"),
        (lambda: theory.text_course(1.5, 100, 5), "gini is 1.5"),
        (lambda: on_circle(0), "captions is 0"),
        (lambda: on_circle(5, 0.0), "spread"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(SpecError, match=words):
        call()
