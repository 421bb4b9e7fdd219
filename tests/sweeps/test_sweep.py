"""What a sweep answers: fields, generations, refusals, runs of cells, the scaling verdict."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.errors import MissingExtra, RunError, SpecError
from autophage.runs.run import run
from autophage.sweeps.sweep import Sweep, sweep

GRID = {"workflow.initial_size": [10, 20], "workflow.synthetic_ratio": [0, 1, 2]}


def test_the_package_offers_it():
    assert autophage.sweep is sweep and autophage.Sweep is Sweep


def test_a_table_row_for_every_cell_metric_and_generation(gaussian):
    swept = sweep(gaussian, GRID)
    assert swept.cells.columns == [
        "cell", *GRID, "agent", "metric", "generation", "mean", "median", "sd", "n", "values",
    ]  # fmt: skip
    measured = swept.cells.filter(pl.col("metric") != "generations_to_tenth")
    assert (
        len(measured) == 6 * 2 * 2 and set(measured["generation"]) == {0, 5} and set(measured["n"]) == {200}
    )
    values = np.array(measured["values"].to_list())
    np.testing.assert_allclose(measured["mean"], values.mean(axis=1))
    np.testing.assert_allclose(measured["median"], np.median(values, axis=1))
    np.testing.assert_allclose(measured["sd"], values.std(axis=1, ddof=1))


def test_a_field_has_the_grids_shape_and_order(gaussian):
    swept = sweep(gaussian, GRID, at=[0, 2, 5])
    field = swept.phase("variance", generation=2)
    assert field.shape == (2, 3)
    for cell in range(6):
        row = swept.cells.filter(
            (pl.col("cell") == swept.grid.ids[cell])
            & (pl.col("metric") == "variance")
            & (pl.col("generation") == 2)
        )
        assert row["mean"][0] == field.ravel()[cell]
        assert (row["workflow.initial_size"][0], row["workflow.synthetic_ratio"][0]) == swept.grid.values(
            cell
        )
    assert (swept.phase("variance") == swept.phase("variance", generation=5)).all()


def test_the_order_of_the_values_changes_nothing_but_the_order(gaussian):
    first = sweep({**gaussian, "replicates": 2000}, {"workflow.initial_size": [10, 20, 40]}).phase("variance")
    back = sweep({**gaussian, "replicates": 2000}, {"workflow.initial_size": [40, 20, 10]}).phase("variance")
    error = 3 * np.sqrt(2 / 10 / 2000)
    assert np.abs(first - back[::-1]).max() < 4 * error


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda s: s.phase("varianc"), "no metric 'varianc'.*variance"),
        (lambda s: s.phase("variance", generation=3), "no generation 3; it has: 0, 5"),
        (lambda s: s.scaling_verdict(), "sweep over one size"),
    ],
)
def test_what_was_not_measured_is_refused(call, words, gaussian):
    with pytest.raises(SpecError, match=words):
        call(sweep(gaussian, GRID))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"at": [9]}, "generation 9; the sweep has generations 0 to 5"),
        ({"at": [-1]}, "generation -1"),
        ({"at": []}, "no generation"),
        ({"workers": 0}, "at least 1"),
        ({"on": "moon"}, "local or ray"),
        ({"metrics": []}, "something to measure"),
        ({"grid": None}, "needs a grid"),
    ],
)
def test_bad_settings_are_refused(settings, words, gaussian):
    with pytest.raises(SpecError, match=words):
        sweep(**{"spec": gaussian, "grid": GRID, **settings})


def test_cells_of_other_learners_are_the_runs_of_their_specs(deep):
    swept = sweep(deep, {"workflow.sample_size": [30, 60], "workflow.kind": ["replace", "accumulate"]})
    assert swept.way == "runs" and "records" in swept.work.reason
    for cell in range(4):
        alone = run(swept.grid.spec(cell)).metrics
        for metric in ("sample_variance", "real_share"):
            last = alone.filter((pl.col("metric") == metric) & (pl.col("generation") == 2))["value"]
            assert swept.phase(metric).ravel()[cell] == last.mean()
            np.testing.assert_allclose(swept.phase(metric, "sd").ravel()[cell], last.std())


def test_a_failed_replicate_is_counted_and_named(deep):
    deep["learner"] |= {"breaks": "failed", "at": 1, "replicate": 1}
    swept = sweep(deep, {"workflow.sample_size": [30, 40]})
    assert swept.phase("sample_variance", "n").tolist() == [1, 1] and swept.status == "completed"
    assert list(swept.failures) == ["workflow.sample_size=30", "workflow.sample_size=40"]


def test_a_spec_that_names_its_one_agent_is_swept_by_the_short_keys(gaussian):
    long = autophage.Spec.of(gaussian)
    assert (sweep(long, GRID).phase("variance") == sweep(gaussian, GRID).phase("variance")).all()


def test_objects_can_be_swept_in_this_process_only(gaussian):
    from autophage.learners.gaussian import Gaussian

    spec = {**gaussian, "learner": Gaussian()}
    assert sweep(spec, {"workflow.initial_size": [10, 20]}).phase("variance").shape == (2,)
    with pytest.raises(SpecError, match="cannot be written"):
        sweep(spec, {"workflow.initial_size": "10:60:51"}, workers=2, replicates=1000)


def test_ray_is_asked_for_by_name_where_it_is_missing(gaussian, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"autophage\[ray\]"):
        sweep(gaussian, GRID, on="ray")


def test_ray_does_the_same_tasks(gaussian, monkeypatch, tmp_path):
    """A stand-in with ray's interface that does tasks when they are waited for, the last one first."""
    calls = []

    class Remote:
        def __init__(self, function):
            self.function = function

        def remote(self, *arguments):
            return lambda: self.function(*arguments)

    class Ray:
        is_initialized = staticmethod(lambda: False)
        init = staticmethod(lambda **settings: calls.append("init"))
        remote = staticmethod(Remote)
        wait = staticmethod(lambda pending, num_returns: (pending[-1:], pending[:-1]))
        get = staticmethod(lambda one: calls.append("task") or one())

    monkeypatch.setitem(__import__("sys").modules, "ray", Ray)
    spec, grid = {**gaussian, "replicates": 1000}, {"workflow.initial_size": "10:40:31"}
    there = sweep(spec, grid, tmp_path / "ray", on="ray")
    assert calls[0] == "init" and calls.count("task") == len(there.work.tasks(set())) > 2
    assert there.cells.equals(sweep(spec, grid).cells)


