"""Guidance of learners: schedules in the sampling block, hidden classes, and chains of models finetuned from one base."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autophage import run
from autophage.data.labelled_blobs import LabelledBlobsSource
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.learners.denoising import DenoisingModel
from autophage.learners.diffusion import Diffusion
from autophage.learners.flow_matching import FlowMatching
from autophage.loop import Loop
from autophage.parts import Sampling
from autophage.spec import Spec

SHORT: dict[str, Any] = {
    "records": 512,
    "batch_size": 64,
    "warmup": 0,
    "device": "cpu",
    "labels": "use",
    "network": {"kind": "mlp", "width": 16, "blocks": 1},
}
CHAIN: dict[str, Any] = {
    "seed": 3,
    "generations": 4,
    "data": {"kind": "labelled_blobs", "size": 100},
    "learner": {"kind": "diffusion", "start": "base", **SHORT, "first_records": 1024},
    "sampling": {"guidance": 1.0, "guidance_decay": 2.0, "sampler": "dpmpp_2m", "steps": 4},
    "workflow": {"kind": "replace", "sample_size": 64},
    "evaluation_size": 64,
    "metrics": ["within_class_variance", "training"],
}
KINDS = {"diffusion": Diffusion, "flow_matching": FlowMatching}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> DenoisingModel:
    source = LabelledBlobsSource(size=100)
    return KINDS[request.param](**SHORT).bound_to(source).fit(source.train(), key=Key(0))


def drawn(model: DenoisingModel, **sampling: Any) -> np.ndarray:
    return model.tuned(Sampling(**sampling)).sample(40, key=Key(1)).x


# Schedules


@pytest.mark.parametrize("sampler", ["heun", "euler"])
def test_neutral_schedules_are_constant_guidance_bit_for_bit(model: DenoisingModel, sampler: str) -> None:
    constant = drawn(model, guidance=2.0, sampler=sampler, steps=6)
    for neutral in ({"guidance_decay": 0.0}, {"guidance_interval": (0.0, float("inf"))}):
        np.testing.assert_array_equal(
            constant, drawn(model, guidance=2.0, sampler=sampler, steps=6, **neutral)
        )


def test_schedules_without_weight_are_the_plain_sampler_bit_for_bit(model: DenoisingModel) -> None:
    """Check R4 through the learners."""
    plain = drawn(model, steps=6)
    for schedule in ({"guidance_decay": 3.0}, {"guidance_interval": (0.1, 2.0)}):
        np.testing.assert_array_equal(plain, drawn(model, steps=6, guidance=0.0, **schedule))
    np.testing.assert_array_equal(plain, drawn(model, steps=6, guidance=2.0, guidance_interval=(1e6, 1e7)))


def test_decay_comes_between_plain_and_constant(model: DenoisingModel) -> None:
    plain = drawn(model, steps=12)
    away = [
        np.abs(drawn(model, steps=12, guidance=2.0, guidance_decay=rate) - plain).mean()
        for rate in (0.0, 2.0, 60.0)
    ]
    assert away[0] > 1.2 * away[1] > 0 and away[2] < 0.5 * away[1]


def test_a_bias_may_decay_too(model: DenoisingModel) -> None:
    one, other = ({"guidance": 1.0}, {"bias": 0.5})
    np.testing.assert_array_equal(
        drawn(model, steps=6, guidance_decay=2.0, **one), drawn(model, steps=6, guidance_decay=2.0, **other)
    )


def test_intervals_are_noise_levels_for_both_kinds(model: DenoisingModel) -> None:
    """The guided estimate at levels below, within and above [.5, 2]: plain, guided, plain."""
    guided = model.tuned(Sampling(guidance=2.0, guidance_interval=(0.5, 2.0)))
    always, never = model.tuned(Sampling(guidance=2.0)), model.tuned(Sampling())
    y, label = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 4
    for sigma, like in ((0.4, never), (0.6, always), (1.9, always), (2.1, never)):
        at = torch.tensor(sigma, dtype=torch.float64)
        found, expected = (m.denoiser()(y, at, label) for m in (guided, like))  # type: ignore[attr-defined]
        assert torch.equal(found, expected)


def test_decay_of_flow_matching_goes_by_time() -> None:
    source = LabelledBlobsSource(size=100)
    model = FlowMatching(**SHORT).bound_to(source).fit(source.train(), key=Key(0))
    x, label = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 4
    t = torch.tensor(0.25, dtype=torch.float64)
    plain, full, part = (
        model.tuned(Sampling(**s)).velocity(x, t, label)
        for s in ({}, {"guidance": 2.0}, {"guidance": 2.0, "guidance_decay": 4.0})
    )
    torch.testing.assert_close(part - plain, (full - plain) * float(np.exp(-1)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({"guidance_decay": 2.0}, "sampling.guidance_decay changes a guidance that is not there"),
        ({"guidance_interval": [0.1, 1]}, "sampling.guidance_interval changes a guidance that is not there"),
        ({"guidance": -0.5}, "sampling.guidance is -0.5; it must be zero"),
        ({"guidance": 1, "guidance_decay": -1.0}, "sampling.guidance_decay is -1.0; it must be zero"),
        ({"guidance": 1, "guidance_decay": float("nan")}, "sampling.guidance_decay is nan"),
        ({"guidance": 1, "guidance_decay": float("inf")}, "sampling.guidance_decay is inf"),
        ({"guidance": 1, "guidance_interval": [1, 1]}, "must be two noise levels"),
        ({"guidance": 1, "guidance_interval": [2, 1]}, "must be two noise levels"),
        ({"guidance": 1, "guidance_interval": [-1, 1]}, "must be two noise levels"),
        ({"guidance": 1, "guidance_interval": [float("nan"), 1]}, "must be two noise levels"),
        ({"guidance": 1, "guidance_interval": [1]}, "guidance_interval"),
    ],
)
def test_schedules_that_are_none_are_refused(sampling: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Spec.of(**{**CHAIN, "sampling": sampling})
    with pytest.raises(SpecError, match=said):
        Sampling(**sampling)


def test_learners_without_guidance_do_not_understand_its_schedule() -> None:
    with pytest.raises(SpecError, match="sampling.guidance_decay is not understood by learner gaussian"):
        Loop(Spec.of(data="gaussian", learner="gaussian", sampling={"bias": 0.5, "guidance_decay": 1.0}))


def test_schedules_survive_a_spec_on_disk(tmp_path: Any) -> None:
    spec = {
        **CHAIN,
        "generations": 1,
        "sampling": {"guidance": 1.0, "guidance_interval": [0.2, float("inf")]},
    }
    done = run(spec, tmp_path / "run")
    assert run(tmp_path / "run" / "spec.yaml").metrics.equals(done.metrics)


# Hidden classes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", [{"guidance": 0.5}, {"bias": 0.5}], ids=["guidance", "bias"])
def test_guidance_needs_a_trained_unconditional_branch(kind: str, sampling: dict[str, Any]) -> None:
    def spec(**learner: Any) -> Spec:
        return Spec.of(**{**CHAIN, "learner": {"kind": kind, **SHORT, **learner}, "sampling": sampling})

    with pytest.raises(SpecError, match="learner.condition_dropout 0 it never learns that"):
        Loop(spec(condition_dropout=0))
    with pytest.raises(SpecError, match="learner.condition_dropout 0 it never learns that"):
        Loop(spec(condition_dropout=0.2, first_condition_dropout=0))
    Loop(spec(condition_dropout=0, first_condition_dropout=0.2))
    none = {"guidance": 0.0} if "guidance" in sampling else {"bias": 1.0}
    Loop(Spec.of(**{**CHAIN, "learner": {"kind": kind, **SHORT, "condition_dropout": 0}, "sampling": none}))


def test_first_dropout_must_be_a_share() -> None:
    with pytest.raises(SpecError, match="learner.first_condition_dropout is 1.0"):
        Diffusion(first_condition_dropout=1.0)


def test_dropout_of_the_first_fit_and_of_later_ones() -> None:
    """From scratch the first one counts, onwards the other: the same numbers as with that one alone."""
    source = LabelledBlobsSource(size=100)

    def fit(start: Any = None, **dropout: float) -> np.ndarray:
        made = Diffusion(**SHORT, **dropout).bound_to(source).fit(source.train(), start=start, key=Key(2))
        return made.sample(20, key=Key(3)).x

    both = {"condition_dropout": 0.4, "first_condition_dropout": 0.2}
    base = Diffusion(**SHORT).bound_to(source).fit(source.train(), key=Key(0))
    np.testing.assert_array_equal(fit(**both), fit(condition_dropout=0.2))
    np.testing.assert_array_equal(fit(base, **both), fit(base, condition_dropout=0.4))
    assert not np.array_equal(fit(**both), fit(condition_dropout=0.4))
    assert not np.array_equal(fit(base, **both), fit(base, condition_dropout=0.2))


def test_arms_that_differ_in_later_dropout_share_generation_zero() -> None:
    shared: dict[Any, Any] = {}
    for later in (0.0, 0.3):
        learner = {**CHAIN["learner"], "condition_dropout": later, "first_condition_dropout": 0.2}
        run({**CHAIN, "generations": 1, "learner": learner}, first_models=shared)
    assert len(shared) == 1


# Chains from one base


def test_every_generation_trains_on_from_generation_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, DenoisingModel, int]] = []
    fit = Diffusion.fit

    def watched(self: Diffusion, data: Any, *, start: Any = None, key: Key) -> DenoisingModel:
        made = fit(self, data, start=start, key=key)
        seen.append((start, made, int(made.report["records"])))
        return made

    monkeypatch.setattr(Diffusion, "fit", watched)
    run(CHAIN)
    starts = [start for start, _, _ in seen]
    base = seen[0][1]
    assert len(seen) == 4 and starts[0] is None
    assert all(start is base for start in starts[1:])
    assert [records for _, _, records in seen] == [1024, 512, 512, 512]
    weights = [torch.cat([p.flatten() for p in made.net.parameters()]) for _, made, _ in seen]
    assert not torch.equal(weights[1], weights[2]) and not torch.equal(weights[2], weights[3])


def test_a_chain_from_the_base_resumes_to_the_same_numbers(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Diffusion.fit

    def hungry(self: Diffusion, data: Any, *, start: Any = None, key: Key) -> DenoisingModel:
        if "/generation/2/" in key.name:
            raise MemoryError("full")
        return fit(self, data, start=start, key=key)

    with monkeypatch.context() as patch:
        patch.setattr(Diffusion, "fit", hungry)
        with pytest.raises(Exception, match="generation 2 does not fit into memory"):
            run(CHAIN, tmp_path / "run")
    whole, resumed = run(CHAIN).metrics, run(CHAIN, tmp_path / "run", resume=True).metrics
    assert resumed.sort(resumed.columns[:4]).equals(whole.sort(whole.columns[:4]), null_equal=True)
    assert whole["generation"].max() == 3


def test_a_chain_from_the_base_is_none_from_the_predecessor() -> None:
    """Generation 1 is the same for both, generation 2 is not."""
    base = run(CHAIN).metrics
    previous = run({**CHAIN, "learner": {**CHAIN["learner"], "start": "previous"}}).metrics

    def course(table: Any) -> list[float]:
        return table.filter(table["metric"] == "within_class_variance").sort("generation")["value"].to_list()

    one, other = course(base), course(previous)
    assert one[:2] == other[:2] and one[2] != other[2]


@pytest.mark.parametrize("learner", ["gaussian", "kde"])
def test_learners_that_fit_from_scratch_refuse_a_base(learner: str) -> None:
    with pytest.raises(SpecError, match="always fits from scratch"):
        Loop(Spec.of(data="gaussian", learner={"kind": learner, "start": "base"}))
