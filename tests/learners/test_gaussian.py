"""What a Gaussian fit refuses, and what becomes of covariances that rounding spoils."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.gaussian import Gaussian, GaussianStatistics
from autophage.loop import Loop
from autophage.samples import Batch

KEY = Key(0) / "test_gaussian"


@pytest.mark.parametrize("path", ["samples", "statistics"])
@pytest.mark.parametrize(
    ("dim", "learner", "sizes", "words"),
    [
        (1, {"ddof": 1}, {"sample_size": 1}, "fitted to 1 real records .* needs at least 2 in 1 dimensions"),
        (1, {"ddof": 0}, {"sample_size": 1}, "needs at least 2 in 1 dimensions"),
        (3, {}, {"sample_size": 3}, "fitted to 3 real records .* needs at least 4 in 3 dimensions"),
        (3, {"covariance": "diagonal", "ddof": 1}, {"sample_size": 1}, "needs at least 2"),
        (3, {"ddof": 1, "ridge": 0.1}, {"sample_size": 1}, "needs at least 2"),
        (3, {}, {"initial_size": 9, "sample_size": {"values": [9, 3]}}, "plans 3 records at t = 2"),
    ],
    ids=["ddof 1", "no variance", "full", "diagonal", "ridge", "later"],
)
def test_section_10_degenerate_fits_are_refused_before_the_start(path, dim, learner, sizes, words):
    with pytest.raises(ValueError, match=words) as refused:
        Loop(
            seed=0,
            generations=3,
            data={"kind": "gaussian", "dim": dim},
            learner={"kind": "gaussian", "path": path, **learner},
            workflow={"kind": "replace", **sizes},
        )
    assert isinstance(refused.value, SpecError) and "\n" not in str(refused.value)


def test_a_fit_without_enough_records_fails():
    with pytest.raises(FitFailed, match="needs more than 1 records, got 1"):
        Gaussian(ddof=1).fit(Batch.of(np.zeros((2, 1, 1))), key=KEY)


def test_section_10_negative_eigenvalues_are_clipped_counted_and_told_of():
    """Of three scatters one is sound, one lost an eigenvalue to rounding and one two."""
    rotation = np.linalg.qr((KEY / "rotation").generator().standard_normal((3, 3)))[0]
    spectra = [[3.0, 2.0, 1.0], [3.0, 1.0, -1e-15], [3.0, -1e-15, -2e-15]]
    scatter = np.stack([rotation @ np.diag(10 * np.array(s)) @ rotation.T for s in spectra])
    statistics = GaussianStatistics(10, np.zeros((3, 3)), (scatter + scatter.transpose(0, 2, 1)) / 2)
    with pytest.warns(
        RuntimeWarning, match="negative eigenvalues are set to 0 and counted in the model's `clipped`"
    ):
        model = Gaussian().estimate(statistics)
    assert model.clipped.tolist() == [0, 1, 2]
    found = np.linalg.eigvalsh(model.covariance())
    np.testing.assert_allclose(found, np.maximum(np.sort(spectra, axis=1), 0), atol=1e-13)
    assert not np.triu(model.factor, 1).any() and (np.diagonal(model.factor, axis1=1, axis2=2) >= 0).all()
    assert np.isfinite(model.sample(5, key=KEY).x).all()


def test_a_sound_covariance_is_told_of_nothing(recwarn):
    model = Gaussian().fit(Batch.of((KEY / "x").generator().standard_normal((4, 30, 3))), key=KEY)
    assert not np.any(model.clipped) and not recwarn.list


def test_a_course_that_loses_a_direction_to_rounding_goes_on_and_says_so():
    loop = Loop(
        seed=0,
        generations=60,
        replicates=8,
        metrics=[],
        data={"kind": "gaussian", "dim": 4},
        learner={"kind": "gaussian", "path": "samples"},
        workflow={"kind": "replace", "sample_size": 5},
    )
    state, clips = loop.start(loop.blocks()[0]), 0
    with pytest.warns(RuntimeWarning, match="clipped"):
        while state.generation < 60:
            state, (done,) = loop.step(state)
            clips += np.sum(done.model.clipped)
    assert clips > 0 and np.isfinite(done.model.factor).all()
