"""Any process runs in memory and on disk to the same numbers, fails by replicate, and ends in a page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import autophage
from autophage.errors import RunError, SpecError
from autophage.processes.running import ProcessRun
from autophage.processes.spec import ProcessSpec
from autophage.runs.folder import Folder

DYING = Path(__file__).with_name("dying.py")


def test_memory_folder_and_workers_agree(walk, tmp_path, same):
    whole = autophage.run(walk)
    assert isinstance(whole, ProcessRun) and whole.status == "completed" and whole.folder is None
    assert whole.metrics.columns == [
        "generation",
        "replicate",
        "agent",
        "metric",
        "value",
        "low",
        "high",
        "n",
    ]
    assert len(whole.metrics) == 3 * 4 * 2
    assert same(autophage.run(walk, tmp_path / "a").metrics, whole.metrics)
    assert same(autophage.run(walk, tmp_path / "b", workers=2).metrics, whole.metrics)
    assert same(autophage.load(tmp_path / "b").metrics, whole.metrics)
    assert same(pl.read_parquet(tmp_path / "b" / "metrics.parquet"), whole.metrics)
    first = whole.metrics.filter(pl.col("metric") == "variance").sort("replicate", "generation")
    assert first["value"].n_unique() == 12  # replicates have streams of their own


def test_a_replicate_does_not_depend_on_how_many_follow(walk, same):
    more, fewer = autophage.run(walk), autophage.run({**walk, "replicates": 1})
    assert same(more.metrics.filter(pl.col("replicate") == 0), fewer.metrics)


def test_more_generations_begin_with_the_same_numbers(walk, same):
    longer, shorter = autophage.run({**walk, "generations": 6}), autophage.run(walk)
    assert same(longer.metrics.filter(pl.col("generation") < 4), shorter.metrics)


def test_a_death_at_every_write(walk, environment, tmp_path, same):
    spec = {**walk, "replicates": 1, "generations": 2}
    path = tmp_path / "walk.yaml"
    path.write_text(yaml.safe_dump(spec))
    place = tmp_path / "died"
    done = subprocess.run(
        [sys.executable, str(DYING), str(path), str(place)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    points = int(done.stdout)
    assert points >= 20
    expected = autophage.run(spec).metrics
    for k in range(1, points + 1):
        folder = Folder(place / str(k) / "run")
        assert same(pl.read_parquet(folder.path / "metrics.parquet"), expected), f"point {k}"
        assert folder.manifest()["status"] == "completed"
        events = folder.events()
        assert {e["generation"] for e in events if e["event"] == "generation_done"} == {0, 1}, f"point {k}"
        assert events[-1]["event"] == "run_done"
        assert [e["event"] for e in events].count("run_started") == 1, f"point {k}"
        assert any(e["event"] == "replicate_ended" for e in events), f"point {k}"
        assert not list(folder.path.rglob("*.part"))
        assert [p.parent.name for p in folder.path.rglob("state.npz")] == ["generation_0001"]


@pytest.mark.slow
def test_a_killed_process_goes_on(walk, environment, tmp_path, same):
    slow = {**walk, "process": {**walk["process"], "pause": 0.1}}
    path = tmp_path / "walk.yaml"
    path.write_text(yaml.safe_dump(slow))
    folder = Folder(tmp_path / "run")
    command = [
        sys.executable,
        "-m",
        "autophage",
        "run",
        str(path),
        "--out",
        str(folder.path),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(e["event"] == "generation_done" for e in folder.events()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.manifest()["status"] == "running"
    finished = autophage.run(slow, folder.path, resume=True)
    assert finished.status == "completed"
    assert same(finished.metrics, autophage.run(walk).metrics)


@pytest.mark.parametrize("broken", [False, True])
def test_a_replicate_that_fails_ends_and_the_rest_goes_on(walk, broken, tmp_path):
    spec = {**walk, "process": {**walk["process"], "fails_at": 2, "broken": broken}}
    for run in (autophage.run(spec), autophage.run(spec, tmp_path / "run"), autophage.load(tmp_path / "run")):
        assert run.status == "completed"
        assert run.failures == {1: {"generation": 2, "reason": "walked off"}}
        counts = run.metrics.filter(pl.col("metric") == "left").group_by("replicate").len().sort("replicate")
        assert counts["len"].to_list() == [4, 2, 4]
        assert set(run.last_valid) == ({1} if broken else set())
        if broken:
            last = run.metrics.filter((pl.col("replicate") == 1) & (pl.col("metric") == "variance"))["value"][
                -1
            ]
            assert run.last_valid[1]["x"].var() == pytest.approx(last)
    assert "walked off" in Path(autophage.load(tmp_path / "run").report()).read_text()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["failures"]["1"]["generation"] == 2


def test_a_stop_rule_ends_a_replicate(walk, tmp_path):
    spec = {**walk, "stop": {"metric": "variance", "above": 1.2, "relative": True}}
    run = autophage.run(spec, tmp_path / "run")
    whole = autophage.run(walk).metrics.filter(pl.col("metric") == "variance").sort("replicate", "generation")
    courses = whole["value"].to_numpy().reshape(3, 4)
    first = [next((g for g in range(4) if c[g] > 1.2 * c[0]), 3) for c in courses]
    assert min(first) < 3  # else nothing was stopped here
    left = run.metrics.group_by("replicate").agg(pl.col("generation").max()).sort("replicate")["generation"]
    assert left.to_list() == first and run.status == "completed"
    assert set(run.stops) == {r for r, g in enumerate(first) if g < 3}
    assert autophage.load(tmp_path / "run").stops == run.stops
    assert autophage.run(spec, tmp_path / "run", resume=True).metrics.equals(run.metrics)
    assert "stopped after generation" in run.report().read_text()
    assert ProcessSpec.of(run.spec.to_dict()) == run.spec


def test_every_replicate_failed(walk):
    spec = {**walk, "process": {**walk["process"], "fails_at": 0}}
    one = autophage.run({**spec, "replicates": 2})
    assert one.status == "completed" and one.failures[1]["generation"] == 0


def test_all_states_stay_where_the_process_keeps_them(walk, tmp_path):
    spec = {**walk, "replicates": 1, "process": {"kind": "wanderers:Hoarder"}}
    autophage.run(spec, tmp_path / "run")
    assert len(list((tmp_path / "run").rglob("state.npz"))) == 4


def test_the_page_shows_findings_galleries_and_notes(walk, tmp_path):
    run = autophage.run({**walk, "process": {"kind": "wanderers:Walk", "scale": 3.0}}, tmp_path / "run")
    text = run.report().read_text()
    assert "It walked." in text and "Went far" in text and "far away" in text
    assert run.warnings == ["far away"]
    assert "<svg" in text and "collapsing variance" in text


@pytest.mark.slow
def test_the_figures_exist(walk, tmp_path):
    autophage.run(walk, tmp_path / "run").report(figures=True)
    assert {p.stem for p in (tmp_path / "run" / "figures").glob("*.svg")} == {"courses", "gallery"}


def test_a_finished_run_is_returned_and_another_spec_refused(walk, tmp_path):
    place = tmp_path / "run"
    done = autophage.run(walk, place)
    with pytest.raises(RunError, match="--resume"):
        autophage.run(walk, place)
    assert autophage.run(walk, place, resume=True).metrics.equals(done.metrics)
    other = {**walk, "process": {**walk["process"], "scale": 1.0}}
    with pytest.raises(RunError, match=r"process\.scale"):
        autophage.run(other, place, resume=True)
    drawn = {k: v for k, v in walk.items() if k != "seed"}
    assert autophage.run(drawn, place, resume=True).spec.seed == 3


def test_a_written_spec_is_the_same_spec(walk, tmp_path):
    spec = ProcessSpec.of(walk)
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    again = ProcessSpec.of(tmp_path / "spec.yaml")
    assert again.digest == spec.digest and again == spec and spec.repeatable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generation": 3}, "did you mean 'generations'"),
        ({"generations": 0}, "generations is 0"),
        ({"replicates": 1.5}, "replicates is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"schema": 9}, "schema 9"),
        ({"process": {"kind": "inpaintings"}}, "did you mean 'inpainting'"),
        ({"process": {"points": 3}}, "process has no kind"),
        ({"process": {"kind": "wanderers:Walk", "point": 3}}, "'process.point'; did you mean 'points'"),
        ({"verdict": {"risks": "left"}}, "verdict.risks"),
        ({"stop": {"metric": "varianc", "above": 1}}, r"stop\[0\].metric is 'varianc'"),
        ({"stop": {"metric": "variance"}}, "needs one border"),
        ({"verdict": {"diversity": "varianc"}}, "did you mean 'variance'"),
        ({"square": 3, "process": {"kind": "inpainting", "features": "none"}}, "write process.square"),
    ],
)
def test_what_a_spec_gets_wrong(walk, change, words):
    with pytest.raises(SpecError, match=words):
        autophage.run({**walk, **change})


def test_loops_are_still_loops(walk):
    with pytest.raises(SpecError, match="no data"):
        autophage.run({"learner": "gaussian"})
    run = autophage.run(walk, generations=3)
    assert run.metrics["generation"].max() == 2
    assert np.isfinite(run.metrics["value"].to_numpy()).all()


def test_the_commands_know_it(walk, tmp_path, capsys):
    from autophage.commands import reading, running
    from autophage.commands.comparing import compare

    path = tmp_path / "walk.yaml"
    path.write_text(yaml.safe_dump(walk))

    def ran(*words, as_json=True):
        given = (str(path), tmp_path / "run", ["process.points=5"], False, False, 1, False, as_json)
        assert running.run(*given) == 0
        return capsys.readouterr().out

    body = json.loads(ran())
    assert body["status"] == "completed" and body["verdict"]["sentence"] == "It walked."
    assert Path(body["report"]).is_file()
    assert running.run(str(path), None, [], False, True, 1, False, False) == 0
    assert "points: 10" in capsys.readouterr().out
    reading.validate(str(path), [], False)
    assert "3 replicates of 4 generations" in capsys.readouterr().out
    reading.predict(str(path), [], False)
    assert "No theorem" in capsys.readouterr().out
    reading.report(tmp_path / "run", tmp_path / "page.html", False, False)
    assert "It walked." in (tmp_path / "page.html").read_text()
    reading.cite(str(path), True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == []
    with pytest.raises(SpecError, match="process"):
        compare(str(path), "sims", "records", None, [], 1, False)
