from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import (
    Classifier,
    PrincipalComponents,
    ScaledComponents,
    Standardised,
    fit_features,
    training_records,
)
from autophage.metrics.frechet import Frechet
from autophage.metrics.records import matched, matrix, remembered, subset
from autophage.samples import Samples


@pytest.fixture(scope="module")
def digits() -> tuple[Samples, Samples]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    whole = Samples.of(data.data[order], label=data.target[order])
    return whole[:1437], whole[1437:]


@pytest.mark.parametrize("shape", [(100, 7), (10, 30)])
def test_principal_components_against_scikit_learn(rng, shape):
    x = rng.normal(size=shape) @ np.diag(np.linspace(1, 3, shape[1]))
    mine = PrincipalComponents(x, 4)
    theirs = PCA(4).fit(x)
    y = rng.normal(size=(5, shape[1]))
    np.testing.assert_allclose(np.abs(mine(y)), np.abs(theirs.transform(y)), atol=1e-9)
    np.testing.assert_allclose(mine.basis.T @ mine.basis, np.eye(4), atol=1e-12)
    assert (mine.basis[np.abs(mine.basis).argmax(axis=0), np.arange(4)] > 0).all()


def test_scaled_components_vary_by_one_on_average(rng):
    x = rng.normal(size=(100, 7)) @ np.diag(np.linspace(1, 30, 7)) + 5
    plain, scaled = PrincipalComponents(x, 4), ScaledComponents(x, 4)
    np.testing.assert_allclose(scaled(x), plain(x) / plain(x).std())
    assert scaled(x).var(axis=0).sum() == pytest.approx(4)
    y = rng.normal(size=(5, 7))
    np.testing.assert_allclose(scaled(y), plain(y) / plain(x).std())  # real records are the measure
    assert np.isfinite(ScaledComponents(np.ones((5, 2)), 2)(y[:, :2])).all()
    real, made = Samples.of(x), Samples.of(1.1 * x)
    found = Frechet(features="scaled_pca", components=4).compare(real, made, key=Key(0), memo={})
    other = Frechet(features="pca", components=4).compare(real, made, key=Key(0), memo={})
    ratio = other["frechet_pca4"].value / found["frechet_scaled_pca4"].value
    assert ratio == pytest.approx(plain(x).var())


def test_standardised_keeps_constant_columns(rng):
    x = np.c_[rng.normal(3, 5, size=100), np.full(100, 7.0)]
    z = Standardised(x)(x)
    np.testing.assert_allclose(z.std(axis=0), [1, 0], atol=1e-12)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    assert Standardised(x)(np.array([[3.0, 8.0]]))[0, 1] == 1


def test_classifier_learns_digits_and_is_the_same_every_time(digits):
    train, held_out = digits
    first = Classifier(train.x, train.label)
    accuracy = (first.posterior(held_out.x).argmax(axis=1) == held_out.label).mean()
    assert accuracy > 0.93
    features = first(held_out.x)
    assert features.shape == (360, 64)
    np.testing.assert_array_equal(features, Classifier(train.x, train.label)(held_out.x))


def test_classifier_of_two_named_classes(rng):
    x = rng.normal(size=(200, 2)) + np.repeat([[0, 0], [4, 4]], 100, axis=0)
    found = Classifier(x, np.repeat([3, 7], 100))
    share = found.posterior(x)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    assert (found.classes[share.argmax(axis=1)] == np.repeat([3, 7], 100)).mean() > 0.95


def test_frechet_in_classifier_space_sees_lost_classes(digits, house):
    train, held_out = digits
    part = Frechet(features="classifier")
    assert part.needs == {"samples", "labels"} and Frechet().needs == {"samples"}
    source = house.FiniteSource(train, held_out)
    view = house.View(source, [train[:360], train[train.label < 5][:360]], replicates=2)
    (row,) = part.measure(view)
    assert row.metric == "frechet_classifier_real_labels"
    assert row.value[1] > 2 * row.value[0]


def test_features_come_from_training_records_whatever_is_compared(rng, house):
    train = Samples.of(rng.normal(size=(200, 6)) @ np.diag([5, 4, 1, 1, 1, 1]))
    source = house.FiniteSource(train, Samples.of(rng.normal(size=(50, 6))))
    view = house.View(source, [Samples.of(rng.normal(size=(40, 6)))])
    Frechet(features="pca", components=2).measure(view)
    (extract,) = (v for k, v in view.memo.items() if k[:2] == ("metrics", "extractor"))
    np.testing.assert_array_equal(extract.basis, PrincipalComponents(train.x, 2).basis)
    law = house.LawSource(lambda g, shape: g.normal(size=(*shape, 2)))
    assert len(training_records(law)) == 2000


def doubled(x: np.ndarray) -> np.ndarray:
    return 2 * x.reshape(len(x), -1)


def test_anyones_own_features(rng, monkeypatch):
    import sys
    import types

    module = types.ModuleType("house_of_features")
    module.doubled = doubled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "house_of_features", module)
    real, made = Samples.of(rng.normal(size=(40, 2))), Samples.of(rng.normal(size=(40, 2)))
    mine = Frechet(features="house_of_features:doubled").compare(real, made, key=Key(0), memo={})
    plain = Frechet().compare(real, made, key=Key(0), memo={})
    assert mine["frechet_doubled"].value == pytest.approx(4 * plain["frechet_pixels"].value)


def test_memo_knows_records_by_their_memory(rng):
    memo: dict = {}
    calls = []
    x = rng.normal(size=(5, 10, 2))
    for _ in range(3):
        for r in range(5):
            remembered(memo, "sum", Samples.of(x[r]), lambda r=r: calls.append(r))
    assert calls == [0, 1, 2, 3, 4]
    for i in range(200):  # what is forgotten does not pile up
        remembered(memo, "sum", Samples.of(rng.normal(size=(3, 2))), lambda i=i: i)
    assert len(memo["metrics", "sum"]) <= 64


def test_bad_input(rng):
    x = rng.normal(size=(10, 3))
    with pytest.raises(SpecError, match="pca with 4"):
        PrincipalComponents(x, 4)
    with pytest.raises(DataError, match="labels"):
        Classifier(x, None)
    with pytest.raises(DataError, match="two classes"):
        Classifier(x, np.zeros(10))
    with pytest.raises(SpecError, match="components is 0"):
        Frechet(features="pca", components=0)
    with pytest.raises(SpecError, match="known: pixels"):
        fit_features("vgg", lambda: Samples.of(x))
    with pytest.raises(DataError, match="must be numbers"):
        matrix(np.array([["a"]]), "the records")
    with pytest.raises(DataError, match="infinity"):
        matrix(np.array([np.inf]), "the records")
    with pytest.raises(DataError, match="at least 3"):
        matched(x, x[:2], fewest=3)
    assert subset(x, 4, Key(0)).shape == (4, 3) and subset(x, 10, Key(0)) is x
