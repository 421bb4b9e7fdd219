from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.features import PrincipalComponents
from autophage.metrics.frechet import (
    Frechet,
    FrechetModel,
    diagonal_w2_squared,
    floor,
    frechet,
    frechet_bias,
    gaussian_w2_squared,
)
from autophage.samples import Samples


def random_covariance(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T


def test_golden_values_r27():
    two = gaussian_w2_squared([0, 0], np.eye(2), [1, 2], [[2, 0.5], [0.5, 1]])
    shape = gaussian_w2_squared([0, 0], [[4, 1], [1, 3]], [0, 0], [[2, -0.5], [-0.5, 1]])
    assert two == pytest.approx(5.247842, abs=1e-6)
    assert shape == pytest.approx(1.3339826, abs=1e-6)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_against_scipys_matrix_root(rng, d):
    m1, m2 = rng.normal(size=(2, d))
    S1, S2 = random_covariance(rng, d), random_covariance(rng, d)
    theirs = np.sum((m1 - m2) ** 2) + np.trace(S1 + S2 - 2 * scipy.linalg.sqrtm(S1 @ S2).real)
    assert gaussian_w2_squared(m1, S1, m2, S2) == pytest.approx(theirs, rel=1e-8)
    assert gaussian_w2_squared(m2, S2, m1, S1) == pytest.approx(theirs, rel=1e-8)


def test_batches_broadcast_on_either_side(rng):
    m, S = rng.normal(size=(6, 3)), np.stack([random_covariance(rng, 3) for _ in range(6)])
    t, T = rng.normal(size=(1, 3)), random_covariance(rng, 3)[None]
    one_by_one = [gaussian_w2_squared(a, A, t[0], T[0]) for a, A in zip(m, S, strict=True)]
    np.testing.assert_allclose(gaussian_w2_squared(m, S, t, T), one_by_one, rtol=1e-9)
    np.testing.assert_allclose(gaussian_w2_squared(t, T, m, S), one_by_one, rtol=1e-9)


def test_identical_is_zero_and_singular_is_legal(rng):
    S = random_covariance(rng, 5)
    S[0] = S[:, 0] = 0  # a constant pixel
    m = rng.normal(size=5)
    assert gaussian_w2_squared(m, S, m, S) == pytest.approx(0, abs=1e-7 * np.trace(S))
    assert gaussian_w2_squared(m, S, m, 0 * S) == pytest.approx(np.trace(S), rel=1e-12)
    slightly_negative = np.diag([1.0, -1e-12])
    assert np.isfinite(gaussian_w2_squared(np.zeros(2), slightly_negative, np.zeros(2), np.eye(2)))


def test_diagonal_form(rng):
    m1, m2 = rng.normal(size=(2, 4))
    v1, v2 = rng.uniform(size=(2, 4))
    full = gaussian_w2_squared(m1, np.diag(v1), m2, np.diag(v2))
    assert diagonal_w2_squared(m1, v1, m2, v2) == pytest.approx(full, rel=1e-9)


def test_bad_moments():
    with pytest.raises(DataError, match="agree in d"):
        gaussian_w2_squared([0, 0], np.eye(2), [0, 0, 0], np.eye(3))
    with pytest.raises(DataError, match="NaN"):
        gaussian_w2_squared([0, np.nan], np.eye(2), [0, 0], np.eye(2))


def test_records_give_the_distance_of_their_moments(rng):
    x, y = rng.normal(size=(200, 3)), rng.normal(size=(150, 3)) * 2 + 1
    expected = gaussian_w2_squared(x.mean(axis=0), np.cov(x.T), y.mean(axis=0), np.cov(y.T))
    found = frechet(x, y)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.n == 150
    other = frechet(y[::-1], x[::-1])  # order and roles do not matter
    assert (other.value, other.low, other.high) == pytest.approx(
        (found.value, found.low, found.high), rel=1e-6
    )
    assert frechet(x, x).value == pytest.approx(0, abs=1e-7)


def test_influence_is_the_derivative(rng):
    # Leaving out one record at a time moves the distance by that record's influence / n.
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(300, 2)) @ np.diag([1.5, 0.7]) + 0.4
    without = [frechet(np.delete(x, i, axis=0), y).value for i in range(400)]
    besides = [frechet(x, np.delete(y, i, axis=0)).value for i in range(300)]
    jackknife = np.sqrt(
        sum((len(v) - 1) ** 2 / len(v) * np.var(v, ddof=1) for v in map(np.array, (without, besides)))
    )
    found = frechet(x, y)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(jackknife, rel=0.03)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_interval_covers_the_expected_distance(rng, house, scale):
    found = [frechet(rng.normal(size=(200, 3)), scale * rng.normal(size=(200, 3))) for _ in range(400)]
    # 95 % less four standard errors of 400 repetitions, and a little for the normal approximation.
    assert house.coverage(found, np.mean([f.value for f in found])) > 0.95 - 4 * 0.011 - 0.01


