"""Learned generators that are aligned: diffusion and flow matching with and without classes, and a pipeline of diffusers."""

from __future__ import annotations

import polars as pl
import pytest
from tests.tiny_checkpoints import tiny_stable_diffusion

import autophage
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.parts import Sampling
from autophage.processes.running import start_key
from autophage.processes.spec import ProcessSpec
from autophage.runs.folder import unnpz

TINY = {
    "records": 640,
    "batch_size": 64,
    "warmup": 64,
    "network": {"kind": "small_unet", "width": 8},
    "device": "cpu",
}


def digits(learner, **process):
    return {
        "name": "bright",
        "seed": 1,
        "generations": 3,
        "process": {
            "kind": "alignment",
            "data": "digits",
            "learner": {**TINY, **learner},
            "reward": "brightness",
            "samples": 32,
            "reference": 32,
            "steps": 5,
            "learning_rate": 1e-3,
            "features": "pca",
            **process,
        },
    }


def value(run, metric):
    return run.metrics.filter(pl.col("metric") == metric).sort("generation")["value"].to_numpy()


def model_at(run):
    """The aligned model from the newest state on disk."""
    process = run.spec.process
    place = run.folder / "replicate_0000" / f"generation_{run.spec.generations - 1:04d}" / "state.npz"
    return process.model(process.restored(unnpz(place), start_key(run.spec, 0)))


def test_a_diffusion_model_grows_brighter_goes_on_and_is_handed_out(tmp_path):
    spec = digits({"kind": "diffusion"}, method=["base"])
    run = autophage.run(spec, tmp_path / "run")
    place = tmp_path / "cut"
    autophage.run({**spec, "generations": 2}, place)
    (place / "spec.yaml").write_text(ProcessSpec.of(spec).to_yaml())
    (place / "manifest.json").unlink()
    assert autophage.run(spec, place, resume=True).metrics.equals(run.metrics)
    assert value(run, "kl_to_base")[0] == 0 and (value(run, "kl_to_base")[1:] > 0).all()
    assert len(value(run, "frechet_to_base_pca16")) == 3
    model = model_at(run)
    assert model.sample(3, key=Key(1)).flat().shape == (3, 64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["diffusion", "flow_matching"])
def test_learned_generators_obey_a_reward(kind):
    long = {"kind": kind, "records": 20_000, "warmup": 1000}
    spec = digits(long, samples=128, reference=128, steps=6, flow_noise=0.7)
    run = autophage.run({**spec, "generations": 8})
    reward = run.metrics.filter(pl.col("metric") == "reward").sort("generation")
    assert reward["low"][-1] > reward["high"][0] + 0.01
    assert (reward["value"].to_numpy()[1:] > reward["value"][0]).all()
    assert 0 < value(run, "clipped")[-1] < 1


def test_classes_are_groups_of_their_own():
    """A class that is rewarded as such raises no advantage: all of a group's samples have it."""
    learner = {"kind": "flow_matching", "labels": "use"}
    run = autophage.run({**digits(learner, group=4, method=["grpo", "pcpo-loss"]), "generations": 2})
    assert run.status == "completed" and run.spec.process.size_of_group == 4
    facts = dict(run.spec.process.facts())
    assert facts["samples of a rollout"] == "32 in groups of 4"


def test_a_checkpoint_is_the_base(tmp_path):
    spec = digits({"kind": "diffusion", "noise": "linear"})
    first = autophage.run(spec, tmp_path / "first")
    place = tmp_path / "model"
    model_at(first).publish(place)
    again = digits({"kind": "diffusion", "noise": "linear"}, checkpoint=str(place))
    run = autophage.run(again)
    # The published network is the base now, and its walks are those of the aligned one, drawn anew.
    gap = value(run, "reward")[0] - value(first, "reward")[-1]
    assert value(run, "kl_to_base")[0] == 0 and abs(gap) < 0.1


def test_guidance_and_pipelines_ask_for_prompts():
    with pytest.raises(SpecError, match="process.prompts is for text_to_image"):
        autophage.run(digits({"kind": "diffusion"}, prompts=["a digit"]))


@pytest.mark.slow
def test_an_unconditional_pipeline_of_diffusers_is_aligned(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    with Key(0).globally():
        unet = diffusers.UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4,
        )
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    spec = digits({"kind": "diffusion", "noise": "linear"}, checkpoint=str(tmp_path / "ddpm"))
    del spec["process"]["learner"]["network"]
    run = autophage.run(spec, tmp_path / "run")
    assert run.status == "completed", run.failures
    assert value(run, "native_weight_std_mean")[0] > 0 and (value(run, "kl_to_base")[1:] > 0).all()
    model_at(run).publish(tmp_path / "aligned")
    again = diffusers.DDIMPipeline.from_pretrained(tmp_path / "aligned")
    assert again(num_inference_steps=2, output_type="np").images.shape[1:3] == (8, 8)


@pytest.mark.slow
def test_a_pipeline_is_aligned_by_lora_stored_and_resumed(tmp_path):
    pytest.importorskip("diffusers")
    pytest.importorskip("peft")
    checkpoint = tiny_stable_diffusion(tmp_path / "tiny")
    spec = {
        "name": "painter",
        "seed": 1,
        "generations": 3,
        "process": {
            "kind": "alignment",
            "data": {"kind": "scenes", "size": 16},
            "learner": {
                "kind": "text_to_image",
                "checkpoint": str(checkpoint),
                "lora": {"rank": 2},
                "device": "cpu",
            },
            "reward": "brightness",
            "prompts": ["red", "blue"],
            "samples": 16,
            "group": 8,
            "reference": 16,
            "steps": 4,
            "method": ["ppo", "pcpo-loss"],
            "learning_rate": 1e-3,
            "guidance": 1.0,
            "at_once": 64,
        },
    }
    run = autophage.run(spec, tmp_path / "run")
    assert run.status == "completed", run.failures
    kl = value(run, "kl_to_base").reshape(3, 2)
    assert (kl[0] < 1e-8).all() and (kl[1:] > 0).all()
    weights = [value(run, f"native_weight_std_{what}") for what in ("least", "mean", "largest")]
    assert all(len(w) == 2 for w in weights) and (weights[0] < weights[1]).all()
    place = tmp_path / "cut"
    autophage.run({**spec, "generations": 2}, place)
    (place / "spec.yaml").write_text(ProcessSpec.of(spec).to_yaml())
    (place / "manifest.json").unlink()
    assert autophage.run(spec, place, resume=True).metrics.equals(run.metrics)
    model = model_at(run)
    painted = model.tuned(Sampling(steps=2)).sample(2, key=Key(1))
    assert set(painted.caption) <= {"red", "blue"}
    assert "load_lora_weights" in model.publish(tmp_path / "lora")
