from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autophage.errors import DataError, SpecError
from autophage.metrics.memorisation import MemorisationMetric, memorisation
from autophage.metrics.outside_support import OutsideSupport, outside_support, support_radius, symbols_outside
from autophage.samples import Samples


@pytest.mark.parametrize("d", [2, 15])
def test_real_records_are_inside_all_but_one_percent(rng, d):
    shares = [
        outside_support(rng.normal(size=(1000, d)), rng.normal(size=(1000, d))).value for _ in range(15)
    ]
    # New records meet one more real one than those left out did: just under 1 %.
    assert np.mean(shares) == pytest.approx(0.01, abs=4 * np.std(shares) / np.sqrt(15) + 0.001)
    x = rng.normal(size=(200, d))
    assert outside_support(x, x).value == 0
    assert outside_support(x, x + 1e4).value == 1
    assert outside_support(x, np.vstack([x, x + 1e4])).value == 0.5


def test_symbols_outside():
    found = symbols_outside(np.array([0.5, 0.5, 0.0]), np.array([0, 1, 1, 2]))
    assert found.value == 0.25 and found.n == 4
    # A count model fitted to its own kind of data cannot leave the support.
    assert symbols_outside(np.array([0.2, 0.8]), np.array([0, 1, 1])).value == 0


def test_outside_part(rng, house):
    finite = house.FiniteSource(Samples.of(rng.normal(size=(300, 2))), Samples.of(rng.normal(size=(100, 2))))
    view = house.View(finite, [Samples.of(50 + rng.normal(size=(80, 2)))])
    (row,) = OutsideSupport().measure(view)
    assert (row.metric, row.value[0], row.n) == ("outside_support", 1.0, 80)
    (row,) = OutsideSupport(against="train", quantile=0.9).measure(view)
    assert row.metric == "outside_support_q0.9_train"
    truth = SimpleNamespace(probabilities=np.array([[0.5, 0.5, 0.0]]))
    law = house.LawSource(lambda g, shape: g.integers(2, size=shape), domain="symbols", truth=truth)
    (row,) = OutsideSupport().measure(house.View(law, [Samples.of(np.array([0, 2, 2, 1]))]))
    assert (row.metric, row.value[0]) == ("outside_support", 0.5)
    model = SimpleNamespace(probabilities=np.array([[0.25, 0.25, 0.5]]))
    (row,) = OutsideSupport().measure(house.View(law, model=model))
    assert row.value[0] == row.low[0] == row.high[0] == 0.5
    with pytest.raises(SpecError, match="quantile is 0"):
        OutsideSupport(quantile=0.0)
    with pytest.raises(DataError, match="two real records"):
        outside_support(np.ones((1, 2)), np.ones((3, 2)))
    assert support_radius(np.array([[0.0], [1.0], [3.0]]), 1.0) == 2


@pytest.mark.parametrize("d", [2, 15])
def test_new_real_records_are_not_memorised(rng, house, d):
    found = [memorisation(*(rng.normal(size=(n, d)) for n in (300, 200, 250))) for _ in range(200)]
    distance, share = zip(*found, strict=True)
    values = np.array([f.value for f in distance])
    # Held-out and generated meet the same training records, so the ratio is right given these too.
    assert values.mean() == pytest.approx(1, abs=4 * values.std() / np.sqrt(200) + 0.01)
    assert house.coverage(distance, 1.0) > 0.95 - 4 * 0.0154
    # The 1 % quantile of 300 distances is nearly the fourth smallest: 4 / 301 of new ones lie below.
    shares = np.array([f.value for f in share])
    assert shares.mean() == pytest.approx(4 / 301, abs=4 * shares.std() / np.sqrt(200) + 0.0005)


def test_copies_are_memorised(rng):
    train, held_out = 1e3 + rng.normal(size=(2, 200, 12))
    copies = memorisation(train, held_out, train[:50])
    assert copies.distance.value == 0 and copies.share.value == 1 and copies.share.n == 50
    blurred = memorisation(train, held_out, train + 1e-3 * rng.normal(size=train.shape))
    assert blurred.distance.high < 0.01 and blurred.share.value == 1
    half = memorisation(train, held_out, np.vstack([train, 1e3 + rng.normal(size=(200, 12))]))
    assert half.share.value == pytest.approx(0.5, abs=0.03)


def test_without_a_yardstick_there_is_no_ratio():
    binary = np.repeat([[0.0], [1.0]], 10, axis=0)
    found = memorisation(binary, binary, binary)
    assert np.isnan(found.distance.value) and found.share.value == 1


def test_memorisation_part(rng, house):
    train = Samples.of(rng.normal(size=(100, 3)))
    source = house.FiniteSource(train, Samples.of(rng.normal(size=(50, 3))))
    rows = MemorisationMetric().measure(house.View(source, [train[:40]]))
    assert [(m.metric, m.value[0]) for m in rows] == [
        ("nearest_train_distance", 0.0),
        ("memorised_share", 1.0),
    ]
    (row, _) = MemorisationMetric(features="pca", components=2).measure(house.View(source, [train[:40]]))
    assert row.metric == "nearest_train_distance_pca2"
    with pytest.raises(DataError, match="two training records"):
        memorisation(train.x[:1], train.x, train.x)
    with pytest.raises(DataError, match="numbers each"):
        memorisation(train.x, train.x, train.x[:, :2])