def test_bias_hint_matches_what_is_measured(rng):
    root = np.diag([1.0, 2.0, 0.5, 1.5])
    found = [
        frechet(rng.normal(size=(300, 4)) @ root, rng.normal(size=(300, 4)) @ root).value for _ in range(300)
    ]
    error = np.std(found) / np.sqrt(300)
    hint = frechet_bias(root @ root, 300, 300)
    assert np.mean(found) == pytest.approx(hint, abs=4 * error + 0.03 * hint)  # first order in 1/n
    assert frechet_bias(np.eye(100), 10**9, 300) == pytest.approx(9.1, rel=0.05)  # R21, next order left out


def test_constant_pixels_and_few_records(rng):
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(60, 4))
    x[:, 1] = y[:, 1] = 3.0
    found = frechet(x, y)
    assert found.low < found.value < found.high
    reduced = frechet(x[:, [0, 2, 3]], y[:, [0, 2, 3]])
    assert (found.value, found.high) == pytest.approx((reduced.value, reduced.high), rel=1e-6)
    few = frechet(x[:4], y[:4])
    assert few.value >= 0 and np.isnan(few.low)


def test_floor_is_the_distance_of_two_halves(rng, house):
    """Its mean over many sets is the bias that `frechet_bias` says; the halves share no record, and are always the same."""
    x = rng.normal(size=(200, 3))
    assert floor(x).value == floor(x.copy()).value and floor(x).n == 100
    found = np.array([floor(rng.normal(size=(400, 3))).value for _ in range(300)])
    assert (
        abs(found.mean() - frechet_bias(np.eye(3), 200, 200))
        < 4.5 * found.std() / np.sqrt(300) + 0.05 * found.mean()
    )
    with pytest.raises(DataError):
        floor(x[:3])
    train, held = (rng.normal(size=(n, 5)) for n in (300, 80))
    source = house.FiniteSource(Samples.of(train), Samples.of(held))
    part = Frechet(features="pca", components=2)
    extract = PrincipalComponents(train, 2)
    assert part.floors(source, {}) == {"frechet_pca2": floor(extract(held))}


def test_part_names_its_space(rng):
    real, made = Samples.of(rng.normal(size=(40, 5))), Samples.of(rng.normal(size=(30, 5)))
    for settings, row in (
        ({}, "frechet_pixels"),
        ({"features": "standardised"}, "frechet_standardised"),
        ({"features": "pca", "components": 2}, "frechet_pca2"),
    ):
        assert list(Frechet(**settings).compare(real, made, key=Key(0), memo={})) == [row]
    with pytest.raises(SpecError, match="inception"):
        Frechet(features="inception")


def test_standardised_does_not_depend_on_units(rng):
    x, y = rng.normal(size=(80, 3)), rng.normal(size=(80, 3)) + 0.3
    units = np.array([1e-3, 1.0, 1e4])
    values = [
        Frechet(features="standardised")
        .compare(Samples.of(x * u), Samples.of(y * u), key=Key(0), memo={})["frechet_standardised"]
        .value
        for u in (1, units)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-8)


class GaussianLike(SimpleNamespace):
    def covariance(self):
        return self.S


def test_model_metric(rng, house):
    mean, S = rng.normal(size=(4, 2)), np.stack([random_covariance(rng, 2) for _ in range(4)])
    truth = GaussianLike(mean=np.zeros((1, 2)), S=np.eye(2)[None])
    view = house.View(SimpleNamespace(truth=truth), model=GaussianLike(mean=mean, S=S), replicates=4)
    (row,) = FrechetModel().measure(view)
    assert row.metric == "frechet_model" and row.low is None
    np.testing.assert_allclose(row.value, gaussian_w2_squared(mean, S, np.zeros(2), np.eye(2)))
    flat = SimpleNamespace(mean=mean, variances=np.diagonal(S, axis1=1, axis2=2))
    known = SimpleNamespace(mean=np.zeros((1, 2)), variances=np.ones((1, 2)))
    (row,) = FrechetModel().measure(house.View(SimpleNamespace(truth=known), model=flat, replicates=4))
    np.testing.assert_allclose(row.value, diagonal_w2_squared(mean, flat.variances, 0.0, 1.0))
