"""Vision models of `transformers` as feature spaces, on tiny ones with random weights that the tests save. Slow: importing
`transformers` takes seconds."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from autophage.errors import DataError, MissingExtra, SpecError
from autophage.keys import Key
from autophage.metrics.features import fit_features
from autophage.metrics.frechet import Frechet
from autophage.metrics.spaces.preparation import Preparation
from autophage.metrics.spaces.pretrained import AT_ONCE, Pretrained
from autophage.samples import Samples

X = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
REAL = Samples.of(X)
LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
INNER = {**LAYERS, "intermediate_size": 32}
SQUARE = {"height": 16, "width": 16}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of checkpoints by name."""
    tf = pytest.importorskip("transformers", reason="the extra `image` is not installed")
    folder = tmp_path_factory.mktemp("models")
    picture = {"image_size": 16, "patch_size": 8, **INNER}
    clip = tf.CLIPConfig(
        text_config={"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, **INNER},
        vision_config={**picture, "projection_dim": 12},
        projection_dim=12,
    )
    square = tf.ViTImageProcessorPil(size=SQUARE)
    cut = tf.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=SQUARE)
    made = {
        "ViT-tiny.v2": (tf.ViTModel(tf.ViTConfig(**picture)), square),
        "classifier": (tf.ViTForImageClassification(tf.ViTConfig(**picture)), square),
        "dinov2": (
            tf.Dinov2Model(tf.Dinov2Config(image_size=28, patch_size=14, **LAYERS)),
            tf.BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}),
        ),
        "clip": (tf.CLIPModel(clip), cut),
        "tower": (tf.CLIPVisionModelWithProjection(clip.vision_config), cut),
        "convnext": (
            tf.ConvNextModel(tf.ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])),
            tf.ConvNextImageProcessorPil(size={"shortest_edge": 384}),
        ),
        "dinov3": (tf.DINOv3ViTModel(tf.DINOv3ViTConfig(**picture)), None),
        "bert": (tf.BertModel(tf.BertConfig(vocab_size=50, **INNER)), square),
        "bare": (tf.ViTModel(tf.ViTConfig(**picture)), None),
    }
    for name, (model, processor) in made.items():
        with (Key(0) / name).globally():
            model.init_weights()
        model.save_pretrained(folder / name)
        if processor is not None:
            processor.save_pretrained(folder / name)
    settings = {"image_processor_type": "DINOv3ViTImageProcessor", "size": SQUARE, "resample": 2, **IMAGENET}
    (folder / "dinov3" / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def space(models, name: str, real: Samples = REAL) -> Pretrained:
    found = fit_features(f"transformers:{models / name}", lambda: real)
    assert isinstance(found, Pretrained)
    return found


def direct(models, name: str, loader: str):
    """What the library's own classes make of the pictures."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(models / name, backend="pil")
    model = getattr(transformers, loader).from_pretrained(models / name).eval()
    with torch.inference_mode():
        pixels = processor(images=list(X), return_tensors="pt")["pixel_values"]
        if hasattr(model, "get_image_features"):
            return model.get_image_features(pixel_values=pixels)
        return model(pixel_values=pixels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loader", "output", "width"),
    [
        ("ViT-tiny.v2", "ViTModel", "pooler_output", 16),
        ("dinov2", "Dinov2Model", "pooler_output", 16),
        ("clip", "CLIPModel", "pooler_output", 12),
        ("tower", "CLIPVisionModelWithProjection", "image_embeds", 12),
        ("convnext", "ConvNextModel", "pooler_output", 8),
    ],
)
def test_features_are_the_models_pooled_output(name, loader, output, width, models):
    found = space(models, name)(X.reshape(len(X), -1))
    assert len(X) > AT_ONCE and found.shape == (40, width) and found.dtype == np.float32
    wanted = getattr(direct(models, name, loader), output).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert np.ptp(found, axis=0).max() > 0


@pytest.mark.slow
def test_a_pooling_layer_that_is_not_in_the_checkpoint_is_not_used(models):
    """It would be random: features would differ from one load to the next."""
    first, again = (space(models, "classifier")(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    hidden = direct(models, "classifier", "ViTModel").last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(first, hidden, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_clip_is_the_same_with_and_without_its_text_tower(models):
    import transformers

    whole = transformers.CLIPModel.from_pretrained(models / "clip")
    tower = transformers.CLIPVisionModelWithProjection.from_pretrained(models / "tower")
    tower.vision_model.load_state_dict(whole.vision_model.state_dict())
    tower.visual_projection.load_state_dict(whole.visual_projection.state_dict())
    mine = space(models, "tower")
    mine.model = tower.eval()
    np.testing.assert_allclose(mine(X), space(models, "clip")(X), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_grey_pictures_of_any_range_are_their_bytes_three_times(models):
    grey = X[..., 0]
    wanted = space(models, "dinov2")(grey[..., None].repeat(3, axis=3))
    np.testing.assert_array_equal(space(models, "dinov2", Samples.of(grey))(grey), wanted)


@pytest.mark.slow
def test_a_processor_that_needs_torchvision_is_followed_without(models):
    """DINOv3: rescaled, resized with smoothing, normalised."""
    found = space(models, "dinov3")
    assert isinstance(found.prepare, Preparation) and found.prepare.kernel == "bilinear"
    import transformers

    pixels = torch.nn.functional.interpolate(
        torch.from_numpy(X).movedim(3, 1).float() / 255, (16, 16), mode="bilinear", antialias=True
    )
    mean, deviation = (torch.tensor(IMAGENET[k])[:, None, None] for k in ("image_mean", "image_std"))
    model = transformers.DINOv3ViTModel.from_pretrained(models / "dinov3").eval()
    with torch.inference_mode():
        wanted = model(pixel_values=(pixels - mean) / deviation).pooler_output.numpy()
    np.testing.assert_allclose(found(X), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
def test_preparation_against_the_librarys_own_with_pillow(models):
    """Pillow rounds to whole numbers between its two passes: up to two of 255."""
    import transformers

    own = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 14}
    )
    mine = Preparation.of(own.to_dict())
    assert mine.size == 20 and mine.crop == (16, 14) and mine.kernel == "bicubic"
    smooth = X.astype(float).mean(axis=(1, 2), keepdims=True) + np.linspace(-40, 40, 12)[:, None, None]
    pictures = np.clip(np.broadcast_to(smooth, X.shape), 0, 255).astype(np.uint8)
    wanted = own(images=list(pictures), return_tensors="pt", input_data_format="channels_last")[
        "pixel_values"
    ]
    found = mine(pictures)
    assert found.shape == wanted.shape == (40, 3, 16, 14)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2 / 255 / 0.26)


@pytest.mark.slow
def test_a_frechet_distance_carries_the_models_name(models):
    part = Frechet(features=f"transformers:{models / 'ViT-tiny.v2'}/")
    rows = part.compare(REAL, Samples.of(255 - X), key=Key(0), memo={})
    assert list(rows) == ["frechet_vit_tiny_v2"] or "frechet_vit_tiny_v2" in rows
    assert rows["frechet_vit_tiny_v2"].value > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "there is no such folder"),
        ("bert", "BertModel does not look at pictures"),
        ("bare", "image processor"),
        ("empty", "no vision model loads"),
        ("cut", "the checkpoint lacks 1 of the model's arrays, first 'layernorm.bias'"),
    ],
)
def test_what_does_not_load_is_refused_in_one_sentence(name, said, models, tmp_path):
    from safetensors.torch import load_file, save_file

    place = models / name
    if name == "empty":
        place = tmp_path
    if name == "cut":
        for file in (models / "ViT-tiny.v2").iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        arrays = load_file(tmp_path / "model.safetensors")
        del arrays["layernorm.bias"]
        save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "pt"})
        place = tmp_path
    with pytest.raises(SpecError, match="no vision model loads from there") as caught:
        Pretrained(str(place), REAL)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert "facebook/dinov2-base" in str(caught.value)


# What needs no transformers


def test_rows_are_named_after_the_last_part_of_the_path():
    assert Frechet(features="transformers:facebook/dinov2-base").row("frechet") == "frechet_dinov2_base"
    assert Frechet(features="transformers:./models/My ViT.v2/").space == "my_vit_v2"


def test_preparation_of_plain_settings():
    plain = Preparation.of({"do_resize": False, "do_normalize": False})
    pictures = X[:2]
    torch.testing.assert_close(plain(pictures), torch.from_numpy(pictures).movedim(3, 1) / 255)
    shorter = Preparation.of({"size": {"shortest_edge": 20}, "resample": 2, **IMAGENET})
    assert shorter(pictures).shape == (2, 3, 24, 20)
    cut = Preparation(crop=(4, 20))  # of 12 x 10: the middle rows, and five empty columns on each side
    found = cut(pictures)
    assert found.shape == (2, 3, 4, 20) and (found[..., :5] == 0).all() and (found[..., 15:] == 0).all()
    torch.testing.assert_close(found[..., 5:15], torch.from_numpy(pictures[:, 4:8]).movedim(3, 1) / 255)
    assert Preparation.of({"size": 7, **IMAGENET}).size == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": {"longest_edge": 3}, **IMAGENET}, "size is"),
        ({"size": 8, "resample": 4, **IMAGENET}, "kernel 4"),
        ({"size": 8}, "image_mean"),
        ({"size": 8, "do_center_crop": True, **IMAGENET}, "crop_size is None"),
    ],
    ids=["size", "kernel", "mean", "crop"],
)
def test_settings_that_cannot_be_followed(settings, said):
    with pytest.raises(ValueError, match=said):
        Preparation.of(settings)


def test_without_transformers_the_extra_is_named_before_the_run(monkeypatch):
    from autophage import Loop

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match="needs transformers.*autophage\\[image\\]"):
        Loop(
            data={"kind": "digits", "size": 50},
            learner={"kind": "gaussian", "ridge": 1.0},
            workflow="replace",
            metrics=[{"kind": "frechet", "features": "transformers:facebook/dinov2-base"}],
        )


def test_records_that_are_no_pictures():
    with pytest.raises(DataError, match="transformers needs pictures"):
        Pretrained("anything", Samples.of(np.zeros((4, 12))))
