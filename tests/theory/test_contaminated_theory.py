"""Contaminated sources: the exact recursion, its limits and regimes, several contexts; checks A8-A11, and A.8's bad
input as far as theory functions meet it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autophage import Spec
from autophage.errors import SpecError
from autophage.theory.categorical import gini_replace, one_hot
from autophage.theory.contaminated import (
    classify_schedule,
    effective_sample_size,
    fully_synthetic_risk,
    gini,
    limit_risk,
    predict_risk,
    recovers,
    turning_points,
)
from autophage.theory.contexts import inverse_count, several_contexts
from autophage.theory.moments import Refit
from autophage.theory.moments_mixed import fresh
from autophage.theory.predict import predict, setting_of
from autophage.theory.predict_contaminated import regime


def zipf(symbols):
    p = 1 / np.arange(1, symbols + 1)
    return p / p.sum()


V = gini(zipf(20))


def course(p, c, b, n0, rounds, initial=None):
    """R_t of alpha_t = c t^-p, n_t = n0 t^b rounded up, by the exact recursion."""
    t = np.arange(1, rounds + 1.0)
    sizes = np.ceil(n0 * t**b * (1 - 1e-12))
    return predict_risk(zipf(20), [0, *(c * t**-p)], [initial or n0, *sizes])


# The recursion


@pytest.mark.parametrize(
    ("symbols", "alpha", "n", "expected"),
    [
        pytest.param(20, [0.1] * 60, [200] * 61, 0.022589, id="a1"),
        pytest.param(20, [0.3] * 40, [50] * 41, 0.033732, id="a2"),
        pytest.param(20, [0] * 200, [100] * 201, 0.760401, id="a3"),
        pytest.param(20, np.arange(1, 201) ** -0.5, [20, *range(20, 4001, 20)], 1.6312e-3, id="a4"),
        pytest.param(20, 1 / np.arange(1, 61), [5, *(5 * np.arange(1, 61) ** 2)], 2.8932e-3, id="a6"),
        pytest.param(20, 0.5 * np.arange(1, 61) ** -2.0, [5, *(5 * np.arange(1, 61) ** 2)], 0.17915, id="a7"),
        pytest.param(50, [0.1] * 200, [100, *range(110, 2101, 10)], 2.349e-3, id="a13"),
    ],
)
def test_the_sheets_values(symbols, alpha, n, expected):
    assert predict_risk(zipf(symbols), [0, *alpha], n)[-1] == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("weights", [0.3, [0, 0.1, 1, 0, 0.25, 0.7]])
def test_two_derivations_agree(weights):
    """The one-number recursion against the moments of one-hot records, and of a Gaussian of the same total variance."""
    n = [7, 20, 1, 300, 12, 5]
    shares = 0.3 if weights == 0.3 else weights[1:]
    found = predict_risk(zipf(9), weights, n)
    np.testing.assert_allclose(found, fresh(one_hot(zipf(9)), n, shares).squared_error, rtol=1e-12)
    gaussian = fresh(Refit(real=gini(zipf(9))), n, shares)
    np.testing.assert_allclose(found, gaussian.squared_error, rtol=1e-12)


@pytest.mark.parametrize(("alpha", "n", "T", "A"), [(0.2, 20, 50, 0.12755), (0.05, 50, 80, 0.17308)])
def test_a19_a20_the_gaussian_analogue(alpha, n, T, A):
    """A.3.9, step by step, against the moments: A + B = 1 for ever, so that the recursion is that of A.3.2 with V = 1."""
    a, b = 1 / n, 1 - 1 / n
    for _ in range(T):
        v = alpha + (1 - alpha) * b + alpha * (1 - alpha) * a
        a, b = (1 - alpha) ** 2 * a + v / n, (1 - 1 / n) * v
        assert a + b == pytest.approx(1, rel=1e-12)
    assert a == pytest.approx(A, abs=5e-6)
    found = fresh(Refit(ddof=0), [n] * (T + 1), alpha)
    assert found.squared_error[-1] == pytest.approx(a) and found.variance[-1] == pytest.approx(b)


def test_the_gaussian_variance_goes_to_one_with_the_size():
    """B = 1 - A and A -> 1/n_eff: large samples keep the whole variance at any real weight above zero."""
    for alpha in (0.05, 0.5):
        variance = fresh(Refit(), [10**7] * 2000, alpha).variance[-1]
        assert 1 - variance == pytest.approx(1 / effective_sample_size(alpha, 10**7), rel=1e-6)


# Limits


@pytest.mark.parametrize(("alpha", "n"), [(0.1, 100), (0.5, 7), (1.0, 30), (0.02, 40)])
def test_limit_and_effective_size(alpha, n):
    long = predict_risk(zipf(20), alpha, [n] * 3000)
    assert limit_risk(zipf(20), alpha, n) == pytest.approx(long[-1], rel=1e-10)
    assert V / long[-1] == pytest.approx(effective_sample_size(alpha, n))
    assert effective_sample_size(alpha, n) <= n * (1 + 1e-12)  # never better than the first fit


def test_reference_numbers():
    assert gini(zipf(50)) == pytest.approx(0.91972, abs=5e-6)
    p = zipf(50)
    assert limit_risk(p, 0.1, 100) / (gini(p) / 100) == pytest.approx(5.048, abs=5e-4)
    a = 0.1
    assert 1 / (2 * a - a**2 + (1 - a) ** 2 / 100) == pytest.approx(5.048, abs=5e-4)
    assert effective_sample_size(1e-5, 1e9) / 1e4 == pytest.approx(2, rel=2e-4)
    assert limit_risk(p, 0, 100) == pytest.approx(gini(p))


def test_fully_synthetic():
    n = [100, *range(3, 40)]
    np.testing.assert_allclose(fully_synthetic_risk(zipf(20), n), predict_risk(zipf(20), 0, n), rtol=1e-12)
    np.testing.assert_allclose(fully_synthetic_risk(zipf(9), n) + gini_replace(zipf(9), n), gini(zipf(9)))
    assert fully_synthetic_risk([0.5, 0.5], [5, 1, 7])[1:].tolist() == [
        0.5,
        0.5,
    ]  # one record: total collapse
    t = np.arange(1, 50_001.0)
    diverging = fully_synthetic_risk(zipf(20), [10, *np.ceil(10 * t)])[-1]
    summable = fully_synthetic_risk(zipf(20), [10, *(10 * t**2)])
    assert (
        diverging > 0.6 * V
        and summable[-1] < 0.3 * V
        and summable[-1] == pytest.approx(summable[2000], rel=1e-3)
    )


# Regimes


def test_a8_slope_when_the_size_outgrows_the_falling_weight():
    risk = course(0.5, 1, 1, 10, 200_000)
    assert np.log10(risk[-1] / risk[20_000]) == pytest.approx(-0.5, abs=0.02)
    assert classify_schedule(0.5, 1, 1).exponent == -0.5


def test_a9_slope_when_the_real_weight_is_the_bottleneck():
    risk = course(1, 0.2, 2, 10, 200_000)
    assert np.log10(risk[-1] / risk[20_000]) == pytest.approx(-0.4, abs=0.02)
    assert classify_schedule(1, 0.2, 2).exponent == pytest.approx(-0.4)


@pytest.mark.parametrize("p", [pytest.param(0.5, id="a10"), pytest.param(1.0, id="a11")])
def test_a10_a11_level_in_balance(p):
    assert abs(V / 21 - 0.041747) < 5e-7
    found = classify_schedule(p, 1, p, 10, spread=V)
    assert found.name == "plateaus" and found.level == pytest.approx(V / 21)
    assert course(p, 1, p, 10, 200_000)[-1] == pytest.approx(found.level, rel=5e-3)


ROWS = [
    # p, c, b, n0, name, exponent
    (0, 0.3, 1, 10, "recovers", -1),
    (0, 1, 0.5, 10, "recovers", -0.5),
    (0, 0.2, 0, 50, "plateaus", 0),
    (0, 1, 0, 50, "plateaus", 0),
    (0.5, 1, 1.5, 10, "recovers", -1),
    (0.5, 0.7, 0.5, 10, "plateaus", 0),
    (0.5, 1, 0.2, 3, "collapses", 0),
    (0.5, 1, 0, 10, "collapses", 0),
    (1, 0.8, 2, 10, "recovers", -1),
    (1, 0.2, 2, 10, "recovers", -0.4),
    (1, 0.5, 2, 10, "recovers", -1),
    (1, 1, 1, 10, "plateaus", 0),
    (1, 1, 0.5, 3, "collapses", 0),
    (2, 0.5, 2, 5, "stalls", 0),
    (1.5, 1, 2, 100, "stalls", 0),
    (2, 0.5, 1, 3, "collapses", 0),
    (0, 0, 2, 5, "stalls", 0),
    (0, 0, 1, 3, "collapses", 0),
    (0, 0, 0, 50, "collapses", 0),
]


@pytest.mark.parametrize(("p", "c", "b", "n0", "name", "exponent"), ROWS)
def test_every_row_of_the_table_against_the_recursion(p, c, b, n0, name, exponent):
    found = classify_schedule(p, c, b, n0, spread=V)
    assert (found.name, found.exponent) == (name, pytest.approx(exponent))
    assert json.dumps(found.to_dict(), allow_nan=False) and found.sentence().endswith(".")
    T = 50_000
    risk = course(p, c, b, n0, T)
    slope = np.log2(risk[-1] / risk[T // 2])
    if name == "collapses":
        assert found.level == V and risk[-1] > 0.6 * V and slope >= 0
        return
    if name == "stalls":
        assert risk[-1] == pytest.approx(found.level, rel=0.02) and 0 < found.level < V
        closer = course(p, c, b, n0, 4 * T)[-1]
        assert abs(closer / found.level - 1) <= abs(risk[-1] / found.level - 1)
        return
    logs = np.log2(np.log(T) / np.log(T / 2)) * found.log_power
    assert slope == pytest.approx(exponent + logs, abs=0.02)
    assert (recovers(p, c, b) is not None) == (name == "recovers") == (found.level == 0)
    if found.coefficient is None:
        assert (p, b) == (1, 2)
        return
    leading = found.coefficient * T**exponent * np.log(T) ** found.log_power
    assert risk[-1] == pytest.approx(leading, rel=0.15 if found.log_power else 0.02)


def test_a_stalled_level_depends_on_the_first_round():
    for initial in (5, 500):
        found = classify_schedule(1.5, 0.3, 2, 50, spread=V, initial_size=initial)
        assert found.level == pytest.approx(course(1.5, 0.3, 2, 50, 100_000, initial)[-1], rel=1e-2)


def test_without_sizes_the_name_is_known_and_the_level_is_not():
    assert classify_schedule(1, 1, 1).level is None and classify_schedule(2, 1, 2).level is None
    assert "above zero" in classify_schedule(1, 1, 1).sentence()
    assert classify_schedule(0.5, 1, 0.1).level == 1.0  # in units of V


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-0.5, 1, 1), "the exponent p"),
        ((0.5, 1.5, 1), "factor c is 1.5"),
        ((0.5, float("nan"), 1), "factor c is nan"),
        ((0.5, 1, -1), "the exponent b"),
        ((float("inf"), 1, 1), "the exponent p"),
        ((0.5, 1, 1, 0.5), "the size n0 is 0.5"),
    ],
)
def test_schedules_without_a_long_run_are_refused(arguments, words):
    with pytest.raises(SpecError, match=words):
        classify_schedule(*arguments)


# Turning points


def test_turning_points():
    assert turning_points(predict_risk(zipf(20), 0.2, [10, *(10 * np.arange(1, 13))])) == (1, 4)
    assert turning_points([0.5] * 4) == (None, None)
    assert turning_points(predict_risk(zipf(20), 1.0, [10, 10, 30])) == (None, 1)
    assert turning_points(predict_risk(zipf(20), 0.5, [10] * 9)) == (1, None)
    assert turning_points([3.0, 1.0, 4.0, 2.0]) == (2, 2)
    with pytest.raises(SpecError, match="list of numbers"):
        turning_points([1.0, float("nan")])


# Several contexts


@pytest.mark.parametrize("n", [1, 2, 7, 90, 3000])
@pytest.mark.parametrize("p", [0.003, 0.2, 0.7, 1.0])
def test_mean_inverse_count(n, p):
    """Against the recursion f_n = (1-p) f_{n-1} + (1 - (1-p)^n)/n, which Pascal's rule gives."""
    f = 0.0
    for k in range(1, n + 1):
        f = (1 - p) * f + (1 - (1 - p) ** k) / k
    assert inverse_count(n, p).item() == pytest.approx(f, rel=1e-9)


