"""A fixed weight between fresh real and newest synthetic records, in the loop itself: C1-C4, both paths, its theory."""

import dataclasses

import numpy as np
import pytest

from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.piles import RealData, Records
from autophage.samples import Batch, Samples
from autophage.spec import Spec
from autophage.theory.golden_ratio import best_weight, limit_variance, variance_course
from autophage.theory.linear import error_covariance
from autophage.theory.predict import predict
from autophage.workflows import Fresh, share_matrix

KNOWN = {"kind": "gaussian", "covariance": "known"}


def workflow(real, synthetic, weight, **keys):
    share = real / (real + synthetic)
    return {
        "kind": "fresh",
        "counts": "exact",
        "sample_size": real + synthetic,
        "real_share": share,
        "real_weight": weight,
        "initial_size": real,
        **keys,
    }


def squared_error(model):
    return (model.mean**2).sum(axis=1)


def predicted(metric, quantity="mean", **keys):
    (found,) = [p for p in predict(seed=0, **keys) if p.metric == metric and p.quantity == quantity]
    return found.values


@pytest.mark.parametrize(
    ("real", "synthetic", "weight", "variance"),
    [
        (100, 100, 0.618034, 0.00618034),
        (100, 400, 0.390388, 0.00390388),
        (50, 10, 0.854102, 0.0170820),
        (100, 100, 0.5, 0.00666667),
        (100, 100, None, 0.00666667),
    ],
    ids=["C1", "C2", "C3", "C4", "C4_pooled"],
)
def test_c1_to_c4_in_the_engine(course, close, real, synthetic, weight, variance):
    """After 30 generations nothing is left of the start: its share is below (1 - w)^60."""
    loop = {
        "data": {"kind": "gaussian"},
        "learner": KNOWN,
        "workflow": workflow(real, synthetic, weight),
        "replicates": 40_000,
    }
    measured = course(squared_error, [30], **loop)[30]
    close(measured, variance, 0.04)
    assert predicted("squared_mean_error", generations=31, **loop)[-1] == pytest.approx(variance, rel=1e-4)
    assert predicted("squared_mean_error", "limit", generations=31, **loop) == pytest.approx(
        variance, rel=1e-4
    )
    best = predicted("real_weight", "threshold", generations=31, **loop)
    assert best == pytest.approx(best_weight(real, synthetic))


def test_the_samples_path_agrees(course, close):
    loop = {
        "data": {"kind": "gaussian"},
        "learner": {**KNOWN, "path": "samples"},
        "workflow": workflow(6, 3, 0.8),
        "replicates": 20_000,
    }
    expected = variance_course(0.8, 6, 3, start=1 / 6, rounds=8)
    for g, measured in course(squared_error, [0, 1, 8], **loop).items():
        close(measured, expected[g], 0.05)


def test_the_records_path_agrees(course, close, monkeypatch):
    monkeypatch.setattr(Loop, "_path", lambda self, name: "records")
    loop = {
        "data": {"kind": "gaussian"},
        "learner": KNOWN,
        "workflow": workflow(6, 3, 0.8),
        "replicates": 20_000,
    }
    measured = course(squared_error, [8], **loop)[8]
    close(measured, variance_course(0.8, 6, 3, start=1 / 6, rounds=8)[-1], 0.05)


