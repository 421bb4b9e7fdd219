"""The tilt in a feature space: by how much it contracts, at which effective size, and what it does to a loop."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.feature_tilt import FeatureTilt, tilted
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key

PLACE = np.array([0.5, -0.4, 0.3])
ROOT = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0.2, -0.3, 0.5]])


def law(n, rng):
    return PLACE + rng.standard_normal((n, 3)) @ ROOT.T


def real(n):
    return (Key(2) / "real").generator().standard_normal((n, 3)) @ ROOT.T


def weighted_mean(found):
    return np.average(found.x, weights=np.asarray(found.weight), axis=0)


@pytest.mark.parametrize("pull", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("features", ["pixels", "pca", "standardised"])
def test_the_mean_of_a_gaussian_contracts_by_one_less_pull(workbench, pull, features):
    n = 40_000
    context = workbench(law, real=real(n), source=TwoMoonsSource())
    samples = context.first(n)
    found = FeatureTilt(pull=pull, features=features).apply(samples, context=context)
    error = samples.x.mean(axis=0) - context.real.x.mean(axis=0)
    after = weighted_mean(found) - context.real.x.mean(axis=0)
    delta = np.sqrt(error @ np.linalg.solve(np.cov(samples.x.T), error))
    size = context.noted["effective_size"]
    assert context.noted["delta"] == pytest.approx(delta, rel=1e-9) and context.noted["covered"] == 1
    # In the metric of the features' covariance the weighted mean scatters like 1 / sqrt(size) in every direction.
    away = np.linalg.solve(ROOT, after - (1 - pull) * error)
    assert (np.abs(away) < 4 / np.sqrt(size)).all()
    expected = n * np.exp(-(pull**2) * delta**2)
    # exp(2 b delta z) has a heavy tail: its relative error over n records.
    slack = np.sqrt(np.expm1(4 * pull**2 * delta**2) / n)
    assert abs(size / expected - 1) < 4 * slack
    assert np.asarray(found.weight).mean() == pytest.approx(1)
    assert context.noted["certified_contraction"] == pytest.approx(1 - (1 - pull) ** 2, abs=1e-9)


def test_features_without_variance_are_left_alone():
    rng = np.random.default_rng(0)
    f = np.column_stack([rng.standard_normal(500), np.full(500, 3.0)])
    weight, delta = tilted(f, np.array([1.0, 0.0]), 0.5)
    alone, same = tilted(f[:, :1], np.array([1.0]), 0.5)
    np.testing.assert_allclose(weight, alone)
    assert delta == pytest.approx(same)
    even, none = tilted(np.ones((5, 2)), np.zeros(2), 0.5)
    assert (even == 1).all() and none == 0
    with pytest.raises(FitFailed, match="two samples or more"):
        tilted(f[:1], np.zeros(2), 0.5)


def test_beyond_the_region_nothing_is_certified(workbench):
    context = workbench(lambda n, rng: 5 + rng.standard_normal((n, 1)), real=real(100)[:, :1])
    FeatureTilt(pull=0.5, features="pixels").apply(context.first(50), context=context)
    assert context.noted["covered"] == 0 and context.noted["delta"] > 3


def test_a_loop_drifts_less():
    """A random walk of the mean, of 100 samples a generation, against its stationary variance under the tilt."""
    n, rounds, chains, b = 100, 12, 24, 0.5
    spec = {
        "generations": rounds + 1,
        "data": {"kind": "labelled_blobs", "size": 625},
        "learner": {"kind": "class_gaussian"},
        "workflow": {"kind": "replace", "sample_size": n},
        "metrics": [],
    }
    error = {}
    for name, curation in (
        ("plain", []),
        ("tilted", [{"kind": "feature_tilt", "pull": b, "features": "pixels"}]),
    ):
        found = []
        for seed in range(chains):
            loop = autophage.Loop(**spec, seed=seed, curation=curation)
            state = loop.start(loop.blocks()[0])
            origin = None
            while state.generation <= rounds:
                state, (record,) = loop.step(state)
                mean = record.model.shares @ record.model.means / record.model.shares.sum()
                origin = mean if origin is None else origin
            found.append(np.square(mean - origin).sum())
        error[name] = np.array(found)
    # Labels are drawn by exact shares, so only the variance within the classes (0.25 in each direction) makes the mean wander.
    walk = rounds * 2 * 0.25 / n
    assert abs(error["plain"].mean() - walk) < 4 * error["plain"].std() / np.sqrt(chains) + 0.15 * walk
    plain, tilted_ones = (np.log(error[name]) for name in ("plain", "tilted"))
    gap = plain.mean() - tilted_ones.mean()
    assert gap - 4 * np.hypot(plain.std(), tilted_ones.std()) / np.sqrt(chains) > np.log(3)


def test_g7_no_pull_is_the_plain_loop(same_as_plain):
    same_as_plain(
        {"kind": "feature_tilt", "pull": 0},
        data={"kind": "labelled_blobs", "size": 250},
        learner="class_gaussian",
        workflow={"kind": "replace", "sample_size": 60},
    )


@pytest.mark.parametrize("pull", [2.0, -0.1, 3, float("nan"), (0.3, 0.2)])
def test_e_what_does_not_contract_is_refused(pull):
    with pytest.raises(SpecError, match="curation.pull"):
        FeatureTilt(pull=pull)


def test_e_learners_that_take_no_weights_are_refused():
    learner = {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}
    tilt = [{"kind": "feature_tilt", "pull": 0.3}]
    with pytest.raises(
        SpecError, match="feature_tilt gives records weights, and learner estimator takes none"
    ):
        autophage.Loop(seed=1, data="two_moons", learner=learner, curation=tilt)
    with pytest.raises(SpecError, match="feature_tilt judges the samples of one replicate at a time"):
        autophage.Loop(seed=1, data="gaussian", learner="gaussian", curation=tilt)
    with pytest.raises(SpecError, match="region"):
        FeatureTilt(pull=0.3, region=(3, 1))
