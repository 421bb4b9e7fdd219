from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from autophage.parts import Prediction
from autophage.report import courses
from autophage.report.labels import labels


def one(page, arm, table, value, predictions=(), name="loss", **more):
    [chart] = courses.charts(page(arm(metrics=table({name: value}), predictions=predictions, **more)))
    return chart


def test_few_replicates_keep_their_lines_and_get_a_student_interval(page, arm, table):
    value = np.random.default_rng(1).normal(3, 0.2, (5, 4))
    chart = one(page, arm, table, value)
    [course] = chart.series
    low, high = stats.t.interval(0.95, 4, value.mean(axis=0), stats.sem(value, axis=0))
    np.testing.assert_allclose(course.centre, value.mean(axis=0))
    np.testing.assert_allclose([course.low, course.high], [low, high])
    np.testing.assert_array_equal(course.lines, value)
    assert course.inner is None and chart.centre == "mean" and not chart.log


def test_many_replicates_become_quantiles(page, arm, table):
    value = np.random.default_rng(1).normal(3, 0.2, (400, 4))
    [course] = one(page, arm, table, value).series
    np.testing.assert_allclose([course.low, course.high], np.quantile(value, [0.025, 0.975], axis=0))
    np.testing.assert_allclose(course.inner, np.quantile(value, [0.25, 0.75], axis=0))
    np.testing.assert_allclose(course.median, np.median(value, axis=0))
    assert course.lines is None


