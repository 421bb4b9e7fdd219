"""Runs with fresh real records: the regime beside the verdict, and what the door refuses or warns of (A.8)."""

from __future__ import annotations

import json

import pytest

from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.runs.run import run
from autophage.verdicts.contamination import contamination

ZIPF = {"kind": "categorical", "zipf": {"symbols": 20}}
BIGRAM = {"kind": "bigram", "zipf": {"symbols": 6}, "contexts": 3}


def power(scale, exponent):
    return {"power": {"scale": scale, "exponent": exponent}}


def spec(share, size, data=ZIPF, learner="categorical", **keys):
    workflow = {"kind": "fresh", "real_share": share, "sample_size": size, **keys.pop("workflow", {})}
    return {
        "seed": 0,
        "replicates": 400,
        "generations": 30,
        "data": data,
        "learner": learner,
        "workflow": workflow,
        "metrics": ["squared_error"],
        **keys,
    }


FOUR = {
    "recovers": spec(power(1, -0.5), power(20, 1)),
    "plateaus": spec(0.2, 50, data=BIGRAM, learner="bigram"),
    "stalls": spec(power(0.5, -2), power(5, 2)),
    "collapses": spec(0.0, 20, data={"kind": "gaussian"}, learner="gaussian", metrics=["squared_mean_error"]),
}


@pytest.mark.parametrize("name", FOUR)
def test_the_regime_stands_beside_the_verdict(name):
    found = run(FOUR[name])
    profile = found.verdict()
    said = json.loads(json.dumps(profile.to_dict(), allow_nan=False))["regime"]
    assert said["name"] == profile.regime.regime.name == name
    assert said["sentence"].startswith(f"In theory this loop {name}: ")
    measured = said["measured"]
    assert measured["metric"] == found.spec.metrics[0].row and measured["agrees"]
    assert measured["ci95"][0] < measured["last"] < measured["ci95"][1]
    low, high = {"recovers": (0, 0.5), "stalls": (0.75, 1.3)}.get(name, (1.5, 50))
    assert low < measured["last"] / measured["first"] < high
    if name == "plateaus":
        assert profile["D3"].verdict == "no" and "settles at" in profile["D3"].evidence[0]
    if name == "collapses":
        assert "settles" not in profile["D3"].evidence[0]
        assert any("the limit is total collapse, squared_mean_error 1" in w for w in found.warnings)
    else:
        assert found.warnings == []


def test_other_loops_have_no_regime():
    for workflow in (
        {"kind": "replace", "sample_size": 20},
        {"kind": "fresh", "real_share": {"values": [0.5] * 29}},
    ):
        found = run({**spec(0.5, 20), "workflow": workflow, "replicates": 20})
        assert found.verdict().regime is None and found.verdict().to_dict()["regime"] is None


def test_the_regime_is_named_even_if_its_error_was_not_measured():
    found = run({**FOUR["recovers"], "replicates": 5, "metrics": ["gini"]}).verdict().regime
    assert found.measured is None and found.sentence().endswith("Its error was not measured.")
    assert found.turning.improvement == 1
    single = run({**FOUR["recovers"], "replicates": 1}).verdict().regime
    assert single.measured.agrees is None and single.to_dict()["measured"]["ci95"] == [None, None]


def test_a_measurement_that_contradicts_the_theory_is_called_so():
    import numpy as np

    regime = run({**FOUR["plateaus"], "replicates": 2, "generations": 3}).verdict().regime.regime
    curves = 0.1 + 0.001 * np.random.default_rng(0).random((50, 4))
    assert contamination(regime, "squared_error", curves, np.full(4, 0.1005)).measured.agrees is True
    found = contamination(regime, "squared_error", curves, np.full(4, 0.2))
    assert found.measured.agrees is False and "which the measurement contradicts" in found.sentence()


