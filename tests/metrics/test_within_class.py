"""The variance within classes: closed forms, its interval, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autophage import run
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.metrics.within_class import (
    WithinCaptionVariance,
    WithinClassVariance,
    within_class_variance,
)
from autophage.samples import Samples
from autophage.spec import Spec

CENTRES = np.array([[5.0, 0.0], [-5.0, 1.0], [0.0, 9.0]])


def records(n: int, deviation: float, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=n)
    return Samples.of(CENTRES[label] + deviation * rng.standard_normal((n, 2)), label=label)


def compared(real: Samples, generated: Samples) -> dict:
    return WithinClassVariance().compare(real, generated, key=Key(0), memo={})


def test_against_the_textbook_mean_square_within():
    """One-way analysis of variance: the mean square within groups, on each coordinate."""
    drawn = records(60, 0.7, 0)
    by_hand = sum(
        ((drawn.x[drawn.label == c] - drawn.x[drawn.label == c].mean(0)) ** 2).sum() for c in range(3)
    ) / (2 * (60 - 3))
    assert within_class_variance(drawn.x, drawn.label).value == pytest.approx(by_hand, rel=1e-12)


def test_unbiased_and_covered():
    """500 sets of 45 records: the mean within 4.5 standard errors of deviation^2, the interval in most of them."""
    found = [within_class_variance((d := records(45, 0.5, seed)).x, d.label) for seed in range(500)]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - 0.25) < 4.5 * values.std() / math.sqrt(500)
    assert 0.85 < np.mean([f.low <= 0.25 <= f.high for f in found]) < 0.98


def test_places_of_classes_and_their_names_do_not_matter():
    drawn = records(50, 0.5, 1)
    moved = within_class_variance(drawn.x + 100 * CENTRES[drawn.label], 7 - 3 * drawn.label)
    assert moved.value == pytest.approx(within_class_variance(drawn.x, drawn.label).value, rel=1e-9)


def test_a_class_of_one_record_says_nothing():
    x, label = np.array([[0.0], [2.0], [50.0]]), np.array([0, 0, 1])
    assert within_class_variance(x, label).value == pytest.approx(2.0)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_ratio_and_error_see_collapse_and_explosion(factor):
    real, made = records(4000, 0.5, 2), records(4000, 0.5 * factor, 3)
    found = compared(real, made)
    ratio = found["within_class_variance_ratio"]
    assert ratio.value == pytest.approx(factor**2, rel=0.1)
    assert ratio.low < factor**2 < ratio.high
    error = found["within_class_variance_error"]
    assert error.value == abs(math.log(ratio.value)) and error.low <= error.value <= error.high
    assert error.low == pytest.approx(min(abs(math.log(ratio.low)), abs(math.log(ratio.high))))


def test_no_difference_is_no_error():
    same = compared(records(500, 0.5, 4), records(500, 0.5, 4))
    error = same["within_class_variance_error"]
    assert error.value == pytest.approx(0, abs=1e-12) and error.low == 0 < error.high


def test_points_have_collapsed_without_end():
    points = Samples.of(CENTRES[[0, 0, 1, 1]], label=np.array([0, 0, 1, 1]))
    found = compared(records(100, 0.5, 5), points)
    assert found["within_class_variance"].value == 0
    assert found["within_class_variance_error"].value == math.inf


def test_rows_and_their_directions():
    part = WithinClassVariance(features="standardised", against="train")
    assert part.directions == {
        "within_class_variance_standardised_train": "none",
        "within_class_variance_ratio_standardised_train": "none",
        "within_class_variance_error_standardised_train": "lower",
    }
    assert set(compared(records(50, 1, 6), records(50, 1, 7))) == set(WithinClassVariance().directions)


def test_records_without_labels_are_refused():
    real = records(50, 0.5, 8)
    with pytest.raises(DataError, match="the generated ones carry none"):
        compared(real, Samples.of(real.x))
    with pytest.raises(DataError, match="the real ones carry none"):
        compared(Samples.of(real.x), real)
    with pytest.raises(DataError, match="two records of some class"):
        within_class_variance(np.zeros((2, 1)), np.array([0, 1]))
    with pytest.raises(DataError, match="as many labels"):
        within_class_variance(np.zeros((2, 1)), np.array([0]))
    spec = {"data": {"kind": "gaussian"}, "learner": "gaussian", "metrics": ["within_class_variance"]}
    with pytest.raises(SpecError, match="label"):
        Loop(Spec.of(**spec))


def test_a_run_measures_it():
    learner = {"kind": "diffusion", "labels": "use", "records": 256, "network": {"kind": "mlp", "width": 8}}
    spec = {
        "seed": 0,
        "generations": 2,
        "data": {"kind": "labelled_blobs", "size": 60},
        "learner": {**learner, "warmup": 0, "device": "cpu"},
        "workflow": {"kind": "replace", "sample_size": 40},
        "sampling": {"steps": 3},
        "metrics": ["within_class_variance"],
    }
    table = run(spec).metrics
    assert set(table["metric"]) == set(WithinClassVariance().directions)
    assert table["generation"].max() == 1 and (table["value"] >= 0).all()


def test_within_captions_it_is_the_trace():
    """Captions stand before classes; sums over coordinates; signs and capitals of captions do not matter."""
    real, made = records(400, 0.5, 9), records(300, 1.0, 10)
    names = np.array(["A cat.", "a dog", "one cow"])
    told = Samples.of(made.x, label=np.zeros(300, int), caption=names[made.label])
    loud = Samples.of(made.x, caption=np.char.upper(names)[made.label])
    part = WithinCaptionVariance()
    found = part.compare(real, told, key=Key(0), memo={})
    assert set(found) == set(part.directions) == {"within_caption_variance", "within_caption_variance_ratio"}
    assert set(part.directions.values()) == {"none"}
    by_class = within_class_variance(made.x, made.label)
    total, share = found["within_caption_variance"], found["within_caption_variance_ratio"]
    assert total.value == pytest.approx(2 * by_class.value) and total.low == pytest.approx(2 * by_class.low)
    assert share.low < 4 < share.high
    assert part.compare(real, loud, key=Key(0), memo={})["within_caption_variance"].value == total.value
    # A label too many widens what has one caption: labels of labels.
    lost = Samples.of(made.x, caption=names[(made.label + (np.arange(300) % 4 == 0)) % 3])
    assert part.compare(real, lost, key=Key(0), memo={})["within_caption_variance"].value > 3 * total.value
    with pytest.raises(DataError, match="within_caption_variance needs a caption or a class"):
        part.compare(real, Samples.of(made.x), key=Key(0), memo={})
    spec = {"data": {"kind": "gaussian"}, "learner": "gaussian", "metrics": ["within_caption_variance"]}
    with pytest.raises(SpecError, match="within_caption_variance needs captions or labels"):
        Loop(Spec.of(**spec))