def test_mean_inverse_count_of_many_records():
    for mean in (1e6, 1e9, 1e12):
        assert inverse_count(mean / 0.3, 0.3).item() * mean - 1 == pytest.approx(
            0.7 / mean, rel=0.01, abs=2e-12
        )


@pytest.mark.parametrize("keeps", [True, False])
def test_several_contexts_by_simulation(keeps):
    """A.3.8, rare contexts included, against a plain simulation that draws contexts and tokens."""
    rows = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
    pi, alpha, n = np.array([0.7, 0.25, 0.05]), [0.4, 0.1, 0.0, 0.6], [8, 6, 12, 5, 9]
    found = several_contexts(rows, pi, [0, *alpha], n, keeps_missing=keeps)
    rng, R = np.random.default_rng(3), 30_000
    uniform = np.full((R, 3, 3), 1 / 3)
    fitted = uniform
    for t, size in enumerate(n):
        a = 1.0 if t == 0 else alpha[t - 1]
        law = a * rows + (1 - a) * fitted
        drawn = rng.multinomial(rng.multinomial(size, pi, size=R), law)
        met = drawn.sum(axis=2, keepdims=True)
        fitted = np.where(met > 0, drawn / np.maximum(met, 1), fitted if keeps else uniform)
        for values, expected in (
            (((fitted - rows) ** 2).sum(axis=2), found.risk[t]),
            (1 - (fitted**2).sum(axis=2), found.gini[t]),
        ):
            assert (np.abs(values.mean(axis=0) - expected) <= 4.5 * values.std(axis=0) / np.sqrt(R)).all()


