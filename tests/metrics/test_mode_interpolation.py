"""Records beyond the modes and between them: hand counts, invariances, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from autophage.curation.detector import auc
from autophage.curation.mode_support import ModeSupport
from autophage.data.blobs import BlobsSource
from autophage.data.gaussian import GaussianSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.learners.gaussian_mixture import GaussianMixtureModel
from autophage.loop import Loop
from autophage.metrics.mode_interpolation import ModeInterpolation

LINE = BlobsSource(centres=((1.0,), (2.0,), (3.0,)), deviation=0.05)


class View:
    """As much of a `parts.View` as the metric asks for."""

    def __init__(self, x, source=LINE):
        from autophage.samples import Samples

        self.source, self.replicates, self.x = source, 1, Samples.of(np.asarray(x, dtype=float))

    def generated(self, r):
        return self.x


def rows(x, source=LINE, **settings):
    found = ModeInterpolation(**settings).measure(View(x, source))
    return {m.metric: m.value[0] for m in found}


def test_counts_by_hand():
    """Six deviations are 0.3: of these 0.5 and 3.31 lie outside, 1.5 and 2.31 between modes, the rest in one."""
    x = np.array([[0.5], [0.71], [1.0], [1.29], [1.5], [2.0], [2.31], [3.0], [3.29], [3.31]])
    assert rows(x) == {"beyond_modes": 0.4, "between_modes": 0.5}
    assert rows(x, deviations=12)["beyond_modes"] == 0
    assert np.isnan(rows(x[[2, 5]])["between_modes"]) and rows(x[[2, 5]])["beyond_modes"] == 0


def test_what_lies_beside_the_line_of_two_modes_is_not_between_them():
    support = ModeSupport.of_balls(np.array([[0.0, 0.0], [4.0, 0.0], [40.0, 0.0]]), 1.0)
    x = np.array([[2.0, 0.9], [2.0, 1.1], [2.0, -0.9], [-2.0, 0.0], [5.5, 0.0], [0.5, 0.5], [22.0, 0.0]])
    assert support.beyond(x).tolist() == [True, True, True, True, True, False, True]
    assert support.between(x).tolist() == [True, False, True, False, False, False, True]


def test_a_mode_reaches_as_far_as_its_deviations_in_every_direction():
    """Of N(m, S) a share chi2(k) beyond k^2 lies farther than k deviations, whatever S."""
    rng = Key(1).generator()
    root = np.array([[2.0, 0.0], [1.5, 0.5]])
    truth = GaussianMixtureModel(np.ones((1, 1)), np.array([[[3.0, -1.0]]]), (root @ root.T)[None, None])
    x = np.array([3.0, -1.0]) + rng.standard_normal((40_000, 2)) @ root.T
    for k in (1.0, 2.0):
        support = ModeSupport.of_truth(truth, k)
        assert support is not None
        share = chi2.sf(k**2, 2)
        assert support.beyond(x).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 40_000))
        assert not support.between(x).any()


def test_true_records_are_in_their_support():
    assert rows(LINE.draw(20_000, key=Key(0)).replicate(0).x)["beyond_modes"] == 0


def test_the_area_under_the_curve_by_pairs():
    rng = Key(2).generator()
    score, out = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.3
    pairs = score[out][:, None] - score[~out]
    assert auc(score, out)[0] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert auc(-score, out)[0] == pytest.approx(1 - auc(score, out)[0])
    assert np.isnan(auc(score, out & False)[0])


def test_its_standard_error_is_that_of_repetitions():
    """Two exponential scores, the case for which the formula was derived."""
    rng = Key(3).generator()
    out = np.arange(300) < 60
    areas, errors = zip(
        *(auc(rng.exponential(size=300) * np.where(out, 3.0, 1.0), out) for _ in range(1500)), strict=True
    )
    # the deviation of 1500 values is known to 1.8 %
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.08)
    assert np.mean(areas) == pytest.approx(0.75, abs=4 * np.std(areas) / np.sqrt(1500))


@pytest.mark.parametrize("settings", [{"deviations": 0}, {"support": {"radius": 1}}, {"support": 3}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SpecError):
        ModeInterpolation(**settings)


def test_data_without_known_modes_are_refused_before_the_run():
    spec = {
        "learner": {"kind": "gaussian"},
        "generations": 2,
        "workflow": {"kind": "replace", "sample_size": 20},
    }
    with pytest.raises(SpecError, match="needs the modes of the data"):
        Loop(data={"kind": "gaussian"}, metrics=["mode_interpolation"], **spec)
    named = {"kind": "mode_interpolation", "support": {"centres": [[0.0]], "radius": 2.0}}
    Loop(data={"kind": "gaussian"}, metrics=[named], **spec)
    with pytest.raises(SpecError, match="points of 2 numbers; records have 1"):
        wide = {"kind": "mode_interpolation", "support": {"centres": [[0.0, 1.0]], "radius": 2.0}}
        Loop(data={"kind": "gaussian"}, metrics=[wide], **spec)


def test_a_support_may_be_named_for_any_law():
    given = {"centres": [0.0, 4.0], "radius": 1.0}
    assert rows([[0.5], [2.0], [9.0], [4.0]], GaussianSource(), support=given) == {
        "beyond_modes": 0.5,
        "between_modes": 0.5,
    }
