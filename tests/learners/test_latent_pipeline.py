"""Pretrained painters, end to end on a Stable Diffusion of a few thousand random weights: tuned, stored, opened again, published."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from autophage.errors import FitFailed, MissingExtra, RunError, SpecError
from autophage.keys import Key
from autophage.learners.latent_pipeline import LatentPipelineModel, larger, smaller
from autophage.learners.neural import Bound
from autophage.learners.record_spaces import Pictures
from autophage.learners.text_to_image import TextToImage
from autophage.networks import latent_diffusion
from autophage.networks.latent_diffusion import NEEDED, Tuning
from autophage.parts import Sampling
from autophage.samples import Samples

GREY = Pictures((8, 8), 0.0, 16.0, "uint8")
COLOUR = Pictures((16, 16, 3), 0.0, 255.0, "uint8")
NAMES = np.array(["red square", "blue square"])


def data(space: Pictures, n: int = 32) -> Samples:
    of = np.arange(n) % 2
    x = np.zeros((n, *space.size), np.uint8)
    x[of == 1] = int(space.high)
    return Samples.of(x.reshape(n, -1), caption=NAMES[of])


def painter(place: Path | str, space: Pictures = COLOUR, **keys: Any) -> TextToImage:
    settings = {"records": 64, "batch_size": 16, "warmup": 0, "device": "cpu", "learning_rate": 1e-2, **keys}
    return TextToImage(checkpoint=str(place), **settings)._knowing("_bound", Bound(space, None))


def tiny(folder: Path, **chain: Any) -> Path:
    from tiny_checkpoints import tiny_stable_diffusion  # the folder of tests is known once they run

    return tiny_stable_diffusion(folder, **chain)


def index(folder: Path, **parts: Any) -> Path:
    """A folder that says it is a pipeline of these parts, without any of them."""
    folder.mkdir()
    body = {name: ["library", kind or "Any"] for name, kind in NEEDED.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Any", **body, **parts}))
    return folder


# Without diffusers


def test_pictures_come_out_as_they_went_in() -> None:
    z = 2 * torch.rand((5, 3, 16, 16), generator=Key(0).torch()) - 1
    assert larger(z, 16) is z and smaller(z, COLOUR) is z
    grey = 2 * torch.rand((5, 1, 8, 8), generator=Key(0).torch()) - 1
    grey = torch.nn.functional.avg_pool2d(grey, 3, 1, 1)  # what has no finest detail survives another size
    seen = larger(grey, 32)
    assert seen.shape == (5, 3, 32, 32) and seen.abs().max() <= 1
    back = smaller(seen, GREY)
    assert back.shape == (5, 1, 8, 8) and (back - grey).abs().max() < 0.25
    torch.testing.assert_close(
        smaller(larger(torch.full((1, 1, 8, 8), 0.3), 32), GREY), torch.full((1, 1, 8, 8), 0.3)
    )


@pytest.mark.parametrize(
    ("parts", "wrong"),
    [
        ({"unet": ["diffusers", "UNet2DModel"]}, "without a fit unet"),
        ({"text_encoder": [None, None]}, "without a fit text_encoder"),
        ({"text_encoder_2": ["transformers", "CLIPTextModel"]}, "with text_encoder_2 beside"),
    ],
)
def test_pipelines_that_cannot_be_tuned_are_refused_before_they_are_loaded(
    parts: dict[str, Any], wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=wrong):
        painter(index(tmp_path / "pipeline", **parts))
    with pytest.raises(SpecError, match=r"holds no model_index.json"):
        painter(tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else object())
    latent_diffusion.require()
    with pytest.raises(MissingExtra, match=r"peft.*autophage\[multimodal\]"):
        latent_diffusion.opened(Tuning("a/b", True, 4, 4))


def test_records_must_be_captioned_pictures(tmp_path: Path) -> None:
    learner = painter(index(tmp_path / "pipeline"))
    with pytest.raises(FitFailed, match="carry none"):
        learner.fit(Samples.of(data(COLOUR).x), key=Key(0))
    with pytest.raises(FitFailed, match="records of 768 numbers"):
        learner._knowing("_bound", Bound(None, None)).fit(data(COLOUR), key=Key(0))
    assert (
        learner.evaluations(Sampling(guidance=1.0, steps=7)) == 14 and learner.evaluations(Sampling()) == 50
    )
    assert not learner.has_network and not learner.extrapolates and learner.needs_captions


# With it


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="module")
def model(place: Path) -> LatentPipelineModel:
    return painter(place, lora={"rank": 4, "alpha": 8}).fit(data(COLOUR), key=Key(0))


def drawn(model: LatentPipelineModel, n: int = 6, given: Samples | None = None, **sampling: Any) -> Samples:
    return model.tuned(Sampling(steps=2, **sampling)).sample(n, key=Key(1), given=given)


@pytest.mark.slow
def test_captions_are_painted_and_drawn(model: LatentPipelineModel, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Samples.of(np.zeros((6, 1)), caption=np.array(["red square", "a new one", *NAMES, *NAMES]))
    made = drawn(model, 6, given)
    assert made.x.shape == (6, 768) and made.x.dtype == np.uint8 and set(made.fields) == {"x", "caption"}
    np.testing.assert_array_equal(made.caption, given.caption)
    assert set(drawn(model, 12).caption) == set(NAMES)
    monkeypatch.setattr("autophage.learners.latent_pipeline.AT_ONCE", {"cpu": 2})
    apart = drawn(model, 4, given).x.astype(int)
    assert (
        np.abs(apart - made.x[:4]).max() <= 1
    )  # neither how many are asked for matters, nor how many at once
    plain, guided = made.x, drawn(model, 6, given, guidance=3.0).x
    np.testing.assert_array_equal(plain, drawn(model, 6, given, guidance=0.0).x)
    np.testing.assert_array_equal(guided, drawn(model, 6, given, bias=0.25).x)
    assert (guided != plain).any()


@pytest.mark.slow
def test_stored_painters_hold_what_was_trained_alone(
    model: LatentPipelineModel, place: Path, tmp_path: Path
) -> None:
    arrays = load(save(model.arrays()))
    assert all(".lora_" in name for name in arrays if name != "header")
    again = painter(place).restore(arrays)
    np.testing.assert_array_equal(drawn(again).x, drawn(model).x)
    np.testing.assert_array_equal(drawn(again).caption, drawn(model).caption)
    gone = {
        **arrays,
        "header": np.frombuffer(arrays["header"].tobytes().replace(b"/tiny", b"/gone"), np.uint8),
    }
    with pytest.raises(SpecError, match="neither a folder nor a hub id"):
        painter(place).restore(gone)
    moved = tiny(tmp_path / "other", beta_end=0.5)
    assert str(moved) != str(place)
    header = json.loads(arrays["header"].tobytes())
    header["tuning"]["checkpoint"] = str(moved)
    other = {**arrays, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    with pytest.raises(RunError, match="is another one than the model was trained on"):
        painter(place).restore(other)


@pytest.mark.slow
def test_training_goes_on_and_leaves_its_predecessor(model: LatentPipelineModel, place: Path) -> None:
    learner, before = painter(place, lora={"rank": 4, "alpha": 8}, optimiser="carried"), drawn(model).x
    later = learner.fit(data(COLOUR), start=model, key=Key(2))
    np.testing.assert_array_equal(drawn(model).x, before)
    assert (drawn(later).x != before).any() and later.optimiser
    twin = learner.fit(data(COLOUR), start=model, key=Key(2))
    np.testing.assert_array_equal(drawn(twin).x, drawn(later).x)
    weight = np.where(data(COLOUR).caption == NAMES[0], 1.0, 0.0)
    weighted = Samples.of(data(COLOUR).x, caption=data(COLOUR).caption, weight=weight)
    one = learner.fit(weighted, start=model, key=Key(2))
    assert set(drawn(one, 12).caption) == {NAMES[0]} and (drawn(one).x != drawn(later).x).any()
    net = latent_diffusion.opened(model.tuning)
    assert pickle.loads(pickle.dumps(net)) is net  # other processes open the checkpoint themselves
    with pytest.raises(FitFailed, match="the same checkpoint and the same weights"):
        painter(place, lora={"rank": 2}).fit(data(COLOUR), start=model, key=Key(2))
    with pytest.raises(SpecError, match="learner.resolution is 15; it must be a multiple of the 2 pixels"):
        painter(place, resolution=15).fit(data(COLOUR), key=Key(0))


@pytest.mark.slow
def test_lora_weights_load_in_diffusers_and_paint_the_same(
    model: LatentPipelineModel, place: Path, tmp_path: Path
) -> None:
    import diffusers

    said = model.publish(tmp_path / "lora")
    assert said.startswith("lora holds LoRA weights: load_lora_weights of a StableDiffusionPipeline")
    assert (tmp_path / "lora" / "pytorch_lora_weights.safetensors").is_file()
    with pytest.raises(RunError, match="exists already"):
        model.publish(tmp_path / "lora")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(str(place), safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    ours = drawn(model, 3, guidance=1.0)

    def theirs() -> np.ndarray:
        made = pipeline(
            ours.caption.tolist(),
            height=16,
            width=16,
            num_inference_steps=2,
            guidance_scale=2.0,
            generator=[(Key(1) / "picture" / i).torch() for i in range(3)],
            output_type="np",
        )
        return (255 * made.images).round().reshape(3, -1)

    before = theirs()
    pipeline.load_lora_weights(str(tmp_path / "lora"))
    assert np.abs(before - ours.x).max() > 3 and np.abs(theirs() - ours.x).max() <= 1


@pytest.mark.slow
def test_a_whole_unet_may_be_tuned_for_grey_pictures_of_another_size(place: Path, tmp_path: Path) -> None:
    learner = painter(place, GREY, tune="full", augment="flip", learning_rate=1e-3)
    model = learner.fit(data(GREY), key=Key(0))
    made = drawn(model)
    assert made.x.shape == (6, 64) and made.x.max() <= 16
    np.testing.assert_array_equal(drawn(learner.restore(model.arrays())).x, made.x)
    assert "loads in diffusers" in model.publish(tmp_path / "whole")
    tuned = painter(tmp_path / "whole", GREY, lora={"rank": 1}, learning_rate=1e-12).fit(
        data(GREY), key=Key(0)
    )
    assert np.abs(drawn(tuned).x.astype(int) - made.x).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("target", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_what_the_pipelines_scheduler_says(target: str, tmp_path: Path) -> None:
    place = tiny(tmp_path / "tiny", prediction_type=target)
    net = latent_diffusion.opened(Tuning(str(place), True, 2, 2))
    g = Key(0).torch()
    z0, noise = (torch.randn((4, 4, 8, 8), generator=g) for _ in range(2))
    t = torch.tensor([0, 10, 500, 999])
    zt, wanted = net.noisy(z0, noise, t)
    a = net.chain.alphas_cumprod[t].sqrt()[:, None, None, None]
    b = (1 - a**2).sqrt()
    torch.testing.assert_close(zt, a * z0 + b * noise)
    right = {"epsilon": noise, "v_prediction": a * noise - b * z0, "sample": z0}[target]
    torch.testing.assert_close(wanted, right)
    shutil.rmtree(place)


@pytest.mark.slow
def test_learning_lowers_the_loss(place: Path) -> None:
    """Of one picture at one time, so that chance has no part in it: the adapter alone must fit it better."""
    net = latent_diffusion.opened(Tuning(str(place), True, 8, 8))
    net.begin(Key(0))
    g = Key(0).torch()
    z0, noise = (torch.randn((4, 4, 8, 8), generator=g) for _ in range(2))
    t = torch.tensor([100, 300, 500, 700])
    told, (zt, wanted) = net.told(["red square"] * 4, "cpu"), net.noisy(z0, noise, t)
    frozen = {n: p.clone() for n, p in net.unet.named_parameters() if ".lora_" not in n}
    net.requires_grad_(True)
    adam = torch.optim.Adam([p for _, p in net.named_parameters()], 1e-2)
    losses = []
    for _ in range(60):
        loss = (net(zt, t, told) - wanted).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    net.requires_grad_(False)
    assert losses[-1] < 0.97 * losses[0]
    assert all(torch.equal(p, frozen[n]) for n, p in net.unet.named_parameters() if n in frozen)