def test_one_context_is_the_plain_recursion():
    alpha, n = [0, 0.5, 0.2, 0.0], [10, 20, 5, 40]
    found = several_contexts([zipf(7)], [1.0], alpha, n)
    np.testing.assert_allclose(found.risk[:, 0], predict_risk(zipf(7), alpha, n), rtol=1e-9)
    np.testing.assert_allclose(found.gini[:, 0], gini(zipf(7)) - found.risk[:, 0], rtol=1e-9)


# Bad input (A.8)


@pytest.mark.parametrize(
    ("weights", "sizes", "words"),
    [
        ([0, 0.5, 1.5], [10, 10, 10], r"real weight of round 2 is 1\.5"),
        ([0, -0.1, 0.5], [10, 10, 10], r"real weight of round 1 is -0\.1"),
        ([0, 0.5, float("nan")], [10, 10, 10], "real weight of round 2 is nan"),
        (1.01, [10, 10], "round 1 is 1.01"),
        ([0, 0.5], [10, 10, 10], "has 2 entries but there are 3 rounds"),
        (0.5, [10, 0.4, 10], r"size of round 1 is 0\.4"),
        (0.5, [10, 10, 10.5], r"size of round 2 is 10\.5"),
        (0.5, [0, 10], "size of round 0 is 0"),
        (0.5, [10, float("inf")], "size of round 1 is inf"),
        (0.5, [10, float("nan")], "size of round 1 is nan"),
        (0.5, [], "one number of records per round"),
        ([[0.5]], [10, 10], "a list with one share per round"),
    ],
)
def test_a_bad_schedule_names_its_round(weights, sizes, words):
    with pytest.raises(SpecError, match=words) as refused:
        predict_risk(zipf(5), weights, sizes)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("p", [[1.2, -0.2], [0.5, 0.5 + 1e-7], [0.5, float("nan")], [[0.5, 0.5]]])