def test_one_replicate_shows_the_interval_of_its_measurements(page, arm, table):
    frame = table({"loss": np.array([[1.0, 2.0, 3.0]])}).with_columns(
        low=pl.col("value") - 0.5, high=pl.col("value") + 0.25
    )
    [chart] = courses.charts(page(arm(metrics=frame, predictions=())))
    np.testing.assert_array_equal(chart.series[0].low, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(chart.series[0].high, [1.25, 2.25, 3.25])
    assert "interval of the measurement" in chart.band


@pytest.mark.parametrize("top, log", [(90.0, False), (110.0, True)])
def test_log_scale_from_two_decades_on(page, arm, table, top, log):
    assert one(page, arm, table, np.array([[1.0, 10.0, top]])).log is log


def test_no_log_scale_for_negative_values(page, arm, table):
    assert not one(page, arm, table, np.array([[-1e-6, 1.0, 1e6]])).log


def test_zeros_of_absorbed_replicates_do_not_forbid_the_log_scale(page, arm, table):
    value = np.exp(-np.arange(8.0)) * np.ones((5, 1))
    value[0, 5:] = 0.0
    chart = one(page, arm, table, value)
    assert chart.log and chart.domain[0] > 0 and chart.centre == "median"


def test_geometric_mean_on_a_log_scale(page, arm, table):
    value = np.exp(np.random.default_rng(0).normal(-np.arange(6.0), 0.3, (4, 6)))
    chart = one(page, arm, table, value)
    assert chart.centre == "geometric mean"
    np.testing.assert_allclose(chart.series[0].centre, stats.gmean(value, axis=0))


@pytest.mark.parametrize(
    "quantity, centre", [("mean", "mean"), ("median", "median"), ("mean_log", "geometric mean")]
)
def test_the_drawn_statistic_is_the_predicted_one(page, arm, table, quantity, centre):
    predicted = np.full(4, 1.1)
    claimed = np.log(predicted) if quantity == "mean_log" else predicted
    prediction = Prediction("loss", claimed, "exact", "s", "t", quantity=quantity)
    chart = one(page, arm, table, np.full((20, 4), 1.1), [prediction])
    assert chart.centre == centre
    [curve] = chart.curves
    assert curve.label == "exact"
    np.testing.assert_allclose(curve.value, predicted)


def test_values_that_are_not_finite_are_counted_and_left_out(page, arm, table):
    value = np.ones((3, 4))
    value[0, 1], value[1, 2], value[2, :] = np.inf, np.nan, -np.inf
    chart = one(page, arm, table, value)
    assert chart.remarks == ("6 values are not finite and are left out.",)
    np.testing.assert_array_equal(chart.series[0].count, [2, 1, 1, 2])
    np.testing.assert_array_equal(chart.series[0].centre, 1.0)
    assert np.isnan(chart.series[0].low[1])  # a single replicate has no interval


def test_a_metric_without_a_finite_value_has_no_chart(page, arm, table):
    frame = table({"loss": np.full((2, 3), np.nan), "variance": np.ones((2, 3))})
    assert [c.metric for c in courses.charts(page(arm(metrics=frame, predictions=())))] == ["variance"]


def test_failed_replicates_may_stop_early(page, arm, table):
    frame = table({"loss": np.ones((3, 5))}).filter((pl.col("replicate") < 2) | (pl.col("generation") < 2))
    [chart] = courses.charts(page(arm(metrics=frame, predictions=())))
    np.testing.assert_array_equal(chart.series[0].count, [3, 3, 2, 2, 2])


def test_risk_comes_first_and_the_real_share_last(page, arm, table):
    names = [
        "real_share",
        "my_metric",
        "variance",
        "precision_k3",
        "wasserstein",
        "frechet_model",
        "excess_risk",
    ]
    found = courses.charts(page(arm(metrics=table({n: np.ones((2, 2)) for n in names}), predictions=())))
    assert [c.metric for c in found] == [
        "excess_risk",
        "frechet_model",
        "wasserstein",
        "precision_k3",
        "variance",
        "my_metric",
        "real_share",
    ]


def test_long_runs_are_thinned_but_keep_their_ends(page, arm, table):
    [course] = one(page, arm, table, np.arange(5000.0)[None]).series
    assert len(course.generation) == courses.MOST_GENERATIONS
    assert course.generation[[0, -1]].tolist() == [0, 4999]
    np.testing.assert_array_equal(course.centre, course.generation)


def test_arms_and_agents_share_a_chart_and_keep_their_colours(page, arm, table):
    both = pl.concat([table({"loss": np.ones((2, 3))}, agent=a) for a in ("teacher", "student")])
    shown = page(arm("a", metrics=both), arm("b", metrics=table({"loss": np.ones((2, 3))}), predictions=()))
    assert [k.label for k in courses.keys(shown)] == ["a · student", "a · teacher", "b"]
    [chart] = courses.charts(shown)
    assert [(s.key, s.label) for s in chart.series] == [(0, "a · student"), (1, "a · teacher"), (2, "b")]


def test_theory_is_cut_to_the_measured_generations_and_limits_are_level(page, arm, table):
    predictions = [
        Prediction("loss", np.arange(50.0), "asymptotic", "s", "t"),
        Prediction("loss", np.array([4.0]), "bound", "s", "t", quantity="limit", side="upper"),
        Prediction("loss", np.array([0.3]), "exact", "s", "t", quantity="probability"),
    ]
    chart = one(page, arm, table, np.arange(6.0) * np.ones((3, 1)), predictions)
    course, limit = chart.curves
    np.testing.assert_array_equal(course.value, np.arange(6.0))
    np.testing.assert_array_equal(limit.value, np.full(6, 4.0))
    assert limit.side == "upper" and limit.label == "upper bound limit"


def test_a_distant_bound_is_said_and_does_not_squeeze_the_data(page, arm, table):
    value = np.linspace(1, 2, 6) * np.ones((3, 1))
    chart = one(
        page, arm, table, value, [Prediction("loss", np.full(6, 1e4), "bound", "s", "t", side="upper")]
    )
    assert chart.curves == () and chart.domain[1] < 3
    assert chart.remarks == ("Upper bound runs above this view: 10000.",)


def test_names_of_curves_stay_inside_and_apart(page, arm, table):
    g = np.arange(10.0)
    predictions = [
        Prediction("loss", 1 + 0.2 * g, "exact", "s", "t"),
        Prediction("loss", 1 + 0.22 * g, "asymptotic", "s", "t"),
        Prediction("loss", 1 + 0.3 * g, "bound", "s", "t", side="upper"),
    ]
    chart = one(page, arm, table, (1 + 0.2 * g) * np.ones((3, 1)), predictions)
    placed = labels(chart)
    assert [p.text for p in placed] == ["exact", "asymptotic", "upper bound"]
    heights = sorted((p.value - chart.domain[0]) / (chart.domain[1] - chart.domain[0]) for p in placed)
    assert heights[0] > 0 and heights[-1] < 1
    for a in placed:
        for b in placed:
            apart_x = abs(a.generation - b.generation) / 9 >= 0.021 * (len(a.text) + len(b.text)) / 2
            apart_y = abs(a.value - b.value) / (chart.domain[1] - chart.domain[0]) > 0.062
            assert a is b or apart_x or apart_y


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_a_constant_course_has_a_domain(page, arm, table, value):
    low, high = one(page, arm, table, np.full((3, 4), value)).domain
    assert low <= value < high


def test_an_interval_of_the_mean_stays_positive_on_a_log_scale(page, arm, table):
    value = np.array([[1.0, 30.0], [1.0, 0.01], [1.0, 2.0]])
    chart = one(page, arm, table, value, [Prediction("loss", np.ones(2), "exact", "s", "t")])
    [course] = chart.series
    assert chart.log and chart.centre == "mean"
    assert (course.low > 0).all() and course.low[1] < course.centre[1] < course.high[1]
    half = stats.t.ppf(0.975, 2) * stats.sem(value[:, 1])
    np.testing.assert_allclose(np.log(course.high[1] / course.centre[1]), half / value[:, 1].mean())
