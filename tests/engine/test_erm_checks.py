"""Checks B1-B6 of mean estimation from contaminated rounds, run by the engine: Gaussian means of known variance, exact counts of
fresh real records, and the treatment `gain`.

Round t of the sheet is generation t - 1; a share a of its records is synthetic, so that their mean is a Y_{t-1} + (1-a) mu plus
noise of variance 1/n. The 64 coordinates are independent, so that each is a replicate of its own.
"""

from __future__ import annotations

import pytest

N = 10
AT_LENGTH = pytest.mark.slow  # tests/studies/test_mean_estimation.py has these rows in the default tier


@pytest.mark.parametrize(
    ("contamination", "rounds", "plain", "best"),
    [
        pytest.param(0, 50, 0.02000, 0.02000, id="b1"),
        pytest.param(0.3, 100, 0.02270, 0.02020, id="b2", marks=AT_LENGTH),
        pytest.param(0.5, 100, 0.05611, 0.03883, id="b3", marks=AT_LENGTH),
        pytest.param(0.7, 100, 0.18903, 0.10091, id="b4"),
        pytest.param(0.9, 200, 0.68130, 0.33445, id="b5", marks=AT_LENGTH),
        pytest.param(1, 200, 1.63995, 1.00000, id="b6", marks=AT_LENGTH),
    ],
)
def test_variance_of_the_last_round(contamination, rounds, plain, best, course, close):
    """ERM weighs all records alike, K_t = 1/t; `optimal` knows the shares."""
    for gain, expected in (({"values": [1 / t for t in range(2, rounds + 1)]}, plain), ("optimal", best)):
        found = course(
            lambda m: N * m.mean**2,
            [rounds - 1],
            data={"kind": "gaussian", "dim": 64},
            learner={"kind": "gaussian", "covariance": "known"},
            workflow={"kind": "fresh", "sample_size": N, "real_share": 1 - contamination, "counts": "exact"},
            treatment={"kind": "gain", "gain": gain},
            replicates=600,
        )[rounds - 1]
        close(found.ravel(), expected, 0.03)
