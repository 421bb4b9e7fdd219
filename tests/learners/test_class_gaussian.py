"""A Gaussian for each class: its fit, its errors on demand, and its density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from autophage.errors import DataError, FitFailed, SpecError
from autophage.intake import part
from autophage.keys import Key
from autophage.learners.class_gaussian import ClassGaussian
from autophage.loop import Loop
from autophage.samples import Samples

KEY = Key(0) / "test_class_gaussian"


def records(n=600, seed="records"):
    rng = (KEY / seed).generator()
    label = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 2)) * [1, 2] + np.array([[0, 0], [20, 0], [0, 20]])[label]
    return Samples.of(x, label=label)


def test_the_fit_is_maximum_likelihood():
    data = records()
    model = ClassGaussian(ridge=0.5).fit(data, key=KEY)
    for c in range(3):
        x = data.x[data.label == c]
        np.testing.assert_allclose(model.means[c], x.mean(axis=0))
        np.testing.assert_allclose(model.covariances[c], np.cov(x.T, ddof=0) + 0.5 * np.eye(2))
    np.testing.assert_array_equal(model.shares, np.bincount(data.label))


def test_a_weight_of_two_is_a_record_seen_twice():
    data = records(90)
    twice = data[np.concatenate([np.arange(90), np.arange(0, 90, 2)])]
    weighted = Samples.of(data.x, label=data.label, weight=1.0 + (np.arange(90) % 2 == 0))
    for name, value in ClassGaussian().fit(twice, key=KEY).arrays().items():
        np.testing.assert_allclose(ClassGaussian().fit(weighted, key=KEY).arrays()[name], value)


def test_samples_have_the_law_and_the_labels():
    n = 30000
    model = ClassGaussian().fit(records(), key=KEY)
    drawn = model.sample(n, key=KEY / "sample")
    np.testing.assert_allclose(np.bincount(drawn.label) / n, model.shares / 600, atol=1 / n)
    for c in range(3):
        x = drawn.x[drawn.label == c]
        error = np.sqrt(np.diagonal(model.covariances[c]) / len(x))
        assert (abs(x.mean(axis=0) - model.means[c]) < 4.5 * error).all()
        assert np.allclose(np.cov(x.T), model.covariances[c], atol=4.5 * 4 * np.sqrt(2 / len(x)))
    given = Samples.of(label=np.array([2, 0, 1]))
    assert model.sample(3, key=KEY, given=given).label.tolist() == [2, 0, 1]


def test_blur_and_leak_are_what_they_say():
    """Variances grow by (blur g)^2; a share `leak` lies where another class is, evenly over the others."""
    data, n = records(), 30000
    g = np.sqrt(data.x.var(axis=0).mean())
    model = ClassGaussian(blur=0.1, leak=0.2).fit(data, key=KEY)
    assert abs(model.blur - 0.1 * g) < 1e-12
    drawn = model.sample(n, key=KEY / "errors")
    near = np.square(drawn.x[:, None] - model.means).sum(axis=2).argmin(axis=1)
    wrong = near != drawn.label
    assert abs(wrong.mean() - 0.2) < 4.5 * np.sqrt(0.16 / n)
    others = (near - drawn.label)[wrong] % 3 == 1
    assert abs(others.mean() - 0.5) < 4.5 * np.sqrt(0.25 / wrong.sum())
    x = drawn.x[~wrong & (near == 0)]
    expected = np.diagonal(model.covariances[0]) + model.blur**2
    assert (abs(x.var(axis=0) / expected - 1) < 4.5 * np.sqrt(2 / len(x))).all()


def test_the_density_is_that_of_what_is_sampled():
    model = ClassGaussian(blur=0.1, leak=0.2).fit(records(), key=KEY)
    x = model.sample(50, key=KEY / "density").x
    w = model.shares / model.shares.sum()
    mixed = 0.8 * w + 0.1 * (1 - w)
    noise = model.blur**2 * np.eye(2)
    expected = sum(
        mixed[c] * multivariate_normal(model.means[c], model.covariances[c] + noise).pdf(x) for c in range(3)
    )
    np.testing.assert_allclose(model.log_prob(x), np.log(expected), rtol=1e-9)


def test_the_unit_of_blur_is_that_of_the_real_training_part():
    source = part("data", {"kind": "principal_components", "of": "digits", "components": 4}, "data")
    bound = ClassGaussian(blur=0.3).bound_to(source)
    shrunk = Samples.of(source.train().x / 10, label=source.train().label)
    assert abs(bound.fit(shrunk, key=KEY).blur - 0.3) < 1e-12


def test_a_class_that_is_gone_stays_gone():
    data = records()
    two = data[data.label < 2]
    source = part("data", "digits", "data")
    model = ClassGaussian().bound_to(source).fit(two, key=KEY)
    assert model.classes == 10 and set(model.sample(200, key=KEY).label.tolist()) == {0, 1}
    asked = model.sample(4, key=KEY, given=Samples.of(label=np.array([0, 7, 7, 1])))
    assert asked.label.tolist() == [0, 7, 7, 1] and np.isfinite(asked.x).all()


def test_bad_input_is_refused():
    for settings in ({"leak": 1.5}, {"blur": -1}, {"ridge": float("nan")}):
        with pytest.raises(SpecError, match=rf"learner\.{next(iter(settings))}"):
            ClassGaussian(**settings)
    with pytest.raises(FitFailed, match="carry none"):
        ClassGaussian().fit(Samples.of(np.zeros((4, 2))), key=KEY)
    with pytest.raises(FitFailed, match="not finite"):
        ClassGaussian().fit(Samples.of(np.full((4, 2), np.nan), label=np.zeros(4)), key=KEY)
    with pytest.raises(DataError, match="labels from 0 to 2"):
        ClassGaussian().fit(records(), key=KEY).sample(2, key=KEY, given=Samples.of(label=np.array([0, 9])))
    point = Samples.of(np.zeros((4, 2)), label=np.zeros(4, dtype=int))
    with pytest.raises(FitFailed, match=r"singular; set learner\.ridge"):
        ClassGaussian().fit(point, key=KEY).log_prob(np.zeros((1, 2)))
    with pytest.raises(SpecError, match="labelled"):
        Loop(seed=0, data="two_moons", learner="class_gaussian", workflow="replace")
