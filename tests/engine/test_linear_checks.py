"""Checks U1-U6 of the linear workflow predictor, run by the engine: a Gaussian mean of known variance, for which it is exact.

Fit t of the sheet is generation t - 1. The 64 coordinates are independent, so that each is a replicate of its own.
"""

from __future__ import annotations

import pytest

from autophage.theory.predict import predict

DIM, GROWING = 64, {"values": [50 * t for t in range(2, 21)]}


def spec(workflow):
    return {
        "data": {"kind": "gaussian", "dim": DIM},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"sample_size": 50, **workflow},
        "replicates": 600,
    }


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        pytest.param({"kind": "replace"}, 20.0000, id="u1"),
        pytest.param({"kind": "window", "size": 3}, 5.7153, id="u2"),
        pytest.param({"kind": "accumulate"}, 1.5962, id="u3"),
        pytest.param({"kind": "window", "size": 3, "keep_real": True}, 1.5981, id="u4"),
        pytest.param({"kind": "window", "size": 1, "keep_real": True}, 1.3333, id="u5"),
        pytest.param(
            {"kind": "accumulate", "initial_size": 50, "sample_size": GROWING},
            1.4158,
            id="u6",
        ),
    ],
)
def test_error_of_the_twentieth_fit(workflow, expected, course, close):
    found = course(lambda m: 50 * m.mean**2, [19], **spec(workflow))[19]
    close(found.ravel(), expected, 0.03)
    (said,) = [
        p
        for p in predict({"seed": 0, "generations": 20, **spec(workflow)})
        if (p.metric, p.quantity, p.status) == ("squared_mean_error", "mean", "exact")
    ]
    assert 50 * said.values[-1] / DIM == pytest.approx(expected, abs=5.1e-5)
