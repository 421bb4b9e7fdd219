"""SIMS and Neon on tiny networks: the rules, what is stored, resumed, noted and refused."""

from __future__ import annotations

import copy
import shutil
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import nn

import autophage
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import FitFailed, SpecError
from autophage.interventions import COSTS, Treating
from autophage.keys import Key
from autophage.learners.diffusion import Diffusion
from autophage.learners.flow_matching import FlowMatching
from autophage.learners.vae import Vae
from autophage.loop import Loop
from autophage.networks.checkpoints import adopt
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.treatments.choice import Choice
from autophage.treatments.neon import Neon, extrapolated_weights
from autophage.treatments.sims import Sims, real_share_of

TINY: dict[str, Any] = {
    "network": {"kind": "mlp", "width": 8, "blocks": 1},
    "records": 256,
    "batch_size": 64,
    "warmup": 0,
    "device": "cpu",
}
FEW = {"samples": 100, "records": 128}
FIRST_TWO = ("generation_0000", "generation_0001")
SPEC: dict[str, Any] = {
    "seed": 0,
    "data": {"kind": "two_moons"},
    "workflow": {"kind": "replace", "sample_size": 120},
    "generations": 2,
    "evaluation_size": 64,
    "metrics": ["sliced_wasserstein", "noted"],
    "sampling": {"steps": 3},
}


def spec(treatment: dict[str, Any] | None, learner: str = "diffusion", **other: Any) -> dict[str, Any]:
    found = {**SPEC, "learner": {"kind": learner, **TINY}, **other}
    return found if treatment is None else {**found, "treatment": treatment}


@pytest.fixture(scope="module")
def moons() -> Samples:
    return TwoMoonsSource().draw(150, key=Key(0)).replicate(0)


@pytest.fixture(scope="module", params=[Diffusion, FlowMatching], ids=["diffusion", "flow_matching"])
def fitted(request: Any, moons: Samples) -> tuple[Any, Any, Any]:
    """A learner, its fit, and a copy of that trained on."""
    learner = request.param(**TINY)
    base = learner.fit(moons, key=Key(1))
    onwards = learner.fit(base.sample(100, key=Key(2)), start=base, key=Key(3))
    return learner, base, onwards


def treating(learner: Any, moons: Samples, generation: int = 0, **other: Any) -> Treating:
    kept = {"real": moons, "data": moons, "source": TwoMoonsSource(), "learner": learner, **other}
    return Treating(generation, "main", None, len(moons), [], Key(4) / "treatment", **kept)


def values(run: Any, name: str) -> np.ndarray:
    return run.metrics.filter(run.metrics["metric"] == name)["value"].to_numpy()


# the loop


@pytest.mark.parametrize(
    ("learner", "treatment"),
    [
        ("diffusion", {"kind": "sims", "omega": 0}),
        ("flow_matching", {"kind": "sims", "omega": 0}),
        ("diffusion", {"kind": "neon", "strength": 0}),
        ("flow_matching", {"kind": "neon", "strength": 0}),
    ],
)
def test_a_strength_of_zero_is_the_plain_loop_bit_for_bit(learner: str, treatment: dict[str, Any]) -> None:
    """D4."""
    plain, treated = autophage.run(spec(None, learner)), autophage.run(spec(treatment, learner))
    assert treated.metrics.equals(plain.metrics)


@pytest.mark.parametrize("treatment", [{"kind": "sims", "omega": 0.5}, {"kind": "neon", "strength": 0.5}])
def test_a_treated_loop_is_another_one_and_notes_what_it_costs(treatment: dict[str, Any]) -> None:
    run = autophage.run(spec({**treatment, **FEW}))
    plain = autophage.run(spec(None))
    assert (values(run, "sliced_wasserstein_p128") != values(plain, "sliced_wasserstein_p128")).all()
    assert values(run, "strength").tolist() == [0.5, 0.5]
    assert values(run, "auxiliary_records").tolist() == [128, 128]
    if treatment["kind"] == "sims":
        assert values(run, "evaluations_factor").tolist() == [2, 2]
        assert values(run, "auxiliary_draws").tolist() == [164, 164]
        assert len(values(run, "scores_above_tenfold")) == 2
    else:
        assert values(run, "auxiliary_draws").tolist() == [100, 100]
        assert len(values(run, "evaluations_factor")) == 0
    assert {"auxiliary_records", "auxiliary_draws"} <= set(COSTS)


