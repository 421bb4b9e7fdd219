"""What a run's page warns of when its curation has gone wrong."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.runs.alarms import alarms
from autophage.runs.paged import page_of

BEST_OF_TEN = {"kind": "preference", "reward": "linear", "choices": 10, "temperature": 1e-9}


def test_selection_without_fresh_variance_is_a_collapse_and_said_to_be_one():
    """The best of ten standard normals have the variance .3443; refitted and chosen again, the spread is multiplied by that."""
    run = autophage.run(
        seed=0,
        replicates=200,
        generations=5,
        data={"kind": "gaussian"},
        learner={"kind": "gaussian", "ddof": 1},
        workflow={"kind": "replace", "sample_size": 500},
        initial_model={"mean": 0, "var": 1},
        curation=[BEST_OF_TEN],
        metrics=["noted"],
    )
    means = run.metrics.group_by("metric", "generation").agg(pl.col("value").mean()).sort("generation")
    course = {
        m: means.filter(pl.col("metric") == m)["value"].to_numpy()
        for m in ("reward_variance", "kept_variance")
    }
    # A variance of 500 records has a relative error near sqrt(2 / 500) in every generation.
    error = np.sqrt(2 / 500 * np.arange(1, 5) / 200) + 2 / 500
    assert (np.abs(course["reward_variance"] / 0.3443 ** np.arange(1, 5) - 1) < 4.5 * error).all()
    assert np.abs(course["kept_variance"] / 0.3443 - 1).max() < 4.5 * error.max()
    (said,) = alarms(run, "main")
    assert "fell to 0.04" in said and "by generation 3" in said
    assert said in page_of({"choice": run}).notes


def test_a_choice_that_leaves_variety_alarms_nobody():
    run = autophage.run(
        seed=0,
        replicates=20,
        generations=4,
        data={"kind": "gaussian"},
        learner="gaussian",
        workflow={"kind": "replace", "sample_size": 500},
        curation=[{**BEST_OF_TEN, "choices": 2, "temperature": 1.0}],
        metrics=["noted"],
    )
    assert alarms(run, "main") == []


@pytest.mark.parametrize(("wrong", "alarmed"), [(0.6, False), (0.72, True)])
def test_more_errors_than_a_filter_can_bear(wrong, alarmed):
    """It passes .8 of the right and .4 of the wrong ones: up to p* = 1 / (1 + .4 / .8) = 2/3 most of what it keeps is right."""
    run = autophage.run(
        seed=0,
        generations=2,
        data={"kind": "labelled_blobs", "size": 20_000},
        learner="class_gaussian",
        workflow="replace",
        curation=[
            {
                "kind": "verification",
                "verifier": Fewer(1 - wrong),
                "oracle": Fewer(1 - wrong),
                "false_accept": 0.4,
                "false_reject": 0.2,
            }
        ],
        metrics=["noted"],
    )
    found = alarms(run, "main")
    assert len(found) == alarmed and all("of what main kept was right" in said for said in found)


class Fewer:
    """Holds this share of the records right."""

    def __init__(self, share):
        self.share, self.__name__ = share, "fewer"

    def __call__(self, x):
        place = np.argsort(np.argsort(x[:, 0]))
        return place < self.share * len(x)
