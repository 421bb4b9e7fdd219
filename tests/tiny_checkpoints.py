"""Checkpoints that the tests make: tiny networks with random weights, written as their libraries write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autophage.keys import Key

MARKS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[IMG]")
WORDS = ("a", "red", "green", "blue", "dark", "bright", "square", "circle", "on", "the", "left", "right")
SIDE = 16
LAYERS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURE = {"image_size": SIDE, "patch_size": 8, **LAYERS}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = {"vocab_size": len(MARKS) + len(WORDS), "max_position_embeddings": 24, **ENDS}


def tiny_blip(folder: Path) -> Path:
    """A BLIP captioner."""
    import transformers

    text = {**TEXT, "sep_token_id": 2, "encoder_hidden_size": 32, **LAYERS}
    config = transformers.BlipConfig(
        text_config=text, vision_config=PICTURE, projection_dim=16, image_text_hidden_size=16
    )
    return _captioner(folder, transformers.BlipForConditionalGeneration, config)


def tiny_blip2(folder: Path) -> Path:
    """A BLIP-2 captioner on an OPT."""
    import transformers

    opt = {
        "hidden_size": 32,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.Blip2Config(
        vision_config=PICTURE,
        qformer_config={"vocab_size": 10, "encoder_hidden_size": 32, **LAYERS},
        text_config={"model_type": "opt", **TEXT, **opt, "max_position_embeddings": 40},
        num_query_tokens=3,
        image_token_index=MARKS.index("[IMG]"),
    )
    return _captioner(folder, transformers.Blip2ForConditionalGeneration, config)


def tiny_blip2_t5(folder: Path) -> Path:
    """A BLIP-2 captioner on a T5, which has an encoder of its own."""
    import transformers

    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
    t5 = {"vocab_size": TEXT["vocab_size"], "decoder_start_token_id": 0, **sizes, **ENDS}
    config = transformers.Blip2Config(
        vision_config=PICTURE,
        qformer_config={"vocab_size": 10, "encoder_hidden_size": 32, **LAYERS},
        text_config={"model_type": "t5", **t5},
        num_query_tokens=3,
        image_token_index=MARKS.index("[IMG]"),
    )
    return _captioner(folder, transformers.Blip2ForConditionalGeneration, config)


def tiny_git(folder: Path) -> Path:
    """A GIT captioner."""
    import transformers

    return _captioner(
        folder, transformers.GitForCausalLM, transformers.GitConfig(vision_config=PICTURE, **TEXT, **LAYERS)
    )


def tiny_vit_gpt2(folder: Path) -> Path:
    """A ViT whose pictures a GPT-2 describes."""
    import transformers

    size = {"n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 2}
    text = transformers.GPT2Config(
        vocab_size=TEXT["vocab_size"], **size, add_cross_attention=True, is_decoder=True, **ENDS
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**PICTURE), text, decoder_start_token_id=1, pad_token_id=0, eos_token_id=2
    )
    return _captioner(folder, transformers.VisionEncoderDecoderModel, config)


def _captioner(folder: Path, kind: Any, config: Any) -> Path:
    """A model with a vocabulary of whole words and what makes pictures ready for it."""
    import tokenizers
    import transformers

    from autophage.metrics.spaces.pretrained import quietly

    vocabulary = {word: i for i, word in enumerate(MARKS + WORDS)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), MARKS, strict=False))
    with (Key(0) / kind.__name__).globally(), quietly():
        kind(config).save_pretrained(folder)
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=words, additional_special_tokens=["[IMG]"], **names
        ).save_pretrained(folder)
        transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def tiny_stable_diffusion(folder: Path, **chain: Any) -> Path:
    """A Stable Diffusion for pictures of 16 x 16 pixels, whose text encoder reads letters; `chain` are settings of its
    scheduler."""
    import diffusers
    import transformers

    from autophage.metrics.spaces.pretrained import quietly

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    ends = ("<|startoftext|>", "<|endoftext|>")
    vocabulary = {word: i for i, word in enumerate([*letters, *(f"{c}</w>" for c in letters), *ends])}
    size = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 24, **LAYERS}
    marks = {
        "bos_token_id": len(vocabulary) - 2,
        "eos_token_id": len(vocabulary) - 1,
        "pad_token_id": len(vocabulary) - 1,
    }
    with (Key(0) / "stable diffusion").globally(), quietly():
        pipeline = diffusers.StableDiffusionPipeline(
            vae=diffusers.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                latent_channels=4,
                layers_per_block=1,
                **size,
            ),
            text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**text, **marks)),
            tokenizer=transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=24),
            unet=diffusers.UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=32,
                attention_head_dim=8,
                **size,
            ),
            scheduler=diffusers.DDIMScheduler(
                clip_sample=False, set_alpha_to_one=False, steps_offset=1, **chain
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(folder)
    return folder
