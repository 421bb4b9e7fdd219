"""The samples that look most real: how far a selection moves them, and that the classifier has not seen what it judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

import autophage
from autophage.curation.discriminator import Discriminator
from autophage.curation.real_or_synthetic import auc, told_apart
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.theory.filter_pulls import largest_pull


def normal(shift, deviation=1.0, dim=1):
    return lambda n, rng: shift + deviation * rng.standard_normal((n, dim))


def real(n, dim=1):
    return (Key(2) / "real").generator().standard_normal((n, dim))


MIXTURE = {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}


def area_error(n, m):
    """The largest standard error of an AUC of n against m records, near 0.5."""
    return np.sqrt((n + m + 1) / (12 * n * m))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_auc_of_two_normals(shift):
    """P(x > y) for x ~ N(shift, 1), y ~ N(0, 1) is Phi(shift / sqrt 2)."""
    n = 4000
    x, y = real(n), normal(shift)(n, (Key(3) / "made").generator())
    found = told_apart(x, y, key=Key(4))
    assert abs(found.auc - ndtr(shift / np.sqrt(2))) < 4 * area_error(n, n)
    assert found.trained_on == 2 * n and len(found.real) == len(found.made) == n


def test_no_record_is_judged_by_a_classifier_that_has_seen_it():
    """In 60 dimensions 60 records a side can be parted exactly by one that has; equal laws cannot by one that has not."""
    n, dim = 60, 60
    areas = [
        told_apart(
            (Key(i) / "real").generator().standard_normal((n, dim)),
            (Key(i) / "made").generator().standard_normal((n, dim)),
            key=Key(i),
        ).auc
        for i in range(20)
    ]
    # The areas of two halves of 30 against 30 records.
    assert abs(np.mean(areas) - 0.5) < 4 * area_error(30, 30) / np.sqrt(40)


def test_squares_see_a_difference_of_spread():
    n = 3000
    x, y = real(n), normal(0.0, 0.5)(n, (Key(3) / "made").generator())
    assert abs(told_apart(x, y, key=Key(4)).auc - 0.5) < 0.06
    # |x| tells them: P(|x| > |y|) of normals with standard deviations 1 and 1/2 is (2/pi) arctan 2.
    found = told_apart(x, y, key=Key(4), quadratic=True).auc
    assert abs(found - 2 / np.pi * np.arctan(2)) < 4 * area_error(n, n)


def test_ties_of_an_auc_count_half():
    assert auc(np.ones(5), np.ones(3)) == 0.5 and auc(np.array([2.0]), np.array([1.0, 3.0, 2.0])) == 0.5


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
def test_f8_the_pull_is_the_strongest_that_the_share_allows(workbench, share):
    """In one dimension the classifier finds the only direction there is, and keeps what lies beyond the quantile."""
    context, n = workbench(normal(1.5), real=real(2000)), 4000
    kept = context.curated(Discriminator(keep=share, features="pixels"), n)
    assert len(kept) == n and context.proposals == math.ceil(n / share)
    pull = kept.x.mean() - 1.5
    assert abs(pull - (-largest_pull(share))) < 4 / np.sqrt(n)
    assert context.noted["acceptance"] == pytest.approx(share, abs=1e-4)
    assert abs(context.noted["auc"] - ndtr(1.5 / np.sqrt(2))) < 4 * area_error(2000, n)
    assert context.noted["duplicate_share"] == 0 and context.noted["kept_variance"] < 1
    assert (np.asarray(kept.generation) == 3).all()


def test_real_looking_samples_are_kept_where_they_can_be_told(workbench):
    """A third of the samples are real ones, the others lie elsewhere: at keep 1/4 hardly any of these is left."""

    def law(n, rng):
        good = rng.random(n) < 1 / 3
        return rng.standard_normal((n, 5)) + 3.0 * ~good[:, None], good.astype(int)

    context = workbench(law, real=real(500, 5), source=TwoMoonsSource())
    kept = Discriminator(keep=0.25).apply(context.first(400), context=context)
    assert kept.label.mean() > 0.98 and 0.7 < context.noted["auc"] < 0.9


def test_the_same_key_keeps_the_same_and_ties_are_broken_by_it(workbench):
    found = []
    for _ in range(2):
        context = workbench(lambda n, rng: rng.integers(0, 2, (n, 1)).astype(float), real=real(50))
        found.append(Discriminator(keep=0.5, features="pixels").apply(context.first(40), context=context).x)
    assert (found[0] == found[1]).all() and len(found[0]) == 40


def test_g7_keeping_everything_is_the_plain_loop(same_as_plain):
    same_as_plain(
        {"kind": "discriminator", "keep": 1.0},
        data={"kind": "labelled_blobs", "size": 250},
        learner={"kind": "class_gaussian", "leak": 0.1},
        workflow={"kind": "mix", "synthetic_ratio": 1},
    )


def test_a_blurring_generator_is_held_to_the_clusters():
    """Every model blurs what it has learnt by 0.3 of the data's spread, and the next one learns the blur. A classifier on features
    that know the clusters keeps it out; 0.45 is three standard deviations of a cluster, within which 98.9 % of it lie."""
    spec = {
        "seed": 5,
        "generations": 4,
        "data": {"kind": "labelled_blobs", "size": 1000, "deviation": 0.15},
        "learner": {"kind": "class_gaussian", "blur": 0.3},
        "workflow": {"kind": "replace"},
        "metrics": [],
    }
    inside = {}
    for keep in (1.0, 0.5):
        loop = autophage.Loop(
            **spec, curation=[{"kind": "discriminator", "keep": keep, "features": "classifier"}]
        )
        state = loop.start(loop.blocks()[0])
        while state.generation < 3:
            state, (record,) = loop.step(state)
        inside[keep] = (np.square(np.abs(record.kept.x) - 0.8).sum(axis=1) < 0.45**2).mean()
        assert len(record.kept) == 800 and np.bincount(record.kept.label).min() > 100
    assert inside[1.0] < 0.6 and inside[0.5] > 0.9


def fails(x):
    raise OSError("no weights")


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (fails, "features test_discriminator:fails cannot be had: OSError: no weights"),
        (lambda x: np.full((len(x), 2), np.nan), "NaN or infinity"),
        (lambda x: x[:-1], "records came back as"),
    ],
    ids=["raises", "nan", "count"],
)
def test_e_features_that_cannot_be_had_fail_the_generation(workbench, monkeypatch, features, words):
    monkeypatch.setattr("autophage.registry.load", lambda path, where: features)
    context = workbench(normal(0.0), real=real(50))
    with pytest.raises(FitFailed, match=words):
        Discriminator(features="test_discriminator:fails").apply(context.first(20), context=context)


def test_e_too_few_records_to_learn_from(workbench):
    context = workbench(normal(0.0), real=real(5))
    with pytest.raises(FitFailed, match="needs 8 records a side; there are 5 real and 200 synthetic ones"):
        Discriminator().apply(context.first(20), context=context)


def test_e_it_must_come_first(workbench):
    context = workbench(normal(0.0), real=real(50))
    context.first(40)
    with pytest.raises(SpecError, match="keep: 0.1 draws more .* past the curation before it; put it first"):
        Discriminator().apply(context._made(20, Key(0)), context=context)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep": 0.0}, "keep is 0"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"features": "wavelets"}, "features is 'wavelets'; known: pixels"),
        ({"components": 0}, "components is 0"),
        ({"terms": "cubic"}, "terms is 'cubic'"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        Discriminator(**settings)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"data": "gaussian", "learner": "gaussian"},
            "one replicate at a time, and learner gaussian works on",
        ),
        (
            {
                "data": "two_moons",
                "learner": MIXTURE,
                "curation": [{"kind": "discriminator", "features": "cnn"}],
            },
            "cnn needs pictures",
        ),
        (
            {
                "data": "two_moons",
                "learner": MIXTURE,
                "curation": [{"kind": "discriminator", "features": "classifier"}],
            },
            "needs labelled real records",
        ),
        (
            {
                "data": "two_moons",
                "learner": MIXTURE,
                "curation": [{"kind": "discriminator", "features": "nowhere:f"}],
            },
            "no module called 'nowhere'",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused_before_a_run(spec, words):
    with pytest.raises(SpecError, match=words):
        autophage.Loop(**{"seed": 1, "curation": ["discriminator"], **spec})
