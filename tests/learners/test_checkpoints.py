"""A pipeline of diffusers as generation 0, and a generation as a pipeline of diffusers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.learners.diffusion import Diffusion, DiffusionModel
from autophage.loop import Loop
from autophage.parts import Sampling
from autophage.runs.run import run
from autophage.spec import Spec

SPEC: dict[str, Any] = {
    "name": "hub",
    "seed": 1,
    "generations": 3,
    "data": {"kind": "digits", "size": 200},
    "learner": {
        "kind": "diffusion",
        "noise": "linear",
        "timesteps": 50,
        "records": 128,
        "batch_size": 32,
        "warmup": 0,
        "start": "previous",
        "device": "cpu",
    },
    "sampling": {"sampler": "ddim", "steps": 5},
    "workflow": {"kind": "replace", "sample_size": 64},
    "metrics": ["training"],
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline with random weights, as its library saves it."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    place = tmp_path_factory.mktemp("hub") / "pipeline"
    with Key(0).globally():
        net = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(16, 32),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )
    scheduler = DDIMScheduler(num_train_timesteps=50, clip_sample=False, timestep_spacing="trailing")
    DDIMPipeline(net, scheduler).save_pretrained(place, safe_serialization=True)
    return place


def pictures(place: Path, noise: torch.Tensor, steps: int) -> np.ndarray:
    """What diffusers itself makes of this noise."""
    from diffusers import DDIMPipeline

    found = DDIMPipeline.from_pretrained(place)
    found.set_progress_bar_config(disable=True)
    found.scheduler.set_timesteps(steps)
    x = noise
    with torch.no_grad():
        for t in found.scheduler.timesteps:
            x = found.scheduler.step(found.unet(x, t).sample, t, x, eta=0.0).prev_sample
    return x.numpy()


def ours(model: DiffusionModel, noise: torch.Tensor, steps: int) -> np.ndarray:
    tuned = model.tuned(Sampling(sampler="ddim", steps=steps))
    with torch.no_grad():
        return tuned.decode(noise, None, lambda step: torch.zeros_like(noise)).numpy()


@pytest.mark.slow
def test_in_as_generation_0_and_out_after_two(
    pipeline: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    noise = torch.from_numpy(Key(2).generator().standard_normal((6, 1, 8, 8), dtype=np.float32))
    spec = {**SPEC, "initial_model": {"checkpoint": str(pipeline)}}
    loop = Loop(Spec.of(spec))
    learner = loop.agents["main"].learner
    assert isinstance(learner, Diffusion)
    first = learner.initial({"checkpoint": str(pipeline)}, 64)
    assert isinstance(first, DiffusionModel)
    np.testing.assert_allclose(ours(first, noise, 5), pictures(pipeline, noise, 5), atol=2e-4)

    finished = run(spec, tmp_path / "run")
    assert finished.status == "completed"
    change = finished.metrics.filter(metric="weight_change")
    assert (
        change["generation"].to_list() == [1, 2] and (change["value"] > 0).all()
    )  # generation 0 was not fitted
    said = subprocess.run(
        [sys.executable, "-m", "autophage", "publish", str(tmp_path / "run"), "--out", str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0 and "diffusers" in said.stdout, said.stderr
    last = learner.restore(
        load((tmp_path / "run/replicate_0000/generation_0002/main/model.safetensors").read_bytes())
    )
    assert isinstance(last, DiffusionModel)
    made = pictures(tmp_path / "out", noise, 5)
    np.testing.assert_allclose(ours(last, noise, 5), made, atol=2e-4)
    assert (
        np.abs(made - pictures(pipeline, noise, 5)).max() > 1e-2
    )  # two retrainings later it is another model


@pytest.mark.slow
def test_a_pipeline_that_does_not_fit_is_refused(pipeline: Path) -> None:
    with pytest.raises(SpecError, match="neither a folder nor a hub id"):
        Loop(
            Spec.of(
                {
                    **SPEC,
                    "data": {"kind": "digits"},
                    "initial_model": {"checkpoint": str(pipeline / "nowhere")},
                }
            )
        )
    with pytest.raises(SpecError, match="has no class embeddings; the data have 10"):
        Loop(
            Spec.of(
                {
                    **SPEC,
                    "learner": {**SPEC["learner"], "labels": "use"},
                    "initial_model": {"checkpoint": str(pipeline)},
                }
            )
        )


def test_a_generation_of_a_run_is_another_runs_generation_0(tmp_path: Path) -> None:
    tiny = {
        **SPEC,
        "learner": {**SPEC["learner"], "network": {"kind": "small_unet", "width": 8}},
        "generations": 1,
    }
    run(tiny, tmp_path / "first")
    place = tmp_path / "first/replicate_0000/generation_0000/main"
    second = run({**tiny, "generations": 2, "initial_model": {"checkpoint": str(place)}}, tmp_path / "second")
    assert second.status == "completed"
    stored = [
        load((tmp_path / name / "replicate_0000/generation_0000/main/model.safetensors").read_bytes())
        for name in ("first", "second")
    ]
    assert all(np.array_equal(stored[0][k], stored[1][k]) for k in stored[0])
    with pytest.raises(SpecError, match="takes checkpoint"):
        Loop(Spec.of({**tiny, "initial_model": {"mean": 0}}))
    with pytest.raises(SpecError, match="cannot be read"):
        (tmp_path / "broken.safetensors").write_bytes(b"nothing")
        Loop(Spec.of({**tiny, "initial_model": {"checkpoint": str(tmp_path / "broken.safetensors")}}))
    with pytest.raises(SpecError, match="neither a folder nor a hub id"):
        Loop(Spec.of({**tiny, "initial_model": {"checkpoint": "no where/at all"}}))
