"""Reward alignment as a run: arms, resumption, the target, the page, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.alignment.fidelity import diversity, effective, fidelity
from autophage.alignment.frontier import _mean_at_rewards, matched, picture, points
from autophage.errors import DataError, SpecError
from autophage.processes.spec import ProcessSpec


def rows(run, metric, agent=None):
    return (
        run.rows(agent).filter(pl.col("metric") == metric).sort("generation", "replicate")["value"].to_numpy()
    )


def spoilt(share):
    """A reward that is no number for the first samples of a rollout."""

    def reward(x):
        found = -np.square(x).sum(1)
        found[: int(share * len(x))] = np.nan
        return found

    return reward


@pytest.fixture(scope="module")
def done():
    return autophage.run(
        {
            "name": "ring",
            "seed": 1,
            "generations": 6,
            "replicates": 2,
            "process": {
                "kind": "alignment",
                "data": {"kind": "eight_gaussians", "radius": 1.0, "deviation": 0.15},
                "reward": {"kind": "distance", "point": [1.0, 0.3]},
                "method": ["ppo", "pcpo-loss"],
                "samples": 128,
                "reference": 128,
                "steps": 6,
                "learning_rate": 5e-3,
                "last_noise": 0.01,
                "target": -1.6,
                "at_target": "rest",
            },
        }
    )


def test_arms_begin_with_the_same_model_and_samples(done):
    table = done.metrics.filter(pl.col("generation") == 0)
    parts = [table.filter(pl.col("agent") == a).drop("agent") for a in ("ppo", "pcpo-loss")]
    assert parts[0].equals(parts[1])
    assert (rows(done, "kl_to_base")[:2] == 0).all()
    assert not len(table.filter(pl.col("metric").str.starts_with("clipped")))


def test_the_reward_rises_and_the_model_leaves_its_base(done):
    for agent in ("ppo", "pcpo-loss"):
        reward = rows(done, "reward", agent).reshape(6, 2)
        assert (reward[-1] > reward[0] + 0.15).all()
        assert (rows(done, "kl_to_base", agent)[-2:] > 0).all()
    assert rows(done, "clipped_step_1").shape == (10,) and rows(done, "clipped_step_6").shape == (10,)


def test_who_has_reached_the_target_rests(done):
    epochs = rows(done, "epochs_to_target", "pcpo-loss").reshape(6, 2)[-1]
    reward = rows(done, "reward", "pcpo-loss").reshape(6, 2)
    assert (rows(done, "reached_target", "pcpo-loss")[-2:] == 1).all()
    for r, at in enumerate(epochs.astype(int)):
        assert (reward[at:, r] == reward[at, r]).all() and reward[at, r] >= -1.6
        assert (reward[:at, r] < -1.6).all()


def test_arms_are_compared_where_their_rewards_are_equal(done):
    found = matched(done.metrics, -1.6)
    at = found.filter(pl.col("metric") == "reward")
    assert np.allclose(at["value"], -1.6) and set(at["agent"]) == {"ppo", "pcpo-loss"}
    assert (
        at.filter(pl.col("agent") == "pcpo-loss")["epoch"].to_list()
        == rows(done, "epochs_to_target", "pcpo-loss")[-2:].tolist()
    )
    assert not len(matched(done.metrics, 1.0))
    assert len(points(done.metrics, "diversity_pixels")) == 24
    with pytest.raises(DataError, match="'fid'"):
        points(done.metrics, "fid")


def test_what_is_read_at_a_reward_lies_between_two_epochs():
    table = pl.DataFrame(
        {
            "generation": [0, 1, 2, 3] * 2 + [1, 2, 3],
            "replicate": [0] * 11,
            "agent": ["ppo"] * 11,
            "metric": ["reward"] * 4 + ["diversity_pixels"] * 4 + ["clipped"] * 3,
            "value": [0.0, 1.0, 3.0, 2.0, 8.0, 6.0, 4.0, 5.0, 0.1, 0.2, 0.3],
        }
    )
    found = {r["metric"]: r for r in matched(table, 1.5).to_dicts()}
    assert found["reward"]["value"] == 1.5 and found["reward"]["epoch"] == 2
    assert found["diversity_pixels"]["value"] == pytest.approx(5.5)
    assert found["clipped"]["value"] == pytest.approx(0.125)
    first = {r["metric"]: r["value"] for r in matched(table, 0.5).to_dicts()}
    assert first["diversity_pixels"] == 7 and first["clipped"] == pytest.approx(0.1)
    assert {r["epoch"] for r in matched(table, -1.0).to_dicts()} == {0}
    grid, mean = _mean_at_rewards([(np.array([0.0, 1.0, 3.0, 2.0]), np.array([8.0, 6.0, 4.0, 5.0]))], 7)
    assert np.allclose(mean, np.interp(grid, [0, 1, 3], [8, 6, 4])) and grid[-1] == 3


def test_the_frontier_is_drawn(done, tmp_path):
    place = picture(done.metrics, "diversity_pixels", tmp_path / "frontier.svg")
    text = place.read_text()
    assert "<svg" in text and "pcpo-loss" in text


def test_it_says_what_the_reward_cost(done):
    reached, collapse = done.findings("pcpo-loss")
    assert reached.answer == "yes" and "2 of 2 replicates reached -1.6" in reached.sentence
    assert collapse.key == "reward_collapse" and "at the target" in collapse.sentence
    first = rows(done, "diversity_pixels", "pcpo-loss")[:2].mean()
    at = matched(done.metrics, -1.6).filter(
        (pl.col("metric") == "diversity_pixels") & (pl.col("agent") == "pcpo-loss")
    )
    assert collapse.effect == pytest.approx(at["value"].mean() / first)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_run_goes_on_where_it_stood(ring, kept, tmp_path):
    whole = autophage.run(ring, tmp_path / "whole")
    place = tmp_path / "cut"
    autophage.run({**ring, "generations": kept + 1}, place)
    shutil.copy(tmp_path / "whole" / "spec.yaml", place / "spec.yaml")
    (place / "manifest.json").unlink()
    assert autophage.run(ring, place, resume=True).metrics.equals(whole.metrics)


def test_a_resting_arm_goes_on_resting(ring, tmp_path):
    process = {**ring["process"], "target": -3.0, "at_target": "rest"}
    spec = {**ring, "process": process}
    whole = autophage.run(spec)
    place = tmp_path / "cut"
    autophage.run({**spec, "generations": 2}, place)
    (place / "spec.yaml").write_text(ProcessSpec.of(spec).to_yaml())
    (place / "manifest.json").unlink()
    assert autophage.run(spec, place, resume=True).metrics.equals(whole.metrics)


def test_an_arm_alone_is_the_arm_beside_others(ring):
    alone = {**ring, "process": {**ring["process"], "method": "pcpo-loss"}}
    assert (rows(autophage.run(alone), "reward") == rows(autophage.run(ring), "reward", "pcpo-loss")).all()


def test_the_kl_term_holds_a_model_back(ring):
    process = {**ring["process"], "method": "base", "learning_rate": 1e-2}
    free, held = (autophage.run({**ring, "process": {**process, "kl": kl}}) for kl in (0.0, 30.0))
    assert rows(held, "kl_to_base")[-1] < 0.5 * rows(free, "kl_to_base")[-1]


def test_every_method_runs_and_they_differ(ring):
    methods = ["ppo", "grpo", "base", "pcpo-loss", "pcpo-sigma"]
    process = {**ring["process"], "method": methods, "infeasible": "keep-native", "learning_rate": 1e-2}
    run = autophage.run({**ring, "process": process})
    last = {m: rows(run, "reward", m)[-1] for m in methods}
    assert last["ppo"] == last["grpo"]  # one surrogate under two names
    assert len(set(last.values())) == 4 and np.isfinite(list(last.values())).all()


def test_the_page(ring, tmp_path):
    run = autophage.run({**ring, "name": "two-methods"}, tmp_path / "run")
    text = run.report().read_text()
    assert "Reward alignment" in text and "two-methods" in text and "pcpo-loss" in text
    assert "Diversity lost to the reward" in text and "2509.25774" in text
    assert "native C/sigma^2, least / mean / largest" in text
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "completed"


def test_rewards_that_are_no_numbers(ring):
    few = {**ring, "process": {**ring["process"], "reward": spoilt(0.04), "samples": 64}}
    run = autophage.run(few)
    assert (rows(run, "rewards_dropped") == 2).all() and run.status == "completed"
    many = {**ring, "process": {**ring["process"], "reward": spoilt(0.1)}}
    run = autophage.run(many)
    assert run.status == "failed" and "3 of 32 rewards are not finite" in run.failures[0]["reason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"group": 1}, "process.group is 1; a sample alone"),
        ({"group": 5}, "process.samples is 32, which is no multiple of process.group = 5"),
        ({"samples": 4}, "process.samples is 4"),
        ({"method": "dpo"}, "process.method is 'dpo'"),
        ({"method": ["ppo", "ppo"]}, "several different ones"),
        ({"method": []}, "several different ones"),
        ({"reward": None}, "process.reward is missing"),
        ({"reward": "sharpness"}, "no reward called 'sharpness'"),
        ({"reward": {"kind": "brightness"}}, "needs pictures"),
        ({"betas": [0.5, 0.1]}, "process.betas"),
        ({"clip": 0}, "process.clip is 0"),
        ({"at_once": 0}, "process.at_once is 0"),
        ({"at_target": "rest"}, "process.target is missing"),
        ({"checkpoint": "somewhere"}, "process.checkpoint needs process.learner"),
        ({"prompts": ["a"]}, "process.prompts is for text_to_image"),
        ({"learner": "gaussian"}, "must be of kind diffusion, flow_matching"),
        ({"data": "digits", "reward": "brightness"}, "process.learner is missing"),
        ({"data": "digits", "learner": "diffusion", "reward": "linear", "prompts": ["a"]}, "prompts is for"),
        ({"method": "pcpo-sigma", "weight": 0.5}, "no noise gives step .* the smallest that all steps"),
        ({"method": "pcpo-sigma", "learner": "flow_matching"}, "take pcpo-loss"),
        ({"features": "cnn"}, "picture|labels"),
        ({"learning_rte": 1}, "learning_rate"),
    ],
)
def test_what_cannot_be_is_refused_before_the_start(ring, change, words):
    with pytest.raises(SpecError, match=words):
        autophage.run({**ring, "process": {**ring["process"], **change}})


def test_a_written_spec_is_the_spec(ring):
    spec = ProcessSpec.of(ring)
    assert ProcessSpec.of(spec.to_dict()).digest == spec.digest
    assert spec.verdict.risk == "frechet_to_base_pixels" and spec.verdict.diversity == "diversity_pixels"


def test_fidelity_of_the_same_law_and_of_one_point():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 800, 2))
    same = fidelity(x, y, "pixels", lambda a: a)
    assert same["frechet_to_base_pixels"].value < 0.03 and same["recall_k3"].value > 0.9
    # Two standard normal points in the plane are sqrt(pi) apart on average.
    assert same["diversity_pixels"].value == pytest.approx(np.sqrt(np.pi), abs=0.12)
    point = fidelity(0.01 * x, y, "pixels", lambda a: a)
    assert point["recall_k3"].value < 0.1 and point["diversity_pixels"].value < 0.02
    assert diversity(np.zeros((5, 2))) == 0
    assert effective(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)


def test_the_frontier_stands_at_the_head_of_the_page(done, tmp_path):
    """Two figures, the same bytes whenever they are made."""
    found = done.spec.process.exhibits(done.metrics)
    assert [e.title for e in found] == ["Reward against distance from the base", "Reward against diversity"]
    assert all(e.content.startswith(b"\x89PNG") for e in found)
    again = done.spec.process.exhibits(done.metrics)
    assert [e.content for e in found] == [e.content for e in again]
    text = done.report(tmp_path / "page.html").read_text()
    assert text.index('id="exhibits"') < text.index('id="courses"')
    assert text.count('class="drawn"') == 2
