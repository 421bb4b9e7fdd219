"""Curated loops: the sheets' values, and every formula against a second way to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import curated

P, R = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.7, 1.5])
Q_LAW, Q_REWARD = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 0.5, 1.0, 2.0])
INF = np.inf


def enumerated(p, r, K):
    """The law of the kept record, over all K-tuples of samples."""
    found, a = np.zeros(len(p)), np.exp(r - np.max(r))
    for drawn in itertools.product(range(len(p)), repeat=K):
        place = list(drawn)
        if a[place].sum() > 0:
            np.add.at(found, place, p[place].prod() * a[place] / a[place].sum())
    return found / found.sum()


def random_laws(count, seed, most_choices=5):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = int(rng.integers(2, 5))
        yield (
            rng.dirichlet(np.ones(size)),
            rng.normal(0, 1.5, size),
            int(rng.integers(2, most_choices + 1)),
            rng,
        )


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (2, (0.386029, 0.327659, 0.286312)),
        (4, (0.316612, 0.325746, 0.357642)),
        (8, (0.281633, 0.316486, 0.401880)),
        (INF, (0.249942, 0.301993, 0.448065)),
    ],
    ids=["f1-K2", "f2-K4", "f2-K8", "f2-inf"],
)
def test_f1_f2_one_round(choices, expected):
    np.testing.assert_allclose(curated.kept(P, R, choices), expected, atol=1e-6)


@pytest.mark.parametrize("choices", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    "reward",
    [R, [0.0, 300.0, -400.0], [1.0, 1.0, 1.0], [0.0, -INF, 1.0], [-800.0, -700.0, -INF]],
    ids=["sheet", "far apart", "equal", "one impossible", "low"],
)
def test_the_integral_is_the_enumeration(choices, reward):
    reward = np.asarray(reward)
    np.testing.assert_allclose(curated.kept(P, reward, choices), enumerated(P, reward, choices), atol=1e-13)


def test_selection_is_between_zero_and_the_choices_with_mean_one():
    for p, r, K, _ in random_laws(50, 1, most_choices=40):
        H = curated.selection(p, r, K)
        assert (H >= 0).all() and (H <= K).all() and p @ H == pytest.approx(1, abs=1e-12)


def test_many_choices_approach_the_limit_like_one_over_their_number():
    far = [np.abs(curated.kept(P, R, K) - curated.kept(P, R, INF)).max() for K in (1e3, 1e4, 1e6)]
    assert far[0] / far[1] == pytest.approx(10, rel=0.02) and far[1] / far[2] == pytest.approx(100, rel=0.02)
    assert curated.kept(P, R, 1e9).sum() == pytest.approx(1, abs=1e-12)


def test_an_outcome_without_mass_may_be_the_best():
    H = curated.selection([0.6, 0.4, 0.0], [0.0, 1.0, 900.0], 3)
    np.testing.assert_allclose(H[:2], curated.selection([0.6, 0.4], [0.0, 1.0], 3), rtol=1e-12)
    assert H[2] == pytest.approx(3, rel=1e-9)


def test_f3_ties_keep_their_share():
    end = curated.course(P, [0, 1, 1], 4, 81)[-1]
    np.testing.assert_allclose(end, [0, 0.6, 0.4], atol=1e-9)
    np.testing.assert_allclose(curated.limit(P, [0, 1, 1]), [0, 0.6, 0.4], atol=1e-15)


def test_f4_two_outcomes_by_closed_form_and_in_general():
    course = curated.two_outcomes(0.1, 1, 21).course
    np.testing.assert_allclose(
        course[[1, 5, 10, 20]], [0.1415906, 0.4691603, 0.9220816, 0.9998167], atol=1e-6
    )
    np.testing.assert_allclose(course, curated.course([0.1, 0.9], [1, 0], 2, 21)[:, 0], atol=1e-12)


def test_f4b_odds_with_many_choices():
    course = curated.two_outcomes_limit(0.1, 1, 11)
    np.testing.assert_allclose(course[[1, 5, 10]], [0.2319693, 0.9428256, 0.9995916], atol=1e-6)
    np.testing.assert_allclose(course, curated.course([0.1, 0.9], [1, 0], INF, 11)[:, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("ratio", "a", "gap", "settles", "divergence", "bound"),
    [
        (0.5, 0.1, 2, 0.1480232, 0.011336, 0.693147),
        (0.9, 0.3, 5, 0.5215749, 0.106388, 2.302585),
        (3, 0.1, 1, 0.4419096, 0.389952, None),
    ],
    ids=["f5-0.5", "f5-0.9", "f5-3"],
)
def test_f5_with_reference_data(ratio, a, gap, settles, divergence, bound):
    found = curated.fixed_point([a, 1 - a], [gap, 0], 2, ratio)
    assert found[0] == pytest.approx(settles, abs=1e-6)
    assert curated.two_outcomes(a, gap, 1, ratio=ratio).settles == pytest.approx(found[0], abs=1e-11)
    assert curated.divergence(found, [a, 1 - a]) == pytest.approx(divergence, abs=1e-6)
    limit = curated.divergence_bound(2, ratio)
    assert limit.value is None if bound is None else limit.value == pytest.approx(bound, abs=1e-6)
    assert limit.why.startswith("no guarantee") == (bound is None)


@pytest.mark.parametrize("gap", [-3.0, -0.5, 0.0, 0.5, 40.0])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 20.0])
def test_the_fixed_point_of_two_outcomes_for_any_gap(gap, ratio):
    found = curated.two_outcomes(0.3, gap, 400, ratio=ratio)
    assert found.course[-1] == pytest.approx(found.settles, abs=1e-8)
    assert 0 <= found.settles <= 1


def test_two_outcomes_of_which_one_is_missing():
    assert curated.two_outcomes(0.0, 5, 3, ratio=9).settles == 0
    assert curated.two_outcomes(0.0, 5, 3).settles == 0 and curated.two_outcomes(0.2, 0, 3).settles == 0.2
    assert curated.two_outcomes(0.2, 1, 3).settles == 1 and curated.two_outcomes(0.2, -1, 3).settles == 0


def test_f6_lemma_2_2_on_random_laws():
    least = INF
    for p, r, K, _ in random_laws(300, 2):
        before, after = (curated.reward_moments(law, r) for law in (p, curated.kept(p, r, K)))
        gain = curated.gain_bound(before.variance, K, before.best).value
        least = min(least, after.mean - before.mean - gain)
    assert least >= -1e-12


def test_f7_theorems_2_3_and_2_4_on_random_cases():
    for p, r, K, rng in random_laws(200, 3):
        ratio = rng.uniform(0.05, 0.95) / (K - 1)
        found = curated.course(p, r, K, 41, ratio=ratio)
        start = curated.reward_moments(p, r)
        floor = curated.floor_bound(start.variance, K, ratio, start.best).value
        assert (found[1:] @ np.exp(r) >= start.mean + floor - 1e-12).all()
        limit = curated.divergence_bound(K, ratio).value
        assert max(curated.divergence(law, p) for law in found) <= limit


@pytest.mark.parametrize(
    ("choices", "mean", "variance"),
    [(4, 0.606, None), (16, 0.868, None), (256, 0.989, 0.991)],
    ids=["f8-K4", "f8-K16", "f8-K256"],
)
def test_f8_normal_with_a_linear_reward(choices, mean, variance):
    """On the 120 points of a Gauss rule; the sheet's values are simulated."""
    x, w = np.polynomial.hermite_e.hermegauss(120)
    law = curated.kept(w / w.sum(), x, choices)
    assert law @ x == pytest.approx(mean, abs=0.02)
    if variance is not None:
        assert law @ x**2 - (law @ x) ** 2 == pytest.approx(variance, abs=0.02)


