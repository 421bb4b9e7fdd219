"""The random walk and contraction in closed form: the sheet's numbers, second implementations, and refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, truncnorm
from scipy.stats import t as student

from autophage.errors import SpecError
from autophage.schedules import Constant, Power, Scaling, Values
from autophage.theory import contraction, filter_pulls, gaussian_replace, moments, random_walk


def power(scale, exponent):
    return Power(power=Scaling(scale=scale, exponent=exponent))


def grown(scale, exponent, T):
    return np.ceil(scale * np.arange(1, T + 1.0) ** exponent - 1e-9)


# The random walk


@pytest.mark.parametrize("exponent, expected", [(1.0, 0.13140), (1.5, 0.050211), (2.0, 0.032849)])
def test_w2_variance_of_the_walk(exponent, expected):
    assert random_walk.walk_variance(grown(50, exponent, 400))[-1] == pytest.approx(expected, rel=2e-4)


def test_w1_variance_at_a_fixed_size():
    assert random_walk.walk_variance([50] * 100)[-1] == pytest.approx(2.0, rel=1e-12)
    assert random_walk.walk_variance([50] * 100, variance=4.0)[-1] == pytest.approx(8.0, rel=1e-12)


@pytest.mark.parametrize("s, expected", [(0.5, 0.052248), (1.0, 0.032899)])
def test_w3_limits_of_the_walk(s, expected):
    limit = random_walk.limit_variance(50, s)
    assert limit == pytest.approx(expected, abs=1e-6)
    T = 200_000
    real_sizes = random_walk.walk_variance(50 * np.arange(1, T + 1.0) ** (1 + s))[-1]
    rest = T**-s / (50 * s)  # the tail of the sum, as an integral
    assert real_sizes + rest == pytest.approx(limit, rel=1e-4)
    assert random_walk.limit_variance(50, 0.0) == math.inf == random_walk.limit_variance(50, -0.5)


def test_log_variance_is_that_of_unbiased_refits():
    mean, spread = random_walk.log_variance([10] * 20)
    assert mean[-1] == pytest.approx(-2.30413, abs=1e-5) and spread[-1] == pytest.approx(4.97450, abs=1e-5)
    # Its course stays bounded exactly where sum 1/n does.
    slow, fast = (random_walk.log_variance(grown(10, p, 4000))[0] for p in (1.0, 2.0))
    assert abs(slow[3999] - slow[1999]) > 0.06 > 0.0002 > abs(fast[3999] - fast[1999])
    np.testing.assert_array_equal(mean, gaussian_replace.log_det([10] * 20, ddof=1)[0])


@pytest.mark.parametrize("p, expected", [(1.0, 0.55077), (1.5, 0.77685)])
def test_w6_maximum_likelihood_variance(p, expected):
    sizes = grown(10, p, 200)
    assert random_walk.likelihood_variance(sizes)[-1] == pytest.approx(expected, rel=2e-5)
    np.testing.assert_allclose(
        random_walk.likelihood_variance(sizes),
        moments.replace(moments.Refit(ddof=0), sizes).variance,
        rtol=1e-12,
    )


def test_drift_needs_faster_growth_than_noise():
    assert random_walk.smallest_exponent() == 1
    assert random_walk.smallest_exponent(kappa=0.5) == 2 and random_walk.smallest_exponent(kappa=3) == 1
    slow, fast = (random_walk.drift(grown(10, p, 20_000), 1.0, 0.5) for p in (1.5, 3.0))
    assert slow[-1] > 1.4 * slow[4999] and fast[-1] < 1.02 * fast[4999]
    assert random_walk.stays_bounded(power(10, 1.5)) and not random_walk.stays_bounded(
        power(10, 1.5), kappa=0.5
    )
    assert random_walk.stays_bounded(power(10, 2.1), kappa=0.5)
    assert not any(random_walk.stays_bounded(s) for s in (50, power(10, 1.0), Values(values=[1, 9, 99])))


@pytest.mark.parametrize(
    "real, sizes, dim, expected",
    [(100, [100], 1, 0.35242), (100, [100] * 4, 1, 0.25), (100, [400] * 3, 5, 0.18870)],
)
def test_w4_and_w5_probability_of_improvement(real, sizes, dim, expected):
    found = random_walk.improvement_probability(real, sizes, dim)
    assert found == pytest.approx(expected, abs=6e-6)
    tau = math.sqrt(sum(1 / n for n in sizes))
    assert found == pytest.approx(student(dim).cdf(-math.sqrt(dim) * tau * math.sqrt(real) / 2), rel=1e-12)
    if dim == 1:
        assert found == pytest.approx(math.atan(2 / (math.sqrt(real) * tau)) / math.pi, rel=1e-12)


def test_improvement_is_below_a_half_and_falls():
    by_steps = [random_walk.improvement_probability(100, [500] * k, 3) for k in (1, 2, 5, 20)]
    by_dim = [random_walk.improvement_probability(100, [500], d) for d in (1, 2, 5, 50)]
    for course in (by_steps, by_dim):
        assert all(0.5 > a > b > 0 for a, b in pairwise(course))


@pytest.mark.parametrize(
    "schedule, words",
    [
        (50, "constant"),
        (Constant(constant=50), "constant"),
        (power(50, 0.0), "do not increase"),
        (power(50, -1.0), "do not increase"),
        (power(50, 1.0), "exponent must be above 1"),
        (power(-50, 2.0), "scale"),
        (Values(values=[5, 5, 5, 5]), "never increases"),
        ([10, 40, 30, 90, 200], "falls from 40 to 30"),
        ([100 * t for t in range(1, 50)], "exponent must be above 1"),
        ([1, 2], "at least 4"),
        ([5, float("nan"), 9, 20], "finite"),
    ],
)
def test_b8_superlinear_schedules_grow(schedule, words):
    with pytest.raises(SpecError, match=words):
        random_walk.superlinear(schedule)


def test_superlinear_schedules_say_their_exponent():
    assert random_walk.superlinear(power(50, 1.5)) == 1.5
    assert random_walk.superlinear(list(grown(50, 1.5, 60))) == pytest.approx(1.5, abs=0.002)


@pytest.mark.parametrize(
    "call",
    [
        lambda: random_walk.walk_variance([10, 0]),
        lambda: random_walk.walk_variance([10], variance=float("nan")),
        lambda: random_walk.limit_variance(float("nan"), 1),
        lambda: random_walk.limit_variance(10, float("nan")),
        lambda: random_walk.drift([10], 1.0, 0.0),
        lambda: random_walk.smallest_exponent(float("nan")),
        lambda: random_walk.improvement_probability(0, [10]),
        lambda: random_walk.improvement_probability(10, [10], dim=0),
    ],
    ids=["size", "variance", "scale", "s", "kappa", "exponent", "real", "dim"],
)
def test_arguments_outside_their_range_are_refused(call):
    with pytest.raises(SpecError):
        call()


# Contraction


def test_f1_and_f3_linear_pull():
    assert contraction.stationary_variance(0.3, 1 / 50) == pytest.approx(0.039216, abs=5e-7)
    assert contraction.anchored_error(0.3, 1 / 50, 1 / 200) == pytest.approx(0.044216, abs=5e-7)
    assert contraction.stationary_variance(0.25, 0.01) == pytest.approx(0.022857, abs=5e-7)  # F5, b = k/2
    v = 0.0
    for _ in range(200):
        v = 0.7**2 * v + 1 / 50
    assert v == pytest.approx(contraction.stationary_variance(0.3, 1 / 50), rel=1e-12)


@pytest.mark.parametrize("b", [0.0, 2.0, -0.1, 3.0, float("nan")])
def test_b8_pull_outside_0_2_is_refused(b):
    with pytest.raises(SpecError, match=r"\(0, 2\)"):
        contraction.stationary_variance(b, 1.0)


def test_f7_lyapunov():
    A, P = np.array([[0.8, 0.3], [0, 0.7]]), np.diag([1.0, 4.0])
    found = contraction.lyapunov(A, P, 0.01)
    np.testing.assert_allclose(found, (0.287867, 0.123589, 0.173691), atol=1e-6)
    S = np.zeros((2, 2))
    for _ in range(400):
        S = A @ S @ A.T + 0.01 * np.eye(2)
    assert found.stationary == pytest.approx(np.trace(P @ S), rel=1e-12)
    # The inequality holds in every direction, and fails for any larger c.
    worst = max((v @ A.T @ P @ A @ v) / (v @ P @ v) for v in _directions())
    assert worst == pytest.approx(1 - found.contraction, rel=1e-4) and worst <= 1 - found.contraction + 1e-12
    assert found == contraction.lyapunov(A, P, 0.01 * np.eye(2))


def _directions():
    return [np.array([np.cos(a), np.sin(a)]) for a in np.linspace(0, np.pi, 2001)]


def test_lyapunov_without_contraction():
    shear = contraction.lyapunov([[0.9, 5.0], [0, 0.9]], np.eye(2), 1.0)
    assert shear.contraction < 0 and shear.bound == math.inf and math.isfinite(shear.stationary)
    walk = contraction.lyapunov(np.eye(2), np.eye(2), 1.0)
    assert walk.stationary == math.inf == walk.bound and abs(walk.contraction) < 1e-12


@pytest.mark.parametrize(
    "A, P, noise, words",
    [
        (np.eye(2), np.diag([1, -1]), 0.1, "symmetric positive definite"),
        (np.eye(2), np.diag([1, 0]), 0.1, "symmetric positive definite"),
        (np.eye(2), [[1, 0.5], [0, 1]], 0.1, "symmetric positive definite"),
        (np.eye(2), [[1, math.nan], [math.nan, 1]], 0.1, "finite"),
        (np.ones((2, 3)), np.eye(2), 0.1, "square"),
        (np.eye(2), np.eye(3), 0.1, "3"),
        (np.eye(2), np.eye(2), -np.eye(2), "covariance"),
    ],
    ids=["negative", "singular", "asymmetric", "nan", "shape", "sizes", "noise"],
)
def test_b8_lyapunov_wants_a_positive_definite_p(A, P, noise, words):
    with pytest.raises(SpecError, match=words):
        contraction.lyapunov(A, P, noise)


def test_dissipation_bounds():
    linear = contraction.dissipation_bound(4.0, 0.51, [0.02] * 60)
    assert linear[-1] == pytest.approx(0.02 / 0.51, rel=1e-9) == contraction.settling_bound(0.51, 0.02)
    convex = contraction.dissipation_bound(0.9, lambda v: 0.5 * v**2, [0.02] * 400)
    assert convex[-1] == pytest.approx(contraction.settling_bound(lambda v: 0.5 * v**2, 0.02), rel=1e-6)
    assert convex[-1] == pytest.approx(0.2, rel=1e-6)
    vanishing = contraction.dissipation_bound(4.0, 0.51, 1 / np.arange(1, 4001.0) ** 1.5)
    assert vanishing[-1] < 1e-5
    assert contraction.settling_bound(0.5, 0.0) == 0
    assert contraction.settling_bound(lambda v: v / (1 + v), 2.0) == math.inf
    # A bound: a filtered walk with this pull never lies above it.
    rng = np.random.default_rng(0)
    e = np.full(20_000, 2.0)
    for _ in range(10):
        e = 0.7 * e + rng.standard_normal(20_000) * math.sqrt(0.02)
    assert (e**2).mean() < linear[10] + 4 * (e**2).std() / math.sqrt(20_000)
    with pytest.raises(SpecError, match="contraction rate"):
        contraction.dissipation_bound(1.0, 1.5, [0.1])


def test_the_honesty_rule():
    """Convergence is only claimed where the noise vanishes."""
    grows = contraction.guarantee(0.5, 1.0, power(50, 0.3))
    assert grows.converges and grows.radius == 0 and "converges to 0" in grows.statement
    for sizes in (50, Constant(constant=50), power(50, 0.0), Values(values=[5, 500, 50])):
        stays = contraction.guarantee(0.5, 2.0, sizes)
        assert not stays.converges and stays.radius == pytest.approx(math.sqrt(2 / 50 / 0.5))
        assert "stays within sqrt(sigma^2/c)" in stays.statement and "converges" not in stays.statement
    shrinks = contraction.guarantee(0.5, 1.0, power(50, -0.5))
    assert not shrinks.converges and shrinks.radius == math.inf
    for c in (0.0, -0.3):
        nothing = contraction.guarantee(c, 1.0, power(50, 2.0))
        assert not nothing.converges and nothing.radius == math.inf and "no contraction" in nothing.statement
    assert (
        "own error is 0.1" in contraction.guarantee(0.5, 1.0, power(50, 2.0), anchor_variance=0.01).statement
    )
    with pytest.raises(SpecError):
        contraction.guarantee(1.5, 1.0, 50)
    with pytest.raises(SpecError):
        contraction.guarantee(0.5, math.nan, 50)


# The filters' pulls


def test_f4_logistic_pull():
    expected = [-0.04988, -0.23604, -0.41324, -0.60571, -0.78515]
    found = filter_pulls.logistic_pull([0.1, 0.5, 1, 2, 10])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for lam, value in zip((0.1, 0.5, 1.0, 2.0, 10.0), found, strict=True):
        direct, _ = quad(
            lambda z, lam=lam: 2 * z * norm.pdf(z) / (1 + math.exp(min(lam * z, 700))),
            -12,
            12,
            points=[0],
            epsabs=1e-12,
        )
        assert value == pytest.approx(direct, abs=1e-9)
    assert filter_pulls.logistic_pull(-1.0) == -filter_pulls.logistic_pull(1.0)
    assert filter_pulls.logistic_pull(1e-4) == pytest.approx(-0.5e-4, rel=1e-6)
    assert filter_pulls.logistic_pull(1e4) == pytest.approx(-math.sqrt(2 / math.pi), abs=1e-4)


def test_f6_the_iterated_logistic_map():
    e, found = 2.0, []
    for _ in range(12):
        e += float(filter_pulls.logistic_pull(0.5 * e))
        found.append(e)
    np.testing.assert_allclose(np.array(found)[[3, 7, 11]], [0.7278, 0.2354, 0.0747], atol=6e-5)


def test_f8_largest_pull():
    assert float(filter_pulls.largest_pull(0.3)) == pytest.approx(1.15898, abs=5e-6)
    np.testing.assert_allclose(
        filter_pulls.largest_pull([0.1, 0.3, 0.5, 0.8]), [1.755, 1.159, 0.798, 0.350], atol=5e-4
    )
    for q in (0.05, 0.4, 0.99):
        assert float(filter_pulls.largest_pull(q)) == pytest.approx(
            -truncnorm(-np.inf, norm.ppf(q)).mean(), rel=1e-9
        )
    assert filter_pulls.largest_pull(1.0) == 0
    # No random filter beats it.
    rng = np.random.default_rng(1)
    z = np.linspace(-6, 6, 4001)
    mass = norm.pdf(z) * (z[1] - z[0])
    for _ in range(50):
        w = 1 / (1 + np.exp(-(rng.normal(0, 2) + rng.normal(0, 3) * z + rng.normal(0, 2) * z**2)))
        q, pull = (w * mass).sum(), (w * z * mass).sum() / (w * mass).sum()
        assert abs(pull) <= filter_pulls.largest_pull(min(q, 1.0)) + 1e-6
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(SpecError):
            filter_pulls.largest_pull(share)


def test_what_is_attainable_at_a_distance():
    assert filter_pulls.attainable(0.36, 3.0, 0.3) and not filter_pulls.attainable(0.36, 6.0, 0.3)
    edge = float(filter_pulls.largest_pull(0.3)) / (1 - math.sqrt(1 - 0.36))
    assert filter_pulls.attainable(0.36, 0.999 * edge, 0.3) and not filter_pulls.attainable(
        0.36, 1.001 * edge, 0.3
    )
    with pytest.raises(SpecError):
        filter_pulls.attainable(1.5, 1.0, 0.3)


def test_tilt_effective_share():
    """(E w)^2 / E w^2 of w = exp(-b delta z)."""
    z, mass = np.polynomial.hermite_e.hermegauss(101)
    mass = mass / mass.sum()
    for b, delta in ((0.3, 1.0), (0.9, -2.0)):
        w = np.exp(-b * delta * z)
        direct = (w * mass).sum() ** 2 / (w**2 * mass).sum()
        assert float(filter_pulls.tilt_effective_share(b, delta)) == pytest.approx(direct, rel=1e-9)
        assert (w * z * mass).sum() / (w * mass).sum() == pytest.approx(-b * delta, rel=1e-9)


def test_f9_interval_slope():
    np.testing.assert_allclose(
        filter_pulls.interval_slope([0.5, 1, 2]), [0.080589, 0.291125, 0.773741], atol=1e-6
    )
    for r in (0.5, 1.0, 2.0):
        up, down = (float(filter_pulls.interval_response(h, 0.0, r)[0]) for h in (1e-5, -1e-5))
        assert (up - down) / 2e-5 == pytest.approx(float(filter_pulls.interval_slope(r)), rel=1e-6)
        assert float(filter_pulls.interval_slope(r)) == pytest.approx(truncnorm(-r, r).var(), rel=1e-6)


def test_f10_and_f11_interval_map():
    m, found = 0.0, []
    for _ in range(15):
        m = float(filter_pulls.interval_response(m, 0.3, 1.0)[0])
        found.append(m)
    np.testing.assert_allclose(np.array(found)[[0, 1, 3, 14]], [0.2131, 0.2747, 0.2979, 0.3000], atol=6e-5)
    assert filter_pulls.interval_variance(1.0, 400 * 0.682689) == pytest.approx(1.1648e-3, rel=1e-4)


@pytest.mark.parametrize("mean", [-4.0, 0.1, 2.5])
@pytest.mark.parametrize("sd", [1.0, 0.4])
def test_interval_response_is_a_truncated_normal(mean, sd):
    centre, radius = 0.3, 0.8
    law = truncnorm((centre - radius - mean) / sd, (centre + radius - mean) / sd, loc=mean, scale=sd)
    moved, kept = filter_pulls.interval_response(mean, centre, radius, sd)
    assert float(moved) == pytest.approx(law.mean(), abs=1e-6)
    mass = norm.cdf(centre + radius, mean, sd) - norm.cdf(centre - radius, mean, sd)
    assert float(kept) == pytest.approx(mass, rel=1e-6, abs=1e-15)


def test_interval_response_beyond_all_mass():
    moved, kept = filter_pulls.interval_response([60.0, -60.0], 0.3, 1.0)
    np.testing.assert_allclose(moved, [1.3, -0.7], atol=0.02)
    assert (kept < 1e-300).all()
    with pytest.raises(SpecError):
        filter_pulls.interval_response(0.0, 0.0, math.nan)
    with pytest.raises(SpecError):
        filter_pulls.interval_slope(0.0)
