"""Importance weights for training sets: density ratios, what provenance changes, and what a detector may not do."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.detector_weights import DetectorWeights
from autophage.errors import SpecError, UnusableWeights
from autophage.keys import Key
from autophage.samples import REAL, Samples


def normal(shift=0.0, deviation=1.0):
    return lambda n, rng: shift + deviation * rng.standard_normal((n, 1))


def mixed(context, real, synthetic):
    """A training set of real records and of the context's samples."""
    return Samples.join([context.real[:real], context.first(synthetic)])


def exact(shift):
    """P(synthetic) between N(0, 1) and N(shift, 1)."""
    return lambda x: 1 / (1 + np.exp(shift**2 / 2 - shift * x[:, 0]))


def real(n):
    return (Key(2) / "real").generator().standard_normal((n, 1))


@pytest.mark.parametrize(
    ("law", "terms"), [((0.7, 1.0), "linear"), ((0.3, 1.3), "quadratic")], ids=["shift", "spread"]
)
def test_weighted_samples_have_the_real_law(workbench, law, terms):
    """Log odds of normals are linear in x for one spread, and quadratic for two: then the weights are the density ratio."""
    context = workbench(normal(*law), real=real(5000))
    part = DetectorWeights(terms=terms, cap=1e6, features="pixels")
    found = part.apply(mixed(context, 1000, 5000), context=context)
    made = np.asarray(found.generation) != REAL
    w, x = np.asarray(found.weight)[made], found.x[made, 0]
    assert (np.asarray(found.weight)[~made] == 1).all()
    # Errors: of the weighted samples, and of the classifiers, whose halves know the real law up to 2,500 records.
    size = w.sum() ** 2 / (w**2).sum()
    error = np.sqrt(1 / size + 1 / 2500)
    assert abs(np.average(x, weights=w)) < 4 * error
    assert abs(np.average(x**2, weights=w) - 1) < 4 * np.sqrt(2) * error * 1.5
    assert abs(w.mean() - 1) < 4 * np.sqrt(w.var() / len(w) + 1 / 2500)
    assert context.noted["real_weight"] == 1 and context.noted["synthetic_weight"] == pytest.approx(w.mean())
    whole = np.asarray(found.weight)
    assert context.noted["effective_size"] == pytest.approx(whole.sum() ** 2 / (whole**2).sum())
    assert context.noted["classifier_records"] == 10_000 and context.proposals == 5000


def test_an_own_detector_gives_the_weights_of_its_chances(workbench):
    context = workbench(normal(1.0), real=real(300))
    given = mixed(context, 300, 200)
    for strength, cap in ((1.0, 1e9), (0.5, 1e9), (1.0, 1.5)):
        found = DetectorWeights(detector=exact(1.0), strength=strength, cap=cap).apply(given, context=context)
        expected = np.minimum(np.exp(strength * (0.5 - given.x[:, 0])), cap)
        made = np.asarray(given.generation) != REAL
        np.testing.assert_allclose(np.asarray(found.weight)[made], expected[made])
        assert (np.asarray(found.weight)[~made] == 1).all()
        everything = DetectorWeights(detector=exact(1.0), strength=strength, cap=cap, provenance="hidden")
        hidden = everything.apply(given, context=context)
        np.testing.assert_allclose(np.asarray(hidden.weight), expected)
    assert context.noted["labels"] == 500 and 0.65 < context.noted["auc"] < 0.85
    assert DetectorWeights(detector="numpy:ones_like").knows == "what its detector knows"


def test_earlier_weights_are_multiplied(workbench):
    context = workbench(normal(1.0), real=real(50))
    given = mixed(context, 50, 50)
    doubled = Samples(given.fields, given.generation, given.agent, np.full(100, 2.0))
    part = DetectorWeights(detector=exact(1.0))
    one, two = (np.asarray(part.apply(s, context=context).weight) for s in (given, doubled))
    np.testing.assert_allclose(two, 2 * one)


