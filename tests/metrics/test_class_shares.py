"""Class shares by a classifier of the real labels: closed forms, intervals, runs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autophage import Loop
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.class_shares import (
    DIRECTIONS,
    ClassShares,
    class_entropy,
    class_ratios,
    class_shares_tv,
    least_ratio,
)
from autophage.metrics.features import Classifier
from autophage.samples import Samples

ROWS = [name for name in DIRECTIONS if name != "label_agreement"]


@pytest.fixture(scope="module")
def digits() -> tuple[Samples, Samples]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    whole = Samples.of(data.data[order], label=data.target[order])
    return whole[:1000], whole[1000:]


@pytest.fixture
def by_perceptron(digits, house):
    """What the metric says of records, compared with held-out digits; digits without a shape, hence a perceptron."""
    train, held_out = digits
    memo: dict = {}

    def measure(*made: Samples, **settings) -> dict[str, np.ndarray]:
        view = house.View(
            house.FiniteSource(train, held_out), list(made), replicates=len(made), memo=memo, trained_on=train
        )
        return {row.metric: row.value for row in ClassShares(**settings).measure(view)}

    return measure


def test_entropy_of_even_and_of_single_classes():
    key = Key(0)
    even = class_entropy(np.full(10, 50), key=key)
    assert even.value == pytest.approx(np.log(10)) == even.high and even.low < even.value and even.n == 500
    alone = class_entropy(np.array([0, 40, 0]), key=key)
    assert (alone.value, alone.low, alone.high) == (0, 0, 0)
    assert class_entropy(np.array([3, 1]), key=key).value == pytest.approx(
        -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    )


def test_total_variation_by_hand():
    found = class_shares_tv(np.array([5, 3, 2]), np.array([20, 20, 60]), key=Key(0))
    assert found.value == pytest.approx((0.3 + 0.1 + 0.4) / 2) and found.n == 10
    assert class_shares_tv(np.array([7, 0]), np.array([0, 9]), key=Key(0)).value == 1


@pytest.mark.parametrize("law", [[0.7, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]], ids=["uneven", "even"])
def test_intervals_hold_the_expected_value_at_their_size(law, rng):
    """Expected values by 20,000 draws; 400 intervals, of which 95 % must hold: four standard errors below is 0.906."""
    n, m, p = 200, 300, np.array(law)
    counts, real = rng.multinomial(n, p, 20_000), rng.multinomial(m, p, 20_000)
    tv = np.abs(counts / n - real / m).sum(axis=1).mean() / 2
    shares = counts / n
    entropy = -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0).sum(axis=1).mean()
    held = np.zeros((400, 2))
    for i in range(400):
        a = class_entropy(counts[i], key=Key(i))
        b = class_shares_tv(counts[i], real[i], key=Key(i))
        held[i] = a.low <= entropy <= a.high, b.low <= tv <= b.high
    assert (held.mean(axis=0) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)).all()
    # The stated bias of equal laws: each class adds |N(0, s^2)| / 2.
    share = np.sqrt(p * (1 - p) * (1 / n + 1 / m)).sum() * np.sqrt(2 / np.pi) / 2
    assert tv == pytest.approx(share, rel=0.02)


def test_ratios_and_their_least(rng):
    counts, real = np.array([50, 30, 20, 0]), np.array([40, 40, 10, 10])
    found = class_ratios(counts, real)
    np.testing.assert_allclose([c.value for c in found], [1.25, 0.75, 2, 0])
    assert all(c.low <= c.value <= c.high for c in found)
    assert found[3].high > 0  # none of 100 is no certainty
    least = least_ratio(counts, real)
    assert least.value == 0 == least.low and least.n == 100
    assert np.isnan(class_ratios(np.array([1, 9]), np.array([0, 10]))[0].value)
    assert least_ratio(np.array([1, 9]), np.array([0, 10])).value == pytest.approx(0.9)
    # The least ratio of two equal laws is 1, whichever class looks rarest.
    p = np.full(10, 0.1)
    held = [
        c.low <= 1 <= c.high
        for c in (least_ratio(rng.multinomial(400, p), rng.multinomial(500, p)) for _ in range(400))
    ]
    assert np.mean(held) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)


def test_real_digits_are_like_real_digits_and_a_lost_class_shows(digits, by_perceptron):
    train, held_out = digits
    rarest = np.bincount(held_out.label).argmin()
    found = by_perceptron(
        *(Samples.of(x[:400]) for x in (train.x, train.x[train.label != 3], train.x[train.label != rarest]))
    )
    assert sorted(found) == sorted(ROWS)
    entropy, tv = found["class_entropy"], found["class_shares_tv"]
    assert entropy[0] > np.log(10) - 0.05 and (entropy[1:] < entropy[0]).all()
    assert tv[0] < 0.1 and (tv[1:] > tv[0]).all()
    assert found["least_class_ratio"][0] > 0.5 and (found["least_class_ratio"][1:] < 0.1).all()
    assert found["smallest_class_share"][1] > 0.5 > 0.1 > found["smallest_class_share"][2]
    assert (found["classifier_accuracy"] == found["classifier_accuracy"][0]).all()
    assert found["classifier_accuracy"][0] > 0.93 < found["classifier_confidence"][0]


def test_one_class_has_no_entropy_and_mixtures_less_confidence(digits, by_perceptron):
    train, _ = digits
    ones = train[train.label == 1][:90]
    between = Samples.of((train.x[train.label == 1][:90] + train.x[train.label == 6][:90]) / 2)
    found = by_perceptron(ones, between)
    assert found["class_entropy"][0] < 0.2 and found["class_shares_tv"][0] > 0.8
    assert found["classifier_confidence"][1] < found["classifier_confidence"][0] - 0.05


def test_the_label_that_was_asked_for(digits, by_perceptron):
    _, held_out = digits
    asked = Samples.of(held_out.x[:300], label=held_out.label[:300])
    swapped = Samples.of(held_out.x[:300], label=(held_out.label[:300] + 1) % 10)
    unknown = Samples.of(held_out.x[:300], label=np.full(300, 77))
    found = by_perceptron(asked, swapped, unknown)["label_agreement"]
    assert found[0] > 0.9 and found[1] < 0.1 and found[2] == 0
    assert "label_agreement" not in by_perceptron(Samples.of(held_out.x[:50]))


def test_shares_are_those_of_the_classifier_that_features_use(digits, by_perceptron):
    train, held_out = digits
    net = Classifier(train.x, train.label)
    made = held_out[:123]
    counts = np.bincount(net.posterior(made.x).argmax(axis=1), minlength=10)
    real = np.bincount(net.posterior(held_out.x).argmax(axis=1), minlength=10)
    found = by_perceptron(made)
    assert found["class_shares_tv"][0] == class_shares_tv(counts, real, key=Key(0)).value
    assert found["class_entropy"][0] == class_entropy(counts, key=Key(0)).value
    assert found["classifier_confidence"][0] == pytest.approx(net.posterior(made.x).max(axis=1).mean())


def test_names_and_directions(digits, by_perceptron):
    train, _ = digits
    assert ClassShares().directions == DIRECTIONS
    part = ClassShares(classifier="mlp", against="train")
    found = by_perceptron(train[:60], classifier="mlp", against="train")
    assert set(found) <= set(part.directions) and part.directions["class_shares_tv_mlp_train"] == "lower"
    plain = by_perceptron(train[:60])
    assert plain["class_entropy"] == found["class_entropy_mlp_train"]


def test_pictures_get_a_convolutional_network(tmp_path, monkeypatch, house):
    monkeypatch.setenv("AUTOPHAGE_CACHE", str(tmp_path))
    monkeypatch.setattr("autophage.metrics.spaces.cnn.PICTURES_SEEN", 400)
    from autophage.data.digits import DigitsSource
    from autophage.metrics.frechet import Frechet

    source = DigitsSource(size=300)
    view = house.View(source, [source.reference()])
    rows = {row.metric: row for row in ClassShares().measure(view)}
    assert rows["class_shares_tv"].value == 0 and rows["least_class_ratio"].value == 1
    assert rows["label_agreement"].value == rows["classifier_accuracy"].value
    (row,) = Frechet(features="cnn").measure(view)
    assert row.metric == "frechet_cnn_real_labels"
    assert sum(key[:2] == ("metrics", "extractor") for key in view.memo) == 1  # one network for both
    assert len(list((tmp_path / "classifiers").iterdir())) == 1


def test_in_a_loop_and_on_its_page():
    loop = Loop(
        data={"kind": "digits", "size": 400},
        learner={"kind": "gaussian", "ridge": 0.1},
        workflow={"kind": "replace"},
        metrics=[{"kind": "class_shares", "classifier": "mlp"}],
        generations=2,
        evaluation_size=100,
    )
    state = loop.start(loop.blocks()[0])
    _, (record,) = loop.step(state)
    assert [m.metric for m in record.measurements] == [f"{name}_mlp" for name in ROWS]
    assert all(np.isfinite(m.value).all() for m in record.measurements)


def test_bad_input(digits):
    train, _ = digits
    with pytest.raises(SpecError, match="known: auto, cnn, mlp"):
        ClassShares(classifier="vgg")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels"):
        ClassShares().compare(Samples.of(train.x), train, key=Key(0), memo={})
    with pytest.raises(DataError, match="two classes"):
        ClassShares().compare(train[train.label == 1], train, key=Key(0), memo={})
    rest = {"learner": "gaussian", "workflow": "replace"}
    with pytest.raises(SpecError, match="take modes"):
        Loop(data={"kind": "blobs"}, metrics=["class_shares"], **rest)
    with pytest.raises(SpecError, match="inception:w.pth needs pictures.*shape \\(2,\\)"):
        Loop(data={"kind": "two_moons"}, metrics=[{"kind": "frechet", "features": "inception:w.pth"}], **rest)
    with pytest.raises(SpecError, match="needs labels"):
        Loop(data={"kind": "gaussian"}, metrics=["class_shares"], **rest)
