"""Sweeps on disk: killed, gone on with, extended, and never mixed up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from autophage.errors import RunError
from autophage.sweeps import pools
from autophage.sweeps.store import Store
from autophage.sweeps.sweep import Sweep, sweep

SLOWLY = Path(__file__).parents[1] / "slowly.py"
GRID = {"workflow.initial_size": [10, 20], "workflow.synthetic_ratio": [0, 1, 2]}


def grid_words(grid):
    return [w for k, v in grid.items() for w in ("--grid", f"{k}={','.join(map(str, v))}")]


def killed(command, environment, ready):
    """Starts a process and kills it once `ready`."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_an_array_program_is_killed_and_goes_on(gaussian, environment, tmp_path):
    spec, out = {**gaussian, "replicates": 1000}, tmp_path / "swept"
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    grid = {"workflow.initial_size": list(range(10, 50)), "workflow.synthetic_ratio": [1, 2]}
    command = [sys.executable, str(SLOWLY), "0.02", "sweep", str(tmp_path / "spec.yaml"), *grid_words(grid)]
    parts = out / "parts"
    killed([*command, "--out", str(out)], environment, lambda: len(list(parts.glob("part*"))) >= 2)
    before = Store(out).known()
    known = set(before["cell"])
    assert 0 < len(known) < 80
    assert Sweep.load(out).status == "interrupted"
    events = []
    swept = sweep(spec, grid, out, observe=events.append)
    assert events[0]["done"] > len(known) and events[-1]["done"] == 80
    assert swept.status == "completed" and swept.cells.equals(sweep(spec, grid).cells)
    assert pl.read_parquet(out / "cells.parquet").equals(swept.cells)
    assert not list(out.rglob("*.part")) and len(list(parts.glob("*"))) == 1


def test_runs_of_cells_are_killed_and_finished_ones_are_not_run_again(deep, environment, tmp_path):
    deep["learner"]["pause"] = 0.05
    out = tmp_path / "swept"
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(deep))
    grid = {"workflow.sample_size": [20, 30, 40]}
    command = [sys.executable, "-m", "autophage", "sweep", str(tmp_path / "spec.yaml"), *grid_words(grid)]

    def finished():
        return [p for p in out.glob("cells/*/manifest.json") if '"completed"' in p.read_text()]

    killed([*command, "--out", str(out)], environment, lambda: len(finished()) >= 1)
    stamps = {p: p.stat().st_mtime_ns for p in finished()}
    swept = sweep(deep, grid, out)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    quick = {**deep, "learner": {**deep["learner"], "pause": 0.0}}
    assert (swept.phase("sample_variance") == sweep(quick, grid).phase("sample_variance")).all()
    digests = {swept.grid.spec(c).digest for c in range(3)}
    assert {p.name for p in (out / "cells").iterdir()} == digests


def test_a_finished_sweep_computes_nothing_again(gaussian, tmp_path, monkeypatch):
    first = sweep(gaussian, GRID, tmp_path / "s")
    monkeypatch.setattr(pools, "here", lambda work, tasks, folder: iter([pytest.fail()] if tasks else []))
    assert sweep(gaussian, GRID, tmp_path / "s").cells.equals(first.cells)
    assert Sweep.load(tmp_path / "s").cells.equals(first.cells)


def test_a_grid_is_extended_and_its_cells_are_taken_over(gaussian, tmp_path):
    first = sweep(gaussian, GRID, tmp_path / "s")
    seen = []
    larger = {"workflow.initial_size": [5, 10, 20, 40], "workflow.synthetic_ratio": [2, 1, 0, 3]}
    second = sweep(gaussian, larger, tmp_path / "s", observe=seen.append)
    assert seen[0]["done"] > 6 and seen[-1]["done"] == 16
    assert (second.phase("variance")[1:3, 2::-1] == first.phase("variance")).all()
    again = sweep(gaussian, GRID, tmp_path / "s")
    assert again.cells.equals(first.cells)


def test_workers_give_the_numbers_of_one_process(gaussian):
    spec, grid = {**gaussian, "replicates": 1000}, {"workflow.initial_size": "10:40:31"}
    assert sweep(spec, grid, workers=2).cells.equals(sweep(spec, grid).cells)


@pytest.mark.slow
def test_workers_do_the_runs_of_cells(deep, tmp_path):
    sizes = {"workflow.sample_size": [20, 30, 40]}
    assert sweep(deep, sizes, tmp_path / "s", workers=2).cells.equals(sweep(deep, sizes).cells)


def test_a_drawn_seed_is_the_one_that_is_gone_on_with(gaussian, tmp_path):
    del gaussian["seed"]
    first = sweep(gaussian, GRID, tmp_path / "s")
    assert sweep(gaussian, GRID, tmp_path / "s").cells.equals(first.cells)


@pytest.mark.parametrize(
    "change, grid, words",
    [
        ({"replicates": 9}, GRID, "another base spec"),
        ({"at": [0, 1]}, GRID, "other generations"),
        (
            {},
            {"workflow.initial_size": [10]},
            "holds a sweep over workflow.initial_size, workflow.synthetic_ratio",
        ),
    ],
)
def test_another_sweep_in_the_same_place_is_refused(change, grid, words, gaussian, tmp_path):
    sweep(gaussian, GRID, tmp_path / "s")
    with pytest.raises(RunError, match=words):
        sweep(gaussian, grid, tmp_path / "s", **change)


def test_places_that_hold_something_else_are_refused(gaussian, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for place, words in (
        ("file", "is a file"),
        ("full", "something else"),
        ("file/below", "cannot write|a part of the path"),
    ):
        with pytest.raises((RunError, NotADirectoryError), match=words):
            sweep(gaussian, GRID, tmp_path / place)


def test_a_damaged_part_is_named(gaussian, tmp_path):
    sweep(gaussian, GRID, tmp_path / "s")
    (place,) = (tmp_path / "s" / "parts").iterdir()
    place.write_bytes(b"PAR1 no more")
    with pytest.raises(RunError, match="damaged; delete it"):
        sweep(gaussian, GRID, tmp_path / "s")


def test_an_error_in_a_worker_is_said_in_one_sentence(deep, tmp_path):
    """Two processes on one cell's folder: the second says so."""
    from autophage.runs.folder import Folder
    from autophage.runs.writing import locked

    sizes = {"workflow.sample_size": [20, 30, 40]}
    spec = sweep(deep, sizes).grid.spec(0)
    place = tmp_path / "s" / "cells" / spec.digest
    Store(tmp_path / "s").claim(sweep(deep, sizes).work)
    place.mkdir(parents=True)
    with locked(Folder(place)), pytest.raises(RunError, match="another process"):
        sweep(deep, sizes, tmp_path / "s", workers=2)
    assert np.isfinite(sweep(deep, sizes, tmp_path / "s").phase("sample_variance")).all()
