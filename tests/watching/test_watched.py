"""`autophage.watch`: what is chosen, what is answered, what is refused; and the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import autophage
from autophage.errors import DataError, SpecError
from autophage.watching.watched import in_steps


def test_a_log_is_answered(lines, decaying):
    watched = autophage.watch(lines(decaying()))
    assert isinstance(watched, autophage.Watched)
    assert (watched.use.name, watched.use.better) == ("val_loss", "lower")
    assert watched.objective is not None and watched.objective.name == "train_loss"
    assert watched.decay.answer == "yes" and abs(watched.decay.best_step - 1000) <= 200
    assert "the objective improves while its use decays" in watched.sentence
    assert [c.step for c in watched.changes] == pytest.approx([1000], abs=200)
    assert "turns from falling to rising" in watched.changes[0].sentence
    assert watched.forecast is not None and watched.forecast.values[-1] > watched.use.mean[-1]
    assert set(watched.metrics.columns) == {"generation", "replicate", "agent", "metric", "value"}
    assert watched.metrics["metric"].unique().sort().to_list() == ["train_loss", "val_loss"]
    json.dumps(watched.to_dict())


def test_runs_of_the_same_training_are_replicates(lines, decaying, tmp_path):
    for seed in range(5):
        lines(decaying(seed), f"runs/seed{seed}.jsonl")
    watched = autophage.watch(tmp_path / "runs")
    assert len(watched.use.runs) == 5 and watched.decay.answer == "yes"
    # The held-out loss rises from 0.95 to 1.5 over all, in every run.
    assert watched.profile["D2"].verdict == "yes"
    assert watched.profile["D2"].seeds == 5
    said = in_steps(watched.profile["D2"].to_dict(), watched.use)
    assert "within 5 runs" in said["evidence"][0]


def test_generations_are_called_what_the_log_counts(lines, decaying):
    watched = autophage.watch(lines(decaying()))
    told = in_steps("risk of generation 0's after 2900 generations, 3 replicates", watched.use, "epoch")
    assert told == "risk of epoch 100's after 2900 epochs, 3 runs"
    assert "generation" not in watched.to_dict()["verdict"]["sentence"]


def test_better_higher_is_judged_as_a_risk(lines):
    rng = np.random.default_rng(0)
    paths = []
    for seed in range(4):
        accuracy = 0.9 - 0.4 * np.arange(20) / 19 + 0.005 * rng.normal(size=20)
        rows = [{"step": n, "eval_accuracy": a} for n, a in enumerate(accuracy)]
        paths.append(lines(rows, f"{seed}.jsonl"))
    watched = autophage.watch(paths)
    assert watched.use.better == "higher" and watched.decay.answer == "yes" and watched.decay.best_step <= 3
    assert watched.decay.fall == pytest.approx(0.4, abs=0.06)
    assert watched.profile["D2"].verdict == "yes"  # the risk is the accuracy with a minus


def test_diversity_is_judged(lines, tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(4):
        rows = [
            {
                "epoch": n,
                "val_loss": 1 + 0.01 * rng.normal(),
                "spread": float(np.exp(-0.5 * n + 0.02 * rng.normal())),
            }
            for n in range(12)
        ]
        lines(rows, f"runs/{seed}.jsonl")
    watched = autophage.watch(tmp_path / "runs", diversity="spread")
    assert watched.profile["D5"].verdict == "yes" and watched.counted == "epoch"
    assert [line.name for line in watched.lines] == ["val_loss", "spread"]


def test_fractional_steps_are_counted_one_by_one(lines):
    rows = [{"epoch": n / 4, "eval_loss": 3 - n / 10} for n in range(12)]
    watched = autophage.watch(lines(rows))
    assert watched.use.steps[1] == 0.25 and watched.profile.verdicts[0].generations == 11


def test_a_training_that_diverged_misses_every_guard(lines, decaying):
    rows = decaying()
    watched = autophage.watch(lines([*rows[:8], *({**r, "val_loss": float("nan")} for r in rows[8:])]))
    assert np.isnan(watched.latest) and watched.sentence.startswith("val_loss is not finite any more")
    for guard in ((None, None), (-9, None), (None, 99)):
        assert watched.missed(*guard) == "the last value of val_loss is not finite."
    assert any("it has diverged" in note for note in watched.notes)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e148])
def test_any_size_of_numbers_is_watched(scale, lines):
    rows = [{"step": n, "val_loss": scale * (1 + abs(n - 8) + 0.1 * (n % 3))} for n in range(24)]
    watched = autophage.watch(lines(rows))
    assert watched.decay.answer == "yes" and watched.decay.best_step in (7, 8, 9)
    exploded = autophage.watch(lines([*rows, {"step": 24, "val_loss": 1e300}]))
    assert np.isnan(exploded.latest) and exploded.decay.answer == "yes"


def test_guards(lines, decaying):
    watched = autophage.watch(lines(decaying()))
    assert watched.latest == pytest.approx(1.5, abs=0.05)
    assert watched.missed() == "the use, val_loss, has decayed."
    assert watched.missed(fail_above=2) is None  # a bound is a guard of its own: decay within it is none
    assert "is above 1.2" in watched.missed(fail_above=1.2)
    assert watched.missed(fail_below=1) is None and "is below 2" in watched.missed(fail_below=2)
    assert autophage.watch(lines(decaying()[:9])).missed() is None


def test_what_is_taken_may_be_named(lines, decaying):
    rows = [{**r, "thing": n, "reward": n} for n, r in enumerate(decaying())]
    path = lines(rows)
    assert autophage.watch(path, metric="thing", better="higher").decay.answer == "no"
    assert autophage.watch(path, metric="-thing").use.better == "higher"
    named = autophage.watch(path, objective="-thing").objective
    assert named is not None and named.name == "thing" and named.better == "higher"
    taken = autophage.watch(path, objective="thing")
    assert taken.objective.better == "lower" and any("--objective=-thing" in n for n in taken.notes)
    assert autophage.watch(path, step="thing").counted == "thing"
    rivals = autophage.watch(lines([{**r, "val_acc": 0.5} for r in decaying()]))
    assert any("--metric takes another, such as val_acc" in n for n in rivals.notes)


def test_a_log_without_held_out_metrics_is_watched_by_its_loss(lines):
    watched = autophage.watch(lines([{"step": n, "loss": 3 - n / 10, "lr": 1e-4} for n in range(12)]))
    assert watched.use.name == "loss" and watched.objective is None and watched.others == ("lr",)
    assert any("no held-out metric" in n for n in watched.notes)


@pytest.mark.parametrize(
    ("rows", "options", "error", "said"),
    [
        (
            [{"step": n, "val_loss": 1} for n in range(2)],
            {},
            DataError,
            "val_loss has 2 points; a course needs at least 3",
        ),
        (
            [{"step": n, "name": "x"} for n in range(5)],
            {},
            DataError,
            "holds no numeric column beside its steps",
        ),
        ([], {}, DataError, "holds no numeric column"),
        (
            [{"step": n, "thing": n} for n in range(5)],
            {},
            SpecError,
            "none of thing is known as a quality of a model",
        ),
        ([{"step": n, "thing": n} for n in range(5)], {"metric": "thing"}, SpecError, "say it with --better"),
        ([{"step": n, "loss": n} for n in range(5)], {"metric": "los"}, SpecError, "did you mean 'loss'"),
        (
            [{"step": n, "loss": n} for n in range(5)],
            {"better": "more"},
            SpecError,
            "must be lower or higher",
        ),
        ([{"step": n, "loss": n} for n in range(5)], {"objective": "loss"}, SpecError, "are both loss"),
        (
            [{"step": n, "loss": n} for n in range(5)],
            {"diversity": "x"},
            SpecError,
            "no column 'x' for the diversity",
        ),
        (
            [{"step": n, "loss": n, "v": -1} for n in range(5)],
            {"diversity": "v"},
            DataError,
            "has negative values",
        ),
        ([{"step": n, "loss": float("nan")} for n in range(5)], {}, DataError, "loss has 0 points"),
        ([{"step": n, "loss": n} for n in range(5)], {"ahead": -1}, SpecError, "must be a number above zero"),
    ],
)
def test_what_cannot_be_watched_is_refused(rows, options, error, said, lines):
    with pytest.raises(error, match=said):
        autophage.watch(lines(rows), **options)


def test_the_page(lines, decaying, tmp_path):
    rows = [{**r, "a</script>": 0.1} for r in decaying()]
    watched = autophage.watch(lines(rows, "log <b>.jsonl"), diversity="a</script>")
    page = watched.report(tmp_path / "deep" / "page.html")
    text = page.read_text()
    assert watched.report(tmp_path / "again.html").read_text() == text
    assert watched.decay.recommendation in text and "log &lt;b&gt;" in text and "log <b>" not in text
    assert "a&lt;/script&gt;" in text and "a</script>" not in text
    specs = json.loads(re.search(r'id="specifications">(.*?)</script>', text, re.DOTALL)[1])
    assert len(specs) == 3 and all(spec["layer"] for spec in specs)
    assert "http" not in re.sub(r"<script.*?</script>|<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_a_course_over_decades_is_drawn_on_a_log_scale(lines, tmp_path):
    from autophage.watching.paged import render

    watched = autophage.watch(lines([{"step": n, "loss": 10.0 ** (4 - n / 2)} for n in range(14)]))
    specs = json.loads(re.search(r'id="specifications">(.*?)</script>', render(watched), re.DOTALL)[1])
    scales = [layer["encoding"]["y"]["scale"] for layer in specs[0]["layer"] if "y" in layer["encoding"]]
    assert all(scale["type"] == "log" and scale["domain"][0] > 0 for scale in scales)
