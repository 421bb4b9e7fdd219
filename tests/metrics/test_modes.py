from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, ndtr

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.mode_overlap import ModeOverlap, mode_overlap, valley_share
from autophage.metrics.modes import ModeMap, Modes, mode_summary, mode_weights
from autophage.samples import Samples

TWO = ModeMap.of_mixture(np.array([0.5, 0.5]), np.array([[-3.0], [3.0]]), np.ones((2, 1, 1)))


def two_bumps(rng, shape, variance=1.0):
    return (rng.choice([-3.0, 3.0], size=shape) + np.sqrt(variance) * rng.normal(size=shape))[..., None]


def test_posterior_of_a_mixture_is_exact(rng):
    x = rng.normal(size=(50, 1)) * 2
    np.testing.assert_allclose(TWO.posterior(x)[:, 1], expit(6 * x[:, 0]), rtol=1e-9)
    wide = ModeMap.of_mixture(
        np.array([0.3, 0.7]), np.array([[0.0, 0], [1, 2]]), np.array([np.eye(2), [[2, 0.5], [0.5, 1]]])
    )
    from scipy.stats import multivariate_normal

    z = rng.normal(size=(20, 2))
    parts = np.stack(
        [
            0.3 * multivariate_normal([0, 0], np.eye(2)).pdf(z),
            0.7 * multivariate_normal([1, 2], [[2, 0.5], [0.5, 1]]).pdf(z),
        ],
        axis=1,
    )
    np.testing.assert_allclose(wide.posterior(z), parts / parts.sum(axis=1, keepdims=True), rtol=1e-9)


def test_labels_and_clusters_find_the_same_modes(rng):
    label = rng.integers(2, size=4000)
    x = np.where(label == 1, 3.0, -3.0)[:, None] + rng.normal(size=(4000, 1))
    probe = np.linspace(-1, 1, 9)[:, None]
    exact = TWO.posterior(probe)
    for found in (ModeMap.of_labels(x, label), ModeMap.of_clusters(x, 2)):
        order = np.argsort(found.centres[:, 0])
        np.testing.assert_allclose(found.posterior(probe)[:, order], exact, atol=0.08)
        np.testing.assert_allclose(found.weights.sum(), 1)


def test_constant_pixels_have_no_say(rng):
    x = rng.normal(size=(200, 2)) + np.repeat([[0, 0], [5, 5]], 100, axis=0)
    padded = np.c_[x, np.ones(200)]
    label = np.repeat([0, 1], 100)
    found = ModeMap.of_labels(padded, label).posterior(np.c_[x, 7 * np.ones(200)])  # another constant
    assert (found.argmax(axis=1) == label).mean() > 0.98


def test_summary_counts_and_balances(rng):
    real = np.full(8, 1 / 8)
    even = mode_summary(real, real, 10**6, key=Key(0))
    assert even["mode_count"].value == 8
    assert even["mode_balance"].value == pytest.approx(1, abs=1e-5)
    lost = mode_summary(np.array([0.995, 0.005, 0, 0, 0, 0, 0, 0]), real, 1000, key=Key(0))
    assert lost["mode_count"].value == 1 and lost["mode_count"].high <= 2
    assert lost["mode_balance"].value < 0.02
    one = mode_summary(np.eye(8)[0], real, 100, key=Key(0))
    assert one["mode_balance"].value == 0


def test_balance_is_unbiased_and_covered(rng, house):
    w, real = np.array([0.4, 0.3, 0.2, 0.1]), np.full(4, 0.25)
    found = [
        mode_summary(rng.multinomial(100, w) / 100, real, 100, key=Key(i))["mode_balance"] for i in range(400)
    ]
    truth = (1 - np.square(w).sum()) / 0.75
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / 20)
    # The percentile bootstrap sits a little low at n = 100.
    assert house.coverage(found, truth) > 0.95 - 4 * 0.0109 - 0.03


def test_entanglement_of_a_smoothing_loop(rng):
    # The KDE row of the truth table: variance 6.25 in a mode after 20 generations, valley share 17 x real.
    real, late = two_bumps(rng, 10**6), two_bumps(rng, 10**6, 6.25)
    edge = np.log(7 / 3) / 6  # where the posterior is 0.7

    def valley(deviation):
        return ndtr((edge - 3) / deviation) - ndtr((-edge - 3) / deviation)

    share_real, share = valley_share(TWO.posterior(real)), valley_share(TWO.posterior(late))
    for found, truth in ((share_real, valley(1.0)), (share, valley(2.5))):
        assert found.value == pytest.approx(truth, abs=4 * np.sqrt(truth / 10**6))
    assert valley(2.5) / valley(1.0) == pytest.approx(17, abs=0.5)