def test_a_target_that_is_no_probability_vector_is_refused_not_normalised(p):
    for call in (predict_risk, limit_risk):
        with pytest.raises(SpecError, match="sum to one"):
            call(p, 0.5, [5, 5] if call is predict_risk else 5)
    with pytest.raises(SpecError, match="sum to one"):
        several_contexts([p[0] if isinstance(p[0], list) else p, [0.5, 0.5]], [0.9, 0.2], 0.5, [5, 5])


def test_other_refusals():
    with pytest.raises(SpecError, match="2 rows but 1 weights"):
        several_contexts([[0.5, 0.5], [0.4, 0.6]], [1.0], 0.5, [5, 5])
    with pytest.raises(SpecError, match="the size is 0"):
        limit_risk(zipf(5), 0.5, 0)
    with pytest.raises(SpecError, match="the real weight is 2"):
        effective_sample_size(2, 10)


# From a spec


def power(scale, exponent):
    return {"power": {"scale": scale, "exponent": exponent}}


def spec(learner="categorical", data=None, **keys):
    workflow = {"kind": "fresh", "sample_size": 50, "real_share": 0.2, **keys.pop("workflow", {})}
    data = data or {"kind": "categorical", "zipf": {"symbols": 20}}
    return Spec.of(seed=0, generations=6, data=data, learner=learner, workflow=workflow, metrics=[], **keys)


