"""Checks T1, T3 and T4 of a tale of tails, run by the engine: symbols of p_i ~ i^-1.5, whose frequencies are refitted to samples of
the last fit. A memoriser errs on the symbols it has not seen, which are those that the fit gives no probability."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.theory import tails

BETA = 1.5


@pytest.fixture
def unseen(course):
    """unseen(symbols, sizes, at, replicates): {fit: (R,) mass of the symbols that it has lost}."""

    def run(symbols, sizes, at, replicates, seed=11):
        p = tails.masses(BETA, symbols)
        follow = {"sample_size": {"values": list(sizes[1:])}} if len(sizes) > 1 else {}
        found = course(
            lambda model: np.array([p[law == 0].sum() for law in model.probabilities]),
            [fit - 1 for fit in at],
            data={"kind": "categorical", "zipf": {"symbols": symbols, "exponent": BETA}},
            learner="categorical",
            workflow={"kind": "replace", "initial_size": sizes[0], **follow},
            replicates=replicates,
            seed=seed,
        )
        return {fit: found[fit - 1] for fit in at}

    return run


SHORT = 10_000
"""A short alphabet: the same sums over fewer symbols, hence lower by about the mass that is missing."""


def test_t4_generations_of_replacement_over_a_short_alphabet(unseen, close):
    exact = tails.replaced(BETA, [1000] * 20, SHORT)
    assert exact.missing == pytest.approx(tails.missing_mass(BETA, SHORT))
    found = unseen(SHORT, [1000] * 20, [1, 2, 5, 10, 20], 120)
    for fit, expected in {1: 0.0934, 2: 0.1090, 5: 0.1381, 10: 0.1685, 20: 0.2082}.items():
        assert 0 < expected - exact.error[fit - 1] < exact.missing
        close(found[fit], exact.error[fit - 1], 0.04)


@pytest.mark.parametrize(
    "sizes", [(1000, 20_000), (10_000, 1000)], ids=["much from little", "little from much"]
)
def test_t3_a_synthetic_set_over_a_short_alphabet(sizes, unseen, close):
    close(unseen(SHORT, sizes, [2], 120)[2], tails.replaced(BETA, sizes, SHORT).error[1], 0.03)


@pytest.mark.slow
def test_t1_t3_t4_over_the_sheet_s_alphabet(unseen, close):
    """A million symbols, sixteen replicates at a time for the memory they take."""
    parts = [unseen(10**6, [1000] * 5, [1, 2, 5], 16, seed) for seed in range(9)]
    found = {fit: np.concatenate([part[fit] for part in parts]) for fit in (1, 2, 5)}
    close(found[1], 0.09342, 0.02)  # T1
    close(found[2], 0.1090, 0.03)  # T3
    close(found[5], 0.1381, 0.04)  # T4
