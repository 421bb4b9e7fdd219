"""The recursion: provenance, feeds, curation, treatment, and that every path to a training set agrees in law."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.runs.run import run
from autophage.samples import REAL, Batch, Samples

GAUSSIAN = {"kind": "gaussian", "dim": 2}
WORKFLOWS = {
    "replace": {"kind": "replace", "sample_size": 24},
    "accumulate": {"kind": "accumulate", "sample_size": 24},
    "accumulate_subsample": {"kind": "accumulate_subsample", "sample_size": 24},
    "window": {"kind": "window", "size": 2, "sample_size": 24},
    "window_keep_real": {"kind": "window", "size": 2, "sample_size": 24, "keep_real": True},
    "mix": {"kind": "mix", "real": 24, "synthetic_ratio": 0.5},
    "mix_part": {"kind": "mix", "real": 12, "initial_size": 24, "synthetic_ratio": 1.0},
    "keep_real": {"kind": "keep_real", "sample_size": 24, "real_share": 0.25},
    "keep_real_all_at_first": {
        "kind": "keep_real",
        "sample_size": 24,
        "real_share": {"power": {"scale": 1, "exponent": -1}},
    },
    "fresh_exact": {"kind": "fresh", "sample_size": 24, "real_share": 0.25, "counts": "exact"},
    "fresh": {"kind": "fresh", "sample_size": 24, "real_share": 0.25},
    "window_with_a_gap": {"kind": "window", "size": 2, "sample_size": {"values": [24, 0, 24]}},
}
# generation -> how often each provenance label occurs in the training sets of generations 1, 2 and 3
EXPECTED = {
    "replace": [{0: 24}, {1: 24}, {2: 24}],
    "accumulate": [{-1: 24, 0: 24}, {-1: 24, 0: 24, 1: 24}, {-1: 24, 0: 24, 1: 24, 2: 24}],
    "window": [{-1: 24, 0: 24}, {0: 24, 1: 24}, {1: 24, 2: 24}],
    "window_keep_real": [{-1: 24, 0: 24}, {-1: 24, 0: 24, 1: 24}, {-1: 24, 1: 24, 2: 24}],
    "mix": [{-1: 24, 0: 12}, {-1: 24, 1: 12}, {-1: 24, 2: 12}],
    "mix_part": [{-1: 12, 0: 12}, {-1: 12, 1: 12}, {-1: 12, 2: 12}],
    "keep_real": [{-1: 6, 0: 18}, {-1: 6, 1: 18}, {-1: 6, 2: 18}],
    "keep_real_all_at_first": [{-1: 24}, {-1: 12, 1: 12}, {-1: 8, 2: 16}],
    "fresh_exact": [{-1: 6, 0: 18}, {-1: 6, 1: 18}, {-1: 6, 2: 18}],
    "window_with_a_gap": [{-1: 24, 0: 24}, {0: 24}, {2: 24}],
}


def loop_of(workflow, learner, replicates=1, **more):
    start = {} if "mix" in workflow else {"initial_size": 24}
    body = {**start, **WORKFLOWS[workflow]} if workflow in WORKFLOWS else workflow
    return Loop(
        seed=1,
        replicates=replicates,
        generations=4,
        data=GAUSSIAN,
        learner=learner,
        workflow=body,
        metrics=["real_share"],
        **more,
    )


def training_sets(loop):
    """What every generation of the first block is fitted to, by agent."""
    state = loop.start(loop.blocks()[0])
    found = []
    while state.generation < loop.spec.generations:
        t = state.generation
        key = loop.key(state.block) / "generation" / t
        found.append({a: state.piles[a].training_set(loop.plan(a, t), key / a / "data") for a in loop.agents})
        state, _ = loop.step(state)
    return found


def labels(data, r=0):
    generation = np.asarray(data.generation)
    generation = generation if generation.ndim == 1 else generation[r]
    return {int(k): int(n) for k, n in zip(*np.unique(generation, return_counts=True), strict=True)}


@pytest.mark.parametrize("learner", ["strangers:Normal", "kde", "gaussian_mixture"])
@pytest.mark.parametrize("workflow", sorted(WORKFLOWS))
def test_records_carry_the_generation_that_made_them(workflow, learner):
    spec = {"kind": learner} | ({"components": 1} if learner == "gaussian_mixture" else {})
    sets = training_sets(loop_of(workflow, spec, replicates=3))
    assert labels(_joined(sets[0]["main"][0])) == {REAL: 24} and np.all(sets[0]["main"][1] == 1.0)
    for t in (1, 2, 3):
        data, share = sets[t]["main"]
        data = _joined(data)
        for r in range(1 if isinstance(data, Samples) else 3):
            found = labels(data, r)
            if workflow in EXPECTED:
                assert found == EXPECTED[workflow][t - 1]
            else:
                assert sum(found.values()) == 24
                assert set(found) <= {REAL, *range(t)}
                if workflow == "fresh":
                    assert set(found) <= {REAL, t - 1}
            here = np.broadcast_to(share, (3,))[r]
            assert here == pytest.approx(found.get(REAL, 0) / sum(found.values()))


def _joined(data):
    if not isinstance(data, list):
        return data
    return Batch.join(data) if isinstance(data[0], Batch) else Samples.join(data)


@pytest.mark.parametrize("path", ["samples", "statistics"])
@pytest.mark.parametrize("workflow", sorted(set(WORKFLOWS) - {"fresh"}))
def test_statistics_know_the_real_share_too(workflow, path):
    loop = loop_of(workflow, {"kind": "gaussian", "path": "samples" if path == "samples" else "auto"}, 3)
    if loop.paths["main"] not in ("samples", "statistics"):
        assert workflow in ("accumulate_subsample", "mix_part", "keep_real", "keep_real_all_at_first")
        return
    for t, agents in enumerate(training_sets(loop)[1:], 1):
        data, share = agents["main"]
        planned = EXPECTED[workflow][t - 1]
        assert np.all(np.asarray(data.count) == sum(planned.values()))
        assert np.allclose(share, planned.get(REAL, 0) / sum(planned.values()))


R = 2048


@pytest.fixture(scope="module")
def log_variances():
    """Log of the fitted variance at generations 1 and 3: by workflow and path, (R, 2)."""
    found = {}

    def measured(workflow, path):
        if (workflow, path) not in found:
            start = {} if "mix" in workflow else {"initial_size": 24}
            learner = {"kind": "gaussian", "path": "auto" if path == "statistics" else "samples"}
            spec = {
                "seed": len(found),
                "replicates": R,
                "generations": 4,
                "data": "gaussian",
                "learner": learner,
                "workflow": {**start, **WORKFLOWS[workflow]},
                "metrics": ["log_variance"],
            }
            if path == "records":  # half of what another agent feeds is what it feeds itself
                other = {"learner": learner, "workflow": spec["workflow"]}
                spec |= {
                    "agents": {"a": {"learner": learner, "workflow": spec.pop("workflow")}, "b": other},
                    "feeds": [
                        {"from": "a", "to": "a"},
                        {"from": "a", "to": "b", "share": 0.5},
                        {"from": "b", "to": "b", "share": 0.5},
                    ],
                }
                del spec["learner"]
            done = run(spec)
            agent = "a" if path == "records" else "main"
            assert done.paths[agent] == path
            table = done.metrics.filter((pl.col("agent") == agent) & pl.col("generation").is_in([1, 3]))
            found[workflow, path] = table.sort("replicate", "generation")["value"].to_numpy().reshape(R, 2)
        return found[workflow, path]

    return measured


@pytest.mark.parametrize("workflow", ["replace", "accumulate", "window", "mix", "fresh", "fresh_exact"])
def test_the_paths_agree_in_law(workflow, log_variances):
    tables = [log_variances(workflow, path) for path in ("statistics", "samples", "records")]
    for a, b in ((0, 1), (0, 2)):
        gap = tables[a].mean(axis=0) - tables[b].mean(axis=0)
        error = np.sqrt((tables[a].var(axis=0) + tables[b].var(axis=0)) / R)
        assert (np.abs(gap) < 4 * error).all(), (workflow, gap / error)
        spread = np.log(tables[a].var(axis=0) / tables[b].var(axis=0))
        assert (np.abs(spread) < 4 * np.sqrt(2 * 3 / R)).all()  # log variances have heavier tails than normal


# Several agents

RING = {
    "agents": {
        "a": {
            "learner": {"kind": "strangers:Normal"},
            "workflow": {"kind": "mix", "real": 20, "synthetic_ratio": 2},
        },
        "b": {"learner": {"kind": "strangers:Normal"}, "workflow": {"kind": "replace", "sample_size": 30}},
    },
    "feeds": [
        {"from": "a", "to": "a", "share": 0.5},
        {"from": "b", "to": "a", "share": 0.5},
        {"from": "a", "to": "b", "share": 0.25},
        {"from": "b", "to": "b", "share": 0.75},
    ],
}


def agents_of(data):
    return dict(zip(*np.unique(np.asarray(data.agent), return_counts=True), strict=True))


def test_a_ring_of_two_gets_the_shares_it_asks_for():
    loop = Loop(seed=1, generations=3, data={**GAUSSIAN}, metrics=[], **RING)
    assert loop.paths == {"a": "records", "b": "records"}
    for t, sets in enumerate(training_sets(loop)):
        a, b = sets["a"][0], sets["b"][0]
        if not t:
            continue
        assert agents_of(a) == {"": 20, "a": 20, "b": 20}
        assert agents_of(b) == {"a": 8, "b": 22}  # 7.5 and 22.5, the larger remainder first
        assert labels(a) == {REAL: 20, t - 1: 40} and labels(b) == {t - 1: 30}
        assert sets["a"][1] == pytest.approx(1 / 3) and sets["b"][1] == 0


def test_an_agent_that_feeds_another_still_feeds_itself():
    """Feeds that name only one arrow leave the others their own: nobody goes hungry, nobody gets too much."""
    agents = {
        "large": {"learner": "strangers:Normal", "workflow": {"kind": "accumulate", "sample_size": 60}},
        "small": {"learner": "strangers:Normal", "workflow": {"kind": "accumulate", "sample_size": 10}},
    }
    for source, to in (("large", "small"), ("small", "large")):
        loop = Loop(
            seed=1,
            generations=3,
            data=GAUSSIAN,
            metrics=[],
            agents=agents,
            feeds=[{"from": source, "to": to}],
        )
        last = training_sets(loop)[2]
        for name, size in (("large", 60), ("small", 10)):
            assert agents_of(last[name][0]) == {"": size, source if name == to else name: 2 * size}


def test_one_agent_is_the_top_level_bit_for_bit(tmp_path):
    for learner in ("strangers:Normal", "gaussian"):
        body = {"learner": {"kind": learner}, "workflow": {"kind": "replace", "sample_size": 20}}
        common = {
            "seed": 1,
            "replicates": 2,
            "generations": 3,
            "data": GAUSSIAN,
            "metrics": ["sample_variance"],
        }
        short = run({**common, **body})
        assert short.metrics.equals(run({**common, "agents": {"main": body}}).metrics)
        fed = {**common, "agents": {"main": body}, "feeds": [{"from": "main", "to": "main"}]}
        assert short.metrics.equals(run(fed).metrics)


def test_an_agent_does_not_change_because_another_stands_beside_it():
    body = {"learner": {"kind": "gaussian"}, "workflow": {"kind": "replace", "sample_size": 20}}
    common = {"seed": 1, "replicates": 5, "generations": 3, "data": GAUSSIAN, "metrics": ["variance"]}
    alone = run({**common, "agents": {"a": body}}).metrics
    beside = run({**common, "agents": {"a": body, "b": body}}).metrics
    assert alone.equals(beside.filter(pl.col("agent") == "a"))
    assert not alone.equals(beside.filter(pl.col("agent") == "b").with_columns(agent=pl.lit("a")))


def test_closed_forms_and_sampled_learners_do_not_share_a_loop():
    agents = {"a": {"learner": "gaussian"}, "b": {"learner": "strangers:Normal"}}
    with pytest.raises(SpecError, match="cannot share one loop"):
        Loop(seed=1, data=GAUSSIAN, agents=agents, metrics=[])


# Curation and treatment


@pytest.mark.parametrize("learner", ["strangers:Normal", "gaussian"])
def test_a_curation_stands_between_sampling_and_training(learner):
    loop = loop_of("accumulate", {"kind": learner}, curation=[{"kind": "strangers:FirstHalf"}])
    assert loop.paths == {"main": "records"}
    assert [labels(s["main"][0]) for s in training_sets(loop)] == [
        {-1: 24},
        {-1: 24, 0: 12},
        {-1: 24, 0: 12, 1: 12},
        {-1: 24, 0: 12, 1: 12, 2: 12},
    ]
    twice = loop_of("accumulate", {"kind": learner}, curation=["strangers:FirstHalf", "strangers:FirstHalf"])
    assert labels(training_sets(twice)[1]["main"][0]) == {-1: 24, 0: 6}


def test_a_treatment_stands_between_fit_and_sampling():
    plain, treated = (
        loop_of("replace", {"kind": "strangers:Normal"}, treatment=t)
        for t in (None, {"kind": "strangers:Halved"})
    )
    (before,), (after,) = (loop.step(loop.start(loop.blocks()[0]))[1] for loop in (plain, treated))
    assert np.array_equal(after.model.scale, before.model.scale / 2)
    sets = training_sets(treated)
    assert np.asarray(sets[3]["main"][0].x).std() < 0.3


def test_a_biased_sampler_feeds_the_loop_and_the_metrics_of_samples():
    spec = {
        "seed": 2,
        "replicates": 400,
        "generations": 2,
        "data": {"kind": "gaussian", "reference_size": 50},
        "learner": "gaussian",
        "workflow": {"kind": "replace", "sample_size": 100},
        "metrics": ["variance", "sample_variance"],
        "sampling": {"bias": 0.5},
    }
    means = run(spec).summary()
    means = {(r["metric"], r["generation"]): (r["mean"], r["standard_error"]) for r in means.to_dicts()}
    for metric, generation, expected in (
        ("variance", 0, 0.99),
        ("variance", 1, 0.5 * 0.99**2),
        ("sample_variance", 0, 0.5 * 0.99),
        ("sample_variance", 1, 0.25 * 0.99**2),
    ):
        mean, error = means[metric, generation]
        # Whether a sample variance divides by n or n - 1 is the metric's own affair: 2 % of room.
        room = 0.02 * expected if metric == "sample_variance" else 0.0
        assert abs(mean - expected) < 4 * error + room, (metric, generation)


def test_a_zero_variance_sampler_is_absorbed_and_not_a_failure():
    spec = {
        "seed": 2,
        "replicates": 3,
        "generations": 4,
        "data": "gaussian",
        "learner": "gaussian",
        "workflow": {"kind": "replace", "sample_size": 10},
        "metrics": ["variance"],
        "sampling": {"bias": 0},
    }
    done = run(spec)
    assert done.status == "completed" and (done.absorbed["main"] == 1).all()
    late = done.metrics.filter(pl.col("generation") >= 1)["value"].to_numpy()
    assert (late == 0).all()


def test_a_step_leaves_the_state_it_started_from_alone():
    for learner in ("strangers:Normal", "gaussian", "kde"):
        loop = loop_of("accumulate", {"kind": learner}, replicates=2)
        state, _ = loop.step(loop.start(loop.blocks()[0]))
        (one,), (two,) = loop.step(state)[1], loop.step(state)[1]
        assert one.training_size == two.training_size == 48
        key = loop.key(state.block)
        assert np.array_equal(one.model.sample(9, key=key).x, two.model.sample(9, key=key).x)


def test_metrics_that_compare_with_training_records():
    for learner in ("strangers:Normal", "gaussian"):
        spec = {
            "seed": 2,
            "replicates": 2,
            "generations": 3,
            "data": {"kind": "gaussian", "dim": 2, "reference_size": 30},
            "learner": {"kind": learner},
            "workflow": {"kind": "replace", "sample_size": 30},
            "metrics": [{"kind": "wasserstein", "against": "train"}, "wasserstein"],
        }
        names = run(spec).metrics["metric"].unique().to_list()
        assert sorted(names) == ["wasserstein", "wasserstein_train"]


def test_all_unused_records_of_a_finite_source_come_once():
    """Sixty records are left, fifteen are asked for four times: each comes once, from the first to the last."""
    seen = []

    class Noting:
        def fit(self, x):
            seen.append(x)

        def sample(self, n):
            return np.full((n, 64), -1.0)

    run(
        data={"kind": "digits", "size": 100},
        learner={"kind": "estimator", "object": Noting},
        workflow={
            "kind": "fresh",
            "sample_size": 20,
            "real_share": 0.75,
            "counts": "exact",
            "initial_size": 20,
        },
        generations=5,
        metrics=["real_share"],
    )
    real = [x[(x != -1).any(axis=1)] for x in seen]
    assert [len(x) for x in real] == [20, 15, 15, 15, 15]
    assert len(np.unique(np.concatenate(real), axis=0)) == 80
