"""The sheet's checks of Kanabar & Gastpar's estimator, run by the engine as the treatment `gain`."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.theory import provenance

ZIPF = np.arange(1, 9) ** -0.5 / (np.arange(1, 9) ** -0.5).sum()
SIZES = [100] * 31


@pytest.fixture
def error(course):
    """(R,) squared errors of the last model of a fresh loop."""

    def run(treatment, replicates, generations=31, **workflow):
        spec = {
            "data": {"kind": "categorical", "zipf": {"symbols": 8, "exponent": 0.5}},
            "learner": {"kind": "categorical"},
            "workflow": {"kind": "fresh", **workflow},
            "treatment": treatment,
            "replicates": replicates,
        }
        last = generations - 1
        return course(lambda m: ((m.probabilities - ZIPF) ** 2).sum(axis=1), [last], **spec)[last]

    return run


def test_d8_optimal_gain(error, close):
    found = error({"kind": "gain", "gain": "optimal"}, 8192, sample_size=100, real_share=0.2)
    close(found, 3.8899e-3, 0.03)


def test_d8_running_mean_of_all_batches(error, close):
    """The pooled mean, provenance ignored: K_t = n_t / (n_0 + .. + n_t)."""
    gains = {"values": (1 / np.arange(2, 32)).tolist()}
    found = error({"kind": "gain", "gain": gains}, 8192, sample_size=100, real_share=0.2)
    close(found, 4.894e-3, 0.03)
    close(found, provenance.gain_risk(ZIPF, SIZES, 0.2, 1 / np.arange(1, 32))[-1], 0.03)


def test_d8_oracle(error, close):
    """Told which records are real, a learner averages those alone: twenty more of them every generation."""
    found = error("gain", 8192, sample_size=20, real_share=1, initial_size=100)
    close(found, 1.225e-3, 0.03)


def test_d9_decaying_real_share(error, close):
    shares = {"values": ((1 + np.arange(1, 31)) ** -0.5).tolist()}
    found = error("gain", 8192, sample_size=400, initial_size=200, real_share=shares)
    close(found, 6.0772e-4, 0.03)


def test_exact_counts_have_their_own_risk(error, close):
    found = error("gain", 8192, 11, sample_size=50, initial_size=50, real_share=0.2, counts="exact")
    close(found, provenance.optimal_risk(ZIPF, [50] * 11, 0.2, "exact")[-1], 0.03)


def test_the_optimal_gain_beats_neglect_in_a_gaussian_mean(course, close):
    """Known covariance and exact counts: the gain is Kalman's, and the error is exactly 1 / I_t."""
    spec = {
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "fresh", "sample_size": 40, "real_share": 0.25, "counts": "exact"},
        "treatment": "gain",
        "replicates": 40_000,
    }
    found = course(lambda m: m.mean[:, 0] ** 2, [20], **spec)[20]
    close(found, 1 / provenance.information([40] * 21, 0.25)[-1], 0.03)
