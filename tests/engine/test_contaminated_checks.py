"""Checks A1-A7 and A12-A20 of the sheet on contaminated sources, run by the engine. Its round t is generation t."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.theory.contaminated import predict_risk, turning_points
from autophage.theory.contexts import several_contexts


def zipf(symbols):
    weights = 1 / np.arange(1, symbols + 1)
    return weights / weights.sum()


def power(scale, exponent):
    return {"power": {"scale": scale, "exponent": exponent}}


def contaminated(symbols, share, size, initial=None, path="auto"):
    start = {} if initial is None else {"initial_size": initial}
    return {
        "data": {"kind": "categorical", "zipf": {"symbols": symbols, "exponent": 1}},
        "learner": {"kind": "categorical", "path": path},
        "workflow": {"kind": "fresh", "real_share": share, "sample_size": size, **start},
    }


def error(symbols):
    p = zipf(symbols)
    return lambda model: ((model.probabilities - p) ** 2).sum(axis=1)


CHECKS = {
    "a1": (20, 0.1, 200, None, 60, 3000, 0.022589, 0.04),
    "a2": (20, 0.3, 50, None, 40, 3000, 0.033732, 0.04),
    "a3": (20, 0.0, 100, None, 200, 2500, 0.760401, 0.03),
    "a4": (20, power(1, -0.5), power(20, 1), 20, 200, 800, 1.6312e-3, 0.08),
    "a5": (20, power(0.5, -0.5), power(20, 0.5), None, 200, 900, 4.2565e-2, 0.08),
    "a6": (20, power(1, -1), power(5, 2), 5, 60, 900, 2.8932e-3, 0.08),
    "a7": (20, power(0.5, -2), power(5, 2), 5, 60, 900, 0.17915, 0.08),
    "a12": (50, 0.1, 100, None, 200, 250, 4.643e-2, 0.15),
    "a13": (50, 0.1, {"values": [100 + 10 * t for t in range(1, 201)]}, 100, 200, 250, 2.349e-3, 0.15),
    "a14": (50, power(1, -0.5), 100, None, 200, 250, 6.256e-2, 0.15),
    "a15": (50, power(1, -0.5), power(100, 1), None, 200, 250, 3.427e-4, 0.15),
    "a16": (50, power(1, -1.5), power(100, 2), None, 200, 250, 1.692e-3, 0.15),
    "a17_growing": (50, 0.0, power(100, 2), None, 200, 250, 2.406e-2, 0.15),
}


@pytest.mark.parametrize("name", CHECKS)
def test_risk_of_the_last_round(name, course, close):
    symbols, share, size, initial, rounds, replicates, expected, tolerance = CHECKS[name]
    spec = contaminated(symbols, share, size, initial) | {"replicates": replicates}
    close(course(error(symbols), [rounds], **spec)[rounds], expected, tolerance)


def test_a17_a18_without_real_records_one_symbol_is_left(course, close):
    both = lambda m: np.column_stack([error(50)(m), (m.probabilities > 0).sum(axis=1)])  # noqa: E731
    found = course(both, [200], replicates=400, **contaminated(50, 0.0, 100))[200]
    close(found[:, 0], 0.7977, 0.15)
    close(found[:, 1], 1.3, 0.3, relative=False)


@pytest.mark.parametrize(
    "share, n, rounds, replicates, mean_error, variance",
    [
        pytest.param(0.2, 20, 50, 6_000, 0.12755, 0.87245, id="a19"),
        pytest.param(0.05, 50, 80, 7_600, 0.17308, 0.82692, id="a20"),
    ],
)
def test_gaussian(course, close, share, n, rounds, replicates, mean_error, variance):
    """Ten coordinates, each a course of its own but for the number of real records in a round."""
    found = course(
        lambda m: np.column_stack([(m.mean**2).mean(axis=1), m.variances.mean(axis=1)]),
        [rounds],
        data={"kind": "gaussian", "dim": 10},
        learner={"kind": "gaussian", "ddof": 0, "covariance": "diagonal"},
        workflow={"kind": "fresh", "real_share": share, "sample_size": n},
        replicates=replicates,
    )[rounds]
    close(found[:, 0], mean_error, 0.03)
    close(found[:, 1], variance, 0.03)


def test_a_whole_course_on_both_paths_follows_the_recursion(course, close):
    """Records mixed one by one, and one draw from the blended law: the same law."""
    alpha, n = [0.5, 0.2, 0.0, 0.7, 0.3], [30, 12, 60, 8, 40]
    exact = predict_risk(zipf(6), [0, *alpha], [20, *n])
    for path in ("samples", "statistics"):
        spec = contaminated(6, {"values": alpha}, {"values": n}, 20, path) | {"replicates": 12_000}
        found = course(error(6), list(range(6)), **spec)
        for t in range(6):
            close(found[t], exact[t], 0.04)


def test_means_stay_unbiased_and_turning_points_are_seen(course):
    """A.3.1: E P_t = P* for any schedule; and the course leaves R_0's level where theory says."""
    spec = contaminated(5, 0.3, power(10, 1)) | {"replicates": 6000}
    at = list(range(13))
    p = zipf(5)
    found = course(lambda m: np.column_stack([m.probabilities, error(5)(m)]), at, **spec)
    for t in at:
        gap = found[t][:, :5].mean(axis=0) - p
        assert (np.abs(gap) <= 4.5 * found[t][:, :5].std(axis=0) / np.sqrt(6000)).all()
    exact = predict_risk(p, 0.3, [10, *(10 * np.arange(1, 13))])
    assert (np.abs(exact[1:4] / exact[0] - 1) > 0.1).all()  # some ten standard errors from the border
    measured = turning_points([found[g][:, 5].mean() for g in at])
    assert measured == turning_points(exact) == (1, 2)


ROWS = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
WEIGHTS = (0.7, 0.25, 0.05)


@pytest.mark.parametrize("share", [0.3, None], ids=["fresh", "replace"])
@pytest.mark.parametrize(
    "learner", [{}, {"path": "samples"}, {"start": "scratch"}], ids=["law", "samples", "scratch"]
)
def test_contexts_follow_their_exact_course(share, learner, course, close):
    """A.3.8: rows of contexts that are often not met, kept or started anew, on both paths."""
    sizes = [9, 12, 12, 12, 12] if share else [10] * 5
    fresh = {"kind": "fresh", "sample_size": 12, "real_share": share, "initial_size": 9}
    found = course(
        lambda m: ((m.rows - ROWS) ** 2).sum(axis=2),
        [0, 4],
        data={"kind": "bigram", "rows": ROWS.tolist(), "weights": list(WEIGHTS)},
        learner={"kind": "bigram", **learner},
        workflow=fresh if share else {"kind": "replace", "sample_size": 10},
        replicates=12_000,
    )
    keeps = learner.get("start") != "scratch"
    exact = several_contexts(ROWS, WEIGHTS, share or 0.0, sizes, keeps_missing=keeps).risk
    for c in range(3):
        for generation in (0, 4):
            close(found[generation][:, c], exact[generation, c], 0.08)
