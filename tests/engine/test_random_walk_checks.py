"""Random-walk checks W1-W7, run by the engine. The t-th fit is generation t - 1; where a walk starts from a known law,
generation 0 is given. Coordinates of a known or diagonal covariance are independent, so that eight of them are eight walks."""

from __future__ import annotations

import numpy as np
import pytest

DIM = 8


def known(size, dim=DIM, **more):
    return {
        "data": {"kind": "gaussian", "dim": dim},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": size, **more},
    }


def grows(scale, exponent):
    return {"power": {"scale": scale, "exponent": exponent}}


def squares(model):
    return model.mean**2


def test_w1_a_fixed_size_drifts_without_end(course, close):
    found = course(squares, [99], **known(50), replicates=5000)[99]
    close(found.ravel(), 2.0, 0.03)


@pytest.mark.parametrize("s, expected", [(0.0, 0.13140), (0.5, 0.050211), (1.0, 0.032849)])
def test_w2_growing_sizes(course, close, s, expected):
    spec = known(grows(50, 1 + s))
    found = course(squares, [400], **spec, initial_model={"mean": 0.0}, replicates=5000)[400]
    close(found.ravel(), expected, 0.03)


def test_sizes_follow_the_schedule():
    """n_t = ceil(50 t^1.5)."""
    from autophage.loop import Loop

    loop = Loop(**known(grows(50, 1.5)), generations=8)
    planned = [loop.plan("main", t).new for t in range(1, 8)]
    assert planned == [int(np.ceil(50 * t**1.5)) for t in range(1, 8)] == [50, 142, 260, 400, 560, 735, 927]


def test_w4_chance_of_improvement(course, close):
    found = course(lambda m: np.abs(m.mean), [0, 1, 4], **known(100), replicates=22_000)
    for g, expected in ((1, 0.35242), (4, 0.25)):
        close((found[g] < found[0]).ravel().astype(float), expected, 0.005, relative=False)


def test_w5_chance_of_improvement_in_five_dimensions(course, close):
    spec = known(400, dim=5, initial_size=100)
    found = course(lambda m: (m.mean**2).sum(axis=1), [0, 3], **spec, replicates=100_000)
    close((found[3] < found[0]).astype(float), 0.18870, 0.005, relative=False)


def likelihood(exponent):
    return {
        "data": {"kind": "gaussian", "dim": DIM},
        "learner": {"kind": "gaussian", "covariance": "diagonal", "ddof": 0},
        "workflow": {"kind": "replace", "sample_size": grows(10, exponent)},
        "initial_model": {"mean": 0.0, "var": 1.0},
    }


@pytest.mark.parametrize("p, expected", [(1.0, 0.55077), (1.5, 0.77685)])
def test_w6_refitted_variance_under_growth(course, close, p, expected):
    found = course(lambda m: m.variances, [200], **likelihood(p), replicates=6000)[200]
    close(found.ravel(), expected, 0.03)


def test_w7_refitted_variance_at_a_fixed_size(course):
    found = course(lambda m: m.variances, [200], **likelihood(0.0), replicates=500)[200]
    assert np.median(found) < 1e-15
