"""Garetto et al., reduced model: the sheet's values and the recursion post by post."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import information_ecosystem as web

SHEET = (0.6, 0.2, 0.3, 0.05)


def test_sheet_9_fixed_point_and_finite_time():
    assert web.fixed_point(*SHEET) == pytest.approx(0.242308, abs=1e-6)
    assert web.approach_rate(0.6, 0.2) == pytest.approx(0.52)
    assert web.course(*SHEET, 20_000) == pytest.approx(0.2449, abs=5e-5)


def test_the_course_post_by_post():
    rho, g, r_h, r_c = SHEET
    red, n = 20.0, 40
    for _ in range(300):
        x = red / n
        red, n = red + (1 - rho) * r_h + rho * web.model_red(x, g, r_c), n + 1
    found = web.course(*SHEET, [0, 300], initial_posts=40, initial_red=0.5)
    assert found == pytest.approx([0.5, red / n], rel=1e-12)


def test_the_deviation_falls_at_the_rate():
    posts = np.array([1e6, 1e8])
    gap = web.course(*SHEET, posts) - web.fixed_point(*SHEET)
    assert np.log(gap[0] / gap[1]) / np.log(100) == pytest.approx(web.approach_rate(0.6, 0.2), abs=1e-4)


def test_the_fixed_point_is_one():
    x = web.fixed_point(*SHEET)
    assert 0.4 * 0.3 + 0.6 * web.model_red(x, 0.2, 0.05) == pytest.approx(x)
    assert web.fixed_point(0.0, 0.2, 0.3, 0.05) == 0.3
    assert web.fixed_point(1.0, 0.2, 0.3, 0.05) == pytest.approx(0.05)


def test_a_model_alone_keeps_what_it_began_with():
    assert web.course(1.0, 0.0, 0.3, 0.05, [0, 1000], initial_red=0.4).tolist() == [0.4, 0.4]
    with pytest.raises(SpecError, match="no fixed point"):
        web.fixed_point(1.0, 0.0, 0.3, 0.05)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_must_be_shares(place, value):
    given = [v if i != place else value for i, v in enumerate(SHEET)]
    for call in (lambda: web.fixed_point(*given), lambda: web.course(*given, 10)):
        with pytest.raises(SpecError, match=r"must lie in \[0, 1\]"):
            call()


def test_posts_and_coupons_must_be_counts():
    with pytest.raises(SpecError, match="posts"):
        web.course(*SHEET, [-1])
    with pytest.raises(SpecError, match="initial_posts"):
        web.course(*SHEET, 10, initial_posts=0)
