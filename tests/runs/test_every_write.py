"""A process may die at any write; the run resumes to the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from autophage.runs.folder import Folder
from autophage.runs.run import load, run

SCRIPT = Path(__file__).with_name("exit_at_write.py")


@pytest.mark.parametrize(
    ("scale", "generations"),
    [
        ("deep", 2),
        ("theory", 2),
        pytest.param("deep", 3, marks=pytest.mark.slow),
        pytest.param("deep_unstored", 3, marks=pytest.mark.slow),
        pytest.param("theory", 5, marks=pytest.mark.slow),
    ],
)
def test_a_death_at_every_write(scale, generations, deep, theory, spec_file, environment, tmp_path, same):
    if scale == "theory":
        spec = {**theory, "replicates": 3, "generations": generations}
    else:
        spec = {**deep, "replicates": 1, "generations": generations}
        spec["learner"] = {**deep["learner"], "stored": scale == "deep"}
    place = tmp_path / "died"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(spec_file(spec)), str(place)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    points = int(done.stdout)
    # Every generation, the spec, the manifest and the table are written: far fewer points would mean none was met.
    assert points >= 20
    expected = run(spec).metrics
    for k in range(1, points + 1):
        folder = Folder(place / str(k) / "run")
        assert same(pl.read_parquet(folder.path / "metrics.parquet"), expected), f"point {k}"
        assert folder.manifest()["status"] == "completed"
        events = folder.events()
        told = {e["generation"] for e in events if e["event"] == "generation_done"}
        assert told == set(range(generations)), f"point {k}"
        assert events[-1]["event"] == "run_done"
        assert [e["event"] for e in events].count("run_started") == 1, f"point {k}"
        assert any(e["event"] == "replicate_ended" for e in events), f"point {k}"
        assert not list(folder.path.rglob("*.part")), f"point {k}"
    assert same(load(place / "9" / "run").metrics, expected)


def test_a_half_written_checkpoint_never_replaces_a_good_one(theory, tmp_path, same):
    whole = run(theory, tmp_path / "run")
    place = Folder(tmp_path / "run").checkpoint(0)
    good = place.read_bytes()
    place.with_name(f".{place.name}.123.part").write_bytes(good[: len(good) // 2])
    assert same(load(tmp_path / "run").metrics, whole.metrics)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    assert same(run(theory, tmp_path / "run", resume=True).metrics, whole.metrics)
    assert not list((tmp_path / "run").rglob("*.part"))
