"""The sheets' checks of kernel density and mixture loops, run by the engine."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.learners.gaussian_mixture import GaussianMixture


def moments(model):
    return np.column_stack([model.record_variances[:, 0], model.mean[:, 0] ** 2])


def kde(workflow, n, h, **more):
    return {
        "data": {"kind": "gaussian"},
        "learner": {"kind": "kde", "bandwidth": h},
        "workflow": {"kind": workflow, "sample_size": n},
        **more,
    }


def test_k1_replace(course, close):
    found = course(moments, [39], **kde("replace", 50, 0.2, replicates=30_000))[39]
    close(found[:, 0], 1.5143, 0.04)
    close(found[:, 1], 1.0457, 0.04)
    close(found.sum(axis=1), 1 + 39 * 0.04, 0.04)


@pytest.mark.slow
def test_k2_k4_accumulate(course, close):
    found = course(moments, [39], **kde("accumulate", 50, 0.2, replicates=24_000))[39]
    close(found[:, 0], 1.0982, 0.04)
    close(found[:, 1], 0.03295, 0.04)
    found = course(moments, [59], **kde("accumulate", 20, 0.5, replicates=20_000))[59]
    close(found.sum(axis=1), 1.9200, 0.03)  # 1 + h^2 (H_60 - 1) = 1.9200; the sheet's 1.9290 is a slip


def test_k3_replace_with_a_wide_kernel(course, close):
    found = course(moments, [59], **kde("replace", 20, 0.5, replicates=12_000))[59]
    close(found[:, 0], 4.5657, 0.06)
    close(found[:, 1], 11.184, 0.06)


@pytest.mark.slow
def test_r25_kernels_inflate(course, close):
    """t = 40 refits after the first fit, n = 50 records of the estimated density each; the limit is 4.41."""
    found = course(moments, [40], **kde("replace", 50, 0.3, replicates=100_000))[40]
    close(found[:, 0], 2.881248, 0.01)


def modes_and_balance(model, radius=2.0):
    """Modes holding more than 1 % of the mass (each component belongs to its nearest true mode), and the
    Gini-Simpson diversity of the modes' weights over that of eight equal ones."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    nearest = ((model.means[:, :, None] - centres) ** 2).sum(axis=-1).argmin(axis=-1)
    mass = np.zeros((len(nearest), 8))
    for k in range(8):
        mass[:, k] = np.where(nearest == k, model.weights, 0).sum(axis=1)
    return np.column_stack([(mass > 0.01).sum(axis=1), (1 - (mass**2).sum(axis=1)) / (1 - 1 / 8)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "workflow, fewest, most, least_balance, most_balance",
    [
        ({"kind": "replace", "sample_size": 200}, 3, 7, 0.65, 0.9),
        ({"kind": "mix", "synthetic_ratio": 1.0, "initial_size": 200}, 8, 8, 0.99, 1.0),
        ({"kind": "mix", "synthetic_ratio": 0.25, "initial_size": 200}, 8, 8, 0.99, 1.0),
    ],
)
def test_r26_eight_gaussians(course, workflow, fewest, most, least_balance, most_balance):
    centres = 2 * np.column_stack([np.cos(np.pi * np.arange(8) / 4), np.sin(np.pi * np.arange(8) / 4)])
    spec = {
        "data": {"kind": "eight_gaussians", "radius": 2, "deviation": 0.2},
        "learner": GaussianMixture(components=8, start="previous"),
        "workflow": workflow,
        "replicates": 24,
        "initial_model": {
            "weights": [1 / 8] * 8,
            "means": centres.tolist(),
            "covariances": [(0.04 * np.eye(2)).tolist()] * 8,
        },
    }
    found = course(modes_and_balance, [50], **spec)[50].mean(axis=0)
    assert fewest <= found[0] <= most
    assert least_balance <= found[1] <= most_balance
