"""Preference and correction on pictures: bytes stay bytes, labels stay with their records, judges may fail, answers are counted."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import autophage
from autophage.curation.correction import Correction
from autophage.curation.preference import Preference
from autophage.parts import Learner, Model
from autophage.samples import Samples

N, SIDE = 100, 6


class Redrawn(Model):
    """The training records again, in another order, a few grey levels off; with their labels."""

    def __init__(self, data):
        self.data = data

    def sample(self, n, *, key, given=None):
        rng = key.generator()
        rows = rng.integers(len(self.data), size=n)
        x = np.clip(self.data.x[rows] + rng.integers(-3, 4, (n, self.data.x.shape[1])), 0, 255)
        return Samples.of(x.astype(np.uint8), label=self.data.label[rows])


@dataclass(frozen=True, kw_only=True)
class Redraws(Learner):
    """Fits `Redrawn`."""

    def fit(self, data, *, start=None, key):
        return Redrawn(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures whose class is how bright they are."""
    rng = np.random.default_rng(1)
    label = np.arange(N) % 2
    x = (60 + 120 * label[:, None, None] + rng.integers(-20, 21, (N, SIDE, SIDE))).astype(np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "bright.npz"
    np.savez(path, images=x, labels=label)
    return str(path)


def spec(folder, curation, **more):
    return {
        "seed": 2,
        "generations": 4,
        "data": {"kind": "images", "path": folder},
        "learner": Redraws(),
        "workflow": {"kind": "replace"},
        "metrics": ["noted"],
        "curation": curation,
        **more,
    }


def kept(folder, curation, **more):
    """What entered training sets, and what was noted, generation by generation."""
    loop = autophage.Loop(**spec(folder, curation, **more))
    state, found = loop.start(loop.blocks()[0]), []
    while state.generation < loop.spec.generations - 1:
        state, (record,) = loop.step(state)
        found.append((record.kept, {m.metric: m.value[0] for m in record.measurements}))
    return found


def belongs(samples):
    """Bytes, and every label is that of its own picture."""
    assert samples.x.dtype == np.uint8
    return ((samples.x.mean(axis=1) > 120) == samples.label).all()


REWARDS = {
    "linear": {"kind": "linear", "coordinate": 3, "slope": 2},
    "distance": {"kind": "distance", "point": 255.0, "scale": 1e-4},
    "class_probability": {"kind": "class_probability", "label": 1, "scale": 50.0},
    "own": lambda x: x.mean(axis=1) - 300,
}


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_of_pictures_is_followed(folder, name):
    """The bright class takes over; a whole number times a byte would wrap around."""
    liked = {"kind": "preference", "reward": REWARDS[name], "choices": 4}
    shares = [samples.label.mean() for samples, _ in kept(folder, [liked]) if belongs(samples)]
    assert len(shares) == 3 and shares[0] > 0.8 and shares[-1] > 0.98


@pytest.mark.parametrize(
    ("settings", "judged"),
    [({"choices": 3}, 3 * 80), ({"choices": 2, "pool": 200}, 160), ({"choices": float("inf")}, 80)],
    ids=["fresh", "pool", "weights"],
)
def test_labels_are_counted_one_for_each_candidate(workbench, settings, judged):
    context = workbench(lambda n, rng: rng.integers(0, 255, (n, 9)).astype(np.uint8))
    Preference(reward="linear", **settings).apply(context.first(80), context=context)
    assert context.noted["labels"] == judged


def test_choices_that_failed_cost_labels_too(workbench):
    context = workbench(lambda n, rng: rng.random((n, 1)))
    liked = Preference(reward=lambda x: np.where(x[:, 0] < 0.8, np.nan, 0.0), choices=2)
    found = liked.apply(context.first(50), context=context)
    assert (found.x >= 0.8).all() and context.noted["labels"] == context.proposals[0] > 200


@pytest.mark.parametrize("strength", [0.5, float("inf")])
def test_corrected_pictures_stay_bytes_with_their_labels(folder, strength):
    """To the nearest of two centres, as experts' corrections do."""

    def nearest(x, real):
        dark = real.mean(axis=1) < 120
        centres = np.stack([real[dark].mean(axis=0), real[~dark].mean(axis=0)])
        return centres[np.square(x[:, None] - centres).sum(axis=2).argmin(axis=1)]

    for samples, noted in kept(folder, [{"kind": "correction", "strength": strength, "corrector": nearest}]):
        assert belongs(samples) and (np.asarray(samples.generation) >= 0).all()
        if strength == float("inf"):
            assert len(np.unique(samples.x, axis=0)) == 2 and noted["replaced"] == 1
    for samples, noted in kept(
        folder, [{"kind": "correction", "strength": strength, "corrector": "empirical"}]
    ):
        again = np.asarray(samples.generation) == -1
        assert belongs(samples) and again.sum() == noted["duplicates"] == noted["replaced"] * len(samples)


def unfinished(folder, curation, **more):
    run = autophage.run(spec(folder, [curation], metrics=["sample_variance"], **more), pictures=False)
    return str(run.failures), sorted(set(run.metrics["generation"]))


class Breaks:
    """A judge that is sound at first, and in its third generation is not; or from another call on, and until it is mended."""

    def __init__(self, how, sound, at=3):
        self.how, self.sound, self.calls, self.at = how, sound, 0, at
        self.__name__ = "fickle"

    def __call__(self, x):
        self.calls += 1
        found = self.sound(x)
        if self.calls < self.at or self.how == "mended":
            return found
        if self.how == "raises":
            raise ZeroDivisionError("no taste")
        return np.full(found.shape, np.nan) if self.how == "nan" else found[:-1]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "only 0 of 80 choices had a candidate with a usable reward"),
        ("count", r"the reward fickle gave float64 of shape \(159,\) for 160 records"),
        ("raises", "the reward fickle fails: ZeroDivisionError: no taste"),
    ],
)
def test_e_a_reward_that_breaks_ends_the_loop_and_keeps_what_was(folder, how, words):
    import re

    reward = Breaks(how, lambda x: x[:, 0])
    said, generations = unfinished(folder, {"kind": "preference", "reward": reward, "choices": 2})
    assert re.search(words, said) and generations == [0, 1]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "the corrector fickle gave values that are not finite"),
        ("count", "the corrector fickle gave records of shape (79, 36) for (80, 36)"),
        ("raises", "the corrector fickle fails: ZeroDivisionError: no taste"),
    ],
)
def test_e_a_corrector_that_breaks_ends_the_loop_and_keeps_what_was(folder, how, words):
    corrector = Breaks(how, lambda x: x)
    said, generations = unfinished(folder, {"kind": "correction", "strength": 1, "corrector": corrector})
    assert words in said and generations == [0, 1]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "the verifier fickle gave nan for a record, and so for 80 of 80; a chance in [0, 1]"),
        ("count", "the verifier fickle gave float64 of shape (79,) for 80 records; one number for each"),
        ("raises", "the verifier fickle fails: ZeroDivisionError: no taste"),
    ],
)
@pytest.mark.parametrize("keep", ["n", "proposals"])
def test_a_verifier_that_breaks_ends_the_loop_and_keeps_what_was(folder, how, words, keep):
    verifier = Breaks(how, lambda x: (x[:, 0] >= 0).astype(float))
    said, generations = unfinished(folder, {"kind": "verification", "verifier": verifier, "keep": keep})
    assert words in said and generations == [0, 1]


