"""The filter by trajectories: what it keeps and says, what it refuses, and that watching a sampler changes nothing."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from autophage.curation.trajectory_variance import TrajectoryVariance
from autophage.data.blobs import BlobsSource
from autophage.data.gaussian import GaussianSource
from autophage.diffusion.wander import Trace, Wander
from autophage.errors import FilterStarved, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners import denoising
from autophage.learners.diffusion import Diffusion, DiffusionModel
from autophage.learners.flow_matching import FlowMatching
from autophage.learners.gaussian import Gaussian
from autophage.loop import Loop
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.training import shelf

NET = {"kind": "mlp", "width": 8, "blocks": 1}
SHORT: dict[str, Any] = {"network": NET, "records": 256, "warmup": 0, "device": "cpu"}
MODES = BlobsSource(centres=((1.0,), (2.0,), (3.0,)), deviation=0.05)
SPEC: dict[str, Any] = {
    "seed": 3,
    "generations": 2,
    "data": {"kind": "blobs", "centres": [[1.0], [2.0], [3.0]], "deviation": 0.05},
    "learner": {"kind": "diffusion", **SHORT},
    "workflow": {"kind": "replace", "sample_size": 50},
    "sampling": {"steps": 6},
    "evaluation_size": 20,
    "metrics": ["noted"],
}


class Context:
    """As much of a `Curating` as the filter uses; further draws come from a function."""

    def __init__(self, more=None, source=MODES, n=0):
        self.source, self.more, self.generation, self.replicates = source, more, 1, 1
        self.proposals, self.noted = np.full(1, float(n)), {}

    def draw(self, n):
        self.proposals = self.proposals + n
        return self.more(n)

    def note(self, name, values):
        self.noted[name] = float(values)


def watched(x, wander, **fields):
    return Samples.of(np.asarray(x, dtype=float)[:, None], wander=np.asarray(wander, dtype=float), **fields)


def curated(part, samples, more=None, source=MODES):
    context = Context(more, source, len(samples))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return part.apply(samples, context=context), context.noted, context


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    real = MODES.draw(200, key=Key(0)).replicate(0)
    found = Diffusion(**SHORT, noise="cosine", timesteps=30).fit(real, key=Key(1))
    assert isinstance(found, DiffusionModel)
    return found


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "heun", "euler", "dpmpp_2m"])
def test_a_traced_model_makes_the_same_records_bit_for_bit(model, sampler):
    asked = model.tuned(Sampling(sampler=sampler, steps=12))
    traced = asked.traced(5)
    plain, seen = asked.sample(70, key=Key(2)), traced.sample(70, key=Key(2))
    assert (
        np.array_equal(plain.x, seen.x) and set(plain.fields) == {"x"} and set(seen.fields) == {"x", "wander"}
    )
    wander = np.asarray(seen.fields["wander"])
    assert wander.shape == (70,) and wander.dtype == np.float64 and (wander >= 0).all() and wander.max() > 0
    assert asked.trace is None, "the model itself is a value"


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "rk4"])
def test_so_does_one_that_flows(method):
    real = MODES.draw(200, key=Key(0)).replicate(0)
    asked = FlowMatching(**SHORT).fit(real, key=Key(1)).tuned(Sampling(sampler=method, steps=6))
    seen = asked.traced(6).sample(70, key=Key(2))
    assert np.array_equal(asked.sample(70, key=Key(2)).x, seen.x)
    assert (np.asarray(seen.fields["wander"]) > 0).all()
    assert FlowMatching(**SHORT).estimates(Sampling(sampler=method, steps=6)) == 6
    with pytest.raises(FitFailed, match="made 6 estimates"):
        asked.traced(7).sample(3, key=Key(2))


def test_the_field_is_the_variance_of_the_last_predictions(model):
    """Against the estimates themselves, taken from the denoiser that the sampler asks."""
    seen: list[np.ndarray] = []
    plain = model.denoiser()

    class Watched(DiffusionModel):
        def denoiser(self):
            def denoise(y, sigma, label=None):
                x0 = plain(y, sigma, label)
                seen.append(x0.numpy().astype(np.float64))
                return x0

            return denoise

    model = model.tuned(Sampling(sampler="ancestral"))
    for window, skip, picked in ((4, 0, slice(-4, None)), (7, 10, slice(-17, -10)), (30, 0, slice(None))):
        traced = model.traced(window, skip)
        traced.__class__ = Watched
        seen.clear()
        got = np.asarray(traced.sample(64, key=Key(4)).fields["wander"])
        assert len(seen) == 30
        np.testing.assert_allclose(got, np.stack(seen)[picked].var(axis=0).mean(axis=1), rtol=1e-9)


def test_it_is_a_mean_over_coordinates():
    wander = Wander(Trace(2))
    for x0 in ([[0.0, 0.0]], [[1.0, 3.0]], [[3.0, 3.0]]):
        wander.see(torch.tensor(x0))
    assert wander.variance().tolist() == [0.5]


def test_a_drawing_that_was_interrupted_goes_on_with_both(model, monkeypatch, tmp_path):
    monkeypatch.setattr(shelf, "SECONDS", 0.0)
    monkeypatch.setattr(denoising, "AT_ONCE", {"cpu": 64})
    traced = model.tuned(Sampling(sampler="ancestral")).traced(5)
    whole = traced.sample(200, key=Key(5))
    calls, decode = [], type(traced).decode

    def dying(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(self, *arguments)

    monkeypatch.setattr(type(traced), "decode", dying)
    with shelf.shelf_at(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            traced.sample(200, key=Key(5))
        again = traced.sample(200, key=Key(5))
    assert len(calls) == 3 + 2, "two groups were on the shelf"
    assert np.array_equal(whole.x, again.x)
    assert np.array_equal(whole.fields["wander"], again.fields["wander"])


def test_a_network_that_gives_no_number_ends_the_drawing(model):
    broken = copy.deepcopy(model).traced(5)
    with torch.no_grad():
        next(broken.net.parameters()).fill_(float("nan"))
    with pytest.raises(FitFailed, match="sampling broke off in step 1 of"):
        broken.sample(5, key=Key(0))


@pytest.mark.parametrize("window", [1, 0])
def test_a_variance_of_fewer_than_two_predictions_is_refused(model, window):
    with pytest.raises(SpecError, match="at least 2"):
        model.traced(window)


@pytest.mark.parametrize(
    ("settings", "sampling", "made"),
    [
        ({"noise": "linear", "timesteps": 40}, Sampling(sampler="ancestral"), 40),
        ({"noise": "linear", "timesteps": 40}, Sampling(sampler="ancestral", steps=8), 8),
        ({"noise": "linear", "timesteps": 40}, Sampling(), 40),
        ({}, Sampling(), 18),
        ({}, Sampling(sampler="dpmpp_2m", steps=9), 9),
    ],
)
def test_the_predictions_that_are_announced_are_made(settings, sampling, made):
    learner = Diffusion(**SHORT, **settings)
    assert learner.estimates(sampling) == made
    found = learner.fit(MODES.draw(50, key=Key(0)).replicate(0), key=Key(1)).tuned(sampling)
    assert "wander" in found.traced(made).sample(2, key=Key(2)).fields
    with pytest.raises(FitFailed, match=f"made {made} estimates"):
        found.traced(made + 1).sample(2, key=Key(2))


def test_the_lowest_of_n_and_a_surplus_are_kept_in_their_order():
    first = watched(np.arange(10), [9, 1, 8, 2, 7, 3, 6, 4, 5, 0], label=np.arange(10))
    kept, noted, context = curated(
        TrajectoryVariance(surplus=0.3),
        first,
        lambda n: watched(10 + np.arange(n), [0.5, 10, 1.5], label=np.arange(n)),
    )
    assert kept.x[:, 0].tolist() == [1, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert set(kept.fields) == {"x", "label"} and len(kept) == 10
    assert context.proposals == 13 and noted["acceptance"] == pytest.approx(10 / 13)
    assert noted["threshold"] == 7 and noted["wander_kept"] == pytest.approx(30 / 10)
    assert noted["wander_mean"] == pytest.approx(57 / 13) and noted["wander_dropped"] == 0


def test_a_share_of_the_proposals_is_kept():
    kept, noted, context = curated(TrajectoryVariance(keep=0.5), watched(np.arange(6), [5, 4, 3, 2, 1, 0.5]))
    assert kept.x[:, 0].tolist() == [3, 4, 5] and context.proposals == 6 and noted["acceptance"] == 0.5


def test_equal_variances_are_kept_in_the_order_in_which_they_came():
    kept, _, _ = curated(TrajectoryVariance(keep=0.5), watched(np.arange(4), [1, 1, 1, 1]))
    assert kept.x[:, 0].tolist() == [0, 1]


def test_ten_percent_of_a_round_number_is_no_more_than_that():
    """0.1 x 30 is 3.0000000000000004 in floating point."""
    for n in (10, 30, 70, 1000):
        _, _, context = curated(
            TrajectoryVariance(surplus=0.1),
            watched(np.ones(n), np.ones(n)),
            lambda more: watched(np.ones(more), np.ones(more)),
        )
        assert context.proposals == n + n // 10


def detector(beyond, seed=0, n=400, apart=6.0):
    """Samples of which a share is between the modes, with a variance that is `apart` larger there."""
    rng = Key(seed).generator()
    out = np.arange(n) < round(beyond * n)
    x = np.where(out, 1.5, 2.0 + 0.05 * rng.standard_normal(n))
    return watched(x, np.exp(rng.standard_normal(n) + apart * out))


def test_with_known_modes_it_reports_what_it_found():
    _, noted, _ = curated(TrajectoryVariance(keep=0.9), detector(0.05))
    assert noted["proposals_beyond"] == 0.05 and noted["certified"] == 1
    assert noted["detector_auc"] > 0.99 and noted["detector_removed"] == 1.0
    assert noted["detector_kept"] == pytest.approx(360 / 380)


@pytest.mark.parametrize(
    ("beyond", "apart", "said"),
    [
        (0.25, 6.0, "25% of the samples are out of support, more than 20%"),
        (0.05, 0.0, "nearer to perfect than to chance is not shown"),
        (0.1, 0.5, "nearer to perfect than to chance is not shown"),
    ],
)
def test_no_certificate_where_the_model_is_undertrained_or_the_variance_says_nothing(beyond, apart, said):
    context = Context(n=400)
    with pytest.warns(RuntimeWarning, match=f"trajectory_variance, generation 1: not certified: .*{said}"):
        TrajectoryVariance(keep=0.9).apply(detector(beyond, apart=apart), context=context)
    assert context.noted["certified"] == 0 and "detector_auc" in context.noted


def test_a_fifth_out_of_support_is_still_certified():
    assert curated(TrajectoryVariance(keep=0.9), detector(0.2))[1]["certified"] == 1


def test_nothing_out_of_support_is_no_certificate_and_no_warning():
    context = Context(n=400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrajectoryVariance(keep=0.9).apply(detector(0.0), context=context)
    assert context.noted["certified"] == 0 and "detector_auc" not in context.noted


def test_without_a_support_only_the_distribution_is_reported():
    part = TrajectoryVariance(keep=0.9)
    _, noted, _ = curated(part, detector(0.05), source=GaussianSource())
    assert {"wander_mean", "wander_median", "wander_high", "wander_kept", "threshold"} <= set(noted)
    assert not {"certified", "proposals_beyond", "detector_auc"} & set(noted)
    (said,) = part.notes(Diffusion(**SHORT), GaussianSource())
    assert "no support of these data is known" in said
    assert part.notes(Diffusion(**SHORT), MODES) == []


def test_a_support_can_be_named():
    part = TrajectoryVariance(keep=0.9, support={"centres": [[1.0], [2.0]], "radius": 0.3})
    assert curated(part, detector(0.05), source=GaussianSource())[1]["proposals_beyond"] == 0.05
    assert part.notes(Diffusion(**SHORT), GaussianSource()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"window": 1}, "curation.window is 1; it must be a whole number of at least 2"),
        ({"window": 2.5}, "curation.window"),
        ({"skip": -1}, "curation.skip"),
        ({"keep": 0.0}, "curation.keep"),
        ({"keep": 1.2}, "must lie in"),
        ({"keep": float("nan")}, "curation.keep"),
        ({"surplus": -0.1}, "curation.surplus"),
        ({"surplus": float("inf")}, "curation.surplus"),
        ({"surplus": 0.1, "keep": 0.9}, "both surplus and keep"),
        ({"support": {"centres": [[1.0]]}}, "takes centres and radius"),
        ({"support": {"centres": [[1.0]], "radius": 0}}, "curation.support.radius"),
        ({"support": {"centres": [], "radius": 1}}, "curation.support.centres"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        TrajectoryVariance(**settings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learner": {"kind": "gaussian"}, "sampling": {}}, "learner gaussian makes none; take diffusion"),
        (
            {"curation": [{"kind": "trajectory_variance", "window": 7}]},
            "window is 7, but the sampler makes 6",
        ),
        (
            {"curation": [{"kind": "trajectory_variance", "window": 4, "skip": 3}]},
            "window is 4 and curation.skip 3, but the sampler makes 6",
        ),
        (
            {"sampling": {}, "curation": [{"kind": "trajectory_variance", "window": 19}]},
            "makes 18 predictions",
        ),
        (
            {"learner": {"kind": "flow_matching", **SHORT}, "sampling": {"sampler": "dopri5"}},
            "dopri5 does not",
        ),
        (
            {
                "curation": [
                    {
                        "kind": "trajectory_variance",
                        "window": 3,
                        "support": {"centres": [[1, 2]], "radius": 1},
                    }
                ]
            },
            "points of 2 numbers; records have 1",
        ),
    ],
)
def test_runs_that_cannot_be_filtered_are_refused_before_they_start(changes, said):
    with pytest.raises(SpecError, match=said):
        Loop(**{**SPEC, "curation": [{"kind": "trajectory_variance", "window": 3}], **changes})


def test_the_learner_is_asked_before_its_sampler():
    with pytest.raises(SpecError, match="learner gaussian makes none"):
        TrajectoryVariance().check(Gaussian(), MODES)


def test_repeated_records_without_variance_are_refused():
    with pytest.raises(FitFailed, match="the variance is zero in every sample"):
        curated(TrajectoryVariance(keep=0.5), watched(np.ones(8), np.zeros(8)))


def test_trajectories_without_a_number_are_dropped_and_counted():
    wander = [np.nan, 1, 2, np.inf, 3, 4]
    kept, noted, _ = curated(TrajectoryVariance(keep=0.5), watched(np.arange(6), wander))
    assert kept.x[:, 0].tolist() == [1, 2, 4] and noted["wander_dropped"] == 2
    assert noted["wander_mean"] == 2.5


def test_fewer_than_were_asked_for_are_refused():
    more = lambda n: watched(np.ones(n), np.full(n, np.nan))  # noqa: E731
    with pytest.raises(FilterStarved, match="to keep 4 of 6 proposals, and only 3 have a finite variance"):
        curated(TrajectoryVariance(surplus=0.5), watched(np.arange(4), [1, 2, 3, np.nan]), more)
    with pytest.raises(FilterStarved, match="to keep 2 of 4 proposals, and only 1"):
        curated(TrajectoryVariance(keep=0.5), watched(np.arange(4), [1, np.nan, np.nan, np.nan]))


def test_samples_that_do_not_say_how_they_came_about_are_refused():
    with pytest.raises(FitFailed, match="put it before curations"):
        curated(TrajectoryVariance(keep=0.5), Samples.of(np.ones((4, 1))))
    with pytest.raises(FitFailed, match="must be one number each"):
        curated(TrajectoryVariance(keep=0.5), watched(np.ones(4), np.ones((4, 2))))


def test_it_draws_no_more_behind_another_curation():
    context = Context(n=9)
    with pytest.raises(SpecError, match="put it first"):
        TrajectoryVariance().apply(watched(np.ones(4), np.ones(4)), context=context)


def stepped(**changes):
    loop = Loop(**{**SPEC, **changes})
    state, (first,) = loop.step(loop.start(loop.blocks()[0]))
    return loop.step(state)[1][0], first


def test_neutral_settings_are_the_plain_loop_bit_for_bit():
    plain = stepped()[0].model.arrays()
    for settings in ({"surplus": 0}, {"keep": 1}):
        part = {"kind": "trajectory_variance", "window": 3, **settings}
        again = stepped(curation=[part])[0].model.arrays()
        assert set(again) == set(plain)
        assert all(np.array_equal(again[k], plain[k]) for k in plain if k != "header")


def test_in_the_loop_it_notes_and_hands_on_plain_records():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, first = stepped(curation=[{"kind": "trajectory_variance", "window": 3, "surplus": 0.2}])
    noted = {m.metric: m.value[0] for m in first.measurements}
    assert noted["proposals"] == 60 and noted["kept"] == 50 and noted["acceptance"] == pytest.approx(50 / 60)
    assert noted["wander_kept"] < noted["wander_mean"] and "certified" in noted
    assert set(first.kept.fields) == {"x"} and len(first.kept) == 50


def test_a_filtered_record_is_one_that_the_model_made():
    """What is kept is among the records of the untraced sampler, drawn with the same keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, first = stepped(curation=[{"kind": "trajectory_variance", "window": 3, "keep": 0.5}])
    _, plain = stepped()
    assert len(first.kept) == 25 and set(first.kept.x[:, 0]) < set(plain.kept.x[:, 0])
