"""Corrected samples: what is replaced by what, how it is counted, and what a corrector may not do."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation.correction import Correction
from autophage.data.gaussian import GaussianSource
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.samples import REAL, Batch, Samples
from autophage.spec import Spec

INF = float("inf")


class Context:
    """What `Correction` reads of a `interventions.Curating`: samples at 10, a true law at 0, real records at -20 - their place."""

    def __init__(self, replicates=3, deep=False, real=None):
        self.key, self.memo, self.notes = Key(4), {}, {}
        self.source = GaussianSource(dim=2, cov=0.01)
        self.replicates, self.deep = replicates, deep
        places = -20.0 - np.arange(5)
        batch = Batch.of(np.repeat(places[None, :, None], 2, axis=2))
        self.real = real if real is not None else (batch.replicate(0) if deep else batch)

    def samples(self, n=400):
        batch = Batch.of(np.full((self.replicates, n, 2), 10.0), generation=3, agent="main")
        return batch.replicate(0) if self.deep else batch

    def note(self, name, values):
        self.notes[name] = np.asarray(values)


def parts(corrected):
    x = corrected.x if isinstance(corrected, Batch) else corrected.x[None]
    generation = np.atleast_2d(np.asarray(corrected.generation))
    return x, np.broadcast_to(generation, x.shape[:2])


@pytest.mark.parametrize("deep", [False, True], ids=["batch", "samples"])
@pytest.mark.parametrize("strength", [0.3, 3.0, INF])
@pytest.mark.parametrize("corrector", ["ideal", "empirical"])
def test_true_records_replace_the_right_share_and_count_as_real(deep, strength, corrector):
    context = Context(replicates=1 if deep else 5, deep=deep)
    found = Correction(strength=strength, corrector=corrector).apply(context.samples(), context=context)
    x, generation = parts(found)
    replaced = x[..., 0] < 5
    assert (np.where(replaced, REAL, 3) == generation).all() and len(found) == 400
    share = 1.0 if strength == INF else strength / (1 + strength)
    assert abs(replaced.mean() - share) <= 4 * np.sqrt(share * (1 - share) / replaced.size)
    np.testing.assert_allclose(context.notes["replaced"], replaced.mean(axis=1))
    if corrector == "empirical":
        assert set(x[replaced][:, 0]) == {-20.0, -21.0, -22.0, -23.0, -24.0}
        assert (context.notes["duplicates"] == replaced.sum(axis=1)).all()
    else:
        assert (np.abs(x[replaced]) < 1).all() and "duplicates" not in context.notes
        assert len(np.unique(x[replaced][:, 0])) == replaced.sum()


def test_e_duplicates_are_flagged():
    """Real records of the empirical corrector: generation -1, and at deep scale an agent of their own."""
    context = Context(replicates=1, deep=True)
    found = Correction(strength=1, corrector="empirical").apply(context.samples(), context=context)
    again = np.asarray(found.generation) == REAL
    assert set(np.asarray(found.agent)[again]) == {"empirical corrector"}
    assert set(np.asarray(found.agent)[~again]) == {"main"}
    ideal = Correction(strength=1).apply(context.samples(), context=context)
    assert set(np.asarray(ideal.agent)[np.asarray(ideal.generation) == REAL]) == {""}


def test_labels_stay_where_both_have_them():
    context = Context(replicates=1, deep=True, real=Samples.of(np.full((4, 2), -20.0), label=np.full(4, 7)))
    samples = Samples.of(np.full((50, 2), 10.0), label=np.zeros(50, int), generation=3)
    found = Correction(strength=1, corrector="empirical").apply(samples, context=context)
    assert ((found.label == 7) == (found.x[:, 0] < 0)).all()
    assert Correction(strength=1).apply(samples, context=context).label is None


@pytest.mark.parametrize("corrector", ["ideal", "empirical", lambda x: x - 1])
def test_replicates_do_not_depend_on_how_many_follow(corrector):
    few, many = (
        Correction(strength=0.7, corrector=corrector).apply(c.samples(30), context=c)
        for c in (Context(2), Context(9))
    )
    assert (few.x == many.x[:2]).all()
    assert (parts(few)[1] == parts(many)[1][:2]).all()


@pytest.mark.parametrize("deep", [False, True], ids=["batch", "samples"])
def test_an_own_corrector_moves_records_that_stay_synthetic(deep):
    context = Context(replicates=1 if deep else 3, deep=deep)
    found = Correction(strength=1, corrector=lambda x: x - 7).apply(context.samples(), context=context)
    x, generation = parts(found)
    assert set(np.unique(x)) == {3.0, 10.0} and (generation == 3).all()
    nearest = Correction(strength=INF, corrector=lambda x, real: np.full_like(x, real.max()))
    assert (parts(nearest.apply(context.samples(), context=context))[0] == -20).all()


def test_a_corrector_by_its_import_path():
    context = Context()
    found = Correction(strength=INF, corrector="numpy:negative").apply(context.samples(), context=context)
    assert (found.x == -10).all()


@pytest.mark.parametrize("deep", [False, True], ids=["batch", "samples"])
@pytest.mark.parametrize(
    ("corrector", "words"),
    [
        (lambda x: x[:-1], r"gave records of shape \(399, 2\) for \(400, 2\)"),
        (lambda x: x[:, :1], r"gave records of shape \(400, 1\) for \(400, 2\)"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "values that are not finite"),
        (lambda x: x / 0, "values that are not finite"),
    ],
    ids=["count", "columns", "nan", "inf"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_e_a_bad_corrector_fails_the_generation(deep, corrector, words):
    context = Context(replicates=1 if deep else 3, deep=deep)
    with pytest.raises(FitFailed, match=words):
        Correction(strength=0.1, corrector=corrector).apply(context.samples(), context=context)


def test_e_earlier_generations_are_kept_when_a_corrector_breaks():
    from autophage.runs.run import run

    calls = []

    def breaks(x):
        calls.append(0)
        return x if len(calls) < 3 else x[:-1]

    done = run(
        seed=1,
        generations=6,
        data={"kind": "two_moons"},
        learner={"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"},
        workflow={"kind": "replace", "sample_size": 60},
        curation=[{"kind": "correction", "strength": 1, "corrector": breaks}],
        metrics=["sample_variance"],
    )
    assert len(done.failures) == 1 and "gave records of shape (59, 2)" in str(done.failures)
    assert sorted(set(done.metrics["generation"])) == [0, 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strength": -0.1}, "strength is -0.1; it must be zero or more"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"strength": -INF}, "strength is -inf"),
        ({"strength": "much"}, "strength is 'much'"),
        ({"strength": 1, "corrector": "idael"}, "corrector is 'idael'; did you mean 'ideal'"),
        ({"strength": 1, "corrector": 3}, "corrector is a int"),
        ({"strength": 1, "corrector": "nowhere:f"}, "no module called 'nowhere'"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        Correction(**settings)


def test_e_the_true_law_of_a_finite_set_is_not_known():
    spec = {"seed": 1, "data": {"kind": "digits"}, "learner": {"kind": "gaussian", "ridge": 0.1}}
    curation = {"kind": "correction", "strength": 1}
    with pytest.raises(
        SpecError, match="draws from the true law, and the data are a finite set; take corrector: empirical"
    ):
        Loop(**spec, curation=[curation])
    Loop(**spec, curation=[{**curation, "corrector": "empirical"}])


def test_what_a_corrector_knows_is_said():
    assert "the true law" in Correction(strength=1).knows
    assert "again" in Correction(strength=1, corrector="empirical").knows
    assert "its corrector" in Correction(strength=1, corrector=np.negative).knows


def test_the_empirical_corrector_in_the_loop():
    """With a finite set and every sample replaced, generation 1 is a bootstrap of the real records."""
    loop = Loop(
        seed=2,
        generations=3,
        replicates=6,
        data={"kind": "digits"},
        learner={"kind": "gaussian", "covariance": "diagonal"},
        workflow={"kind": "replace"},
        curation=[{"kind": "correction", "strength": INF, "corrector": "empirical"}],
        metrics=["real_share"],
    )
    state = loop.start(loop.blocks()[0])
    real = loop.source.train().flat()
    for _ in range(2):
        state, (record,) = loop.step(state)
    assert (record.real_share == 1).all()
    error = np.maximum(real.std(axis=0) / np.sqrt(len(real)), 1e-12)
    assert (np.abs(record.model.mean - real.mean(axis=0)) < 6 * error).all()


def test_a_spec_with_a_correction_re_creates_itself():
    given = {"seed": 1, "data": {"kind": "gaussian"}, "learner": "gaussian"}
    for curation in ({"strength": INF}, {"strength": 0.5, "corrector": "numpy:negative"}):
        spec = Spec.of(given, curation=[{"kind": "correction", **curation}])
        assert spec.repeatable and Spec.of(spec.to_dict()).to_dict() == spec.to_dict()
