"""What `predict` says about curated and corrected loops, and that the engine agrees."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.theory import corrected, curated

P, R = [0.4, 0.3, 0.2, 0.1], [0.0, 0.5, 1.0, 2.0]
REPLACE = {"kind": "replace", "sample_size": 10_000}
INF = float("inf")


def said(workflow, generations=4, learner=None, data=None, **preference):
    curation = {"kind": "preference", "reward": R, **preference}
    return autophage.predict(
        seed=0,
        generations=generations,
        data=data or {"kind": "categorical", "probabilities": P},
        learner=learner or {"kind": "categorical"},
        workflow=workflow,
        curation=[curation],
    )


def only(found, metric, quantity="mean"):
    (chosen,) = [p for p in found if p.metric == metric and p.quantity == quantity]
    return chosen


@pytest.mark.parametrize("choices", [2, 5, INF])
def test_replace_is_the_course_without_reference_data(choices):
    found = said(REPLACE, choices=choices)
    laws = curated.course(P, R, choices, 4)
    np.testing.assert_allclose(only(found, "exp_reward").values, laws @ np.exp(R))
    np.testing.assert_allclose(only(found, "reward").values, laws @ np.asarray(R))
    assert only(found, "reward").status == "asymptotic"


def test_mix_is_the_course_with_reference_data_and_its_bound():
    mix = {"kind": "mix", "real": 1000, "synthetic_ratio": 0.5}
    found = said(mix, choices=2)
    laws = curated.course(P, R, 2, 4, ratio=0.5)
    np.testing.assert_allclose(only(found, "exp_reward").values, laws @ np.exp(R))
    np.testing.assert_allclose(only(found, "kl_divergence_reverse").values, np.log(2))
    assert not [p for p in said(mix, choices=4) if p.metric == "kl_divergence_reverse"]  # no guarantee


def test_malicious_users_and_their_threshold():
    found = said(REPLACE, choices=INF, malicious_share=0.2, malicious_reward="opposite")
    laws = curated.course(P, R, INF, 4, malicious_share=0.2, malicious_reward=-np.array(R))
    np.testing.assert_allclose(only(found, "exp_reward").values, laws @ np.exp(R))
    assert only(found, "malicious_share", "threshold").values[0] == pytest.approx(0.696664, abs=1e-6)


def test_the_engine_agrees_under_every_workflow(close):
    for workflow in (
        {"kind": "accumulate", "sample_size": 8000},
        {"kind": "window", "size": 2, "keep_real": True, "sample_size": 8000},
        {"kind": "fading", "sample_size": 8000},
        {"kind": "keep_real", "real_share": 0.25, "sample_size": 8000},
    ):
        done = autophage.run(
            seed=2,
            replicates=30,
            generations=4,
            data={"kind": "categorical", "probabilities": P},
            learner={"kind": "categorical"},
            workflow=workflow,
            curation=[{"kind": "preference", "reward": R, "choices": 3}],
            metrics=[{"kind": "reward", "reward": R}],
        )
        expected = only(said(workflow, choices=3), "exp_reward").values
        rows = done.metrics.filter(
            (done.metrics["metric"] == "exp_reward") & (done.metrics["generation"] == 3)
        )
        close(rows["value"].to_numpy(), expected[3], 0.02)


def correction(learner, workflow, strength=1.0, corrector="ideal"):
    return autophage.predict(
        seed=0,
        generations=5,
        data={"kind": "gaussian", "dim": 3},
        learner=learner,
        workflow=workflow,
        curation=[{"kind": "correction", "strength": strength, "corrector": corrector}],
    )


MIX = {"kind": "mix", "real": 50, "synthetic_ratio": 0.5}
KNOWN = {"kind": "gaussian", "covariance": "known"}


def test_a_corrected_mean():
    found = correction(KNOWN, MIX)
    np.testing.assert_allclose(
        only(found, "squared_mean_error").values, 3 * corrected.gaussian_mean_error(50, 25, 1, 5)
    )
    assert only(found, "squared_mean_error", "limit").values[0] == pytest.approx(3 * 0.0173913, rel=1e-5)
    assert only(found, "synthetic_ratio", "threshold").values[0] == pytest.approx(2 / 3)
    assert only(found, "distance_to_optimum", "rate").values[0] == pytest.approx(1 / 6)


def test_of_other_learners_only_the_thresholds():
    assert {p.metric for p in correction({"kind": "gaussian"}, MIX)} == {
        "synthetic_ratio",
        "distance_to_optimum",
    }
    growing = {**MIX, "synthetic_ratio": {"values": [0.1, 0.2, 0.3, 0.4]}}
    assert {p.metric for p in correction(KNOWN, growing)} == {"synthetic_ratio"}
    assert correction(KNOWN, {"kind": "replace", "sample_size": 20}) == []
    assert correction(KNOWN, MIX, corrector="empirical") == []


def test_nothing_done_is_the_plain_loop():
    plain = autophage.predict(
        seed=0, generations=5, data={"kind": "gaussian", "dim": 3}, learner=KNOWN, workflow=MIX
    )
    assert [p.metric for p in correction(KNOWN, MIX, strength=0)] == [p.metric for p in plain]
    assert len(plain) > 3


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 2.0},
        {"reward": "numpy:ravel"},
        {"malicious_share": 0.1, "malicious_reward": "numpy:ravel"},
        {"malicious_share": 0.1, "malicious_reward": "opposite", "reward": [0, 1, 2, -INF]},
        {"learner": {"kind": "categorical", "smoothing": 0.5}},
    ],
    ids=["temperature", "function", "their function", "impossible opposite", "smoothing"],
)
def test_where_no_theorem_speaks_nothing_is_said(settings):
    assert said(REPLACE, **settings) == []


def test_a_pool_of_samples_is_predicted_where_sizes_do_not_matter():
    assert only(said(REPLACE, choices=2, pool="samples"), "exp_reward").values[1] == pytest.approx(
        2.6227, abs=1e-4
    )
    assert said({"kind": "accumulate", "sample_size": 500}, choices=2, pool="samples") == []
