"""Barzilai & Shamir: the growth of the sufficient size, and the spike family's probabilities by quadrature."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import consistency


def test_the_sufficient_size_by_its_formula():
    T, d, delta = 50, 3, 0.01
    expected = 2.5 * (np.log(T) + 1) ** 2 * np.log(7 * d * T / delta) ** 2
    assert consistency.sufficient_size(T, d, delta, 2.5) == pytest.approx(expected)


def test_it_grows_more_slowly_than_any_power_of_the_horizon():
    sizes = [consistency.sufficient_size(10**k, 1, 0.05) for k in range(1, 60)]
    ratios = np.diff(np.log(sizes)) / np.log(10)
    assert (np.diff(ratios) < 0).all() and ratios[-1] < 0.04


@pytest.mark.parametrize("n", [1, 2, 20, 500])
def test_spike_probabilities_by_quadrature(n):
    from scipy.integrate import quad

    def over(chance):
        return quad(lambda s: n * (1 - s) ** (n - 1) * chance(s / 4), 0, 1, points=[1 / n], epsabs=1e-12)[0]

    assert consistency.spike_hit(n) == pytest.approx(over(lambda h: 1 - (1 - h) ** n), abs=1e-9)
    assert consistency.spike_single(n) == pytest.approx(over(lambda h: n * h * (1 - h) ** (n - 1)), abs=1e-9)


def test_sheet_4_limits():
    assert consistency.spike_hit() == 0.2 == pytest.approx(consistency.spike_hit(10**8), abs=1e-7)
    assert consistency.spike_single() == 0.16 == pytest.approx(consistency.spike_single(10**8), abs=1e-7)


def test_total_variation_of_the_family_by_integration():
    for a in (0.01, 0.125, 0.25):
        bulk, edge = (1 - a) / (1 - 2 * a) + a / 2, a / 2
        apart = (1 - 2 * a) * abs(bulk - 1) + 2 * a * abs(edge - 1) + a / 2
        assert consistency.spike_distance(a) == pytest.approx(apart / 2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: consistency.sufficient_size(0, 1, 0.1), "generations"),
        (lambda: consistency.sufficient_size(5, 0, 0.1), "dim"),
        (lambda: consistency.sufficient_size(5, 1, 1.0), "failure"),
        (lambda: consistency.sufficient_size(5, 1, float("nan")), "failure"),
        (lambda: consistency.sufficient_size(5, 1, 0.1, 0.0), "c is 0"),
        (lambda: consistency.spike_distance(0.3), "a is 0.3"),
        (lambda: consistency.spike_first_fit(0), "n is 0"),
        (lambda: consistency.spike_hit(0.5), "n is 0.5"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(SpecError, match=words):
        call()
