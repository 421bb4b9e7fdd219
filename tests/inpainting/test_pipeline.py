"""Anyone's inpainting checkpoint: a tiny Stable Diffusion inpainting pipeline with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

import autophage
from autophage.errors import SpecError
from autophage.inpainting.pipeline import Pipeline
from autophage.inpainting.squares import Grid
from autophage.keys import Key

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    import torch

    place = tmp_path_factory.mktemp("tiny")
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{c}</w>" for c in "abcdefghij"), *"abcdefghij"]
    (place / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(place / "vocab.json"), str(place / "merges.txt"), model_max_length=8
    )
    torch.manual_seed(0)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            projection_dim=16,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=9,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    pipe = diffusers.StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(place / "pipe")
    return str(place / "pipe")


class Bytes:
    value_range = (0.0, 255.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pipeline_fills_the_square_alone(checkpoint, channels):
    grid = Grid(16, 16, 8)
    filler = Pipeline(model=checkpoint, steps=2, device="cpu").prepared(Bytes(), grid, key=Key(0))
    x = Key(1).generator().integers(0, 256, size=(3, 16, 16, channels)).astype(np.float64)
    squares = np.array([0, 1, 3])
    filled = filler.fill(x, squares, key=Key(2))
    mask = grid.mask(squares)[..., None]
    assert (filled[~np.broadcast_to(mask, x.shape)] == x[~np.broadcast_to(mask, x.shape)]).all()
    assert (filled != x).any() and filled.min() >= 0 and filled.max() <= 255
    assert (filler.fill(x, squares, key=Key(2)) == filled).all()
    assert (filler.fill(x, squares, key=Key(3)) != filled).any()


def test_a_run_with_a_pipeline(checkpoint, tmp_path):
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        x = (Key(i) / "x").generator().integers(0, 256, size=(16, 16, 3)).astype(np.uint8)
        Image.fromarray(x).save(folder / f"{i}.png")
    run = autophage.run(
        {
            "seed": 0,
            "generations": 2,
            "process": {
                "kind": "inpainting",
                "data": {"kind": "images", "path": str(folder)},
                "inpainter": {"kind": "pipeline", "model": checkpoint, "steps": 2, "device": "cpu"},
                "square": 8,
                "pictures": 6,
                "volume_step": 50,
                "features": "pixels",
            },
        },
        tmp_path / "run",
    )
    assert run.status == "completed" and run.findings()
    assert "data:image" in run.report().read_text()


def test_a_place_without_a_pipeline_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no inpainting pipeline"):
        Pipeline(model=str(tmp_path / "nothing")).prepared(Bytes(), Grid(16, 16, 8), key=Key(0))
