from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import DataError
from autophage.keys import Key
from autophage.metrics.spread import SampleLogDet, SampleVariance, sample_log_det, sample_variance
from autophage.samples import Samples


def test_against_numpy(rng):
    x = rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4)) + 1e3
    assert sample_variance(x).value == pytest.approx(x.var(axis=0, ddof=1).mean(), rel=1e-9)
    assert sample_log_det(x).value == pytest.approx(np.linalg.slogdet(np.cov(x.T))[1], rel=1e-9)


def test_intervals_cover(rng, house):
    sets = [rng.normal(size=(400, 2)) * [1, 2] for _ in range(400)]
    variance = [sample_variance(x) for x in sets]
    log_det = [sample_log_det(x) for x in sets]
    assert house.coverage(variance, 2.5) > 0.95 - 4 * 0.0109 - 0.01
    assert house.coverage(log_det, np.mean([f.value for f in log_det])) > 0.95 - 4 * 0.0109 - 0.01
    bias = np.mean([f.value for f in log_det]) - np.log(4)
    error = np.std([f.value for f in log_det]) / 20
    assert bias == pytest.approx(-2 * 3 / (2 * 400), abs=4 * error)


def test_singular_and_tiny(rng):
    flat = np.c_[rng.normal(size=50), np.ones(50)]
    found = sample_log_det(flat)
    assert found.value == -np.inf and np.isnan(found.low)
    assert sample_log_det(rng.normal(size=(3, 5))).value == -np.inf
    assert sample_variance(np.ones((5, 2))).value == 0
    for function in (sample_variance, sample_log_det):
        with pytest.raises(DataError, match="two records"):
            function(np.ones((1, 2)))
        with pytest.raises(DataError, match="NaN"):
            function(np.full((3, 2), np.nan))


def test_parts(rng):
    real, made = Samples.of(rng.normal(size=(50, 3))), Samples.of(rng.normal(size=(40, 3)))
    (name, found), *_ = SampleVariance().compare(real, made, key=Key(0), memo={}).items()
    assert (name, found.n) == ("sample_variance", 40)
    assert list(SampleLogDet(features="pca", components=2).compare(real, made, key=Key(0), memo={})) == [
        "sample_log_det_pca2"
    ]
