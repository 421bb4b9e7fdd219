from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from autophage.metrics.intervals import blocks, covered, mean, median, normal, percentiles, ratio, wilson
from autophage.parts import Compared


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 17), (17, 17), (250, 1000)])
def test_wilson_against_scipy(k, n):
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert found.low <= found.value <= found.high and found.n == n


def test_means_and_medians_cover(rng, house):
    draws = rng.exponential(size=(1000, 101))
    assert house.coverage([mean(d) for d in draws], 1.0) > 0.95 - 4 * 0.0069 - 0.02  # skewed
    assert house.coverage([median(d) for d in draws], np.log(2)) > 0.95 - 4 * 0.0069
    one = median(np.array([2.0]))
    assert (one.value, one.low, one.high) == (2, 2, 2)
    assert np.isnan(mean(np.array([1.0])).low)


def test_normal_reach():
    found = normal(1.0, 2.0, 7)
    assert (found.low, found.high) == pytest.approx((1 - 2 * 1.959964, 1 + 2 * 1.959964), abs=1e-5)


def test_blocks_cover_a_difference_of_means(rng, house):
    def difference(a, b):
        return float(a.mean() - b.mean())

    found = []
    for _ in range(500):
        x, y = rng.normal(size=60), rng.normal(size=45)
        value = difference(x, y)
        found.append(Compared(value, *blocks(difference, x, y, value)))
    assert house.coverage(found, 0.0) > 0.95 - 4 * 0.0097
    width = np.mean([f.high - f.low for f in found])
    assert width == pytest.approx(2 * 2.262 * np.sqrt(1 / 60 + 1 / 45), rel=0.1)
    assert np.isnan(blocks(difference, x[:3], y, 0.0)).all()


def test_ratio_covers(rng, house):
    found = [ratio(mean(rng.normal(4, 1, 50)), mean(rng.normal(2, 0.5, 50))) for _ in range(500)]
    assert house.coverage(found, 2.0) > 0.95 - 4 * 0.0097
    assert np.isnan(ratio(Compared(1, 1, 1), Compared(0, 0, 1)).value)


def test_covered_is_wider_where_few_do_all_the_work():
    hit = np.array([True] * 50 + [False] * 50)
    spread_out, one_ball = np.full(100, -1), np.where(hit, 3, -1)
    assert covered(hit, one_ball).low < covered(hit, spread_out).low < 0.5
    assert covered(~hit[:50], np.full(50, -1)).high > 0.02


def test_percentiles():
    low, high = percentiles(np.arange(1001.0))
    assert (low, high) == pytest.approx((25, 975))
