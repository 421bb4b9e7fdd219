"""A course from a run's metric table."""

import numpy as np
import polars as pl
import pytest

from autophage.errors import DataError, SpecError
from autophage.verdicts import from_table, judge


def table(metrics, replicates=4, generations=6, agent="main"):
    """Rows of metrics given as name to a function of (generation, replicate)."""
    return [
        (g, r, agent, name, float(value(g, r)))
        for r in range(replicates)
        for g in range(generations)
        for name, value in metrics.items()
    ]


def frame(rows):
    return pl.DataFrame(rows, schema=["generation", "replicate", "agent", "metric", "value"], orient="row")


def test_arrays_have_replicates_first():
    rows = table({"excess_risk": lambda g, r: 10 * r + g + 1})
    for given in (
        frame(rows),
        rows,
        frame(rows).sample(fraction=1, shuffle=True, seed=1),
        frame(rows).to_dicts(),
    ):
        course = from_table(given)
        assert course.risk.tolist() == [[10 * r + g + 1 for g in range(6)] for r in range(4)]
        assert course.generations.tolist() == list(range(6))
        assert course.risk_name == "excess_risk" and course.risk_zero


@pytest.mark.parametrize(
    "names, want",
    [
        (["wasserstein", "frechet_pixels", "log_likelihood", "squared_error", "excess_risk"], "excess_risk"),
        (["wasserstein", "frechet_pixels", "log_likelihood", "squared_error"], "squared_error"),
        (["frechet_model", "log_likelihood", "variance"], "frechet_model"),
        (["wasserstein", "frechet_pixels", "log_likelihood"], "negative log_likelihood"),
        (["wasserstein", "frechet_pixels"], "frechet_pixels"),
        (["wasserstein", "sliced_wasserstein_p128"], "wasserstein"),
        (["sliced_wasserstein_p128", "recall_k3"], "sliced_wasserstein_p128"),
        (["recall_k3", "variance"], None),
    ],
)
def test_default_risk(names, want):
    course = from_table(table({n: lambda g, r: 1 + g for n in names}))
    assert course.risk_name == (want or "risk")
    assert (course.risk is None) == (want is None)
    if want == "negative log_likelihood":
        assert course.risk[0, 1] == -2 and not course.risk_zero


def test_settings_choose():
    rows = table(
        {"recall_k3": lambda g, r: 1 / (1 + g), "vendi_q1": lambda g, r: 2.0, "wasserstein": lambda g, r: 1.0}
    )
    course = from_table(rows, {"risk": "-recall_k3", "diversity": "vendi_q1", "trivial": 0.5})
    assert course.risk[0, 1] == -0.5 and list(course.diversity) == ["vendi_q1"] and course.trivial == 0.5
    assert list(from_table(rows).diversity) == ["vendi_q1"]
    assert list(from_table(rows, {"risk": None, "diversity": ["wasserstein", "vendi_q1"]}).diversity) == [
        "wasserstein",
        "vendi_q1",
    ]
    for settings, said in (
        ({"risk": "risky"}, "'risky', which was not measured"),
        ({"diversity": "entropy"}, "'entropy', which was not measured"),
        ({"rsk": "wasserstein"}, "no key 'rsk'"),
    ):
        with pytest.raises(SpecError, match=said):
            from_table(rows, settings)


def test_every_definition_finds_its_rows():
    course = from_table(
        table(
            {
                "gini": lambda g, r: 0.9,
                "entropy": lambda g, r: 2.0,
                "mode_overlap": lambda g, r: 0.1,
                "valley_share_real_pca": lambda g, r: 0.01,
                "valley_share_pca": lambda g, r: 0.02,
                "tail_coverage_5": lambda g, r: 1.0,
                "tail_mass_ratio": lambda g, r: 1.1,
                "outside_support": lambda g, r: 0.0,
            }
        )
    )
    assert set(course.diversity) == {"gini", "entropy"}
    assert course.modes["overlap"][0, 0] == 0.1 and course.modes["valley_real"] == pytest.approx(0.01)
    assert course.modes["valley_share"][0, 0] == 0.02
    assert course.tail["coverage"].shape == (4, 6) and course.tail["mass_ratio"][0, 0] == 1.1
    assert course.outside.shape == (4, 6)
    profile = judge(course)
    assert [profile[d].verdict for d in ("D5", "D6", "D7", "D8")] == ["no", "no", "no", "no"]


def test_missing_metrics_leave_their_definitions_undecided():
    profile = judge(from_table(table({"excess_risk": lambda g, r: 1 + g + 0.01 * r})))
    assert [profile[d].verdict for d in ("D4", "D5", "D6", "D7", "D8")] == ["undecided"] * 5
    assert profile["D7"].evidence == ("No tail metric was measured; add `tail_coverage` to metrics.",)


def test_failed_replicates_are_left_out_and_counted():
    rows = [
        row
        for row in table({"excess_risk": lambda g, r: 1 + g}, replicates=5)
        if not (row[1] in (1, 3) and row[0] > 2)
    ]
    course = from_table(rows)
    assert course.risk.shape == (3, 6)
    assert course.notes[0].startswith("2 of 5 replicates ended before generation 5")
    assert judge(course).notes == course.notes


def test_an_undefined_value_costs_a_metric_its_replicate_but_the_risk_the_course():
    rows = table(
        {"excess_risk": lambda g, r: 1 + g, "mode_overlap": lambda g, r: np.nan if (g, r) == (3, 2) else 0.1}
    )
    course = from_table(rows)
    assert course.modes["overlap"].shape == (3, 6) and course.risk.shape == (4, 6)
    assert "mode_overlap is undefined somewhere in 1 replicate" in course.notes[0]
    with pytest.raises(DataError, match="excess_risk contains NaN"):
        from_table(table({"excess_risk": lambda g, r: np.nan if g == 3 else 1.0}))


def test_a_metric_measured_now_and_then_is_not_judged():
    rows = table({"excess_risk": lambda g, r: 1 + g}) + [
        row for row in table({"tail_coverage": lambda g, r: 1.0}) if row[0] % 2 == 0
    ]
    course = from_table(rows)
    assert "coverage" not in course.tail
    assert any("tail_coverage was not measured in every generation" in n for n in course.notes)


def test_one_agent_at_a_time():
    rows = table({"excess_risk": lambda g, r: 1 + g}) + table(
        {"excess_risk": lambda g, r: 2.0}, agent="other"
    )
    with pytest.raises(SpecError, match="several agents \\(main, other\\)"):
        from_table(rows)
    assert from_table(rows, agent="other").risk.max() == 2
    with pytest.raises(SpecError, match="no agent 'third'"):
        from_table(rows, agent="third")


def test_tables_that_hold_no_course():
    rows = table({"excess_risk": lambda g, r: 1 + g})
    with pytest.raises(DataError, match="empty"):
        from_table([])
    with pytest.raises(DataError, match="lacks the column value"):
        from_table(frame(rows).drop("value"))
    with pytest.raises(DataError, match="more than once"):
        from_table(rows + rows[:1])
    with pytest.raises(DataError, match="three generations"):
        from_table(table({"excess_risk": lambda g, r: 1.0}, generations=2))
