"""Every verb, for people and for machines."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from autophage import registry
from autophage.runs.run import load
from autophage.spec import Spec

VERBS = ("run", "reproduce", "predict", "report", "ls", "describe", "validate", "cite", "schema")


def told(answer):
    """The JSON of an answer: valid, and without NaN, which JSON does not have."""
    assert answer.code == 0, answer.err

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(answer.out, parse_constant=refuse)


# run


def test_run_writes_everything_and_says_what_it_found(autophage, spec, here):
    answer = autophage("run", spec, "--out", "out")
    assert answer.code == 0 and "Page" in answer.out and "variance" in answer.out and "D1" in answer.out
    names = {p.name for p in (here / "out").iterdir() if not p.name.startswith(".")}
    assert {"spec.yaml", "manifest.json", "events.jsonl", "metrics.parquet", "report.html", "batch"} <= names
    assert load("out").metrics["generation"].max() == 3


def test_run_as_json_says_nothing_else(autophage, spec, here):
    body = told(autophage("run", spec, "--out", "out", "--json"))
    assert body["status"] == "completed" and body["seed"] == 1 and body["failures"] == {}
    assert body["paths"] == {"main": "statistics"} and body["folder"] == "out"
    assert {"metric", "generation", "mean", "standard_error", "replicates", "agent"} <= set(
        body["summary"][0]
    )
    assert body["verdict"]["status"] == "completed"
    assert (here / body["report"]).is_file()


def test_run_without_out_names_its_folder(autophage, spec, here):
    digest = Spec.of(spec).digest
    assert told(autophage("run", spec, "--json"))["folder"] == f"runs/small-{digest}"
    assert (here / "runs" / f"small-{digest}" / "report.html").is_file()
    body = told(autophage("run", spec, "--set", "name='../../so rude: ?'", "--json"))
    assert body["folder"].startswith("runs/so-rude") and (here / body["folder"]).is_dir()


def test_resume_of_a_finished_run_ends_at_once(autophage, spec, here):
    autophage("run", spec, "--out", "out")
    before = (here / "out" / "events.jsonl").read_bytes()
    assert autophage("run", spec, "--out", "out", "--resume").code == 0
    assert (here / "out" / "events.jsonl").read_bytes() == before
    assert autophage("run", spec, "--out", "out").code == 2


def test_dry_run_writes_nothing(autophage, spec, here):
    answer = autophage("run", spec, "--dry-run")
    assert answer.code == 0
    shown = yaml.safe_load(answer.out)
    assert shown == Spec.of(spec).to_dict()
    assert "# 80 fits" in answer.out and "# main: path statistics" in answer.out
    body = told(autophage("run", spec, "--dry-run", "--json", "--set", "learner.path=samples"))
    assert body["spec"]["agents"]["main"]["learner"]["path"] == "samples"
    assert body["cost"] == {
        "fits": 80,
        "records_trained": 20 * 20 * 4,
        "records_sampled": 20 * 20 * 3,
        "bytes_on_disk": 0,
    }
    assert isinstance(body["cite"], list)
    assert [p.name for p in here.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    ("workflow", "trained", "sampled"),
    [
        ({"kind": "accumulate", "sample_size": 10}, 10 + 20 + 30 + 40, 30),
        ({"kind": "window", "size": 2, "sample_size": 10}, 10 + 20 + 20 + 20, 30),
        ({"kind": "mix", "real": 10, "synthetic_ratio": 0.5}, 10 + 15 * 3, 15),
        ({"kind": "accumulate_subsample", "sample_size": 10}, 40, 30),
        ({"kind": "fresh", "sample_size": 10, "real_share": 0.2, "counts": "exact"}, 40 - 0, 24),
    ],
)
def test_the_cost_is_what_the_loop_then_does(workflow, trained, sampled, spec):
    from autophage.loop import Loop
    from autophage.runs.estimate import estimate

    loop = Loop(
        Spec.of(spec, replicates=1, workflow=workflow, learner={"kind": "gaussian", "path": "samples"})
    )
    cost = estimate(loop)
    if workflow["kind"] == "fresh":
        trained = loop.real["main"] + 30
    assert (cost["records_trained"], cost["records_sampled"]) == (trained, sampled)
    state, sizes = loop.start(loop.blocks()[0]), []
    while state.generation < 4:
        state, (record,) = loop.step(state)
        sizes.append(record.training_size)
    assert sum(sizes) == cost["records_trained"]


def test_data_get_a_spec_which_is_shown(autophage, here):
    rows = np.random.default_rng(0).standard_normal((60, 2))
    with open(here / "mine.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *rows.tolist()])
    answer = autophage("run", "mine.csv", "--dry-run", "--set", "learner=gaussian")
    assert answer.code == 0, answer.err
    assert yaml.safe_load(answer.out)["data"]["path"] == "mine.csv"
    settings = ("learner=gaussian", "replicates=1", "generations=2", "metrics=[sample_variance]", "seed=0")
    words = [w for s in settings for w in ("--set", s)]
    answer = autophage("run", "mine.csv", "--out", "out", *words)
    assert answer.code == 0, answer.err
    assert "# the spec for mine.csv" in answer.err and "kind: table" in answer.err
    assert autophage("run", "mine.csv", "--out", "out", "--resume", *words).code == 0
    assert yaml.safe_load(autophage("run", "gaussian", "--dry-run").out)["name"] == "gaussian"


def test_a_run_folder_is_a_spec(autophage, spec):
    autophage("run", spec, "--out", "out")
    assert yaml.safe_load(autophage("run", "out", "--dry-run").out) == Spec.of(spec).to_dict()


def test_ones_own_module_is_found_from_where_one_works(process, spec, here):
    (here / "mine.py").write_text("from strangers import Normal\n\n\nclass Mine(Normal):\n    pass\n")
    answer = process("run", spec, *own("mine:Mine"), "--json")
    assert told(answer)["status"] == "completed"


LOUD = """
import sys
from strangers import Normal


