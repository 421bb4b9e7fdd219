"""A learner that diverges, or raises whatever it likes, is a result: its replicate ends with a reason, the rest goes on."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from autophage.errors import RunError, SpecError
from autophage.runs.folder import Folder
from autophage.runs.run import run

REASONS = {
    "nan": "the model's samples are not finite",
    "few": "the model of main gave 15 records, 30 were asked for",
    "failed": "it would not converge",
    "error": "ValueError: expected 3 columns, got 2 (strangers.py, line",
}


@pytest.fixture(params=sorted(REASONS))
def way(request):
    return request.param


def broken(deep, way, **settings):
    deep["replicates"] = 3
    return {**deep, "learner": {**deep["learner"], "breaks": way, **settings}}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_one_replicate_ends_and_the_others_go_on(way, workers, deep, tmp_path, same):
    if workers == 2 and way != "error":
        return  # workers know no more than run_block does; one way is enough for the time it takes
    spec = broken(deep, way, at=2, replicate=1)
    spec["metrics"] = ["sample_variance"]
    done = run(spec, tmp_path / "run" if workers else None, max(workers, 1))
    assert done.status == "completed"
    assert set(done.failures) == {1} and done.failures[1]["generation"] == 2
    # With the evaluation draw first, too few samples are found there.
    reason = REASONS[way] if way != "few" else "the model of main gave"
    assert done.failures[1]["reason"].startswith(reason)
    assert "\n" not in done.failures[1]["reason"] and "Traceback" not in done.failures[1]["reason"]
    last = done.metrics.group_by("replicate").agg(pl.col("generation").max()).sort("replicate")
    assert last["generation"].to_list() == [3, 1, 3]
    sound = run({**spec, "learner": {**spec["learner"], "breaks": ""}}).metrics
    kept = sound.filter((pl.col("replicate") != 1) | (pl.col("generation") < 2))
    assert same(done.metrics, kept)
    if workers:
        folder = Folder(tmp_path / "run")
        assert folder.manifest()["failures"]["1"] == done.failures[1]
        ended = {e["replicate"]: e for e in folder.events() if e["event"] == "replicate_ended"}
        assert {r: e["status"] for r, e in ended.items()} == {0: "completed", 1: "failed", 2: "completed"}
        assert ended[1]["reason"] == done.failures[1]["reason"] and ended[1]["generation"] == 2
        assert same(run(spec, tmp_path / "run", resume=True).metrics, done.metrics)


def test_all_replicates_failing_is_a_result_too(way, deep, tmp_path):
    spec = broken(deep, way, at=1)
    done = run(spec, tmp_path / "run")
    assert done.status == "failed" and set(done.failures) == {0, 1, 2}
    assert done.metrics["generation"].unique().to_list() == [0]
    assert done.verdict().status == "failed"


def test_failing_at_once_leaves_an_empty_table(deep, tmp_path):
    done = run(broken(deep, "failed", at=0), tmp_path / "run")
    assert done.status == "failed" and len(done.metrics) == 0
    assert done.report().is_file()


def test_the_command_line_ends_with_zero(deep, cli, spec_file, tmp_path):
    spec = broken(deep, "error", at=0)
    ended = cli("run", spec_file(spec), "--out", tmp_path / "run", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["status"] == "failed" and set(told["failures"]) == {"0", "1", "2"}


def test_a_failed_generation_is_not_tried_again_but_a_full_memory_is(deep, tmp_path, monkeypatch, same):
    import strangers

    fit = strangers.Normal.fit

    def hungry(self, data, *, start=None, key):
        if "/generation/2/" in key.name:
            raise MemoryError("Unable to allocate 7.28 TiB")
        return fit(self, data, start=start, key=key)

    with monkeypatch.context() as patch:
        patch.setattr(strangers.Normal, "fit", hungry)
        with pytest.raises(RunError, match="generation 2 does not fit into memory"):
            run(deep, tmp_path / "run")
    assert same(run(deep, tmp_path / "run", resume=True).metrics, run(deep).metrics)


def test_a_mistake_of_the_user_ends_the_run_as_a_mistake(deep, monkeypatch):
    import strangers

    def refusing(*_, **__):
        raise SpecError("learner.width must be above zero")

    monkeypatch.setattr(strangers.Normal, "fit", refusing)
    with pytest.raises(SpecError, match="width"):
        run(deep)


def test_a_curation_that_keeps_nothing(deep, theory):
    for spec in (deep, theory):
        spec["curation"] = [{"kind": "strangers:NoneAtAll"}]
        done = run(spec)
        assert done.status == "failed"
        assert done.failures[0] == {"generation": 0, "reason": "no sample of generation 0 passed NoneAtAll"}


def test_a_variance_that_underflows_freezes_its_chain(tmp_path, same):
    spec = {
        "seed": 1,
        "replicates": 50,
        "generations": 600,
        "data": "gaussian",
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "replace", "sample_size": 2},
        "metrics": ["variance", "log_variance"],
    }
    done = run(spec, tmp_path / "run")
    where = done.absorbed["main"]
    assert (where > 0).all() and done.status == "completed" and done.verdict().status == "absorbed"
    logs = done.metrics.filter(pl.col("metric") == "log_variance").sort("replicate", "generation")
    logs = logs["value"].to_numpy().reshape(50, 600)
    assert np.isfinite(logs).all()
    for r, g in enumerate(where):
        assert (logs[r, g:] == logs[r, g]).all() and logs[r, g] < -600
    assert same(run(spec).metrics, done.metrics)
