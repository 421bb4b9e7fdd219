"""Loops at a sampling temperature, run by the engine on samples so large that the population courses hold."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.theory import temperature

FOUR = [0.5, 0.3, 0.15, 0.05]
MANY = 10**9


def spec(workflow, tau, **more):
    return {
        "data": {"kind": "categorical", "probabilities": FOUR},
        "learner": {"kind": "categorical"},
        "workflow": workflow,
        "sampling": {"temperature": tau},
        "replicates": 8,
        **more,
    }


@pytest.mark.parametrize(
    "share, tau, expected",
    [
        (0.5, 0.8, (0.56305, 0.28176, 0.12063, 0.03457)),
        (0.1, 0.8, (0.91196, 0.05685, 0.02426, 0.00694)),
        (0.1, 1.3, (0.32936, 0.26924, 0.21934, 0.18206)),
    ],
)
@pytest.mark.parametrize("kind", ["fresh", "mix"])
def test_h4_external_data_hold_the_loop(course, share, tau, expected, kind):
    """New external data in every generation, or the same real records kept."""
    workflow = {"kind": "fresh", "sample_size": MANY, "real_share": share}
    if kind == "mix":
        workflow = {"kind": "mix", "real": MANY, "synthetic_ratio": 1 / share - 1}
    found = course(lambda m: m.probabilities, [120], **spec(workflow, tau))[120]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-4)


@pytest.mark.parametrize("tau", [0.7, 1.5])
def test_h3_the_pile_follows_the_mean_field_course(course, tau):
    workflow = {"kind": "accumulate", "sample_size": MANY}
    at = [1, 20, 400]
    found = course(lambda m: m.probabilities, at, **spec(workflow, tau, replicates=4))
    expected = temperature.accumulate(FOUR, tau, 401)
    for t in at:
        np.testing.assert_allclose(found[t], np.broadcast_to(expected[t], (4, 4)), atol=2e-4)
    # On its way to the degenerate end that the population reaches at t = 20,000.
    spread = [float(np.ptp(found[t].mean(axis=0))) for t in at]
    assert (np.diff(spread) > 0).all() if tau < 1 else (np.diff(spread) < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.7, 1.5])
def test_h3_the_pile_degenerates_in_the_end(course, tau):
    found = course(
        lambda m: m.probabilities,
        [19_999],
        **spec({"kind": "accumulate", "sample_size": MANY}, tau, replicates=2),
    )
    if tau < 1:
        assert (found[19_999][:, 0] > 0.99).all()
    else:
        assert np.abs(found[19_999] - 0.25).max() < 0.015
