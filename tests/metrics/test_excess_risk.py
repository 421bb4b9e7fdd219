"""The excess risk of regressions: its definition, held-out records, and what a run makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autophage.data.regression import RegressionSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.excess_risk import ExcessRisk
from autophage.runs.run import run

KEY = Key(0) / "test_excess_risk"


class Seen:
    """What a metric may look at."""

    def __init__(self, source, model, replicates):
        self.source, self.model, self.replicates = source, model, replicates

    def reference(self, r, against="reference"):
        return self.source.reference()


def test_it_is_the_mean_squared_gap_on_new_inputs():
    source = RegressionSource(spectrum=[4.0, 1.0, 0.25], signal=[1.0, -2.0, 3.0], noise=5.0)
    model = source.truth.spread(1)
    model = type(model)(model.weights + np.array([0.3, 0.1, -1.0]), noise=1.0, inputs=source.inputs)
    (found,) = ExcessRisk().measure(Seen(source, model, 1))
    assert found.metric == "excess_risk" and found.low is None
    assert math.isclose(found.value[0], 4 * 0.09 + 0.01 + 0.25)
    x = source.inputs.draw(200_000, 1, KEY)[0]
    gaps = (model.predict(x)[0] - source.truth.predict(x)[0])[:, 0] ** 2
    assert abs(gaps.mean() - found.value[0]) < 5 * gaps.std() / math.sqrt(len(gaps))


def test_a_model_without_weights_is_asked_on_held_out_inputs():
    done = run(
        seed=0,
        replicates=3,
        generations=2,
        data={"kind": "regression", "dim": 2, "noise": 0.3, "reference_size": 400},
        learner={"kind": "regression", "kernel": "polynomial", "degree": 1, "offset": 0, "ridge": 1e-9},
        workflow={"kind": "replace", "sample_size": 30},
    )
    linear = run(
        seed=0,
        replicates=3,
        generations=2,
        data={"kind": "regression", "dim": 2, "noise": 0.3},
        learner={"kind": "regression", "path": "samples"},
        workflow={"kind": "replace", "sample_size": 30},
    )
    assert done.metrics["metric"].unique().to_list() == ["excess_risk"]
    assert (
        done.metrics["n"].unique().to_list() == [400] and (done.metrics["low"] < done.metrics["high"]).all()
    )
    # The same fits on the same records: only the inputs that are asked differ.
    assert np.allclose(done.metrics["value"] / linear.metrics["value"], 1, atol=0.3)


@pytest.fixture
def houses(tmp_path):
    draw = KEY.generator()
    x = draw.standard_normal((300, 2))
    y = x @ [2.0, -1.0] + 0.5 * draw.standard_normal(300)
    path = tmp_path / "houses.csv"
    rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([x, y])]
    path.write_text("a,b,price\n" + "\n".join(rows) + "\n")
    return {"kind": "regression_table", "path": str(path), "target": "price"}


def test_real_records_give_an_error_that_holds_their_noise(houses):
    done = run(seed=0, replicates=20, generations=3, data=houses, learner="regression", workflow="replace")
    assert done.metrics["metric"].unique().to_list() == ["held_out_error"]
    first = done.metrics.filter(done.metrics["generation"] == 0)
    assert (first["low"] < done.spec.data.noise**2).all() and (first["high"] > done.spec.data.noise**2).all()
    assert done.metrics["n"].unique().to_list() == [60]
    assert done.verdict()["D1"].details["trivial"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("bootstrap", [False, True], ids=["shared", "bootstrap"])
@pytest.mark.parametrize("workflow", ["replace", "accumulate"])
def test_both_paths_agree_on_a_table(houses, workflow, bootstrap):
    found = {}
    for path, seed in (("statistics", 1), ("samples", 2)):
        done = run(
            seed=seed,
            replicates=400,
            generations=5,
            bootstrap=bootstrap,
            data={**houses, "size": 60},
            learner={"kind": "regression", "design": "fixed", "path": path},
            workflow=workflow,
        )
        assert done.paths == {"main": path}
        found[path] = done.metrics.filter(done.metrics["generation"] == 4)["value"].to_numpy()
    one, other = found.values()
    error = np.sqrt((one.var() + other.var()) / 400)
    assert abs(one.mean() - other.mean()) < 4.5 * error


def test_a_table_of_new_inputs_draws_real_rows(houses):
    done = run(
        seed=0, replicates=20, generations=3, data=houses, learner={"kind": "regression", "ridge": 0.01}
    )
    assert done.paths == {"main": "samples"}
    with pytest.raises(SpecError, match="no closed law"):
        run(seed=0, data=houses, learner={"kind": "regression", "path": "statistics"})


def test_the_trivial_baseline_is_known_to_the_verdict():
    done = run(
        seed=0,
        replicates=20,
        generations=4,
        data={"kind": "regression", "dim": 4, "noise": 0.1, "signal": 2.0},
        learner={"kind": "regression", "rows": 40},
    )
    assert done.verdict()["D1"].details["trivial"] == pytest.approx(4.0)
    chosen = run(done.spec.to_dict() | {"verdict": {"trivial": 7.0}})
    assert chosen.verdict()["D1"].details["trivial"] == 7.0


def test_the_gallery_shows_labels_against_what_they_would_be_without_noise():
    from autophage.runs.paged import gallery

    done = run(
        seed=0,
        generations=3,
        pictures=True,
        data={"kind": "regression", "dim": 4, "noise": 0.0, "signal": 2.0},
        learner={"kind": "regression", "rows": 40},
    )
    shown = gallery(done, "main")
    assert shown.kind == "clouds" and np.asarray(shown.samples).shape == (3, 200, 2)
    assert np.allclose(shown.samples[..., 0], shown.samples[..., 1])  # no noise: every fit is right
    assert "without noise" in shown.caption


def test_a_treatment_goes_part_of_the_way():
    def last(**keys):
        done = run(
            seed=0,
            replicates=300,
            generations=10,
            data={"kind": "regression", "dim": 4},
            learner={"kind": "regression", "rows": 40},
            **keys,
        )
        return done.metrics.filter(done.metrics["generation"] == 9)["value"].mean()

    assert last(treatment={"kind": "gain", "gain": 0.3}) < 0.5 * last()


def test_weighed_real_records_settle():
    """The golden ratio: constant weight on fresh real records keeps the error from growing."""
    done = run(
        seed=0,
        replicates=300,
        generations=20,
        data={"kind": "regression", "dim": 3},
        learner={"kind": "regression"},
        workflow={
            "kind": "fresh",
            "sample_size": 60,
            "counts": "exact",
            "real_share": 0.5,
            "real_weight": 0.618,
        },
    )
    first, last = (done.metrics.filter(done.metrics["generation"] == g)["value"].mean() for g in (0, 19))
    assert last < 2 * first
