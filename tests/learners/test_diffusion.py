"""Diffusion learners: laws, an exact oracle, every process and prediction, classes, storing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from autophage import laws
from autophage.data.digits import DigitsSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import FitFailed, RunError, SpecError
from autophage.keys import Key
from autophage.learners import denoising
from autophage.learners.diffusion import Diffusion, DiffusionModel
from autophage.parts import Sampling
from autophage.samples import Samples
from autophage.spec import Spec

TINY: dict[str, Any] = {"kind": "small_unet", "width": 8}
SHORT: dict[str, Any] = {"records": 512, "batch_size": 64, "warmup": 0, "device": "cpu"}


def learner(**settings: Any) -> Diffusion:
    return Diffusion(**{**SHORT, "network": TINY, **settings}).bound_to(DigitsSource())


@pytest.fixture(scope="module")
def digits() -> Samples:
    return DigitsSource().train()[:400]


@pytest.fixture(scope="module")
def classed(digits: Samples) -> DiffusionModel:
    found = learner(labels="use").fit(digits, key=Key(0) / "fit")
    assert isinstance(found, DiffusionModel)
    return found


def test_laws_of_learners_hold_for_vectors() -> None:
    x = Key(1).generator().normal(size=(80, 3))
    laws.learner(Diffusion(**SHORT, network={"kind": "mlp", "width": 16}), x)


def test_samples_are_pictures_of_the_datas_kind(classed: DiffusionModel, digits: Samples) -> None:
    drawn = classed.sample(70, key=Key(2))
    assert drawn.x.shape == (70, 64) and drawn.x.dtype == digits.x.dtype
    assert drawn.x.min() >= 0 and drawn.x.max() <= 16


def test_a_record_does_not_depend_on_how_many_are_drawn(classed: DiffusionModel) -> None:
    label = Samples.of(np.zeros((130, 1)), label=np.arange(130) % 10)
    few = classed.sample(64, key=Key(3), given=label)
    many = classed.sample(130, key=Key(3), given=label)
    np.testing.assert_allclose(few.x, many.x[:64], atol=1e-3)


def test_classes_come_in_the_shares_of_the_training_set(classed: DiffusionModel, digits: Samples) -> None:
    assert digits.label is not None
    shares = np.bincount(digits.label, minlength=10) / 400
    drawn = classed.sample(1000, key=Key(4)).label
    assert drawn is not None
    assert np.abs(np.bincount(drawn, minlength=10) - 1000 * shares).max() < 1
    asked = Samples.of(np.zeros((5, 1)), label=np.array([3, 3, 3, 1, 0]))
    np.testing.assert_array_equal(classed.sample(5, key=Key(4), given=asked).label, asked.label)  # type: ignore[arg-type]


def test_it_is_stored_and_rebuilt(classed: DiffusionModel) -> None:
    again = learner(labels="use").restore(load(save(classed.arrays())))
    np.testing.assert_array_equal(classed.sample(20, key=Key(5)).x, again.sample(20, key=Key(5)).x)
    assert again.report == classed.report


def test_a_model_goes_on_as_what_it_is(classed: DiffusionModel, digits: Samples) -> None:
    """A continued model keeps its process, network and classes, whatever the learner would begin with."""
    other = learner(noise="linear", network={"kind": "small_unet", "width": 16}, start="previous")
    onwards = other.fit(digits, start=classed, key=Key(6))
    assert onwards.facts == classed.facts and onwards.network == classed.network
    assert onwards.classes == 10
    assert 0 < onwards.report["relative_change"] < 1
    with pytest.raises(FitFailed, match="these carry none"):
        other.fit(Samples.of(digits.x), start=classed, key=Key(6))


def test_the_optimiser_is_carried_where_asked(digits: Samples) -> None:
    carrying = learner(optimiser="carried", start="previous")
    first = carrying.fit(digits, key=Key(7))
    assert first.optimiser is not None and first.last is not None
    again = carrying.restore(load(save(first.arrays())))
    second, resumed = (carrying.fit(digits, start=m, key=Key(8)) for m in (first, again))
    np.testing.assert_array_equal(second.sample(8, key=Key(9)).x, resumed.sample(8, key=Key(9)).x)
    assert float(second.optimiser["steps"]) == 16  # type: ignore[index]
    assert learner().fit(digits, key=Key(7)).last is None


@pytest.mark.parametrize("noise", ["edm", "linear", "cosine", "vp", "ve"])
def test_every_process_fits_and_samples(noise: Any, digits: Samples) -> None:
    model = learner(noise=noise, records=128).fit(digits, key=Key(0))
    for sampler in ("ddim", "heun", "dpmpp_2m", "ancestral"):
        drawn = model.tuned(Sampling(sampler=sampler, steps=3)).sample(4, key=Key(1)).x
        assert np.isfinite(drawn).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_every_prediction_fits_and_samples(prediction: Any, digits: Samples) -> None:
    model = learner(noise="cosine", prediction=prediction, timesteps=20, records=128).fit(digits, key=Key(0))
    assert np.isfinite(model.sample(4, key=Key(1)).x).all()


def test_variances_are_learned(digits: Samples) -> None:
    model = learner(noise="cosine", learned_variance=True, timesteps=10, records=256).fit(digits, key=Key(0))
    assert sum(p.numel() for n, p in model.net.named_parameters()) > 0
    assert model.denoiser().moments(torch.zeros(2, 1, 8, 8), torch.tensor(1.0))[1].shape == (2, 1, 8, 8)  # type: ignore[attr-defined]
    assert np.isfinite(model.sample(4, key=Key(1)).x).all()


def test_no_guidance_is_the_plain_sampler_bit_for_bit(classed: DiffusionModel) -> None:
    plain = classed.sample(10, key=Key(3)).x
    for none in (Sampling(guidance=0.0), Sampling(bias=1.0)):
        np.testing.assert_array_equal(plain, classed.tuned(none).sample(10, key=Key(3)).x)
    steered = classed.tuned(Sampling(guidance=1.0)).sample(10, key=Key(3)).x
    assert not np.allclose(plain, steered, atol=1e-3)
    # lambda = 1 / (1 + w)
    np.testing.assert_array_equal(steered, classed.tuned(Sampling(bias=0.5)).sample(10, key=Key(3)).x)


def test_records_without_weight_are_not_learned() -> None:
    rng = Key(0).generator()
    x = np.concatenate([rng.normal(-4, 0.3, (200, 2)), rng.normal(4, 0.3, (200, 2))])
    weight = np.repeat([1.0, 0.0], 200)
    fit = Diffusion(
        records=30_000, batch_size=128, warmup=500, network={"kind": "mlp", "width": 32}, device="cpu"
    )
    drawn = fit.fit(Samples.of(x, weight=weight), key=Key(1)).sample(200, key=Key(2)).x
    assert (drawn[:, 0] < 0).mean() > 0.97  # half and half with equal weights


def test_two_moons_are_learned() -> None:
    """The energy distance to the moons is far below that of a Gaussian with their moments."""
    source = TwoMoonsSource()
    train = source.draw(1000, key=Key(0)).replicate(0)
    fit = Diffusion(
        records=60_000, batch_size=256, learning_rate=3e-3, warmup=1000, network={"kind": "mlp"}, device="cpu"
    )
    drawn = fit.fit(train, key=Key(1)).sample(500, key=Key(2)).x
    real = source.draw(500, key=Key(3)).replicate(0).x
    moments = Key(4).generator().multivariate_normal(real.mean(0), np.cov(real.T), 500)

    def energy(a: np.ndarray, b: np.ndarray) -> float:
        def mean(u: np.ndarray, v: np.ndarray) -> float:
            return float(np.sqrt(((u[:, None] - v) ** 2).sum(-1)).mean())

        return 2 * mean(a, b) - mean(a, a) - mean(b, b)

    assert energy(drawn, real) < 0.5 * energy(moments, real)


def test_sampling_falls_back_when_memory_runs_out(
    classed: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = classed.sample(200, key=Key(3))
    before: Callable[..., Any] = type(classed.net).forward
    widths: list[int] = []

    def tight(self: Any, x: Any, *others: Any) -> Any:
        widths.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError("out of memory")
        return before(self, x, *others)

    most = 100
    monkeypatch.setattr(type(classed.net), "forward", tight)
    np.testing.assert_allclose(whole.x, classed.sample(200, key=Key(3)).x, atol=1e-3)
    assert max(widths) == 200 and widths[-1] <= 100
    most = 10
    with pytest.raises(RunError, match=f"not even {denoising.GROUP} records fit into memory"):
        classed.sample(200, key=Key(3))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learned_variance": True}, "learner.learned_variance needs learner.noise linear or cosine"),
        ({"noise": "ve", "prediction": "v"}, "leave it auto"),
        ({"timesteps": 1}, "learner.timesteps is 1"),
        ({"records": 0}, "learner.records is 0"),
        ({"learning_rate": float("nan")}, "learner.learning_rate is nan"),
        ({"ema_decay": 1.0}, r"learner.ema_decay is 1.0; it must lie in \[0, 1\)"),
        ({"condition_dropout": 1.0}, "learner.condition_dropout is 1.0"),
        ({"gradient_clip": 0}, "learner.gradient_clip is 0"),
        ({"network": "unett"}, "unett"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Diffusion(**settings)


@pytest.mark.parametrize(
    ("settings", "sampling", "said"),
    [
        ({}, {"guidance": 1.0}, "they need learner.labels: use"),
        ({}, {"bias": 0.5}, "they need learner.labels: use"),
        ({"labels": "use"}, {"bias": 0.0}, "sampling.bias is 0"),
        ({}, {"sampler": "huen"}, "did you mean 'heun'"),
        ({"noise": "cosine", "timesteps": 10}, {"steps": 11}, "sampling.steps is 11, but the chain has"),
        ({}, {"temperature": 0.5}, "sampling.temperature is not understood by learner diffusion"),
        ({"labels": "use"}, {"guidance": 1.0, "bias": 0.5}, "say the same"),
        ({}, {"steps": 0}, "sampling.steps is 0"),
        ({}, {"eta": 0.5}, "sampling.eta is not for sampler heun; those that take it: ddim"),
        (
            {"noise": "linear"},
            {"churn": 4},
            "sampling.churn is not for sampler ddim; those that take it: euler, heun",
        ),
        ({}, {"eta": 1.5}, "sampling.eta is 1.5"),
    ],
)
def test_sampling_that_cannot_be_is_refused(
    settings: dict[str, Any], sampling: dict[str, Any], said: str
) -> None:
    from autophage.loop import Loop

    with pytest.raises(SpecError, match=said):
        Loop(Spec.of(data="digits", learner={"kind": "diffusion", **settings}, sampling=sampling))


def test_a_fit_that_cannot_be_fails_with_a_reason(digits: Samples) -> None:
    with pytest.raises(FitFailed, match="10 or more records"):
        learner().fit(digits[:9], key=Key(0))
    with pytest.raises(FitFailed, match="carry none"):
        Diffusion(**SHORT, network=TINY, labels="use").fit(Samples.of(digits.x), key=Key(0))
    with pytest.raises(FitFailed, match="the loss became"):
        learner(learning_rate=1e30, gradient_clip=None, records=5000).fit(digits, key=Key(0))
