"""Exact second moments: against loops on raw records, against each other, and against the sheets' numbers."""

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.theory import moments_mixed
from autophage.theory.categorical import one_hot
from autophage.theory.moments import Refit, pile, replace
from autophage.theory.moments_mixed import batches, fresh, mix, window


def near(found: float, samples: np.ndarray, errors: float = 4.5) -> None:
    """`found` is the mean that the samples estimate."""
    assert abs(samples.mean() - found) < errors * samples.std() / np.sqrt(len(samples))


def rows(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k columns of x (R, N) for each row, without replacement."""
    order = rng.random(x.shape).argsort(axis=1)[:, :k]
    return np.take_along_axis(x, order, axis=1)


def raw_loop(choose, sizes, *, ddof=0, bias=1.0, kernel=0.0, initial=None, R=30_000, seed=0):
    """Means and variances (G, R) of a loop on records; choose(t, batches, rng) gives fit t's training set.

    The real law is the symmetric two-point law plus noise, standardised: second moments must not care.
    """
    rng = np.random.default_rng(seed)
    real = (rng.choice([-1.0, 1.0], (R, sizes[0])) + rng.standard_normal((R, sizes[0]))) / np.sqrt(2)
    past, means, variances = [real], [], []
    for t in range(len(sizes)):
        if t == 0 and initial is not None:
            mu, v = np.full(R, initial[0]), np.full(R, initial[1])
        else:
            x = choose(t, past, rng)
            mu, v = x.mean(axis=1), x.var(axis=1, ddof=ddof)
        means.append(mu)
        variances.append(v)
        if t + 1 < len(sizes):
            width = np.sqrt(bias * v + kernel**2)
            past.append(mu[:, None] + width[:, None] * rng.standard_normal((R, sizes[t + 1])))
    return np.array(means), np.array(variances)


def joined(parts):
    return np.concatenate(parts, axis=1)


SIZES = [6, 4, 9, 5]

LOOPS = {
    "replace": (lambda t, b, rng: b[t], lambda r: replace(r, SIZES)),
    "accumulate": (lambda t, b, rng: joined(b[: t + 1]), lambda r: pile(r, SIZES)),
    "subsample": (
        lambda t, b, rng: rows(joined(b[: t + 1]), SIZES[t], rng),
        lambda r: pile(r, SIZES, subsample=True),
    ),
    "window": (lambda t, b, rng: joined(b[max(t - 1, 0) : t + 1]), lambda r: window(r, SIZES, 2)),
    "window keeping real": (
        lambda t, b, rng: joined([b[0], *b[max(t, 1) : t + 1]]),
        lambda r: window(r, SIZES, 1, keep_real=True),
    ),
    "mix": (
        lambda t, b, rng: joined([b[0], b[t]]) if t else b[0],
        lambda r: mix(r, SIZES[0], SIZES[1:]),
    ),
    "mix of some": (
        lambda t, b, rng: joined([b[0][:, :3], b[t]]) if t else b[0],
        lambda r: mix(r, SIZES[0], SIZES[1:], 3),
    ),
    "mix redrawn": (
        lambda t, b, rng: joined([rows(b[0], 3, rng), b[t]]) if t else b[0],
        lambda r: mix(r, SIZES[0], SIZES[1:], 3, redrawn=True),
    ),
    "odd batches": (
        lambda t, b, rng: joined([b[j] for j in [[0], [0, 1], [1, 2], [0, 3]][t]]),
        lambda r: batches(r, SIZES, [[0], [0, 1], [1, 2], [0, 3]]),
    ),
}
REFITS = {
    "maximum likelihood": {},
    "unbiased": {"ddof": 1},
    "biased sampler": {"ddof": 1, "bias": 0.7},
    "kernel": {"kernel": 0.6},
    "given start": {"initial": (1.5, 0.4)},
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("refit", REFITS)
def test_moments_are_those_of_a_loop_on_records(loop, refit):
    choose, course = LOOPS[loop]
    keys = dict(REFITS[refit])
    means, variances = raw_loop(choose, SIZES, **keys, R=8000)
    if "kernel" in keys:
        keys["added"] = keys.pop("kernel") ** 2
    if "initial" in keys:
        keys["initial"] = (keys["initial"][0] ** 2, keys["initial"][1])
    found = course(Refit(**keys))
    for t in range(1 if "initial" in keys else 0, len(SIZES)):
        near(found.variance[t], variances[t])
        near(found.squared_error[t], means[t] ** 2)


@pytest.mark.parametrize("counts", ["mixture", "exact"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_fresh_moments_are_those_of_a_loop_on_records(counts, ddof):
    share = np.array([0.3, 0.5, 0.05])
    R = 20_000
    rng = np.random.default_rng(3)

    def choose(t, past, _):
        if t == 0:
            return past[0]
        new = rng.standard_normal((R, SIZES[t]))
        if counts == "mixture":
            return np.where(rng.random((R, SIZES[t])) < share[t - 1], new, past[t])
        k = int(np.ceil(share[t - 1] * SIZES[t] - 1e-9))
        return joined([new[:, :k], past[t][:, k:]])

    means, variances = raw_loop(choose, SIZES, ddof=ddof, bias=0.8, R=R)
    found = fresh(Refit(ddof=ddof, bias=0.8), SIZES, share, counts)
    for t in range(len(SIZES)):
        near(found.variance[t], variances[t])
        near(found.squared_error[t], means[t] ** 2)


@pytest.mark.parametrize("loop", LOOPS)
def test_second_moment_is_conserved_by_maximum_likelihood(loop):
    found = LOOPS[loop][1](Refit(real=2.5))
    np.testing.assert_allclose(found.second, 2.5, rtol=1e-12)


@pytest.mark.parametrize("counts", ["mixture", "exact"])
def test_second_moment_is_conserved_with_fresh_records(counts):
    np.testing.assert_allclose(fresh(Refit(real=3.0), SIZES, 0.3, counts).second, 3.0, rtol=1e-12)


def test_recursions_agree_where_workflows_coincide():
    refit = Refit(ddof=1, bias=0.9, added=0.1)
    n = [8, 5, 7, 6, 9]
    everything = [list(range(t + 1)) for t in range(5)]
    for one, other in [
        (replace(refit, n), window(refit, n, 1)),
        (pile(refit, n), window(refit, n, 5)),
        (pile(refit, n), batches(refit, n, everything)),
        (mix(refit, n[0], n[1:]), window(refit, n, 1, keep_real=True)),
        (mix(refit, n[0], n[1:], 0), replace(refit, n)),
        (fresh(refit, n, 0.0, "exact"), replace(refit, n)),
        (fresh(refit, n, 0.0, "mixture"), replace(refit, n)),
    ]:
        np.testing.assert_allclose(one.variance, other.variance, rtol=1e-12)
        np.testing.assert_allclose(one.squared_error, other.squared_error, rtol=1e-12)
    only_real = fresh(refit, n, 1.0, "exact")
    np.testing.assert_allclose(only_real.squared_error, 1 / np.array(n), rtol=1e-12)


def test_a_given_real_set_is_the_conditional_loop():
    rng = np.random.default_rng(5)
    real = rng.standard_normal(6) * 1.3
    R = 40_000
    for k, redrawn in [(6, False), (3, True)]:
        mu, v = np.full(R, real.mean()), np.full(R, real.var())
        found = mix(Refit(real=float(real.var()), fixed_real=True), 6, [4, 4], k, redrawn=redrawn)
        assert found.squared_error[0] == 0
        for t in (1, 2):
            kept = rows(np.broadcast_to(real, (R, 6)), k, rng)
            x = joined([kept, mu[:, None] + np.sqrt(v)[:, None] * rng.standard_normal((R, 4))])
            mu, v = x.mean(axis=1), x.var(axis=1)
            near(found.variance[t], v)
            near(found.squared_error[t], (mu - real.mean()) ** 2)


def test_one_hot_records_give_the_categorical_loop():
    p = np.array([0.6, 0.3, 0.1])
    rng = np.random.default_rng(1)
    R, n = 40_000, [6, 4, 9]
    pool = rng.multinomial(n[0], p, R)
    found, total = pile(one_hot(p), n), n[0]
    for t in range(3):
        q = pool / total
        near(found.variance[t], 1 - (q**2).sum(axis=1))
        near(found.squared_error[t], ((q - p) ** 2).sum(axis=1))
        if t < 2:
            pool = pool + rng.multinomial(n[t + 1], q)
            total += n[t + 1]


def test_a_given_categorical_start():
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.2, 0.6])
    rng = np.random.default_rng(1)
    R = 40_000
    found = fresh(one_hot(p, q), [5, 5, 5], 0.4, "mixture")
    now = np.broadcast_to(q, (R, 3))
    for t in range(1, 3):
        now = rng.multinomial(5, 0.4 * p + 0.6 * now) / 5
        near(found.variance[t], 1 - (now**2).sum(axis=1))
        near(found.squared_error[t], ((now - p) ** 2).sum(axis=1))


# The numbers of the sheets; the closed forms there are exact, and printed to the digits compared here.


def test_r3_r7_replace():
    assert replace(Refit(ddof=1), [100] * 10).variance[-1] == pytest.approx(1, rel=1e-12)
    course = replace(Refit(), [20] * 25)
    assert course.variance[-1] == pytest.approx(0.277390, abs=5e-7)
    assert course.squared_error[-1] == pytest.approx(0.722610, abs=5e-7)


def test_r14_r15_r16_mix():
    conditional = mix(Refit(fixed_real=True), 20, [20] * 30)
    assert conditional.squared_error[-1] == pytest.approx(0.0163934, abs=5e-8)
    assert conditional.variance[-1] == pytest.approx(0.9836066, abs=5e-8)
    moved = mix(Refit(fixed_real=True, initial=(4.0, 4.0)), 20, [10] * 3)
    assert moved.squared_error[-1] == pytest.approx(0.0283457, abs=5e-8)
    assert moved.variance[-1] == pytest.approx(1.230914, abs=5e-7)
    known = mix(Refit(known=1.0), 25, [25] * 60)
    assert known.squared_error[-1] == pytest.approx(0.0533333, abs=5e-8)


def test_r17_biased_replace():
    course = replace(Refit(ddof=1, bias=0.9, initial=(0.0, 1.0)), [50] * 11)
    assert course.variance[10] == pytest.approx(0.348678, abs=5e-7)
    assert course.squared_error[10] == pytest.approx(0.117238, abs=5e-7)


def test_r18_r19_fresh():
    first = fresh(Refit(ddof=1), [50] + [250] * 60, 0.2, "exact")
    assert first.squared_error[-1] == pytest.approx(0.0111910, abs=5e-8)
    assert first.variance[-1] == pytest.approx(1.0089888, abs=5e-8)
    second = fresh(Refit(ddof=1, bias=0.9), [20] + [200] * 80, 0.1, "exact")
    assert second.squared_error[-1] == pytest.approx(0.0139924, abs=5e-8)
    assert second.variance[-1] == pytest.approx(0.5329772, abs=5e-8)


def test_n1_n4_n5_n6():
    course = replace(Refit(), [10] * 20)
    assert course.variance[-1] == pytest.approx(0.12158, abs=5e-6)
    assert course.squared_error[-1] == pytest.approx(0.87842, abs=5e-6)
    assert pile(Refit(), [10] * 30).variance[-1] == pytest.approx(0.8462, abs=5e-5)
    four = pile(Refit(), [4] * 30)
    assert four.variance[-1] == pytest.approx(0.6419, abs=5e-5)
    assert four.squared_error[-1] == pytest.approx(0.3581, abs=5e-5)
    subsample = pile(Refit(), [10] * 20, subsample=True)
    np.testing.assert_allclose(subsample.variance[[0, 4, 19]], [0.9, 0.7793, 0.7495], atol=5e-5)
    assert pile(Refit(), [10] * 20_000, subsample=True).variance[-1] == pytest.approx(0.7390, abs=5e-5)


def test_k1_to_k4_and_r25_kernels():
    first = replace(Refit(added=0.04), [50] * 40)
    np.testing.assert_allclose([first.variance[-1], first.squared_error[-1]], [1.5143, 1.0457], atol=5e-5)
    pooled = pile(Refit(added=0.04), [50] * 40)
    np.testing.assert_allclose([pooled.variance[-1], pooled.squared_error[-1]], [1.0982, 0.03295], atol=5e-5)
    wide = replace(Refit(added=0.25), [20] * 60)
    np.testing.assert_allclose([wide.variance[-1], wide.squared_error[-1]], [4.5657, 11.184], rtol=1e-4)
    # The sheet prints 1.9290; its own formula 1 + h^2 (H_60 - 1), and its measurement, give 1.9200.
    assert pile(Refit(added=0.25), [20] * 60).second[-1] == pytest.approx(1.9200, abs=5e-5)
    # 40 smoothed refits after generation 0's plain one
    assert replace(Refit(added=0.09), [50] * 41).variance[-1] == pytest.approx(2.881248, abs=5e-7)


def test_poisson_bernoulli_and_exponential_variances():
    rng = np.random.default_rng(2)
    R, n = 60_000, [5, 4, 6]
    draws = {
        "poisson": (lambda m, k: rng.poisson(m * k) / k, Refit(real=2.0, known=2.0), 2.0),
        "bernoulli": (lambda m, k: rng.binomial(k, m) / k, Refit(real=0.21, known=0.21, quadratic=-1), 0.3),
        "exponential": (
            lambda m, k: m * rng.gamma(k, 1 / k, R),
            Refit(real=4.0, known=4.0, quadratic=1),
            2.0,
        ),
    }
    for draw, refit, truth in draws.values():
        found, mean = replace(refit, n), np.full(R, truth)
        for t in range(3):
            mean = draw(mean, n[t])
            near(found.squared_error[t], (mean - truth) ** 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: replace(Refit(ddof=1), [5, 1]), "generation 1 is 1"),
        (lambda: replace(Refit(), [5, float("nan")]), "generation 1"),
        (lambda: Refit(bias=1.2), "sampling bias"),
        (lambda: Refit(bias=float("nan")), "sampling bias"),
        (lambda: Refit(ddof=2), "ddof"),
        (lambda: Refit(real=-1), "real variance"),
        (lambda: mix(Refit(), 5, [3, -1]), "zero or more"),
        (lambda: mix(Refit(), 5, [3, 3], 6), "kept counts"),
        (lambda: fresh(Refit(), [5, 5], 1.2), "real share"),
        (lambda: fresh(Refit(), [5, 5], 0.5, "both"), "mixture or exact"),
        (lambda: fresh(Refit(fixed_real=True), [5, 5], 0.5), "new draws"),
        (lambda: window(Refit(), [5, 5], 0), "at least one"),
        (lambda: batches(Refit(), [5, 5], [[0], [2]]), "fit 1"),
        (lambda: moments_mixed.batches(Refit(), [5, 5], [[0], []]), "fit 1"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(SpecError, match=words):
        call()
