"""Recursive stability by coupled runs, against its exact course."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies import coupled
from autophage.theory.recursive_stability import index_course

MIX = {"kind": "mix", "real": 20, "synthetic_ratio": 4, "initial_size": 100}
KNOWN = {"kind": "gaussian", "covariance": "known"}


def test_sheet_5_gaussian_mean_is_exact():
    found = coupled.simulate(
        data={"kind": "gaussian"}, learner=KNOWN, workflow=MIX, generations=31, replicates=4, seed=3
    )
    assert found.index[[0, 1, 10]] == pytest.approx([0.01, 0.018, 0.045705], abs=1e-6)
    np.testing.assert_allclose(
        found.distance, np.broadcast_to(index_course(100, 0.2, 31), (4, 31)), rtol=1e-9
    )


@pytest.mark.parametrize(
    "data, learner",
    [
        ({"kind": "categorical", "zipf": {"symbols": 5, "exponent": 1}}, "categorical"),
        ({"kind": "bernoulli", "probability": 0.3}, "bernoulli"),
        ({"kind": "exponential", "mean": 2.0}, "exponential"),
        ({"kind": "gaussian", "dim": 1}, "gaussian"),
    ],
    ids=["categorical", "bernoulli", "exponential", "gaussian"],
)
def test_other_families_on_average(data, learner):
    """Neighbouring symbols and scaled draws keep the sign of the difference, so that its mean is exact too; the
    fitted variance of a Gaussian adds a little of the second order in 1/n."""
    R = 2500
    found = coupled.simulate(
        data=data, learner={"kind": learner}, workflow=MIX, generations=11, replicates=R, seed=5
    )
    expected = index_course(100, 0.2, 11)
    assert found.mean[0] == pytest.approx(expected[0], rel=1e-12)
    error = found.distance[:, 10].std() / np.sqrt(R)
    assert abs(found.mean[10] - expected[10]) < 4 * error + 0.015 * expected[10]
    assert 4 * error < 0.1 * expected[10]
    assert (found.index >= found.mean * (1 - 1e-12)).all() and found.index[10] > 1.2 * found.mean[10]


def test_accumulating_keeps_a_difference_and_replacing_does_not_lose_it():
    for kind in ("accumulate", "replace"):
        found = coupled.simulate(
            data={"kind": "gaussian"},
            learner=KNOWN,
            workflow={"kind": kind, "sample_size": 50},
            generations=6,
            replicates=3,
            seed=1,
        )
        np.testing.assert_allclose(found.distance, 0.02, rtol=1e-9)


def test_a_record_that_is_not_kept_fades():
    """The mix keeps the first 20 of 100 real records; the last one acts through generation 0 only."""
    found = coupled.simulate(
        data={"kind": "gaussian"},
        learner=KNOWN,
        workflow=MIX,
        generations=6,
        replicates=2,
        seed=1,
        record=99,
        altered=lambda x: x + 3,
    )
    np.testing.assert_allclose(found.index, 0.03 * 0.8 ** np.arange(6), rtol=1e-9)


def test_a_finite_source_is_altered_in_every_replicate():
    found = coupled.simulate(
        data={"kind": "digits"},
        learner={"kind": "gaussian", "covariance": "known"},
        workflow={"kind": "mix", "synthetic_ratio": 1},
        generations=2,
        replicates=2,
        seed=1,
    )
    # 64 pixels, one more in each: 8 / n, and half of that from either half of the second training set.
    np.testing.assert_allclose(found.distance, 8 / 1438, rtol=1e-6)


@pytest.mark.parametrize(
    "keys, words",
    [
        ({"learner": {"kind": "kde"}}, "fits in closed form"),
        ({"record": 100}, "records 0 to 99"),
        ({"record": -1}, "records 0 to 99"),
        ({"initial_model": {"mean": 0.0}}, "initial_model"),
        ({"data": {"kind": "poisson", "rate": 2}, "learner": "poisson"}, "counts cannot be coupled"),
        (
            {
                "learner": None,
                "workflow": None,
                "agents": {n: {"learner": KNOWN, "workflow": MIX} for n in ("a", "b")},
            },
            "takes one agent",
        ),
    ],
    ids=["kde", "record", "negative", "initial", "counts", "agents"],
)
def test_refusals(keys, words):
    spec = {"data": {"kind": "gaussian"}, "learner": KNOWN, "workflow": MIX, "seed": 0, **keys}
    spec = {k: v for k, v in spec.items() if v is not None}
    with pytest.raises(SpecError, match=words):
        coupled.simulate(**spec)