def test_f9_and_gaussians_by_quadrature():
    found = curated.gaussian_quadratic(0, 1, 0, 1, 5)
    assert found.variance[4] == pytest.approx(0.2, abs=1e-9) and not found.mean.any()
    x = np.linspace(-14, 14, 4001)
    for m, v, z, c in ((0.5, 1.3, 2.0, 0.8), (-1.0, 0.4, 0.0, 3.0)):
        start = np.exp(-((x - m) ** 2) / (2 * v))
        quadratic = curated.course(start / start.sum(), -((x - z) ** 2) / (2 * c**2), INF, 4)
        linear = curated.course(start / start.sum(), 0.7 * x, INF, 4)
        for laws, exact in (
            (quadratic, curated.gaussian_quadratic(m, v, z, c, 4)),
            (linear, curated.gaussian_linear(m, v, 0.7, 4)),
        ):
            means = laws @ x
            np.testing.assert_allclose(means, exact.mean, atol=1e-9)
            np.testing.assert_allclose(laws @ x**2 - means**2, exact.variance, rtol=1e-9)


def test_q1_q2_one_round_of_four_symbols():
    np.testing.assert_allclose(
        curated.kept(Q_LAW, Q_REWARD, 2), [0.30318, 0.29564, 0.24242, 0.15876], atol=6e-6
    )
    np.testing.assert_allclose(curated.kept(Q_LAW, Q_REWARD, 4), [0.246, 0.273, 0.259, 0.221], atol=1e-3)
    np.testing.assert_allclose(
        curated.kept(Q_LAW, Q_REWARD, INF), [0.1837, 0.2272, 0.2497, 0.3394], atol=6e-5
    )


def test_q3_course_of_the_mean():
    means = curated.course(Q_LAW, Q_REWARD, 2, 5) @ np.exp(Q_REWARD)
    np.testing.assert_allclose(means, [2.1772, 2.6227, 3.2024, 3.9105, 4.7004], atol=6e-5)


def test_q4_critical_share_of_malicious_users():
    share = curated.critical_share(Q_LAW, Q_REWARD, -Q_REWARD)
    assert share == pytest.approx(0.696664, abs=1e-6)
    assert curated.attack(Q_LAW, Q_REWARD, -Q_REWARD, share) == pytest.approx(0, abs=1e-12)
    assert curated.attack(Q_LAW, Q_REWARD, -Q_REWARD, share + 0.01) < 0


