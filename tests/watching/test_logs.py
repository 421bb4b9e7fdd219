"""Logs of several tools become the same series; what is odd about them is handled and said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.event_files import event, header, simple

from autophage.errors import DataError, SpecError
from autophage.watching.courses import cleaned, line
from autophage.watching.logs import Series, logs
from autophage.watching.naming import better, objectives, step_column, uses


def only(path, step=None):
    (log,), _ = logs([path], step)
    return log


def pairs(series):
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def test_json_lines(lines):
    path = lines(
        [
            {"step": 1, "loss": 3, "opt": {"lr": 0.1}, "tag": "x", "done": False, "list": [1, 2]},
            {"step": 2, "loss": "2.5", "eval_loss": None},
            {"step": 3, "loss": float("nan"), "eval_loss": 1.5},
        ]
    )
    log = only(path)
    assert set(log.series) == {"loss", "opt/lr", "eval_loss"} and log.counted == "step" and not log.notes
    assert pairs(log.series["loss"])[:2] == [(1, 3), (2, 2.5)] and np.isnan(log.series["loss"].value[2])
    assert pairs(log.series["eval_loss"]) == [(3, 1.5)]


def test_a_last_line_that_is_being_written_is_no_damage(lines):
    path = lines([{"step": n, "loss": n} for n in range(4)])
    whole = path.read_text()
    path.write_text(whole + '{"step": 4, "lo')
    assert len(only(path).series["loss"].step) == 4 and not only(path).notes
    path.write_text(whole.replace('{"step": 1, "loss": 1}', '{"step": 1, "lo'))
    log = only(path)
    assert log.series["loss"].step.tolist() == [0, 2, 3] and "1 line of" in log.notes[0]


def test_tables_of_lightning_and_keras(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,step,train_loss,val_loss\n0,49,1.5,\n0,99,1.25,\n0,99,,1.75\n1,149,1.0,\n1,199,,1.5\n"
    )
    log = only(path)
    assert log.counted == "step"
    assert pairs(log.series["train_loss"]) == [(49, 1.5), (99, 1.25), (149, 1.0)]
    assert pairs(log.series["val_loss"]) == [(99, 1.75), (199, 1.5)]
    path.write_text(
        "epoch;accuracy;loss\r\n0;0,5;1.0\r\n1;nan;0.5\r\nepoch;accuracy;loss\r\n2;0.75;0.25\r\n3;0.8"
    )
    log = only(path)
    assert log.counted == "epoch" and pairs(log.series["loss"]) == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert log.series["accuracy"].step.tolist() == [1, 2]  # a decimal comma is no number


def test_states_of_transformers_and_histories(tmp_path):
    history = [
        {"step": 10, "epoch": 0.5, "loss": 2.0, "learning_rate": 1e-4},
        {"step": 10, "epoch": 0.5, "eval_loss": 2.5, "eval_runtime": 3.0},
        {"step": 20, "epoch": 1.0, "loss": 1.0},
    ]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"global_step": 20, "log_history": history}))
    log = only(path)
    assert pairs(log.series["loss"]) == [(10, 2.0), (20, 1.0)] and pairs(log.series["eval_loss"]) == [
        (10, 2.5)
    ]
    path.write_text(json.dumps({"loss": [3, 2, 1], "val_loss": [4, 3, 2]}))
    log = only(path)
    assert log.counted == "line" and pairs(log.series["val_loss"]) == [(1, 4), (2, 3), (3, 2)]
    assert "has no column of steps" in log.notes[0]


def test_a_restart_drops_what_the_abandoned_try_had_logged(lines):
    steps = [100, 200, 300, 400, 250, 350, 450]
    path = lines(
        [
            {"step": s, "loss": n, "val_loss": -n} if n % 2 else {"step": s, "loss": n}
            for n, s in enumerate(steps)
        ]
    )
    log = only(path)
    assert pairs(log.series["loss"]) == [(100, 0), (200, 1), (250, 4), (350, 5), (450, 6)]
    # The held-out loss of step 400 belongs to the try that was given up, though none has taken its place yet.
    assert pairs(log.series["val_loss"]) == [(200, -1), (350, -5)]
    assert "1 restart: at step 400 it goes back to 250" in log.notes[0]


def test_steps_that_start_over_in_every_epoch_are_counted_through(lines):
    path = lines([{"epoch": e, "step": s, "loss": 1} for e in range(3) for s in range(5)])
    log = only(path)
    assert log.series["loss"].step.tolist() == list(range(15)) and "counted through" in log.notes[0]


def test_steps_that_are_missing_are_those_of_the_row_before(lines):
    path = lines([{"loss": 9}, {"step": 1, "loss": 1}, {"val_loss": 2}, {"step": 2, "val_loss": 3}])
    log = only(path)
    assert pairs(log.series["val_loss"]) == [(1, 2), (2, 3)] and pairs(log.series["loss"]) == [(1, 1)]
    assert "1 row of" in log.notes[0]


def test_gaps_and_repeated_steps():
    steps, values, said = cleaned(Series(np.array([1.0, 2, 2, 3, 4]), np.array([1.0, 2, 4, np.nan, np.inf])))
    assert steps.tolist() == [1, 2] and values.tolist() == [1, 3]
    assert said[0] == "2 values not finite, from step 3 on: it has diverged"
    assert said[1].startswith("1 step logged more than once")
    _, _, said = cleaned(Series(np.array([1.0, 2, 3]), np.array([1.0, np.nan, 3])))
    assert said == ["1 value not finite, first at step 2"]


def test_folders_hold_runs(lines, tmp_path):
    for n in range(3):
        lines([{"step": s, "loss": s + n} for s in range(4)], f"runs/seed{n}.jsonl")
    found, _ = logs([tmp_path / "runs"])
    assert [log.name for log in found] == ["seed0", "seed1", "seed2"]
    found, _ = logs([tmp_path / "runs" / "seed0.jsonl", tmp_path / "runs" / "seed2.jsonl"])
    assert [log.name for log in found] == ["seed0", "seed2"]
    for n in range(2):
        place = tmp_path / "lightning" / f"version_{n}"
        place.mkdir(parents=True)
        (place / "metrics.csv").write_text("step,val_loss\n1,2\n")
        (place / "hparams.yaml").write_text("lr: 1\n")
    assert [log.name for log in logs([tmp_path / "lightning"])[0]] == [
        "version_0/metrics",
        "version_1/metrics",
    ]


def test_of_checkpoints_the_last_state_counts(tmp_path):
    for run in ("a", "b"):
        for step in (5, 10, 20):
            place = tmp_path / run / f"checkpoint-{step}"
            place.mkdir(parents=True)
            history = [{"step": s, "loss": 1.0} for s in range(1, step + 1)]
            (place / "trainer_state.json").write_text(json.dumps({"log_history": history}))
            (place / "config.json").write_text("{}")
    found, _ = logs([tmp_path])
    assert [(log.name, len(log.series["loss"].step)) for log in found] == [("a", 20), ("b", 20)]


def test_event_files_of_one_folder_are_one_run_and_splits_are_parts_of_it(tmp_path):
    for part in ("train", "validation"):
        place = tmp_path / "keras" / part
        place.mkdir(parents=True)
        content = b"".join(event(n, simple("epoch_loss", n + 0.5)) for n in range(3))
        (place / "events.out.tfevents.1.host.v2").write_bytes(header() + content)
    log = only(tmp_path / "keras")
    assert set(log.series) == {"train/epoch_loss", "validation/epoch_loss"}
    assert uses(list(log.series)) == ["validation/epoch_loss"] and objectives(list(log.series)) == [
        "train/epoch_loss"
    ]
    place = tmp_path / "resumed"
    place.mkdir()
    for n, steps in enumerate([(1, 2, 3, 4), (3, 4, 5)]):
        content = b"".join(event(s, simple("eval/loss", 10 * n + s)) for s in steps)
        (place / f"events.out.tfevents.{n}.host").write_bytes(header() + content)
    log = only(place)
    assert pairs(log.series["eval/loss"]) == [(1, 1), (2, 2), (3, 13), (4, 14), (5, 15)]
    assert "the step goes back" in log.notes[0]


def test_runs_are_compared_at_the_steps_they_share(lines):
    a = lines([{"step": s, "loss": s} for s in range(0, 100, 10)], "a.jsonl")
    b = lines([{"step": s, "loss": 2 * s} for s in range(0, 100, 5)], "b.jsonl")
    short = lines([{"step": s, "loss": 7} for s in range(0, 40, 10)], "c.jsonl")
    found, _ = logs([a, b, short])
    course, notes = line(found, "loss", "lower")
    assert course.runs == ("a", "b") and course.steps.tolist() == list(range(0, 100, 10))
    assert np.allclose(course.mean, 1.5 * course.steps) and "1 of 3 runs ended early" in notes[0]
    apart = lines([{"step": s, "loss": 2 * s} for s in range(3, 100, 10)], "d.jsonl")
    found, _ = logs([a, apart])
    course, notes = line(found, "loss", "lower")
    assert np.allclose(course.mean, 1.5 * course.steps) and "interpolated" in notes[-1]


def test_a_long_course_becomes_means_of_blocks():
    n = 4801
    series = {"loss": Series(np.arange(n, dtype=float), np.arange(n, dtype=float))}
    from autophage.watching.logs import Log

    course, notes = line([Log("a", series)], "loss", "lower")
    assert len(course.steps) == 240 and course.steps[-1] == n - 1 and "240 blocks" in notes[0]
    assert abs(course.mean.mean() - (n - 1) / 2) < 1


def test_an_autophage_run_is_a_log(tmp_path):
    import autophage

    spec = {
        "seed": 0,
        "replicates": 3,
        "generations": 5,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "replace", "sample_size": 20},
    }
    run = autophage.run(spec, out=tmp_path / "run")
    found, _ = logs([tmp_path / "run"])
    assert [log.counted for log in found] == ["generation"] * 3
    rows = run.metrics.filter((run.metrics["metric"] == "variance") & (run.metrics["replicate"] == 2))
    assert found[2].series["variance"].value.tolist() == rows.sort("generation")["value"].to_list()


def test_names():
    assert step_column(["loss", "Epoch", "Step"]) == "Step" and step_column(["loss", "x"]) is None
    names = ["Loss/train", "Loss/test", "eval_accuracy", "eval_loss", "eval_runtime", "lr", "val_loss_epoch"]
    assert uses(names) == ["Loss/test", "eval_loss", "val_loss_epoch", "eval_accuracy"]
    assert objectives(names) == ["Loss/train"]
    assert better("eval_rougeL") == better("ACC") == better("val/top1_accuracy") == "higher"
    assert better("FID") == better("valloss") == better("cross entropy") == "lower" and better("x") is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"words\nwords\n", "none of its 2 lines holds an object"),
        ("a.jsonl", b"\xff\xfe\x00", "is no text"),
        ("a.json", b'{"a": 1}', "holds no log"),
        ("a.json", b'{"log_history": [', "no complete JSON document"),
        ("a.csv", b"1,2\n3,4\n", "its first line names no columns"),
        ("a.csv", b"one\n1\n", "its first line names no columns"),
        ("a.bin", b"\x00\x01\x02", "is no log that can be read"),
        ("a.txt", b"step 1: loss 2\n", "is no log that can be read"),
    ],
)
def test_what_is_no_log_is_refused(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        logs([tmp_path / name])


def test_what_is_not_there_is_refused(tmp_path, lines):
    with pytest.raises(DataError, match="there is no log at"):
        logs([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="holds no log"):
        logs([tmp_path])
    with pytest.raises(SpecError, match="nothing to watch"):
        logs([])
    with pytest.raises(SpecError, match="no column 'stp'; did you mean 'step'"):
        logs([lines([{"step": 1, "loss": 2}])], "stp")
