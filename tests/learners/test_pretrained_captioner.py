"""Captioners from checkpoints: refusals here need no transformers; what trains is slow, on tiny networks with random weights that
are made in the test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.tiny_checkpoints import WORDS, tiny_blip, tiny_blip2, tiny_blip2_t5, tiny_git, tiny_vit_gpt2

from autophage.data.digits import DigitsSource
from autophage.data.two_moons import TwoMoonsSource
from autophage.errors import DataError, FitFailed, MissingExtra, RunError, SpecError
from autophage.intake import part
from autophage.keys import Key
from autophage.learners.pretrained_captioner import PretrainedCaptioner, pictures
from autophage.learners.record_spaces import Pictures
from autophage.networks import captioning
from autophage.parts import Sampling
from autophage.registry import find
from autophage.runs.run import run
from autophage.samples import Samples

SIDES = np.array(["left", "right"])
MAKERS = {
    "blip": tiny_blip,
    "blip-2": tiny_blip2,
    "blip-2 on T5": tiny_blip2_t5,
    "git": tiny_git,
    "vision-encoder-decoder": tiny_vit_gpt2,
}
GREEDY = Sampling(decoding="greedy", budget=8)


def records(n: int = 64) -> Samples:
    """Pictures with a bright half that is red or blue, and captions that say so."""
    draw = np.random.default_rng(5)
    side, blue = draw.integers(0, 2, n), draw.integers(0, 2, n)
    x = draw.integers(0, 40, (n, 12, 12, 3), dtype=np.uint8)
    for i in range(n):
        x[i, :, 6 * side[i] : 6 * side[i] + 6, 2 * blue[i]] += 200
    said = [f"a {'blue' if b else 'red'} square on the {SIDES[s]}" for s, b in zip(side, blue, strict=True)]
    return Samples.of(x, caption=np.array(said), label=blue)


def folder_of(place: Path, kind: str) -> str:
    """A folder that says no more than what it is."""
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"model_type": kind}))
    return str(place)


# What is refused without transformers.


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"checkpoint": ""}, "folder or a hub id"),
        ({"checkpoint": "/no/such/folder"}, "neither a folder nor a hub id"),
        ({"tune": "half"}, "lora, full"),
        ({"lora": {"rank": 0}}, "learner.lora.rank"),
        ({"lora": {"alpha": -1.0}}, "learner.lora.alpha"),
        ({"lora": {"ranks": 8}}, "some of: rank, alpha, target_modules"),
        ({"max_words": 0}, "learner.max_words"),
        ({"lora": {"target_modules": []}}, "list of names"),
        ({"lora": {"rank": 4}, "tune": "full"}, "trains everything"),
        ({"batch_size": 0}, "learner.batch_size"),
    ],
)
def test_a_wrong_key_is_refused_in_one_sentence(tmp_path, keys, said):
    with pytest.raises(SpecError, match=said):
        PretrainedCaptioner(**{"checkpoint": folder_of(tmp_path / "blip", "blip"), **keys})


def test_what_is_no_captioner_is_refused_by_its_configuration(tmp_path):
    with pytest.raises(SpecError, match="type bert, no captioner; known are blip, blip-2, git"):
        PretrainedCaptioner(checkpoint=folder_of(tmp_path / "bert", "bert"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"holds no config\.json"):
        PretrainedCaptioner(checkpoint=str(tmp_path / "empty"))


def test_a_hub_id_is_not_looked_up_before_a_fit():
    assert PretrainedCaptioner(checkpoint="somebody/blip").tuning == ("somebody/blip", True, 8, 8.0, None)


def test_a_missing_extra_is_named_before_the_run(tmp_path, monkeypatch):
    learner = PretrainedCaptioner(checkpoint=folder_of(tmp_path / "blip", "blip"))
    learner.bound_to(DigitsSource(captions="classes"))
    for package in ("transformers", "peft"):
        with monkeypatch.context() as patch:
            found = {"transformers", "peft"} - {package}
            patch.setattr("importlib.util.find_spec", lambda name, found=found: name in found or None)
            with pytest.raises(
                MissingExtra, match=rf"{package}, which is not installed; install autophage\[multimodal\]"
            ):
                learner.bound_to(DigitsSource(captions="classes"))


def test_a_temperature_needs_drawn_captions(tmp_path):
    learner = PretrainedCaptioner(checkpoint=folder_of(tmp_path / "git", "git"))
    learner.check_sampling(Sampling(temperature=0.5, decoding="sample"))
    for decoding in (None, "greedy"):
        with pytest.raises(SpecError, match="for sampling.decoding: sample"):
            learner.check_sampling(Sampling(temperature=0.5, decoding=decoding))
    with pytest.raises(SpecError, match="sampling.budget is 41, but learner.max_words"):
        learner.check_sampling(Sampling(budget=41))
    assert learner.evaluations(Sampling(decoding="beam", beams=3, budget=5)) == 15


def test_records_that_are_no_pictures_or_have_no_captions_are_refused(tmp_path):
    learner = PretrainedCaptioner(checkpoint=folder_of(tmp_path / "blip", "blip"))
    with pytest.raises(FitFailed, match="carry none"):
        learner.fit(Samples.of(records().x), key=Key(0))
    with pytest.raises(FitFailed, match="needs pictures"):
        learner.space_of(Samples.of(np.zeros((20, 7)), caption=np.array(["a"] * 20)), None)
    with pytest.raises(FitFailed, match="10 or more"):
        learner.fit(records(4), key=Key(0))
    with pytest.raises(SpecError, match="learner pretrained_captioner needs pictures"):
        learner.bound_to(TwoMoonsSource())
    with pytest.raises(SpecError, match="needs records with captions"):
        learner.bound_to(DigitsSource())
    bound = learner.bound_to(DigitsSource(captions="classes"))
    with pytest.raises(FitFailed, match="no pictures of 8 x 8"):
        bound.space_of(Samples.of(np.zeros((20, 63))), None)


def test_grey_and_flat_records_become_colour_pictures():
    x = np.linspace(0, 16, 64).reshape(1, 64)
    seen = pictures(Pictures((8, 8), 0.0, 16.0, "float64"), x)
    assert seen.shape == (1, 8, 8, 3) and seen.dtype == np.uint8
    assert (seen == seen[..., :1]).all()
    np.testing.assert_array_equal(seen[0, ..., 0].ravel(), np.rint(x[0] * 255 / 16))
    flat = records(3).x.reshape(3, -1)
    np.testing.assert_array_equal(pictures(Pictures((12, 12, 3), 0.0, 255.0, "uint8"), flat), records(3).x)


def test_the_registry_knows_it():
    learner = find("learner", "pretrained_captioner")
    assert learner is PretrainedCaptioner and learner.describes and learner.needs_captions
    assert not learner.has_network  # no treatment merges weights that the model does not hold by itself


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_a_fit(tmp_path):
    code = (
        "import sys; from autophage.learners.pretrained_captioner import PretrainedCaptioner as P;"
        f"P(checkpoint={folder_of(tmp_path / 'b', 'blip')!r});"
        "print({'transformers', 'peft', 'diffusers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# What trains.


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder for each family."""
    pytest.importorskip("transformers", reason="the extra `multimodal` is not installed")
    pytest.importorskip("peft", reason="the extra `multimodal` is not installed")
    place = tmp_path_factory.mktemp("captioners")
    return {family: make(place / family) for family, make in MAKERS.items()}


