"""The recursion of second moments is the mean of its maps, and ends where it must."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.data.gaussian_field import GaussianFieldSource
from autophage.errors import SpecError
from autophage.inpainting.gaussian_field import conditionals
from autophage.inpainting.squares import Grid
from autophage.theory.recursive_inpainting import second_moments, untouched

FIELD, GRID = GaussianFieldSource(side=4, correlation=0.6, variance=2.0), Grid(4, 4, 2)


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_against_whole_matrices(tau):
    S = X = FIELD.covariance()
    maps = []
    for law in conditionals(S, GRID):
        M, N = np.eye(16), np.zeros((16, 16))
        M[law.inside] = 0
        M[np.ix_(law.inside, law.around)] = law.weights
        N[np.ix_(law.inside, law.inside)] = law.noise @ law.noise.T
        maps.append((M, N))
    variance, shared = [S.trace() / 16], [X.trace() / 16]
    for _ in range(5):
        S = sum(M @ S @ M.T + tau**2 * N for M, N in maps) / len(maps)
        X = sum(M @ X for M, _ in maps) / len(maps)
        variance.append(S.trace() / 16)
        shared.append(X.trace() / 16)
    found = second_moments(FIELD.covariance(), GRID, tau, range(6))
    assert found.variance == pytest.approx(variance) and found.covariance == pytest.approx(shared)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_the_limits(tau):
    found = second_moments(FIELD.covariance(), GRID, tau, [0, 1500])
    assert found.variance[1] == pytest.approx(2 * tau**2, abs=1e-6)
    assert found.covariance[1] == pytest.approx(0, abs=1e-6)
    assert found.mse()[1] == pytest.approx(2 * (1 + tau**2), abs=1e-6)


def test_the_untouched_share_is_that_of_the_grid():
    assert untouched(GRID, [0, 4]).tolist() == [1.0, 0.75**4]


def test_refusals():
    with pytest.raises(SpecError, match="tau"):
        second_moments(FIELD.covariance(), GRID, 1.2, [0])
    with pytest.raises(SpecError, match="fills"):
        second_moments(FIELD.covariance(), GRID, 1.0, [-1])
