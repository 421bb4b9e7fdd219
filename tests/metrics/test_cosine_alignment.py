"""Joint spaces of pictures and captions: the linear one against scikit-learn's, that of a tiny CLIP against transformers' own."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from autophage.errors import DataError, MissingExtra, SpecError
from autophage.keys import Key
from autophage.metrics.cosine_alignment import CosineAlignment, Linear, canonical, cosines
from autophage.metrics.spaces.pictures import SourceRecords
from autophage.samples import Samples

COLOURS, THINGS = np.array(["red", "green", "blue"]), np.array(["ball", "box", "cat", "tree"])
MIXING = np.random.default_rng(0).standard_normal((7, 10))


def records(n: int, seed: int, noise: float = 0.3) -> Samples:
    """Ten numbers that show a colour and a thing, with captions that name both."""
    rng = np.random.default_rng(seed)
    colour, thing = rng.integers(3, size=n), rng.integers(4, size=n)
    x = np.c_[np.eye(3)[colour], np.eye(4)[thing]] @ MIXING + noise * rng.standard_normal((n, 10))
    return Samples.of(x, caption=np.char.add(np.char.add(COLOURS[colour], " "), THINGS[thing]))


def wrong(records: Samples) -> Samples:
    """The captions of other pictures."""
    return Samples.of(records.x, caption=np.roll(records.caption, 1))


def test_the_correlations_are_those_of_scikit_learn():
    from sklearn.cross_decomposition import CCA

    rng = np.random.default_rng(1)
    z = rng.standard_normal((4000, 2))
    x = np.c_[z, rng.standard_normal((4000, 2))] @ rng.standard_normal((4, 4))
    y = np.c_[z * [1, -1] + [0.5, 1.5] * rng.standard_normal((4000, 2)), rng.standard_normal(4000)]
    x, y = x - x.mean(0), y - y.mean(0)
    A, B, rho = canonical(x, y, 1e-12)
    other = [
        np.corrcoef(*(s[:, i] for s in CCA(2, max_iter=2000).fit(x, y).transform(x, y)))[0, 1] for i in (0, 1)
    ]
    assert rho[:2] == pytest.approx(other, abs=1e-3)
    assert rho[2] < 4 / np.sqrt(4000) * 1.5  # nothing else is shared
    # Scores are uncorrelated, as wide as their weight, and correlated by rho.
    for z, M in ((x, A), (y, B)):
        assert np.cov((z @ M).T, ddof=0) == pytest.approx(np.diag(rho**2), abs=1e-9)
    assert ((x @ A) * (y @ B)).mean(0) == pytest.approx(rho**3, abs=1e-9)


def test_regularised_correlations_shrink():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((30, 20))
    y = rng.standard_normal((30, 20))
    x, y = x - x.mean(0), y - y.mean(0)
    free, held = (canonical(x, y, ridge)[2] for ridge in (1e-12, 1.0))
    assert free[0] > 0.999 and held[0] < 0.8  # as many numbers as records fit anything
    assert np.isfinite(canonical(np.zeros((5, 2)), np.zeros((5, 3)), 0.01)[0]).all()


def test_cosines():
    a = np.array([[1.0, 0], [1, 1], [0, 0]])
    assert cosines(a, np.array([[2.0, 0], [-3, -3], [1, 0]])).tolist() == pytest.approx([1, -1, 0])


def test_right_captions_point_the_way_of_their_pictures(house):
    source = house.FiniteSource(records(1500, 3), records(300, 4))
    made = records(400, 5)
    mixed = Samples.of(made.x, caption=np.where(np.arange(400) % 2, made.caption, wrong(made).caption))
    values = []
    for samples in (made, mixed, wrong(made)):
        rows = CosineAlignment().measure(house.View(source, [samples], real_size=500))
        values.append(rows[0].value[0])
        assert [m.metric for m in rows] == ["cosine_alignment", "cosine_alignment_real"]
    assert values[0] > 0.8 and values[0] == pytest.approx(rows[1].value[0], abs=0.05)
    assert abs(values[2]) < 0.25 and values[1] == pytest.approx((values[0] + values[2]) / 2, abs=0.1)


def test_words_not_names_count(house):
    """A caption that was never seen as a whole is understood by its words; the order of words, signs and capitals do not matter."""
    seen = records(1500, 6)
    encoders = Linear(seen[np.flatnonzero(seen.caption != "red cat")], "scaled_pca", 20, 0.01)
    x = seen.x[seen.caption == "red cat"]
    right, half, other = (
        encoders(x, np.repeat(c, len(x))).mean() for c in ("red cat", "red box", "blue box")
    )
    assert right > 0.7 and right > half + 0.2 > other + 0.4
    assert (encoders(x, np.repeat("Cat, red!", len(x))) == encoders(x, np.repeat("red cat", len(x)))).all()
    assert np.isfinite(encoders(x, np.repeat("nonsense", len(x)))).all()


def test_classes_are_words_of_their_own(house):
    rng = np.random.default_rng(7)
    label = rng.integers(3, size=600)
    real = Samples.of(np.eye(3)[label] + 0.1 * rng.standard_normal((600, 3)), label=label)
    source = house.FiniteSource(real[:500], real[500:])
    (made, _) = CosineAlignment().measure(house.View(source, [real[:100]], real_size=100))
    shifted = Samples.of(real.x[:100], label=(real.label[:100] + 1) % 3)
    (lost, _) = CosineAlignment().measure(house.View(source, [shifted], real_size=100))
    assert made.value[0] > 0.95 and lost.value[0] < 0


def test_names_and_refusals(house, monkeypatch):
    assert CosineAlignment(encoder="openai/CLIP-vit").directions == {
        "cosine_alignment_clip_vit": "higher",
        "cosine_alignment_real_clip_vit": "none",
    }
    assert CosineAlignment(features="pixels").row("cosine_alignment") == "cosine_alignment_pixels"
    for bad in ({"ridge": 0}, {"components": 0}, {"judge_size": 1}, {"prompt": "photo"}, {"features": "no"}):
        with pytest.raises(SpecError, match=next(iter(bad))):
            CosineAlignment(**bad)
    source = house.FiniteSource(records(60, 8), records(20, 9))
    with pytest.raises(SpecError, match="encoder needs pictures"):
        CosineAlignment(encoder="somewhere").check(source)
    with pytest.raises(SpecError, match="would have seen records of the loop"):
        CosineAlignment(judge_size=30).check_real(source, 40)
    with pytest.raises(DataError, match="captions with words"):
        Linear(Samples.of(np.eye(3), caption=np.array(["?", "!", ""])), "pixels", 2, 0.1)
    source.shape = (2, 5)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'autophage\[multimodal\]'"):
        CosineAlignment(encoder="somewhere").check(source)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with a tiny CLIP of random weights, its tokenizer and its processor."""
    tf = pytest.importorskip("transformers", reason="the extra `multimodal` is not installed")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    folder = tmp_path_factory.mktemp("models") / "tiny-CLIP"
    words = ["<pad>", "<s>", "</s>", "<unk>", "a", "photo", "of", *COLOURS.tolist(), *THINGS.tolist()]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    inner = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = tf.CLIPConfig(
        text_config={
            "vocab_size": 20,
            "max_position_embeddings": 8,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **inner,
        },
        vision_config={"image_size": 16, "patch_size": 8, **inner},
        projection_dim=12,
    )
    model = tf.CLIPModel(config)
    with (Key(0) / "clip").globally():
        model.init_weights()
    model.save_pretrained(folder)
    square = {"height": 16, "width": 16}
    tf.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder)
    vit = folder.parent / "vit"
    tf.ViTModel(tf.ViTConfig(image_size=16, patch_size=8, **inner)).save_pretrained(vit)
    tf.ViTImageProcessorPil(size=square).save_pretrained(vit)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "clip"
    return folder


