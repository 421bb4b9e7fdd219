"""What `predict` says of loops with a gain, against the engine."""

from __future__ import annotations

import numpy as np
import pytest

from autophage import predict
from autophage.loop import Loop

WORDS = {"kind": "categorical", "zipf": {"symbols": 8, "exponent": 0.5}}
FADING = {"power": {"scale": 0.7, "exponent": -0.5}}
SPECS = {
    "words, optimal": ({"data": WORDS, "learner": "categorical"}, {"real_share": 0.2}, "optimal"),
    "words, exact counts": (
        {"data": WORDS, "learner": "categorical"},
        {"real_share": 0.3, "counts": "exact"},
        {"power": {"scale": 0.8, "exponent": -1}},
    ),
    "means, fading": (
        {"data": {"kind": "gaussian", "dim": 2, "cov": [[2.0, 0.5], [0.5, 1.0]]}},
        {"real_share": FADING},
        0.4,
    ),
    "means, exact counts": (
        {"data": {"kind": "gaussian"}},
        {"real_share": 0.25, "counts": "exact"},
        "optimal",
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_engine_agrees(name):
    parts, workflow, gain = SPECS[name]
    means = "learner" not in parts
    spec = {
        "seed": 4,
        "generations": 9,
        "replicates": 8000,
        "learner": {"kind": "gaussian", "covariance": "known", "known_variance": 1.5},
        **parts,
        "workflow": {"kind": "fresh", "sample_size": 60, **workflow},
        "treatment": {"kind": "gain", "gain": gain},
        "metrics": ["squared_mean_error" if means else "squared_error"],
    }
    (predicted,) = predict(spec)
    assert predicted.status == "exact" and predicted.metric == spec["metrics"][0]
    loop = Loop(**spec)
    found = []
    for block in loop.blocks():
        state, values = loop.start(block), []
        while state.generation < 9:
            state, (record,) = loop.step(state)
            values.append(record.measurements[0].value)
        found.append(np.stack(values, axis=1))
    found = np.concatenate(found)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (4 * error < 0.08 * predicted.values).all()
    assert (np.abs(found.mean(axis=0) - predicted.values) < 4 * error).all()


def test_d8_is_what_predict_says():
    spec = {
        "seed": 0,
        "generations": 31,
        "data": WORDS,
        "learner": "categorical",
        "workflow": {"kind": "fresh", "sample_size": 100, "real_share": 0.2},
        "treatment": {"kind": "gain"},
    }
    assert predict(spec)[0].values[-1] == pytest.approx(3.8899e-3, rel=1e-4)


def test_other_loops_with_a_gain_are_left_alone():
    spec = {"seed": 0, "data": WORDS, "learner": "categorical", "treatment": {"kind": "gain", "gain": 0.5}}
    assert predict(spec | {"workflow": {"kind": "replace", "sample_size": 50}}) == []
    fresh = {"kind": "fresh", "sample_size": 50, "real_share": 0.2}
    assert predict(spec | {"workflow": fresh, "learner": {"kind": "categorical", "smoothing": 1.0}}) == []
