"""Checkpoints in and out, and the networks of diffusers: the only module here that imports it, which takes seconds."""

from __future__ import annotations

import json
import math
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autophage.errors import MissingExtra, RunError, SpecError
from autophage.keys import Key
from autophage.networks import of_diffusers
from autophage.networks.checkpoints import RECORD, adopt, publish
from autophage.networks.dit import DiT
from autophage.networks.kinds import network_from
from autophage.networks.mlp import MLP
from autophage.networks.network import Network, parameters
from autophage.networks.processes import betas, chain, from_scheduler, schedule_of, to_scheduler
from autophage.networks.small_unet import SmallUNet
from autophage.networks.unet import UNet

pytestmark = pytest.mark.skipif(
    find_spec("diffusers") is None, reason="diffusers is not installed (extra: image)"
)


class WhenAsked:
    """diffusers, imported by the first test that needs it and not where tests are only collected."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("diffusers"), name)


diffusers: Any = WhenAsked()

TINY = UNet(block_out_channels=(16, 32), layers_per_block=1, norm_groups=8, attention=(1,))
SMALL_DIT = DiT(layers=2, heads=2, head_size=8)
LINEAR = {"timesteps": 50, "schedule": "linear", "beta_start": 1e-3, "beta_end": 0.05}


def batch(shape: tuple[int, ...], n: int = 3, name: str = "x") -> tuple[Tensor, Tensor]:
    generator = (Key(4) / name).torch()
    return torch.randn((n, *shape), generator=generator), torch.randint(50, (n,), generator=generator).float()


def built(
    network: Network, shape: tuple[int, ...] = (1, 8, 8), classes: int | None = None, halves: int = 1
) -> Any:
    """The network with random weights everywhere."""
    net = network.build(shape, halves * shape[0], classes, Key(0)).eval()
    generator = (Key(5) / "alive").torch()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net


def theirs(folder: Path, scheduler: Any = None, **settings: Any) -> Any:
    """A folder as diffusers writes it: a pipeline, or with no scheduler a single model."""
    arguments: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    with Key(7).globally():
        model = diffusers.UNet2DModel(**{**arguments, **settings}).eval()
    if scheduler is None:
        model.save_pretrained(folder)
    else:
        diffusers.DDPMPipeline(model, scheduler).save_pretrained(folder)
    return model


def rewrite(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# The networks of diffusers


@pytest.mark.parametrize("classes", [None, 3], ids=["plain", "classes"])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 16, 16), (1, 28, 28), (2, 7, 9)], ids=lambda s: "x".join(map(str, s))
)
@pytest.mark.parametrize("network", [TINY, SMALL_DIT], ids=["unet", "dit"])
def test_shapes_classes_and_weights(network: Network, shape: tuple[int, ...], classes: int | None) -> None:
    net = built(network, shape, classes, halves=2)
    x, noise = batch(shape)
    assert net(x, noise).shape == (3, 2 * shape[0], *shape[1:])
    if classes is not None:
        told = [net(x, noise, torch.full((3,), k)) for k in range(4)]
        assert torch.equal(net(x, noise), told[3])
        assert all(not torch.allclose(told[i], told[j]) for i in range(4) for j in range(i))
    same, other = (network.build(shape, 1, classes, Key(k)).state_dict() for k in (0, 1))
    first = network.build(shape, 1, classes, Key(0)).state_dict()
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("network", [TINY, SMALL_DIT], ids=["unet", "dit"])
def test_every_parameter_of_diffusers_comes_alive(network: Network) -> None:
    net = network.build((1, 8, 8), 1, 2, Key(0))
    if isinstance(network, DiT):
        assert not net(*batch((1, 8, 8))).any(), "residual branches and output begin at zero"
    x, noise = batch((1, 8, 8), n=6)
    label = torch.tensor([0, 1, 2, 0, 1, 2])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(4):
        optimiser.zero_grad()
        (net(x, noise, label) - x.flip(0)).square().mean().backward()
        optimiser.step()
    # A bias of the keys moves every score of a place alike, and softmax takes it out: no gradient but rounding.
    dead = [
        n
        for n, p in net.named_parameters()
        if not (p.grad is not None and p.grad.any()) and "to_k.bias" not in n
    ]
    assert dead == []


def test_labels_are_not_dropped_inside_a_transformer() -> None:
    """While it learns, diffusers would hide one label in ten; here the learner does."""
    net = built(SMALL_DIT, classes=2).train()
    x, noise = batch((1, 8, 8), n=64)
    label = torch.zeros(64, dtype=torch.long)
    assert torch.equal(net(x, noise, label), net(x, noise, label))


def test_padding_is_that_of_a_network_for_the_padded_image() -> None:
    for network in (TINY, SMALL_DIT):
        net = built(network, (1, 7, 9))
        height, width = net.margin.padded
        wide = network.build((1, height, width), 1, None, Key(0)).eval()
        wide.load_state_dict(net.state_dict())
        x, noise = batch((1, 7, 9))
        padded = net.margin.wider(x)
        assert padded.shape[2:] == (height, width) and float(padded.square().sum()) == pytest.approx(
            float(x.square().sum())
        )
        assert torch.equal(net(x, noise), net.margin.cut(wide(padded, noise)))


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "expected"), [("ddpm_cifar10", 35_746_307), ("edm_cifar10", 54_293_763)])
def test_presets_have_the_published_sizes(preset: Any, expected: int) -> None:
    assert parameters(UNet(preset=preset).build((3, 32, 32), 3, None, Key(0))) == expected


def test_keys_change_a_preset() -> None:
    preset = UNet(preset="ddpm_cifar10", dropout=0.0, settings={"norm_eps": 1e-4}).arguments(
        (3, 32, 32), 3, 10
    )
    assert (preset["dropout"], preset["norm_eps"], preset["freq_shift"]) == (0.0, 1e-4, 1)
    assert preset["num_class_embeds"] == 11 and preset["block_out_channels"] == (128, 256, 256, 256)
    assert preset["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D")
    assert preset["up_block_types"] == ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (UNet(block_out_channels=(16, 32), attention=(2,)), "network.attention names level 2"),
        (
            UNet(block_out_channels=(16, 24), norm_groups=16),
            "network.norm_groups is 16, which does not divide 24",
        ),
        (
            UNet(block_out_channels=(16, 32), head_size=64),
            "network.head_size is 64, more than the 32 channels of level 1",
        ),
        (
            UNet(block_out_channels=(16, 32), settings={"nonsense": 1}),
            "network.settings: UNet2DModel of diffusers refuses",
        ),
        (DiT(settings={"norm_type": "layer_norm"}), "DiTTransformer2DModel of diffusers refuses"),
    ],
    ids=["level", "groups", "heads", "argument", "norm"],
)
def test_what_diffusers_cannot_build(network: Network, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        network.build((1, 8, 8), 1, None, Key(0))


def test_without_diffusers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(
        MissingExtra, match=r"UNet2DModel needs diffusers, which is not installed; install autophage\[image\]"
    ):
        TINY.build((1, 8, 8), 1, None, Key(0))
    with pytest.raises(MissingExtra, match="a checkpoint needs diffusers"):
        of_diffusers.diffusers_for("a checkpoint")


# Round trips


def ddim(net: Any, facts: dict[str, Any], z: Tensor, steps: int) -> Tensor:
    """Deterministic DDIM (Song et al. 2021, equation 12) from x_T = z, with trailing steps."""
    kept = torch.cumprod(1 - torch.from_numpy(betas(facts)), 0)
    stride = facts["timesteps"] // steps
    x = z.double()
    for k in range(facts["timesteps"] - 1, -1, -stride):
        a, before = kept[k], kept[k - stride] if k >= stride else torch.tensor(1.0)
        with torch.no_grad():
            out = net(x.float(), torch.full((len(x),), float(k))).double()
        if facts.get("prediction") == "v_prediction":
            x0, eps = a.sqrt() * x - (1 - a).sqrt() * out, a.sqrt() * out + (1 - a).sqrt() * x
        elif facts.get("prediction") == "sample":
            x0, eps = out, (x - a.sqrt() * out) / (1 - a).sqrt()
        else:
            x0, eps = (x - (1 - a).sqrt() * out) / a.sqrt(), out
        x = before.sqrt() * x0 + (1 - before).sqrt() * eps
    return x


PROCESSES: list[dict[str, Any]] = [
    LINEAR,
    {"timesteps": 50, "schedule": "cosine", "prediction": "v_prediction"},
    {
        "timesteps": 50,
        "schedule": "scaled_linear",
        "beta_start": 1e-3,
        "beta_end": 0.2,
        "prediction": "sample",
    },
    {"timesteps": 10, "schedule": "betas", "betas": [0.01 * k for k in range(1, 11)]},
]


@pytest.mark.parametrize("facts", PROCESSES, ids=lambda facts: facts["schedule"])
def test_a_folder_of_diffusers_goes_in_and_out_and_samples_the_same_images(
    facts: dict[str, Any], tmp_path: Path
) -> None:
    model = theirs(tmp_path / "in", diffusers.DDIMScheduler(**to_scheduler(facts)))
    adopted = adopt(tmp_path / "in", shape=(1, 8, 8))
    assert adopted.process == chain(facts)
    assert (adopted.shape, adopted.sample_size, adopted.in_channels, adopted.classes) == (
        (1, 8, 8),
        (8, 8),
        1,
        None,
    )
    x, noise = batch((1, 8, 8))
    with torch.no_grad():
        eps = model(x, noise.long()).sample
        assert torch.equal(adopted.net(x, noise), eps)
        said = publish(tmp_path / "out", adopted.net, adopted.process)
        assert said == "out loads in diffusers: DDIMPipeline.from_pretrained samples from it"
        pipeline = diffusers.DDIMPipeline.from_pretrained(tmp_path / "out")
        assert torch.equal(pipeline.unet(x, noise).sample, eps)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    images = pipeline(batch_size=2, generator=generator, num_inference_steps=10, output_type="np").images
    z = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    own = (ddim(adopted.net, facts, z, 10) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(images, own.numpy(), rtol=0, atol=2e-5)
    assert np.std(images) > 0.05 and np.mean((images > 0) & (images < 1)) > 0.2
    again = adopt(tmp_path / "out", shape=(1, 8, 8))
    assert again.process == adopted.process and again.network == adopted.network


def test_a_published_folder_holds_what_it_should(tmp_path: Path) -> None:
    publish(tmp_path / "out", built(TINY), LINEAR)
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {
        RECORD,
        "README.md",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    stated = json.loads((tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text())
    assert stated["clip_sample"] is False and stated["set_alpha_to_one"] is True
    assert stated["timestep_spacing"] == "trailing" and stated["prediction_type"] == "epsilon"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_ancestral_pipeline_takes_it_too(tmp_path: Path) -> None:
    publish(tmp_path / "plain", built(TINY), LINEAR)
    publish(tmp_path / "learned", built(TINY, halves=2), LINEAR | {"variance": "learned_range"})
    for name, scheduler in (("plain", "DDIMScheduler"), ("learned", "DDPMScheduler")):
        pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / name)
        pipeline.set_progress_bar_config(disable=True)
        assert type(pipeline.scheduler).__name__ == scheduler
        images = pipeline(batch_size=2, num_inference_steps=10, output_type="np").images
        assert images.shape == (2, 8, 8, 1) and np.isfinite(images).all()
    assert adopt(tmp_path / "learned").process["variance"] == "learned_range"
    assert adopt(tmp_path / "learned").net.out_channels == 2


def test_weights_in_channels_last_memory_are_published(tmp_path: Path) -> None:
    net = built(TINY).to(memory_format=torch.channels_last)
    publish(tmp_path / "out", net, LINEAR)
    x, noise = batch((1, 8, 8))
    with torch.no_grad():
        torch.testing.assert_close(adopt(tmp_path / "out").net(x, noise), net(x, noise), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "shape", "process", "said"),
    [
        (
            SmallUNet(width=8),
            (1, 9, 9),
            LINEAR,
            "out holds a small_unet, which autophage adopts; only unet and dit load",
        ),
        (MLP(width=8), (2,), {"noise": "edm", "sigma_max": 80.0}, "out holds a mlp, which autophage adopts"),
        (TINY, (1, 8, 8), {"noise": "edm"}, r"subfolder unet\), without a pipeline: its process is no chain"),
        (TINY, (1, 9, 8), LINEAR, "without a pipeline: a pipeline cannot pad its sides"),
        (
            SMALL_DIT,
            (1, 8, 8),
            LINEAR,
            r"subfolder transformer\), without a pipeline: diffusers has no pipeline for a dit",
        ),
    ],
    ids=["small_unet", "mlp", "continuous", "padded", "dit"],
)
@pytest.mark.parametrize("classes", [None, 2], ids=["plain", "classes"])
def test_every_kind_goes_out_and_in(
    network: Network,
    shape: tuple[int, ...],
    process: dict[str, Any],
    said: str,
    classes: int | None,
    tmp_path: Path,
) -> None:
    net = built(network, shape, classes)
    told = publish(tmp_path / "out", net, process)
    assert (
        re.search(said, told)
        and told.replace("out", "this folder", 1) in (tmp_path / "out" / "README.md").read_text()
    )
    back = adopt(tmp_path / "out", shape=shape, classes=classes)
    assert (back.network, back.shape, back.classes) == (network, shape, classes)
    assert back.process == (chain(process) if "timesteps" in process else process)
    x, noise = batch(shape)
    label = None if classes is None else torch.tensor([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(back.net(x, noise, label), net(x, noise, label))


def test_a_conditional_unet_loads_in_diffusers_with_its_labels(tmp_path: Path) -> None:
    net = built(TINY, classes=2)
    said = publish(tmp_path / "out", net, LINEAR)
    assert (
        said
        == "out loads in diffusers: DDIMPipeline.from_pretrained holds unet and scheduler, and unet takes class_labels"
    )
    unet = diffusers.DDIMPipeline.from_pretrained(tmp_path / "out").unet
    x, noise = batch((1, 8, 8))
    label = torch.tensor([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(unet(x, noise, class_labels=label).sample, net(x, noise, label))


def test_a_published_transformer_loads_in_diffusers(tmp_path: Path) -> None:
    net = built(SMALL_DIT, classes=2)
    publish(tmp_path / "out", net, LINEAR)
    model = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "out", subfolder="transformer").eval()
    x, noise = batch((1, 8, 8))
    label = torch.tensor([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(model(x, noise, class_labels=label).sample, net(x, noise, label))
        (tmp_path / "out" / RECORD).unlink()
        foreign = adopt(tmp_path / "out" / "transformer", shape=(1, 8, 8), classes=2)
        assert torch.equal(foreign.net(x, noise, label), net(x, noise, label))
        assert foreign.process == {} and foreign.network == network_from(
            json.loads(json.dumps(foreign.network.body()))
        )


def test_generation_zero_from_a_checkpoint(tmp_path: Path) -> None:
    """`from_pretrained` gives its weights; what is stored afterwards needs the folder no more."""
    model = theirs(tmp_path / "in", diffusers.DDPMScheduler())
    net = UNet(from_pretrained=str(tmp_path / "in")).build((1, 8, 8), 1, None, Key(0))
    x, noise = batch((1, 8, 8))
    with torch.no_grad():
        assert torch.equal(net(x, noise), model(x, noise).sample)
    body = json.loads(json.dumps(net.network.body()))
    assert body["from_pretrained"] is None
    again = network_from(body).build((1, 8, 8), 1, None, Key(1))
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(x, noise), net(x, noise))
    with pytest.raises(SpecError, match="has 1 output channels and classes: None; 2 and None are needed"):
        UNet(from_pretrained=str(tmp_path / "in")).build((1, 8, 8), 2, None, Key(0))


def test_an_early_pipeline_in_one_folder(tmp_path: Path) -> None:
    """Pipelines of the first releases have no folders inside, and the older weights file."""
    model = theirs(tmp_path / "in")
    (tmp_path / "in" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "in" / "diffusion_pytorch_model.bin")
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    (tmp_path / "in" / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"} | parts))
    early = {"_class_name": "DDPMScheduler", "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    early |= {
        "num_train_timesteps": 1000,
        "clip_sample": True,
        "variance_type": "fixed_large",
        "trained_betas": None,
    }
    (tmp_path / "in" / "scheduler_config.json").write_text(json.dumps(early))
    found = adopt(tmp_path / "in")
    assert found.process == {
        "timesteps": 1000,
        "schedule": "linear",
        "prediction": "epsilon",
        "variance": "fixed_large",
        "clip_sample": True,
        "timestep_spacing": "leading",
        "beta_start": 1e-4,
        "beta_end": 0.02,
    }
    x, noise = batch((1, 8, 8))
    with torch.no_grad():
        assert torch.equal(found.net(x, noise), model(x, noise).sample)


def test_classes_of_somebody_elses_unet(tmp_path: Path) -> None:
    model = theirs(tmp_path / "in", diffusers.DDPMScheduler(), num_class_embeds=4)
    x, noise = batch((1, 8, 8))
    label = torch.tensor([0, 1, 3])
    with torch.no_grad():
        expected = model(x, noise, class_labels=label).sample
        every, three = adopt(tmp_path / "in"), adopt(tmp_path / "in", classes=3)
        assert every.classes == 4 and three.classes == 3
        assert torch.equal(every.net(x, noise, label), expected) and torch.equal(
            three.net(x, noise, label), expected
        )
        rows = every.net.model.class_embedding.weight  # type: ignore[union-attr]
        torch.testing.assert_close(rows[4], rows[:4].mean(0))
        assert torch.equal(three.net(x, noise), model(x, noise, class_labels=torch.full((3,), 3)).sample)
        publish(tmp_path / "out", every.net, every.process)
        assert torch.equal(adopt(tmp_path / "out", classes=4).net(x, noise, label), expected)
    with pytest.raises(SpecError, match="has 4 class embeddings; the data have 7 classes"):
        adopt(tmp_path / "in", classes=7)
    with pytest.raises(SpecError, match="has classes: 4; the data have 3"):
        adopt(tmp_path / "out", classes=3)


def test_a_folder_whose_unet_learned_variances(tmp_path: Path) -> None:
    theirs(tmp_path / "in", diffusers.DDIMScheduler(), out_channels=2)
    assert adopt(tmp_path / "in").process["variance"] == "learned_range"
    theirs(tmp_path / "three", diffusers.DDIMScheduler(), out_channels=3)
    with pytest.raises(SpecError, match="makes 3 channels of 1"):
        adopt(tmp_path / "three")


# What cannot be adopted or published


def test_latent_and_unknown_pipelines_are_refused(tmp_path: Path) -> None:
    theirs(tmp_path / "in", diffusers.DDPMScheduler())
    index = tmp_path / "in" / "model_index.json"
    before = index.read_text()
    rewrite(index, vae=["diffusers", "AutoencoderKL"])
    with pytest.raises(
        SpecError,
        match="is made of scheduler, unet, vae; only one of a UNet2DModel or DiTTransformer2DModel on",
    ):
        adopt(tmp_path / "in")
    index.write_text(before)
    rewrite(index, unet=["diffusers", "UNet2DConditionModel"])
    with pytest.raises(SpecError, match="can be run"):
        adopt(tmp_path / "in")
    index.write_text(before)
    rewrite(tmp_path / "in" / "unet" / "config.json", _class_name="UNet1DModel")
    with pytest.raises(
        SpecError, match="is a UNet1DModel; only UNet2DModel and DiTTransformer2DModel can be run"
    ):
        adopt(tmp_path / "in")


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"neither a folder nor a hub id \(owner/name\)"):
        adopt(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"holds neither model_index\.json nor config\.json"):
        adopt(tmp_path / "empty")
    theirs(tmp_path / "in", diffusers.DDPMScheduler())
    with pytest.raises(SpecError, match="is for records of 1 x 8 x 8 numbers; the data's are 3 x 32 x 32"):
        adopt(tmp_path / "in", shape=(3, 32, 32))
    weights = tmp_path / "in" / "unet" / "diffusion_pytorch_model.safetensors"
    some = load_file(weights)
    save_file({k: v for k, v in some.items() if k != "conv_in.bias"}, weights)
    with pytest.raises(SpecError, match=r"lacks weights: conv_in\.bias"):
        adopt(tmp_path / "in")
    weights.write_bytes(b"short")
    with pytest.raises(SpecError, match="cannot be loaded"):
        adopt(tmp_path / "in")
    weights.unlink()
    with pytest.raises(SpecError, match="cannot be loaded"):
        adopt(tmp_path / "in")
    (tmp_path / "in" / "model_index.json").write_text("{")
    with pytest.raises(SpecError, match=r"model_index\.json cannot be read"):
        adopt(tmp_path / "in")


@pytest.mark.parametrize("damage", ["weights", "record", "keys"])
def test_a_damaged_folder_of_ours_is_refused(damage: str, tmp_path: Path) -> None:
    publish(tmp_path / "out", built(SmallUNet(width=8)), LINEAR)
    if damage == "weights":
        (tmp_path / "out" / "network.safetensors").write_bytes(b"")
    elif damage == "record":
        (tmp_path / "out" / RECORD).write_text("{}")
    else:
        rewrite(tmp_path / "out" / RECORD, out_channels=3)
    with pytest.raises(SpecError, match="is damaged"):
        adopt(tmp_path / "out")


def test_the_hub_is_asked_last_and_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *a, **k: (_ for _ in ()).throw(OSError("no route"))
    )
    with pytest.raises(
        SpecError, match="nobody/nothing is no folder here, and the hub does not give it: no route"
    ):
        adopt("nobody/nothing")


def test_a_checkpoint_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration is fetched before the weights, which are not fetched in vain."""
    theirs(tmp_path / "in", diffusers.DDPMScheduler())
    asked = []

    def given(hub_id: str, allow_patterns: list[str]) -> str:
        asked.append((hub_id, allow_patterns))
        return str(tmp_path / "in")

    monkeypatch.setattr("huggingface_hub.snapshot_download", given)
    assert adopt("owner/name").shape == (1, 8, 8)
    assert asked == [("owner/name", ["*.json"]), ("owner/name", ["unet/*.json", "unet/*.safetensors"])]
    asked.clear()
    rewrite(tmp_path / "in" / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    with pytest.raises(SpecError, match="vae"):
        adopt("owner/name")
    assert asked == [("owner/name", ["*.json"])]


def test_a_taken_folder_stays_as_it_is(tmp_path: Path) -> None:
    net = built(MLP(width=4), (2,))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("x")
    with pytest.raises(RunError, match="taken cannot be written: it exists already; name a new folder"):
        publish(tmp_path / "taken", net, {})
    assert [p.name for p in tmp_path.rglob("*")] == ["taken", "mine"]
    (tmp_path / "free").mkdir()
    publish(tmp_path / "free", net, {})
    assert adopt(tmp_path / "free").process == {}


def test_a_full_disk_leaves_no_half_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autophage.networks.checkpoints.save_file", full)
    with pytest.raises(RunError, match="out cannot be written: No space left on device"):
        publish(tmp_path / "out", built(MLP(width=4), (2,)), {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_of_ours_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="only networks of autophage can be published; this is a Linear"):
        publish(tmp_path / "out", torch.nn.Linear(1, 1), LINEAR)
    with pytest.raises(
        SpecError, match="process.variance is fixed_small, but the network gives 2 channels for 1"
    ):
        publish(tmp_path / "out", built(TINY, halves=2), LINEAR)


# Processes


@pytest.mark.parametrize(
    "facts", [*PROCESSES, {"timesteps": 1000}, {"timesteps": 1000, "schedule": "cosine"}], ids=str
)
def test_betas_are_those_of_diffusers(facts: dict[str, Any]) -> None:
    scheduler = diffusers.DDPMScheduler(
        **{k: v for k, v in to_scheduler(facts).items() if k not in ("set_alpha_to_one",)}
    )
    np.testing.assert_allclose(betas(facts), scheduler.betas.numpy(), rtol=2e-5, atol=1e-9)
    stated = json.loads(scheduler.to_json_string())
    assert from_scheduler(stated) == chain(facts)


def test_schedules_are_recognised_by_their_betas() -> None:
    for facts in PROCESSES:
        found = schedule_of(betas(facts))
        np.testing.assert_allclose(betas(found), betas(facts), rtol=1e-10)
    assert [schedule_of(betas(facts))["schedule"] for facts in PROCESSES] == [
        "linear",
        "cosine",
        "betas",
        "linear",
    ]


def test_the_cosine_schedule_is_that_of_its_paper() -> None:
    """abar_k = f(k + 1) / f(0) of Nichol and Dhariwal (2021), equation 17, until beta reaches its bound."""
    kept = np.cumprod(1 - betas({"timesteps": 100, "schedule": "cosine"}))
    f = [math.cos((k / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(101)]
    np.testing.assert_allclose(kept[:99], np.array(f[1:100]) / f[0], rtol=1e-10)
    assert kept[99] == pytest.approx(kept[98] * 0.001)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timesteps": 0}, "process.timesteps is 0"),
        ({"timesteps": 2.5}, "process.timesteps is 2.5"),
        ({"schedule": "sigmoid"}, "process.schedule is 'sigmoid'; it must be one of: linear"),
        ({"prediction": "v"}, "process.prediction is 'v'; it must be one of: epsilon, v_prediction, sample"),
        ({"variance": "learned"}, "process.variance is 'learned'"),
        ({"timestep_spacing": "random"}, "process.timestep_spacing is 'random'"),
        ({"clip_sample": 1}, "process.clip_sample is 1"),
        ({"beta_end": float("nan")}, "process.beta_end is nan"),
        ({"beta_start": -1.0}, "process.beta_start is -1.0"),
        ({"beta_end": 1.5}, "must lie below 1"),
        ({"betas": [0.1]}, "process.betas is not known with schedule linear"),
        ({"guidance": 1.0}, "process.guidance is not known"),
        ({"schedule": "betas", "betas": [0.1, 0.2]}, "process.betas holds 2 numbers; 50"),
        ({"schedule": "betas", "betas": [1.0] * 50}, r"in \(0, 1\) are needed"),
        ({"schedule": "betas"}, "process.betas is empty"),
    ],
    ids=[f"{i}" for i in range(15)],
)
def test_facts_that_do_not_hold_together(change: dict[str, Any], said: str) -> None:
    facts = {"timesteps": 50} | change
    with pytest.raises(SpecError, match=said):
        chain(facts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "scheduler is ScoreSdeVeScheduler; only chains of steps"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "only chains of steps"),
        ({"thresholding": True}, "sets thresholding, which is not supported"),
        ({"rescale_betas_zero_snr": True}, "sets rescale_betas_zero_snr"),
        ({"clip_sample": True, "clip_sample_range": 2.0}, "sets clip_sample_range"),
        ({"beta_schedule": "laplace"}, "beta_schedule is 'laplace'; known are linear"),
        ({"prediction_type": "flow_prediction"}, "process.prediction is 'flow_prediction'"),
        ({"variance_type": "learned"}, "process.variance is 'learned'"),
    ],
    ids=[f"{i}" for i in range(8)],
)
def test_schedulers_that_cannot_be_continued(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        from_scheduler({"_class_name": "DDPMScheduler"} | change)


def test_another_time_embedding_is_refused(tmp_path: Path) -> None:
    theirs(tmp_path / "in", diffusers.DDPMScheduler(), time_embedding_type="fourier")
    with pytest.raises(SpecError, match="has time_embedding_type fourier and class_embed_type None"):
        adopt(tmp_path / "in")
