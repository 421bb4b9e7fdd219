"""A user's mistake: one sentence, code 2, no traceback, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest


def one_sentence(answer, said, here, leaves=("small.yaml",)):
    assert answer.code == 2
    lines = [line for line in answer.err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("autophage: "), answer.err
    assert said in lines[0]
    assert "Traceback" not in answer.err and answer.out == ""
    assert sorted(p.name for p in here.iterdir()) == sorted(leaves)


SETTINGS = [
    ("generatons=3", "did you mean 'generations'?"),
    ("workflow.samples=3", "unknown key 'workflow.samples'"),
    ("workflow={kind: mix, synthetic_ratio: -1}", "synthetic_ratio is -1"),
    ("workflow={kind: mix, synthetic_ratio: .nan}", "synthetic_ratio is nan"),
    ("workflow={kind: mix, synthetic_ratio: .inf}", "write workflow: replace"),
    ("workflow={kind: window, size: 0}", "a window holds at least one batch"),
    ("workflow={kind: shuffle}", "there is no workflow called 'shuffle'; known: replace, accumulate"),
    (
        "workflow={kind: fresh, sample_size: 9, real_share: 1.5}",
        "is 1.5 at t = 1; a share must lie in [0, 1]",
    ),
    ("workflow={kind: replace, sample_size: {values: [5]}}", "has 1 values; 4 generations need 3"),
    ("sampling.bias=1.01", "sampling.bias is 1.01; it must lie in [0, 1]"),
    ("sampling.temperature=0", "must be above zero"),
    ("workflow.sample_size=1", "needs at least 2"),
    ("data.dim=30", "needs at least 31 in 30 dimensions"),
    ("data={kind: categorical, probabilities: [0.5, 0.6]}", "data.probabilities"),
    ("data={kind: categorical, probabilities: [1.5, -0.5]}", "data.probabilities"),
    ("data={kind: gaussian, cov: -1}", "not positive definite"),
    ("data={kind: gaussian, mean: .nan}", "data.mean"),
    ("learner=categorical", "fits symbols but data gaussian gives vectors"),
    ("metrics=[support]", "support"),
    ("metrics=[{kind: precision_recall, k: 0}]", "k"),
    ("learner=nosuch:Thing", "no module called 'nosuch'"),
    ("seed=-1", "seed is -1"),
    ("seed", "--set takes key=value"),
]


@pytest.mark.parametrize(("setting", "said"), SETTINGS)
def test_a_spec_that_does_not_hold(setting, said, autophage, spec, here):
    one_sentence(autophage("run", spec, "--set", setting, "--out", "out"), said, here)
    assert autophage("validate", spec, "--set", setting).code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "nothing.yaml"), "there is no spec file at nothing.yaml"),
        (("run", "nothing.csv"), "there is no file called nothing.csv"),
        (("run", "digit"), "did you mean 'digits'?"),
        (("validate", "nothing.json"), "there is no spec file"),
        (("predict", "nothing"), "no file called nothing"),
        (("report", "nowhere"), "there is no run at nowhere"),
        (("cite", "nowhere"), "no file called nowhere"),
        (("describe", "gausian"), "did you mean 'gaussian'?"),
        (("describe", "learner.gausian"), "did you mean 'gaussian'?"),
        (("describe", "lerner.gaussian"), "did you mean 'learner'?"),
        (("ls", "lerners"), "there is no slot called 'lerners'"),
        (("reproduce", "shumailov2042"), "there is no recipe 'shumailov2042'; did you mean 'shumailov2024'?"),
        (("schema", "--out", "small.yaml/schema.json"), "a part of the path is a file"),
    ],
)
def test_what_is_not_there(words, said, autophage, spec, here):
    one_sentence(autophage(*words), said, here)


def test_places_that_cannot_be_written(autophage, spec, here):
    one_sentence(autophage("run", spec, "--out", "small.yaml/run"), "a part of the path is a file", here)
    one_sentence(autophage("run", spec, "--out", "small.yaml"), "is a file; choose a folder", here)
    (here / "thesis").mkdir()
    (here / "thesis" / "years.tex").write_text("of work")
    one_sentence(
        autophage("run", spec, "--out", "thesis", "--resume"),
        "holds something else",
        here,
        ("small.yaml", "thesis"),
    )
    assert [p.name for p in (here / "thesis").iterdir()] == ["years.tex"]


def test_a_verdict_on_what_nobody_measures_is_refused_at_the_first_generation(autophage, spec, here):
    answer = autophage("run", spec, "--set", "verdict.risk=varianc", "--out", "out", "--json")
    one_sentence(
        answer,
        "verdict.risk is 'varianc', which no metric measures; did you mean 'variance'?",
        here,
        ("out", "small.yaml"),
    )
    assert not (here / "out" / "batch").exists()


def test_another_spec(autophage, spec, here):
    autophage("run", spec, "--out", "out", "--json")
    one_sentence(
        autophage("run", spec, "--out", "out", "--resume", "--set", "generations=9"),
        "another spec (they differ in generations)",
        here,
        ("small.yaml", "out"),
    )


def test_bad_words(autophage, spec):
    for words in (("run",), ("run", spec, "--nope"), ("run", spec, "--workers", "0"), ("fly",), ("report",)):
        answer = autophage(*words)
        assert answer.code == 2 and "Traceback" not in answer.err


def test_more_than_the_memory(autophage, spec, here):
    answer = autophage(
        "run", spec, "--out", "out", "--set", "workflow.sample_size=1e15", "--set", "learner.path=samples"
    )
    assert answer.code == 2 and "Traceback" not in answer.err and len(answer.err.strip().splitlines()) == 1


def test_in_a_process_of_its_own(process, spec, here):
    one_sentence(process("run", spec, "--set", "learner.kind=gausian"), "did you mean 'gaussian'?", here)


def test_whoever_reads_may_leave(spec, here):
    command = f"{sys.executable} -m autophage ls | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
