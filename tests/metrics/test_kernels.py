from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.metrics.kid import Kid, cubic_kernel, kid
from autophage.metrics.mmd import Mmd, gaussian_kernel, median_bandwidth, mmd_squared
from autophage.samples import Samples


def unbiased(x, y, kernel):
    n, m = len(x), len(y)
    same_x, same_y = kernel(x, x), kernel(y, y)
    within = (same_x.sum() - np.trace(same_x)) / (n * (n - 1)) + (same_y.sum() - np.trace(same_y)) / (
        m * (m - 1)
    )
    return within - 2 * kernel(x, y).mean()


def test_against_scikit_learns_kernels(rng):
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(25, 3)) + 0.5
    np.testing.assert_allclose(gaussian_kernel(1.7)(x, y), rbf_kernel(x, y, gamma=0.5 / 1.7**2))
    np.testing.assert_allclose(cubic_kernel(x, y), polynomial_kernel(x, y, degree=3, coef0=1))
    assert kid(x, y).value == pytest.approx(unbiased(x, y, polynomial_kernel), rel=1e-10)
    kernel = gaussian_kernel(2.0)
    assert mmd_squared(x, y, kernel).value == pytest.approx(unbiased(x, y, kernel), rel=1e-10)


def test_chunks_and_order_change_nothing(rng):
    x, y = rng.normal(size=(60, 4)), rng.normal(size=(50, 4))
    whole = kid(x, y)
    for other in (
        mmd_squared(x, y, cubic_kernel, chunk=70),
        kid(rng.permutation(x), rng.permutation(y)),
    ):
        assert (other.value, other.low, other.high) == pytest.approx(
            (whole.value, whole.low, whole.high), rel=1e-9
        )
    assert kid(y, x).value == pytest.approx(whole.value, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_unbiased_and_covered(rng, house, shift):
    def draw():
        return rng.normal(size=(80, 2)), rng.normal(size=(60, 2)) + np.array([shift, 0])

    bandwidth = 1.5
    found = [mmd_squared(*draw(), gaussian_kernel(bandwidth)) for _ in range(500)]
    values = np.array([f.value for f in found])
    # E k of two unit Gaussians a distance s apart: (h^2 / (h^2 + 2))^(d/2) exp(-s^2 / (2 (h^2 + 2))).
    wide = bandwidth**2 + 2
    truth = 2 * bandwidth**2 / wide * (1 - np.exp(-(shift**2) / (2 * wide)))
    # Five standard errors: where the laws agree the estimate is skewed, a low mean comes with a low spread.
    assert values.mean() == pytest.approx(truth, abs=5 * values.std() / np.sqrt(500))
    assert house.coverage(found, truth) > 0.95 - 4 * 0.0097 - 0.015
    assert np.mean([f.high - f.low for f in found]) / 3.92 < 2.5 * values.std()


def test_kid_does_not_depend_on_sample_size(rng):
    small = np.array(
        [kid(rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) * 1.5).value for _ in range(1500)]
    )
    large = np.array(
        [kid(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) * 1.5).value for _ in range(150)]
    )
    error = np.hypot(small.std() / np.sqrt(1500), large.std() / np.sqrt(150))
    assert small.mean() == pytest.approx(large.mean(), abs=4 * error)


def test_bandwidth_is_that_of_the_real_records(rng):
    x = rng.normal(size=(2, 1)) * 0 + [[0.0], [3.0]]
    assert median_bandwidth(x) == 3
    real = Samples.of(rng.normal(size=(100, 2)))
    memo: dict = {}
    near = Mmd().compare(real, Samples.of(rng.normal(size=(50, 2))), key=Key(0), memo=memo)["mmd"]
    far = Samples.of(100 + rng.normal(size=(50, 2)))
    apart = Mmd().compare(real, far, key=Key(0), memo=memo)["mmd"]
    h = median_bandwidth(real.x)
    assert apart.value == pytest.approx(mmd_squared(real.x, far.x, gaussian_kernel(h)).value)
    assert near.value < 0.1 < apart.value
    assert list(Mmd(bandwidth=0.5).compare(real, far, key=Key(0), memo=memo)) == ["mmd_h0.5"]
    assert list(Kid().compare(real, far, key=Key(0), memo=memo)) == ["kid_pixels"]
    assert Kid(most=30).compare(real, far, key=Key(0), memo=memo)["kid_pixels"].n == 30


def test_bad_input(rng):
    x = rng.normal(size=(5, 2))
    with pytest.raises(DataError, match="coincide"):
        median_bandwidth(np.ones((10, 2)))
    with pytest.raises(DataError, match="at least 2 records"):
        kid(x[:1], x)
    with pytest.raises(DataError, match="numbers each"):
        kid(x, x[:, :1])
    with pytest.raises(SpecError, match="bandwidth is -1"):
        Mmd(bandwidth=-1.0)
    with pytest.raises(SpecError, match="most is 1"):
        Kid(most=1)
