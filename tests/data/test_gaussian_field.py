"""Gaussian fields have the law they state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from autophage.data.gaussian_field import GaussianFieldSource
from autophage.errors import SpecError
from autophage.keys import Key


def test_the_covariance_falls_with_the_distance_of_pixels():
    source = GaussianFieldSource(side=3, correlation=0.5, variance=4.0)
    S = source.covariance()
    at = np.array([(r, c) for r in range(3) for c in range(3)])
    distance = np.abs(at[:, None] - at).sum(axis=2)
    assert np.allclose(S, 4 * 0.5**distance)
    assert source.dim == 9 and source.shape == (3, 3)


def test_records_have_that_covariance():
    """100,000 pictures: entries within six standard errors."""
    source = GaussianFieldSource(side=3, correlation=0.8)
    x = source.draw(100_000, key=Key(0)).x[0]
    S = source.covariance()
    assert (np.abs(x.T @ x / len(x) - S) < 6 * np.sqrt((1 + S**2) / len(x))).all()
    assert (np.abs(x.mean(axis=0)) < 6 / np.sqrt(len(x))).all()


def test_the_truth_is_the_law():
    source = GaussianFieldSource(side=3, correlation=0.8, variance=2.0)
    x = source.reference().x[:10]
    expected = multivariate_normal(np.zeros(9), source.covariance()).logpdf(x)
    assert np.allclose(source.truth.log_prob(x), expected)


@pytest.mark.parametrize(
    "settings", [{"side": 0}, {"correlation": 1.0}, {"correlation": -0.1}, {"variance": 0}]
)
def test_what_is_no_field(settings):
    with pytest.raises(SpecError, match=f"data.{next(iter(settings))}"):
        GaussianFieldSource(**settings)