def named(**keys):
    return regime(setting_of(spec(**keys)))


BIGRAM = {"kind": "bigram", "rows": [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], "weights": [0.8, 0.2]}


def test_the_regime_of_a_spec():
    found = named(workflow={"sample_size": power(20, 1), "real_share": power(1, -0.5)})
    assert found == classify_schedule(0.5, 1, 1, 20, spread=V)
    assert named().level == pytest.approx(limit_risk(zipf(20), 0.2, 50))
    assert named(workflow={"sample_size": {"constant": 50}}) == named()
    assert named(workflow={"real_share": 0}).name == "collapses"
    gaussian = named(
        learner={"kind": "gaussian", "ddof": 0}, data={"kind": "gaussian", "dim": 2, "cov": [1, 3]}
    )
    assert gaussian.level == pytest.approx(4 / effective_sample_size(0.2, 50))
    flips = named(learner="bernoulli", data={"kind": "bernoulli", "probability": [0.3, 0.5]})
    assert flips.level == pytest.approx((0.21 + 0.25) / effective_sample_size(0.2, 50))
    stalled = {"sample_size": power(5, 2), "real_share": power(0.5, -2)}
    assert named(workflow={**stalled, "initial_size": 9}).level == pytest.approx(
        course(2, 0.5, 2, 5, 50_000, 9)[-1], rel=1e-3
    )
    given = {"probabilities": [0.05] * 20}
    assert named(workflow=stalled, initial_model=given).level is None


