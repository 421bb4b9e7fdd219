"""Curation in the loop: what it sees, what it may ask for, and what metrics hear of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from autophage.errors import FitFailed, SpecError
from autophage.interventions import Curation, Treatment
from autophage.loop import Loop
from autophage.parts import Measurement, Metric
from autophage.samples import Batch


@dataclass(frozen=True, kw_only=True)
class Positive(Curation):
    """Only records above zero: weighted, or drawn until there are as many as before."""

    filled: bool = False
    """Ask for more until nothing is missing."""

    @property
    def weighs(self):
        return not self.filled

    def apply(self, samples, *, context):
        if not self.filled:
            return samples.reweighted((samples.x[..., 0] > 0).astype(float))
        n, x = len(samples), np.asarray(samples.x)
        while (np.sort(x[..., 0], axis=-1)[..., -n] <= 0).any():
            x = np.concatenate([x, context.draw(n).x], axis=-2)
        order = np.argsort(x[..., 0] <= 0, axis=-1, kind="stable")[..., :n]
        context.note("share_above", (x[..., 0] > 0).mean(axis=-1))
        taken = np.take_along_axis(x, order[..., None], axis=-2)
        if isinstance(samples, Batch):
            return Batch.of(taken, generation=context.generation, agent=context.agent)
        return type(samples).of(taken, generation=context.generation, agent=context.agent)


@dataclass(frozen=True, kw_only=True)
class Nothing(Curation):
    """Keeps no record."""

    def apply(self, samples, *, context):
        return samples.first(0)


@dataclass(frozen=True, kw_only=True)
class Notes(Metric):
    """What curation noted."""

    def measure(self, view):
        return [Measurement(name, values) for name, values in view.curation.items()]


@dataclass(frozen=True, kw_only=True)
class Halfway(Treatment):
    """The mean of this fit and the last model, for Gaussians."""

    def apply(self, model, *, context):
        assert len(context.plans) == context.generation
        if context.previous is None:
            return model
        return type(model)((model.mean + context.previous.mean) / 2, scale=model.scale)


def spec(**more):
    return {
        "seed": 5,
        "replicates": 300,
        "generations": 3,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 40},
        "metrics": [Notes()],
        **more,
    }


def course(loop):
    state, records = loop.start(loop.blocks()[0]), []
    while state.generation < loop.spec.generations:
        state, done = loop.step(state)
        records += done
    return records


def test_dropped_records_do_not_count():
    """The mean of a standard normal above zero is sqrt(2/pi)."""
    first, second, last = course(Loop(curation=[Positive()], **spec()))
    expected = np.sqrt(2 / np.pi)
    spread = np.sqrt((1 - expected**2) / 20 + expected**2 / 40)
    assert abs(second.model.mean.mean() - expected) < 4 * (spread + 0.16) / np.sqrt(300)
    noted = {m.metric: m.value for m in first.measurements}
    assert (noted["proposals"] == 40).all() and 15 < noted["kept"].mean() < 25
    assert last.measurements == []  # nothing is drawn after the last generation


def test_extra_proposals_are_counted():
    first, _, _ = course(Loop(curation=[Positive(filled=True)], **spec()))
    noted = {m.metric: m.value for m in first.measurements}
    assert (noted["kept"] == 40).all() and (noted["proposals"] >= 80).all()
    assert (noted["proposals"] % 40 == 0).all() and abs(noted["share_above"].mean() - 0.5) < 0.02


def test_deep_scale_curates_samples():
    loop = Loop(
        curation=[Positive(filled=True)],
        **spec(learner={"kind": "strangers:Normal"}, data={"kind": "two_moons"}, metrics=[]),
    )
    first, _, _ = course(loop)
    assert len(first.kept) == 40 and (first.kept.x[:, 0] > 0).all()


def test_an_empty_training_set_is_a_failed_fit():
    loop = Loop(curation=[Nothing()], **spec())
    with pytest.raises(FitFailed, match="no sample of generation 0 passed Nothing"):
        loop.step(loop.start(loop.blocks()[0]))


def test_weights_are_refused_where_they_would_be_passed_over():
    with pytest.raises(SpecError, match=r"gives records weights, and learner kde takes none; .*gaussian"):
        Loop(curation=[Positive()], **spec(learner={"kind": "kde"}))


def test_a_treatment_sees_the_last_model():
    plain, merged = (
        course(Loop(**spec(metrics=[], replicates=4000, **more))) for more in ({}, {"treatment": Halfway()})
    )
    # Own samples of size n: the variance of the mean grows by 1/n a fit, or by a quarter of it when halved.
    for records, expected in ((plain, 3 / 40), (merged, 1 / 40 + 2 * 0.25 / 40)):
        found = records[-1].model.mean.var()
        assert abs(found - expected) < 4 * expected * np.sqrt(2 / 4000)


@pytest.mark.parametrize("filled", [False, True])
def test_curated_runs_repeat_whatever_follows(filled):
    short, long = (
        course(Loop(curation=[Positive(filled=filled)], **spec(replicates=r, metrics=[])))[1].model.mean
        for r in (7, 30)
    )
    assert (short == long[:7]).all()
    again = course(Loop(curation=[Positive(filled=filled)], **spec(replicates=7, metrics=[])))[1].model.mean
    assert (short == again).all()