class Loud(Normal):
    def fit(self, data, *, start=None, key):
        print("x" * 100_000, file=sys.stderr)
        print("fitting", flush=True)
        return super().fit(data, start=start, key=key)
"""


def own(kind):
    settings = (f"learner={kind}", "metrics=[sample_variance]", "replicates=2")
    return [word for setting in settings for word in ("--set", setting)]


def test_what_a_learner_prints_does_not_spoil_the_json(autophage, process, spec, here):
    (here / "loud.py").write_text(LOUD)
    answer = autophage("run", spec, *own("loud:Loud"), "--json", "--out", "one")
    assert told(answer)["status"] == "completed" and "fitting" in answer.err
    answer = process("run", spec, *own("loud:Loud"), "--json", "--out", "two", "--workers", "2")
    assert told(answer)["status"] == "completed"


# The others


def test_report_makes_the_page_again(autophage, spec, here):
    autophage("run", spec, "--out", "out")
    page = here / "out" / "report.html"
    text = page.read_text()
    page.unlink()
    assert autophage("report", "out").out.strip() == "out/report.html"
    again = page.read_text()
    assert len(again) == pytest.approx(len(text), rel=0.01)
    assert told(autophage("report", "out", "--out", "else/where.html", "--json")) == {
        "report": "else/where.html"
    }
    assert (here / "else" / "where.html").is_file()


def test_ls(autophage):
    table = told(autophage("ls", "--json"))
    for slot in ("data", "learner", "workflow", "metric"):
        assert list(table[slot]) == registry.kinds(slot)
    answer = autophage("ls")
    assert answer.code == 0 and all(k in answer.out for k in registry.kinds("learner"))
    assert list(told(autophage("ls", "workflows", "--json"))) == ["workflow"]
    assert "recipes" in told(autophage("ls", "recipes", "--json"))


@pytest.mark.parametrize("slot", ["data", "learner", "workflow", "metric", "curation", "treatment"])
def test_describe_every_part(slot, autophage):
    for kind in registry.kinds(slot):
        body = told(autophage("describe", f"{slot}.{kind}", "--json"))
        assert body["slot"] == slot and body["kind"] == kind and len(body["about"]) > 20
        for name, setting in body["settings"].items():
            assert setting["about"], f"{slot}.{kind}.{name} says nothing"
    if registry.kinds(slot):
        answer = autophage("describe", f"{slot}.{kind}")
        assert answer.code == 0 and all(name in answer.out for name in body["settings"])


def test_describe_says_types_and_what_is_required(autophage):
    """A terminal's markup swallows what stands in square brackets, unless it is escaped."""
    shown = autophage("describe", "tilt").out
    assert "region tuple[float, float], default (0.3, 3.0)" in shown
    assert "anchor AnchorSpec, required" in shown and "default required" not in shown
    fading = autophage("describe", "fading").out
    assert "cite: N. Gillman" in fading and "sample_size Schedule | None, default None" in fading