def test_hidden_provenance_learns_from_new_draws_and_weighs_real_records_too(workbench):
    context = workbench(normal(2.0), real=real(1000))
    found = DetectorWeights(provenance="hidden", features="pixels").apply(
        mixed(context, 500, 500), context=context
    )
    weight, made = np.asarray(found.weight), np.asarray(found.generation) != REAL
    assert context.noted["auxiliary_draws"] == 1000 and context.noted["classifier_records"] == 2000
    # E w under the real law is above one, and under the model's about one; the cap takes a little off.
    assert weight[~made].mean() > 3 and 0.4 < weight[made].mean() < 1.2 and weight.max() == 10
    assert (weight[~made] != 1).mean() > 0.9


def test_a_training_set_of_real_records_only_stays(workbench):
    context = workbench(normal(), real=real(40))
    found = DetectorWeights().apply(context.real, context=context)
    assert (np.asarray(found.weight) == 1).all() and context.noted == {"effective_size": 40, "real_weight": 1}


def test_e_nothing_real_is_left(workbench):
    context = workbench(normal(), real=real(40))
    with pytest.raises(UnusableWeights, match="all weights are zero"):
        DetectorWeights(detector=lambda x: np.ones(len(x))).apply(context.first(30), context=context)


LOOP = {
    "data": {"kind": "labelled_blobs", "size": 500, "deviation": 0.2},
    "learner": {"kind": "class_gaussian", "blur": 0.4},
    "workflow": {"kind": "mix", "synthetic_ratio": 2},
}


def test_the_loop_takes_the_blur_back_out():
    """Samples are blurred by 0.4 of the data's spread; weights that see it keep the fitted classes narrower."""
    widths = {}
    for name, curation in (
        ("plain", []),
        (
            "weighed",
            [{"kind": "detector_weights", "features": "standardised", "terms": "quadratic"}],
        ),
        ("told", [{"kind": "detector_weights", "detector": far_from_a_corner}]),
    ):
        loop = autophage.Loop(**LOOP, seed=2, generations=4, metrics=["noted"], curation=curation)
        state = loop.start(loop.blocks()[0])
        while state.generation < 4:
            state, (record,) = loop.step(state)
        widths[name] = np.trace(record.model.covariances.mean(axis=0)) / 2
        if name != "plain":
            noted = {m.metric: m.value[0] for m in record.measurements}
            assert noted["real_weight"] == 1 and noted["effective_size"] < 1200
    assert widths["weighed"] < 0.95 * widths["plain"] and widths["told"] < 0.7 * widths["plain"]


def far_from_a_corner(x):
    """The chance that a record is synthetic, by its distance from the nearest cluster: deviations of 0.2 against 0.4."""
    away = np.square(np.abs(x) - 0.8).sum(axis=1)
    log_odds = away * (1 / 0.2**2 - 1 / 0.45**2) / 2 - 2 * np.log(0.45 / 0.2)
    return 1 / (1 + np.exp(-log_odds))


def test_g7_no_strength_is_the_plain_loop(same_as_plain):
    same_as_plain({"kind": "detector_weights", "strength": 0}, **LOOP)


def test_e_earlier_generations_are_kept_when_a_detector_breaks():
    calls = []

    def breaks(x):
        calls.append(0)
        return np.full(len(x), np.nan if len(calls) == 3 else 0.4)

    run = autophage.run(
        **LOOP,
        seed=1,
        generations=6,
        metrics=["sample_variance"],
        curation=[{"kind": "detector_weights", "detector": breaks}],
        pictures=False,
    )
    assert "the detector breaks gave nan for a record" in str(run.failures)
    assert sorted(set(run.metrics["generation"])) == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strength": -1}, "strength is -1"),
        ({"cap": 0.5}, "cap is 0.5; it must be at least 1"),
        ({"cap": float("inf")}, "cap is inf"),
        ({"provenance": "guessed"}, "provenance is 'guessed'"),
        ({"detector": "forest"}, "is 'forest'; it must be one of: logistic"),
        ({"features": "wavelets"}, "features is 'wavelets'"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        DetectorWeights(**settings)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"data": "gaussian", "learner": "gaussian"}, "works on a thousand replicates at once"),
        (
            {
                "data": "two_moons",
                "learner": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"},
            },
            "gives records weights, and learner estimator takes none",
        ),
    ],
)
def test_what_cannot_be_weighed_is_refused_before_a_run(spec, words):
    with pytest.raises(SpecError, match=words):
        autophage.Loop(seed=1, curation=["detector_weights"], **spec)
