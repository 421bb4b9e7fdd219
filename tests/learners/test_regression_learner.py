"""Regression fits against scikit-learn, the law of the refit against drawn records, and what a run tells the learner."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autophage import laws
from autophage.data.regression import RegressionSource
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.regression import Regression
from autophage.learners.regression_model import Design, RegressionModel
from autophage.loop import Loop
from autophage.samples import Batch
from autophage.schedules import Power, Scaling, Values
from autophage.spec import Spec

KEY = Key(0) / "test_regression_learner"


def records(n, d=3, outputs=1, replicates=2, name="records"):
    return (KEY / name).generator().standard_normal((replicates, n, d + outputs))


class Unknown:
    """A stranger's pairs, whose law nobody knows."""

    domain, dim, noise, unlimited = "pairs", 2, 0.1, True


def bound(learner, d, outputs=1):
    """A learner that knows where inputs end and labels begin."""

    source = RegressionSource(dim=d, noise=0.5)
    object.__setattr__(source, "outputs", outputs)
    return learner.bound_to(source)


# Fits against other implementations


@pytest.mark.parametrize("design", ["fresh", "fixed"])
@pytest.mark.parametrize("ridge", [0.0, 0.3], ids=["plain", "ridge"])
@pytest.mark.parametrize("n", [2, 3, 7, 40])
def test_a_fit_is_that_of_scikit_learn(n, ridge, design):
    from sklearn.linear_model import Ridge

    x = records(n)
    model = Regression(ridge=ridge, design=design).fit(Batch.of(x), key=KEY)
    for r in range(2):
        inputs, y = x[r, :, :-1], x[r, :, -1]
        if ridge:
            expected = Ridge(alpha=ridge * n, fit_intercept=False).fit(inputs, y).coef_
        else:
            expected = np.linalg.lstsq(inputs, y, rcond=None)[0]  # of least norm where n < d
        assert np.allclose(model.weights[r], expected, atol=1e-9)
        assert np.allclose(model.predict(inputs)[r, :, 0], inputs @ expected, atol=1e-9)


@pytest.mark.parametrize("design", ["fresh", "fixed"])
@pytest.mark.parametrize("ridge", [0.0, 0.2], ids=["plain", "ridge"])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (2, 30), (20, 3, 9)], ids=str)
def test_batches_merge_into_one_fit(sizes, ridge, design):
    learner = Regression(ridge=ridge, design=design)
    parts = [Batch.of(records(n, name=f"part{i}")) for i, n in enumerate(sizes)]
    merged = learner.estimate(learner.merge([learner.summarize(p) for p in parts]))
    whole = learner.estimate(learner.summarize(Batch.join(parts)))
    assert np.allclose(merged.weights, whole.weights, atol=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.2], ids=["plain", "ridge"])
def test_weights_count_records_as_often_as_they_say(ridge):
    x, weight = records(9), np.tile([3.0, 0, 1, 2, 0, 1, 1, 0, 2], (2, 1))
    learner = Regression(ridge=ridge)
    weighted = learner.fit(Batch.of(x).reweighted(weight), key=KEY)
    repeated = learner.fit(Batch.of(np.repeat(x, weight[0].astype(int), axis=1)), key=KEY)
    assert np.allclose(weighted.weights, repeated.weights, atol=1e-9)
    scaled = learner.estimate(learner.scaled(learner.summarize(Batch.of(x)), 7.0))
    assert np.allclose(scaled.weights, learner.fit(Batch.of(x), key=KEY).weights, atol=1e-9)
    with pytest.raises(FitFailed, match="no record"):
        learner.fit(Batch.of(x).reweighted(np.zeros_like(weight)), key=KEY)


def kernel_ridge(learner, x, y, ridge, at):
    from sklearn.kernel_ridge import KernelRidge

    h = learner.bandwidth
    settings = {"kernel": "rbf", "gamma": 1 / (2 * h**2)}
    if learner.kernel == "polynomial":
        settings = {"kernel": "poly", "gamma": 1 / h**2, "degree": learner.degree, "coef0": learner.offset}
    return KernelRidge(alpha=ridge * len(x), **settings).fit(x, y).predict(at)