def learner_on(folder: Path, **keys) -> PretrainedCaptioner:
    base = {"records": 800, "learning_rate": 0.02, "max_words": 10, "device": "cpu"}
    return PretrainedCaptioner(**{**base, "checkpoint": str(folder), **keys})


@pytest.mark.slow
@pytest.mark.parametrize("family", MAKERS)
def test_a_family_learns_captions_stores_and_restores(checkpoints, tmp_path, family):
    data, learner = records(), learner_on(checkpoints[family])
    before = learner_on(checkpoints[family], records=16, learning_rate=1e-9).fit(data, key=Key(0))
    model = learner.fit(data, key=Key(0))
    gained = model.caption_log_prob(data) - before.caption_log_prob(data)
    assert gained.mean() > 1 and (gained > 0).all()
    # Only the additions are stored, and they are what makes the difference.
    arrays = model.arrays()
    assert all(".lora_" in name for name in arrays if name != "header")
    assert sum(a.size for n, a in arrays.items() if n != "header") < 12_000
    again = learner.restore({k: v.copy() for k, v in arrays.items()})
    np.testing.assert_array_equal(again.caption_log_prob(data), model.caption_log_prob(data))
    # The same key says the same; another one, something else; and the pictures stay.
    model, again = (m.tuned(Sampling(decoding="sample", budget=8)) for m in (model, again))
    drawn = model.sample(40, key=Key(1), given=data)
    np.testing.assert_array_equal(again.sample(40, key=Key(1), given=data).caption, drawn.caption)
    assert (model.sample(40, key=Key(2), given=data).caption != drawn.caption).any()
    np.testing.assert_array_equal(drawn.x, data.x[:40])
    assert set(drawn.fields) == {"x", "caption"}
    # What is greedy is the likeliest next word in every place of our own probabilities.
    said = model.tuned(GREEDY).sample(16, key=Key(1), given=data).caption
    net = captioning.opened(learner.tuning)
    net.load(model.weights)
    ids, there = net.words(said.tolist(), 8)
    with torch.no_grad():
        told = torch.cat([ids.new_full((16, 1), net.start), ids[:, :-1]], dim=1)
        logits = net._logits(net.prepare(data.x[:16]), told)[:, -ids.shape[1] :]
    known = there.bool() & (torch.arange(ids.shape[1]) < 8)  # the budget ends a caption, not the end mark
    assert (logits.argmax(-1) == ids)[known].all()
    assert all(0 < len(c.split()) <= 8 for c in said)
    # LoRA weights load in peft, on the checkpoint.
    import transformers
    from peft import PeftModel

    assert "LoRA" in model.publish(tmp_path / "published")
    with captioning.quietly():
        kind = getattr(transformers, captioning.FAMILIES[net.family].model)
        base = kind.from_pretrained(checkpoints[family])
        theirs = PeftModel.from_pretrained(base, tmp_path / "published").eval()
    net.model = theirs
    try:
        with torch.no_grad():
            ids, there = net.words(data.caption[:16].tolist(), 10)
            found = net(net.prepare(data.x[:16]), ids, there).numpy()
    finally:
        captioning.opened.cache_clear()
    np.testing.assert_allclose(found, model.caption_log_prob(data[:16]), atol=1e-4)
    with pytest.raises(RunError, match="exists already"):
        model.publish(tmp_path / "published")


