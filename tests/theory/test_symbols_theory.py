"""Frequencies, counts and flips: R8, R9, N7, D1-D7, H5, and the published protocol values."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import categorical, iterative_mle, survival
from autophage.theory.categorical import one_hot
from autophage.theory.moments import Refit, pile, replace
from autophage.theory.moments_mixed import mix


def zipf(symbols: int, exponent: float = 1.0, shift: float = 0.0) -> np.ndarray:
    p = (np.arange(1, symbols + 1) + shift) ** -float(exponent)
    return p / p.sum()


SIX = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])


def test_r8_loss_and_diversity():
    np.testing.assert_allclose(categorical.loss_probability([0.04, 0.01], 50), [0.12989, 0.60501], atol=5e-6)
    course = categorical.gini_replace(SIX, [50] * 30)
    assert course[-1] == pytest.approx(0.390458, abs=5e-7)
    np.testing.assert_allclose(course, replace(one_hot(SIX), [50] * 30).variance, rtol=1e-12)
    rng = np.random.default_rng(0)
    p = np.broadcast_to(SIX, (20_000, 6))
    for _ in range(30):
        p = rng.multinomial(50, p) / 50
    gini = 1 - (p**2).sum(axis=1)
    assert abs(gini.mean() - course[-1]) < 4.5 * gini.std() / np.sqrt(len(gini))


def test_r9_absorption_times():
    assert categorical.absorption_time(100, 50) == pytest.approx(136.602, abs=1e-3)
    assert categorical.absorption_time(20, 6) == pytest.approx(23.0246, abs=1e-4)
    assert categorical.absorption_time_diffusion(100, 0.5) == pytest.approx(138.629, abs=1e-3)
    assert categorical.absorption_time_diffusion(20, 0.3) == pytest.approx(24.435, abs=1e-3)
    assert categorical.absorption_time(20, 0) == categorical.absorption_time(20, 20) == 0
    assert categorical.absorption_time_diffusion(20, 1.0) == 0


def test_transitions_are_a_martingale():
    P = categorical.transitions(30)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(P @ np.arange(31), np.arange(31), atol=1e-11)


def test_d1_seddik_course():
    p = zipf(10)
    same = 1 - categorical.gini_replace(p, [50] * 30)
    np.testing.assert_allclose(same[[0, 9, 29]], [0.19704, 0.33053, 0.55306], atol=5e-6)


def test_d2_bernoulli_chain_and_bounds():
    alive = survival.bernoulli_survival(0.01, 100, 50)
    np.testing.assert_allclose(alive[[0, 4, 19, 49]], [0.63397, 0.27101, 0.09087, 0.04112], atol=5e-6)
    lower, upper = survival.bernoulli_bounds(0.01, [100] * 50)
    np.testing.assert_allclose(lower[[0, 4, 19, 49]], [0.63212, 0.26808, 0.08757, 0.03765], atol=5e-6)
    assert (lower <= alive).all() and (alive <= upper).all() and (upper <= 1).all()


def test_d3_iterates():
    g = survival.iterated(50)
    expected = [1, 0.63212, 0.31208, 0.17225, 0.09164, 0.03838]
    np.testing.assert_allclose(g[[0, 1, 4, 9, 19, 49]], expected, atol=5e-6)
    k = np.arange(1, 51)
    assert (g >= 1 / k).all() and (g <= 3 / k).all()
    assert 20_000 * survival.iterated(20_000)[-1] == pytest.approx(2, rel=2e-3)


def test_d4_and_protocol_poisson():
    alive = survival.poisson_survival(1.0, [10] * 500)
    np.testing.assert_allclose(alive[[0, 4, 19]], [0.99995, 0.95588, 0.60006], atol=5e-6)
    assert alive[-1] == pytest.approx(0.0390, abs=5e-5)
    assert survival.poisson_survival(10.0, [10] * 500)[-1] == pytest.approx(0.3281, abs=5e-5)


def test_poisson_survival_with_schedules_by_simulation():
    rng = np.random.default_rng(1)
    sizes, R = [4, 9, 2, 6], 100_000
    found = survival.poisson_survival(0.5, sizes)
    mean = np.full(R, 0.5)
    for t, n in enumerate(sizes):
        mean = rng.poisson(mean * n) / n
        alive = (mean > 0).mean()
        assert abs(alive - found[t]) < 4.5 * np.sqrt(found[t] * (1 - found[t]) / R)
    np.testing.assert_allclose(survival.branching([7, 7, 7, 7]), 7 * survival.iterated(4))


def test_poisson_survival_with_fresh_records_by_simulation():
    rng = np.random.default_rng(2)
    sizes, shares, R = [4, 9, 2, 6], [0, 0.2, 0.5, 0.1], 100_000
    found = -np.expm1(-0.2 * survival.branching(sizes, shares))
    mean = np.full(R, 0.2)
    for t, n in enumerate(sizes):
        mean = rng.poisson(n * (shares[t] * 0.2 + (1 - shares[t]) * mean)) / n
        alive = (mean > 0).mean()
        assert abs(alive - found[t]) < 4.5 * np.sqrt(found[t] * (1 - found[t]) / R)
    np.testing.assert_allclose(survival.branching([5, 8], 1.0), [5, 8])
    with pytest.raises(SpecError, match="real shares"):
        survival.branching([5, 8], 1.5)


def test_protocol_bernoulli():
    lower, upper = survival.bernoulli_bounds(0.001, [10_000] * 50)
    np.testing.assert_allclose(lower[[9, 49]], [0.821, 0.319], atol=5e-4)
    for k, measured in [(9, 0.828), (49, 0.328)]:  # 5,000 paths, four standard errors
        assert lower[k] - 0.02 < measured < upper[k] + 0.02


def test_d5_distinct_symbols():
    p = zipf(200)
    lower = survival.distinct_lower(p, [300] * 10)
    np.testing.assert_allclose(lower[[0, 4, 9]], [97.14, 47.20, 30.90], atol=5e-3)
    exact = survival.distinct_exact(p, 300, 10)
    assert (lower <= exact).all() and (exact <= 1.02 * lower).all()
    np.testing.assert_allclose(exact[[0, 4, 9]], [97.47, 47.38, 31.24], rtol=0.01)
    assert exact[0] == pytest.approx(survival.distinct_seen(p, 300), rel=1e-10)
    growing = survival.distinct_lower(p, 300 + 50 * np.arange(10))
    assert (growing >= lower - 1e-9).all()


def test_protocol_zipf_mandelbrot():
    for exponent, shift, expected in [
        (1, 2.7, [0.751, 0.615, 0.413, 0.296]),
        (2, 5, [0.797, 0.685, 0.512, 0.404]),
    ]:
        alive = survival.distinct_exact(zipf(1000, exponent, shift), 1000, 10)
        np.testing.assert_allclose(alive[[1, 2, 5, 9]] / alive[0], expected, atol=0.01)


def test_d6_two_symbols():
    alive = survival.bernoulli_undecided(0.3, 20, 60)
    np.testing.assert_allclose(alive[[9, 59]], [0.70113, 0.05421], atol=5e-6)
    lower, upper = categorical.two_symbol_bounds(0.3, 20, np.arange(1, 61))
    assert (lower <= alive).all() and (alive <= upper).all()
    flipped = survival.bernoulli_undecided(np.array([0.3, 0.7]), 20, 60)
    np.testing.assert_allclose(flipped[0], flipped[1], rtol=1e-9)
    # mean absorption time of the chain, twice: linear solve, and the sum of what is still alive
    long = survival.bernoulli_undecided(0.5, 10, 600)
    start = categorical.binomial_row(0.5, 10)
    solved = sum(start[c] * categorical.absorption_time(10, c) for c in range(11))
    assert long.sum() == pytest.approx(solved, rel=1e-8)


def test_d7_partially_synthetic():
    q = zipf(10)
    assert categorical.mix_error(q, 200, 300, 15) == pytest.approx(1.53341e-3, rel=5e-6)
    assert categorical.mix_error_limit(q, 200, 300) == pytest.approx(categorical.mix_error(q, 200, 300, 500))
    one = one_hot(q)
    given = Refit(real=one.real, fixed_real=True)
    course = mix(given, 200, [300] * 15).squared_error
    np.testing.assert_allclose(course, categorical.mix_error(q, 200, 300, np.arange(16)), atol=1e-16)


def test_n7_iterative_mle():
    assert iterative_mle.exponential_error(40, 50)[-1] == pytest.approx(0.041117, abs=2e-6)
    assert iterative_mle.poisson_error(40, 50)[-1] == pytest.approx(0.040628, abs=5e-7)
    assert iterative_mle.bernoulli_error(40, 50, 0.3)[-1] == pytest.approx(0.0084302, abs=5e-8)
    n = [40] * 50
    for refit, course in [
        (Refit(real=1.0, known=1.0, quadratic=1.0), iterative_mle.exponential_error(40, 50)),
        (Refit(real=1.0, known=1.0), iterative_mle.poisson_error(40, 50)),
        (Refit(real=0.21, known=0.21, quadratic=-1.0), iterative_mle.bernoulli_error(40, 50, 0.3)),
    ]:
        np.testing.assert_allclose(pile(refit, n).squared_error, course, rtol=1e-11)


def test_h5_accumulated_symbols():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    found = [iterative_mle.bernoulli_error(10, 30, x)[-1] for x in p]
    np.testing.assert_allclose(found, [0.03845, 0.03230, 0.01961, 0.00731], atol=5e-6)
    assert sum(found) == pytest.approx(pile(one_hot(p), [10] * 30).squared_error[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: categorical.one_hot([0.5, 0.6]), "sum to one"),
        (lambda: categorical.one_hot([1.5, -0.5]), "sum to one"),
        (lambda: categorical.one_hot([float("nan"), 0.5]), "sum to one"),
        (lambda: categorical.one_hot([0.5, 0.5], [1.0]), "entries"),
        (lambda: categorical.loss_probability(1.2, 5), "probability"),
        (lambda: categorical.transitions(5000), "too large"),
        (lambda: categorical.absorption_time(10, 11), "between 0 and 10"),
        (lambda: categorical.two_symbol_bounds(0.5, 1, 3), "n is 1"),
        (lambda: survival.bernoulli_survival(-0.1, 10, 3), "probability"),
        (lambda: survival.distinct_exact([0.5, 0.5], 10_000, 3), "at most"),
        (lambda: survival.poisson_survival(-1.0, [10]), "Poisson mean"),
        (lambda: survival.branching([10, 0]), "generation 1"),
        (lambda: categorical.mix_error_limit([0.5, 0.5], 0, 5), "real records"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(SpecError, match=words):
        call()
