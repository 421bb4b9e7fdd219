"""Marchi et al.: the sheet's values, the linearisation, heat death, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import temperature
from autophage.theory.iterative_mle import bernoulli_error

FOUR = np.array([0.5, 0.3, 0.15, 0.05])


@pytest.mark.parametrize(
    "tau, expected",
    [(0.9, (0.63636, 0.26792, 0.08283, 0.01289)), (1.2, (0.35371, 0.28806, 0.21803, 0.14021))],
)
def test_h1_h2_replace(tau, expected):
    course = temperature.replace(FOUR, tau, 6)
    np.testing.assert_allclose(course[5], expected, atol=1e-5)
    law = FOUR
    for step in course:
        np.testing.assert_allclose(step, law, rtol=1e-12)
        law = temperature.soft(law, tau)


def test_h3_accumulate_still_dies():
    cold = temperature.accumulate(FOUR, 0.7, 20_000)[-1]
    hot = temperature.accumulate(FOUR, 1.5, 20_000)[-1]
    assert cold[0] > 0.99
    assert np.abs(hot - 0.25).max() < 0.015


@pytest.mark.parametrize(
    "share, tau, expected",
    [
        (0.5, 0.8, (0.56305, 0.28176, 0.12063, 0.03457)),
        (0.1, 0.8, (0.91196, 0.05685, 0.02426, 0.00694)),
        (0.1, 1.3, (0.32936, 0.26924, 0.21934, 0.18206)),
    ],
)
def test_h4_external_data(share, tau, expected):
    found = temperature.fixed_point(FOUR, tau, share)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(share * FOUR + (1 - share) * temperature.soft(found, tau), found, atol=1e-13)
    np.testing.assert_allclose(temperature.external(FOUR, tau, share, 400)[-1], found, atol=1e-10)


def test_h5_polya_variance():
    for p, expected in zip(FOUR, (0.03845, 0.03230, 0.01961, 0.00731), strict=True):
        assert bernoulli_error(10, 30, p)[-1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("tau, share", [(0.8, 0.0), (0.8, 0.5), (1.3, 0.1), (0.9, 0.1)])
def test_near_uniform_a_deviation_is_multiplied(tau, share):
    bump = 1e-7 * np.array([1.0, -2.0, 0.5, 0.5])
    uniform = np.full(4, 0.25)
    after = share * uniform + (1 - share) * temperature.soft(uniform + bump, tau)
    np.testing.assert_allclose((after - uniform) / bump, temperature.multiplier(tau, share), rtol=1e-5)


def test_enough_external_data_makes_the_multiplier_one():
    for tau in (0.3, 0.8, 0.99):
        assert temperature.multiplier(tau, temperature.enough_external(tau)) == pytest.approx(1)
    assert temperature.enough_external(1.0) == temperature.enough_external(2.0) == 0


def test_temperature_one_stands_still():
    for course in (
        temperature.replace(FOUR, 1, 50),
        temperature.accumulate(FOUR, 1, 50),
        temperature.external(FOUR, 1, 0.3, 50),
    ):
        np.testing.assert_allclose(course, np.broadcast_to(FOUR, (50, 4)), rtol=1e-12)


def test_the_limits_of_replace_keep_the_support():
    p = [0.4, 0.4, 0.2, 0.0]
    np.testing.assert_allclose(temperature.replace(p, 0.01, 400)[-1], temperature.argmax(p))
    np.testing.assert_allclose(temperature.replace(p, 50, 400)[-1], [1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(temperature.soft(p, 1e-4), temperature.argmax(p))
    assert temperature.accumulate(p, 3.0, 50)[-1, 3] == 0


def test_an_external_share_of_one_is_the_real_law():
    np.testing.assert_allclose(temperature.fixed_point(FOUR, 0.2, 1.0), FOUR, atol=1e-15)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_must_be_above_zero_and_argmax_is_offered(tau):
    calls = [
        lambda: temperature.soft(FOUR, tau),
        lambda: temperature.replace(FOUR, tau, 3),
        lambda: temperature.accumulate(FOUR, tau, 3),
        lambda: temperature.external(FOUR, tau, 0.1, 3),
        lambda: temperature.fixed_point(FOUR, tau, 0.1),
        lambda: temperature.multiplier(tau),
        lambda: temperature.enough_external(tau),
    ]
    for call in calls:
        with pytest.raises(SpecError, match="argmax"):
            call()


def test_other_refusals(monkeypatch):
    with pytest.raises(SpecError, match="external share"):
        temperature.fixed_point(FOUR, 0.8, float("nan"))
    with pytest.raises(SpecError, match="sum to one"):
        temperature.soft([0.5, 0.6], 0.8)
    monkeypatch.setattr(temperature, "LONGEST", 2)
    with pytest.raises(SpecError, match="not settled after 2 steps"):
        temperature.fixed_point(FOUR, 0.8, 0.1)
