from __future__ import annotations

import numpy as np
import prdc
import pytest

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.density_coverage import DensityCoverageMetric, density_coverage
from autophage.metrics.precision_recall import PrecisionRecallMetric, precision_recall, radii
from autophage.samples import Samples

REAL = np.array([[0.0], [1], [2], [3], [4]])
GENERATED = np.array([[0.4], [1.6], [2.2], [9], [9.5]])


@pytest.mark.parametrize(("k", "expected"), [(1, (0.6, 0.6)), (2, (0.6, 1.0))])
def test_golden_values_r28(k, expected):
    found = precision_recall(REAL, GENERATED, k=k)
    assert (found.precision.value, found.recall.value) == expected


@pytest.mark.parametrize(("d", "k"), [(2, 3), (12, 5)])
def test_against_prdc(rng, d, k):
    x, y = rng.normal(size=(150, d)), rng.normal(size=(110, d)) * 0.8 + 0.3
    theirs = prdc.compute_prdc(x, y, nearest_k=k)
    mine = precision_recall(x, y, k=k)
    other = density_coverage(x, y, k=k)
    assert mine.precision.value == pytest.approx(theirs["precision"], abs=1e-12)
    assert mine.recall.value == pytest.approx(theirs["recall"], abs=1e-12)
    assert other.density.value == pytest.approx(theirs["density"], abs=1e-12)
    assert other.coverage.value == pytest.approx(theirs["coverage"], abs=1e-12)


@pytest.mark.parametrize("d", [2, 30])
def test_laws(rng, d):
    x, y = rng.normal(size=(80, d)), rng.normal(size=(60, d))
    same = precision_recall(x, x)
    assert same.precision.value == same.recall.value == 1
    # In a set against itself every ball holds its centre and its k neighbours.
    assert density_coverage(x, x, k=4).density.value == pytest.approx(5 / 4)
    assert density_coverage(x, x, k=4).coverage.value == 1
    found, back = precision_recall(x, y), precision_recall(y, x)
    assert found.precision.value == back.recall.value and found.recall.value == back.precision.value
    shuffled = precision_recall(rng.permutation(x), rng.permutation(y))
    assert [c.value for c in shuffled] == [c.value for c in found]
    for chunk in (50, 999):
        assert precision_recall(x, y, chunk=chunk) == found
        assert density_coverage(x, y, chunk=chunk) == density_coverage(x, y)
    far = precision_recall(x, y + 1e6)
    assert far.precision.value == far.recall.value == 0
    assert far.precision.high > 0
    assert density_coverage(x, y + 1e6).coverage.value == 0


def test_radius_cap_tames_an_outlier(rng):
    real = np.vstack([rng.normal(size=(99, 2)), [[60.0, 0]]])
    made = np.array([60.0, 0]) + 30 * rng.uniform(-1, 1, size=(100, 2))
    assert precision_recall(real, made).precision.value > 0.9
    assert precision_recall(real, made, radius_cap=0.95).precision.value < 0.05
    assert density_coverage(real, made).density.value < 0.5
    assert radii(real, 3, cap=0.5).max() == np.median(radii(real, 3))


@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_intervals_cover_redraws_of_both_sets(rng, house, scale):
    found = [
        (*precision_recall(x, y), *density_coverage(x, y))
        for x, y in ((rng.normal(size=(200, 3)), scale * rng.normal(size=(150, 3))) for _ in range(200))
    ]
    for row in zip(*found, strict=True):
        mean = np.mean([f.value for f in row])
        assert house.coverage(row, mean) > 0.95 - 4 * 0.0154 - 0.01
        assert np.mean([f.high - f.low for f in row]) < 12 * np.std([f.value for f in row])
        assert row[0].n == 150


def test_rows_and_memo(rng):
    real, made = Samples.of(rng.normal(size=(40, 3))), Samples.of(rng.normal(size=(30, 3)))
    memo: dict = {}
    part = PrecisionRecallMetric()
    first = part.compare(real, made, key=Key(0), memo=memo)
    assert list(first) == ["precision_k3", "recall_k3"]
    assert part.compare(real, made, key=Key(0), memo=memo) == first
    assert list(DensityCoverageMetric().compare(real, made, key=Key(0), memo=memo)) == [
        "density_k5",
        "coverage_k5",
    ]
    capped = PrecisionRecallMetric(k=2, radius_cap=0.9, features="pca", components=2)
    assert list(capped.compare(real, made, key=Key(0), memo=memo)) == [
        "precision_k2_cap0.9_pca2",
        "recall_k2_cap0.9_pca2",
    ]
    other = Samples.of(rng.normal(size=(40, 3)) + 3)  # the memo knows one real set from another
    assert part.compare(other, made, key=Key(0), memo=memo) == part.compare(other, made, key=Key(0), memo={})


@pytest.mark.parametrize("function", [precision_recall, density_coverage])
def test_bad_input(rng, function):
    x = rng.normal(size=(5, 2))
    with pytest.raises(SpecError, match="k is 5"):
        function(x, x, k=5)
    with pytest.raises(SpecError, match="whole number"):
        function(x, x, k=0)
    with pytest.raises(SpecError, match="whole number"):
        function(x, x, k=2.5)
    with pytest.raises(SpecError, match="quantile"):
        function(x, x, k=1, radius_cap=1.5)
    with pytest.raises(DataError, match="numbers each"):
        function(x, x[:, :1], k=1)
    with pytest.raises(DataError, match="NaN"):
        function(x * np.nan, x, k=1)
