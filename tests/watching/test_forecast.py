"""Forecasts: exact where the course is exact, honest where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.watching.forecast import forecast


def test_a_line_is_carried_on():
    x = np.arange(0, 200, 10.0)
    found, why = forecast(x, 3 - 0.01 * x, "loss")
    assert found is not None and not why
    assert found.law == "line" and found.status == "extrapolation" and found.limit is None
    assert found.steps[0] == 190 and found.steps[-1] == 190 + 95  # at most half of the course
    assert np.allclose(found.values, 3 - 0.01 * found.steps)
    assert found.tried is True and "extrapolation" in found.sentence


def test_a_law_that_levels_off_is_known_by_its_bend():
    x = np.arange(40.0)
    rng = np.random.default_rng(0)
    found, _ = forecast(x, 1 + 2 * np.exp(-x / 12) + 0.005 * rng.normal(size=40), ahead=40)
    assert found is not None and found.law == "levelling"
    assert (
        found.limit == pytest.approx(1, abs=0.1)
        and found.low[-1] <= 1 + 2 * np.exp(-79 / 12) <= found.high[-1]
    )


def test_only_the_last_regime_is_carried_on():
    x = np.arange(40.0)
    y = np.where(x < 25, 10 - 0.3 * x, 2.5 + 0.1 * (x - 25))
    found, _ = forecast(x, y, ahead=10)
    assert found is not None and found.since == pytest.approx(25, abs=1)
    assert found.values[-1] == pytest.approx(2.5 + 0.1 * 24, abs=0.05)


def test_the_interval_holds_the_next_points():
    rng = np.random.default_rng(11)
    for n, ahead in ((12, 6), (40, 20)):
        hits = many = 0
        for _ in range(150):
            x = np.arange(float(n + ahead))
            y = 5 - 0.02 * x + rng.normal(size=n + ahead)
            found, _ = forecast(x[:n], y[:n], ahead=float(ahead))
            if found is not None:
                many += 1
                hits += found.low[-1] <= y[-1] <= found.high[-1]
        error = (0.95 * 0.05 / many) ** 0.5
        assert many > 140 and hits / many > 0.95 - 5 * error


def test_the_interval_widens_with_the_distance():
    rng = np.random.default_rng(1)
    x = np.arange(30.0)
    found, _ = forecast(x, x + rng.normal(size=30), ahead=30)
    assert found is not None
    assert (np.diff(found.high - found.low) > 0).all()


def test_where_there_is_none_it_is_said():
    found, why = forecast(np.arange(3.0), np.array([3.0, 2, 1]), "loss")
    assert found is None and why.startswith("no forecast: the last regime of loss")
    for ahead in (0, -1, float("nan"), float("inf")):
        with pytest.raises(SpecError, match="must be a number above zero"):
            forecast(np.arange(9.0), np.arange(9.0), ahead=ahead)
