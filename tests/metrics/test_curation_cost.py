"""What curation costs: rows where something is curated, none elsewhere, and sums that are the true number of draws."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from autophage.learners.gaussian import GaussianModel
from autophage.runs.run import run

ROWS = ("proposals", "acceptance", "effective_size", "certified_contraction")


def table(curation, **more):
    spec = {
        "seed": 6,
        "generations": 6,
        "replicates": 3,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 40},
        "metrics": list(ROWS),
        "curation": curation,
        **more,
    }
    return run(spec, pictures=False).metrics


def test_no_rows_without_curation_or_after_the_last_generation():
    assert len(table([])) == 0
    assert len(table([{"kind": "tilt", "pull": 0.3, "anchor": None}])) == 0
    curated = table([{"kind": "logistic", "anchor": "real"}])
    assert curated["generation"].unique().sort().to_list() == [0, 1, 2, 3, 4]
    assert set(curated["metric"]) == set(ROWS)


def test_proposals_are_what_was_looked_at(monkeypatch):
    """One replicate: the records drawn in whole rounds are never fewer, and the accepted share is n over the proposals."""
    drawn = []
    sample = GaussianModel.sample
    monkeypatch.setattr(
        GaussianModel, "sample", lambda self, n, **more: (drawn.append(n), sample(self, n, **more))[1]
    )
    curated = table([{"kind": "interval_verifier", "centre": 0, "radius": 1}], replicates=1)
    proposals = curated.filter(pl.col("metric") == "proposals")["value"]
    assert len(proposals) == 5 and proposals.min() > 40
    assert sum(drawn) - 5 * 40 < proposals.sum() <= sum(drawn)
    share = curated.filter(pl.col("metric") == "acceptance")["value"]
    assert (40 / proposals).to_list() == pytest.approx(share.to_list())


def test_weights_cost_no_proposals_but_records():
    curated = table([{"kind": "tilt", "pull": 0.5, "anchor": {"mean": 0.5}}])
    means = dict(curated.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    assert means["proposals"] == 40 and "acceptance" not in means
    assert 30 < means["effective_size"] < 40 and means["certified_contraction"] == pytest.approx(0.75)


def unlikely(x):
    return np.where(x[:, 0] > 0, x[:, 0], np.nan)


def test_e_records_without_a_reward_are_counted_in_the_table():
    """Half of the records have no reward; of two candidates, none has one in a quarter of the choices."""
    rows = ("proposals", "rejected_records", "rejected_choices")
    found = table(
        [{"kind": "preference", "reward": unlikely, "choices": 2}], metrics=list(rows), generations=2
    )
    proposals, records, choices = (found.filter(pl.col("metric") == row)["value"].to_numpy() for row in rows)
    assert (records > 0).all() and (records < proposals).all()
    # As many choices as it takes for 40 to take place, two candidates each.
    assert (choices == proposals / 2 - 40).all() and (choices > 0).any()


def test_e_duplicates_are_counted_in_the_table():
    correction = {"kind": "correction", "strength": 1, "corrector": "empirical"}
    found = table([correction], metrics=["duplicates"], generations=3)
    assert len(found) == 2 * 3 and ((found["value"] > 5) & (found["value"] < 35)).all()
    assert len(table([{**correction, "corrector": "ideal"}], metrics=["duplicates"])) == 0
