from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from autophage.errors import DataError, SpecError
from autophage.metrics.neighbours import balls, nearest


@pytest.mark.parametrize("d", [1, 3, 8, 9, 40])
def test_nearest_agrees_with_scikit_learn(rng, d):
    points, queries = rng.normal(size=(300, d)), rng.normal(size=(120, d))
    distances, indices = nearest(queries, points, 4, chunk=1000)
    theirs, where = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(points).kneighbors(queries)
    np.testing.assert_allclose(distances, theirs, rtol=1e-7)  # theirs rounds
    np.testing.assert_array_equal(indices, where)


@pytest.mark.parametrize("d", [2, 20])
def test_own_leaves_out_itself_but_not_its_copies(rng, d):
    x = rng.normal(size=(50, d))
    distances, indices = nearest(x, x, 3, own=True)
    assert (indices != np.arange(50)[:, None]).all()
    np.testing.assert_array_equal(distances[:, 0], nearest(x, x, 2)[0][:, 1])
    thrice = np.repeat(x, 5, axis=0)
    assert (nearest(thrice, thrice, 3, own=True)[0] == 0).all()


@pytest.mark.parametrize("d", [2, 20])
def test_copies_are_at_distance_zero_even_far_from_the_origin(rng, d):
    points = 1e8 + rng.normal(size=(200, d))
    assert (nearest(points[:20], points)[0] == 0).all()
    assert (nearest(points, points, 1, own=True)[0] > 0).all()


def test_chunks_change_nothing(rng):
    points, queries = rng.normal(size=(100, 12)), rng.normal(size=(70, 12))
    radii = rng.uniform(2, 5, 100)
    for chunk in (1, 333, 10**7):
        np.testing.assert_array_equal(
            nearest(queries, points, 3, chunk=chunk)[0], nearest(queries, points, 3)[0]
        )
        for mine, whole in zip(
            balls(queries, points, radii, chunk=chunk), balls(queries, points, radii), strict=True
        ):
            np.testing.assert_array_equal(mine, whole)


@pytest.mark.parametrize("d", [1, 15])
def test_balls_are_closed_and_counted(rng, d):
    points, centres = rng.normal(size=(60, d)), rng.normal(size=(40, d))
    apart = points[:, None] - centres
    distance = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
    radii = distance[rng.integers(60, size=40), np.arange(40)]  # a point sits on every sphere
    inside = distance <= radii
    held = balls(points, centres, radii)
    np.testing.assert_array_equal(held.per_point, inside.sum(axis=1))
    np.testing.assert_array_equal(held.per_ball, inside.sum(axis=0))
    for only, alone in ((held.only_ball, inside), (held.only_point, inside.T)):
        once = alone.sum(axis=1) == 1
        np.testing.assert_array_equal(only >= 0, once)
        np.testing.assert_array_equal(only[once], alone[once].argmax(axis=1))


def test_a_point_in_a_ball_of_radius_zero(rng):
    x = 1e6 + rng.normal(size=(30, 10))
    np.testing.assert_array_equal(balls(x, x, np.zeros(30)).per_point, np.ones(30))


def test_bad_input(rng):
    x = rng.normal(size=(5, 2))
    with pytest.raises(SpecError, match="k is 5"):
        nearest(x, x, 5, own=True)
    with pytest.raises(SpecError, match="k is 0"):
        nearest(x, x, 0)
    with pytest.raises(DataError, match="one width"):
        nearest(x, x[:, :1])
    with pytest.raises(DataError, match="4 radii"):
        balls(x, x, np.ones(4))