def test_the_regime_of_a_bigram_is_that_of_its_contexts():
    own = [1 - np.square(row).sum() for row in BIGRAM["rows"]]
    bigram = {"learner": "bigram", "data": BIGRAM}
    for keys in ({}, {"sample_size": power(10, 1), "real_share": power(1, -1)}):
        level = named(workflow=keys, **bigram).level
        t = np.arange(1, 6001.0)
        alpha, n = ([0, *(1 / t)], [10, *(10 * t)]) if keys else (0.2, [50] * 400)
        long = several_contexts(BIGRAM["rows"], BIGRAM["weights"], alpha, n).risk[-1] @ BIGRAM["weights"]
        assert level == pytest.approx(long, rel=2e-3 if keys else 1e-9)
    collapsing = named(workflow={"real_share": power(1, -1)}, **bigram)
    assert collapsing.name == "collapses" and collapsing.level == pytest.approx(0.8 * own[0] + 0.2 * own[1])
    recovering = named(workflow={"sample_size": power(10, 1.0)}, **bigram)
    t = np.arange(1, 2001.0)
    risk = (
        several_contexts(BIGRAM["rows"], BIGRAM["weights"], 0.2, [10, *(10 * t)]).risk[-1] @ BIGRAM["weights"]
    )
    assert recovering.coefficient / 2000 == pytest.approx(risk, rel=5e-3)
    assert named(workflow={"sample_size": power(10, 2), "real_share": power(1, -2)}, **bigram).level is None


def test_exact_counts_settle_at_their_own_level():
    found = named(workflow={"counts": "exact", "real_share": 0.15})
    long = fresh(one_hot(zipf(20)), [50] * 400, 0.15, "exact").squared_error[-1]
    assert found.name == "plateaus" and found.level == pytest.approx(long, rel=1e-9)
    assert named(workflow={"counts": "exact", "sample_size": power(5, 1)}) is None


@pytest.mark.parametrize(
    "keys",
    [
        {"workflow": {"real_share": {"values": [0.5] * 5}}},
        {"workflow": {"real_share": power(0.1, 0.5)}},
        {"workflow": {"provenance": "known"}},
        {"learner": {"kind": "categorical", "smoothing": 0.5}},
        {"sampling": {"temperature": 0.9}},
        {"learner": "gaussian", "data": {"kind": "gaussian"}, "sampling": {"bias": 0.9}},
        {"learner": {"kind": "gaussian", "ddof": 1}, "data": {"kind": "gaussian"}},
        {"learner": "poisson", "data": {"kind": "poisson", "rate": 2}},
    ],
)
def test_no_regime_is_named_where_the_recursion_is_another(keys):
    assert named(**keys) is None


def test_predictions_of_a_spec():
    found = {(p.metric, p.quantity): p for p in predict(spec())}
    exact = predict_risk(zipf(20), 0.2, [50] * 6)
    np.testing.assert_allclose(found["squared_error", "mean"].values, exact, rtol=1e-12)
    assert found["squared_error", "limit"].values[0] == pytest.approx(limit_risk(zipf(20), 0.2, 50))
    rising = predict(spec(workflow={"sample_size": power(20, 1), "real_share": power(1, -0.5)}))
    rate = [p for p in rising if p.quantity == "rate"]
    assert [p.values.tolist() for p in rate] == [[-0.5]] and "recovers" in rate[0].statement
    smoothed = predict(spec(learner={"kind": "categorical", "smoothing": 1.0}))
    assert not [p for p in smoothed if p.status == "exact"]


def test_predictions_of_a_bigram():
    found = {p.metric: p.values for p in predict(spec(learner="bigram", data=BIGRAM)) if p.quantity == "mean"}
    expected = several_contexts(BIGRAM["rows"], BIGRAM["weights"], 0.2, [50] * 6)
    np.testing.assert_allclose(found["squared_error"], expected.risk @ [0.8, 0.2], rtol=1e-12)
    np.testing.assert_allclose(found["gini"], expected.gini @ [0.8, 0.2], rtol=1e-12)
    scratch = {"kind": "bigram", "start": "scratch"}
    other = [p.values for p in predict(spec(learner=scratch, data=BIGRAM)) if p.metric == "squared_error"]
    assert other[0][-1] > found["squared_error"][-1]
    own = {"kind": "bigram", "weights": [0.5, 0.5], "tokens": 3}
    assert not [p for p in predict(spec(learner=own, data=BIGRAM)) if p.metric == "gini"]
