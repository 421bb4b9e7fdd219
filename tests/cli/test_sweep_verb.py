"""`autophage sweep`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

GRID = ("--grid", "workflow.sample_size=10,20,40")


@pytest.fixture
def unpictured(monkeypatch):
    """Without the picture, which takes most of the time."""
    from autophage.report import phase_plots

    monkeypatch.setattr(phase_plots, "picture", lambda diagrams, path: path)


def test_a_sweep_writes_its_folder_and_says_what_came_out(autophage, spec):
    answer = autophage("sweep", spec, *GRID)
    assert answer.code == 0, answer.err
    (folder,) = Path("sweeps").iterdir()
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == {
        "sweep.yaml", "manifest.json", "parts", "cells.parquet", "report.html", "phase.png",
    }  # fmt: skip
    assert folder.name.startswith("small-") and str(folder) in answer.out and "variance" in answer.out
    assert (
        autophage("report", folder, "--out", "again.html").out == "again.html\n"
        and Path("again.html").is_file()
    )
    assert yaml.safe_load((folder / "sweep.yaml").read_text())["grid"] == {
        "workflow.sample_size": [10, 20, 40]
    }
    assert json.loads((folder / "manifest.json").read_text())["status"] == "completed"


def test_the_folder_of_a_grid_is_that_of_a_larger_one():
    from autophage.sweeps.grid import axes_of
    from autophage.sweeps.sweep import digest

    spec = {"data": "gaussian", "learner": "gaussian"}
    names = {digest(spec, axes_of(grid)) for grid in ({"a": [1], "b": [2]}, {"b": [1, 2, 3], "a": [5]})}
    assert len(names) == 1 and digest(spec, axes_of({"a": [1]})) not in names


def test_the_answer_as_json_is_alone_on_standard_output(autophage, spec, unpictured):
    answer = autophage(
        "sweep", spec, *GRID, "--set", "replicates=30", "--out", "here", "--at", "0,3", "--json"
    )
    body = json.loads(answer.out)
    assert answer.code == 0 and body["way"] == "array program" and body["cells"] == 3
    assert body["grid"] == {"workflow.sample_size": [10, 20, 40]} and body["folder"] == "here"
    assert len(body["metrics"]["variance"]["mean"]) == 3
    assert body["metrics"]["variance"]["theory"][1] == pytest.approx(0.95**4)


@pytest.mark.parametrize(
    "words, said",
    [
        (("--grid", "workflow.sample_size=10,-1"), "workflow.sample_size=-1"),
        (("--grid", "workflow.sample_sise=10"), "sample_size"),
        (("--grid", "workflow.sample_size"), "key=a,b,c"),
        ((*GRID, "--at", "x"), "--at takes generations"),
        ((*GRID, "--at", "7"), "generations 0 to 3"),
        ((*GRID, "--on", "moon"), "local or ray"),
        ((*GRID, "--out", "small.yaml"), "is a file"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(words, said, autophage, spec):
    answer = autophage("sweep", spec, *words)
    assert answer.code == 2 and said in answer.err and answer.err.count("\n") == 1 and not answer.out


def test_an_interruption_says_how_to_go_on(autophage, spec, monkeypatch, unpictured):
    from autophage.sweeps import pools

    def interrupted(work, tasks, folder):
        yield work.perform(tasks[0][:1], folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pools, "here", interrupted)
        answer = autophage("sweep", spec, *GRID, "--out", "here")
    assert answer.code == 130 and "autophage sweep" in answer.err and "--out here" in answer.err
    assert json.loads(Path("here/manifest.json").read_text())["status"] == "interrupted"
    assert autophage("sweep", spec, *GRID, "--out", "here").code == 0