@pytest.mark.slow
def test_a_whole_captioner_learns_what_its_pictures_show(checkpoints, tmp_path):
    data = records()
    learner = learner_on(
        checkpoints["vision-encoder-decoder"], tune="full", records=4000, learning_rate=0.003
    )
    model = learner.fit(data, key=Key(0))
    right = np.mean(model.tuned(GREEDY).sample(64, key=Key(0), given=data).caption == data.caption)
    assert right > 0.9
    # It is the picture that it looks at: with those of others, the same captions are unlikely.
    swapped = Samples.of(data.x[::-1].copy(), caption=data.caption)
    other = data.caption != data.caption[::-1]
    lost = model.caption_log_prob(data)[other] - model.caption_log_prob(swapped)[other]
    assert lost.mean() > 2
    # Beams of an end that is sure find the greedy captions; a low temperature too.
    few = data[:12]
    greedy = model.tuned(GREEDY).sample(12, key=Key(0), given=few).caption
    for sampling in (
        Sampling(decoding="beam", beams=3, budget=8),
        Sampling(decoding="sample", temperature=0.05, budget=8),
    ):
        np.testing.assert_array_equal(model.tuned(sampling).sample(12, key=Key(3), given=few).caption, greedy)
    assert all(
        len(c.split()) <= 2 for c in model.tuned(Sampling(budget=2)).sample(8, key=Key(0), given=data).caption
    )
    # Published as a whole it is a checkpoint of the same kind.
    assert "VisionEncoderDecoderModel" in model.publish(tmp_path / "whole")
    next_one = learner_on(tmp_path / "whole", tune="full", records=16, learning_rate=1e-9).fit(
        data, key=Key(0)
    )
    np.testing.assert_allclose(next_one.caption_log_prob(data), model.caption_log_prob(data), atol=1e-3)


@pytest.mark.slow
def test_training_goes_on_and_repeats(checkpoints):
    data = records()
    learner = learner_on(
        checkpoints["git"], optimiser="carried", lora={"target_modules": ["query", "output.dense"]}
    )
    first, same = learner.fit(data, key=Key(0)), learner.fit(data, key=Key(0))
    assert all(torch.equal(first.weights[n], same.weights[n]) for n in first.weights)
    second = learner.fit(data, start=learner.restore(first.arrays()), key=Key(1))
    assert (second.caption_log_prob(data) > first.caption_log_prob(data)).all()
    assert float(second.optimiser["steps"]) == 2 * float(first.optimiser["steps"])
    # A model does not change when others that rest on the same checkpoint are trained.
    assert all(torch.equal(first.weights[n], same.weights[n]) for n in first.weights)
    np.testing.assert_array_equal(first.caption_log_prob(data), same.caption_log_prob(data))
    with pytest.raises(FitFailed, match="same checkpoint"):
        learner_on(checkpoints["git"]).fit(data, start=first, key=Key(0))


