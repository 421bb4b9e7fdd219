"""Straight pieces: the best cut of all, and laws of what is found."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from autophage.watching.change_points import cuts, fitted, penalty, pieces
from autophage.watching.noise import local_noise, settled_noise


def total(x, y, starts, scale, price):
    """The cost of a cut, each line fitted by itself."""
    rss = 0.0
    for a, b in zip(starts, [*starts[1:], len(x)], strict=True):
        design = np.stack([np.ones(b - a), x[a:b]], axis=1)
        rss += float(((y[a:b] - design @ np.linalg.lstsq(design, y[a:b], rcond=None)[0]) ** 2).sum())
    return rss / scale**2 + price * (len(starts) - 1)


def every_cut(n, least):
    for many in range(n // least):
        for inner in combinations(range(1, n), many):
            edges = [0, *inner, n]
            if min(np.diff(edges)) >= least:
                yield edges[:-1]


@pytest.mark.parametrize("price", [0.5, 3.0, 12.0])
@pytest.mark.parametrize("least", [2, 3])
def test_the_recursion_finds_the_best_of_all_cuts(price, least):
    rng = np.random.default_rng(3)
    for n in (2, 5, 8, 11):
        for _ in range(4):
            x = np.cumsum(rng.uniform(0.2, 3, n))
            y = rng.normal(size=n) + 3 * (rng.random() < 0.5) * (np.arange(n) > n // 2)
            found = cuts(x, y, 0.7, price, least)
            best = min((total(x, y, starts, 0.7, price) for starts in every_cut(n, least)), default=None)
            if n < 2 * least:
                assert found == [0]
            else:
                assert total(x, y, found, 0.7, price) == pytest.approx(best, abs=1e-7)


def test_units_do_not_matter():
    rng = np.random.default_rng(1)
    x = np.arange(40.0)
    y = np.abs(x - 17) + rng.normal(size=40)
    plain = [p.start for p in pieces(x, y, local_noise(x, y))]
    assert len(plain) > 1
    for a, b, c, d in ((1000.0, 5e5, 1.0, 0.0), (1.0, 0.0, 1e-6, 3.0), (7.0, -30.0, -2e5, 1e6)):
        u, v = a * x + b, c * y + d
        assert [p.start for p in pieces(u, v, local_noise(u, v))] == plain
    # Read backwards, the same pieces: an end becomes a start.
    backwards = pieces(-x[::-1], y[::-1], local_noise(-x[::-1], y[::-1]))
    assert sorted(40 - p.end for p in backwards) == plain


def test_pieces_are_least_squares_lines_without_gaps():
    rng = np.random.default_rng(2)
    x = np.cumsum(rng.uniform(1, 3, 60))
    y = np.where(np.arange(60) < 25, 3 - 0.5 * x, 0.2 * x - 30) + 0.2 * rng.normal(size=60)
    found = pieces(x, y, local_noise(x, y))
    assert [p.start for p in found] == [0, *(p.end for p in found[:-1])] and found[-1].end == 60
    fit = fitted(x, found)
    for p in found:
        s = slice(p.start, p.end)
        slope, level = np.polyfit(x[s], y[s], 1)
        assert np.allclose(fit[s], slope * x[s] + level) and p.slope == pytest.approx(slope)
        assert (p.first, p.last) == (pytest.approx(fit[p.start]), pytest.approx(fit[p.end - 1]))
    assert [p.start for p in found] == [0, 25] and [p.way() for p in found] == [-1, 1]


def test_a_straight_course_is_rarely_cut():
    rng = np.random.default_rng(5)
    for n in (8, 20, 60):
        x = np.arange(float(n))
        wrong = sum(len(pieces(x, y, local_noise(x, y))) > 1 for y in 0.3 * x + rng.normal(size=(250, n)))
        assert wrong <= 12  # 5 % of 250
    assert len(pieces(x, 2 - 3 * x, local_noise(x, 2 - 3 * x))) == 1
    assert len(pieces(x, np.full(n, 7.0), local_noise(x, np.full(n, 7.0)))) == 1
    assert len(pieces(x, np.zeros(n), local_noise(x, np.zeros(n)))) == 1


def test_the_fewer_points_tell_the_noise_the_dearer_a_piece():
    prices = [penalty(30, v) for v in (3, 5, 10, 30, 1e4)]
    assert prices == sorted(prices, reverse=True) and prices[-1] == pytest.approx(4 * np.log(30), rel=1e-2)
    # The definition: as rare under F(3, v) as 4 ln n is under chi squared.
    from scipy.stats import chi2, f

    assert f.sf(penalty(30, 7) / 3, 3, 7) == pytest.approx(chi2.sf(4 * np.log(30), 3), rel=1e-6)


def test_the_local_noise_is_that_of_the_points():
    rng = np.random.default_rng(4)
    for x in (np.arange(4000.0), np.cumsum(rng.uniform(0.1, 2, 4000))):
        y = np.sin(x / 200) + 0.3 * rng.normal(size=4000)
        noise = local_noise(x, y)
        # The standard error is 0.3 / sqrt(2 v), v the degrees of freedom; cutting at three sigmas takes 0.3 %.
        assert noise.scale == pytest.approx(0.3, abs=4 * 0.3 / (2 * noise.freedom) ** 0.5 + 0.001)
    squares = [local_noise(np.arange(30.0), y).scale ** 2 for y in rng.normal(size=(2000, 30))]
    assert 2 / np.var(squares) == pytest.approx(18 * 28 / 35, rel=0.2)
    spiked = y.copy()
    spiked[::100] += 1000
    assert local_noise(x, spiked).scale < 2 * 0.3
    assert local_noise(np.arange(2.0), np.arange(2.0)).freedom == 0
    uneven = np.array([0.0, 1, 5, 6])
    assert local_noise(uneven, 2 * uneven).scale < 1e-14


def test_a_steep_beginning_is_no_noise():
    rng = np.random.default_rng(6)
    x = np.arange(60.0)
    steep = 300 * np.exp(-x / 4) + 0.02 * rng.normal(size=60)
    assert local_noise(x, steep).scale > 0.05 and settled_noise(x, steep).scale < 0.03
    assert pieces(x, steep, settled_noise(x, steep))[-1].way() <= 0
    even = rng.normal(size=(500, 24))
    halved = sum(settled_noise(x[:24], y) != local_noise(x[:24], y) for y in even)
    assert halved <= 15  # 1 % of 500, and four standard errors
    assert settled_noise(x[:20], steep[:20]) == local_noise(x[:20], steep[:20])