@dataclass(frozen=True, kw_only=True)
class Weighs(Redraws):
    """Says that it takes weights, and has latents: the brightness, and what an encoder says that may break."""

    weighted = conditional = has_latents = True
    encoder: object = None

    def fit(self, data, *, start=None, key):
        found = Redrawn(data)
        if self.encoder is not None:
            found.latents = lambda x, *, noise=0.0, key=None: self.encoder(np.asarray(x, dtype=float))
        return found


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nan", "the detector fickle gave nan for a record"),
        ("count", "the detector fickle gave float64 of shape"),
        ("raises", "the detector fickle fails: ZeroDivisionError: no taste"),
    ],
)
def test_a_detector_that_breaks_ends_the_loop_and_keeps_what_was(folder, how, words):
    """It looks at training sets, so that the first it sees is generation 1's."""
    detector = Breaks(how, lambda x: np.full(len(x), 0.5))
    curation = {"kind": "detector_weights", "detector": detector}
    said, generations = unfinished(folder, curation, learner=Weighs(), workflow={"kind": "mix"})
    assert words in said and generations == [0, 1, 2]


FEATURES = {
    "nan": "the features hold NaN or infinity",
    "count": "160 records came back as 159",
    "raises": "ZeroDivisionError: no taste",
}


@pytest.mark.parametrize("how", FEATURES)
def test_features_that_break_end_the_loop_and_keep_what_was(folder, how, monkeypatch):
    """They see the real records first, then two candidates for each sample."""
    look = Breaks(how, lambda x: np.asarray(x, dtype=float).reshape(len(x), -1)[:, :2], at=4)
    monkeypatch.setitem(sys.modules, "fickle", SimpleNamespace(look=look))
    curation = {"kind": "discriminator", "keep": 0.5, "features": "fickle:look"}
    said, generations = unfinished(folder, curation)
    assert FEATURES[how] in said and "the features fickle:look cannot be had" in said
    assert generations == [0, 1]


