"""Batches of hidden provenance with a detector: D8 without one, and what D10's gains are worth when they are used."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.studies.detected_provenance import simulate
from autophage.theory import provenance

ZIPF = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
SIZES = [100] * 31


def last(error, replicates, share=0.2, sizes=SIZES, **more):
    return simulate(ZIPF, sizes, share, error, replicates, 1, **more)[:, -1]


def test_d8_without_a_detector(close):
    found = simulate(ZIPF, SIZES, 0.2, None, 1500, 1)
    assert found.shape == (1500, 31)
    close(found[:, -1], 3.8899e-3, 0.08)
    close(found[:, 7], provenance.optimal_risk(ZIPF, SIZES, 0.2)[7], 0.08)


def test_a_faultless_detector_leaves_the_real_records_alone(close):
    """700 real records on average; their number in a replicate is drawn."""
    close(last(0.0, 1500), 1.225e-3, 0.08)


@pytest.mark.parametrize(
    ("error", "kind", "gain"),
    [
        pytest.param(0.05, "symmetric", 6.44934, id="d10-bsc"),
        pytest.param(0.05, "erasure", 9.55, id="d10-erasure"),
    ],
)
def test_d10_a_detector_multiplies_the_effective_size(error, kind, gain, close):
    """alpha = 0.1: with it, batches of n do as well as batches of n times the gain without it."""
    assert provenance.detector_gain(0.1, error, kind=kind) == pytest.approx(gain, abs=1e-4)
    n, first, batches = 400, 600, 20
    found = last(error, 1500, 0.1, [first, *[n] * batches], kind=kind)
    worth = provenance.optimal_risk(ZIPF, [first, *[n * gain] * batches], 0.1)[-1]
    neglect = provenance.optimal_risk(ZIPF, [first, *[n] * batches], 0.1)[-1]
    close(found, worth, 0.07)
    assert worth < 0.65 * neglect


def test_a_detector_that_guesses_is_none(close):
    close(last(0.5, 1200, 0.3), provenance.optimal_risk(ZIPF, SIZES, 0.3)[-1], 0.08)


@pytest.mark.parametrize("error", [None, 0.1])
def test_a_replicate_does_not_depend_on_how_many_follow(error):
    few, many = (last(error, R) for R in (3, 40))
    np.testing.assert_array_equal(few, many[:3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share": 1.2}, "real_share is 1.2"),
        ({"share": float("nan")}, "real_share is nan"),
        ({"error": -0.1}, "error is -0.1"),
        ({"error": float("nan")}, "error is nan"),
    ],
)
def test_bad_input(change, words):
    with pytest.raises(SpecError, match=words):
        last(**{"error": 0.1, "replicates": 2, **change})


def test_a_law_that_is_none_is_refused():
    with pytest.raises(SpecError, match="sum to one"):
        simulate([0.5, 0.6], [5, 5], 0.5, 0.1, 2, 0)
