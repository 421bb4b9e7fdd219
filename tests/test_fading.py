"""The fading workflow: of older batches ever smaller first parts (Gillman et al. 2024)."""

from __future__ import annotations

import numpy as np
import pytest

from autophage import laws
from autophage.loop import Loop
from autophage.schedules import Values
from autophage.theory.predict import predict
from autophage.workflows import Fading, share_matrix, takes_parts


def test_the_published_rule():
    """At generation g (from 1) the i-th past batch gives its first floor(i/g x 25) records."""
    for g in (1, 2, 7, 300):
        plan = Fading(sample_size=25).plan(g, 50)
        given = {row.first + 1: row.count for row in plan.rows if row.origin == "synthetic"}
        expected = {i: int(np.floor(i * 25 / g)) for i in range(1, g + 1)}
        assert given == {i: n for i, n in expected.items() if n}
        assert plan.new == 25 and plan.rows[0].origin == "real" and plan.rows[0].count is None


@pytest.mark.parametrize("size", [None, 1, 25, Values(values=[4, 9, 1, 30, 7, 7, 7])])
def test_the_laws_of_workflows_hold(size):
    laws.workflow(Fading(sample_size=size))


def test_shares_by_hand():
    A, fresh, sizes = share_matrix(Fading(sample_size=4), 4, 6)
    assert not fresh.any() and sizes.tolist() == [6, 4, 4, 4]
    np.testing.assert_allclose(A[2], np.array([6, 2, 4, 0]) / 12)
    np.testing.assert_allclose(A[3], np.array([6, 1, 2, 4]) / 13)


def test_parts_of_older_batches_need_records():
    assert not takes_parts(Fading(sample_size=9).plan(1, 20), 20)
    assert takes_parts(Fading(sample_size=9).plan(2, 20), 20)
    loop = Loop(
        seed=1, generations=4, data="gaussian", learner="gaussian", workflow={"kind": "fading"}, metrics=[]
    )
    assert loop.paths == {"main": "records"}
    assert "relative_excess_risk" not in {p.metric for p in predict(loop.spec)}


def test_the_first_records_of_each_batch_enter():
    loop = Loop(
        seed=1,
        generations=4,
        replicates=3,
        data={"kind": "gaussian"},
        learner={"kind": "gaussian"},
        workflow={"kind": "fading", "initial_size": 10, "sample_size": 6},
        metrics=["real_share"],
    )
    state, kept = loop.start(loop.blocks()[0]), []
    for _ in range(4):
        pile = state.piles["main"]
        state, (record,) = loop.step(state)
        kept.append(record.kept)
    assert record.training_size == 10 + 2 + 4 + 6
    expected = np.concatenate([pile.real.x, kept[0].x[:, :2], kept[1].x[:, :4], kept[2].x], axis=1)
    np.testing.assert_allclose(record.model.mean, expected.mean(axis=1))
    assert (record.real_share == 10 / 22).all()
