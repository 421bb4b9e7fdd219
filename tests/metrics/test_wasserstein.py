from __future__ import annotations

import numpy as np
import ot
import pytest
from scipy.stats import wasserstein_distance

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.sliced_wasserstein import SlicedWasserstein, directions, sliced_wasserstein
from autophage.metrics.wasserstein import Wasserstein, quantile_coupling, wasserstein, wasserstein_1d
from autophage.samples import Samples


@pytest.mark.parametrize(("n", "m"), [(5, 5), (7, 3), (100, 64), (1, 9)])
def test_line_against_scipy_and_pot(rng, n, m):
    x, y = rng.normal(size=n), rng.exponential(size=m)
    assert wasserstein_1d(x, y, 1) == pytest.approx(wasserstein_distance(x, y), rel=1e-10)
    assert wasserstein_1d(x, y, 2) ** 2 == pytest.approx(ot.wasserstein_1d(x, y, p=2), rel=1e-10)
    assert wasserstein_1d(x, y, 3) == pytest.approx(wasserstein_1d(y, x, 3), rel=1e-12)
    i, j, weight = quantile_coupling(n, m)
    np.testing.assert_allclose(np.bincount(i, weight), 1 / n)
    np.testing.assert_allclose(np.bincount(j, weight), 1 / m)


def test_line_takes_many_columns(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(31, 3))
    np.testing.assert_allclose(wasserstein_1d(x, y), [wasserstein_1d(x[:, c], y[:, c]) for c in range(3)])


@pytest.mark.parametrize("d", [2, 30])
def test_assignment_against_pot(rng, d):
    x, y = rng.normal(size=(60, d)) + 50, rng.normal(size=(60, d)) * 1.3 + 50
    cost = np.square(x[:, None] - y).sum(axis=2)
    found = wasserstein(x, y, key=Key(0))
    assert found.value**2 == pytest.approx(ot.emd2(ot.unif(60), ot.unif(60), cost), rel=1e-9)
    assert found.low <= found.value <= found.high and found.n == 60


def test_laws(rng):
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) + 1
    assert wasserstein(x, x[::-1], key=Key(0)).value == pytest.approx(0, abs=1e-7)
    there, back = wasserstein(x, y, key=Key(0)), wasserstein(y, x, key=Key(0))
    assert there.value == pytest.approx(back.value, rel=1e-12)
    assert wasserstein(rng.permutation(x), y, key=Key(0)).value == pytest.approx(there.value, rel=1e-12)
    shift = wasserstein(x, x + np.array([3.0, 4.0, 0.0]), key=Key(0))  # the optimal plan is the shift itself
    assert shift.value == pytest.approx(5, rel=1e-12)
    assert wasserstein(2 * x, 2 * y, key=Key(0)).value == pytest.approx(2 * there.value, rel=1e-12)


def test_unequal_and_large_sets_are_subsampled(rng):
    x, y = rng.normal(size=(80, 2)), rng.normal(size=(50, 2))
    assert wasserstein(x, y, key=Key(0)).n == 50
    assert wasserstein(x, y, key=Key(0), most=20).n == 20
    assert wasserstein(x, y, key=Key(0), most=20) == wasserstein(x, y, key=Key(0), most=20)
    assert wasserstein(x, y, key=Key(0), most=20) != wasserstein(x, y, key=Key(1), most=20)
    assert wasserstein(x[:, :1], y[:, :1], key=Key(0), most=20).n == 50  # exact on the line at any size


def test_interval_covers_the_expected_distance(rng, house):
    # Coverage is of the mean at this size; 10 blocks, t with 9 degrees of freedom.
    line = [
        wasserstein(rng.normal(size=(200, 1)), 1.5 * rng.normal(size=(150, 1)), key=Key(0))
        for _ in range(300)
    ]
    plane = [
        wasserstein(rng.normal(size=(80, 2)), rng.normal(size=(80, 2)) + 1, key=Key(0)) for _ in range(300)
    ]
    for found in (line, plane):
        squared = np.mean([f.value**2 for f in found])
        assert house.coverage(found, np.sqrt(squared)) > 0.95 - 4 * 0.0126 - 0.01
        width = np.mean([f.high - f.low for f in found])
        assert width < 12 * np.std([f.value for f in found])  # an interval, not everything


def test_too_few_for_an_interval(rng):
    found = wasserstein(rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), key=Key(0))
    assert np.isfinite(found.value) and np.isnan(found.low) and np.isnan(found.high)


def test_sliced_against_pot(rng):
    x, y = rng.normal(size=(70, 4)), rng.normal(size=(90, 4)) + 0.5
    u = directions(4, 128, Key(3))
    np.testing.assert_allclose(np.linalg.norm(u, axis=0), 1)
    theirs = ot.sliced_wasserstein_distance(x, y, projections=u)
    assert sliced_wasserstein(x, y, key=Key(3)).value == pytest.approx(theirs, rel=1e-9)


def test_sliced_laws(rng):
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 1
    found = sliced_wasserstein(x, y)
    assert sliced_wasserstein(x, x[::-1]).value == 0
    assert sliced_wasserstein(y, x).value == pytest.approx(found.value, rel=1e-12)
    assert found.value <= wasserstein(x, y, key=Key(0)).value
    assert sliced_wasserstein(x[:, :1], y[:, :1]).value == pytest.approx(wasserstein_1d(x[:, 0], y[:, 0]))
    # A shift s has W2 = |u's| along u, and the mean of (u's)^2 over the sphere is |s|^2 / d.
    shift = sliced_wasserstein(x, x + np.array([3.0, 0, 0]), projections=20_000).value
    assert shift**2 == pytest.approx(9 / 3, rel=4 * np.sqrt(4 / 5 / 20_000))


def test_sliced_interval_covers(rng, house):
    found = [
        sliced_wasserstein(rng.normal(size=(150, 3)), 1.4 * rng.normal(size=(100, 3)), projections=16)
        for _ in range(300)
    ]
    assert house.coverage(found, np.sqrt(np.mean([f.value**2 for f in found]))) > 0.95 - 4 * 0.0126 - 0.01


def test_rows(rng):
    real, made = Samples.of(rng.normal(size=(30, 3))), Samples.of(rng.normal(size=(30, 3)))
    assert list(Wasserstein().compare(real, made, key=Key(0), memo={})) == ["wasserstein"]
    assert list(SlicedWasserstein().compare(real, made, key=Key(0), memo={})) == ["sliced_wasserstein_p128"]
    pca = SlicedWasserstein(projections=8, features="pca", components=2)
    assert list(pca.compare(real, made, key=Key(0), memo={})) == ["sliced_wasserstein_p8_pca2"]


def test_bad_input(rng):
    x = rng.normal(size=(10, 3))
    with pytest.raises(DataError, match="3 numbers each and generated ones 2"):
        wasserstein(x, x[:, :2], key=Key(0))
    with pytest.raises(DataError, match="NaN"):
        sliced_wasserstein(x, np.where(x > 0, x, np.nan))
    with pytest.raises(DataError, match="no record"):
        wasserstein(x, x[:0], key=Key(0))
    with pytest.raises(SpecError, match=r"p is 0\.5"):
        wasserstein_1d(x, x, 0.5)
    with pytest.raises(SpecError, match="projections is 0"):
        SlicedWasserstein(projections=0)
    with pytest.raises(SpecError, match="most is 1"):
        Wasserstein(most=1)