def test_the_attack_is_its_covariance():
    a, b = np.exp(Q_REWARD), np.exp(-0.5 * Q_REWARD + [0, 1, 0, 0])
    mean, other = Q_LAW @ a, Q_LAW @ b
    expected = 0.4 * (Q_LAW @ a**2 - mean**2) / mean + 0.6 * (Q_LAW @ (a * b) - mean * other) / other
    assert curated.attack(Q_LAW, Q_REWARD, np.log(b), 0.6) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("choices", [2, 5, INF])
def test_users_who_share_the_taste_do_no_harm(choices):
    assert curated.critical_share(Q_LAW, Q_REWARD, 2 * Q_REWARD, choices) is None
    share = curated.critical_share(Q_LAW, Q_REWARD, -Q_REWARD, choices)
    assert share is not None
    assert curated.attack(Q_LAW, Q_REWARD, -Q_REWARD, share, choices) == pytest.approx(0, abs=1e-11)


def test_q5_fixed_point_with_real_data():
    found = curated.fixed_point(Q_LAW, Q_REWARD, INF, 2)
    np.testing.assert_allclose(found, [0.1529, 0.1268, 0.1023, 0.6181], atol=6e-5)
    assert found @ np.exp(Q_REWARD) == pytest.approx(5.2068, abs=6e-5)


def test_malicious_users_may_come_later():
    plain = curated.course(Q_LAW, Q_REWARD, 2, 4)
    late = curated.course(Q_LAW, Q_REWARD, 2, 4, malicious_share=[0, 0, 1, 0], malicious_reward=-Q_REWARD)
    np.testing.assert_array_equal(late[:3], plain[:3])
    assert late[3] @ np.exp(Q_REWARD) < plain[2] @ np.exp(Q_REWARD)


def test_without_choice_or_without_curated_records_nothing_moves():
    np.testing.assert_allclose(curated.course(P, R, 1, 5), np.tile(P, (5, 1)), atol=1e-15)
    np.testing.assert_allclose(curated.course(P, R, 4, 5, ratio=0), np.tile(P, (5, 1)), atol=1e-15)
    assert curated.divergence_bound(1, INF).value == 0 == curated.divergence_bound(INF, 0).value


@pytest.mark.parametrize("best", [None, INF, -INF, np.nan])
def test_bounds_that_need_the_best_reward_say_so(best):
    for found in (curated.gain_bound(1.0, 2, best), curated.floor_bound(1.0, 2, 0.5, best)):
        assert found.value is None and "unknown or infinite" in found.why


@pytest.mark.parametrize("ratio", [1 / 3, 0.5, 1.0, INF])
def test_no_guarantee_is_not_a_number(ratio):
    found = curated.divergence_bound(4, ratio)
    assert found.value is None and "below 1/(choices - 1) = 0.333333" in found.why


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curated.kept(P, R, 0), "choices is 0; it must be a whole number of at least 1"),
        (lambda: curated.kept(P, R, 2.5), "choices is 2.5"),
        (lambda: curated.kept(P, R, np.nan), "choices is nan"),
        (lambda: curated.kept(P, [0, 1], 2), "one reward per outcome: 3, got 2"),
        (lambda: curated.kept(P, [0, np.nan, 1], 2), "NaN and \\+inf"),
        (lambda: curated.kept(P, [0, INF, 1], 2), "NaN and \\+inf"),
        (lambda: curated.kept([1.0, 0], [-INF, 1], 2), "nothing can be chosen"),
        (lambda: curated.kept([0.5, 0.6], [0, 1], 2), "sum to one"),
        (lambda: curated.kept(P, R, 2, malicious_share=1.5), "malicious share is 1.5"),
        (lambda: curated.kept(P, R, 2, malicious_share=0.5), "no malicious_reward"),
        (lambda: curated.course(P, R, 2, 3, ratio=-1), "synthetic ratio is -1"),
        (lambda: curated.course(P, R, 2, 3, ratio=np.nan), "synthetic ratio is nan"),
        (lambda: curated.course(P, R, 2, 3, malicious_share=[0.1]), "one per generation: 3"),
        (lambda: curated.fixed_point(P, R, 2, INF), "ends at `limit`"),
        (lambda: curated.gain_bound(-1, 2, 0), "variance of e\\^r is -1"),
        (lambda: curated.two_outcomes(1.2, 1, 3), "reference mass is 1.2"),
        (lambda: curated.two_outcomes(0.2, INF, 3), "gap of the rewards"),
        (lambda: curated.two_outcomes_limit(0.2, np.nan, 3), "gap of the rewards"),
        (lambda: curated.gaussian_linear(0, 0, 1, 3), "variance is 0"),
        (lambda: curated.gaussian_quadratic(0, 1, 0, 0, 3), "width is 0"),
        (lambda: curated.divergence([1.0, 0], [0.2, 0.3, 0.5]), "2 and 3 outcomes"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(SpecError, match=words):
        call()


def test_a_loop_that_does_not_settle_is_said(monkeypatch):
    monkeypatch.setattr(curated, "LONGEST", 3)
    with pytest.raises(SpecError, match="had not settled after 3 rounds"):
        curated.fixed_point(P, R, 2, 5)