@pytest.mark.slow
def test_two_towers_give_what_transformers_gives(clip, house):
    import torch
    import transformers as tf

    rng = np.random.default_rng(10)
    x = rng.integers(0, 256, (9, 12, 10, 3), dtype=np.uint8)
    caption = np.array(
        ["red ball", "a photo of a cat", "unheard", "a " * 30, "box", "red ball", "", "blue", "tree"]
    )
    captioned = Samples.of(x, caption=caption)
    source = house.FiniteSource(captioned, captioned)
    source.shape, source.value_range = (12, 10, 3), (0.0, 255.0)
    metric = CosineAlignment(encoder=str(clip))
    metric.check(source)
    made, real = metric.measure(house.View(source, [captioned], real_size=9))
    assert made.metric == "cosine_alignment_tiny_clip" and np.isfinite(real.value).all()

    model = tf.CLIPModel.from_pretrained(clip).eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(clip)
    processor = tf.AutoImageProcessor.from_pretrained(clip, backend="pil")
    with torch.inference_mode():
        pixels = processor(images=list(x), return_tensors="pt")["pixel_values"]
        each = []
        for picture, text in zip(
            pixels, caption.tolist(), strict=True
        ):  # one by one: padding must not matter
            out = model(
                pixel_values=picture[None],
                **tokenizer(text, truncation=True, max_length=8, return_tensors="pt"),
            )
            each.append(float((out.image_embeds * out.text_embeds).sum()))
    assert made.value[0] == pytest.approx(np.mean(each), abs=1e-5)
    # Classes are told by name, in a prompt.
    labelled = Samples.of(x, label=np.array([0, 1, 2] * 3))
    source = house.FiniteSource(labelled, labelled)
    source.shape, source.value_range, source.classes = (12, 10, 3), (0.0, 255.0), ("ball", "box", "cat")
    by_class = metric.measure(house.View(source, [labelled], real_size=9))[0].value
    told = Samples.of(x, caption=np.array(["a photo of a ball", "a photo of a box", "a photo of a cat"] * 3))
    assert by_class == pytest.approx(
        metric.measure(house.View(source, [told], real_size=9))[0].value, abs=1e-6
    )
    with pytest.raises(SpecError, match="reads no text; a model with two towers"):
        CosineAlignment(encoder=str(clip.parent / "vit")).measure(house.View(source, [labelled], real_size=9))
    assert isinstance(SourceRecords.of_source(labelled, source), SourceRecords)
