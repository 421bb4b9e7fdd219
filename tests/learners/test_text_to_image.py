"""Painters of ours: captions obeyed in shape and order, drawn by their frequencies, kept over generations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from autophage import laws
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.denoising import DenoisingModel
from autophage.learners.diffusion import Diffusion, DiffusionModel
from autophage.learners.flow_matching import FlowMatchingModel
from autophage.learners.neural import Bound
from autophage.learners.record_spaces import Pictures
from autophage.learners.text_to_image import TextToImage
from autophage.learners.told import CaptionLaw, CaptionsTold
from autophage.parts import Sampling
from autophage.samples import Samples

SHORT: dict[str, Any] = {
    "network": {"kind": "mlp", "width": 16, "blocks": 1},
    "records": 256,
    "batch_size": 32,
    "warmup": 0,
    "device": "cpu",
}
NAMES = np.array(["low and left", "high and right", "in the middle"])
MEANS = np.array([[-2.0, -2.0], [2.0, 2.0], [0.0, 0.0]])


def points(n: int = 120, shares: tuple[float, ...] = (0.5, 0.25, 0.25)) -> Samples:
    """Points of the plane, each close to where its caption says."""
    of = np.repeat(np.arange(3), (np.array(shares) * n).astype(int))
    x = MEANS[of] + 0.2 * (Key(0) / "points").generator().standard_normal((n, 2))
    return Samples.of(x, caption=NAMES[of])


@pytest.fixture(
    scope="module", params=["diffusion", {"kind": "flow_matching", "coupling": "optimal"}], ids=str
)
def painter(request: pytest.FixtureRequest) -> TextToImage:
    return TextToImage(process=request.param, **SHORT)


@pytest.fixture(scope="module")
def model(painter: TextToImage) -> DenoisingModel:
    return replace(painter, records=3200, learning_rate=5e-3).fit(points(), key=Key(0))


def drawn(model: DenoisingModel, n: int = 40, given: Samples | None = None, **sampling: Any) -> Samples:
    return model.tuned(Sampling(**{"steps": 3, **sampling})).sample(n, key=Key(1), given=given)


def test_the_laws_of_learners_hold(painter: TextToImage) -> None:
    laws.learner(replace(painter, encoder="bag"), points())


def test_given_captions_are_painted_in_their_order(model: DenoisingModel) -> None:
    given = Samples.of(np.zeros((70, 2)), caption=NAMES[np.arange(70) % 3])
    made = drawn(model, 70, given)
    assert set(made.fields) == {"x", "caption"} and made.x.shape == (70, 2)
    np.testing.assert_array_equal(made.caption, given.caption)
    np.testing.assert_array_equal(drawn(model, 20, given).x, made.x[:20])
    # The same noise under other words is another record; under the same words the same one.
    other = drawn(model, 70, Samples.of(np.zeros((70, 2)), caption=np.repeat(NAMES[0], 70)))
    same = np.arange(70) % 3 == 0
    np.testing.assert_allclose(made.x[same], other.x[same], atol=1e-5)
    assert np.median(np.abs(made.x[~same] - other.x[~same])) > 0.1
    with pytest.raises(DataError, match="8 captions are needed to paint 8 records, got 5"):
        model.sample(8, key=Key(1), given=given[:5])


def test_captions_nobody_gave_are_drawn_by_their_frequencies(model: DenoisingModel) -> None:
    few, many = drawn(model, 30), drawn(model, 100)
    np.testing.assert_array_equal(few.caption, many.caption[:30])
    np.testing.assert_array_equal(few.x, many.x[:30])
    assert model.captions is not None
    n = 40_000
    captions = model.captions.law.asked(n, Key(2), None)
    for name, share in zip(NAMES, (0.5, 0.25, 0.25), strict=True):
        assert (captions == name).mean() == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)
    # Records that carry no captions ask for none.
    labelled = Samples.of(np.zeros((30, 2)), label=np.zeros(30, int))
    np.testing.assert_array_equal(drawn(model, 30, labelled).x, few.x)


def test_weights_are_shares_of_captions_and_nothing_of_weight_zero_is_drawn(painter: TextToImage) -> None:
    data = points()
    weight = np.where(data.caption == NAMES[2], 0.0, np.where(data.caption == NAMES[0], 1.0, 6.0))
    weighted = Samples.of(data.x, caption=data.caption, weight=weight)
    law = painter.fit(weighted, key=Key(0)).captions.law
    np.testing.assert_array_equal(law.different, np.sort(NAMES))
    np.testing.assert_allclose(law.share / law.share.sum(), [0.75, 0.0, 0.25])  # 180 and 60 of 240
    assert NAMES[2] not in law.asked(5000, Key(3), None)
    only = CaptionLaw(np.array(["a", "b", "c"]), np.array([0.0, 1.0, 0.0]))
    assert set(only.asked(1000, Key(3), None)) == {"b"}


def test_no_guidance_is_guidance_zero_and_guidance_moves_records(model: DenoisingModel) -> None:
    given = points()[np.arange(40)]
    plain = drawn(model, 40, given).x
    np.testing.assert_array_equal(plain, drawn(model, 40, given, guidance=0.0).x)
    np.testing.assert_array_equal(plain, drawn(model, 40, given, guidance=0.0, guidance_decay=2.0).x)
    plain, guided, decayed = (
        drawn(model, 40, given, steps=12, **asked).x
        for asked in ({}, {"guidance": 2.0}, {"guidance": 2.0, "guidance_decay": 60.0})
    )
    assert np.abs(guided - plain).mean() > 2 * np.abs(decayed - plain).mean() > 0


def test_guidance_away_from_the_null_caption_is_the_line_through_both() -> None:
    """One Euler step of a flow: (1 + w) times what the words say, less w times what the null caption says."""
    model = TextToImage(**SHORT).fit(points(), key=Key(0))
    given = points()[np.arange(40)]
    plain, guided = (drawn_once(model, given, w) for w in (0.0, 1.5))
    null = model.tuned(Sampling(steps=1, sampler="euler"))
    null.captions = replace(model.captions)
    object.__setattr__(
        null.captions, "told", lambda captions: np.zeros((len(captions), model.told.length), int)
    )
    free = null.sample(40, key=Key(1), given=given).x
    np.testing.assert_allclose(guided, 2.5 * plain - 1.5 * free, atol=1e-4)


def drawn_once(model: DenoisingModel, given: Samples, weight: float) -> np.ndarray:
    tuned = model.tuned(Sampling(steps=1, sampler="euler", guidance=weight))
    return tuned.sample(40, key=Key(1), given=given).x


def test_a_painter_goes_on_with_its_words_and_the_newest_frequencies(
    painter: TextToImage, model: DenoisingModel
) -> None:
    new = points()
    captions = np.where(new.caption == NAMES[0], "nowhere and left", new.caption)
    later = painter.fit(Samples.of(new.x, caption=captions), start=model, key=Key(5))
    assert later.captions.vocabulary == model.captions.vocabulary and later.told == model.told
    assert "nowhere and left" in later.captions.law.different and NAMES[0] not in later.captions.law.different
    ids = later.captions.told(np.array(["nowhere and left", "low and left"]))
    assert ids[0, 1] == 3 and ids[1, 1] > 3 and (ids[0, 2:] == ids[1, 2:]).all()
    # From scratch the new word has a number of its own.
    fresh = painter.fit(Samples.of(new.x, caption=captions), key=Key(5))
    assert "nowhere" in fresh.captions.vocabulary.words


def test_restored_painters_paint_the_same(painter: TextToImage, model: DenoisingModel) -> None:
    again = painter.restore(load(save(model.arrays())))
    assert type(again) is type(model) and again.told == model.told
    first, second = drawn(model, guidance=1.0), drawn(again, guidance=1.0)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.caption, second.caption)
    classes = Diffusion(**SHORT).fit(points(), key=Key(0))
    if isinstance(model, DiffusionModel):
        with pytest.raises(SpecError, match="knows no captions"):
            painter.restore(classes.arrays())
        with pytest.raises(FitFailed, match="knows no captions"):
            painter.fit(points(), start=classes, key=Key(0))


def test_a_process_is_its_learners(painter: TextToImage, model: DenoisingModel) -> None:
    flow = painter.process != "diffusion"
    assert isinstance(model, FlowMatchingModel if flow else DiffusionModel)
    asked = Sampling(steps=7, guidance=1.0)
    assert painter.evaluations(asked) == 2 * (14 if flow else 13)
    assert painter.estimates(asked) == 7
    linear = TextToImage(process={"kind": "diffusion", "noise": "linear", "timesteps": 40}, **SHORT)
    assert linear.estimates(Sampling(sampler="ancestral")) == 40
    painter.check_sampling(Sampling(guidance=1.0, guidance_interval=(0.1, 3.0), steps=4))


def test_optimal_pairs_stay_within_a_caption() -> None:
    painter = TextToImage(process={"kind": "flow_matching", "coupling": "optimal"}, **SHORT)
    data = points()
    captions = painter.captions_of(data, None)
    records = painter._records(data, painter.space_of(data, None), None, captions, "cpu")
    group = painter.objective(records, {})._groups(np.arange(120))
    assert len(np.unique(group)) == 3
    for name in NAMES:
        assert len(np.unique(group[data.caption == name])) == 1


def test_captions_are_hidden_as_often_as_asked() -> None:
    painter = TextToImage(condition_dropout=0.25, **SHORT)
    data = points(4000)
    captions = painter.captions_of(data, None)
    records = painter._records(data, painter.space_of(data, None), None, captions, "cpu")
    _, told, _ = records.rows(np.arange(4000), Key(0).torch())
    hidden = (told == 0).all(dim=1).numpy()
    assert hidden.mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)
    np.testing.assert_array_equal(told.numpy()[~hidden], captions.told(data.caption)[~hidden])


def test_only_the_first_words_are_told_where_that_is_asked() -> None:
    data = points()
    law = CaptionLaw.of(data.caption)
    two = CaptionsTold.of(data.caption, law, 2, "bag")
    assert two.length == 4 and CaptionsTold.of(data.caption, law, None, "bag").length == 5
    ids = two.told(np.array(["low and left", "low and right"]))
    np.testing.assert_array_equal(ids[0], ids[1])


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (Samples.of(np.zeros((20, 2))), "carry none"),
        (Samples.of(np.zeros((20, 2)), caption=np.array(["a", "?!"] * 10)), "holds no word"),
    ],
)
def test_records_without_words_are_refused(data: Samples, wrong: str) -> None:
    with pytest.raises(FitFailed, match=wrong):
        TextToImage(**SHORT).fit(data, key=Key(0))


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"labels": "use"}, "learner.labels"),
        ({"encoder": "lstm"}, "learner.encoder is 'lstm'"),
        ({"max_words": 0}, "learner.max_words"),
        ({"process": "vae"}, "learner.process is 'vae'; it must be one of: diffusion, flow_matching"),
        ({"process": {"kind": "flow_matching", "couplin": "optimal"}}, "did you mean 'coupling'"),
        ({"process": {"kind": "flow_matching", "coupling": "best"}}, "learner.coupling is 'best'"),
        ({"process": {"kind": "diffusion", "records": 5}}, "write it as learner.records"),
        ({"network": "unet"}, "no captions; take small_unet or mlp"),
        ({"network": {"kind": "dit"}}, "no captions; take small_unet or mlp"),
        ({"tune": "full"}, "learner.tune is for a pretrained pipeline"),
        ({"checkpoint": "a/b", "encoder": "bag"}, "learner.encoder is for networks of ours"),
        ({"checkpoint": "/dev/null"}, "neither a folder nor a hub id"),
        ({"checkpoint": "a/b", "tune": "full", "lora": {"rank": 4}}, "leave one out"),
        ({"checkpoint": "a/b", "lora": {"rang": 4}}, "some of: rank, alpha"),
        ({"checkpoint": "a/b", "lora": {"rank": 0}}, "learner.lora.rank is 0"),
        ({"checkpoint": "a/b", "resolution": 4}, "learner.resolution is 4"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong):
        TextToImage(**keys)


def test_sampling_that_does_not_fit_the_process_is_refused() -> None:
    flow, chain = TextToImage(), TextToImage(process="diffusion", condition_dropout=0.0)
    with pytest.raises(SpecError, match="sampling.eta is not for this text_to_image"):
        flow.check_sampling(Sampling(eta=0.5))
    with pytest.raises(SpecError, match="condition_dropout 0"):
        chain.check_sampling(Sampling(guidance=1.0))
    with pytest.raises(SpecError, match="guidance_decay is not for this"):
        TextToImage(checkpoint="a/b").check_sampling(Sampling(guidance=1.0, guidance_decay=1.0))


def test_learning_rates_follow_what_learns() -> None:
    rates = [
        TextToImage(**k).learning_rate
        for k in ({}, {"checkpoint": "a/b"}, {"checkpoint": "a/b", "tune": "full"})
    ]
    assert rates == [1e-3, 1e-4, 1e-5] and TextToImage(learning_rate=0.5).learning_rate == 0.5


COLOURS = ("red", "green", "blue")
PLACES = ("upper left", "upper right", "lower left", "lower right")


def squares(n: int, key: Key) -> tuple[Samples, np.ndarray, np.ndarray]:
    """Pictures (n, 8, 8, 3) of one square, captioned; their colours and places."""
    generator = key.generator()
    colour, place = generator.integers(0, 3, n), generator.integers(0, 4, n)
    x = np.zeros((n, 2, 4, 2, 4, 3), np.uint8)
    x[np.arange(n), place // 2, :, place % 2, :, colour] = 255
    captions = [f"a {COLOURS[c]} square {PLACES[p]}" for c, p in zip(colour, place, strict=True)]
    return Samples.of(x.reshape(n, -1), caption=np.array(captions)), colour, place


@pytest.mark.slow
def test_a_small_painter_obeys() -> None:
    data, _, _ = squares(600, Key(0) / "training")
    given, colour, place = squares(200, Key(0) / "asked")
    space = Bound(Pictures((8, 8, 3), 0.0, 255.0, "uint8"), None)
    painter = TextToImage(records=12_000, batch_size=64, warmup=0, device="cpu")._knowing("_bound", space)
    model = painter.fit(data, key=Key(0)).tuned(Sampling(guidance=0.5, steps=8))
    x = model.sample(200, key=Key(1), given=given).x.reshape(-1, 2, 4, 2, 4, 3).astype(float)
    assert (x.sum(axis=(1, 2, 3, 4)).argmax(axis=1) == colour).mean() > 0.8
    assert (x.sum(axis=(2, 4, 5)).reshape(-1, 4).argmax(axis=1) == place).mean() > 0.8


def test_published_painters_are_taken_up_again(tmp_path: Path) -> None:
    space = Bound(Pictures((8, 8, 3), 0.0, 255.0, "uint8"), None)
    small = {**SHORT, "network": {"kind": "small_unet", "width": 8}, "records": 64}
    data, _, _ = squares(40, Key(0) / "training")
    learner = TextToImage(process="diffusion", **small)._knowing("_bound", space)
    model = learner.fit(data, key=Key(0))
    assert "holds a small_unet, which autophage adopts" in model.publish(tmp_path / "painter")
    again = learner.from_checkpoint(tmp_path / "painter")
    first, second = drawn(model, 5), drawn(again, 5)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.caption, second.caption)
    with pytest.raises(SpecError, match="is told captions; take learner text_to_image"):
        Diffusion(**small)._knowing("_bound", space).from_checkpoint(tmp_path / "painter")
    plain = Diffusion(**small)._knowing("_bound", space).fit(data, key=Key(0))
    plain.publish(tmp_path / "plain")
    with pytest.raises(SpecError, match="is told no captions"):
        learner.from_checkpoint(tmp_path / "plain")


def test_painters_are_extrapolated_away_from_one_that_went_on(
    painter: TextToImage, model: DenoisingModel
) -> None:
    later = painter.fit(points(), start=model, key=Key(5))
    moved = model.extrapolated(later, 1.0)
    made = drawn(moved, 20, points(), guidance=1.0)
    np.testing.assert_array_equal(
        drawn(painter.restore(moved.arrays()), 20, points(), guidance=1.0).x, made.x
    )
    assert (made.x != drawn(model, 20, points(), guidance=1.0).x).any()
    other = painter.fit(Samples.of(points().x, caption=np.repeat(["here", "there"], 60)), key=Key(5))
    with pytest.raises(SpecError, match="different classes or words"):
        model.extrapolated(other, 1.0)
