"""The best of k: the numbers of the sheet, enumeration, and the loop that keeps nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.theory import best_of


@pytest.mark.parametrize(
    ("choices", "mean", "variance"), [(2, 0.5642, 0.6817), (5, 1.1630, 0.4475), (10, 1.5388, 0.3443)]
)
def test_moments_of_the_largest_of_k_normals(choices, mean, variance):
    assert best_of.best_of(choices) == pytest.approx((mean, variance), abs=5e-5)


def test_known_closed_forms():
    assert best_of.best_of(1) == (0.0, 1.0)
    assert best_of.best_of(2) == pytest.approx((1 / np.sqrt(np.pi), 1 - 1 / np.pi), abs=1e-12)
    assert best_of.best_of(3) == pytest.approx(
        (1.5 / np.sqrt(np.pi), 1 + np.sqrt(3) / (2 * np.pi) - 9 / (4 * np.pi)), abs=1e-12
    )
    # Of many the mean is about the quantile 1 - 0.5264 / k (Harter 1961 has 4.863 for a million).
    assert best_of.best_of(10**6).mean == pytest.approx(4.863, abs=1e-3)


def test_iterated_selection_is_itself_a_collapse():
    found = best_of.refitted(10, 6)
    np.testing.assert_allclose(found.mean[1:], [1.539, 2.442, 2.972, 3.283, 3.466], atol=1.1e-3)
    np.testing.assert_allclose(found.deviation[1:], [0.587, 0.344, 0.202, 0.119, 0.070], atol=6e-4)
    assert best_of.limit(10) == pytest.approx(3.724, abs=5e-4)
    assert best_of.refitted(10, 200).mean[-1] == pytest.approx(best_of.limit(10), abs=1e-12)
    assert best_of.limit(1, mean=2.0) == 2.0 and (best_of.refitted(1, 3, mean=2.0).mean == 2.0).all()


def test_the_best_of_symbols_by_enumeration():
    p = [0.5, 0.3, 0.2]
    np.testing.assert_allclose(best_of.best_of_symbols(p, 4), [0.0625, 0.3471, 0.5904], atol=1e-12)
    counted = np.zeros(3)
    for drawn in itertools.product(range(3), repeat=4):
        counted[max(drawn)] += np.prod([p[i] for i in drawn])
    np.testing.assert_allclose(best_of.best_of_symbols(p, 4), counted, atol=1e-12)


def test_preference_at_temperature_zero_keeps_the_best_of_k():
    """Three rounds of the loop, a normal refitted to the best of ten by a linear reward."""
    R, n = 40, 1500
    loop = Loop(
        seed=5,
        replicates=R,
        generations=4,
        data={"kind": "gaussian"},
        learner={"kind": "gaussian", "ddof": 1},
        workflow={"kind": "replace", "sample_size": n},
        initial_model={"mean": 0, "var": 1},
        curation=[{"kind": "preference", "reward": "linear", "choices": 10, "temperature": 1e-9}],
        metrics=[],
    )
    expected, state = best_of.refitted(10, 4), loop.start(loop.blocks()[0])
    while state.generation < 4:
        state, (record,) = loop.step(state)
        t, mean, variance = record.number, record.model.mean[:, 0], record.model.variances[:, 0]
        if t == 0:
            continue
        # A few standard errors of what R chains scatter; means of standard deviations are biased by less than 1 / n.
        assert abs(mean.mean() - expected.mean[t]) < 4 * mean.std() / np.sqrt(R) + t / n
        sd = np.sqrt(variance)
        assert abs(sd.mean() - expected.deviation[t]) < 4 * sd.std() / np.sqrt(R) + t / n


@pytest.mark.parametrize("k", [10, 4])
def test_preference_at_temperature_zero_on_symbols(k):
    p, n = [0.5, 0.3, 0.2], 100_000
    loop = Loop(
        seed=5,
        generations=2,
        data={"kind": "categorical", "probabilities": p},
        learner={"kind": "categorical"},
        workflow={"kind": "replace", "sample_size": n},
        initial_model={"probabilities": p},
        curation=[{"kind": "preference", "reward": [0, 1, 2], "choices": k, "temperature": 1e-9}],
        metrics=[],
    )
    _, (record,) = loop.step(loop.step(loop.start(loop.blocks()[0]))[0])
    law = best_of.best_of_symbols(p, k)
    assert (np.abs(record.model.probabilities[0] - law) < 4 * np.sqrt(law * (1 - law) / n) + 1e-12).all()


def test_bad_arguments():
    for call in (
        lambda: best_of.best_of(0),
        lambda: best_of.best_of(2.5),
        lambda: best_of.refitted(3, 0),
        lambda: best_of.refitted(3, 2, deviation=-1),
        lambda: best_of.best_of_symbols([0.5, 0.6], 2),
    ):
        with pytest.raises(SpecError):
            call()