ENCODERS = {
    "nan": "80 of the latents of 320 records of the pool are not finite, more than 1%",
    "count": "latents of Redrawn gave shape (79, 1) for 80 records; (80, k) would be right",
    "raises": "latents of Redrawn fails: ZeroDivisionError: no taste",
}


@pytest.mark.parametrize("how", ENCODERS)
def test_an_encoder_that_breaks_ends_the_loop_and_keeps_what_was(folder, how):
    """Generation 1 has the real records, the held-out ones and two batches encoded, every later one its newest batch."""
    encoder = Breaks(how, lambda x: x.mean(axis=1, keepdims=True), at=6)
    said, generations = unfinished(
        folder,
        {"kind": "latent_filter", "noise": 0},
        learner=Weighs(encoder=encoder),
        workflow={"kind": "accumulate"},
    )
    assert ENCODERS[how] in said and generations == [0, 1, 2]


BATCHES = {
    "reward": ({"kind": "preference", "choices": 2}, "reward", "usable reward"),
    "corrector": ({"kind": "correction", "strength": 1}, "corrector", "values that are not finite"),
    "verifier": ({"kind": "verification"}, "verifier", "gave nan for a record"),
}


@pytest.mark.parametrize("how", ["nan", "count", "raises"])
@pytest.mark.parametrize("role", BATCHES)
def test_a_judge_that_breaks_ends_every_replicate_of_its_batch(role, how):
    curation, key, words = BATCHES[role]
    sound = {"reward": lambda x: x[:, 0], "corrector": lambda x: x, "verifier": lambda x: x[:, 0] > -1e9}[
        role
    ]
    # A corrector is called for each replicate by itself.
    judge = Breaks(how, sound, at=7 if role == "corrector" else 3)
    run = autophage.run(
        seed=2,
        replicates=3,
        generations=4,
        data={"kind": "gaussian"},
        learner="gaussian",
        workflow={"kind": "replace", "sample_size": 20},
        curation=[{**curation, key: judge}],
        metrics=["variance"],
    )
    said = {"nan": words, "count": "fickle gave", "raises": f"the {role} fickle fails: ZeroDivisionError"}[
        how
    ]
    assert set(run.failures) == {0, 1, 2} and run.status == "failed"
    assert all(said in f["reason"] and f["generation"] == 2 for f in run.failures.values())
    assert sorted(set(run.metrics["generation"])) == [0, 1] and len(run.metrics) == 6


def test_a_judge_s_failure_is_final_and_what_was_before_it_stays_readable(folder, tmp_path, monkeypatch):
    """A replicate that failed is not tried again: its judge is part of the spec, and mending it makes another run."""
    judge = Breaks("raises", lambda x: x[:, 0])
    monkeypatch.setitem(sys.modules, "fickle", SimpleNamespace(taste=judge))
    liked = {"kind": "preference", "reward": "fickle:taste", "choices": 2}
    given = spec(folder, [liked], metrics=["sample_variance"], data={"kind": "labelled_blobs", "size": 60})
    given["learner"] = {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}
    first = autophage.run(given, out=tmp_path / "run")
    assert first.status == "failed" and first.failures[0]["generation"] == 2
    judge.how = "mended"
    again = autophage.run(given, out=tmp_path / "run", resume=True)
    assert again.failures == first.failures and again.metrics.equals(first.metrics)
    opened = autophage.load(tmp_path / "run")
    assert opened.metrics.equals(first.metrics) and set(first.metrics["generation"]) == {0, 1}
    mended = autophage.run(given, out=tmp_path / "another")
    assert mended.status == "completed" and not mended.failures
    assert mended.metrics.filter(mended.metrics["generation"] < 2).equals(first.metrics)


@pytest.mark.parametrize(
    "idle",
    [
        {"kind": "preference", "reward": "linear", "choices": 1},
        {"kind": "correction", "strength": 0},
        {"kind": "verification", "verifier": None},
        {"kind": "discriminator", "keep": 1},
    ],
    ids=lambda idle: idle["kind"],
)
def test_g7_nothing_done_to_pictures_is_the_plain_loop(folder, same_as_plain, idle):
    same_as_plain(
        idle,
        data={"kind": "images", "path": folder},
        learner=Redraws(),
        workflow={"kind": "mix", "synthetic_ratio": 1},
    )


def test_correction_does_not_change_what_it_is_handed(workbench):
    context = workbench(lambda n, rng: rng.integers(0, 255, (n, 9)).astype(np.uint8))
    given = context.first(20)
    before = given.x.copy()

    def writes(x):
        x[:] = 7
        return x

    found = Correction(strength=float("inf"), corrector=writes).apply(given, context=context)
    assert (found.x == 7).all() and (given.x == before).all()
