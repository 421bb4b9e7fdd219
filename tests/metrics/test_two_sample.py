from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.two_sample import ClassifierTwoSample, classifier_two_sample
from autophage.samples import Samples


def test_equal_laws_are_told_apart_by_chance_only(rng, house):
    found = [
        classifier_two_sample(
            rng.normal(size=(100, 2)), rng.normal(size=(100, 2)), key=Key(i), classifier="neighbours"
        )
        for i in range(150)
    ]
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / np.sqrt(150))
    assert house.coverage(found, 0.5) > 0.95 - 4 * 0.0178 - 0.01


def test_logistic_reaches_the_bayes_accuracy_of_a_shift(rng):
    found = classifier_two_sample(
        rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) + np.array([2.0, 0]), key=Key(0)
    )
    assert found.value == pytest.approx(ndtr(1.0), abs=4 * np.sqrt(0.134 / 4000) + 0.003)
    assert found.n == 2000


def test_neighbours_see_what_a_line_cannot(rng):
    x, y = rng.normal(size=(500, 2)), 0.3 * rng.normal(size=(500, 2))
    assert classifier_two_sample(x, y, key=Key(0)).value < 0.6
    assert classifier_two_sample(x, y, key=Key(0), classifier="neighbours").value > 0.7


def test_balanced_by_subsampling(rng):
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(60, 2))
    found = classifier_two_sample(x, y, key=Key(0))
    assert found.n == 60 and found.value < 0.75  # always answering "real" would win 0.87 unbalanced
    assert classifier_two_sample(x, x, key=Key(0), most=50).n == 50


def test_rows_and_bad_input(rng):
    real, made = Samples.of(rng.normal(size=(40, 3))), Samples.of(rng.normal(size=(30, 3)))
    assert list(ClassifierTwoSample().compare(real, made, key=Key(0), memo={})) == ["c2st"]
    other = ClassifierTwoSample(classifier="neighbours", features="standardised")
    assert list(other.compare(real, made, key=Key(0), memo={})) == ["c2st_neighbours_standardised"]
    with pytest.raises(DataError, match="at least 6"):
        classifier_two_sample(real.x[:4], made.x, key=Key(0))
    with pytest.raises(SpecError, match="folds is 1"):
        ClassifierTwoSample(folds=1)
    with pytest.raises(SpecError, match="classifier is 'forest'"):
        ClassifierTwoSample(classifier="forest")  # type: ignore[arg-type]
