"""Labelled clusters: the law, the labels, the split, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.data.labelled_blobs import LabelledBlobsSource
from autophage.errors import SpecError


def test_records_are_those_of_their_clusters():
    """Means and variances of each cluster within 5 standard errors."""
    source = LabelledBlobsSource(size=20_000, centres=[[3, 0], [0, 0], [0, -1]], deviation=0.5)
    train, held = source.train(), source.reference()
    assert (
        (len(train), len(held)) == (16_000, 4_000) and source.dim == 2 and source.classes == ("0", "1", "2")
    )
    x, label = np.concatenate([train.x, held.x]), np.concatenate([train.label, held.label])
    counts = np.bincount(label)
    assert np.all(np.abs(counts - 20_000 / 3) < 5 * np.sqrt(20_000 * 2 / 9))
    for k, centre in enumerate(np.array([[3, 0], [0, 0], [0, -1]])):
        away = x[label == k] - centre
        assert np.all(np.abs(away.mean(0)) < 5 * 0.5 / np.sqrt(counts[k]))
        assert np.all(np.abs((away**2).mean(0) - 0.25) < 5 * 0.25 * np.sqrt(2 / counts[k]))


def test_the_same_records_whenever_they_are_asked_for():
    np.testing.assert_array_equal(LabelledBlobsSource().train().x, LabelledBlobsSource().train().x)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 4}, "data.size is 4"),
        ({"size": None}, "data.size is None"),
        ({"deviation": 0}, "data.deviation is 0"),
        ({"centres": [[1, 2]]}, "at least two different points"),
        ({"centres": [[1, 2], [1]]}, "data.centres has rows of different lengths"),
    ],
)
def test_clusters_that_are_none_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        LabelledBlobsSource(**settings)
