"""The gain treatment: what it moves, how far, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.interventions import Treating
from autophage.keys import Key
from autophage.learners.bernoulli import BernoulliModel
from autophage.learners.categorical import CategoricalModel
from autophage.learners.exponential import ExponentialModel
from autophage.learners.gaussian import GaussianModel
from autophage.learners.poisson import PoissonModel
from autophage.loop import Loop
from autophage.schedules import Constant, Power, Scaling, Values
from autophage.spec import Spec
from autophage.theory.provenance import optimal_gains
from autophage.treatments.gain import Gain
from autophage.workflows import Fresh

MODELS = {
    "categorical": (
        CategoricalModel(np.array([[0.2, 0.8], [1.0, 0.0]])),
        CategoricalModel(np.array([[0.6, 0.4], [0.0, 1.0]])),
    ),
    "bernoulli": (BernoulliModel(np.array([[0.2, 0.9]])), BernoulliModel(np.array([[1.0, 0.0]]))),
    "poisson": (PoissonModel(np.array([[2.0]])), PoissonModel(np.array([[0.0]]))),
    "exponential": (ExponentialModel(np.array([[2.0]])), ExponentialModel(np.array([[0.5]]))),
    "gaussian": (
        GaussianModel(np.array([[2.0, 1.0]]), scale=np.ones((1, 2))),
        GaussianModel(np.array([[0.0, 3.0]]), scale=np.ones((1, 2))),
    ),
}


def parameters(model):
    return model.probabilities if hasattr(model, "probabilities") else model.mean


def context(t, previous, plans=(), real=100):
    return Treating(t, "main", previous, real, list(plans), Key(0))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("gain", [0.0, 0.25, 1.0])
def test_mean_parameters_move_part_of_the_way(kind, gain):
    last, fit = MODELS[kind]
    moved = Gain(gain=gain).apply(fit, context=context(3, last))
    expected = parameters(last) + gain * (parameters(fit) - parameters(last))
    np.testing.assert_allclose(parameters(moved), expected, rtol=1e-14)
    assert type(moved) is type(fit) and moved.replicates == fit.replicates


def test_a_gain_of_one_changes_no_number_and_generation_0_is_left_alone():
    last, fit = MODELS["categorical"]
    whole = Gain(gain=1).apply(fit, context=context(1, last))
    np.testing.assert_array_equal(whole.probabilities, fit.probabilities)
    assert Gain().apply(fit, context=context(0, None)) is fit


@pytest.mark.parametrize(
    "gain, expected",
    [
        (0.3, [0.3, 0.3, 0.3]),
        (Constant(constant=0.3), [0.3, 0.3, 0.3]),
        (Power(power=Scaling(scale=0.8, exponent=-1)), [0.8, 0.4, 0.8 / 3]),
        (Values(values=[0.5, 0.0, 1.0]), [0.5, 0.0, 1.0]),
    ],
    ids=["number", "constant", "power", "values"],
)
def test_schedules(gain, expected):
    assert [Gain(gain=gain).gain_at(t, 10, []) for t in (1, 2, 3)] == pytest.approx(expected)


@pytest.mark.parametrize("counts", ["mixture", "exact"])
def test_the_optimal_gain_reads_the_plans(counts):
    sizes, shares = [100.0, 50.0, 80.0, 120.0], [0.3, 0.25, 0.5]
    workflow = Fresh(
        sample_size=Values(values=sizes[1:]),
        real_share=Values(values=shares),
        counts=counts,
        initial_size=100,
    )
    plans = [workflow.plan(t, 100) for t in (1, 2, 3)]
    found = [Gain().gain_at(t, 100, plans[:t]) for t in (1, 2, 3)]
    assert found == pytest.approx(optimal_gains(sizes, [1.0, *shares])[1:])


def test_a_gain_above_one_is_capped_and_probabilities_stay_probabilities():
    """n_1 a_1 = 200 exceeds I_1 = 10 + 40: the estimator alone would leave the simplex."""
    workflow = Fresh(sample_size=1000, real_share=0.2, initial_size=10)
    plan = workflow.plan(1, 10)
    assert optimal_gains([10, 1000], 0.2)[1] == pytest.approx(4) and Gain().gain_at(1, 10, [plan]) == 1.0
    spec = {
        "data": {"kind": "categorical", "uniform": 8},
        "learner": "categorical",
        "workflow": {"kind": "fresh", "sample_size": 1000, "real_share": 0.2, "initial_size": 10},
        "generations": 2,
        "replicates": 50,
        "seed": 1,
        "metrics": [],
    }
    fits = {}
    for treatment in (None, "gain"):
        loop = Loop(treatment=treatment, **spec)
        assert [w for w in loop.warnings if "capped at 1" in w] == loop.warnings[: treatment is not None]
        state = loop.start(loop.blocks()[0])
        for _ in range(2):
            state, (record,) = loop.step(state)
        fits[treatment] = record.model.probabilities
    np.testing.assert_array_equal(fits["gain"], fits[None])
    assert (fits["gain"] >= 0).all()


def test_the_same_gain_on_records_and_on_statistics_is_the_same_in_law():
    """A gain of one half: the means of the squared error agree within their errors."""
    found = {}
    for path in ("samples", "statistics"):
        loop = Loop(
            data={"kind": "categorical", "uniform": 3},
            learner={"kind": "categorical", "path": path},
            workflow={"kind": "replace", "sample_size": 20},
            treatment={"kind": "gain", "gain": 0.5},
            generations=5,
            replicates=1024,
            seed=2,
            metrics=[],
        )
        assert loop.paths == {"main": path}
        state = loop.start(loop.blocks()[0])
        for _ in range(5):
            state, (record,) = loop.step(state)
        found[path] = ((record.model.probabilities - 1 / 3) ** 2).sum(axis=1)
    errors = [v.std() / np.sqrt(len(v)) for v in found.values()]
    assert abs(np.subtract(*[v.mean() for v in found.values()])) < 4 * np.hypot(*errors)


def test_it_can_be_written_and_read_again():
    spec = Spec.of(
        data={"kind": "categorical", "uniform": 3},
        learner="categorical",
        workflow={"kind": "fresh", "sample_size": 20},
        treatment={"kind": "gain", "gain": {"power": {"scale": 1, "exponent": -0.5}}},
        seed=0,
    )
    written = spec.to_dict()
    assert written["agents"]["main"]["treatment"] == {
        "kind": "gain",
        "gain": {"power": {"scale": 1.0, "exponent": -0.5}},
    }
    assert Spec.of(written).digest == spec.digest
    assert Spec.of(
        {**written, "agents": {"main": {**written["agents"]["main"], "treatment": "gain"}}}
    ).agents["main"].treatment == Gain(gain="optimal")


@pytest.mark.parametrize(
    "gain, words",
    [
        (1.5, r"treatment.gain is 1.5 at t = 1; a share must lie in \[0, 1\]"),
        (-0.1, r"treatment.gain is -0.1"),
        (float("nan"), r"treatment.gain is nan"),
        ({"values": [0.5, 2.0]}, r"treatment.gain is 2 at t = 2"),
        ({"power": {"scale": 0.1, "exponent": 0.5}}, "grows like"),
        ({"power": {"scale": 0.1, "exponent": float("nan")}}, "grows like"),
        ({"power": {"scale": 2, "exponent": -1}}, "treatment.gain is 2 at t = 1"),
        ("best", "treatment.gain"),
    ],
)
def test_gains_outside_the_unit_interval_are_refused(gain, words):
    with pytest.raises(SpecError, match=words):
        Spec.of(
            data={"kind": "gaussian"}, learner="gaussian", treatment={"kind": "gain", "gain": gain}, seed=0
        )


@pytest.mark.parametrize(
    "keys, words",
    [
        ({"learner": "gaussian"}, "gaussian with covariance `known`, not gaussian"),
        ({"learner": "kde"}, "not kde"),
        ({"workflow": "accumulate"}, "needs workflow fresh with provenance `hidden`"),
        (
            {"workflow": {"kind": "fresh", "provenance": "known"}},
            "needs workflow fresh with provenance `hidden`",
        ),
    ],
    ids=["covariance", "kde", "workflow", "provenance"],
)
def test_what_cannot_be_moved_so_is_refused_before_the_start(keys, words):
    spec = {"learner": {"kind": "gaussian", "covariance": "known"}, "workflow": "fresh", **keys}
    with pytest.raises(SpecError, match=words):
        Loop(data={"kind": "gaussian"}, treatment="gain", seed=0, **spec)


def test_a_list_of_gains_that_is_too_short_is_refused_before_the_start():
    spec = {
        "data": {"kind": "categorical", "uniform": 3},
        "learner": "categorical",
        "generations": 4,
        "seed": 0,
    }
    workflow = {"kind": "replace", "sample_size": 5}
    assert not Loop(
        treatment={"kind": "gain", "gain": {"values": [1, 0.5, 0.2]}}, workflow=workflow, **spec
    ).warnings
    with pytest.raises(SpecError, match="treatment.gain has 2 values"):
        Loop(treatment={"kind": "gain", "gain": {"values": [1, 0.5]}}, workflow=workflow, **spec)


def test_a_wrong_word_in_python_is_refused():
    with pytest.raises(SpecError, match="`optimal`, a number or a schedule"):
        Gain(gain="best")
