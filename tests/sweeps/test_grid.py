"""Grids: what the text means, which cells there are, and that the short way to a cell is the long way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.spec import Spec, override
from autophage.sweeps.grid import Axis, Grid, axes_of


@pytest.mark.parametrize(
    "text, values",
    [
        ("k=1,2,3", (1, 2, 3)),
        ("k=0.5, 1e-3", (0.5, 0.001)),
        ("k=replace,mix", ("replace", "mix")),
        ("k=true,false", (True, False)),
        ("k=0:1:5", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("k=10:50:5", (10, 20, 30, 40, 50)),
        ("k=50:10:3", (50, 30, 10)),
        ("k=1:100:3:log", (1, 10, 100)),
        ("k=0.01:1:3:log", (0.01, 0.1, 1.0)),
        ("k={power: {scale: 5, exponent: 1}},7", ({"power": {"scale": 5, "exponent": 1}}, 7)),
        ("k=[0.5,0.5],[0.9,0.1]", ([0.5, 0.5], [0.9, 0.1])),
        ('k="a,b",c', ("a,b", "c")),
    ],
)
def test_what_a_grids_text_means(text, values):
    assert Axis.parsed(text).values == values


@pytest.mark.parametrize(
    "grid, words",
    [
        (["workflow.sample_size"], "key=a,b,c"),
        (["workflow.sample_size="], "no values"),
        (["=1,2"], "dotted key"),
        (["a b=1,2"], "dotted key"),
        (["k=1,2,1"], "twice"),
        (["k=20,20.0"], "twice"),
        (["k=1", "k=2"], "names k twice"),
        (["k=a:b:3"], "must be numbers"),
        (["k=1:1:3"], "two different"),
        (["k=1:2:1"], "count of 2"),
        (["k=1:inf:3"], "finite"),
        (["k=0:10:3:log"], "above zero"),
        (["k={a: b,2"], "not a YAML value"),
        ([], "needs a grid"),
        ({}, "needs a grid"),
        ({"k": 3}, "list of values"),
        ({"k": []}, "no values"),
    ],
)
def test_a_bad_grid_is_refused_in_one_sentence(grid, words):
    with pytest.raises(SpecError, match=words) as refused:
        axes_of(grid)
    assert "\n" not in str(refused.value)


def test_arrays_lists_and_text_are_the_same_axis():
    given = [np.array([10, 20, 30]), [10, 20, 30], (10, 20, 30), "10:30:3", "10,20,30"]
    assert {axes_of({"k": g})[0].values for g in given} == {(10, 20, 30)}


def test_log_axes_are_told_by_their_steps():
    assert Axis("k", (1, 10, 100)).log and Axis("k", (5, 9, 17, 33)).log
    assert not Axis("k", (1, 2, 3)).log and not Axis("k", (0, 1, 10)).log and not Axis("k", ("a", "b")).log


def test_cells_are_the_product_and_the_last_axis_is_the_fastest(gaussian):
    grid = Grid(gaussian, axes_of({"workflow.initial_size": [10, 20], "workflow.synthetic_ratio": [0, 1, 2]}))
    assert grid.shape == (2, 3) and grid.size == 6
    assert [grid.values(i) for i in range(6)] == list(itertools.product([10, 20], [0, 1, 2]))
    assert grid.name(4) == "workflow.initial_size=20, workflow.synthetic_ratio=1"


def test_a_cell_is_known_by_its_settings_whatever_the_grid(gaussian):
    small = Grid(gaussian, axes_of({"a": [1, 2], "b": [3]}))
    large = Grid(gaussian, axes_of({"b": [9, 3.0], "a": [2, 7, 1]}))
    assert len(set(large.ids)) == large.size
    assert set(small.ids) == {
        large.ids[i] for i in range(large.size) if large.values(i) in ((3.0, 2), (3.0, 1))
    }


GRIDS = {
    "numbers": {"workflow.initial_size": [10, 25], "workflow.synthetic_ratio": [0.5, 2]},
    "schedule": {
        "workflow.synthetic_ratio": [1, {"power": {"scale": 1, "exponent": -1}}, {"values": [1, 2, 3, 4, 5]}]
    },
    "inside a schedule": {
        "workflow.synthetic_ratio.power.exponent": [0.5, 1],
        "workflow.initial_size": [10, 20],
    },
    "another part": {"learner.ddof": [0, 1], "workflow.initial_size": [10, 20], "data.dim": [1, 2]},
    "kinds": {"workflow.initial_size": [10, 20], "workflow.kind": ["replace", "mix"]},
    "kind alone": {"workflow": ["replace", "accumulate"]},
    "top level": {"generations": [3, 4], "replicates": [5], "seed": [1, 2]},
}


@pytest.mark.parametrize("name", GRIDS)
def test_families_hold_the_specs_that_overriding_gives(name, gaussian):
    """The short way (one resolution per value) and the long way (one per cell) lead to the same spec."""
    if name == "inside a schedule":
        gaussian["workflow"] = {"kind": "mix", "synthetic_ratio": {"power": {"scale": 1, "exponent": 1}}}
    grid = Grid(gaussian, axes_of(GRIDS[name]))
    seen = {}
    for family in grid.families():
        for i, cell in enumerate(family.cells):
            seen[cell] = family.spec_of(i).digest
    kinds_first = sorted(GRIDS[name], key=lambda k: not k.endswith("kind"))
    for cell in range(grid.size):
        values = dict(zip(GRIDS[name], grid.values(cell), strict=True))
        settings = [f"{k}={values[k]!r}".replace("'", "") for k in kinds_first]
        assert seen[cell] == Spec.of(override(gaussian, settings)).digest
    assert sorted(seen) == list(range(grid.size))


def test_numbers_of_a_workflow_make_one_family_and_other_keys_split_it(gaussian):
    def families(grid):
        return [len(f.cells) for f in Grid(gaussian, axes_of(grid)).families()]

    assert families(GRIDS["numbers"]) == [4]
    assert families(GRIDS["another part"]) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "grid, words",
    [
        (
            {"workflow.initial_size": [10, 0]},
            "the cell workflow.initial_size=0 cannot be run: .*at least one real record",
        ),
        (
            {"workflow.initial_size": [10, 5], "workflow.synthetic_ratio": [1, -1]},
            "workflow.initial_size=10, workflow.synthetic_ratio=-1",
        ),
        ({"workflow.sise": [10]}, "workflow.sise=10 .*unknown key 'workflow.sise'"),
        ({"workflow.kind": ["mix", "mixx"]}, "workflow.kind=mixx"),
        ({"learner.ridge": [0, -1]}, "learner.ridge=-1"),
        ({"workflow.initial_size": [1, 20]}, "workflow.initial_size=1 .*at least 2"),
        ({"workflow.synthetic_ratio": [1, "a"]}, "workflow.synthetic_ratio=a"),
        ({"workflow.synthetic_ratio": [1, {"values": [1, 2]}]}, "2 values but generation 3"),
        ({"workflow.synthetic_ratio": [1, float("nan")]}, "NaN"),
    ],
)
def test_an_illegal_cell_is_refused_before_the_start_by_its_name(grid, words, gaussian):
    from autophage.sweeps.tasks import Work

    with pytest.raises(SpecError, match=words) as refused:
        Work(gaussian, axes_of(grid))
    assert "\n" not in str(refused.value)


def test_an_illegal_cell_of_single_runs_is_refused_before_the_start(deep):
    from autophage.sweeps.tasks import Work

    with pytest.raises(SpecError, match=r"workflow.kind=keep_real, workflow.real_share=2 .*t = 1"):
        Work(deep, axes_of({"workflow.kind": ["keep_real"], "workflow.real_share": [0.5, 2]}))


def test_a_range_over_a_key_of_whole_numbers_is_rounded_and_a_list_is_not(gaussian):
    grid = Grid(
        gaussian, axes_of({"workflow.initial_size": "10:1000:4:log", "workflow.synthetic_ratio": "0:1:3"})
    )
    assert grid.axes[0].values == (10, 46, 215, 1000)
    assert grid.axes[1].values == (0.0, 0.5, 1.0)
    sizes = Grid({**gaussian, "workflow": "replace"}, axes_of({"workflow.sample_size": "4:60:4:log"}))
    assert sizes.axes[0].values == (4, 10, 24, 60)
    with pytest.raises(SpecError, match="workflow.initial_size=10.5"):
        Grid(gaussian, axes_of({"workflow.initial_size": [10.5]})).spec(0)
