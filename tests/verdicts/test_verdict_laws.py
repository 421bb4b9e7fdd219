"""What must hold of every verdict, whatever the course."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from autophage.errors import DataError, SpecError
from autophage.verdicts import Course, Profile, Thresholds, judge
from autophage.verdicts.intervals import (
    increase_test,
    late_slopes,
    mean_interval,
    median_interval,
    ratio_interval,
    typical_ratio,
)

DEFINITIONS = [f"D{i}" for i in range(1, 9)]


def full(seeds=6, generations=20, seed=0, **changes):
    """A course that decides every definition."""
    rng = np.random.default_rng(seed)
    g = np.arange(generations + 1)
    noise = rng.normal(0, 0.01, (seeds, generations + 1))
    sizes = np.geomspace(100, 10000, 6)
    scatter = np.exp(rng.normal(0, 0.01, (2, seeds, 6)))
    given = {
        "generations": g,
        "risk": 1 + 0.1 * g + noise,
        "trivial": 4.0,
        "diversity": {"variance": np.exp(-0.3 * g + noise)},
        "modes": {
            "overlap": np.clip(0.05 + 0.03 * g + noise, 0, 1),
            "valley_share": np.clip(0.01 + 0.01 * g + noise / 100, 0, 1),
            "valley_real": 0.01,
        },
        "tail": {"coverage": np.exp(-0.2 * g + noise), "mass_ratio": np.exp(-0.1 * g + noise)},
        "outside": np.clip(0.01 * g + np.abs(noise) / 10, 0, 1),
        "scaling": {
            "sizes": sizes,
            "real": 10 / sizes * scatter[0],
            "mixed": (10 / sizes + 0.2) * scatter[1],
        },
    }
    return Course(**{**given, **changes})


def test_a_course_can_decide_everything():
    profile = judge(full())
    assert profile.having("yes") == DEFINITIONS
    assert profile.collapsed and "undecided" not in profile.sentence()


MISSING = {
    "risk": (["D1", "D2", "D3"], {"risk": None}),
    "trivial": (["D1"], {"trivial": None, "risk_zero": False}),
    "trivial below the start": (["D1"], {"trivial": 0.5}),
    "trivial at the start": (["D1"], {"trivial": 1.0, "risk": np.ones((6, 21))}),
    "diversity": (["D5"], {"diversity": {}}),
    "modes": (["D6"], {"modes": None}),
    "overlap": (["D6"], {"modes": {"valley_share": np.full((6, 21), 0.1), "valley_real": 0.01}}),
    "tail": (["D7"], {"tail": None}),
    "outside": (["D8"], {"outside": None}),
    "scaling": (["D4"], {"scaling": None}),
}


@pytest.mark.parametrize("what", MISSING)
def test_undecided_without_its_measurement(what):
    definitions, changes = MISSING[what]
    profile = judge(full(**changes))
    for d in definitions:
        assert profile[d].verdict == "undecided"
        assert profile[d].evidence


def test_an_empty_course_is_undecided_throughout():
    profile = judge(Course(generations=np.arange(5)))
    assert profile.having("undecided") == DEFINITIONS
    assert all(v.needs for v in profile.verdicts)
    assert "`tail_coverage`" in profile["D7"].evidence[0]
    assert profile.sentence().startswith("Undecided after 4 generations")


@pytest.mark.parametrize("seeds", [1, 2])
def test_undecided_with_too_few_replicates(seeds):
    profile = judge(full(seeds=seeds))
    for d in set(DEFINITIONS) - {"D2"}:
        assert profile[d].verdict == "undecided"
        assert profile[d].needs == {"replicates": 3}
    assert judge(full(seeds=1))["D2"].verdict == "undecided"


def test_too_few_replicates_never_say_no():
    flat = np.random.default_rng(1).normal(1, 1e-6, (2, 21))
    still = full(
        seeds=2, risk=flat, diversity={"variance": flat}, outside=np.zeros((2, 21)), tail={"coverage": flat}
    )
    assert set(judge(still).having("no")) <= {"D2"}


def test_divergence_needs_eight_generations():
    rng = np.random.default_rng(2)
    for points, want in ((7, "undecided"), (8, "yes")):
        g = np.arange(points + 1)
        found = judge(Course(generations=g, risk=1 + g + rng.normal(0, 0.01, (8, points + 1))))["D3"]
        assert found.verdict == want
    assert found.needs == {}


def test_a_theorem_does_not_stand_in_for_a_risk():
    assert judge(Course(generations=np.arange(20), bounds="A theorem."))["D3"].verdict == "undecided"


@pytest.mark.parametrize("points, decades", [(4, 2.0), (6, 1.0)])
def test_scaling_needs_sizes_and_decades(points, decades):
    sizes = np.geomspace(100, 100 * 10**decades, points)
    curves = np.tile(10 / sizes, (5, 1))
    scaling = {"sizes": sizes, "real": curves, "mixed": curves + 1}
    assert judge(full(scaling=scaling))["D4"].verdict == "undecided"


def test_scaling_needs_a_law_to_change():
    sizes = np.geomspace(100, 10000, 6)
    flat = np.random.default_rng(3).normal(1, 0.01, (5, 6))
    assert judge(full(scaling={"sizes": sizes, "real": flat, "mixed": flat + 1}))["D4"].verdict == "undecided"


def test_the_order_of_replicates_does_not_matter():
    rng = np.random.default_rng(4)
    course = full(seeds=9)
    order = rng.permutation(9)

    def shuffled(block):
        return {k: v[order] if isinstance(v, np.ndarray) and v.ndim == 2 else v for k, v in block.items()}

    other = Course(
        generations=course.generations,
        risk=course.risk[order],
        trivial=course.trivial,
        diversity=shuffled(course.diversity),
        modes=shuffled(course.modes),
        tail=shuffled(course.tail),
        outside=course.outside[order],
        scaling=shuffled(course.scaling),
    )
    for a, b in zip(judge(course).verdicts, judge(other).verdicts, strict=True):
        assert (a.verdict, a.needs) == (b.verdict, b.needs)
        assert a.effect == pytest.approx(b.effect, rel=1e-9)
        assert a.ci95 == pytest.approx(b.ci95, rel=1e-6)


def test_verdicts_do_not_depend_on_the_unit_of_risk():
    one, other = full(), full()
    big = Course(generations=other.generations, risk=1000 * other.risk, trivial=1000 * other.trivial)
    for d in ("D1", "D2", "D3"):
        assert judge(one)[d].verdict == judge(big)[d].verdict
    assert judge(one)["D1"].effect == pytest.approx(judge(big)["D1"].effect)


def test_a_log_likelihood_may_be_negative_and_be_shifted():
    """Scores of densities have no zero: a shift must change nothing, and no ratio may be taken."""
    base = full()
    found = []
    for shift in (0.0, -3.0, 50.0):
        course = Course(
            generations=base.generations,
            risk=base.risk + shift,
            trivial=base.trivial + shift,
            risk_name="negative log_likelihood",
            risk_zero=False,
        )
        found.append(judge(course))
    for d in ("D1", "D2", "D3"):
        assert len({p[d].verdict for p in found}) == 1
    assert "ratio" not in found[0]["D1"].details
    assert any("no meaningful zero" in s for s in found[0]["D1"].evidence)
    negative = judge(Course(generations=base.generations, risk=base.risk - 1.5, trivial=base.trivial - 1.5))
    assert "ratio" not in negative["D1"].details


def test_without_a_trivial_baseline_the_ratio_may_say_yes_but_nothing_no():
    rising, flat = (
        full(trivial=None),
        full(trivial=None, risk=1 + 1e-3 * np.random.default_rng(5).random((6, 21))),
    )
    assert judge(rising)["D1"].verdict == "yes"
    found = judge(flat)["D1"]
    assert found.verdict == "undecided" and found.needs == {"metric": "verdict.trivial"}


def test_equivalence_bound_of_d2():
    rng = np.random.default_rng(6)
    exact = rng.normal(0, 1e-4, (20, 11)) + 1
    exact[:, -1] -= 2e-4
    assert judge(Course(generations=np.arange(11), risk=exact))["D2"].verdict == "no"
    vague = rng.normal(0, 0.2, (4, 11)) + 1
    vague[:, -1] = vague[:, 0] + [0.1, -0.1, 0.2, -0.2]
    found = judge(Course(generations=np.arange(11), risk=vague))["D2"]
    assert found.verdict == "undecided" and found.needs["replicates"] > 4
    wide = Thresholds(equivalence=0.9)
    assert judge(Course(generations=np.arange(11), risk=vague), wide)["D2"].verdict == "no"
    same = judge(Course(generations=np.arange(11), risk=np.ones((3, 11))))["D2"]
    assert same.verdict == "no" and same.effect == 0


def test_thresholds_are_echoed_and_obeyed():
    course = full()
    assert judge(course)["D1"].threshold == {"share": 0.5, "ratio": 2.0}
    strict = Thresholds(catastrophic_share=0.9, catastrophic_ratio=10)
    assert judge(course, strict)["D1"].verdict == "no"
    assert judge(course, strict)["D1"].threshold == {"share": 0.9, "ratio": 10}
    assert judge(course, Thresholds(increase=5.0))["D2"].verdict != "yes"
    with pytest.raises(SpecError, match="catastrophic_share is nan"):
        Thresholds(catastrophic_share=float("nan"))
    with pytest.raises(SpecError, match="collapsed"):
        Thresholds(collapsed=1.5)


@pytest.mark.parametrize("seeds", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("walk", [False, True])
def test_flat_courses_rarely_seem_to_rise(seeds, walk):
    """D2's false positives on courses without a trend, independent or a random walk: 5 % (4 standard
    errors)."""
    repeats, rng = 600, np.random.default_rng(seeds)
    steps = rng.normal(0, 1, (repeats, seeds, 4))
    risks = 10 + (steps.cumsum(2) if walk else steps)
    yes = sum(judge_d2(r) for r in risks) / repeats
    assert yes <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / repeats)
    assert yes >= (1 / 2**seeds if 5 <= seeds <= 8 else 0.05) - 4 * np.sqrt(0.05 * 0.95 / repeats)


def judge_d2(risk):
    from autophage.verdicts.any_increase import any_increase

    return (
        any_increase(Course(generations=np.arange(risk.shape[1]), risk=risk), Thresholds()).verdict == "yes"
    )


@pytest.mark.parametrize("regime, wrong", [("replace", "no"), ("accumulate", "yes")])
def test_divergence_is_seldom_wrong(regression, regime, wrong):
    """With five replicates D3 may stay undecided; the wrong answer must be rare though the noise is a
    random walk."""
    repeats = 80
    found = [
        judge(Course(generations=np.arange(16), risk=regression(regime, 5, 15, 20, seed=s)))["D3"].verdict
        for s in range(repeats)
    ]
    assert found.count(wrong) <= repeats * 0.05
    assert found.count("undecided") < repeats


def test_infinite_risk():
    risk = 1 + 0.1 * np.arange(12) + np.random.default_rng(7).normal(0, 0.01, (4, 12))
    risk[2, 6:] = np.inf
    profile = judge(Course(generations=np.arange(12), risk=risk, risk_name="kl", trivial=5.0))
    assert profile["D1"].verdict == "yes" and profile["D1"].effect == "infinite"
    assert profile["D2"].verdict == "yes" and profile["D2"].effect == "infinite"
    assert profile["D3"].verdict == "undecided" and "no law of growth" in profile["D3"].evidence[0]
    json.dumps(profile.to_dict(), allow_nan=False)
    risk[2] = np.inf
    start = judge(Course(generations=np.arange(12), risk=risk, risk_name="negative log_likelihood"))
    assert start["D1"].verdict == start["D2"].verdict == "undecided"


BAD = {
    "fewer": {"generations": [0, 1], "risk": [[1, 2]]},
    "must increase": {"generations": [0, 2, 1], "risk": [[1, 2, 3]]},
    "generation 0": {"generations": [1, 2, 3], "risk": [[1, 2, 3]]},
    "no replicate": {"generations": [0, 1, 2], "risk": np.empty((0, 3))},
    "NaN": {"generations": [0, 1, 2], "risk": [[1, np.nan, 3]]},
    "infinity": {"generations": [0, 1, 2], "risk": [[1, np.inf, 3]], "risk_name": "excess_risk"},
    "minus infinity": {"generations": [0, 1, 2], "risk": [[1, -np.inf, 3]], "risk_name": "kl"},
    "negative values": {"generations": [0, 1, 2], "diversity": {"variance": [[1, 0.5, -0.1]]}},
    "not finite": {"generations": [0, 1, 2], "diversity": {"variance": [[1, 0.5, np.nan]]}},
    r"shape \(replicates, 3\)": {"generations": [0, 1, 2], "risk": [[1, 2]]},
    "different evaluation sets": {"generations": [0, 1, 2], "evaluation_sets": ["a", "a", "b"]},
    r"outside \[0, 1\]": {"generations": [0, 1, 2], "outside": [[0, 0.5, 1.1]]},
    r"modes overlap has values outside": {"generations": [0, 1, 2], "modes": {"overlap": [[0, 0.5, 1.1]]}},
    r"valley_real has values outside": {"generations": [0, 1, 2], "modes": {"valley_real": np.nan}},
    "no entry 'overlaps'": {"generations": [0, 1, 2], "modes": {"overlaps": [[0, 0.5, 1]]}},
    "coverage has negative": {"generations": [0, 1, 2], "tail": {"coverage": [[0, 0.5, -1]]}},
    "trivial is": {"generations": [0, 1, 2], "trivial": np.inf},
    "sizes, real and mixed": {"generations": [0, 1, 2], "scaling": {"sizes": [1, 2]}},
    "same replicates": {
        "generations": [0, 1, 2],
        "scaling": {"sizes": [1, 2], "real": np.ones((2, 2)), "mixed": np.ones((3, 2))},
    },
    "sizes must be positive": {
        "generations": [0, 1, 2],
        "scaling": {"sizes": [2, 1], "real": np.ones((2, 2)), "mixed": np.ones((2, 2))},
    },
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_input_is_refused_with_a_reason(reason):
    with pytest.raises(DataError, match=reason):
        Course(**BAD[reason])


def test_the_profile_is_json_and_says_its_status():
    profile = judge(full(), status="stopped")
    content = json.loads(json.dumps(profile.to_dict(), allow_nan=False))
    assert content["status"] == "stopped" and content["sentence"].endswith("before its last generation.")
    assert [v["definition"] for v in content["verdicts"]] == DEFINITIONS
    assert all(v["name"] and v["evidence"] for v in content["verdicts"])
    single = judge(full(seeds=1)).to_dict()
    assert json.dumps(single, allow_nan=False)
    assert single["verdicts"][1]["ci95"] is None


def test_mild_findings_are_no_collapse():
    profile = judge(full())
    only = Profile(
        tuple(v if v.definition in ("D2", "D4") else replace(v, verdict="no") for v in profile.verdicts)
    )
    assert not only.collapsed
    assert only.sentence() == (
        "No collapse found after 20 generations, but risk rose measurably (D2), the scaling law changed (D4)."
    )
    assert any("neither catastrophically" in s for s in only.conflicts())


def test_several_diversities_are_judged_each():
    course = full()
    kept = np.ones((6, 21)) + np.random.default_rng(8).normal(0, 1e-3, (6, 21))
    both = judge(full(diversity={"token": kept, "document": course.diversity["variance"]}))["D5"]
    assert both.verdict == "yes" and both.effect < 0.1
    assert [s.split(":")[0] for s in both.evidence] == ["token", "document"]
    assert judge(full(diversity={"token": kept, "document": kept}))["D5"].verdict == "no"


def test_d5_looks_at_the_typical_replicate_not_the_mean():
    """An unbiased variance keeps its mean for ever while every replicate goes to zero."""
    logs = (np.random.default_rng(9).normal(-0.5, 1, (40, 60))).cumsum(1)
    variance = np.exp(np.concatenate([np.zeros((40, 1)), logs], axis=1))
    found = judge(Course(generations=np.arange(61), diversity={"variance": variance}))["D5"]
    assert found.verdict == "yes"
    dead = variance.copy()
    dead[:30, -1] = 0
    assert judge(Course(generations=np.arange(61), diversity={"variance": dead}))["D5"].verdict == "yes"
    dead[:, -1] = dead[:, 0]
    dead[:3, -1] = 0
    assert judge(Course(generations=np.arange(61), diversity={"variance": dead}))["D5"].verdict == "undecided"


@pytest.mark.parametrize("floor, want", [(0.0, "yes"), (0.6, "undecided")])
def test_shrinking_to_zero_and_to_a_floor(floor, want):
    rng = np.random.default_rng(10)
    g = np.arange(31)
    v = (floor + (1 - floor) * np.exp(-0.06 * g)) * np.exp(rng.normal(0, 0.01, (8, 31)))
    found = judge(Course(generations=g, diversity={"variance": v}))["D5"]
    assert found.verdict == want
    assert found.ci95[0] > Thresholds().collapsed


def test_one_dead_mode_is_no_entanglement():
    modes = {
        "overlap": np.full((5, 10), 0.02),
        "valley_share": np.full((5, 10), 0.001),
        "valley_real": 0.001,
    }
    assert judge(full(modes=modes, generations=9))["D6"].verdict == "no"
    unknown = {"overlap": np.full((5, 10), 0.02)}
    assert judge(full(modes=unknown, generations=9))["D6"].verdict == "undecided"


def test_tail_conflicts_and_sides():
    g = 9
    falling = np.linspace(1, 0.2, g + 1) + np.random.default_rng(11).normal(0, 0.01, (8, g + 1))
    assert judge(full(generations=g, tail={"coverage": falling}))["D7"].verdict == "yes"
    low = np.full((8, g + 1), 0.3)
    assert judge(full(generations=g, tail={"coverage": low}))["D7"].verdict == "undecided"
    heavy = np.ones((9, g + 1))
    heavy[:, -1] = [0.1] * 8 + [9]
    assert heavy[:, -1].mean() > 1
    assert judge(full(generations=g, tail={"mass_ratio": heavy}))["D7"].verdict == "yes"
    kept = judge(full(generations=g, tail={"mass_ratio": np.ones((9, g + 1))}))["D7"]
    assert kept.verdict == "undecided" and kept.needs == {"metric": "tail_coverage"}


def test_hallucination_lines():
    base = np.full((6, 10), 0.02)
    noise = np.random.default_rng(12).uniform(-0.001, 0.001, (6, 10))
    for last, want in ((0.02, "no"), (0.03, "no"), (0.2, "yes")):
        h = base + noise
        h[:, -1] += last - 0.02
        assert judge(full(generations=9, outside=h))["D8"].verdict == want
    h = base + noise
    h[:, -1] = 0.05 + np.array([-0.04, 0.04, -0.03, 0.03, -0.02, 0.01])
    assert judge(full(generations=9, outside=h))["D8"].verdict == "undecided"


def test_judging_is_fast():
    course = full(seeds=200, generations=100)
    judge(course)
    start = time.perf_counter()
    judge(course)
    assert time.perf_counter() - start < 0.5


def test_intervals_against_scipy():
    rng = np.random.default_rng(13)
    x = rng.normal(3, 1, 12)
    want = stats.t.interval(0.95, 11, loc=x.mean(), scale=stats.sem(x))
    assert mean_interval(x)[1] == pytest.approx(want)
    p, _ = increase_test(x - 2.5)
    assert p == pytest.approx(stats.ttest_1samp(x, 2.5, alternative="greater").pvalue)
    d = rng.normal(0.5, 1, 7)
    exact = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert increase_test(d)[0] == pytest.approx(exact.pvalue)
    middle, (low, high) = median_interval(x)
    assert middle == np.median(x) and (low, high) == (np.sort(x)[2], np.sort(x)[9])  # 96 % for n = 12
    line = 2 + 3 * np.arange(9.0)
    assert late_slopes(np.stack([line, -line]), np.arange(9.0)) == pytest.approx([3, -3])


def test_ratio_interval_covers():
    """Fieller's interval holds the ratio of the means 95 times in a hundred (4 standard errors)."""
    repeats, rng = 3000, np.random.default_rng(14)
    pairs = rng.multivariate_normal([3, 2], [[1, 0.6], [0.6, 0.5]], size=(repeats, 10))
    inside = 0
    for pair in pairs:
        _, (low, high) = ratio_interval(pair[:, 0], pair[:, 1])
        inside += low <= 1.5 <= high
    assert inside / repeats == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / repeats))
    assert ratio_interval(np.array([1.0, 2, 3]), np.array([-1.0, 1, 0.5]))[1] == (-np.inf, np.inf)
    ratio, around = typical_ratio(np.array([2.0, 8.0, 4.0]), np.array([1.0, 1.0, 1.0]))
    assert ratio == pytest.approx(4) and around[0] < 4 < around[1]