def test_describe_a_name_that_two_slots_share(autophage):
    both = told(autophage("describe", "gaussian", "--json"))
    assert {b["slot"] for b in both} == {"data", "learner"}
    assert told(autophage("describe", "kde", "--json"))["slot"] == "learner"


def test_validate_cite_predict(autophage, spec):
    assert "is a valid spec: 20 replicates of 4 generations" in autophage("validate", spec).out
    body = told(autophage("validate", spec, "--json"))
    assert body == {
        "valid": True,
        "spec_hash": Spec.of(spec).digest,
        "paths": {"main": "statistics"},
        "warnings": [],
    }
    warned = autophage("validate", spec, "--set", "workflow={kind: mix, real: 20, synthetic_ratio: 0.01}")
    assert "note: workflow.synthetic_ratio 0.01" in warned.out
    lines = told(autophage("cite", spec, "--json"))
    assert lines and autophage("cite", spec).out.splitlines() == lines
    found = told(autophage("predict", spec, "--json"))
    variance = next(p for p in found if p["metric"] == "variance")
    assert variance["values"] == pytest.approx([0.95**g for g in range(1, 5)])
    answer = autophage("predict", spec)
    assert answer.code == 0 and "variance" in answer.out and variance["source"].split()[0] in answer.out


def test_cite_a_run_and_a_recipe(autophage, spec):
    autophage("run", spec, "--out", "out")
    assert told(autophage("cite", "out", "--json")) == told(autophage("cite", spec, "--json"))
    for recipe in list(told(autophage("ls", "recipes", "--json"))["recipes"])[:1]:
        assert told(autophage("cite", recipe, "--json"))


def test_schema(autophage, here):
    schema = told(autophage("schema"))
    assert schema["title"] == "autophage spec"
    assert told(autophage("schema", "--out", "deep/schema.json", "--json")) == {"schema": "deep/schema.json"}
    assert json.loads((here / "deep" / "schema.json").read_text()) == schema


def test_version_and_no_words(autophage):
    from autophage import __version__

    assert autophage("--version").out.strip() == __version__
    assert "Usage" in autophage("--help").out
    assert autophage().code in (0, 2)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb, autophage):
    answer = autophage(verb, "--help")
    assert answer.code == 0 and "--json" in answer.out


def test_help_is_light():
    """Without torch, pydantic, polars or scipy; the time of the processor, which others on the machine do not stretch."""
    line = (
        "import sys, time\n"
        "sys.argv = ['autophage', '--help']\n"
        "from autophage.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    heavy = {'torch', 'pydantic', 'polars', 'scipy', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "    print(sorted(heavy), time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, env={**os.environ})
    loaded, seconds = done.stderr.strip().rsplit(" ", 1)
    assert loaded == "[]" and float(seconds) < 0.5
