"""What a run's folder may be, what it refuses, and what a full disk does to it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from autophage.errors import FitFailed, RunError
from autophage.runs import folder as folders
from autophage.runs.folder import Folder, get_samples, npz, put_samples, unnpz, write
from autophage.runs.run import load, run
from autophage.samples import Samples


def content(place):
    return {p.relative_to(place): p.read_bytes() for p in place.rglob("*") if p.is_file()}


# Starting and going on


def test_resume_starts_what_is_missing_and_leaves_what_is_finished(theory, tmp_path, same):
    first = run(theory, tmp_path / "run", resume=True)
    before = content(tmp_path / "run")
    again = run(theory, tmp_path / "run", resume=True)
    assert same(first.metrics, again.metrics) and content(tmp_path / "run") == before
    assert same(first.metrics, run(theory).metrics)  # in memory as on disk


def test_a_run_that_failed_everywhere_is_finished_too(deep, tmp_path):
    deep["learner"] = {**deep["learner"], "breaks": "failed", "at": 1}
    first = run(deep, tmp_path / "run")
    assert first.status == "failed" and Folder(tmp_path / "run").manifest()["status"] == "failed"
    before = content(tmp_path / "run")
    assert run(deep, tmp_path / "run", resume=True).status == "failed"
    assert content(tmp_path / "run") == before


def test_reading_a_run_writes_nothing_and_fits_nothing(deep, tmp_path, monkeypatch, same):
    deep["learner"] = {**deep["learner"], "stored": False}
    whole = run(deep, tmp_path / "run")
    before = content(tmp_path / "run")
    import strangers

    def refused(*_, **__):
        raise AssertionError("a fit, only to read")

    monkeypatch.setattr(strangers.Normal, "fit", refused)
    assert same(load(tmp_path / "run").metrics, whole.metrics)
    assert content(tmp_path / "run") == before


def test_without_resume_an_existing_run_is_refused(theory, tmp_path):
    run(theory, tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run; add --resume"):
        run(theory, tmp_path / "run")


def test_another_spec_is_refused_by_name(theory, tmp_path):
    run(theory, tmp_path / "run")
    other = {**theory, "generations": 7, "workflow": {**theory["workflow"], "size": 3}}
    with pytest.raises(
        RunError, match=r"another spec \(they differ in generations, agents\.main\.workflow\.size\)"
    ):
        run(other, tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="differ in data.kind"):
        run({**theory, "data": "two_moons", "metrics": []}, tmp_path / "run", resume=True)


def test_a_drawn_seed_is_recorded_and_taken_up_again(theory, tmp_path):
    del theory["seed"]
    first = run(theory, tmp_path / "run")
    recorded = yaml.safe_load((tmp_path / "run" / "spec.yaml").read_text())["seed"]
    assert recorded == first.spec.seed == Folder(tmp_path / "run").manifest()["seed"]
    assert run(theory, tmp_path / "run", resume=True).spec.seed == recorded
    assert run(theory, tmp_path / "other").spec.seed != recorded  # one in two thousand million


def test_the_written_spec_creates_the_run_again(deep, theory, tmp_path, same):
    for spec in (deep, theory):
        first = run(spec, tmp_path / spec["name"])
        assert same(run(tmp_path / spec["name"] / "spec.yaml").metrics, first.metrics)


def test_an_object_of_ones_own_runs_on_disk_and_resumes_with_it(deep, tmp_path, same):
    import strangers

    class Local(strangers.Normal):
        pass

    deep["learner"] = Local(start="previous")
    first = run(deep, tmp_path / "run")
    assert same(run(deep, tmp_path / "run", resume=True).metrics, first.metrics)
    with pytest.raises(RunError, match="no import path"):
        load(tmp_path / "run")


# Refusals


def test_a_folder_with_something_else_in_it_is_refused(theory, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(RunError, match="holds something else"):
            run(theory, tmp_path / "run", resume=resume)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_will_do(theory, tmp_path):
    (tmp_path / "run").mkdir()
    assert run(theory, tmp_path / "run").status == "completed"


def test_a_place_below_a_file_is_refused(theory, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a part of the path is a file"):
        run(theory, tmp_path / "file" / "run")
    with pytest.raises(RunError, match="is a file; choose a folder"):
        run(theory, tmp_path / "file")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_another_process_writes_is_refused(workers, deep, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    run({**deep, "generations": 1}, tmp_path / "run")
    manifest = Folder(tmp_path / "run").manifest()
    Folder(tmp_path / "run").manifest({**manifest, "status": "running"})
    with open(tmp_path / "run" / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="being written by another process"):
            run({**deep, "generations": 1}, tmp_path / "run", resume=True, workers=workers)
    assert run({**deep, "generations": 1}, tmp_path / "run", resume=True).status == "completed"


@pytest.mark.parametrize("name", ["manifest.json", "spec.yaml", "replicate_0000/generation_0001/done.json"])
def test_a_damaged_file_is_named(name, deep, tmp_path):
    run(deep, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(b"{\xff")
    with pytest.raises((RunError, ValueError), match=Path(name).name) as caught:
        load(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_and_damaged_samples_are_named(theory, deep, tmp_path):
    run(theory, tmp_path / "theory")
    place = Folder(tmp_path / "theory").checkpoint(0)
    place.write_bytes(place.read_bytes()[:200])
    with pytest.raises(RunError, match=r"block_0000\.npz is damaged"):
        load(tmp_path / "theory")
    run(deep, tmp_path / "deep")
    place = Folder(tmp_path / "deep").generation(0, 1, "main")
    (place / "x.npy").write_bytes(b"")
    with pytest.raises(RunError, match="samples in .* are damaged"):
        get_samples(place)


def test_no_run_is_no_run(tmp_path):
    with pytest.raises(RunError, match="there is no run at"):
        load(tmp_path / "nothing")


# A full disk


def test_a_disk_that_fills_up_keeps_what_is_finished(deep, cli, spec_file, tmp_path, same):
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]).returncode
    ):
        pytest.skip("a small tmpfs cannot be mounted here")
    deep["workflow"] = {"kind": "accumulate", "sample_size": 20_000}  # 160 kB a generation
    deep |= {"replicates": 2, "generations": 6, "metrics": ["sample_variance"]}
    try:
        ended = cli("run", spec_file(deep), "--out", place / "run")
        assert ended.returncode == 2, ended.stderr
        assert ended.stderr.strip().splitlines()[-1].startswith("autophage: cannot write to")
        assert "the disk is full; free some space and go on with --resume" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert (place / "run" / "replicate_0000" / "generation_0001" / "done.json").is_file()
        shutil.copytree(place / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("done.json")}
    resumed = run(deep, tmp_path / "run", resume=True)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert same(resumed.metrics, run(deep).metrics)


@pytest.mark.parametrize("nth", [1, 2, 5, 9, 14])
def test_the_nth_write_finds_the_disk_full(nth, deep, tmp_path, monkeypatch, same):
    calls = 0
    replace = os.replace

    def full(*where):
        nonlocal calls
        calls += 1
        if calls >= nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(*where)

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "replace", full)
        with pytest.raises(RunError, match="the disk is full") as caught:
            run(deep, tmp_path / "run")
        assert "\n" not in str(caught.value)
    assert same(run(deep, tmp_path / "run", resume=True).metrics, run(deep).metrics)


def test_a_log_line_that_does_not_fit_is_an_error(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    real = os.write
    room = [10]

    def short(handle, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        taken = real(handle, data[: room[0]])
        room[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "write", short)
        with pytest.raises(RunError, match="the disk is full"):
            folder.event("generation_done", generation=3)
    folder.event("run_done")
    assert [e["event"] for e in folder.events()] == ["run_done"]


# Files


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    write(tmp_path / "deep" / "file", "old")
    monkeypatch.setattr(folders.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "deep" / "file", "new")
    assert content(tmp_path) == {Path("deep/file"): b"old"}


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RunError, match="damaged"):
        unnpz(path)
    with pytest.raises(FitFailed, match="python objects"):
        put_samples(tmp_path / "s", Samples.of(np.array([{"a": 1}, None], dtype=object)))


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"a/b": np.arange(6.0).reshape(2, 3), "c": np.array(3), "words": np.array(["x", "yz"])}
    write(tmp_path / "a.npz", npz(arrays))
    back = unnpz(tmp_path / "a.npz")
    assert set(back) == set(arrays)
    assert all(np.array_equal(back[k], v) and back[k].dtype == v.dtype for k, v in arrays.items())


def test_samples_come_back_as_they_were(tmp_path):
    parts = [
        Samples.of(np.ones((3, 2), np.float32), generation=4, agent="a", label=np.array([0, 1, 2])),
        Samples.of(np.zeros((2, 2), np.float32), generation=5, agent="longer", label=np.array([3, 4])),
    ]
    back = put_samples(tmp_path, Samples.join(parts))
    assert isinstance(back.fields["x"], np.memmap) and back.x.dtype == np.float32
    assert back.x.tolist() == [[1, 1]] * 3 + [[0, 0]] * 2
    assert back.label.tolist() == [0, 1, 2, 3, 4]
    assert np.asarray(back.generation).tolist() == [4, 4, 4, 5, 5]
    assert np.asarray(back.agent).tolist() == ["a"] * 3 + ["longer"] * 2


def test_torn_lines_of_the_log_are_passed_over(tmp_path):
    folder = Folder(tmp_path)
    folder.event("a", text="two\u2028lines")
    with open(tmp_path / "events.jsonl", "ab") as log:
        log.write(b'{"event": "torn", "ti')
    folder.event("b")
    assert [e["event"] for e in folder.events()] == ["a", "b"]
    assert folder.events()[0]["text"] == "two\u2028lines"


def test_the_manifest_says_what_ran(theory, tmp_path):
    import hashlib

    started = time.time()
    run(theory, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "completed" and manifest["seed"] == 3 and manifest["failures"] == {}
    assert manifest["paths"] == {"main": "statistics"}
    assert set(manifest["checksums"]) == {"spec.yaml", "metrics.parquet"}
    for name, digest in manifest["checksums"].items():
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() == digest
    assert 0 <= manifest["seconds"] <= time.time() - started + 1
    assert {"autophage", "python", "numpy"} <= set(manifest["versions"])
    table = pl.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert table.columns == ["generation", "replicate", "agent", "metric", "value", "low", "high", "n"]
    assert table.select("generation", "replicate", "agent", "metric").is_duplicated().sum() == 0
    assert len(table) == 40 * 6 * 4
