"""The evidence lower bound as a metric, and generation 0's encoder as a ruler that outlives an interruption."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.metrics.elbo import Elbo, EncoderSpread, encoder_spread
from autophage.metrics.records import FIXED
from autophage.runs.run import run

SMALL = {"kind": "vae", "latent": 2, "widths": [8], "records": 600, "batch_size": 64, "learning_rate": 0.01}
LOOP: dict[str, Any] = {
    "seed": 4,
    "generations": 4,
    "data": {"kind": "gaussian", "dim": 3, "reference_size": 80},
    "learner": SMALL,
    "workflow": {"kind": "replace", "sample_size": 150},
    "metrics": ["elbo", "encoder_spread"],
}


def value(table: pl.DataFrame, metric: str, generation: int, **where: Any) -> float:
    found = table.filter(metric=metric, generation=generation, **where)
    assert len(found) == 1
    return float(found["value"][0])


@pytest.fixture(scope="module")
def whole() -> pl.DataFrame:
    return run(LOOP).metrics


def test_rows_are_the_bound_on_both_sets_and_their_gap(whole: pl.DataFrame) -> None:
    loop = Loop(**LOOP)
    state = loop.start(loop.blocks()[0])
    _, (record,) = loop.step(state)
    model: Any = record.model
    train, held_out = state.piles["main"].real.x, loop.source.reference().x  # type: ignore[union-attr]
    for row, x, name in (("elbo_train", train, "train"), ("elbo_held_out", held_out, "reference")):
        each = model.elbo(x, FIXED / "elbo" / name / "latent", 1)
        assert value(whole, row, 0) == pytest.approx(each.mean())
        found = whole.filter(metric=row, generation=0)
        assert found["n"][0] == len(x)
        reach = 1.96 * each.std(ddof=1) / np.sqrt(len(x))
        assert found["low"][0] == pytest.approx(each.mean() - reach, rel=1e-3)
    for t in range(4):
        gap = value(whole, "elbo_train", t) - value(whole, "elbo_held_out", t)
        assert value(whole, "generalisation_gap", t) == pytest.approx(gap, abs=1e-9)


def test_no_more_records_are_looked_at_than_asked(whole: pl.DataFrame) -> None:
    metric = {"kind": "elbo", "most": 50, "draws": 3}
    table = run({**LOOP, "generations": 1, "metrics": [metric]}).metrics
    assert set(table["n"]) == {50}
    assert value(table, "elbo_train", 0) != value(whole, "elbo_train", 0)


def test_the_encoder_is_that_of_generation_0(whole: pl.DataFrame) -> None:
    """By hand: the records of each generation's evaluation, under the first model."""
    loop = Loop(**{**LOOP, "metrics": []})
    block = loop.blocks()[0]
    state, first = loop.start(block), None
    for t in range(4):
        state, (record,) = loop.step(state)
        first = first or record.model
        key = loop.key(block) / "generation" / t / "main" / "evaluate" / "draw"
        means, _ = first.encode(record.sampler.sample(80, key=key).x)  # type: ignore[attr-defined]
        assert value(whole, "encoder_spread", t) == pytest.approx(means.std(), rel=1e-5)


@pytest.mark.parametrize("stored", [True, False])
def test_an_interrupted_run_goes_on_with_the_same_ruler(
    stored: bool, whole: pl.DataFrame, tmp_path: Path
) -> None:
    """Stopped after two generations, and with generation 0's model gone, which is then fitted again."""

    def stop(event: dict[str, Any]) -> None:
        if event.get("event") == "generation_done" and event["generation"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(LOOP, tmp_path / "run", observe=stop)
    (kept,) = (tmp_path / "run").rglob("generation_0000/**/model.safetensors")
    if not stored:
        kept.unlink()
    resumed = run(LOOP, tmp_path / "run", resume=True).metrics
    assert resumed.equals(whole)
    shutil.rmtree(tmp_path / "run")


def test_the_spread_is_pooled_over_records_and_latents() -> None:
    means = (Key(0) / "means").generator().standard_normal((4000, 5)) * [2.0, 1.0, 0.0, 0.0, 1.0]
    found = encoder_spread(means)
    assert found.value == pytest.approx(means.std())
    assert found.low < np.sqrt(6 / 5) < found.high and found.n == 4000
    assert encoder_spread(np.ones((5, 2))).value == 0
    with pytest.raises(DataError, match="at least two"):
        encoder_spread(np.ones((1, 2)))


def test_its_interval_covers_as_often_as_it_says() -> None:
    hits = []
    for i in range(400):
        means = (Key(i) / "means").generator().standard_normal((200, 3)) * [2.0, 1.0, 1.0]
        found = encoder_spread(means)
        hits.append(found.low <= np.sqrt(2.0) <= found.high)
    # Four standard errors of a share of .95 over 400, and 1 % for the normal approximation.
    assert abs(np.mean(hits) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400) + 0.01


def test_it_falls_in_a_loop_of_decoder_means() -> None:
    """A gaussian decoder of little capacity hands on means only: spread falls in every generation."""
    learner = {**SMALL, "records": 6000, "observation_variance": 0.3}
    spec = {**LOOP, "learner": learner, "workflow": {"kind": "replace", "sample_size": 1000}}
    table = run({**spec, "evaluation_size": 2000, "metrics": ["encoder_spread"]}).metrics
    course = [value(table, "encoder_spread", t) for t in range(4)]
    assert course[0] > course[1] > course[2] > course[3]


def test_agents_without_a_bound_are_passed_over_and_others_measured() -> None:
    """A student that is fitted to real records first, then to fresh ones of a teacher of another family."""
    teacher = {"learner": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}}
    student = {"learner": SMALL, "workflow": {"kind": "replace", "sample_size": 600, "initial_size": 150}}
    spec = {k: v for k, v in LOOP.items() if k not in ("learner", "workflow")}
    spec |= {"agents": {"teacher": {**teacher, "workflow": LOOP["workflow"]}, "student": student}}
    spec |= {"feeds": [{"from": "teacher", "to": "student"}], "generations": 2}
    done = run({**spec, "metrics": ["elbo", "encoder_spread", "sample_variance"]})
    assert not done.failures
    rows = done.metrics.group_by("agent", "metric").len().sort("agent", "metric")
    counted = {(a, m): n for a, m, n in rows.rows()}
    assert counted[("student", "elbo_train")] == counted[("teacher", "sample_variance")] == 2
    assert ("teacher", "elbo_train") not in counted and ("teacher", "encoder_spread") not in counted


def test_a_loop_without_any_bound_is_refused() -> None:
    for metric, reads in (("elbo", "elbo"), ("encoder_spread", "encode")):
        with pytest.raises(SpecError, match=rf"{metric} reads {reads} of the fitted model"):
            Loop(**{**LOOP, "learner": "gaussian", "metrics": [metric]})


@pytest.mark.parametrize("bad", [{"draws": 0}, {"most": 1}, {"draws": 1.5}], ids=str)
def test_settings_that_cannot_be_right_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"metric elbo: {next(iter(bad))} is"):
        Elbo(**bad)


def test_only_metrics_that_look_back_keep_generation_0s_model() -> None:
    assert "first" in EncoderSpread.needs and "first" not in Elbo.needs
    for metrics, kept in ((["encoder_spread"], {"main"}), (["elbo"], set())):
        loop = Loop(**{**LOOP, "metrics": metrics})
        state, _ = loop.step(loop.start(loop.blocks()[0]))
        assert set(state.first) == kept