@pytest.mark.parametrize("design", ["fresh", "fixed"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_a_kernel_fit_is_that_of_scikit_learn(kernel, outputs, design):
    x, at = records(25, outputs=outputs), records(10, name="at")[0, :, :3]
    learner = bound(Regression(kernel=kernel, ridge=0.05, bandwidth=1.7, degree=2, design=design), 3, outputs)
    model = learner.fit(Batch.of(x), key=KEY)
    for r in range(2):
        expected = kernel_ridge(learner, x[r, :, :3], x[r, :, 3:], 0.05, at)
        assert np.allclose(model.predict(at)[r], expected, atol=1e-8)
    laws.learner(learner, records(30, outputs=outputs)[0])


@pytest.mark.parametrize("design", ["fresh", "fixed"])
def test_kernel_batches_merge_into_one_fit(design):
    learner = Regression(kernel="rbf", ridge=0.1, bandwidth=1.5, design=design)
    first, second = (Batch.of(records(n, name=f"kernel{n}")) for n in (12, 8))
    relabelled = Batch.of(np.concatenate([first.x[..., :3], records(12, name="labels")[..., 3:]], axis=2))
    at = records(5, name="at")[0, :, :3]
    for parts in ([first, second], [first, relabelled], [first, relabelled, second]):
        merged = learner.estimate(learner.merge([learner.summarize(p) for p in parts]))
        whole = learner.estimate(learner.summarize(Batch.join(parts)))
        assert np.allclose(merged.predict(at), whole.predict(at), atol=1e-8)


def test_label_sets_of_one_design_are_kept_as_one():
    learner = Regression(kernel="rbf", ridge=0.1, design="fixed")
    batch = Batch.of(records(12))
    model = learner.fit(batch, key=KEY)
    pile = learner.merge([learner.summarize(batch), learner.relabel(model, 12, KEY, batch)])
    assert pile.inputs.shape[1] == 12 and pile.count == 24


def test_a_kernel_of_degree_one_without_offset_is_linear():
    x = records(20)
    linear = Regression(ridge=0.1).fit(Batch.of(x), key=KEY)
    kernel = Regression(ridge=0.1, kernel="polynomial", degree=1, offset=0, bandwidth=1.0).fit(
        Batch.of(x), key=KEY
    )
    assert np.allclose(linear.predict(x[0, :, :3]), kernel.predict(x[0, :, :3]), atol=1e-9)


@pytest.mark.parametrize("rank", [2, 4])
def test_the_units_of_a_design_are_weights_in_which_its_noise_is_white(rank):
    x = (KEY / "design").generator().standard_normal((3, rank, 4))
    gram = np.swapaxes(x, 1, 2) @ x / rank
    design = Design(gram)
    assert np.allclose(
        design.basis @ np.swapaxes(design.basis, 1, 2), np.linalg.pinv(gram, hermitian=True), atol=1e-6
    )
    w = (KEY / "w").generator().standard_normal((3, 4))
    seen = design.weights(design.units(w))
    assert np.allclose(np.einsum("rij,rj->ri", gram, seen), np.einsum("rij,rj->ri", gram, w), atol=1e-9)
    assert np.allclose(design.units_of_moment(design.moment(design.units(w))), design.units(w), atol=1e-9)
    shrunk = design.weights(design.shrunk(design.units(w), 0.3))
    expected = np.linalg.solve(gram + 0.3 * np.eye(4), np.einsum("rij,rj->ri", gram, w)[..., None])[..., 0]
    assert np.allclose(shrunk, expected, atol=1e-9)


# The law of the refit


def course(path, d, n, learner, workflow, replicates, generations=4, seed=5):
    loop = Loop(
        seed=seed,
        replicates=replicates,
        generations=generations,
        metrics=["excess_risk"],
        data={
            "kind": "regression",
            "spectrum": (1 / np.arange(1, d + 1)).tolist(),
            "signal": 1.0,
            "noise": 0.7,
        },
        learner={"kind": "regression", "path": path, **learner},
        workflow={"sample_size": n, **workflow}
        if workflow["kind"] != "mix"
        else {**workflow, "initial_size": n},
    )
    assert set(loop.paths.values()) == {path}
    found = []
    for block in loop.blocks():
        state, values = loop.start(block), []
        while state.generation < generations:
            state, (done,) = loop.step(state)
            values.append(done.measurements[0].value)
        found.append(np.array(values))
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("design", ["fresh", "fixed"])
@pytest.mark.parametrize(
    "workflow",
    [
        {"kind": "replace"},
        {"kind": "accumulate"},
        {"kind": "window", "size": 2, "keep_real": True},
        {"kind": "mix", "synthetic_ratio": 1.0},
    ],
    ids=lambda w: w["kind"],
)
@pytest.mark.parametrize(
    ("d", "n", "ridge"),
    [(1, 9, 0.0), (3, 12, 0.2), (3, 12, 0.0), (10, 30, 0.05), (10, 4, 0.0), (10, 4, 0.1)],
    ids=["d1", "d3-ridge", "d3", "d10-ridge", "d10-least-norm", "d10-few-ridge"],
)
def test_both_paths_agree_in_law(d, n, ridge, workflow, design):
    """Mean, mean logarithm and mean square root of the error, generation by generation, within 4.5 standard errors of
    their difference."""
    if n == 4 and design == "fresh" and workflow["kind"] != "replace" and not ridge:
        n = 2  # two and three batches together must stay clear of the interpolation threshold
    replicates = 400
    one, other = (
        course(path, d, n, {"design": design, "ridge": ridge}, workflow, replicates, seed=seed)
        for path, seed in (("statistics", 5), ("samples", 6))
    )
    for read in (lambda v: v, np.log, np.sqrt):
        a, b = read(one), read(other)
        error = np.sqrt((a.var(axis=1) + b.var(axis=1)) / replicates)
        assert np.all(np.abs(a.mean(axis=1) - b.mean(axis=1)) < 4.5 * error)


def test_fresh_real_records_of_drawn_number_are_drawn_by_their_law():
    one, other = (
        course(path, 3, 30, {}, {"kind": "fresh", "real_share": 0.3}, 1500, seed=seed)
        for path, seed in (("statistics", 5), ("samples", 6))
    )
    error = np.sqrt((one.var(axis=1) + other.var(axis=1)) / 1500)
    assert np.all(np.abs(one.mean(axis=1) - other.mean(axis=1)) < 4.5 * error)


def test_a_fixed_design_keeps_its_inputs():
    """On every path; new inputs would make the fits' errors independent of the first ones' gram."""
    for path in ("statistics", "samples"):
        loop = Loop(
            seed=0,
            replicates=3,
            generations=3,
            data={"kind": "regression", "dim": 2},
            learner={"kind": "regression", "design": "fixed", "path": path},
            workflow={"kind": "accumulate", "sample_size": 8},
        )
        state, grams = loop.start(loop.blocks()[0]), []
        for _ in range(3):
            state, (done,) = loop.step(state)
            grams.append(done.model.design.gram)
        assert all(np.array_equal(g, grams[0]) for g in grams)


def test_records_of_a_fixed_design_are_relabelled_where_a_subsample_is_drawn():
    loop = Loop(
        seed=0,
        replicates=3,
        generations=3,
        data={"kind": "regression", "dim": 2},
        learner={"kind": "regression", "design": "fixed"},
        workflow={"kind": "accumulate_subsample", "sample_size": 8},
    )
    state = loop.start(loop.blocks()[0])
    real = state.piles["main"].real.x[..., :2]
    for _ in range(2):
        state, (done,) = loop.step(state)
        assert np.array_equal(done.kept.x[..., :2], real)


def test_more_labels_than_inputs_go_round():
    model = RegressionModel(np.ones((2, 3)), noise=0.0, inputs=RegressionSource(dim=3).inputs)
    given = Batch.of(records(4))
    x = model.sample(10, key=KEY, given=given).x
    assert np.array_equal(x[:, 4:8, :3], given.x[..., :3]) and np.allclose(x[..., 3], x[..., :3].sum(-1))


# What a run tells the learner


@pytest.mark.parametrize(
    ("learner", "workflow"),
    [
        ({"design": "fixed"}, "accumulate"),
        ({"design": "fixed", "path": "samples"}, "accumulate"),
        ({"design": "fixed", "ridge": 0.1}, "replace"),
        ({"ridge": 0.1}, "window"),
        ({"kernel": "rbf", "ridge": 0.1, "design": "fixed"}, "accumulate"),
        ({"kernel": "polynomial", "ridge": 0.1}, "replace"),
    ],
    ids=["fixed", "fixed-samples", "fixed-ridge", "fresh-window", "kernel-fixed", "kernel-fresh"],
)
def test_a_loop_that_was_stored_goes_on_to_the_same_numbers(learner, workflow):
    loop = Loop(
        seed=3,
        replicates=4,
        generations=6,
        data={"kind": "regression", "dim": 3},
        learner={"kind": "regression", **learner},
        workflow={"kind": workflow, "sample_size": 12},
    )
    (block,) = loop.blocks()

    def to_the_end(state):
        values = []
        while state.generation < 6:
            state, (done,) = loop.step(state)
            values.append(done.measurements[0].value)
        return np.array(values)

    state = loop.start(block)
    for _ in range(3):
        state, _ = loop.step(state)
    stored = {k: np.array(v) for k, v in state.models["main"].arrays().items()}
    pile = {k: np.array(v) for k, v in state.piles["main"].arrays().items()}
    expected = to_the_end(state)
    fresh = loop.start(block)
    again = type(state)(
        block,
        3,
        {"main": loop.agents["main"].learner.restore(stored)},
        {"main": fresh.piles["main"].restored(pile)},
    )
    assert np.array_equal(to_the_end(again), expected)


@pytest.mark.parametrize(
    "learner", [{}, {"ridge": 0.2}, {"design": "fixed"}, {"design": "fixed", "ridge": 0.2}]
)
@pytest.mark.parametrize("size", [9, 2], ids=["many", "few"])
def test_a_leap_gives_the_numbers_of_single_steps(learner, size):
    loop = Loop(
        seed=4,
        metrics=[],
        data={"kind": "regression", "dim": 4},
        learner={"kind": "regression", **learner},
        workflow={"kind": "replace", "sample_size": size},
        generations=10,
        replicates=20,
    )
    assert loop.leaps()
    (block,) = loop.blocks()
    stepped = loop.start(block)
    while stepped.generation < 10:
        stepped, _ = loop.step(stepped)
    leapt, _ = loop.step(loop.start(block))
    one, other = stepped.models["main"], loop.leap(leapt).models["main"]
    assert np.array_equal(one.weights, other.weights)


def test_no_leap_where_records_are_relabelled_or_settings_follow_a_schedule():
    for learner in ({"design": "fixed", "path": "samples"}, {"ridge": {"values": [0.1, 0.2, 0.3]}}):
        loop = Loop(
            seed=4,
            metrics=[],
            generations=4,
            data={"kind": "regression", "dim": 4},
            learner={"kind": "regression", **learner},
            workflow={"kind": "replace", "sample_size": 9},
        )
        assert not loop.leaps()


def test_schedules_belong_to_generations():
    learner = Regression(ridge=Values(values=[0.1, 0.2]), noise=Values(values=[1.0, 2.0]))
    known = learner.bound_to(RegressionSource(dim=2, noise=0.5))
    assert [known.in_generation(t).ridge for t in range(3)] == [0.1, 0.1, 0.2]
    # The noise that generation t's model carries is that of the labels generation t + 1 is fitted to.
    assert [known.in_generation(t).noise for t in range(3)] == [1.0, 2.0, 2.0]
    ridges, noises = known.schedules(3)
    assert ridges.tolist() == [0.1, 0.1, 0.2] and noises.tolist() == [0.5, 1.0, 2.0]
    grows = Regression(ridge=Power(power=Scaling(scale=0.5, exponent=1.0)))
    assert [grows.in_generation(t).ridge for t in (0, 1, 2)] == [0.5, 0.5, 1.0]
    plain = Regression(ridge=0.1)
    assert plain.in_generation(3) is plain


def test_the_adaptive_ridge_is_theory_s_best_one_after_its_own_predecessors():
    from autophage.theory.regression_chain import Stage, best_ridge

    loop = Loop(
        seed=0,
        generations=4,
        data={"kind": "regression", "dim": 40, "noise": 0.5},
        learner={"kind": "regression", "ridge": "adaptive", "rows": 60},
        workflow={"kind": "replace"},
    )
    learner, law = loop.agents["main"].learner, loop.source.directions
    stages = []
    for t in range(4):
        best = best_ridge(law.eigenvalues, law.signal, stages, 60, 0.5).ridge
        assert math.isclose(learner.in_generation(t).ridge, best)
        stages.append(Stage(60, best, 0.5))
    ridges = [s.ridge for s in stages]
    assert ridges == sorted(ridges)


def test_rows_is_short_for_the_sample_size():
    def resolved(learner, workflow):
        spec = Spec.of(
            seed=0, data={"kind": "regression"}, learner={"kind": "regression", **learner}, workflow=workflow
        )
        return spec.agents["main"].workflow

    assert resolved({"rows": 90}, "replace").sample_size == 90
    assert resolved({"rows": 90}, {"kind": "accumulate", "sample_size": 90}).sample_size == 90
    assert resolved({"rows": {"values": [5, 6]}}, "replace").sample_size.values == [5, 6]
    mixed = resolved({"rows": 90}, "mix")
    assert mixed.initial_size == 90 and mixed.start_size(None) == 90
    again = Spec.of(Spec.of(seed=0, data="regression", learner={"kind": "regression", "rows": 9}).to_dict())
    assert again.agents["main"].workflow.sample_size == 9
    with pytest.raises(SpecError, match="rows is 90 but workflow.sample_size is 60"):
        resolved({"rows": 90}, {"kind": "replace", "sample_size": 60})


# What is refused


def refused(match, learner=None, workflow=None, data=None, **keys):
    with pytest.raises(SpecError, match=match) as refusal:
        Loop(
            seed=0,
            generations=4,
            data={"kind": "regression", "dim": 5, **(data or {})},
            learner={"kind": "regression", **(learner or {})},
            workflow={"kind": "replace", "sample_size": 20, **(workflow or {})},
            **keys,
        )
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("design", ["fresh", "fixed"])
@pytest.mark.parametrize("n", [4, 5, 6])
def test_a7_no_fit_at_the_interpolation_threshold(n, design):
    refused("infinite variance at the interpolation threshold", {"design": design}, {"sample_size": n})


def test_a7_a_threshold_that_a_later_generation_meets_is_refused_too():
    refused("interpolation threshold", workflow={"sample_size": {"values": [20, 20, 6]}, "initial_size": 20})
    refused("interpolation threshold", workflow={"kind": "accumulate", "sample_size": 2})
    refused("interpolation threshold", {"ridge": {"values": [0.1, 0.1, 0]}}, {"sample_size": 6})
    for learner in ({"ridge": 0.1}, {"kernel": "rbf", "ridge": 0.1}):
        Loop(
            seed=0,
            data={"kind": "regression", "dim": 5},
            learner={"kind": "regression", **learner},
            workflow={"kind": "replace", "sample_size": 6},
        )


@pytest.mark.parametrize(
    ("learner", "match"),
    [
        ({"ridge": -0.1}, "learner.ridge is -0.1"),
        ({"ridge": math.nan}, "learner.ridge"),
        ({"ridge": math.inf}, "learner.ridge"),
        ({"ridge": {"values": [0.1, -1, 0]}}, "at t = 2"),
        ({"noise": -1}, "learner.noise"),
        ({"rows": 0}, "learner.rows"),
        ({"kernel": "rbf", "bandwidth": 0}, "learner.bandwidth"),
        ({"kernel": "polynomial", "degree": 0}, "learner.degree"),
        ({"kernel": "polynomial", "offset": -1}, "learner.offset"),
        ({"kernel": "rbf", "ridge": "adaptive"}, "adaptive"),
        ({"ridge": {"values": [0.1]}}, "has 1 values"),
    ],
    ids=[
        "a7-negative-ridge",
        "a7-nan-ridge",
        "a7-infinite-ridge",
        "a7-negative-ridge-later",
        "negative-noise",
        "no-rows",
        "no-bandwidth",
        "no-degree",
        "negative-offset",
        "adaptive-kernel",
        "short-schedule",
    ],
)
def test_bad_settings_are_refused(learner, match):
    refused(match, learner)


def test_settings_that_do_not_go_together_are_refused():
    refused("workflow replace only", {"ridge": "adaptive"}, {"kind": "accumulate"})
    refused("does not cover", {"design": "fixed", "path": "statistics"}, {"initial_size": 30})
    refused("no closed law", {"kernel": "rbf", "ridge": 0.1, "path": "statistics"})
    refused("stands for no real inputs", {"design": "fixed"}, initial_model={"weights": 0})
    refused("weights", initial_model={"weights": [1, 2]})
    with pytest.raises(SpecError, match="learners that would do: regression"):
        Loop(seed=0, data={"kind": "regression"}, learner="gaussian")
    with pytest.raises(SpecError, match="one label"):
        Loop(seed=0, data={"kind": "labelled_digits", "size": 100}, learner="regression")
    with pytest.raises(SpecError, match="whose law is known"):
        Regression(ridge="adaptive").bound_to(Unknown())


def test_a_given_model_starts_the_loop():
    loop = Loop(
        seed=0,
        generations=2,
        replicates=2000,
        data={"kind": "regression", "dim": 2, "signal": 0.0},
        learner={"kind": "regression", "noise": 0.0},
        workflow={"kind": "replace", "sample_size": 20},
        initial_model={"weights": [1.0, 2.0]},
    )
    state = loop.start(loop.blocks()[0])
    for _ in range(2):
        state, (done,) = loop.step(state)
        # Labels without noise: every fit is the given model.
        assert np.allclose(done.model.weights, [1.0, 2.0]) and np.allclose(done.measurements[0].value, 5.0)
