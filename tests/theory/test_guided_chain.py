"""Guided chains of Gaussians: checks R1 to R4 of the closed forms, and the same numbers by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from autophage.errors import SpecError
from autophage.theory.guided_chain import (
    decaying_variance,
    fixed_point,
    guided_variance,
    log_ratio_course,
    log_shrink,
    mean_shrink,
    variance_course,
)


@pytest.mark.parametrize(("scale", "expected"), [(0.9, 0.69186), (1.0, 0.5), (1.2, 0.12622), (2.0, 0.5**64)])
def test_r1_six_iterations(scale, expected):
    """Check R1: s^2 = .5, S^2 = 1, scales w = 1 + guidance."""
    course = variance_course(0.5, 1.0, scale - 1, 6)
    assert course[0] == pytest.approx(0.5) and len(course) == 7
    assert course[-1] == pytest.approx(expected, rel=1e-4)
    one = 0.5
    for _ in range(6):
        one = guided_variance(one, 1.0, scale - 1)
    assert course[-1] == pytest.approx(one, rel=1e-9)


def test_r1_doubly_exponential_collapse_is_printed_right():
    assert variance_course(0.5, 1.0, 1.0, 6)[-1] == pytest.approx(5.4e-20, rel=0.01)


@pytest.mark.parametrize(("scale", "expected"), [(1.2, 0.43528), (2.0, 0.25)])
def test_r2_one_step(scale, expected):
    assert guided_variance(0.5, 1.0, scale - 1) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(("above", "expected"), [(0.1, 0.12749), (0.5, 0.18), (1.0, 0.28125), (3.0, 0.45125)])
def test_r3_above_a_level(above, expected):
    assert guided_variance(0.5, 1.0, 2.0, above=above) == pytest.approx(expected, rel=5e-5)


@pytest.mark.parametrize("interval", [{}, {"above": 0.5}, {"up_to": 1.0}, {"above": 0.1, "up_to": 2.0}])
def test_r4_unguided(interval):
    assert guided_variance(0.5, 1.0, 0.0, **interval) == pytest.approx(0.5, rel=1e-12)


def ode(s2, S2, weight, low, high, top=1e4):
    """The guided flow by a solver of scipy's: d ln y / d ln sigma = sigma^2 ((1 + g) / (s2 + .) - g / (S2 + .))."""

    def slope(logarithm, _):
        square = math.exp(2 * logarithm)
        g = weight(math.exp(logarithm))
        return [square * ((1 + g) / (s2 + square) - g / (S2 + square))]

    edges = sorted({math.log(v) for v in (1e-5, low, high, top) if 1e-5 <= v <= top}, reverse=True)
    gained = 0.0
    for a, b in itertools.pairwise(edges):
        found = solve_ivp(slope, (a - 1e-12, b + 1e-12), [gained], rtol=1e-10, atol=1e-12, max_step=0.2)
        gained = found.y[0, -1]
    return (s2 + top**2) * math.exp(2 * gained)


@pytest.mark.parametrize(("low", "high"), [(0.3, 2.0), (0.05, 0.7), (1.0, 40.0)])
def test_any_interval_against_a_solver(low, high):
    found = guided_variance(0.5, 1.0, 1.5, above=low, up_to=high)
    expected = ode(0.5, 1.0, lambda sigma: 1.5 if low < sigma <= high else 0.0, low, high)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 2.0, 6.0])
def test_decay_against_a_solver(decay):
    ladder = [40.0, 7.0, 2.0, 0.5, 0.1, 0.0]

    def weight(sigma):
        return 1.5 * math.exp(-decay * np.interp(sigma, ladder[::-1], np.linspace(1, 0, 6)))

    found = decaying_variance(0.5, 1.0, 1.5, decay, ladder)
    assert found == pytest.approx(ode(0.5, 1.0, weight, 0.1, 40.0), rel=1e-4)


def test_early_guidance_is_nearly_free_and_decay_comes_between():
    ladder = np.append(np.geomspace(80, 0.01, 60), 0.0)
    course = [decaying_variance(0.5, 1.0, 3.0, rate, ladder) for rate in (0.0, 1.0, 3.0, 6.0, 30.0)]
    assert course[0] == pytest.approx(guided_variance(0.5, 1.0, 3.0))
    assert all(a < b for a, b in itertools.pairwise(course)) and course[-1] < 0.5


