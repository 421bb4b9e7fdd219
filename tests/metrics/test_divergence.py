"""KL divergence and total variation of fitted probabilities, and what zeros do to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.metrics.divergence import KlDivergence
from autophage.runs.run import run

P = [0.5, 0.3, 0.15, 0.05]


def measured(n=12, replicates=200, **metric):
    found = run(
        seed=2,
        replicates=replicates,
        generations=1,
        data={"kind": "categorical", "probabilities": P},
        learner="categorical",
        workflow={"kind": "replace", "sample_size": n},
        metrics=[{"kind": "kl_divergence", **metric}, "total_variation"],
    )
    _, (first,) = found.loop.step(found.loop.start(found.loop.blocks()[0]))
    q = first.model.probabilities
    rows = {
        name: found.metrics.filter(found.metrics["metric"] == name)["value"].to_numpy()
        for name in found.metrics["metric"].unique()
    }
    return q, rows


def test_a8_a_dead_symbol_makes_the_divergence_infinite_and_is_flagged():
    q, rows = measured()
    dead = (q == 0).any(axis=1)
    assert 20 < dead.sum() < 180
    assert np.isposinf(rows["kl_divergence"][dead]).all()
    alive = ~dead
    np.testing.assert_allclose(rows["kl_divergence"][alive], [entropy(P, x) for x in q[alive]], rtol=1e-12)
    np.testing.assert_allclose(rows["zero_support"], ((q == 0) * P).sum(axis=1), atol=1e-15)
    assert (rows["zero_support"][alive] == 0).all() and (rows["zero_support"][dead] > 0).all()


def test_a8_smoothing_only_on_request_and_named():
    q, rows = measured(smoothing=0.01)
    smooth = 0.99 * q + 0.01 / 4
    assert set(rows) == {"kl_divergence_smoothed_0.01", "total_variation"}
    np.testing.assert_allclose(rows["kl_divergence_smoothed_0.01"], [entropy(P, x) for x in smooth])


def test_the_other_way_round_stays_finite():
    q, rows = measured(reverse=True)
    assert set(rows) == {"kl_divergence_reverse", "total_variation"}
    np.testing.assert_allclose(rows["kl_divergence_reverse"], [entropy(x, P) for x in q], atol=1e-15)


def test_total_variation_is_the_largest_difference_of_an_event():
    q, rows = measured(replicates=20)
    events = np.array([[i >> k & 1 for k in range(4)] for i in range(16)])
    largest = np.abs(events @ (q - P).T).max(axis=0)
    np.testing.assert_allclose(rows["total_variation"], largest, atol=1e-12)


def test_pinsker():
    _, rows = measured(n=400)
    assert (rows["zero_support"] == 0).all()
    assert (rows["total_variation"] <= np.sqrt(rows["kl_divergence"] / 2) + 1e-12).all()


@pytest.mark.parametrize("smoothing", [0, 1, -0.1, float("nan")])
def test_a_share_of_smoothing_lies_between_zero_and_one(smoothing):
    with pytest.raises(SpecError, match="smoothing is"):
        KlDivergence(smoothing=smoothing)


def test_vectors_are_refused():
    with pytest.raises(SpecError, match="kl_divergence measures symbols"):
        Loop(seed=0, data="gaussian", learner="gaussian", metrics=["kl_divergence"])
