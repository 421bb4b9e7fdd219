"""Real processes, killed at random moments, resume to the numbers of a run that nobody disturbed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from autophage.runs.folder import Folder
from autophage.runs.run import run

SLOWLY = Path(__file__).parents[1] / "slowly.py"
PAUSE = 0.05


def killed_again_and_again(command, environment, folder, kills):
    """Starts the command, waits until it writes, kills it at a random moment."""
    moments = []
    for _ in range(kills):
        seen = len(folder.events())
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while process.poll() is None and len(folder.events()) == seen:
            time.sleep(0.005)
        moments.append(random.uniform(0, 6 * PAUSE))
        time.sleep(moments[-1])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
        process.stderr.close()
    return moments


def whole(folder, expected, same, moments, generations):
    assert same(pl.read_parquet(folder.path / "metrics.parquet"), expected), f"killed at {moments}"
    assert folder.manifest()["status"] == "completed"
    events = folder.events()
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) - len(events) <= len(
        moments
    )  # a kill tears one line at most
    told = [e["generation"] for e in events if e["event"] == "generation_done"]
    assert set(told) == set(range(generations))
    assert json.loads(lines[-1])["event"] == "run_done"
    assert not list(folder.path.rglob("*.part"))


def deeply(deep, kills):
    generations = 4 if kills < 5 else 30
    slow = {**deep["learner"], "pause": PAUSE, "stored": kills < 5}
    return {**deep, "generations": generations, "learner": slow}


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_a_deep_run_is_killed(kills, deep, spec_file, environment, tmp_path, same):
    spec = deeply(deep, kills)
    folder = Folder(tmp_path / "run")
    command = [sys.executable, "-m", "autophage", "run", str(spec_file(spec)), "--out", str(folder.path)]
    moments = killed_again_and_again([*command, "--resume"], environment, folder, kills)
    run(spec, folder.path, resume=True)
    quick = {**spec, "learner": {**spec["learner"], "pause": 0.0}}
    whole(folder, run(quick).metrics, same, moments, spec["generations"])


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_a_theory_run_is_killed(kills, theory, spec_file, environment, tmp_path, same):
    spec = {**theory, "generations": 6 if kills < 5 else 60}
    folder = Folder(tmp_path / "run")
    command = [
        sys.executable,
        str(SLOWLY),
        str(PAUSE),
        "run",
        str(spec_file(spec)),
        "--out",
        str(folder.path),
    ]
    moments = killed_again_and_again([*command, "--resume"], environment, folder, kills)
    run(spec, folder.path, resume=True)
    whole(folder, run(spec).metrics, same, moments, spec["generations"])


def test_workers_die_with_their_parent(deep, spec_file, environment, tmp_path, same):
    spec = {**deep, "learner": {**deep["learner"], "pause": 0.15}}
    folder = Folder(tmp_path / "run")
    command = [sys.executable, "-m", "autophage", "run", str(spec_file(spec)), "--out", str(folder.path)]
    process = subprocess.Popen(
        [*command, "--workers", "2"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not any(e["event"] == "generation_done" for e in folder.events()):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while workers_of(folder.path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_of(folder.path) == []
    quick = {**spec, "learner": {**spec["learner"], "pause": 0.0}}
    run(spec, folder.path, resume=True)
    assert same(pl.read_parquet(folder.path / "metrics.parquet"), run(quick).metrics)


def workers_of(folder):
    """Processes whose command line names the folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"autophage.worker" in words and str(folder).encode() in words:
            found.append(int(place.parent.name))
    return found