def test_a_random_part_of_all_so_far_goes_with_sims() -> None:
    """The arm ACUR-SIMS of Cai et al. 2026: the auxiliary learns own samples, whatever the fit learned."""
    body = spec(
        {"kind": "sims", "omega": 0.5, **FEW}, data={"kind": "labelled_blobs", "size": 400}, generations=3
    )
    body["workflow"] = {"kind": "accumulate_subsample", "initial_size": 120, "sample_size": 120}
    body["learner"]["labels"] = "use"
    body["metrics"] = ["noted", "real_share"]
    run = autophage.run(body)
    assert not run.warnings and not run.failures
    assert (
        values(run, "strength").tolist() == [0.5] * 3 and values(run, "auxiliary_draws").tolist() == [164] * 3
    )
    shares = values(run, "real_share")
    assert shares[0] == 1 and abs(shares[1] - 1 / 2) < 0.2 and abs(shares[2] - 1 / 3) < 0.2
    plain = autophage.run({k: v for k, v in body.items() if k != "treatment"})
    assert values(plain, "real_share").tolist() == shares.tolist()


@pytest.mark.parametrize("start", ["previous", pytest.param("base", marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Any, start: str) -> None:
    """Both networks come back from the disk; a training goes on from the base's."""
    body = spec({"kind": "sims", "omega": 0.5, **FEW}, generations=3)
    body["learner"]["start"] = start
    whole = autophage.run(body, out=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for gone in ("replicate_0000/generation_0002", "replicate_0000/generation_0001/done.json"):
        place = tmp_path / "cut" / gone
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    manifest = tmp_path / "cut" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "completed"', '"status": "running"'))
    again = autophage.run(body, out=tmp_path / "cut", resume=True)
    assert again.metrics.equals(whole.metrics)
    place = tmp_path / "whole" / "replicate_0000" / "generation_0001" / "main"
    assert any(k.startswith("auxiliary.") for k in load((place / "model.safetensors").read_bytes()))
    assert real_share_of(str(place)) == 0.0
    assert real_share_of(str(place.parent.parent / "generation_0000" / "main" / "model.safetensors")) == 1.0
    assert real_share_of(str(tmp_path)) is None
    said = {
        g: Sims(omega=0.5, checkpoint=str(place.parents[1] / g / "main")).notes(120, []) for g in FIRST_TWO
    }
    assert said["generation_0001"] == [] and "of which 100% is real" in said["generation_0000"][0]
    body["treatment"] = {
        "kind": "sims",
        "omega": 0.5,
        "checkpoint": str(place.parents[1] / FIRST_TWO[0] / "main"),
    }
    assert Loop(body).warnings == said["generation_0000"]


def test_the_strength_is_chosen_by_the_real_records(moons: Samples, fitted: Any) -> None:
    learner, base, _ = fitted
    context = treating(learner, moons)
    treated = Neon(grid=(0.5, 8.0), draws=100, **FEW).apply(base, context=context)
    grid = [0.0, 0.5, 8.0]
    distances = {s: float(context.noted[f"distance_at_{s:g}"][0]) for s in grid}
    assert float(context.noted["strength"][0]) == min(distances, key=distances.get)  # type: ignore[arg-type]
    assert float(context.noted["auxiliary_draws"][0]) == 100 + 3 * 100
    if context.noted["strength"][0] == 0:
        assert treated is base
    drawn = base.sample(100, key=Key(4) / "treatment" / "choice")
    assert distances[0.0] == pytest.approx(Choice(context, "sliced_wasserstein").distance(drawn), rel=1e-12)


def test_a_strength_without_finite_records_is_never_chosen(moons: Samples) -> None:
    learner = Diffusion(**TINY)
    base = learner.fit(moons, key=Key(1))

    class Broken(Neon):
        def moved(self, model: Any, auxiliary: Any, strength: float) -> Any:
            raise FitFailed("no")

    context = treating(learner, moons)
    assert Broken(grid=(1.0,), draws=100, **FEW).apply(base, context=context) is base
    assert np.isinf(context.noted["distance_at_1"][0]) and context.noted["strength"][0] == 0
    assert Sims(grid=(0.0,), draws=100, **FEW).apply(base, context=context) is base
    assert context.noted["evaluations_factor"][0] == 1


def test_pictures_are_compared_by_frechet_on_few_components(moons: Samples) -> None:
    rng = Key(0).generator()
    real = Samples.of(rng.normal(size=(120, 100)))
    choice = Choice(treating(None, real), "frechet")
    assert choice.real.shape == (120, 64)
    near, far = (Samples.of(rng.normal(loc, 1, size=(120, 100))) for loc in (0, 2))
    assert choice.distance(near) < choice.distance(far)
    with pytest.raises(FitFailed, match="not finite"):
        Choice(treating(None, moons), "sliced_wasserstein").distance(Samples.of(np.full((3, 2), np.nan)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sims", "neon"])
def test_pictures_with_classes_are_treated_in_a_loop(kind: str) -> None:
    body = spec(
        {"kind": kind, "grid": [0.5], "draws": 100, **FEW}, data={"kind": "digits"}, evaluation_size=100
    )
    body["learner"] |= {"network": {"kind": "small_unet", "width": 8}, "labels": "use"}
    body |= {"sampling": {"steps": 3, "guidance": 1.0}, "metrics": ["frechet", "noted"]}
    run = autophage.run(body)
    for g, strength in enumerate(values(run, "strength")):
        at = {s: values(run, f"distance_at_{s:g}")[g] for s in (0.0, 0.5)}
        assert all(np.isfinite(d) for d in at.values()) and strength == min(at, key=at.get)  # type: ignore[arg-type]


# SIMS


def test_the_model_draws_by_the_rule(fitted: Any) -> None:
    """One evaluation, and the whole sampler, against networks put together by hand."""
    _, base, onwards = fitted

    class Sum(nn.Module):
        out_channels = 2

        def forward(self, x: Any, noise: Any, label: Any = None) -> Any:
            return 1.7 * base.net(x, noise, label) - 0.7 * onwards.net(x, noise, label)

    by_hand = copy.copy(base)
    by_hand.net = Sum()
    drawn = base.extrapolated(onwards, 0.7).tuned(Sampling(steps=5)).sample(40, key=Key(5)).x
    np.testing.assert_allclose(drawn, by_hand.tuned(Sampling(steps=5)).sample(40, key=Key(5)).x, atol=1e-3)
    assert not np.allclose(drawn, base.tuned(Sampling(steps=5)).sample(40, key=Key(5)).x, atol=1e-3)
    y, sigma = torch.randn((3, 2), generator=Key(6).torch()), torch.tensor(0.5)
    expected = 1.7 * base.denoiser()(y, sigma) - 0.7 * onwards.denoiser()(y, sigma)
    torch.testing.assert_close(base.extrapolated(onwards, 0.7).denoiser()(y, sigma), expected)


def test_a_strength_of_zero_makes_the_plain_model_s_records_bit_for_bit(fitted: Any) -> None:
    """Through both networks and through the merge, not because the loop leaves the treatment out."""
    _, base, onwards = fitted
    for steps in (5, 9):
        plain = base.tuned(Sampling(steps=steps)).sample(40, key=Key(5)).x
        both = base.extrapolated(onwards, 0.0).tuned(Sampling(steps=steps)).sample(40, key=Key(5)).x
        np.testing.assert_array_equal(both, plain)
    merged = extrapolated_weights(base.net, onwards.net, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(merged.parameters(), base.net.parameters(), strict=True))


def test_a_strength_below_zero_that_is_meant_moves_towards_own_samples(moons: Samples, fitted: Any) -> None:
    learner, base, _ = fitted
    context = treating(learner, moons)
    treated: Any = Sims(omega=-0.5, allow_negative=True, **FEW).apply(base, context=context)
    assert treated.away.weight == context.noted["strength"][0] == -0.5
    drawn = treated.sample(100, key=Key(5)).x
    assert np.isfinite(drawn).all() and not np.array_equal(drawn, base.sample(100, key=Key(5)).x)
    y, sigma = torch.randn((3, 2), generator=Key(6).torch()), torch.tensor(0.5)
    own = copy.copy(base)
    own.net = treated.away.net
    midway = 0.5 * base.denoiser()(y, sigma) + 0.5 * own.denoiser()(y, sigma)
    torch.testing.assert_close(treated.denoiser()(y, sigma), midway)


def test_both_networks_are_stored_restored_and_published(fitted: Any, tmp_path: Any) -> None:
    learner, base, onwards = fitted
    both = base.extrapolated(onwards, 0.7)
    again = learner.restore(load(save(both.arrays())))
    np.testing.assert_array_equal(both.sample(20, key=Key(5)).x, again.sample(20, key=Key(5)).x)
    tuned = again.tuned(Sampling(steps=2))
    assert tuned.away.weight == 0.7 and not np.allclose(
        tuned.sample(9, key=Key(5)).x, again.sample(9, key=Key(5)).x
    )
    assert learner.restore(load(save(base.arrays()))).away is None
    assert "auxiliary" in both.publish(tmp_path / "out")
    for folder, model in (("out", base), ("out/auxiliary", onwards)):
        found = adopt(tmp_path / folder).net.state_dict()
        assert all(torch.equal(found[k], v) for k, v in model.net.state_dict().items())


def test_a_training_goes_on_from_the_base(fitted: Any, moons: Samples) -> None:
    learner, base, onwards = fitted
    plain, treated = (
        learner.fit(moons, start=m, key=Key(7)) for m in (base, base.extrapolated(onwards, 0.7))
    )
    assert treated.away is None
    assert all(
        torch.equal(a, b) for a, b in zip(plain.net.parameters(), treated.net.parameters(), strict=True)
    )


def test_guidance_and_extrapolation_go_together() -> None:
    rng = Key(8).generator()
    data = Samples.of(rng.normal(size=(120, 2)), label=np.arange(120) % 2)
    for learner in (Diffusion(**TINY, labels="use"), FlowMatching(**TINY, labels="use")):
        base = learner.fit(data, key=Key(1))
        onwards = learner.fit(base.sample(100, key=Key(2)), start=base, key=Key(3))
        asked, y = Sampling(guidance=1.5, steps=3), torch.randn((4, 2), generator=Key(6).torch())
        sigma, label = torch.tensor(0.5), torch.tensor([0, 1, 1, 0])
        both = base.extrapolated(onwards, 0.7).tuned(asked)
        each = [m.tuned(asked).denoiser()(y, sigma, label) for m in (base, onwards)]
        torch.testing.assert_close(both.denoiser()(y, sigma, label), 1.7 * each[0] - 0.7 * each[1])
        assert np.isfinite(both.sample(12, key=Key(9)).x).all()


def test_scores_far_above_the_bases_are_warned_of(moons: Samples) -> None:
    learner = Diffusion(**TINY)
    base = learner.fit(moons, key=Key(1))
    quiet = treating(learner, moons)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sims(omega=0.01, **FEW).apply(base, context=quiet)
    assert quiet.noted["scores_above_tenfold"][0] == 0
    loud = treating(learner, moons)
    with pytest.warns(UserWarning, match="more than 10 times as long"):
        Sims(omega=1e4, **FEW, learning_rate_factor=10).apply(base, context=loud)
    assert 0 < loud.noted["scores_above_tenfold"][0] <= 1


def test_the_auxiliary_may_learn_from_the_training_set_if_that_is_synthetic(
    moons: Samples, fitted: Any
) -> None:
    learner, base, _ = fitted
    sims = Sims(omega=0.5, trained_on="training_set", **FEW)
    first = treating(learner, moons)
    assert sims.apply(base, context=first) is base and not first.noted
    real, made = moons, base.sample(150, key=Key(2)).stamped(generation=0, agent="main")
    with pytest.warns(UserWarning, match="mixture of which 50% is real"):
        sims.apply(base, context=treating(learner, real, 1, data=Samples.join([real, made])))
    quiet = treating(learner, real, 1, data=made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sims.apply(base, context=quiet).away is not None
    assert "auxiliary_draws" in quiet.noted and quiet.noted["auxiliary_draws"][0] == 64  # the probe's alone
    kept = Loop(
        spec(
            {"kind": "sims", "trained_on": "training_set"},
            workflow={"kind": "accumulate", "sample_size": 120},
        )
    )
    assert any("holds real records from generation 1" in w for w in kept.warnings)
    assert Loop(spec({"kind": "sims", "trained_on": "training_set"})).warnings == []


def test_an_auxiliary_of_ones_own_must_be_of_the_same_make(tmp_path: Any, moons: Samples) -> None:
    learner = Diffusion(**TINY)
    base = learner.fit(moons, key=Key(1))
    onwards = learner.fit(base.sample(100, key=Key(2)), start=base, key=Key(3))
    place = tmp_path / "model.safetensors"
    place.write_bytes(save(onwards.arrays()))
    sims = Sims(omega=0.5, checkpoint=str(place))
    context = treating(learner, moons)
    assert sims.apply(base, context=context).away.weight == 0.5
    assert "auxiliary_records" not in context.noted
    assert any("nothing says whether real records" in note for note in sims.notes(150, []))
    with pytest.raises(SpecError, match="there is no file"):
        Loop(spec({"kind": "sims", "omega": 1, "checkpoint": str(tmp_path / "none.safetensors")}))
    others = {
        "parameterisations or schedules": {"noise": "cosine"},
        "networks": {"network": {"kind": "mlp", "width": 9, "blocks": 1}},
    }
    for what, change in others.items():
        other = Diffusion(**{**TINY, **change}).fit(moons, key=Key(1))
        with pytest.raises(SpecError, match=what):
            base.extrapolated(other, 1.0)
    shifted = learner.fit(Samples.of(moons.x + 1), key=Key(1))
    with pytest.raises(SpecError, match="record spaces"):
        base.extrapolated(shifted, 1.0)
    flow = FlowMatching(**TINY).fit(moons, key=Key(1))
    with pytest.raises(SpecError, match="kinds of model"):
        base.extrapolated(flow, 1.0)


# Neon


def test_weights_move_once_and_buffers_stay() -> None:
    class Shared(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.one = nn.Linear(2, 2)
            self.two = self.one  # tied
            self.norm = nn.BatchNorm1d(2)
            with torch.no_grad():
                for p in self.parameters():
                    p.fill_(value)
            self.norm.running_mean.fill_(value)

    merged = extrapolated_weights(Shared(3.0), Shared(1.0), 0.5)
    assert all(bool((p == 4.0).all()) for p in merged.parameters())
    assert bool((merged.norm.running_mean == 3.0).all()) and merged.one is merged.two
    assert bool((extrapolated_weights(Shared(3.0), Shared(1.0), -0.5).one.weight == 2.0).all())
    with pytest.raises(SpecError, match="different networks"):
        extrapolated_weights(nn.Linear(2, 2), nn.Linear(2, 3), 1.0)
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight[0, 0] = float("nan")
    with pytest.raises(FitFailed, match="merged weight weight is not finite"):
        extrapolated_weights(nn.Linear(2, 2), broken, 1.0)


@pytest.mark.parametrize("kind", [Diffusion, FlowMatching, Vae])
def test_a_merged_model_is_a_model_of_its_kind(kind: Any, moons: Samples) -> None:
    settings = {k: v for k, v in TINY.items() if k != "network"} if kind is Vae else TINY
    learner = kind(**settings, optimiser="carried")
    base = learner.fit(moons, key=Key(1))
    before = [p.clone() for p in base.net.parameters()]
    merged = Neon(strength=0.5, **FEW).apply(base, context=treating(learner, moons))
    assert type(merged) is type(base)
    assert all(torch.equal(a, b) for a, b in zip(before, base.net.parameters(), strict=True))
    again = learner.restore(load(save(merged.arrays())))
    np.testing.assert_array_equal(merged.sample(20, key=Key(5)).x, again.sample(20, key=Key(5)).x)
    assert not np.array_equal(merged.sample(20, key=Key(5)).x, base.sample(20, key=Key(5)).x)
    # what goes on, goes on from the merged weights: at a rate of nearly nothing it stays there
    slow = kind(**{**settings, "learning_rate": 1e-9}, start="previous", optimiser="carried")
    onwards = slow.fit(moons, start=merged, key=Key(6))
    for a, b in zip(onwards.net.parameters(), merged.net.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


# what is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"omega": -0.5}, "allow_negative"),
        ({"omega": -1.0, "allow_negative": True}, "above -1"),
        ({"omega": "much"}, "number or `auto`"),
        ({"omega": float("nan")}, "finite"),
        ({"samples": 99}, "at least 100"),
        ({"records": 0}, "at least 1"),
        ({"learning_rate_factor": 0}, "above zero"),
        ({"grid": (0.5, -0.5)}, "treatment.grid is -0.5"),
        ({"grid": ()}, "list of strengths"),
        ({"choose_by": "taste"}, "one of: auto"),
        ({"draws": 10}, "at least 100"),
        ({"trained_on": "real"}, "one of: samples"),
        ({"trained_on": "training_set", "checkpoint": "x"}, "leave treatment.trained_on out"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Sims(**settings)


def test_what_neon_refuses() -> None:
    for settings, said in (
        ({"strength": -0.5}, "allow_negative"),
        ({"strength": -1, "allow_negative": True}, "above -1"),
        ({"strength": "some"}, "number or `auto`"),
        ({"samples": 50}, "at least 100"),
    ):
        with pytest.raises(SpecError, match=said):
            Neon(**settings)  # type: ignore[arg-type]
    assert Neon(strength=-0.5, allow_negative=True).chosen == -0.5
    assert Neon(grid=(1, 0.5)).grid == (0.0, 0.5, 1.0)
    assert Neon(strength="auto").knows and not Neon(strength=1).knows


@pytest.mark.parametrize("kind", ["sims", "neon"])
def test_learners_without_a_network_and_small_sets_are_refused(kind: str) -> None:
    with pytest.raises(SpecError, match=f"treatment {kind}.*diffusion.*not gaussian"):
        Loop(data={"kind": "gaussian"}, learner={"kind": "gaussian"}, treatment={"kind": kind})
    if kind == "sims":
        with pytest.raises(SpecError, match="not vae"):
            Loop({**spec({"kind": kind}), "learner": {"kind": "vae"}, "sampling": {}})
    with pytest.raises(SpecError, match="set treatment.samples"):
        Loop(spec({"kind": kind}, workflow={"kind": "replace", "sample_size": 60}))
    Loop(spec({"kind": kind, "samples": 100}, workflow={"kind": "replace", "sample_size": 60}))


@pytest.mark.parametrize("kind", [Sims, Neon])
def test_an_auxiliary_that_diverges_ends_the_generation(kind: Any, moons: Samples) -> None:
    learner = Diffusion(**TINY)
    base = learner.fit(moons, key=Key(1))
    strength = {"omega" if kind is Sims else "strength": 0.5}
    wild = kind(**strength, **FEW, learning_rate_factor=1e30)
    with pytest.raises(FitFailed, match="auxiliary of treatment|not finite"):
        wild.apply(base, context=treating(learner, moons))
    few = kind(**strength, records=128)
    with pytest.raises(FitFailed, match="needs 100 own samples"):
        few.apply(base, context=treating(learner, moons, data=moons[:60]))
