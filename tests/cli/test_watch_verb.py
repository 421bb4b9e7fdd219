"""`autophage watch` on the command line: answers, guards, refusals, and following a log until it is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest


def rows(n=30, turn=10, start=0):
    return [
        {
            "step": s,
            "train_loss": 2 - 0.02 * s + 0.001 * (s % 3),
            "val_loss": 1 + 0.05 * abs(s - turn) + 0.002 * (s % 4),
        }
        for s in range(start, n)
    ]


def dumped(some):
    return "".join(json.dumps(row) + "\n" for row in some)


@pytest.fixture
def log(here):
    path = here / "metrics.jsonl"
    path.write_text(dumped(rows()))
    return path


def test_the_answer_and_its_exit_code(autophage, log, here):
    answer = autophage("watch", log)
    flat = " ".join(answer.out.split())
    assert answer.code == 1 and "the objective improves while its use decays" in flat
    assert "keep the checkpoint of step 10" in flat and "Guard missed" in flat
    assert sorted(p.name for p in here.iterdir()) == ["metrics.jsonl"]
    log.write_text(dumped(rows(n=10)))
    assert autophage("watch", log).code == 0


def test_guards_by_number(autophage, log):
    assert autophage("watch", log, "--fail-above", "3").code == 0
    assert autophage("watch", log, "--fail-above", "1.5").code == 1
    assert autophage("watch", log, "--fail-below", "2.5").code == 1


def test_json_and_the_page(autophage, log, here):
    answer = autophage("watch", log, "--json", "--out", "page", "--objective=train_loss", "--ahead", 5)
    told = json.loads(answer.out)
    assert answer.code == 1 and told["use"] == "val_loss" and told["decay"]["answer"] == "yes"
    assert told["decay"]["best_step"] == 10 and told["missed"] == "the use, val_loss, has decayed."
    assert told["forecast"]["status"] == "extrapolation" and told["forecast"]["steps"][-1] == 34
    page = here / "page" / "report.html"
    assert told["report"] == "page/report.html" and page.is_file()
    assert "autophage watch metrics.jsonl --objective=train_loss --ahead=5.0" in page.read_text().replace(
        f"{here}/", ""
    )
    assert autophage("watch", log, "--out", "own.html").code == 1 and (here / "own.html").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.jsonl",), "there is no log at nowhere.jsonl"),
        (("metrics.jsonl", "--metric", "val_los"), "did you mean 'val_loss'?"),
        (("metrics.jsonl", "--step", "stp"), "did you mean 'step'?"),
        (("metrics.jsonl", "--better", "up"), "it must be lower or higher"),
        (("metrics.jsonl", "--ahead", "-3"), "must be a number above zero"),
        (("metrics.jsonl", "--out", "metrics.jsonl/page"), "could not be written"),
        (("short.jsonl",), "a course needs at least 3"),
        (("words.csv",), "its first line names no columns"),
        (("metrics.jsonl", "--follow", "--out", "metrics.jsonl/page"), "could not be written"),
    ],
)
def test_mistakes_are_one_sentence(words, said, autophage, log, here):
    (here / "short.jsonl").write_text(dumped(rows(n=2)))
    (here / "words.csv").write_text("words\nand more\n")
    answer = autophage("watch", *words)
    lines = [line for line in answer.err.splitlines() if line.startswith("autophage: ")]
    assert answer.code == 2 and len(lines) == 1 and said in lines[0] and answer.out == ""
    assert "Traceback" not in answer.err


def test_a_log_is_followed_until_it_is_interrupted(here, environment):
    path = here / "live.jsonl"
    words = ["watch", "live.jsonl", "--follow", "--every", "0.05", "--json", "--out", "page"]
    done = subprocess.Popen(
        [sys.executable, "-m", "autophage", *words],
        env=environment,
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert done.stderr is not None and done.stdout is not None
        assert "waiting: there is no log at live.jsonl" in done.stderr.readline()
        path.write_text(dumped(rows(n=2)))
        assert "waiting: val_loss has 2 points" in done.stderr.readline()
        with path.open("a") as file:
            file.write(dumped(rows(n=9, start=2)))
        first = json.loads(done.stdout.readline())
        with path.open("a") as file:
            file.write(dumped(rows(n=30, start=9)))
        second = json.loads(done.stdout.readline())
        # A look may fall into the writing; the last one sees all of it.
        while second["last_step"] < 29:
            second = json.loads(done.stdout.readline())
        assert first["decay"]["answer"] == "no" and second["decay"]["answer"] == "yes"
        assert second["missed"] == "the use, val_loss, has decayed."
        time.sleep(0.2)
        done.send_signal(signal.SIGINT)
        out, err = done.communicate(timeout=20)
    finally:
        done.kill()
        done.wait()
    assert done.returncode == 130 and out == "" and "Traceback" not in err
    assert (here / "page" / "report.html").is_file()
    assert sorted(p.name for p in here.iterdir()) == ["live.jsonl", "page"]