def test_overlap_of_the_true_mixture_is_bhattacharyyas(rng):
    for apart in (1.0, 2.0):
        map_ = ModeMap.of_mixture(np.array([0.5, 0.5]), np.array([[-apart], [apart]]), np.ones((2, 1, 1)))
        x = rng.choice([-apart, apart], size=(40_000, 1)) + rng.normal(size=(40_000, 1))
        found = mode_overlap(map_.posterior(x))
        truth = np.exp(-((2 * apart) ** 2) / 8)
        assert found.value == pytest.approx(truth, abs=4 * (found.high - found.low) / 3.92)
        assert found.high - found.low < 0.03


def test_overlap_laws():
    assert mode_overlap(np.full((10, 2), 0.5)).value == pytest.approx(1)
    assert mode_overlap(np.repeat(np.eye(2), 5, axis=0)).value == 0
    lost = np.tile([0.999, 0.001], (10, 1))
    assert mode_overlap(lost).value == 0  # a lost mode is no entangled one
    three = np.array([[0.5, 0.5, 0.0], [0, 0, 1.0]])
    assert mode_overlap(three).value == pytest.approx(1)  # the worst pair
    with pytest.raises(DataError, match="two modes"):
        mode_overlap(np.ones((4, 1)))


def test_overlap_interval_covers(rng, house):
    map_ = ModeMap.of_mixture(np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), np.ones((2, 1, 1)))
    found = [
        mode_overlap(map_.posterior(rng.choice([-1.0, 1.0], size=(200, 1)) + rng.normal(size=(200, 1))))
        for _ in range(400)
    ]
    assert house.coverage(found, np.exp(-0.5)) > 0.95 - 4 * 0.0109 - 0.01


def mixture_truth():
    return SimpleNamespace(
        weights=np.full((1, 2), 0.5), means=np.array([[[-3.0], [3.0]]]), covariances=np.ones((1, 2, 1, 1))
    )


def test_parts_on_a_law(rng, house):
    source = house.LawSource(two_bumps, truth=mixture_truth())
    half = Samples.of(3 + rng.normal(size=(500, 1)))
    both = Samples.of(two_bumps(rng, 500))
    view = house.View(source, [both, half], replicates=2)
    rows = {m.metric: m for m in Modes(weights=True).measure(view)}
    assert list(rows) == ["mode_count", "mode_balance", "mode_weight_0", "mode_weight_1"]
    assert rows["mode_count"].value.tolist() == [2, 1]
    assert rows["mode_balance"].value[0] > 0.95 and rows["mode_balance"].value[1] < 0.05
    rows = {m.metric: m for m in ModeOverlap().measure(view)}
    assert list(rows) == ["mode_overlap", "valley_share", "valley_share_real"]
    assert rows["valley_share_real"].value[0] == rows["valley_share_real"].value[1] > 0
    assert rows["valley_share_real"].n == 20_000
    assert (rows["mode_overlap"].value < 0.1).all()


def test_parts_on_labelled_and_bare_records(rng, house):
    label = np.repeat(np.arange(4), 100)
    x = 6 * np.eye(4)[label] + rng.normal(size=(400, 4))
    odd = np.arange(400) % 2 == 1
    train, reference = Samples.of(x[~odd], label=label[~odd]), Samples.of(x[odd], label=label[odd])
    made = Samples.of(x[label < 3] + 0.1)
    for with_labels in (True, False):
        if not with_labels:
            train, reference = Samples.of(train.x), Samples.of(reference.x)
        view = house.View(house.FiniteSource(train, reference), [made])
        rows = {m.metric: m.value[0] for m in Modes(clusters=4).measure(view)}
        assert rows["mode_count"] == 3
        assert rows["mode_balance"] == pytest.approx((1 - 1 / 3) / 0.75, rel=0.05)
    with pytest.raises(SpecError, match="labels needs labelled"):
        Modes(modes="labels").measure(house.View(house.FiniteSource(train, reference), [made]))
    with pytest.raises(SpecError, match="Gaussian mixture"):
        Modes(modes="truth").measure(house.View(house.FiniteSource(train, reference), [made]))
    assert Modes(modes="labels").needs == {"samples", "labels"}


def test_bad_input():
    with pytest.raises(SpecError, match="modes is 'guess'"):
        Modes(modes="guess")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="clusters is 1"):
        Modes(clusters=1)
    with pytest.raises(SpecError, match="features: pixels"):
        ModeOverlap(modes="truth", features="pca")
    with pytest.raises(SpecError, match="least is 1"):
        Modes(least=1.0)
    with pytest.raises(DataError, match="two classes"):
        ModeMap.of_labels(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(SpecError, match="clusters is 9"):
        ModeMap.of_clusters(np.zeros((3, 2)), 9)
    assert mode_weights(np.array([[0.6, 0.4], [0.1, 0.9]])).tolist() == [0.5, 0.5]
