"""Filter checks F1-F3, F5, F6, F10-F13, run by the engine from a known law (`initial_model`). Once a course is stationary
its later generations are averaged within each replicate, which spares replicates; standard errors are over replicates."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation.anchor import KnownAnchor
from autophage.curation.family import Normal
from autophage.curation.neural_filter import NeuralFilter
from autophage.theory.contraction import lyapunov
from autophage.theory.random_walk import walk_variance

TRUTH = {"mean": 0.0}
LATE = list(range(24, 61, 4))
"""Generations of a course of 60 that has forgotten its start: 3 x 0.7^24 is 6e-4."""


def mean(model):
    return model.mean[:, 0]


def filtered(curation, n, start=None, dim=1, **workflow):
    spec = {
        "data": {"kind": "gaussian", "dim": dim},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": n, **workflow},
        "curation": [] if curation is None else [curation],
    }
    return spec if start is None else {**spec, "initial_model": {"mean": start}}


def tilt(anchor=TRUTH, pull=0.3):
    return {"kind": "tilt", "pull": pull, "anchor": anchor}


def spread(found):
    """(R,) squared distances from 0, averaged over the generations."""
    return np.mean([v**2 for v in found.values()], axis=0)


def test_f1_tilt_keeps_the_variance_bounded(course, close):
    found = course(mean, LATE, **filtered(tilt(), 50, 3.0), replicates=1600)
    close(spread(found), 0.039216, 0.05)
    free = course(mean, [60], **filtered(None, 50, 3.0), replicates=14_000)[60]
    close((free - 3.0) ** 2, 1.2, 0.05)


def test_f2_tilt_contracts_linearly(course, close):
    close(course(mean, [5], **filtered(tilt(), 50, 1.0), replicates=8000)[5], 0.16807, 0.06)


def test_f3_an_estimated_anchor_sets_a_floor(course, close):
    spec = filtered(tilt("real"), 50, initial_size=200)
    found = course(mean, LATE, **spec, replicates=2000)
    close(spread(found), 0.044216, 0.06)


def test_f5_logistic_weights(course, close):
    spec = filtered({"kind": "logistic", "slope": 0.5, "anchor": TRUTH, "keep": "weights"}, 100, 0.0)
    found = course(mean, list(range(20, 81, 4)), **spec, replicates=1800)
    close(spread(found), 0.022857, 0.04)


def logistic(n):
    return filtered({"kind": "logistic", "slope": 0.5, "anchor": TRUTH, "keep": "weights"}, n, 2.0)


def test_f6_logistic_course(course, close):
    found = course(mean, [4, 8], **logistic(4000), replicates=450)
    close(found[4], 0.7278, 0.02)
    close(found[8], 0.2354, 0.02)


@pytest.mark.slow
def test_f6_logistic_course_to_its_end(course, close):
    close(course(mean, [12], **logistic(4000), replicates=4500)[12], 0.0747, 0.02)


def test_f10_and_f11_a_verifier_leads_to_its_centre(course, close):
    """n proposals, of which the share 2 Phi(r) - 1 is kept about the centre."""
    spec = filtered(
        {"kind": "interval_verifier", "centre": 0.3, "radius": 1.0, "keep": "proposals"}, 400, 0.0
    )
    found = course(mean, [1, 2, 4, 7, 9, 11, 13, 15], **spec, replicates=2600)
    for g, expected in ((1, 0.2131), (2, 0.2747), (4, 0.2979), (15, 0.3000)):
        close(found[g], expected, 0.003, relative=False)
    late = {g: v - v.mean() for g, v in found.items() if g >= 7}
    close(spread(late), 1.1648e-3, 0.06)


def test_f12_and_f13_a_neural_filter(course, close):
    """One training, since it takes longest: its certificate, and the loop that it filters against the unfiltered walk."""
    part = NeuralFilter(anchor=KnownAnchor(mean=0.0))
    found = part.certificate(Normal())
    assert found.region == (0.3, 3.0) and found.contractive
    assert found.contraction > 0.2 and abs(found.pull_at_zero) < 0.1 and found.acceptance[0] > 0.4

    values = spread(course(mean, [48, 56, 64, 72, 80], **filtered(part, 118, 2.0), replicates=64))
    assert values.mean() + 4 * values.std() / 8 < 0.02
    assert walk_variance([118] * 80)[-1] == pytest.approx(0.68, abs=0.003)
    free = course(mean, [80], **filtered(None, 118, 2.0), replicates=12_000)[80]
    close((free - 2.0) ** 2, 0.678, 0.06)


def test_f7_a_matrix_pull_settles_where_lyapunov_says(course, close):
    """A = I - B of row F7 in the loop: n = 100 records of unit variance, hence noise 0.01 I."""
    A, P = np.array([[0.8, 0.3], [0, 0.7]]), np.diag([1.0, 4.0])
    spec = filtered(tilt(pull=(np.eye(2) - A).tolist()), 100, 0.0, dim=2)
    found = course(lambda m: m.mean, LATE, **spec, replicates=1300)
    values = np.mean([np.einsum("ri,ij,rj->r", e, P, e) for e in found.values()], axis=0)
    expected = lyapunov(A, P, 0.01)
    close(values, expected.stationary, 0.06)
    assert values.mean() < expected.bound


def test_an_anchor_that_is_wrong_is_where_the_loop_ends(course, close):
    found = course(mean, [40], **filtered(tilt({"mean": 0.5}), 100, 0.0), replicates=1500)[40]
    close(found, 0.5, 0.04)