def test_c2_the_same_narrow_set_is_not_guided():
    assert guided_variance(0.3, 0.3, 7.0) == pytest.approx(0.3)


@pytest.mark.parametrize("guidance", [-0.2, 0.0, 0.3])
def test_chains_of_fits_to_finite_samples(guidance):
    """E r_k of simulated chains, n = 20: the course with `log_shrink` within 4.5 standard errors. That with `mean_shrink`, half
    as much lost, is at least as far off as the difference between the two says."""
    n, chains, steps = 20, 40_000, 6
    rng = np.random.default_rng(7)
    r = np.full(chains, math.log(0.5))
    for _ in range(steps):
        r = (1 + guidance) * r + np.log(rng.chisquare(n - 1, chains) / n)
    exact, rough = (
        log_ratio_course(math.log(0.5), guidance, steps, shrink=shrink(n))[-1]
        for shrink in (log_shrink, mean_shrink)
    )
    error = r.std() / math.sqrt(chains)
    assert abs(r.mean() - exact) < 4.5 * error
    assert rough - r.mean() > 20 * error


def test_mean_shrink_is_that_of_the_mean():
    n = 20
    v = np.random.default_rng(8).chisquare(n - 1, 200_000) / n
    assert v.mean() == pytest.approx(mean_shrink(n), abs=4.5 * v.std() / math.sqrt(len(v)))


def test_fixed_points():
    """w < 1: ln kappa / (1 - w), reached from anywhere; w > 1: left on both sides."""
    at, attracting = fixed_point(-0.1, shrink=0.99)
    assert at == pytest.approx(math.log(0.99) / 0.1) and attracting
    for start in (-3.0, 0.0):
        assert log_ratio_course(start, -0.1, 300, shrink=0.99)[-1] == pytest.approx(at, abs=1e-9)
    at, attracting = fixed_point(0.2, shrink=0.99)
    assert at > 0 and not attracting
    assert log_ratio_course(at, 0.2, 20, shrink=0.99)[-1] == pytest.approx(at, abs=1e-9)
    below, beyond = (log_ratio_course(at + d, 0.2, 60, shrink=0.99)[-1] for d in (-1e-3, 1e-3))
    assert below < -10 and beyond > 10


BAD = {
    "variance": (lambda: guided_variance(0, 1, 1), "the variance is 0"),
    "unconditional": (lambda: guided_variance(1, -1, 1), "the unconditional variance is -1"),
    "guidance": (lambda: guided_variance(1, 1, -1.5), "the guidance weight is -1.5"),
    "guidance_nan": (lambda: log_ratio_course(0, math.nan, 2), "the guidance weight is nan"),
    "interval": (lambda: guided_variance(1, 1, 1, above=2, up_to=2), "it must end above 2"),
    "interval_nan": (lambda: guided_variance(1, 1, 1, up_to=math.nan), "ends at nan"),
    "below": (lambda: guided_variance(1, 1, 1, above=-1), "the lower end of the interval is -1"),
    "decay": (lambda: decaying_variance(1, 2, 1, -1, [1, 0]), "the decay is -1"),
    "rising": (lambda: decaying_variance(1, 2, 1, 1, [0, 1]), "must be noise levels that fall to 0"),
    "open": (lambda: decaying_variance(1, 2, 1, 1, [2, 1]), "must be noise levels that fall to 0"),
    "start": (lambda: log_ratio_course(math.inf, 1, 2), "the first log ratio is inf"),
    "iterations": (lambda: log_ratio_course(0, 1, -1), "the number of iterations is -1"),
    "shrink": (lambda: log_ratio_course(0, 1, 2, shrink=1.2), "the shrink is 1.2"),
    "size": (lambda: mean_shrink(1), "the number of records is 1"),
    "neutral": (lambda: fixed_point(0.0), "has no fixed point of its own"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_answer_is_refused(name):
    make, words = BAD[name]
    with pytest.raises(SpecError, match=words):
        make()
