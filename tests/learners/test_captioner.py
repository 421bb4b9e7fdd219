"""The captioner: what it learns and says, its decoding laws, what survives storing and a warm start, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from autophage import laws
from autophage.captions.vocabulary import Vocabulary, most_words, words_of
from autophage.data.digits import DigitsSource
from autophage.data.gaussian import GaussianSource
from autophage.data.scenes import ScenesSource
from autophage.errors import DataError, FitFailed, SpecError
from autophage.keys import Key
from autophage.learners.captioner import AT_ONCE, Captioner, CaptionerModel
from autophage.learners.record_spaces import Pictures
from autophage.networks.captioner import CaptionerArchitecture
from autophage.parts import Sampling
from autophage.samples import Samples, Segments

TINY = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "batch_size": 64,
    "warmup": 0,
    "learning_rate": 1e-2,
    "device": "cpu",
}
SIDES, HEIGHTS = np.array(["left", "right"]), np.array(["low", "middle of all", "high"])


def points(n, stream="points"):
    """Points with captions of two facts: left or right, and how high."""
    x = (Key(0) / stream).generator().uniform(-1, 1, (n, 2))
    side, height = (x[:, 0] > 0).astype(int), np.digitize(x[:, 1], [-1 / 3, 1 / 3])
    return Samples.of(x, caption=np.char.add(np.char.add(SIDES[side], " and "), HEIGHTS[height]))


@pytest.fixture(scope="module")
def learned() -> CaptionerModel:
    return Captioner(records=6000, **TINY).fit(points(600), key=Key(0))


@pytest.fixture(scope="module")
def unsure() -> CaptionerModel:
    """A model of few steps, to which many captions are likely."""
    return Captioner(records=600, **TINY).fit(points(300), key=Key(0))


def test_it_learns_what_captions_say(learned):
    new = points(400, "new")
    said = learned.sample(400, key=Key(1), given=new)
    assert (said.caption == new.caption).mean() > 0.9  # points at a border are hard to tell
    assert set(said.fields) == {"x", "caption"} and np.array_equal(said.x, new.x)


def test_the_laws_of_describers():
    laws.learner(Captioner(records=128, **TINY), points(40))


def test_provenance_and_weight_stay_with_the_record(learned):
    given = points(30)
    given = dataclasses.replace(given, generation=np.arange(30), weight=np.linspace(0, 1, 30))
    pile = Samples.join([given[:11], given[11:]])
    assert isinstance(pile.fields["x"], Segments)
    said = learned.sample(20, key=Key(0), given=pile)
    assert len(said) == 20 and np.array_equal(said.x, given.x[:20])
    assert np.array_equal(np.asarray(said.generation), np.arange(20)) and np.array_equal(
        said.weight, given.weight[:20]
    )


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(decoding="sample", temperature=2.0), Sampling(decoding="beam", beams=3)],
    ids=["greedy", "sample", "beam"],
)
def test_a_caption_does_not_depend_on_the_batch(unsure, sampling):
    n = AT_ONCE + 40
    given, model = points(n, "batches"), unsure.tuned(sampling)
    whole = model.sample(n, key=Key(2), given=given).caption
    assert np.array_equal(whole[:50], model.sample(50, key=Key(2), given=given[:50]).caption)
    assert np.array_equal(whole, model.sample(n, key=Key(2), given=given).caption)
    if sampling.decoding == "sample":
        assert not np.array_equal(whole, model.sample(n, key=Key(3), given=given).caption)


def test_decoding(unsure):
    given = points(200, "decoding")

    def said(**settings):
        return unsure.tuned(Sampling(**settings)).sample(200, key=Key(1), given=given)

    plain, searched = said(), said(decoding="beam", beams=4)
    better = unsure.caption_log_prob(searched) - unsure.caption_log_prob(plain)
    assert (better > -1e-4).all()
    assert np.array_equal(said(decoding="sample", temperature=1e-4).caption, plain.caption)
    hot = said(decoding="sample", temperature=50.0).caption
    assert len(np.unique(hot)) > 50
    for settings in ({}, {"decoding": "sample"}, {"decoding": "beam"}):
        short = said(budget=2, **settings).caption
        assert most_words(short) == 2 and min(len(words_of(c)) for c in short) >= 1


def test_probabilities_of_captions(unsure):
    given = points(AT_ONCE + 9, "probabilities")
    captions = np.unique(given.caption)
    table = unsure.caption_log_probs(given.x, captions)
    own = unsure.caption_log_prob(given)
    where = np.searchsorted(captions, given.caption)
    assert np.allclose(own, table[np.arange(len(given)), where], atol=1e-4)
    assert (np.exp(table).sum(axis=1) < 1).all()
    # By hand, from the network: the sum over words of the log of their shares.
    ids = torch.from_numpy(unsure.vocabulary.encode(given.caption[:5], unsure.architecture.length))
    x = unsure.space.enter(torch.from_numpy(given.x[:5]))
    with torch.no_grad():
        logits = unsure.net(x, ids[:, :-1]).double().numpy()
    for r in range(5):
        total = 0.0
        for t, word in enumerate(ids[r, 1:].tolist()):
            if word:
                open_to = np.delete(np.arange(logits.shape[2]), [0, 1, 2] if t == 0 else [0, 1])
                total += logits[r, t, word] - np.log(np.exp(logits[r, t, open_to]).sum())
        assert own[r] == pytest.approx(total, abs=1e-4)


def test_a_stored_model_says_the_same(unsure, tmp_path):
    given = points(60, "stored")
    arrays = unsure.arrays()
    again = Captioner(records=600, **TINY).restore(load(save(arrays)))
    assert again.vocabulary == unsure.vocabulary and again.report == unsure.report
    for sampling in (Sampling(), Sampling(decoding="sample")):
        one, two = (m.tuned(sampling).sample(60, key=Key(4), given=given).caption for m in (unsure, again))
        assert np.array_equal(one, two)
    assert np.array_equal(again.caption_log_prob(given), unsure.caption_log_prob(given))


def test_weights_count():
    """Three records in four say the same of everything, with a weight of zero: nobody listens, and their words are not known."""
    right = points(300)
    x = np.tile(right.x, (3, 1))
    wrong = Samples.of(x, caption=np.full(900, "left and low and more"), weight=0.0)
    model = Captioner(records=8000, **TINY).fit(Samples.join([right, wrong]), key=Key(0))
    assert (model.sample(300, key=Key(0), given=right).caption == right.caption).mean() > 0.8
    assert "more" not in model.vocabulary.numbers and model.architecture.length == 5 + 2


@pytest.mark.parametrize("optimiser", ["fresh", "carried"])
def test_a_fit_that_continues_keeps_its_words(unsure, optimiser):
    learner = Captioner(records=1000, optimiser=optimiser, **TINY)
    first = learner.fit(points(300), key=Key(0))
    other = points(300, "other")
    told = Samples.of(other.x, caption=np.char.add(other.caption, np.where(other.x[:, 0] > 0, " zebra", "")))
    after = learner.fit(told, start=first, key=Key(1))
    assert after.vocabulary == first.vocabulary and "zebra" not in after.vocabulary.numbers
    captions = after.sample(300, key=Key(0), given=other).caption
    assert "zebra" not in {word for c in captions for word in words_of(c)}
    assert (first.last is not None) == (optimiser == "carried")
    # From scratch the words are those of the training set: what no caption says is lost.
    left = other[other.x[:, 0] < 0]
    scratch = Captioner(records=300, **TINY).fit(left, key=Key(1))
    assert "right" not in scratch.vocabulary.numbers and "left" in scratch.vocabulary.numbers


def test_long_captions_and_rare_words_are_cut():
    given = points(40)
    model = Captioner(records=128, words=2, vocabulary=3, **TINY).fit(given, key=Key(0))
    assert model.architecture.length == 4 and model.vocabulary == Vocabulary.of(
        [c.split(" ", 2)[0] + " and" for c in given.caption], 3
    )
    assert most_words(model.sample(40, key=Key(0), given=given).caption) <= 2
    assert np.isfinite(model.caption_log_prob(given)).all()


def test_pictures_are_seen_as_such():
    source = DigitsSource(captions="classes")
    learner = Captioner(records=4000, **TINY).bound_to(source)
    model = learner.fit(source.train(), key=Key(0))
    assert isinstance(model.space, Pictures) and model.architecture.shape == (1, 8, 8)
    assert set(model.vocabulary.words) == set(source.captions_of_classes)
    said = model.sample(300, key=Key(0), given=source.reference()).caption
    assert (said == source.reference().caption[:300]).mean() > 0.5


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 64, 48), (1, 3, 5), (7,)])
def test_networks_of_every_shape(shape):
    net = CaptionerArchitecture(shape, size=11, length=5, width=24, layers=2, heads=3).build(Key(0))
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 4, 5, 6], [1, 9, 8, 2]])
    logits = net(x, ids)
    assert logits.shape == (2, 4, 11)
    # A word says nothing of those before it, and every part of a record matters.
    changed = ids.clone()
    changed[:, 2] = 7
    assert torch.allclose(net(x, changed)[:, :2], logits[:, :2], atol=1e-6)
    assert not torch.allclose(net(x, changed)[:, 2:], logits[:, 2:], atol=1e-3)
    assert not torch.allclose(net(-x, ids), logits, atol=1e-3)
    if len(shape) == 3:
        assert net.encode(x).shape[1] <= 16


@pytest.mark.parametrize(
    ("done", "kind", "match"),
    [
        (lambda: Captioner(words=0), SpecError, r"learner\.words is 0"),
        (lambda: Captioner(width=30, heads=4), SpecError, r"learner\.heads is 4, which does not divide"),
        (
            lambda: Captioner().bound_to(DigitsSource()),
            SpecError,
            r"needs records with captions; take data scenes",
        ),
        (lambda: Captioner().bound_to(GaussianSource(dim=2)), SpecError, r"needs records with captions"),
        (
            lambda: Captioner().check_sampling(Sampling(temperature=2)),
            SpecError,
            r"sampling\.temperature is for sampling\.decoding: sample",
        ),
        (
            lambda: Captioner(words=4).check_sampling(Sampling(budget=5)),
            SpecError,
            r"sampling\.budget is 5, but",
        ),
        (lambda: Captioner().fit(Samples.of(np.zeros((20, 2))), key=Key(0)), FitFailed, "carries none"),
        (
            lambda: Captioner().fit(Samples.of(np.zeros((20, 2)), caption=["--"] * 20), key=Key(0)),
            FitFailed,
            r"the caption '--' holds no word",
        ),
        (lambda: Captioner().fit(points(5), key=Key(0)), FitFailed, "10 or more records"),
    ],
)
def test_refusals(done, kind, match):
    with pytest.raises(kind, match=match):
        done()


def test_a_model_describes_only_what_it_is_given(unsure):
    with pytest.raises(DataError, match="5 are needed and 0 are there"):
        unsure.sample(5, key=Key(0))
    with pytest.raises(DataError, match="50 are needed and 40 are there"):
        unsure.sample(50, key=Key(0), given=points(40))
    with pytest.raises(DataError, match="carry none"):
        unsure.caption_log_prob(Samples.of(np.zeros((3, 2))))


@pytest.mark.slow
def test_scenes_are_learned():
    """Nine of ten attributes of held-out scenes, from twenty seconds of training."""
    source = ScenesSource(size=8000)
    model = Captioner(records=20_000, device="cpu").bound_to(source).fit(source.train(), key=Key(0))
    held = source.reference()[:1000]
    said = model.sample(1000, key=Key(1), given=held)
    right = source.attributes_of(said.caption) == source.attributes(held.x)
    assert right.mean() > 0.9 and right.mean(axis=0)[1:3].min() > 0.97
