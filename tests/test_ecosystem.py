"""Ecosystems: chains of agents that describe each other's records, feeds in short, flows, and stop rules."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests import strangers

import autophage
from autophage.ecosystem import chains, ends, flows, named, portions
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.runs.run import load, run
from autophage.samples import Samples
from autophage.spec import Spec

BLOBS = {"kind": "labelled_blobs", "size": 400}
PAIR = {
    "painter": {"learner": {"kind": "class_gaussian"}, "workflow": {"kind": "replace", "sample_size": 60}},
    "labeller": {
        "learner": {"kind": "strangers:Labeller"},
        "given": "painter",
        "workflow": {"kind": "replace", "sample_size": 60},
    },
}
COMMON = {"seed": 3, "generations": 4, "data": BLOBS, "metrics": ["real_share"]}


def copies(of, **more):
    return {name: {**body, "copies": of, **more} for name, body in PAIR.items()}


def training(loop, t):
    """What each agent trains on in generation t."""
    state = loop.start(loop.blocks()[0])
    for _ in range(t):
        state, _ = loop.step(state)
    key = loop.key(state.block) / "generation" / t
    return {name: loop._training_set(name, state, key / name)[0] for name in loop.agents}


def test_copies_are_written_out_and_keep_to_their_own_number():
    spec = Spec.of(**COMMON, agents=copies(2), feeds="pooled")
    assert list(spec.agents) == ["painter_1", "painter_2", "labeller_1", "labeller_2"]
    assert spec.agents["labeller_2"].given == "painter_2"
    assert {(f.from_, f.to): f.share for f in spec.feeds} == {
        (f"labeller_{i}", f"{kind}_{j}"): 0.5
        for i in (1, 2)
        for j in (1, 2)
        for kind in ("painter", "labeller")
    }
    again = Spec.of(spec.to_dict())
    assert again.digest == spec.digest and again.to_dict() == spec.to_dict()


def test_a_ring_takes_from_the_chain_before_and_own_from_its_own():
    ring = Spec.of(**COMMON, agents=copies(3), feeds="ring")
    assert {f.to: f.from_ for f in ring.feeds} == {
        f"{kind}_{i}": f"labeller_{(i - 2) % 3 + 1}" for i in (1, 2, 3) for kind in ("painter", "labeller")
    }
    for feeds in ({}, {"feeds": "own"}):
        own = Spec.of(**COMMON, agents=copies(3), **feeds)
        assert {f.to: f.from_ for f in own.feeds} == {
            f"{kind}_{i}": f"labeller_{i}" for i in (1, 2, 3) for kind in ("painter", "labeller")
        }


def test_agents_without_chains_ring_and_pool_too():
    agents = {name: {"learner": "kde"} for name in "abc"}
    ring = Spec.of(seed=1, data={"kind": "two_moons"}, agents=agents, feeds="ring")
    assert [(f.from_, f.to, f.share) for f in ring.feeds] == [("c", "a", 1), ("a", "b", 1), ("b", "c", 1)]
    assert chains(ring.agents) == ["a", "b", "c"] and ends(ring.agents, "b") == ["b"]
    assert Spec.of(seed=1, data={"kind": "two_moons"}, agents=agents).feeds == ()


def test_a_chain_trains_on_pictures_of_one_agent_with_labels_of_the_other():
    loop = Loop(**COMMON, agents=PAIR)
    assert loop.order == ["painter", "labeller"]
    _, (painter, labeller) = loop.step(loop.start(loop.blocks()[0]))
    np.testing.assert_array_equal(painter.kept.x, labeller.kept.x)
    fitted = loop.agents["labeller"].learner.fit(loop.source.train(), key=None)
    wanted = fitted.sample(60, key=None, given=painter.kept).label
    np.testing.assert_array_equal(labeller.kept.label, wanted)
    assert set(np.asarray(labeller.kept.fields["source"])) == {"painter/0"}
    for data in training(loop, 1).values():
        np.testing.assert_array_equal(data.x, painter.kept.x)
        np.testing.assert_array_equal(data.label, wanted)
        (flow,) = flows(data)
        assert flow == ("labeller", 0, "painter/0", 1.0)


def test_a_describer_alone_labels_the_real_records_again():
    spec = {"learner": {"kind": "strangers:Labeller"}, "workflow": {"kind": "replace"}}
    loop = Loop(**COMMON, **spec)
    assert loop.spec.agents["main"].given == "real"
    data = training(loop, 2)["main"]
    np.testing.assert_array_equal(data.x, loop.source.train().x)
    assert flows(data) == (("main", 1, "real", 1.0),) and data.real_share() == 0


def test_frozen_labels_come_from_generation_0():
    class Forgetful(strangers.Labeller):
        def fit(self, data, *, start=None, key):
            model = super().fit(data, key=key)
            generation = int(key.name.split("/")[4])
            return strangers.NearestMean(model.means if generation == 0 else model.means[::-1])

    def labels(**more):
        agents = {**PAIR, "labeller": {**PAIR["labeller"], "learner": Forgetful(), **more}}
        loop = Loop(**COMMON, agents=agents)
        state = loop.start(loop.blocks()[0])
        for _ in range(2):
            state, (painter, labeller) = loop.step(state)
        first = loop.first(state, "labeller")
        return labeller.kept.label, first.sample(60, key=None, given=painter.kept).label

    given, wanted = labels(frozen=True)
    np.testing.assert_array_equal(given, wanted)
    given, wanted = labels()
    assert (given != wanted).any()


def test_pooled_agents_draw_each_for_itself_and_get_the_shares_they_ask_for():
    agents = copies(3, workflow={"kind": "replace", "sample_size": 60, "initial_size": 80})
    loop = Loop(**COMMON, agents=agents, feeds="pooled", real_parts="own")
    sets = training(loop, 1)
    for name, data in sets.items():
        assert {(f.agent, f.generation): f.share for f in flows(data)} == {
            (f"labeller_{i}", 0): pytest.approx(1 / 3) for i in (1, 2, 3)
        }, name
    assert (sets["painter_1"].x != sets["painter_2"].x).any()
    assert len(np.unique(sets["painter_1"].x, axis=0)) == 60  # without replacement


def test_chains_may_begin_with_real_records_of_their_own():
    agents = copies(3, workflow={"kind": "replace", "initial_size": 80})
    shared, own = (training(Loop(**COMMON, agents=agents, real_parts=kind), 0) for kind in ("shared", "own"))
    train = Loop(**COMMON, agents=agents).source.train().x
    for i in (1, 2, 3):
        np.testing.assert_array_equal(shared[f"painter_{i}"].x, train[:80])
        for kind in ("painter", "labeller"):
            np.testing.assert_array_equal(own[f"{kind}_{i}"].x, train[80 * (i - 1) : 80 * i])
    with pytest.raises(
        SpecError, match="real records of their own but the training part has 320; .*or share them"
    ):
        Loop(**COMMON, agents=copies(6, workflow={"kind": "replace", "initial_size": 80}), real_parts="own")


def test_a_run_of_a_chain_is_stored_resumed_and_flows_are_kept(tmp_path, monkeypatch):
    whole = run(**COMMON, agents=copies(2), feeds="ring", out=tmp_path / "whole")
    assert whole.status == "completed"
    flow = whole.flows["painter_1"]
    assert [f[:3] for f in flow[0]] == [("", -1, "")]
    assert [f[:3] for f in flow[3]] == [("labeller_2", 2, "painter_2/2")]
    assert load(tmp_path / "whole").flows == whole.flows

    from autophage.runs import blocks

    saved = blocks._Deep.save

    def killed(self, course, state, records):
        saved(self, course, state, records)
        if state.generation == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(blocks._Deep, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(**COMMON, agents=copies(2), feeds="ring", out=tmp_path / "part")
    monkeypatch.setattr(blocks._Deep, "save", saved)
    part = run(**COMMON, agents=copies(2), feeds="ring", out=tmp_path / "part", resume=True)
    assert part.metrics.equals(whole.metrics) and part.flows == whole.flows
    assert run(**COMMON, agents=copies(2), feeds="ring").flows == whole.flows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labeller": {**PAIR["labeller"], "given": "panter"}}, "did you mean 'painter'?"),
        ({"labeller": {**PAIR["labeller"], "given": "labeller"}}, "in a circle"),
        ({"painter": {**PAIR["painter"], "copies": 0}}, "copies is 0; it must be a whole number"),
        (
            {"painter": {**PAIR["painter"], "copies": 2}, "labeller": {**PAIR["labeller"], "copies": 3}},
            "give both the same number",
        ),
        ({"labeller": {**PAIR["labeller"], "frozen": 1}}, "frozen is 1; it must be true or false"),
        ({"labeller": {**PAIR["labeller"], "given": 3}}, "given is 3; it must be an agent's name or `real`"),
        ({"real": PAIR["painter"]}, "and not `real`"),
        ({"painter": {"learner": "kde", "given": "real"}}, "cannot be given records"),
        (
            {"other": {"learner": {"kind": "class_gaussian"}, "given": "painter"}},
            "an agent that paints is given the records of one that describes",
        ),
    ],
)
def test_ecosystems_that_cannot_be_are_refused(change, said):
    with pytest.raises(SpecError) as refused:
        Loop(**COMMON, agents={**PAIR, **change})
    assert said in str(refused.value)


def test_portions_sum_and_names_do_not_clash():
    assert portions([1 / 3] * 3, 100) == [34, 33, 33]
    with pytest.raises(SpecError, match="two of the name 'a_1'"):
        named({"a_1": {"learner": "kde"}, "a": {"learner": "kde", "copies": 1}})


def test_flows_of_a_mixed_set_are_by_weight():
    real = Samples.of(np.zeros((2, 1)), weight=3.0)
    made = Samples.of(np.zeros((4, 1)), generation=1, agent="a", weight=0.5, source=np.full(4, "b/1"))
    assert flows([real, made]) == (("", -1, "", 0.75), ("a", 1, "b/1", 0.25))


STOPPED = {
    "seed": 1,
    "generations": 12,
    "replicates": 3,
    "data": {"kind": "gaussian"},
    "learner": {"kind": "strangers:Normal"},
    "workflow": {"kind": "replace", "sample_size": 5},
    "metrics": ["sample_variance"],
}


def test_a_stop_rule_ends_a_replicate_where_its_course_crosses(tmp_path):
    whole = run(**STOPPED)
    rule = {"metric": "sample_variance", "below": 0.5, "relative": True}
    done = run(**STOPPED, stop=[rule], out=tmp_path / "run")
    assert done.status == "completed" and done.stops
    table = whole.metrics.pivot(on="replicate", index="generation", values="value")
    for r in range(3):
        course = table[str(r)].to_numpy()
        crossed = np.flatnonzero(course[:-1] < 0.5 * course[0])
        mine = done.metrics.filter(pl.col("replicate") == r)
        last = crossed[0] if len(crossed) else 11
        assert mine["generation"].max() == last
        np.testing.assert_array_equal(mine["value"].to_numpy(), course[: last + 1])
        assert (r in done.stops) == bool(len(crossed))
    assert load(tmp_path / "run").stops == done.stops
    again = run(**STOPPED, stop=[rule], out=tmp_path / "run", resume=True)
    assert again.metrics.equals(done.metrics)
    reason = next(iter(done.stops.values()))["reason"]
    assert "sample_variance of main is" in reason and "below 0.5 times generation 0's" in reason


def test_patience_waits_and_a_block_stops_by_its_mean():
    patient = {"metric": "variance", "below": 0.9, "patience": 3}
    spec = {
        **STOPPED,
        "learner": "gaussian",
        "metrics": ["variance"],
        "replicates": 200,
        "stop": [patient],
    }
    done = run(spec)
    means = (
        done.metrics.group_by("generation").agg(pl.col("value").mean()).sort("generation")["value"].to_numpy()
    )
    assert (means[-3:] < 0.9).all() and len(means) < 12
    assert len(means) == 3 or means[-4] >= 0.9
    assert len(done.stops) == 200 and done.verdict().status == "stopped"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "sample_variance"}, "needs one border: above or below"),
        ({"metric": "sample_variance", "above": 1, "below": 0}, "needs one border"),
        ({"metric": "sample_variance", "above": 1, "patience": 0}, "patience is 0"),
        ({"metric": "sample_variance", "abov": 1}, "did you mean 'above'?"),
        ({"metric": "sample_variance", "above": 1, "agent": "mian"}, "did you mean 'main'?"),
        ({"metric": "sample_varince", "above": 1}, "did you mean 'sample_variance'?"),
    ],
)
def test_stop_rules_that_cannot_be_are_refused(rule, said):
    with pytest.raises(SpecError) as refused:
        autophage.run(**STOPPED, stop=[rule])
    assert said in str(refused.value)


def test_labels_that_the_data_do_not_have_end_the_generation():
    class Beyond(strangers.Labeller):
        def fit(self, data, *, start=None, key):
            means = super().fit(data, key=key).means
            return strangers.NearestMean(np.vstack([means + 1e6, means, means]))  # labels 4 to 11

    agents = {**PAIR, "labeller": {**PAIR["labeller"], "learner": Beyond()}}
    done = run(**COMMON, agents=agents)
    assert done.status == "failed"
    assert "labeller gave labels from 4 to" in done.failures[0]["reason"]
    assert "the data have the classes 0 to 3" in done.failures[0]["reason"]


def test_a_class_of_fewer_than_three_records_keeps_its_gaussian():
    from autophage.learners.class_gaussian import ClassGaussian

    x = np.random.default_rng(0).normal(size=(80, 2)) + np.repeat(
        [[0, 0], [9, 0], [0, 9], [9, 9]], 20, axis=0
    )
    label = np.repeat(np.arange(4), 20)
    first = ClassGaussian(start="previous").fit(Samples.of(x, label=label), key=None)
    rows = np.r_[0:10, 20:22, 40:43]  # ten, two, three and no records
    second = ClassGaussian(start="previous").fit(
        Samples.of(x[rows], label=label[rows]), start=first, key=None
    )
    assert second.report == {"kept_classes": [1, 3]} and first.report is None
    for c in (1, 3):
        np.testing.assert_array_equal(second.means[c], first.means[c])
        np.testing.assert_array_equal(second.covariances[c], first.covariances[c])
    assert (second.means[2] != first.means[2]).all()
    assert second.shares.tolist() == [10, 2, 3, 0]  # who is asked for stays counted
