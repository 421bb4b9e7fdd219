"""Recursive inpainting as a run: arms, resumption, the page, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.errors import MissingExtra, SpecError
from autophage.inpainting.drift import drift
from autophage.inpainting.inpainter import Filler, Inpainter
from autophage.inpainting.process import Inpainting
from autophage.processes.spec import ProcessSpec


def rows(run, metric, agent=None):
    return (
        run.rows(agent).filter(pl.col("metric") == metric).sort("generation", "replicate")["value"].to_numpy()
    )


def test_generation_0_is_the_originals(digits):
    run = autophage.run(digits)
    first = {r["metric"]: r["value"] for r in run.metrics.filter(pl.col("generation") == 0).to_dicts()}
    assert first["mse"] == 0 and first["feature_distance_pca16"] == 0 and first["untouched"] == 1
    assert first["correlation_with_original"] == pytest.approx(1)
    assert first["high_frequency_relative"] == pytest.approx(1)
    assert first["covariance_with_original"] == pytest.approx(first["variance"])


def test_mean_fills_lose_fine_detail_on_and_on(digits):
    """Sheet C.4 in small: the high frequencies of tau = 0 fall in every generation of every replicate."""
    found = rows(autophage.run(digits), "high_frequency").reshape(4, 2)
    assert (np.diff(found, axis=0) < 0).all()


def test_arms_share_pictures_and_squares(field):
    run = autophage.run(field)
    assert run.spec.process.agents == ("mean", "fair")
    assert (rows(run, "untouched", "mean") == rows(run, "untouched", "fair")).all()
    assert rows(run, "variance", "mean")[0] == rows(run, "variance", "fair")[0]
    assert rows(run, "variance", "mean")[2] < rows(run, "variance", "fair")[2]


def test_an_arm_alone_is_the_arm_beside_others(field):
    alone = {**field, "process": {**field["process"], "inpainter": {"kind": "gaussian_field", "tau": 0}}}
    assert (rows(autophage.run(alone), "mse") == rows(autophage.run(field), "mse", "mean")).all()


@pytest.mark.parametrize("kept", [0, 1])
def test_a_run_goes_on_where_it_stood(digits, kept, tmp_path):
    whole = autophage.run(digits, tmp_path / "whole")
    place = tmp_path / "cut"
    autophage.run({**digits, "generations": kept + 1}, place)
    shutil.copy(tmp_path / "whole" / "spec.yaml", place / "spec.yaml")
    (place / "manifest.json").unlink()
    assert autophage.run(digits, place, resume=True).metrics.equals(whole.metrics)


def test_the_page(field, tmp_path):
    run = autophage.run({**field, "name": "two-arms"}, tmp_path / "run")
    text = run.report().read_text()
    assert "Recursive inpainting" in text and "two-arms" in text
    assert "Information about the original lost" in text and "Pictures degenerate" in text
    assert text.count("data:image") > 6  # originals, generations of both arms, the film
    assert (tmp_path / "run" / "collapse.webp").is_file()
    assert "2407.09549" in text and "exact" in text
    assert "4 squares of 2 x 2 pixels" in text


def test_the_verdict_reads_the_variance(digits):
    # Three replicates and as many generations: enough for D5 to be asked.
    profile = autophage.run({**digits, "replicates": 3}).verdict()
    assert profile["D5"].verdict in ("yes", "no", "undecided") and "variance" in str(profile["D5"].evidence)


@dataclass(frozen=True, kw_only=True)
class Spoiled(Inpainter):
    """Fills with NaN at the third fill."""

    def prepared(self, source, grid, *, key):
        return SpoiledFiller(grid)


class SpoiledFiller(Filler):
    def __init__(self, grid):
        self.grid = grid

    def fill(self, x, squares, *, key):
        bad = np.nan if key.name.endswith("/fill/3") else 0.0
        return np.where(self.grid.mask(squares)[..., None], bad, x)


def test_nan_after_a_fill_stops_and_keeps_the_last_valid_pictures(field, tmp_path):
    """Sheet C.5: the last valid pictures come back with the number of the fill."""
    spec = {**field, "generations": 4, "process": {**field["process"], "inpainter": Spoiled()}}
    run = autophage.run(spec)
    assert run.status == "failed" and run.failures[0]["generation"] == 2
    assert "fill 3 (75 % of the volume)" in run.failures[0]["reason"]
    last = run.last_valid[0]
    assert last["fills"] == 2 and last["x"].shape == (30, 4, 4, 1) and np.isfinite(last["x"]).all()
    assert (last["x"] == 0).any()
    assert len(rows(run, "mse")) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"square": 3}, "does not divide"),
        ({"square": 4}, "covers the whole picture"),
        ({"square": 5}, "must fit into the picture"),
        ({"square": 0}, "process.square is 0"),
        ({"pictures": 1}, "process.pictures is 1"),
        ({"volume_step": 10.0}, "one fill of a grid of 4 squares is 25 %"),
        ({"features": ""}, "process.features is missing"),
        ({"features": "lpips"}, "carry that name"),
        ({"features": "lpipss"}, "features is 'lpipss'"),
        ({"features": "classifier"}, "carry none"),
        ({"inpainter": {"a/b": "patch"}}, "has an arm 'a/b'"),
        ({"inpainter": "patchs"}, "did you mean 'patch'"),
        ({"inpainter": {"a": {"kind": "patch", "taus": 1}}}, "process.inpainter.a.taus"),
        ({"data": {"kind": "gaussian", "dim": 4}}, "must be pictures"),
        ({"data": "digits", "pictures": 500, "square": 2, "inpainter": "patch"}, "hold out 3"),
        ({"data": "digits", "square": 2}, "known Gaussian law"),
    ],
)
def test_refused_before_the_start(field, change, words):
    """Sheet C.5, and keys that do not fit."""
    with pytest.raises(SpecError, match=words):
        autophage.run({**field, "process": {**field["process"], **change}})


def test_pictures_of_other_sizes_are_not_compared():
    with pytest.raises(autophage.DataError, match="cannot be compared"):
        drift(np.zeros((2, 4, 4, 1)), np.zeros((2, 8, 8, 1)), np.zeros((2, 4)), None)


def test_a_space_that_is_named_is_measured_under_its_name(digits):
    run = autophage.run(
        {**digits, "generations": 2, "process": {**digits["process"], "features": "classifier"}}
    )
    distance = rows(run, "feature_distance_classifier_real_labels")
    assert (distance[:2] == 0).all() and (distance[2:] > 0).all()
    none = autophage.run({**digits, "generations": 2, "process": {**digits["process"], "features": "none"}})
    assert not [m for m in none.metrics["metric"].unique() if m.startswith("feature")]


def test_python_takes_parts_as_they_are(field):
    process = Inpainting(data="digits", inpainter={"mean": {"kind": "patch", "tau": 0.0}}, features="none")
    spec = ProcessSpec.of(process=process, seed=0)
    assert spec.name == "inpainting" and spec.repeatable and spec.agents == {"mean": process}
    assert spec.to_dict()["process"]["inpainter"]["mean"]["kind"] == "patch"
    assert ProcessSpec.of(spec.to_dict()).digest == spec.digest


def test_a_pipeline_needs_its_place_and_its_package(monkeypatch):
    from autophage.inpainting.pipeline import Pipeline

    with pytest.raises(SpecError, match="inpainter.model is missing"):
        Pipeline()
    with pytest.raises(SpecError, match="settings.prompt"):
        Pipeline(model="somewhere", settings={"prompt": "a cat"})
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(MissingExtra, match="multimodal"):
        autophage.run(
            {
                "process": {
                    "kind": "inpainting",
                    "features": "none",
                    "inpainter": {"kind": "pipeline", "model": "somewhere"},
                }
            }
        )


def test_no_pickle_and_no_absolute_path_in_a_run(field, tmp_path):
    autophage.run(field, tmp_path / "run")
    names = {p.suffix for p in Path(tmp_path / "run").rglob("*") if p.is_file()}
    assert names <= {".yaml", ".json", ".jsonl", ".parquet", ".npz", ""}
