"""One recommended next action."""

import json
from dataclasses import replace

import numpy as np
import pytest

from autophage.verdicts import Course, Setting, advice, judge


@pytest.fixture(scope="module")
def collapse():
    rng = np.random.default_rng(0)
    risk = 1 + np.arange(11) + rng.normal(0, 0.01, (5, 11))
    profile = judge(Course(generations=np.arange(11), risk=risk, trivial=5.0))
    assert profile.collapsed
    return profile


@pytest.fixture(scope="module")
def calm():
    rng = np.random.default_rng(1)
    flat = 1 + rng.normal(0, 1e-4, (40, 31)) - 1e-4 * np.arange(31)
    return judge(
        Course(
            generations=np.arange(31),
            risk=flat,
            trivial=5.0,
            bounds="Bounded.",
            diversity={"variance": flat},
            tail={"coverage": flat},
            outside=np.zeros((40, 31)),
        )
    )


@pytest.mark.parametrize("setting", [Setting(workflow="replace"), Setting(workflow="window")])
def test_without_real_data_keep_them(collapse, setting):
    found = advice(collapse, setting)
    assert found.change == {"workflow": {"kind": "mix", "synthetic_ratio": 0.5}}
    assert "1.25 times" in found.expected and "0.333" in found.expected  # 1 + .5/2 and .5/1.5
    assert json.dumps(found.to_dict())


def test_statements_about_plain_loops_are_not_made_of_curated_ones(collapse):
    plain, curated = (advice(collapse, Setting(workflow="replace", curated=c)) for c in (False, True))
    assert curated.change == plain.change and curated.sentence == plain.sentence
    assert "Bertrand" in plain.expected and "Bertrand" not in curated.expected
    assert "curated" in curated.expected


def test_a_biased_sampler_is_named(collapse):
    both = advice(collapse, Setting(workflow="replace", sampling_bias=0.8))
    assert both.change == {"workflow": {"kind": "mix", "synthetic_ratio": 0.5}, "sampling": {"bias": 1.0}}
    alone = advice(collapse, Setting(workflow="mix", synthetic_ratio=1.0, sampling_bias=0.8))
    assert alone.change == {"sampling": {"bias": 1.0}}
    assert "83 %" in alone.expected  # 0.5 / (1 - 0.5 * 0.8)
    hot = advice(collapse, Setting(workflow="accumulate", temperature=1.3))
    assert hot.change == {"sampling": {"temperature": 1.0}} and "uniform" in hot.expected
    cold = advice(collapse, Setting(workflow="window", keep_real=True, temperature=0.7))
    assert "a few outcomes" in cold.expected


def test_more_real_data_where_there_are_too_few(collapse):
    fresh = advice(collapse, Setting(workflow="fresh", real_share=0.1))
    assert fresh.change == {"workflow": {"real_share": 0.3}}
    assert "1.96 times" in fresh.expected and "5.26 times" in fresh.expected  # 1/(2a - a^2)
    assert advice(collapse, Setting(workflow="fresh", real_share=0.6)).change == {
        "workflow": {"real_share": 0.8}
    }
    assert advice(collapse, Setting(workflow="fresh")).change == {"workflow": {"real_share": 0.3}}
    for ratio, want in ((4.0, 0.5), (0.4, 0.2), (None, 0.5)):
        found = advice(collapse, Setting(workflow="mix", synthetic_ratio=ratio))
        assert found.change["workflow"]["synthetic_ratio"] == want
    assert advice(collapse, Setting(workflow="accumulate_subsample")).change == {
        "workflow": {"kind": "accumulate"}
    }
    for kind in ("keep_real", "accumulate", "command"):
        assert advice(collapse, Setting(workflow=kind, real_share=0.1)).change["workflow"]["kind"] == "mix"


def test_undecided_asks_for_what_would_decide():
    rng = np.random.default_rng(2)
    single = judge(Course(generations=np.arange(5), risk=1 + rng.normal(0, 0.1, (1, 5))))
    assert advice(single, Setting(replicates=1, generations=5)).change == {"replicates": 3}
    noise = np.ones((4, 5))
    noise[:, -1] += [0.3, -0.2, 0.2, -0.1]
    noisy = judge(Course(generations=np.arange(5), risk=noise, trivial=3.0))
    found = advice(noisy, Setting(replicates=4, generations=5))
    assert found.change["replicates"] > 4 and str(found.change["replicates"]) in found.sentence
    short = judge(Course(generations=np.arange(5), risk=1 + rng.normal(0, 1e-5, (4, 5)), trivial=3.0))
    assert short["D2"].verdict == "no" and short["D3"].verdict == "undecided"
    assert advice(short, Setting(replicates=4, generations=5)).change == {"generations": 9}
    flat = judge(Course(generations=np.arange(5), risk=np.ones((4, 5)), trivial=3.0, bounds="Bounded."))
    missing = advice(flat, Setting(workflow="accumulate", replicates=4, generations=5))
    assert missing.sentence.startswith("Add `variance` to metrics: D5")


def test_no_collapse_looks_further(calm):
    assert not calm.collapsed and calm["D2"].verdict == "no"
    assert advice(calm, Setting(workflow="mix", replicates=40, generations=31)).change == {"generations": 62}


def test_a_bounded_rise_may_be_bought_off(calm):
    risen = replace(
        calm, verdicts=tuple(replace(v, verdict="yes") if v.definition == "D2" else v for v in calm.verdicts)
    )
    found = advice(risen, Setting(workflow="accumulate", unlimited=True, replicates=40, generations=31))
    assert found.change["workflow"]["kind"] == "fresh"
    assert advice(risen, Setting(workflow="accumulate", replicates=40, generations=31)).change == {
        "generations": 62
    }


def test_a_failed_run_is_to_be_mended():
    failed = judge(Course(generations=np.arange(5)), status="failed")
    assert "manifest" in advice(failed, Setting()).sentence and not advice(failed, Setting()).change
