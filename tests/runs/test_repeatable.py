"""The same seed gives the same bits, however much follows and whoever does the work."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

from autophage.runs.run import run


def first(frame, **limits):
    for column, limit in limits.items():
        frame = frame.filter(pl.col(column) < limit)
    return frame


@pytest.fixture(params=["deep", "statistics", "samples", "records", "mixture"])
def spec(request, deep, theory):
    if request.param == "deep":
        return deep
    theory["learner"] = {"kind": "gaussian", "path": "samples" if request.param == "samples" else "auto"}
    if request.param == "records":
        theory["workflow"] = {"kind": "accumulate_subsample", "sample_size": 20}
    if request.param == "mixture":
        theory["workflow"] = {"kind": "fresh", "sample_size": 20, "real_share": 0.3}
    theory["metrics"] = [*theory["metrics"], "sample_variance"]
    return theory


def test_the_same_seed_gives_the_same_bits_and_another_does_not(spec, tmp_path, same):
    once = run(spec).metrics
    assert same(once, run(spec).metrics)
    assert same(once, run(spec, tmp_path / "run").metrics)
    assert not same(once, run({**spec, "seed": 4}).metrics)


def test_more_generations_do_not_change_the_earlier_ones(spec, same):
    longer = run({**spec, "generations": spec["generations"] + 3}).metrics
    assert same(run(spec).metrics, first(longer, generation=spec["generations"]))


def test_more_replicates_do_not_change_the_earlier_ones(spec, same):
    more = run({**spec, "replicates": spec["replicates"] + 3}).metrics
    assert same(run(spec).metrics, first(more, replicate=spec["replicates"]))


def test_measuring_does_not_change_what_is_measured(spec, same):
    spec["metrics"] = [*spec["metrics"], "wasserstein"]
    spec["replicates"] = 2
    fewer = run({**spec, "metrics": spec["metrics"][:2]}).metrics
    names = fewer["metric"].unique().to_list()
    assert same(run(spec).metrics.filter(pl.col("metric").is_in(names)), fewer)


def test_names_do_not_change_numbers(spec, same):
    assert same(run({**spec, "name": "another"}).metrics, run(spec).metrics)


@pytest.mark.parametrize("kind", ["replace", "accumulate_subsample"])
def test_replicates_across_the_border_of_blocks(kind, same):
    spec = {
        "seed": 5,
        "generations": 3,
        "data": "gaussian",
        "learner": "gaussian",
        "workflow": {"kind": kind, "sample_size": 10},
        "metrics": ["variance", "squared_mean_error"],
    }
    tables = {n: run({**spec, "replicates": n}).metrics for n in (1000, 1500, 2000)}
    assert same(first(tables[2000], replicate=1500), tables[1500])
    assert same(first(tables[2000], replicate=1000), tables[1000])


def test_the_number_of_workers_does_not_matter(deep, theory, tmp_path, same):
    theory |= {"replicates": 1100, "generations": 3}
    assert same(run(deep).metrics, run(deep, workers=2).metrics)
    assert same(run(theory).metrics, run(theory, tmp_path / "run", workers=3).metrics)


def test_workers_need_no_main_guard(environment, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import autophage\n"
        "print('once')\n"
        "run = autophage.run(seed=1, replicates=2, generations=2, data={'kind': 'gaussian', 'dim': 2},\n"
        "    learner={'kind': 'strangers:Normal'}, workflow={'kind': 'replace', 'sample_size': 20},\n"
        "    metrics=['sample_variance'], workers=2)\n"
        "assert run.folder is None\n"
        "print(run.status, len(run.metrics), run.report('page.html'))\n"
    )
    done = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ["once", "completed", "4", "page.html"], done.stderr


def test_an_object_without_a_path_cannot_go_to_workers(deep):
    import strangers
    from autophage.errors import SpecError

    class Local(strangers.Normal):
        pass

    with pytest.raises(SpecError, match="no import path; use workers=1"):
        run({**deep, "learner": Local()}, workers=2)
