"""Ctrl-C: code 130, everything finished is kept, and the way back is printed as a command that can be pasted."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from autophage.runs.folder import Folder
from autophage.runs.run import run


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_and_resumed_as_told(workers, deep, spec_file, environment, tmp_path, same):
    spec = {**deep, "learner": {**deep["learner"], "pause": 0.1}}
    quick = {**spec, "name": "it's an odd name", "learner": {**spec["learner"], "pause": 0.0}}
    place = tmp_path / ("a folder with spaces and a rather long name " * 2).strip()
    command = ["run", str(spec_file(spec)), "--set", f"name={quick['name']}", "--out", str(place)]
    command += ["--workers", str(workers)] if workers > 1 else []
    process = subprocess.Popen(
        [sys.executable, "-m", "autophage", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = Folder(place)
    while not any(e["event"] == "generation_done" for e in folder.events()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert folder.manifest()["status"] == "interrupted"
    kept = pl.read_parquet(place / "metrics.parquet")
    assert len(kept)
    time.sleep(0.1)
    assert living(str(place)) == []
    (line,) = [words for words in said.splitlines() if words.strip().startswith("autophage run")]
    words = shlex.split(line)
    assert words == ["autophage", *command[:6], "--resume", *command[6:]]
    if workers == 1:
        again = [sys.executable, "-m", *words]
        ended = subprocess.run(again, env=environment, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
    else:
        run({**spec, "name": quick["name"]}, place, resume=True)
    metrics = pl.read_parquet(place / "metrics.parquet")
    assert same(metrics, run(quick).metrics)
    assert kept.join(metrics, on=kept.columns, nulls_equal=True).height == kept.height
    assert [e["event"] for e in folder.events()].count("run_resumed") == 1


def living(word):
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"autophage.worker" in words and word.encode() in words:
            found.append(int(place.parent.name))
    return found
