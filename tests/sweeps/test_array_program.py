"""The array program draws from the law of the loop, whatever the learner, the workflow and the way it is cut up."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from autophage.runs.run import run
from autophage.sweeps.grid import axes_of
from autophage.sweeps.program import Program
from autophage.sweeps.sweep import sweep
from autophage.sweeps.tasks import TIMED, Work

R = 1200

GAUSSIAN = {
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "metrics": ["variance", "squared_mean_error"],
}
SYMBOLS = {
    "data": {"kind": "categorical", "zipf": {"symbols": 8, "exponent": 1}},
    "learner": {"kind": "categorical"},
    "metrics": ["gini", "squared_error", "support"],
}


def family(kind, **data):
    body = {
        "data": {"kind": kind, **data},
        "learner": {"kind": kind},
        "metrics": ["variance", "squared_mean_error"],
    }
    return {**body, "workflow": {"kind": "mix"}}, {
        "workflow.initial_size": [6, 20],
        "workflow.synthetic_ratio": [0.5, 2],
    }


CASES = {
    "gaussian mix": (
        {**GAUSSIAN, "workflow": {"kind": "mix"}},
        {"workflow.initial_size": [5, 20], "workflow.synthetic_ratio": [0, 0.5, 3]},
    ),
    "gaussian replace": (
        {**GAUSSIAN, "workflow": {"kind": "replace"}},
        {"workflow.sample_size": [4, 10, {"power": {"scale": 5, "exponent": 1}}]},
    ),
    "gaussian accumulate": (
        {**GAUSSIAN, "workflow": {"kind": "accumulate"}},
        {"workflow.sample_size": [4, 10], "workflow.initial_size": [5, 9]},
    ),
    "gaussian window": (
        {**GAUSSIAN, "workflow": {"kind": "window", "size": 2}},
        {"workflow.sample_size": [4, 10], "workflow.keep_real": [True, False]},
    ),
    "gaussian fresh": (
        {**GAUSSIAN, "workflow": {"kind": "fresh"}},
        {"workflow.sample_size": [5, 12], "workflow.real_share": [0, 0.3, 1]},
    ),
    "gaussian fresh exact": (
        {**GAUSSIAN, "workflow": {"kind": "fresh", "counts": "exact"}},
        {
            "workflow.sample_size": [5, 12],
            "workflow.real_share": [0.3, {"power": {"scale": 1, "exponent": -1}}],
        },
    ),
    "gaussian biased": (
        {
            **GAUSSIAN,
            "learner": {"kind": "gaussian", "ddof": 1},
            "sampling": {"bias": 0.8},
            "initial_model": {"mean": 1, "var": 2},
            "workflow": {"kind": "replace"},
        },
        {"workflow.sample_size": [5, 12]},
    ),
    "gaussian d = 3": (
        {
            **GAUSSIAN,
            "data": {"kind": "gaussian", "dim": 3},
            "metrics": ["variance", "log_det"],
            "workflow": {"kind": "mix"},
        },
        {"workflow.initial_size": [6, 20], "workflow.synthetic_ratio": [0.5, 2]},
    ),
    "gaussian d = 10": (
        {
            **GAUSSIAN,
            "data": {"kind": "gaussian", "dim": 10},
            "generations": 3,
            "workflow": {"kind": "replace"},
        },
        {"workflow.sample_size": [14, 30]},
    ),
    "categorical": (
        {**SYMBOLS, "workflow": {"kind": "fresh"}},
        {"workflow.sample_size": [4, 20], "workflow.real_share": [0, 0.4]},
    ),
    "poisson": family("poisson", rate=2.0),
    "bernoulli": family("bernoulli", probability=0.3),
    "exponential": family("exponential", mean=2.0),
    "learner settings": (
        {**GAUSSIAN, "workflow": {"kind": "mix"}},
        {"learner.ddof": [0, 1], "workflow.initial_size": [5, 20]},
    ),
    "several workflows": (
        {**GAUSSIAN, "workflow": {"kind": "replace"}},
        {"workflow.kind": ["replace", "accumulate"], "workflow.sample_size": [6]},
    ),
    "real data": (
        {
            "data": {"kind": "digits"},
            "learner": {"kind": "gaussian", "covariance": "diagonal"},
            "metrics": ["variance"],
            "generations": 3,
            "workflow": {"kind": "mix"},
        },
        {"workflow.initial_size": [20, 60], "workflow.synthetic_ratio": [0.5]},
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "real data" else n for n in CASES]
)
def test_the_array_program_has_the_law_of_the_loop(name, alike):
    spec, grid = CASES[name]
    replicates = 100 if name in ("real data", "gaussian d = 10") else R
    spec = {"seed": 2, "replicates": replicates, "generations": 5, **spec}
    swept = sweep(spec, grid)
    assert swept.way == "array program", swept.work.reason
    ends = {0, int(swept.horizons.ravel()[0]) - 1}
    for cell in range(swept.grid.size):
        alone = run({**swept.grid.spec(cell).to_dict(), "seed": 90}).metrics
        rows = swept.cells.filter(pl.col("cell") == swept.grid.ids[cell])
        for metric in swept.metrics:
            if metric == TIMED:
                continue
            for t in ends:
                (values,) = rows.filter((pl.col("metric") == metric) & (pl.col("generation") == t))[
                    "values"
                ].to_list()
                theirs = alone.filter((pl.col("metric") == metric) & (pl.col("generation") == t))[
                    "value"
                ].to_numpy()
                assert len(values) == len(theirs)
                alike(np.array(values), theirs)


def test_theory_is_right_over_a_whole_grid(gaussian):
    """Exact means over 108 cells of 2,000 replicates: every cell within five of its standard errors, and their squares
    sum up to what chance gives (four standard errors of a chi-square)."""
    swept = sweep(
        {**gaussian, "replicates": 2000},
        {"workflow.synthetic_ratio": "0:4:9", "workflow.initial_size": "5:60:12:log"},
    )
    for metric in ("variance", "squared_mean_error"):
        predicted = swept.predicted(metric)
        error = swept.phase(metric, "sd") / np.sqrt(swept.phase(metric, "n"))
        z = ((swept.phase(metric) - predicted) / error).ravel()
        assert len(z) >= 90 and np.isfinite(z).all() and np.abs(z).max() < 5
        assert abs((z**2).mean() - 1) < 4 * np.sqrt(2.2 / len(z))
        share, cells = swept.agreement(metric)
        assert cells == len(z) and share > 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(z))


def test_the_time_to_a_tenth_is_that_of_the_course(gaussian):
    spec = {**gaussian, "replicates": 400, "generations": 40, "workflow": {"kind": "replace"}}
    swept = sweep(spec, {"workflow.sample_size": [6, 12, 500]}, at=list(range(40)))
    for cell in range(3):
        rows = swept.cells.filter((pl.col("cell") == swept.grid.ids[cell]) & (pl.col("metric") == "variance"))
        course = np.array(rows.sort("generation")["values"].to_list())
        line = 0.1 * course[0].mean()
        for statistic, below in (
            ("mean", course.mean(axis=1) < line),
            ("median", (course < line).mean(axis=1) >= 0.5),
        ):
            expected = int(np.argmax(below)) if below.any() else 40
            assert swept.phase(TIMED, statistic)[cell] == expected
    assert swept.phase(TIMED)[2] == 40 and swept.phase(TIMED, "median")[0] < swept.phase(TIMED)[0] + 3
    predicted = swept.predicted(TIMED)
    assert predicted.tolist() == [
        np.ceil(np.log(0.1) / np.log(1 - 1 / 6)),
        np.ceil(np.log(0.1) / np.log(1 - 1 / 12)),
        40,
    ]


def test_numbers_do_not_depend_on_the_order_of_chunks(gaussian):
    axes = axes_of({"workflow.initial_size": "5:44:40", "workflow.synthetic_ratio": [1, 2, 3]})
    work = Work({**gaussian, "replicates": 1000}, axes)
    tasks = work.tasks(set())
    assert len(tasks) > 5 and sorted(c for task in tasks for c in task) == list(range(120))
    alone = Work({**gaussian, "replicates": 1000}, axes).perform(tasks[3])
    for task in reversed(tasks[:5]):
        again = work.perform(task)
    assert again["index"] != alone["index"]
    assert repr(work.perform(tasks[3])) == repr(alone)


def test_cells_do_not_share_their_random_numbers(gaussian):
    swept = sweep(
        {**gaussian, "replicates": 2000}, {"workflow.initial_size": [20, 21], "workflow.synthetic_ratio": [1]}
    )
    last = pl.col("generation") == 5
    a, b = swept.cells.filter((pl.col("metric") == "variance") & last)["values"].to_list()
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(2000)


@pytest.mark.parametrize(
    "change, why",
    [
        ({"learner": {"kind": "gaussian", "path": "samples"}}, "draws records"),
        ({"workflow": {"kind": "accumulate_subsample", "sample_size": 20}}, "draws records"),
        ({"workflow": {"kind": "keep_real", "sample_size": 20}}, "draws records"),
        ({"metrics": ["variance", "sample_variance"]}, "looks at samples"),
        ({"learner": {"kind": "kde", "bandwidth": 0.3}, "metrics": ["variance"]}, "draws records"),
        ({"replicates": 70_000}, "replicates"),
    ],
)
def test_what_no_array_program_can_do_is_said(change, why, gaussian):
    work = Work({**gaussian, **change}, axes_of({"workflow.initial_size": [20, 30]}))
    assert not work.array and why in work.reason


def test_default_metrics_that_need_samples_are_left_out_so_that_cells_run_together():
    spec = {"seed": 0, "data": SYMBOLS["data"], "workflow": {"kind": "replace"}}
    work = Work(spec, axes_of({"workflow.sample_size": [10, 20]}))
    assert (
        work.array and "gini" in work.grid.raw["metrics"] and "tail_coverage" not in work.grid.raw["metrics"]
    )


def test_a_fit_that_diverges_is_a_result_of_its_cell_alone(gaussian, monkeypatch):
    from autophage.errors import FitFailed

    ordinary = Program._play

    def failing(self, members, key, look):
        if 1 in [self.family.cells[i] for i in members]:
            raise FitFailed("it would not converge")
        ordinary(self, members, key, look)

    monkeypatch.setattr(Program, "_play", failing)
    swept = sweep(gaussian, {"workflow.initial_size": [10, 20, 30]})
    assert swept.failures == {"workflow.initial_size=20": "it would not converge"}
    assert np.isnan(swept.phase("variance")).tolist() == [False, True, False]
    failed = swept.cells.filter(pl.col("metric") == "failed_replicates")
    assert failed["mean"].to_list() == [200.0] and swept.status == "completed"