def test_a_sweep_over_sizes_feeds_the_scaling_verdict(gaussian):
    """A biased sampler leaves (1 - 0.9^(9/2))^2 of squared distance however many records there are: a new plateau.
    Fresh real data only change nothing."""
    grid = {"workflow.sample_size": "10:1000:6:log"}
    spec = {**gaussian, "generations": 10, "replicates": 300, "metrics": ["frechet_model"]}
    changed = sweep({**spec, "workflow": "replace", "sampling": {"bias": 0.9}}, grid).scaling_verdict()
    assert (changed.definition, changed.verdict, changed.seeds) == ("D4", "yes", 300)
    assert changed.details["plateau_mixed"] == pytest.approx((1 - 0.9**4.5) ** 2, rel=0.15)
    same = sweep({**spec, "workflow": {"kind": "fresh", "real_share": 1.0}}, grid).scaling_verdict(
        "frechet_model"
    )
    assert abs(same.details["exponent_change"]) < 0.2  # four standard errors, by repetition with eight seeds


def test_a_scaling_verdict_refuses_unequal_sizes_and_no_risk(gaussian):
    grid = {"workflow.initial_size": [10, 20, 40]}
    with pytest.raises(SpecError, match="equal sizes"):
        sweep(gaussian, grid).scaling_verdict()
    spec = {**gaussian, "workflow": "replace", "metrics": ["variance"]}
    with pytest.raises(SpecError, match="needs a risk"):
        sweep(spec, {"workflow.sample_size": [10, 20]}).scaling_verdict()


def test_loading_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(RunError, match="no sweep"):
        Sweep.load(tmp_path)
