"""Checks F3-F5 and F9 of curated loops, run by the engine over many rounds on samples so large that the population courses hold."""

from __future__ import annotations

import pytest

INF = float("inf")


def two_outcomes(mass, gap, choices, workflow, replicates):
    p = [mass, 1 - mass]
    return {
        "data": {"kind": "categorical", "probabilities": p},
        "learner": {"kind": "categorical"},
        "workflow": workflow,
        "initial_model": {"probabilities": p},
        "curation": [{"kind": "preference", "reward": [gap, 0.0], "choices": choices}],
        "replicates": replicates,
    }


def better(model):
    return model.probabilities[:, 0]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        pytest.param(2, {1: 0.1415906, 5: 0.4691603, 10: 0.9220816, 20: 0.9998167}, id="f4"),
        pytest.param(INF, {1: 0.2319693, 5: 0.9428256, 10: 0.9995916}, id="f4b"),
    ],
)
def test_the_better_of_two_outcomes_takes_over(choices, expected, course, close):
    spec = two_outcomes(0.1, 1.0, choices, {"kind": "replace", "sample_size": 5000}, 20)
    found = course(better, list(expected), **spec)
    for t, share in expected.items():
        close(found[t], share, 0.05)


@pytest.mark.parametrize(
    ("ratio", "mass", "gap", "rounds", "settles"),
    [
        pytest.param(0.5, 0.1, 2.0, 10, 0.1480232, id="f5-0.5"),
        pytest.param(0.9, 0.3, 5.0, 8, 0.5215749, id="f5-0.9"),
        pytest.param(3, 0.1, 1.0, 28, 0.4419096, id="f5-3", marks=pytest.mark.slow),
    ],
)
def test_f5_with_reference_data(ratio, mass, gap, rounds, settles, course, close):
    """New reference records in every round, as many as the ratio says: a course that forgets its sampling errors."""
    workflow = {"kind": "fresh", "sample_size": 5000, "real_share": 1 / (1 + ratio), "counts": "exact"}
    found = course(better, [rounds], **two_outcomes(mass, gap, 2, workflow, 45))[rounds]
    close(found, settles, 0.03)


def test_f9_a_quadratic_reward_narrows_a_normal(course, close):
    """r = -x^2/2, K = inf: precision 1 + t after t rounds."""
    found = course(
        lambda m: m.variances[:, 0],
        [1, 4],
        data={"kind": "gaussian"},
        learner={"kind": "gaussian", "ddof": 1},
        workflow={"kind": "replace", "sample_size": 20_000},
        initial_model={"mean": 0, "var": 1},
        curation=[
            {
                "kind": "preference",
                "reward": {"kind": "distance", "point": 0, "radius": 0, "scale": 0.5},
                "choices": INF,
            }
        ],
        replicates=20,
    )
    close(found[1], 1 / 2, 0.02)
    close(found[4], 1 / 5, 0.02)


@pytest.mark.slow
def test_f3_ties_keep_their_share(course, close):
    """K = 4, r = (0, 1, 1): the first outcome is gone after 80 rounds, and the others are where chance has led them, 3 to 2 on
    average."""
    p = [0.5, 0.3, 0.2]
    found = course(
        lambda m: m.probabilities,
        [80],
        data={"kind": "categorical", "probabilities": p},
        learner={"kind": "categorical"},
        workflow={"kind": "replace", "sample_size": 4000},
        initial_model={"probabilities": p},
        curation=[{"kind": "preference", "reward": [0.0, 1.0, 1.0], "choices": 4}],
        replicates=100,
    )[80]
    assert not found[:, 0].any()
    close(found[:, 1], 0.6, 0.03, relative=False)
