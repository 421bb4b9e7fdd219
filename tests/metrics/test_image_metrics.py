"""Vendi, authenticity, feature likelihood, spectrum; and what float32 features and large sets ask of the rest."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.laws.metrics import metric
from autophage.metrics.authenticity import AuthenticityMetric, authenticity
from autophage.metrics.feature_likelihood import FeatureLikelihoodMetric, feature_likelihood
from autophage.metrics.frechet import Frechet
from autophage.metrics.kid import Kid, kid, kid_in_blocks
from autophage.metrics.memorisation import MemorisationMetric
from autophage.metrics.mmd import gaussian_kernel
from autophage.metrics.precision_recall import PrecisionRecallMetric
from autophage.metrics.records import matrix
from autophage.metrics.spectrum import Spectrum, spectra, spectral_distance
from autophage.metrics.vendi import Vendi, vendi
from autophage.registry import find
from autophage.samples import Samples, Segments


def test_the_registry_knows_them():
    for kind, part in {
        "vendi": Vendi,
        "authenticity": AuthenticityMetric,
        "feature_likelihood": FeatureLikelihoodMetric,
        "spectrum": Spectrum,
    }.items():
        assert find("metric", kind) is part


# Records stay as small as they are.


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("uint8", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("int32", "float64"),
        ("float64", "float64"),
    ],
)
def test_compact_matrices_hold_every_number_exactly(rng, given, kept):
    x = rng.integers(0, 200, size=(10, 2, 3)).astype(given)
    found = matrix(x, "the records", compact=True)
    assert found.dtype == kept and found.shape == (10, 6)
    np.testing.assert_array_equal(found, x.reshape(10, 6))
    assert matrix(x, "the records").dtype == np.float64


def test_generated_features_are_computed_once_and_let_go(rng, house, monkeypatch):
    import sys
    import types

    calls = []
    module = types.ModuleType("house_of_counting")
    module.counted = lambda x: calls.append(len(x)) or x.astype(np.float32)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "house_of_counting", module)
    source = house.FiniteSource(Samples.of(rng.normal(size=(60, 4))), Samples.of(rng.normal(size=(50, 4))))
    memo: dict = {}
    parts = [
        part(features="house_of_counting:counted")
        for part in (Frechet, Kid, PrecisionRecallMetric, Vendi, MemorisationMetric, AuthenticityMetric)
    ]
    for _ in range(2):
        view = house.View(source, [Samples.of(rng.normal(size=(41, 4)))], memo=memo)
        calls.clear()
        for part in parts:
            part.measure(view)
        assert calls.count(41) == 1
        shelf = memo["metrics", "shared"][1]
        assert shelf
        del view
        gc.collect()
        assert not shelf


# KID in blocks.


def test_kid_in_blocks_is_the_mean_of_blocks(rng):
    x, y = rng.normal(size=(95, 4)), rng.normal(size=(83, 4)) + 0.3
    found = kid_in_blocks(x, y, 20)
    values = [kid(x[i : i + 20], y[i : i + 20]).value for i in range(0, 80, 20)]
    assert found.value == pytest.approx(np.mean(values), rel=1e-12)
    assert found.n == 83
    with pytest.raises(SpecError, match="block is 1"):
        kid_in_blocks(x, y, 1)
    with pytest.raises(DataError, match="fewer than two blocks"):
        kid_in_blocks(x, y, 50)


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_kid_in_blocks_is_unbiased_and_covered(rng, house, shift):
    far = [
        kid_in_blocks(rng.normal(size=(120, 2)), rng.normal(size=(120, 2)) + shift, 20) for _ in range(250)
    ]
    values = np.array([f.value for f in far])

    # E (x'y / 2 + 1)^3 over independent draws of N(a, I), N(b, I) in two dimensions, s = a'b / 2, by moments:
    # 1 + 3 s + 3 E(x'y/2)^2 + E(x'y/2)^3, E(x'y)^2 = |a|^2 + |b|^2 + 2 + (a'b)^2, and
    # E(x'y)^3 = (a'b)^3 + 3 a'b (|a|^2 + |b|^2 + 4).
    def mean(p: float, q: float, pq: float) -> float:
        return 1 + 1.5 * pq + 0.75 * (p + q + 2 + pq**2) + (pq**3 + 3 * pq * (p + q + 4)) / 8

    size = 2 * shift**2
    truth = mean(0, 0, 0) + mean(size, size, size) - 2 * mean(0, size, 0)
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / np.sqrt(250))
    assert house.coverage(far, truth) > 0.95 - 4 * 0.0138 - 0.02


def test_kid_rows_of_blocks(rng):
    real, made = Samples.of(rng.normal(size=(60, 3))), Samples.of(rng.normal(size=(60, 3)))
    part = Kid(block=10)
    assert list(part.compare(real, made, key=Key(0), memo={})) == ["kid_pixels_blocks10"]
    metric(part, real, made)
    with pytest.raises(SpecError, match="block is 1"):
        Kid(block=1)


# Vendi.


def test_vendi_closed_forms(rng):
    assert vendi(np.repeat(rng.normal(size=(1, 5)), 7, axis=0)).value == pytest.approx(1, abs=1e-10)
    assert vendi(np.eye(6)).value == pytest.approx(6, rel=1e-12)
    assert vendi(np.eye(6), bandwidth=1e-3).value == pytest.approx(6, rel=1e-12)
    # Two groups of a and b records without anything in common: the entropy of a coin.
    a, b = 30, 10
    x = np.repeat(np.eye(2), [a, b], axis=0)
    coin = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert vendi(x).value == pytest.approx(coin, rel=1e-12)
    assert vendi(100 * x, bandwidth=1.0).value == pytest.approx(coin, rel=1e-12)
    # Two records at an angle: eigenvalues (1 +- cos) / 2.
    angle = 0.7
    share = np.array([1 + np.cos(angle), 1 - np.cos(angle)]) / 2
    pair = np.array([[1, 0], [np.cos(angle), np.sin(angle)]])
    assert vendi(pair).value == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-12)
    # Directions spread evenly over a sphere in d dimensions: d.
    assert vendi(rng.normal(size=(200_000, 3))).value == pytest.approx(3, abs=1e-3)


def test_vendi_of_many_records_is_that_of_the_kernel_matrix(rng):
    x = (rng.normal(size=(120, 7)) + 0.5).astype(np.float32)
    z = x / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    share = np.linalg.eigvalsh(z @ z.T / 120)
    share = share[share > 1e-14]
    found = vendi(x)
    assert found.value == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)
    wide = vendi(np.hstack([x, np.zeros((120, 200))]))  # now the kernel matrix is the smaller one
    assert (wide.value, wide.low, wide.high) == pytest.approx((found.value, found.low, found.high), rel=1e-7)
    assert vendi(5 * x).value == pytest.approx(found.value, rel=1e-6)
    assert vendi(x[::-1]).value == pytest.approx(found.value, rel=1e-9)
    assert vendi(x.astype(float) * 1e200).value == pytest.approx(found.value, rel=1e-6)


@pytest.mark.parametrize("bandwidth", [None, 1.5])
def test_vendi_interval_covers_the_expected_score(rng, house, bandwidth):
    found = [vendi(rng.normal(size=(100, 3)) * [1, 0.5, 0.3] + 0.3, bandwidth=bandwidth) for _ in range(300)]
    assert house.coverage(found, np.mean([f.value for f in found])) > 0.95 - 4 * 0.0126 - 0.03
    assert np.mean([f.high - f.low for f in found]) < 5 * np.std([f.value for f in found])
    assert np.isnan(vendi(rng.normal(size=(20, 30))).low)


def test_vendi_part(rng):
    real = Samples.of(rng.normal(size=(80, 6)))
    few = Samples.of(np.repeat(rng.normal(size=(3, 6)), 20, axis=0))
    for part, rows in (
        (Vendi(), ["vendi", "vendi_relative"]),
        (Vendi(kernel="rbf", most=40), ["vendi_rbf", "vendi_relative_rbf"]),
        (Vendi(kernel="rbf", bandwidth=0.5, features="pca", components=2), None),
    ):
        found = part.compare(real, few, key=Key(0), memo={})
        assert rows is None or list(found) == rows
        metric(part, real, few)
        assert next(iter(found.values())).value < 3.001 and list(found.values())[1].value < 0.7
    assert list(found) == ["vendi_rbf_h0.5_pca2", "vendi_relative_rbf_h0.5_pca2"]
    with pytest.raises(SpecError, match="kernel"):
        Vendi(kernel="linear")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="rbf"):
        Vendi(bandwidth=1.0)
    with pytest.raises(SpecError, match="bandwidth"):
        Vendi(kernel="rbf", bandwidth=float("nan"))
    with pytest.raises(DataError, match="zeros"):
        vendi(np.zeros((3, 2)))


def test_vendi_of_copies_under_the_gaussian_kernel(rng):
    far = 1e4 + np.repeat(rng.normal(size=(1, 5)), 30, axis=0)
    assert vendi(far, bandwidth=0.1).value == pytest.approx(1, abs=1e-6)
    assert gaussian_kernel(0.1)(far[:1], far[:1]).item() == pytest.approx(1)


# Authenticity.


def test_authenticity_by_hand():
    train = np.array([[0.0], [1.0], [10.0]])  # their nearest others: 1, 1, 9 away
    made = np.array([[0.4], [-2.0], [14.0], [20.0], [1.0]])
    found = authenticity(train, np.array([[3.0], [0.5]]), made)
    assert found.share.value == 2 / 5  # -2 lies 2 > 1 away from 0, and 20 lies 10 > 9 away from 10
    assert found.relative.value == (2 / 5) / (1 / 2)


def slowly(train, made):
    own = np.linalg.norm(train[:, None] - train, axis=2)
    np.fill_diagonal(own, np.inf)
    away = np.linalg.norm(train[:, None] - made, axis=2)
    return float((own.min(axis=0)[away.argmin(axis=0)] < away.min(axis=0)).mean())


@pytest.mark.parametrize("d", [2, 30])
def test_authenticity_against_all_distances(rng, d):
    train, held_out, made = rng.normal(size=(3, 120, d))
    found = authenticity(train, held_out, made)
    assert found.share.value == slowly(train, made)
    assert found.relative.value == slowly(train, made) / slowly(train, held_out)


def test_copies_are_not_authentic_and_fresh_records_are_as_real_ones(rng, house):
    train = rng.normal(size=(300, 20))
    blurred = train + 1e-3 * rng.normal(size=train.shape)
    assert authenticity(train, rng.normal(size=(200, 20)), train).share.value == 0
    assert authenticity(train, rng.normal(size=(200, 20)), blurred).relative.high < 0.02
    fresh = [authenticity(train[:150], *rng.normal(size=(2, 150, 20))).relative for _ in range(150)]
    values = np.array([f.value for f in fresh])
    assert values.mean() == pytest.approx(1, abs=4 * values.std() / np.sqrt(150) + 0.01)
    assert house.coverage(fresh, 1.0) > 0.95 - 4 * 0.0178


def test_training_metrics_share_their_distances(rng, house, monkeypatch):
    from autophage.metrics import memorisation

    passes = []
    real = memorisation.nearest
    monkeypatch.setattr(memorisation, "nearest", lambda *a, **k: passes.append(1) or real(*a, **k))
    train = Samples.of(rng.normal(size=(100, 3)))
    source = house.FiniteSource(train, Samples.of(rng.normal(size=(50, 3))))
    memo: dict = {}
    view = house.View(source, [train[:40]], memo=memo)
    MemorisationMetric().measure(view)
    rows = AuthenticityMetric().measure(view)
    assert [m.metric for m in rows] == ["authenticity", "authenticity_relative"]
    assert rows[0].value[0] == 0 and rows[0].n == 40
    assert AuthenticityMetric().directions == {"authenticity_relative": "none"}
    assert len(passes) == 2  # held-out records once, generated ones once
    MemorisationMetric().measure(house.View(source, [train[:30]], memo=memo))
    assert len(passes) == 3


# Feature likelihood.


def test_feature_likelihood_of_one_centre(rng):
    # One centre takes every record: its width is the mean square, with one record at the typical distance.
    train, held_out = rng.normal(size=(2, 50, 4))
    centre = np.zeros((1, 4))
    apart = np.linalg.norm(train[:, None] - train, axis=2) + np.diag(np.full(50, np.inf))
    t = np.median(apart.min(axis=0) ** 2) / 4
    square = (np.square(train).sum() + 4 * t) / (4 * 51)
    density = -0.5 * np.log(2 * np.pi * square) - np.square(held_out).sum(axis=1) / (8 * square)
    found = feature_likelihood(train, held_out, centre)
    assert found.held_out.value == pytest.approx(density.mean(), rel=1e-6)
    seen = -0.5 * np.log(2 * np.pi * square) - np.square(train).sum(axis=1) / (8 * square)
    assert found.gap.value == pytest.approx(seen.mean() - density.mean(), abs=1e-6)


@pytest.mark.parametrize("d", [20, 100])
def test_copies_open_a_gap_and_fresh_records_none(rng, d):
    train, held_out, fresh = 5 + rng.normal(size=(3, 300, d))
    right = feature_likelihood(train, held_out, fresh)
    copies = feature_likelihood(train, held_out, train)
    half = feature_likelihood(train, held_out, np.vstack([train[:150], fresh[:150]]))
    assert right.gap.value == pytest.approx(0, abs=0.03 + 4 * (right.gap.high - right.gap.low) / 3.92)
    assert copies.gap.low > 0.5 and half.gap.low > 0.2
    assert copies.held_out.high < right.held_out.low
    worse = feature_likelihood(train, held_out, fresh + 1)
    assert worse.held_out.high < right.held_out.low
    sharper = feature_likelihood(train, held_out, train, prior=0.1)
    assert sharper.gap.value > copies.gap.value + 0.5


def test_feature_likelihood_never_falls_with_rounds(rng, monkeypatch):
    from autophage.metrics import feature_likelihood as module

    train, held_out, made = rng.normal(size=(3, 80, 3))
    seen = []
    t = module.typical_square(train)
    for steps in (1, 2, 4, 8, 16):
        monkeypatch.setattr(module, "STEPS", steps)
        monkeypatch.setattr(module, "SETTLED", -np.inf)
        found = feature_likelihood(train, held_out, made, prior=1e-9, typical=t)
        seen.append(found.held_out.value + found.gap.value)
    assert (np.diff(seen) > -1e-9).all() and seen[-1] > seen[0]


def test_feature_likelihood_part(rng, house):
    train = Samples.of(rng.normal(size=(80, 5)))
    source = house.FiniteSource(train, Samples.of(rng.normal(size=(60, 5))))
    view = house.View(source, [train[:40], Samples.of(rng.normal(size=(40, 5)))], replicates=2)
    rows = FeatureLikelihoodMetric(most=50).measure(view)
    assert [m.metric for m in rows] == ["feature_likelihood", "feature_likelihood_gap"]
    assert rows[1].value[0] > rows[1].value[1] + 0.1 and rows[0].n == 40
    assert FeatureLikelihoodMetric(features="pca").directions == {"feature_likelihood_gap_pca16": "lower"}
    with pytest.raises(SpecError, match="prior is 0"):
        FeatureLikelihoodMetric(prior=0)
    with pytest.raises(SpecError, match="prior is nan"):
        feature_likelihood(train.x, train.x, train.x, prior=float("nan"))
    with pytest.raises(SpecError, match="most is 1"):
        FeatureLikelihoodMetric(most=1)
    with pytest.raises(DataError, match="copy among them"):
        feature_likelihood(np.repeat(train.x, 2, axis=0), train.x, train.x)
    with pytest.raises(DataError, match="numbers each"):
        feature_likelihood(train.x, train.x, train.x[:, :2])


# Spectrum.


@pytest.mark.parametrize("shape", [(8, 8), (9, 12), (7, 8, 3)])
def test_power_adds_up_and_white_noise_is_flat(rng, shape):
    x = rng.normal(size=(400, int(np.prod(shape))))
    found = spectra(x, shape)
    # Parseval: all power is the sum of squares less that of the mean, per channel.
    flat = x.reshape(400, shape[0] * shape[1], -1)
    energy = np.square(flat - flat.mean(axis=1, keepdims=True)).sum(axis=1).mean(axis=1)
    np.testing.assert_allclose(found.power @ found.frequencies, energy, rtol=1e-10)
    channels = shape[2] if len(shape) == 3 else 1
    error = np.sqrt(2 / (400 * channels * found.frequencies))
    np.testing.assert_array_less(np.abs(found.power.mean(axis=0) - 1), 5 * error)
    full = np.square(np.abs(np.fft.fft2(flat[0].reshape(*shape[:2], -1), axes=(0, 1)))).mean(axis=2)
    fine = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])) > 0.25
    assert found.high[0] == pytest.approx(full[fine].sum() / (shape[0] * shape[1]), rel=1e-10)


def smoothed(x, shape):
    pictures = x.reshape(len(x), *shape)
    return ((pictures + np.roll(pictures, 1, axis=1)) / 2).reshape(len(x), -1)


def test_spectrum_of_smoothed_noise(rng):
    shape = (16, 16)
    x, y = rng.normal(size=(2, 500, 256))
    same = spectral_distance(spectra(x, shape), spectra(y, shape))
    assert same.distance.value < 0.01 and same.distance.low <= 0
    assert same.high_relative.low < 1 < same.high_relative.high
    blurred = spectral_distance(spectra(x, shape), spectra(smoothed(y, shape), shape))
    assert blurred.distance.low > 0.1 and blurred.high_relative.high < 0.9
    # The mean of neighbours multiplies power by cos^2(pi u): its course over the rings is known.
    u = np.abs(np.fft.fftfreq(16))
    ring = np.rint(np.hypot(u[:, None], u) * 16).astype(int)
    damped = np.broadcast_to(np.cos(np.pi * u)[:, None] ** 2, (16, 16))
    course = np.array([damped[ring == r].mean() for r in range(1, ring.max() + 1)])
    np.testing.assert_allclose(spectra(smoothed(y, shape), shape).power.mean(axis=0), course, atol=0.06)
    noisy = spectral_distance(spectra(smoothed(x, shape), shape), spectra(y, shape))
    assert noisy.distance.value == pytest.approx(blurred.distance.value, rel=0.2)
    assert noisy.high_relative.low > 1.1


def test_spectral_intervals_cover(rng, house):
    shape = (6, 6)
    real = [smoothed(rng.normal(size=(80, 36)), shape) for _ in range(300)]
    found = [spectral_distance(spectra(x, shape), spectra(rng.normal(size=(70, 36)), shape)) for x in real]
    for row in zip(*found, strict=True):
        assert house.coverage(row, np.mean([f.value for f in row])) > 0.95 - 4 * 0.0126 - 0.02
        assert np.mean([f.high - f.low for f in row]) < 5.5 * np.std([f.value for f in row])


def test_plain_pictures(rng):
    shape = (8, 8)
    x = spectra(rng.normal(size=(20, 64)), shape)
    collapsed = spectral_distance(x, spectra(np.ones((20, 64)), shape))
    assert np.isfinite(collapsed.distance.value) and collapsed.distance.value > 100
    assert np.isnan(collapsed.high_share.value)
    with pytest.raises(DataError, match="plain area"):
        spectral_distance(spectra(np.ones((20, 64)), shape), x)
    alone = spectral_distance(x, spectra(rng.normal(size=(1, 64)), shape))
    assert np.isfinite(alone.distance.value) and np.isnan(alone.distance.low)


def test_spectrum_part(rng, house):
    train = Samples.of(rng.normal(size=(80, 48)).astype(np.float32))
    source = house.FiniteSource(train, Samples.of(rng.normal(size=(60, 48)).astype(np.float32)))
    source.shape = (4, 4, 3)
    made = Samples.of(Segments([rng.normal(size=(20, 48)), rng.normal(size=(20, 48))]))
    view = house.View(source, [made])
    rows = Spectrum().measure(view)
    assert [m.metric for m in rows] == ["spectrum", "spectrum_high_share", "spectrum_high_relative"]
    assert rows[0].n == 40
    assert Spectrum(against="train").measure(view)[0].metric == "spectrum_train"
    source.shape = (48,)
    with pytest.raises(SpecError, match="pictures"):
        Spectrum().measure(view)
    with pytest.raises(SpecError, match="metric spectrum needs pictures"):
        Spectrum().check(source)
    with pytest.raises(SpecError, match="against"):
        Spectrum(against="all")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no pictures of shape"):
        spectra(train.x, (5, 5))
    with pytest.raises(DataError, match="NaN"):
        spectra(train.x * np.nan, (4, 4, 3))
