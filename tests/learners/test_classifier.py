"""The classifier against scikit-learn and by hand: weights, lost classes, features that do not move, draws, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import chisquare

from autophage import laws
from autophage.data.digits import DigitsSource
from autophage.data.gaussian import GaussianSource
from autophage.data.principal_components import PrincipalComponentsSource
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.classifier import Classifier, Linear
from autophage.parts import Sampling
from autophage.samples import Samples


def clouds(n, classes=3, stream="clouds"):
    draw = (Key(0) / "classifier" / stream).generator()
    label = draw.integers(0, classes, n)
    centres = 2 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[:classes]
    return Samples.of(5 + 3 * (centres[label] + draw.standard_normal((n, 2))), label=label)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(classes):
    from sklearn.linear_model import LogisticRegression

    data, penalty = clouds(400, classes), 0.01
    model = Classifier(penalty=penalty).fit(data, key=Key(0))
    seen = (data.x - data.x.mean(axis=0)) / np.sqrt(data.x.var(axis=0).mean())
    oracle = LogisticRegression(C=1 / (penalty * 400), max_iter=2000).fit(seen, data.label)
    assert np.allclose(model.label_log_prob(data.x), oracle.predict_log_proba(seen), atol=1e-8)
    assert np.allclose(np.exp(model.label_log_prob(data.x)).sum(axis=1), 1)
    said = model.sample(300, key=Key(0), given=data)
    assert np.array_equal(said.label, oracle.predict(seen)[:300])
    assert set(said.fields) == {"x", "label"} and np.array_equal(said.x, data.x[:300])


def test_the_laws_of_describers():
    laws.learner(Classifier(), clouds(60))
    laws.learner(Classifier(components=1), clouds(60))


def test_a_weight_counts_as_so_many_records():
    data = clouds(300)
    times = (Key(0) / "times").generator().integers(0, 4, 300)
    features = Linear.of(data, None)
    learner = Classifier()
    object.__setattr__(learner, "_known", (3, features))
    weighted = learner.fit(Samples.of(data.x, label=data.label, weight=times.astype(float)), key=Key(0))
    repeated = learner.fit(data[np.repeat(np.arange(300), times)], key=Key(0))
    assert np.allclose(weighted.label_log_prob(data.x), repeated.label_log_prob(data.x), atol=1e-3)
    halved = learner.fit(Samples.of(data.x, label=data.label, weight=times / 2), key=Key(0))
    assert np.allclose(weighted.label_log_prob(data.x), halved.label_log_prob(data.x), atol=1e-3)


def test_a_lost_class_has_probability_zero():
    source = DigitsSource()
    train = source.train()
    learner = Classifier().bound_to(source)
    gone = learner.fit(train[~np.isin(train.label, (3, 9))], key=Key(0))
    log_prob = gone.label_log_prob(source.reference().x)
    assert log_prob.shape == (len(source.reference()), 10)
    assert np.isneginf(log_prob[:, [3, 9]]).all() and np.isfinite(np.delete(log_prob, [3, 9], axis=1)).all()
    for sampling in (Sampling(), Sampling(decoding="sample", temperature=5.0)):
        label = gone.tuned(sampling).sample(300, key=Key(0), given=source.reference()).label
        assert not np.isin(label, (3, 9)).any()
    alone = learner.fit(train[train.label == 4], key=Key(0))
    assert (alone.sample(50, key=Key(0), given=train).label == 4).all()
    assert np.allclose(alone.label_log_prob(train.x[:3])[:, 4], 0)
    pair = learner.fit(train[np.isin(train.label, (2, 7))], key=Key(0))
    held = source.reference()[np.isin(source.reference().label, (2, 7))]
    assert (pair.sample(len(held), key=Key(0), given=held).label == held.label).mean() > 0.9


def test_features_are_those_of_the_real_training_part():
    source = DigitsSource()
    learner = Classifier(components=12).bound_to(source)
    model = learner.fit(source.train()[:200], key=Key(0))
    later = learner.fit(
        Samples.of(source.train().x[200:500] + 3.0, label=source.train().label[200:500]), key=Key(0)
    )
    assert np.array_equal(model.features.mean, later.features.mean)
    seen = PrincipalComponentsSource(of="digits", components=12)
    assert np.allclose(model.features.seen(source.reference().x), seen.reference().x, atol=1e-9)
    # On the components themselves all numbers are the same features.
    plain = Classifier().bound_to(seen).fit(seen.train()[:200], key=Key(0))
    assert np.allclose(
        plain.label_log_prob(seen.reference().x), model.label_log_prob(source.reference().x), atol=1e-3
    )


def test_draws_follow_the_probabilities():
    data = clouds(300)
    model = Classifier().fit(data, key=Key(0))
    one = Samples.of(np.repeat([[6.0, 6.5]], 20_000, axis=0))
    p = np.exp(model.label_log_prob(one.x[:1]))[0]
    for temperature in (1.0, 2.0):
        tuned = model.tuned(Sampling(decoding="sample", temperature=temperature))
        label = tuned.sample(20_000, key=Key(5), given=one).label
        expected = p ** (1 / temperature)
        assert chisquare(np.bincount(label, minlength=3), expected / expected.sum() * 20_000).pvalue > 1e-6
        assert np.array_equal(label[:70], tuned.sample(70, key=Key(5), given=one).label)
    cold = model.tuned(Sampling(decoding="sample", temperature=1e-5))
    assert np.array_equal(
        cold.sample(300, key=Key(0), given=data).label, model.sample(300, key=Key(0), given=data).label
    )


def test_a_stored_model_says_the_same():
    data = clouds(200)
    learner = Classifier(components=2)
    model = learner.fit(data[data.label != 1], key=Key(0))
    again = learner.restore(load(save(model.arrays())))
    assert np.array_equal(model.label_log_prob(data.x), again.label_log_prob(data.x))
    assert model.label_log_prob(data.x[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("done", "kind", "match"),
    [
        (lambda: Classifier(components=0), SpecError, r"learner\.components is 0"),
        (lambda: Classifier(penalty=0), SpecError, r"learner\.penalty is 0"),
        (lambda: Classifier().bound_to(GaussianSource(dim=2)), SpecError, "needs labelled training records"),
        (
            lambda: Classifier(components=65).bound_to(DigitsSource()),
            DataError,
            r"learner\.components is 65, but",
        ),
        (
            lambda: Classifier().check_sampling(Sampling(decoding="beam")),
            SpecError,
            r"sampling\.decoding is beam",
        ),
        (
            lambda: Classifier().check_sampling(Sampling(temperature=2)),
            SpecError,
            r"sampling\.temperature is for sampling\.decoding: sample",
        ),
        (lambda: Classifier().fit(Samples.of(np.zeros((9, 2))), key=Key(0)), FitFailed, "carry none"),
        (
            lambda: Classifier().fit(Samples.of(np.zeros((9, 2)), label=np.full(9, -1)), key=Key(0)),
            FitFailed,
            "must be 0, 1, 2",
        ),
        (
            lambda: Classifier().fit(Samples.of(np.full((9, 2), np.nan), label=np.arange(9) % 2), key=Key(0)),
            FitFailed,
            "not finite|finite",
        ),
        (
            lambda: Classifier().fit(
                Samples.of(np.zeros((9, 2)), label=np.arange(9) % 2, weight=0.0), key=Key(0)
            ),
            FitFailed,
            "not all zero",
        ),
        (lambda: Classifier().fit(clouds(30), key=Key(0)).sample(5, key=Key(0)), DataError, "0 are there"),
    ],
)
def test_refusals(done, kind, match):
    with pytest.raises(kind, match=match):
        done()


@pytest.mark.slow
def test_mnist_as_the_down_scaled_experiment_has_it(real_data):
    """Sheet A.7: 1,000 pictures, 20 components, accuracy .845 on others; its spread over sets of a thousand is .007."""
    source = PrincipalComponentsSource(of={"kind": "mnist", "size": 25_000}, components=20)
    held, found = source.reference(), []
    for r in range(16):
        model = Classifier().bound_to(source).fit(source.train()[1000 * r : 1000 * (r + 1)], key=Key(0))
        found.append((model.sample(len(held), key=Key(1), given=held).label == held.label).mean())
    assert 4 * np.std(found) / 4 < 0.015
    assert np.mean(found) == pytest.approx(0.845, abs=0.015)