@pytest.mark.parametrize("counts", ["mixture", "exact"])
def test_a_point_mass_is_no_end_where_new_real_records_come_in(counts):
    """With two records a generation nearly every replicate is a single symbol now and then, and none stays one."""
    keys = spec(0.5, 2, workflow={"counts": counts}, metrics=["support"], replicates=50)
    found = run(keys)
    table = found.metrics
    alone = table.filter(table["value"] == 1)["replicate"].n_unique()
    assert alone > 40 and found.absorbed == {} and found.verdict().status == "completed"
    ended = run({**keys, "workflow": {**keys["workflow"], "real_share": 0.0}})
    assert (ended.absorbed["main"] >= 0).mean() > 0.9


def test_the_command_line_says_it(capsys):
    from rich.console import Console

    from autophage.commands.running import show, told

    found = run({**FOUR["recovers"], "replicates": 20, "generations": 5})
    show(found, Console(width=400))
    assert "In theory this loop recovers" in capsys.readouterr().out
    assert told(found)["verdict"]["regime"]["name"] == "recovers"


# Bad input (A.8)


@pytest.mark.parametrize(
    ("share", "size", "words"),
    [
        (1.2, 20, r"real_share is 1\.2 at t = 1"),
        (-0.1, 20, r"real_share is -0\.1 at t = 1"),
        (float("nan"), 20, "real_share is nan at t = 1"),
        ({"values": [0.5, 0.5, 2] + [0.5] * 26}, 20, "real_share is 2 at t = 3"),
        ({"values": [0.5] * 5}, 20, "has 5 values but generation 6 needs one"),
        (power(0.5, 0.5), 20, r"real_share is 1\.\d+ at t = 5"),
        (0.5, {"values": [20] * 5}, "has 5 values"),
        (0.5, 0, "plans 0 records at t = 1"),
        (0.5, -3, "sample_size is -3 at t = 1"),
        (0.5, 0.5, r"sample_size is 0\.5 at t = 1; a number of records must be zero, or one and more"),
        (0.5, power(20, -1.5), r"sample_size is 0\.\d+ at t = 8"),
        (0.5, float("nan"), "sample_size is nan at t = 1"),
        (0.5, {"values": [5, float("inf")] + [5] * 27}, "sample_size is inf at t = 2"),
    ],
)
def test_a8_a_bad_schedule_is_refused_naming_the_round_and_the_value(share, size, words):
    with pytest.raises(SpecError, match=words) as refused:
        Loop(**spec(share, size, workflow={"initial_size": 20}))
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("probabilities", [[1.5, -0.5], [0.5, 0.5 + 1e-6], [0.5, float("nan")]])
def test_a8_a_target_that_is_no_law_is_refused(probabilities):
    with pytest.raises(SpecError, match=r"data\.probabilities"):
        Loop(**spec(0.5, 20, data={"kind": "categorical", "probabilities": probabilities}))


@pytest.mark.parametrize(
    ("keys", "V"),
    [
        (spec(0, 20), "squared_error 0.87668"),
        (spec({"constant": 0}, {"constant": 20}), "squared_error 0.87668"),
        (
            spec(0, 20, data={"kind": "gaussian", "dim": 2, "cov": 3}, learner="gaussian", metrics=[]),
            "squared_mean_error 6",
        ),
        (spec(0, 20, data={"kind": "bigram", "rows": [[0.5, 0.5]]}, learner="bigram"), "squared_error 0.5"),
    ],
    ids=["zero", "constant zero", "gaussian", "bigram"],
)
def test_a8_a_loop_bound_for_total_collapse_runs_and_warns_with_v(keys, V):
    found = run({**keys, "replicates": 3, "generations": 4})
    assert found.status == "completed"
    assert [w for w in found.warnings if f"the limit is total collapse, {V}" in w] == found.warnings


@pytest.mark.parametrize("keys", [spec(0.1, 20), spec(0, power(20, 2)), spec(power(1, -1), 20)])
def test_a8_no_warning_where_the_limit_is_another(keys):
    assert Loop(**keys).warnings == []
