"""OLE against its closed forms, its invariances, and the bound on a classifier's confidence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.theory.orthogonality import (
    confidence_bound,
    large_sample,
    mean_log_ratio,
    noise_free,
    orthogonality,
)

KEY = Key(0) / "test_orthogonality"


def bases(angles, dim):
    """U_0, U_1 (dim, r) orthonormal with these principal angles."""
    r, eye = len(angles), np.eye(dim)
    first = eye[:, :r]
    return first, first * np.cos(angles) + eye[:, r : 2 * r] * np.sin(angles)


def drawn(angles, dim, noise, n, key):
    """n records of each of the two classes."""
    rng, parts = key.generator(), []
    for U in bases(np.asarray(angles), dim):
        parts.append(rng.standard_normal((n, U.shape[1])) @ U.T + noise * rng.standard_normal((n, dim)))
    return np.concatenate(parts), np.repeat([0, 1], n)


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0.585786), (30, 0.267949), (60, 0.068148), (90, 0.0)])
def test_two_directions_have_the_closed_form(degrees, expected):
    """O1."""
    angle = math.radians(degrees)
    u0, u1 = (U.T for U in bases(np.array([angle]), 5))
    found = orthogonality(np.concatenate([u0, u1]), np.array([0, 1])).ole
    assert abs(found - noise_free([angle])) < 1e-9 and abs(found - expected) < 5e-7


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_many_samples_have_the_limit(noise):
    """O2 and O3: 1 % at n = 4000. The spread over 8 draws is below a quarter of that."""
    expected = {0.3: (4.0068, 4.1622, 4.5523, 4.7851), 1.0: (12.2940, 12.3304, 12.4052, 12.4390)}[noise]
    n = 4000
    for degrees, value in zip((90, 60, 30, 10), expected, strict=True):
        angles = [math.radians(degrees)] * 3
        assert abs(large_sample(angles, 20, noise) - value) < 5e-5 * max(1, value / 5)
        x, y = drawn(angles, 20, noise, n, KEY / str(noise) / degrees)
        assert abs(orthogonality(x, y).ole / math.sqrt(n) - value) < 0.01 * value


def log_ratio(x, angles, dim, s):
    """log p(x|0) - log p(x|1) from the densities themselves."""
    scores = []
    for U in bases(np.asarray(angles), dim):
        S = U @ U.T + s**2 * np.eye(dim)
        scores.append(-0.5 * np.einsum("ni,ij,nj->n", x, np.linalg.inv(S), x) - 0.5 * np.linalg.slogdet(S)[1])
    return scores[0] - scores[1]


@pytest.mark.parametrize("degrees", [90, 60, 30])
def test_the_mean_log_ratio_and_the_bound_on_confidence(degrees):
    """O4 and L3: the bound of the sheet to four digits, never exceeded by more than .01."""
    angles, n = [math.radians(degrees)] * 3, 20000
    bound = confidence_bound(angles, 1.0)
    assert abs(bound - {90: 0.6792, 60: 0.6370, 30: 0.5467}[degrees]) < 5e-5
    x, y = drawn(angles, 20, 1.0, n, KEY / "confidence" / degrees)
    ratio = log_ratio(x, angles, 20, 1.0)
    right = np.where(y == 0, ratio, -ratio)
    error = right.std() / math.sqrt(2 * n)
    assert abs(right.mean() - mean_log_ratio(angles, 1.0)) < 4 * error
    xi = 1 / (1 + np.exp(-right))
    measured = {90: 0.6297, 60: 0.6006, 30: 0.5442}[degrees]
    assert abs(xi.mean() - measured) < 4 * xi.std() / math.sqrt(n) + 0.002
    assert xi.mean() < bound + 0.01


def test_rotations_and_orders_change_nothing():
    """O5."""
    rng = (KEY / "orders").generator()
    x, y = rng.standard_normal((60, 7)) + 1.0, rng.integers(0, 3, 60)
    before = orthogonality(x, y)
    rotation = np.linalg.qr(rng.standard_normal((7, 7)))[0]
    rows = rng.permutation(60)
    for other in (orthogonality(x @ rotation, y), orthogonality(x[rows], y[rows]), orthogonality(x, 2 - y)):
        np.testing.assert_allclose(other, before, rtol=1e-9)


def test_orthogonal_blocks_have_none():
    """O6."""
    rng = (KEY / "blocks").generator()
    x = np.zeros((40, 8))
    x[:20, :4], x[20:, 4:] = rng.standard_normal((20, 4)), rng.standard_normal((20, 4))
    found = orthogonality(x, np.repeat([0, 1], 20))
    assert found.ole <= 1e-9 * np.linalg.norm(x, "nuc") and found.relative <= 1e-9


def test_scale_changes_one_and_not_the_other():
    """L5."""
    rng = (KEY / "scale").generator()
    x, y = rng.standard_normal((50, 6)), rng.integers(0, 2, 50)
    whole, half = orthogonality(x, y), orthogonality(x / 2, y)
    np.testing.assert_allclose((half.ole, half.relative), (whole.ole / 2, whole.relative), rtol=1e-12)
    assert 0 < whole.relative <= math.sqrt(2) - 1 + 1e-12


def test_equal_classes_are_the_worst():
    """C classes with the same latents: OLE / |M|_* = sqrt C - 1."""
    x = (KEY / "equal").generator().standard_normal((30, 4))
    found = orthogonality(np.concatenate([x] * 3), np.repeat([0, 1, 2], 30))
    assert abs(found.relative - (math.sqrt(3) - 1)) < 1e-12


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="a class for each"):
        orthogonality(np.ones((3, 2)), np.zeros(2))
    with pytest.raises(DataError, match="finite"):
        orthogonality(np.full((2, 2), np.nan), np.zeros(2))
    with pytest.raises(SpecError, match="need 6 dimensions"):
        large_sample([0.1] * 3, 5, 1.0)
    with pytest.raises(SpecError, match="above zero"):
        mean_log_ratio([0.1], 0.0)
    with pytest.raises(SpecError, match="between 0 and pi / 2"):
        noise_free([2.0])
    assert orthogonality(np.zeros((4, 2)), np.array([0, 0, 1, 1])) == (0.0, 0.0)