@pytest.mark.slow
def test_records_without_weight_teach_nothing(checkpoints):
    data = records()
    wrong = Samples.of(
        data.x, caption=np.array(["the dark circle"] * 64), weight=np.r_[np.ones(32), np.zeros(32)]
    )
    right = Samples.of(
        data.x, caption=np.r_[wrong.caption[:32], data.caption[32:]], weight=np.asarray(wrong.weight)
    )
    learner = learner_on(checkpoints["vision-encoder-decoder"], records=128)
    one, other = learner.fit(wrong, key=Key(0)), learner.fit(right, key=Key(0))
    for name, weight in one.weights.items():
        torch.testing.assert_close(weight, other.weights[name], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_what_does_not_fit_is_said(checkpoints, tmp_path):
    data, place = records(), checkpoints["vision-encoder-decoder"]
    model = learner_on(place, records=16).fit(data, key=Key(0))
    with pytest.raises(DataError, match="describes records it is given; 5 are needed and 0 are there"):
        model.sample(5, key=Key(0))
    with pytest.raises(DataError, match="64 are there"):
        model.sample(65, key=Key(0), given=data)
    with pytest.raises(DataError, match="no captions"):
        model.caption_log_prob(Samples.of(data.x))
    with pytest.raises(SpecError, match="24 places; at most 22"):
        learner_on(place, max_words=23).fit(data, key=Key(0))
    with pytest.raises(SpecError, match="no linear maps for nothing; it has c_attn"):
        learner_on(place, lora={"target_modules": ["nothing"]}).fit(data, key=Key(0))
    with pytest.raises(FitFailed, match="holds no word"):
        learner_on(place).fit(Samples.of(data.x, caption=np.array([*data.caption[1:], " "])), key=Key(0))
    # Drawn by a network that knows nothing yet, a caption still has words, and words only.
    drawn = model.tuned(Sampling(decoding="sample", budget=3)).sample(64, key=Key(0), given=data).caption
    assert {word for c in drawn for word in c.split()} <= set(WORDS) and min(map(len, drawn)) > 0
    # Another checkpoint in the same place is noticed.
    moved = tmp_path / "moved"
    learner = learner_on(tiny_vit_gpt2(moved), records=16)
    arrays = learner.fit(data, key=Key(0)).arrays()
    (moved / "config.json").write_text((moved / "config.json").read_text() + "\n")
    captioning.opened.cache_clear()
    with pytest.raises(RunError, match="another one than the model was trained on"):
        learner.restore(arrays)
    (moved / "model.safetensors").unlink()
    captioning.opened.cache_clear()
    with pytest.raises(SpecError, match="cannot be loaded"):
        learner.restore(arrays)


@pytest.mark.slow
def test_a_loop_of_its_own_captions_of_real_pictures(checkpoints):
    learner = {
        "kind": "pretrained_captioner",
        "checkpoint": str(checkpoints["vision-encoder-decoder"]),
        "records": 64,
        "learning_rate": 0.01,
        "max_words": 4,
        "start": "previous",
        "device": "cpu",
    }
    agent = {"learner": learner, "given": "real", "workflow": {"kind": "replace", "sample_size": 32}}
    spec = {
        "name": "captions",
        "seed": 0,
        "generations": 2,
        "data": {"kind": "digits", "captions": "classes"},
        "agents": {"main": {**agent, "sampling": {"decoding": "sample", "budget": 4}}},
        "evaluation_size": 40,
        "metrics": ["caption_diversity", "training"],
    }
    one, same = run(spec, pictures=False), run(spec, pictures=False)
    assert one.metrics.equals(same.metrics)
    budget = one.metrics.filter(pl.col("metric") == "training_records")["value"].to_list()
    assert budget == [64, 64]


def test_the_kind_captioner_with_a_checkpoint_is_this_one():
    for keys, said in (({"words": 3}, "unknown key 'learner.words'"), ({}, "neither a folder nor a hub id")):
        with pytest.raises(SpecError, match=said):
            part("learner", {"kind": "captioner", "checkpoint": "/nowhere", **keys}, "learner")
