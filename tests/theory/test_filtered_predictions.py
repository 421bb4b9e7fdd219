"""What theory says of filtered Gaussian means, against the loop itself; and where it says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.loop import Loop
from autophage.theory.contraction import stationary_variance
from autophage.theory.predict import predict
from autophage.theory.predictors import predict as ask
from autophage.theory.setting import Setting

HERE = {"mean": 0.0}


def spec(curation, n=100, G=16, **more):
    return {
        "seed": 4,
        "generations": G,
        "data": {"kind": "gaussian", "mean": 0.0},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": n},
        "metrics": [],
        "curation": [curation],
        **more,
    }


def only(found, quantity="mean", side=None):
    (p,) = [p for p in found if (p.metric, p.quantity, p.side) == ("squared_mean_error", quantity, side)]
    return p


def measured(given, replicates):
    loop = Loop(**given, replicates=replicates)
    courses = []
    for block in loop.blocks():
        state, values = loop.start(block), []
        for _ in range(given["generations"]):
            state, (record,) = loop.step(state)
            values.append((record.model.mean**2).sum(axis=1))
        courses.append(np.stack(values, axis=1))
    return np.concatenate(courses)


TILT = {"kind": "tilt", "pull": 0.4}
CASES = {
    "tilt from the real fit": spec({**TILT, "anchor": "real"}),
    "tilt in three dimensions": spec({**TILT, "anchor": "real"}, data={"kind": "gaussian", "dim": 3}),
    "tilt from afar": spec({**TILT, "anchor": HERE}, initial_model={"mean": 1.0}),
    "tilt from afar, estimated anchor": spec({**TILT, "anchor": "real"}, initial_model={"mean": 1.0}),
    "tilt from the real fit, known anchor": spec({**TILT, "anchor": {"mean": 0.2}}),
    "tilt with growing sizes": spec(
        {**TILT, "anchor": HERE}, n={"power": {"scale": 60, "exponent": 0.7}}, initial_model={"mean": 0.5}
    ),
    "logistic, n": spec({"kind": "logistic", "slope": 0.8, "anchor": "real"}),
    "logistic, proposals": spec(
        {"kind": "logistic", "slope": 0.8, "anchor": HERE, "keep": "proposals"},
        200,
        initial_model={"mean": 2.0},
    ),
    "logistic, weights": spec(
        {"kind": "logistic", "slope": 0.8, "anchor": "real", "keep": "weights"}, initial_model={"mean": 2.0}
    ),
    "interval, n": spec({"kind": "interval_verifier", "centre": 0.3, "radius": 1.0}),
    "interval, proposals": spec(
        {"kind": "interval_verifier", "centre": 0.3, "radius": 1.5, "keep": "proposals"},
        200,
        learner={"kind": "gaussian", "covariance": "known", "known_variance": 2.25},
        data={"kind": "gaussian", "cov": 2.25},
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_courses_are_those_of_the_loop(name):
    """Within four standard errors and the order 1/n that an expansion leaves out."""
    given = CASES[name]
    expected = only(predict(given)).values
    found = measured(given, 1024)
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - expected) <= 4 * error + 0.05 * expected + 1e-4).all()


@pytest.mark.parametrize("name", [k for k in CASES if "growing" not in k])
def test_limits_are_where_courses_go(name):
    long = {**CASES[name], "generations": 400}
    found = predict(long)
    limit, end = only(found, "limit").values[0], only(found).values[-1]
    assert end == pytest.approx(limit, rel=1e-3)
    floors = [p for p in found if p.side == "lower"]
    assert all(0 < p.values[0] < limit for p in floors)


def test_growing_sizes_have_no_settling_noise():
    found = predict({**CASES["tilt with growing sizes"], "generations": 3000})
    assert not [p for p in found if p.quantity == "limit" and p.side is None]
    assert only(found).values[-1] < 1e-3


def test_f3_and_the_honest_words():
    found = predict(
        spec(
            {"kind": "tilt", "pull": 0.3, "anchor": "real"},
            50,
            80,
            workflow={
                "kind": "replace",
                "sample_size": 50,
                "initial_size": 200,
            },
        )
    )
    limit = only(found, "limit")
    assert limit.values[0] == pytest.approx(0.044216, abs=5e-7) and limit.status == "asymptotic"
    assert (
        "stays within sqrt(sigma^2/c)" in limit.statement
        and "does not converge to the truth" in limit.statement
    )
    floor = only(found, "limit", "lower")
    assert floor.values[0] == pytest.approx(1 / 200) and floor.status == "bound"
    walk = only(found, "mean", "upper")
    np.testing.assert_allclose(walk.values, 1 / 200 + np.arange(80) / 50, rtol=1e-12)
    assert (only(found).values <= walk.values + 1e-12).all()


def test_filters_without_a_closed_form_get_walk_and_floor():
    found = predict(spec({"kind": "neural_filter", "anchor": "real"}))
    assert {(p.quantity, p.side) for p in found} == {("limit", "lower"), ("mean", "upper")}
    found = predict(spec({"kind": "truncation", "share": 0.9, "anchor": "real"}))
    assert {(p.quantity, p.side) for p in found} == {("limit", "lower")}
    ablation = predict(
        spec({"kind": "truncation", "share": 0.5, "anchor": "real", "require_contraction": False})
    )
    assert {(p.quantity, p.side) for p in ablation} == {("limit", "lower")}
    steep = predict(spec({"kind": "logistic", "slope": 5, "anchor": HERE, "require_contraction": False}))
    assert {(p.quantity, p.side) for p in steep} == {("mean", None)}


@pytest.mark.parametrize(
    "curation, more",
    [
        ({"kind": "truncation", "share": 0.9, "anchor": "real"}, {}),
        ({"kind": "logistic", "slope": 0.5, "anchor": "real", "keep": "proposals"}, {}),
        ({**TILT, "anchor": {"mean": 0.5}}, {}),
        ({**TILT, "anchor": "real"}, {"initial_model": {"mean": 0.0}}),
    ],
    ids=["truncation", "fewer_records", "wrong_anchor", "estimated_anchor"],
)
def test_no_walk_is_promised_where_the_loop_rises_above_it(curation, more):
    """Each of these lies above the unfiltered walk, by far more than chance, in the first generation already."""
    given = spec(curation, G=2, **more)
    course = measured(given, 4000)[:, 1]
    real = 0.0 if "initial_model" in more else 1 / 100
    assert course.mean() - 4 * course.std() / np.sqrt(4000) > real + 1 / 100
    assert not any(p.side == "upper" for p in predict(given))


@pytest.mark.parametrize(
    "change",
    [
        {"workflow": {"kind": "accumulate", "sample_size": 50}},
        {"learner": {"kind": "gaussian"}},
        {"curation": [{**TILT, "anchor": "real"}, {"kind": "interval_verifier", "centre": 0, "radius": 1}]},
        {"sampling": {"bias": 0.9}},
        {"treatment": {"kind": "gain", "gain": 0.5}},
        {"learner": "poisson", "data": {"kind": "poisson", "rate": 3}},
    ],
    ids=["accumulate", "fitted_variance", "two", "biased", "treated", "poisson"],
)
def test_what_no_theorem_covers_gets_no_prediction(change):
    assert predict({**spec({**TILT, "anchor": "real"}), **change}) == []


def test_without_an_anchor_the_plain_theorems_speak():
    null, plain = (predict({**spec(None), "curation": c}) for c in ([{**TILT, "anchor": None}], []))
    assert [(p.metric, p.quantity) for p in null] == [(p.metric, p.quantity) for p in plain] != []
    assert only(null).values == pytest.approx(only(plain).values)


def test_unknown_curations_silence_everybody():
    sizes = [20] * 6
    assert ask(Setting(generations=6, sizes=sizes, curation=True)) == []
    mine = Setting(
        generations=6, sizes=sizes, covariance="known", curation=True, curations=({"kind": "mine:Own"},)
    )
    assert ask(mine) == []


def test_a_pull_near_two_swings_but_settles():
    found = predict(spec({"kind": "tilt", "pull": 1.9, "anchor": HERE}, G=400, initial_model={"mean": 1.0}))
    assert only(found).values[1] == pytest.approx(0.81 + 0.01)
    assert only(found).values[-1] == pytest.approx(stationary_variance(1.9, 0.01), rel=1e-6)