@pytest.mark.parametrize("path", ["statistics", "samples"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_fitted_variances_follow_their_recursion(course, close, path, ddof):
    """The weighted fit of both moments: a schedule of weights, a growing size, two dimensions."""
    loop = {
        "data": {"kind": "gaussian", "dim": 2},
        "learner": {"kind": "gaussian", "ddof": ddof, "covariance": "diagonal", "path": path},
        "workflow": workflow(
            8,
            4,
            {"values": [0.9, 0.5, 0.3, 0.7]},
            sample_size={"power": {"scale": 12, "exponent": 0.5}},
        ),
        "replicates": 12_000,
    }
    variance = predicted("variance", generations=5, **loop)
    error = predicted("squared_mean_error", generations=5, **loop)
    for g, measured in course(
        lambda m: np.c_[m.variances.mean(axis=1), squared_error(m)], [1, 2, 4], **loop
    ).items():
        close(measured[:, 0], variance[g], 0.04)
        close(measured[:, 1], error[g], 0.05)


@pytest.mark.parametrize(
    ("data", "learner"),
    [
        ({"kind": "categorical", "zipf": {"symbols": 6, "exponent": 1}}, {"kind": "categorical"}),
        ({"kind": "bernoulli", "probability": 0.3}, {"kind": "bernoulli"}),
        ({"kind": "poisson", "rate": 2.0}, {"kind": "poisson"}),
        ({"kind": "exponential", "mean": 1.0}, {"kind": "exponential"}),
    ],
    ids=["categorical", "bernoulli", "poisson", "exponential"],
)
@pytest.mark.parametrize("path", ["statistics", "samples"])
def test_every_weighted_family_follows_its_recursion(course, close, data, learner, path):
    loop = {
        "data": data,
        "learner": {**learner, "path": path},
        "workflow": workflow(20, 10, 0.85),
        "replicates": 12_000,
    }
    truth = Spec.of(seed=0, generations=2, **loop).data.truth
    name = "probabilities" if learner["kind"] == "categorical" else "mean"
    expected = predicted("squared_error", generations=7, **loop)

    def error(model):
        return ((getattr(model, name) - getattr(truth, name)) ** 2).sum(axis=1)

    close(course(error, [6], **loop)[6], expected[-1], 0.06)


def test_the_share_matrix_goes_by_weight():
    """So the linear predictor is right: it is the recursion of the weighted mean."""
    flow = Fresh(sample_size=10, real_share=0.3, counts="exact", real_weight=0.6, initial_size=5)
    A, fresh, sizes = share_matrix(flow, 6, 5)
    assert fresh.tolist() == [0, *[0.6] * 5]
    assert A.sum(axis=1) + fresh == pytest.approx(1)
    assert np.diag(A)[1:] == pytest.approx(0.4)
    found = np.diag(error_covariance(A, sizes, fresh_shares=fresh, fresh_sizes=[0, *[3] * 5]))
    np.testing.assert_allclose(found, variance_course(0.6, 3, 7, start=1 / 5, rounds=5))


def test_the_weight_of_the_counts_is_no_weight():
    keys = {"data": {"kind": "gaussian"}, "learner": {"kind": "gaussian"}, "generations": 8}
    plain = predict(seed=0, workflow=workflow(6, 4, None), **keys)
    weighted = predict(seed=0, workflow=workflow(6, 4, 0.6), **keys)
    for p in plain:
        if p.quantity == "mean" and p.metric in ("variance", "squared_mean_error"):
            same = next(w for w in weighted if (w.metric, w.quantity) == (p.metric, p.quantity))
            np.testing.assert_allclose(same.values, p.values, rtol=1e-12)


def test_real_share_is_told_by_weight():
    loop = Loop(
        data={"kind": "gaussian"},
        learner=KNOWN,
        workflow=workflow(6, 4, 0.9),
        generations=3,
        replicates=2,
        seed=0,
    )
    state = loop.start(loop.blocks()[0])
    shares, sizes = [], []
    while state.generation < 3:
        state, (done,) = loop.step(state)
        shares.append(done.real_share.tolist())
        sizes.append(done.training_size)
    assert shares == [[1, 1], [0.9, 0.9], [0.9, 0.9]]
    assert sizes == [6, 10, 10]


@pytest.mark.parametrize("weight", [0.7, 1.0])
def test_records_carry_their_rows_weight(weight):
    """Of one replicate and of a block, and on top of weights that curation gave."""
    spec = Spec.of(
        seed=0, data={"kind": "gaussian"}, learner=KNOWN, workflow=workflow(6, 4, weight), generations=3
    )
    agent = spec.agents["main"]
    plan = agent.workflow.plan(1, 6)
    for batched in (False, True):
        data = RealData(spec.data, 6, 3 if batched else 1, batched)
        pile = Records(data, agent.workflow, data.first(Key(0)))
        new = Batch.of(np.zeros((3, 4, 1)), generation=0).reweighted(np.array([[2.0, 1, 1, 0]] * 3))
        given = new if batched else new.replicate(0)
        found, share = pile.grown(given).training_set(plan, Key(1))
        assert np.allclose(share, weight)
        carried = np.atleast_2d(np.asarray(found.weight))
        rest = 10 * (1 - weight)
        np.testing.assert_allclose(
            carried[0], [*[10 * weight / 6] * 6, rest / 2, rest / 4, rest / 4, 0], atol=1e-12
        )
        segmented = dataclasses.replace(pile, segmented=True).grown(given)
        parts, by_parts = segmented.training_set(plan, Key(1))
        assert np.allclose(by_parts, weight) and len(parts) == 2


def test_a_row_without_weight_left_cannot_carry_any():
    flow = Fresh(sample_size=4, real_share=0.5, counts="exact", real_weight=0.5, initial_size=2)
    source = Spec.of(seed=0, data={"kind": "gaussian"}, learner=KNOWN, generations=1).data
    data = RealData(source, 2, 1, False)
    none_left = Samples.of(np.zeros((2, 1)), generation=0, weight=0.0)
    pile = Records(data, flow, data.first(Key(0))).grown(none_left)
    with pytest.raises(FitFailed, match="carry weight"):
        pile.training_set(flow.plan(1, 2), Key(0))


# Bad input


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"real_weight": 0}, "real_weight is 0 at t = 1.*grows without bound"),
        ({"real_weight": 1.2}, r"real_weight is 1.2 at t = 1; it must lie in \(0, 1\]$"),
        ({"real_weight": -0.1}, r"real_weight is -0.1 at t = 1; it must lie in \(0, 1\]$"),
        ({"real_weight": float("nan")}, "real_weight is nan"),
        ({"real_weight": {"values": [0.5, 2.0, 0.5]}}, "real_weight is 2 at t = 2"),
        ({"counts": "mixture"}, "counts: exact"),
        ({"real_share": 0}, "no fresh real records.*no stationary variance"),
        ({"real_share": 1}, "all 8 records are real"),
    ],
    ids=["zero", "above_one", "negative", "nan", "schedule", "mixture", "no_real", "no_synthetic"],
)
def test_c_bad_weights_are_refused_before_the_start(keys, words):
    with pytest.raises(SpecError, match=words):
        Loop(
            data={"kind": "gaussian"},
            learner=KNOWN,
            workflow={**workflow(4, 4, 0.5), **keys},
            generations=4,
            seed=0,
        )


def test_a_learner_that_takes_no_weights_is_named():
    with pytest.raises(
        SpecError, match="workflow fresh gives records weights, and learner kde takes none.*gaussian"
    ):
        Loop(
            data={"kind": "gaussian"},
            learner={"kind": "kde", "bandwidth": 0.1},
            workflow=workflow(4, 4, 0.5),
            generations=3,
            seed=0,
        )


def test_the_best_weight_is_better_than_its_neighbours():
    at = [limit_variance(best_weight(30, 50) + d, 30, 50) for d in (-0.02, 0, 0.02)]
    assert at[1] < min(at[0], at[2])
