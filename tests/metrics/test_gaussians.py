"""The Frechet distance of many numbers: moments in parts, the cheap way and the careful one, few records, extrapolation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics import gaussians
from autophage.metrics.frechet import Frechet, frechet, frechet_bias, frechet_infinity, frechet_of
from autophage.metrics.gaussians import Moments, overlap
from autophage.samples import Samples


def by_matrix_root(x, y):
    S1, S2 = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(S1 @ S2)
    return np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(S1 + S2 - 2 * root.real)


def by_singular_values(x, y):
    """Without a square root of a rounded number anywhere: |Xc Yc'|_* of the centred records."""
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    n, m = len(x) - 1, len(y) - 1
    shared = scipy.linalg.svdvals(a @ b.T).sum() / np.sqrt(n * m)
    apart = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    return apart + np.square(a).sum() / n + np.square(b).sum() / m - 2 * shared


def features(rng, n, d, decay, scale=1.0, shift=0.0):
    """Records whose variances fall as i^-decay, turned."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    spread = np.arange(1, d + 1) ** (-decay / 2)
    return (rng.normal(size=(n, d)) * spread * scale) @ turn + shift


@pytest.mark.parametrize("decay", [0, 1, 2])
@pytest.mark.parametrize("interval", [True, False])
def test_equal_to_scipys_matrix_root(rng, decay, interval):
    x, y = features(rng, 400, 60, decay), features(rng, 350, 60, decay, 1.1, 0.1)
    found = frechet(x, y, interval=interval)
    assert found.value == pytest.approx(by_matrix_root(x, y), rel=1e-6)
    assert np.isfinite(found.low) == interval


@pytest.mark.parametrize("decay", [0, 2, 4, 6])
@pytest.mark.parametrize(("n", "m"), [(300, 250), (40, 250), (300, 40), (40, 30), (30, 40)])
def test_equal_to_singular_values_where_covariances_are_nearly_or_quite_singular(rng, n, m, decay):
    x, y = features(rng, n, 60, decay), features(rng, m, 60, decay, 1.1)
    assert frechet(x, y).value == pytest.approx(by_singular_values(x, y), rel=1e-6)
    assert frechet(y, x).value == pytest.approx(by_singular_values(x, y), rel=1e-6)
    if decay == 0:
        assert frechet(x, y).value == pytest.approx(by_matrix_root(x, y), rel=1e-6)


def test_constant_and_repeated_columns(rng):
    x, y = rng.normal(size=(80, 10)), rng.normal(size=(70, 10)) * 1.2
    wide_x, wide_y = (np.hstack([s, s[:, :4], np.full((len(s), 3), 2.0)]) for s in (x, y))
    found = frechet(wide_x, wide_y)
    assert found.value == pytest.approx(by_singular_values(wide_x, wide_y), rel=1e-6)
    assert found.low < found.value < found.high
    lone = np.vstack([wide_x[:1]] * 70)  # one record again and again
    assert frechet(wide_x, lone).value == pytest.approx(by_singular_values(wide_x, lone), rel=1e-9)
    assert frechet(lone, wide_x).value == pytest.approx(by_singular_values(wide_x, lone), rel=1e-9)
    assert frechet(lone, lone).value == pytest.approx(0, abs=1e-12)


def test_the_careful_way_is_taken_where_it_must(rng, monkeypatch):
    asked = []
    careful = scipy.linalg.svdvals
    monkeypatch.setattr(scipy.linalg, "svdvals", lambda *a, **k: asked.append(1) or careful(*a, **k))
    frechet(features(rng, 300, 40, 1), features(rng, 300, 40, 1, 1.1))
    assert not asked
    frechet(features(rng, 300, 40, 8), features(rng, 300, 40, 8, 1.1))
    assert asked


def test_float32_features_are_summed_in_float64(rng):
    x, y = (features(rng, n, 30, 1, s, 100.0).astype(np.float32) for n, s in ((500, 1), (400, 1.1)))
    found, wide = frechet(x, y), frechet(x.astype(float), y.astype(float))
    assert (found.value, found.low, found.high) == pytest.approx((wide.value, wide.low, wide.high), rel=1e-12)


def test_moments_in_parts(rng, monkeypatch):
    x = features(rng, 200, 12, 1, 1, 50.0)
    whole = Moments(x)
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(whole.covariance, np.cov(x.T), atol=1e-13)
    assert whole.trace == pytest.approx(np.trace(np.cov(x.T)))
    parts = Moments(x[:70], centre=x[0])
    _ = parts.covariance, parts.trace, parts.factor
    parts.more(x[70:])
    np.testing.assert_allclose(parts.covariance, np.cov(x.T), atol=1e-12)
    np.testing.assert_allclose(parts.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(parts.factor @ parts.factor.T, np.cov(x.T), atol=1e-12)
    monkeypatch.setattr(gaussians, "_NUMBERS", 50)
    np.testing.assert_allclose(Moments(x).covariance, whole.covariance, atol=1e-13)
    few = Moments(x[:9])
    assert few.thin and not whole.thin
    np.testing.assert_allclose(few.covariance, np.cov(x[:9].T), atol=1e-13)
    np.testing.assert_allclose(
        few.seen_through(whole.factor), whole.factor.T @ np.cov(x[:9].T) @ whole.factor, atol=1e-12
    )


@pytest.mark.parametrize("singular", [False, True])
def test_whitened_records_have_the_identity_as_covariance(rng, singular):
    x = features(rng, 300, 8, 1)
    if singular:
        x = np.hstack([x, x[:, :3]])
    m = Moments(x)
    z = m.whitened(x - m.mean)
    seen = np.linalg.eigvalsh(z.T @ z / 299)
    np.testing.assert_allclose(seen[-8:], 1, rtol=1e-9)
    np.testing.assert_allclose(seen[:-8], 0, atol=1e-9)


def test_overlap_does_not_care_who_comes_first(rng):
    a, b = Moments(features(rng, 300, 20, 1)), Moments(features(rng, 15, 20, 1))
    assert overlap(a, b) == pytest.approx(overlap(b, a), rel=1e-9)
    assert overlap(a, a) == pytest.approx(a.trace, rel=1e-9)


def test_many_more_numbers_than_records(rng):
    # Pictures of 256 x 256: no matrix of d x d is ever made.
    x, y = rng.normal(size=(2, 12, 65_536)).astype(np.float32)
    found = frechet(x, y)
    assert found.value == pytest.approx(by_singular_values(x.astype(float), y.astype(float)), rel=1e-9)
    assert np.isnan(found.low)


@pytest.mark.parametrize(("n", "m"), [(150, 150), (90, 200)])
def test_extrapolation_takes_the_bias_off(rng, n, m):
    d = 6
    spread = np.linspace(0.5, 1.5, d)
    pairs = [(rng.normal(size=(n, d)) * spread, rng.normal(size=(m, d)) * spread) for _ in range(120)]
    plain = np.array([frechet(x, y, interval=False).value for x, y in pairs])
    straight = np.array([frechet_infinity(x, y).value for x, y in pairs])
    floor = frechet_bias(np.diag(spread**2), n, m)
    assert plain.mean() > 0.8 * floor
    # What is left is of second order in 1/n.
    assert abs(straight.mean()) < 0.1 * floor + 4 * straight.std() / np.sqrt(120)
    truth = np.square(0.4 * spread).sum()
    apart = [frechet_infinity(x, 1.4 * y).value for x, y in pairs]
    assert np.mean(apart) == pytest.approx(truth, abs=4 * np.std(apart) / np.sqrt(120) + 0.01 * truth)


def test_extrapolation_is_a_line_through_nested_parts(rng):
    x, y = rng.normal(size=(120, 3)), rng.normal(size=(90, 3)) + 1
    found = frechet_infinity(x, y)
    assert found == frechet_infinity(x, y) and found.n == 90 and np.isnan(found.low)
    assert np.isnan(frechet_infinity(x[:9], y).value)
    with pytest.raises(DataError, match="at least 2"):
        frechet_infinity(x[:1], y)


def test_rows_of_extrapolation(rng):
    real, made = Samples.of(rng.normal(size=(60, 3))), Samples.of(rng.normal(size=(50, 3)))
    found = Frechet(extrapolate=True).compare(real, made, key=Key(0), memo={})
    assert list(found) == ["frechet_pixels", "frechet_pixels_infinity"]
    assert found["frechet_pixels"].n == 50
    assert np.isfinite(found["frechet_pixels_infinity"].value) and found["frechet_pixels_infinity"].n == 50
    with pytest.raises(DataError, match="at least 2"):
        Frechet().compare(real, made[:1], key=Key(0), memo={})


def test_the_real_side_is_remembered(rng, monkeypatch):
    real = Samples.of(rng.normal(size=(60, 3)))
    memo: dict = {}
    counted = []
    summed = Moments.more
    monkeypatch.setattr(Moments, "more", lambda self, x: counted.append(len(x)) or summed(self, x))
    for n in (50, 40):
        Frechet().compare(real, Samples.of(rng.normal(size=(n, 3))), key=Key(0), memo=memo)
    assert counted == [60, 50, 40]


def test_interval_is_that_of_both_ways_to_the_map(rng):
    x, y = features(rng, 300, 8, 1), features(rng, 250, 8, 1, 1.2)
    one, other = frechet(x, y), frechet_of(Moments(y), Moments(x))
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-6)
