"""What captioners say: its variety, its agreement with itself and with real captions, and the attributes that are left."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from autophage.errors import DataError, MissingExtra, SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.metrics.attribute_entropy import AttributeEntropy, attribute_entropies
from autophage.metrics.caption_accuracy import CaptionAccuracy, matches, overlap_scores, slots_right
from autophage.metrics.caption_diversity import CaptionDiversity, caption_variance, disagreement, distinct
from autophage.metrics.descriptions import Bags, decoding_as
from autophage.metrics.self_consistency import SelfConsistency
from autophage.parts import Model, Sampling
from autophage.samples import Samples

CHANCES = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
"""Of three classes (or captions), for pictures below zero and above."""
TEXTS = np.array(["a red ball", "a blue box", "a blue ball"])


class Classifier(Model):
    """Says classes by `CHANCES`, or the likeliest where it is greedy."""

    def __init__(self, chances=CHANCES, decoding: str = "sample", budget=None) -> None:
        self.chances, self.sampling = np.asarray(chances), None
        self.decoding, self.budget = decoding, budget

    def of(self, x: np.ndarray) -> np.ndarray:
        return self.chances[(x[:, 0] > 0).astype(int)]

    def tuned(self, sampling):
        made = type(self)(self.chances, sampling.decoding, sampling.budget)
        made.sampling = sampling
        return made

    def said(self, x: np.ndarray, key: Key) -> np.ndarray:
        p = self.of(x)
        if self.decoding == "greedy":
            return p.argmax(axis=1)
        return (p.cumsum(axis=1) > key.generator().random((len(x), 1))).argmax(axis=1)

    def sample(self, n, *, key, given=None):
        return Samples({**given.fields, "label": self.said(given.x[:n], key)}, *given.columns)

    def label_log_prob(self, x: np.ndarray) -> np.ndarray:
        return np.log(self.of(x))


class Captioner(Classifier):
    """The same with `TEXTS` for classes."""

    label_log_prob = None  # type: ignore[assignment]

    def sample(self, n, *, key, given=None):
        said = TEXTS[self.said(given.x[:n], key)]
        return Samples({**given.fields, "caption": said}, *given.columns)

    def caption_log_prob(self, samples: Samples) -> np.ndarray:
        return np.log(
            self.of(samples.x)[np.arange(len(samples)), np.argmax(samples.caption[:, None] == TEXTS, axis=1)]
        )


del Captioner.label_log_prob


def pictures(n: int, seed: int) -> Samples:
    """Their sign is the only thing to see; classes 0 and 2."""
    x = np.random.default_rng(seed).standard_normal((n, 1))
    label = np.where(x[:, 0] > 0, 2, 0)
    return Samples.of(x, label=label)


def captioned(n: int, seed: int) -> Samples:
    drawn = pictures(n, seed)
    return Samples.of(drawn.x, caption=TEXTS[drawn.label])


def rows(found) -> dict[str, float]:
    return {m.metric: float(m.value[0]) for m in found}


# Self-consistency


@pytest.mark.parametrize(("kind", "real"), [(Classifier, pictures), (Captioner, captioned)])
@pytest.mark.parametrize("decoding", ["sample", "greedy"])
def test_self_consistency_of_known_chances(kind, real, decoding, house):
    """Greedy: the mean of the largest chance; sampled: of the sum of squares."""
    records = real(4000, 0)
    said = kind(decoding=decoding).sample(4000, key=Key(1), given=records)
    source = house.FiniteSource(records, records)
    (mean, log) = SelfConsistency().measure(house.View(source, [said], kind()))
    above = (records.x[:, 0] > 0).mean()
    each = CHANCES.max(axis=1) if decoding == "greedy" else np.square(CHANCES).sum(axis=1)
    logs = np.log(CHANCES.max(axis=1)) if decoding == "greedy" else (CHANCES * np.log(CHANCES)).sum(axis=1)
    for found, truth in ((mean, each), (log, logs)):
        truth = truth @ [1 - above, above]
        spread = max((found.high - found.low)[0] / 3.92, 1e-9)
        assert abs(found.value[0] - truth) < 4.5 * spread
    assert set(SelfConsistency().directions.values()) == {"none"}


def test_only_agents_that_describe_agree_with_themselves(house):
    records = pictures(20, 1)
    source = house.FiniteSource(records, records)
    assert SelfConsistency().measure(house.View(source, [records], Model)) == []
    assert SelfConsistency.lacking(Classifier) == [] == SelfConsistency.lacking(Captioner)
    with pytest.raises(SpecError, match=r"self_consistency reads caption_log_prob\|label_log_prob"):
        Loop(seed=0, data="labelled_blobs", learner="class_gaussian", metrics=["self_consistency"])
    strange = Samples.of(records.x, label=np.full(20, 3))
    with pytest.raises(DataError, match="knows the classes 0 to 2, and records are labelled 3 to 3"):
        SelfConsistency().measure(house.View(source, [strange], Classifier()))
    with pytest.raises(DataError, match="gives no chances of these descriptions"):
        SelfConsistency().measure(house.View(source, [captioned(20, 2)], Classifier()))


# Diversity


def test_counts_of_words_by_hand():
    said = np.array(["a red ball", "a red ball", "a blue box", "ball"])
    bags = Bags.of(said)
    assert set(bags.words) == {"a", "red", "ball", "blue", "box"}
    assert distinct(bags, said, 1).value == 5 / 10
    assert distinct(bags, said, 2).value == 4 / 6  # a red, red ball, a blue, blue box
    assert np.isnan(distinct(Bags.of(said[3:]), said[3:], 2).value)
    assert caption_variance(bags).value == pytest.approx(np.trace(np.cov(bags.dense().T)))


def test_variance_of_classes_is_one_less_the_sum_of_squares():
    label = np.random.default_rng(3).choice(3, 500, p=[0.5, 0.3, 0.2])
    p = np.bincount(label) / 500
    found = caption_variance(Bags.of(label))
    assert found.value == pytest.approx((1 - p @ p) * 500 / 499)
    repeated = [
        caption_variance(Bags.of(np.random.default_rng(s).choice(3, 60, p=[0.5, 0.3, 0.2])))
        for s in range(400)
    ]
    values = np.array([f.value for f in repeated])
    assert abs(values.mean() - 0.62) < 4.5 * values.std() / 20  # unbiased
    assert 0.88 < np.mean([f.low <= 0.62 <= f.high for f in repeated]) <= 1
    with pytest.raises(DataError, match="at least two"):
        caption_variance(Bags.of(np.array([1])))


def test_rows_of_captions_and_of_classes(house):
    real = captioned(50, 4)
    source = house.FiniteSource(real, real)
    said = Samples.of(real.x, caption=np.array(["a red ball", "A RED BALL!"] * 25))
    found = rows(CaptionDiversity().measure(house.View(source, [said])))
    assert (
        found["vocabulary_size"] == 3 and found["caption_entropy"] == 0 and found["effective_captions"] == 1
    )
    assert found["distinct_1"] == 3 / 150 and found["caption_variance"] == 0
    assert set(found) == set(CaptionDiversity().directions) - {"caption_variance_within"}
    found = rows(CaptionDiversity().measure(house.View(source, [pictures(50, 5)])))
    assert found["vocabulary_size"] == 2 and "distinct_1" not in found
    assert (
        found["effective_captions"] == pytest.approx(np.exp(found["caption_entropy"]))
        and found["effective_captions"] < 2
    )


def test_disagreement_is_unbiased():
    """M5's captioner of K = 10 labels, e = .05, t = 20: within-picture variance .80853, from three captions of each picture."""
    K, e, t = 10, 0.05, 20
    lam = 1 - e * K / (K - 1)
    P = np.full((K, K), (1 - lam**t) / K) + lam**t * np.eye(K)
    truth = (1 - 1 / K) * (1 - lam ** (2 * t))
    assert truth == pytest.approx(0.80853, abs=1e-5) and 1 - np.square(P[0]).sum() == pytest.approx(truth)
    said = np.random.default_rng(6).choice(K, (3, 20_000), p=P[0])
    found = disagreement(said)
    assert abs(found.value - truth) < 4.5 * (found.high - found.low) / 3.92
    assert found.high - found.low < 0.02
    assert disagreement(np.array([["a", "b"], ["a", "b"]])).value == 0
    with pytest.raises(DataError, match="there is 1 of each"):
        disagreement(np.array([["a"]]))


@pytest.mark.parametrize(("kind", "real"), [(Classifier, pictures), (Captioner, captioned)])
def test_captions_of_one_picture_vary_whatever_the_loops_decoding(kind, real, house):
    """A greedy loop does not hide how unsure its captioner is: exactly for a classifier, by repeated captions otherwise."""
    records = real(600, 7)
    source = house.FiniteSource(records, records)
    model = kind(decoding="greedy")
    said = model.sample(600, key=Key(2), given=records)
    metric = CaptionDiversity(pictures=500, repeats=3)
    (found,) = (
        m for m in metric.measure(house.View(source, [said], model)) if m.metric == "caption_variance_within"
    )
    truth = (1 - np.square(CHANCES).sum(axis=1)).mean()  # half of the pictures are of either kind
    assert abs(found.value[0] - truth) < 4.5 * (found.high - found.low)[0] / 3.92
    assert found.n == 500
    certain = kind(np.eye(3)[[0, 2]] + 1e-300)
    assert rows(metric.measure(house.View(source, [said], certain)))[
        "caption_variance_within"
    ] == pytest.approx(0, abs=1e-12)
    for wrong in ({"repeats": 1}, {"pictures": 1}):
        with pytest.raises(SpecError, match=f"caption_diversity: {next(iter(wrong))}"):
            CaptionDiversity(**wrong)


# Accuracy


def test_a_captioners_accuracy_on_real_pairs(house):
    """It says class 0 below zero and class 2 above: all right; swapped chances are all wrong, whatever the loop's decoding."""
    real = pictures(300, 8)
    source = house.FiniteSource(real, real)
    view = house.View(source, [real], Classifier())
    (found,) = CaptionAccuracy().measure(view)
    assert found.metric == "caption_accuracy" and found.value == 1 and found.n == 300 and found.low[0] < 1
    view = house.View(source, [real], Classifier(CHANCES[::-1]))
    assert (
        CaptionAccuracy(most=50).measure(view)[0].value == 0
        and CaptionAccuracy(most=50).measure(view)[0].n == 50
    )
    assert CaptionAccuracy().measure(house.View(source, [real], Model)) == []
    # Its budget is kept, its decoding is not.
    model = Classifier(decoding="beam", budget=3)
    view = house.View(source, [real], model)
    view.sampler = model.tuned(Sampling(decoding="sample", budget=3))
    chosen = decoding_as(view, "greedy")
    assert (chosen.decoding, chosen.budget) == ("greedy", 3)


def test_any_of_several_references_counts(house):
    assert matches(np.array([1, 2, 2]), np.array([1, 2, 3])).value == pytest.approx(2 / 3)
    said = np.array(["A red ball", "the box", "cat"])
    assert matches(said, [["one ball", "a red, ball"], ["a box"], ["cat"]]).value == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="one description for each record"):
        matches(said, [["a"]])
    real = captioned(40, 9)
    source = house.FiniteSource(real, real)
    source.references = tuple(("something", str(c).upper()) for c in real.caption)
    assert rows(CaptionAccuracy().measure(house.View(source, [real], Captioner())))["caption_accuracy"] == 1
    source.references = tuple(("something",) for _ in real.caption)
    assert rows(CaptionAccuracy().measure(house.View(source, [real], Captioner())))["caption_accuracy"] == 0


def test_slots_count_where_the_true_caption_names_them(house):
    truth = np.array([[0, -1, 2], [1, 1, -1], [-1, -1, -1]])
    told = np.array([[0, 3, 1], [1, 1, 0], [0, 0, 0]])
    assert slots_right(told, truth).value == 0.75
    assert np.isnan(slots_right(told[2:], truth[2:]).value)
    real = captioned(60, 10)
    source = house.FiniteSource(real, real)
    source.attributes = lambda x: np.zeros((len(x), 2), int)
    source.attributes_of = lambda c: np.c_[np.char.find(c, "blue") >= 0, np.char.find(c, "ball") >= 0].astype(
        int
    )
    wrong = Captioner(np.eye(3)[[2, 1]])  # the ball is right below zero, the blue above
    found = rows(CaptionAccuracy().measure(house.View(source, [real], wrong)))
    assert found == {"caption_accuracy": 0, "caption_slot_accuracy": 0.5}


def test_bleu_and_chrf_are_sacrebleus(house, monkeypatch):
    sacrebleu = pytest.importorskip("sacrebleu")
    said = ["A dog runs on the green grass.", "two cats sleep", "a man rides a red bike"]
    refs = [
        ["a dog runs over the grass .", "The dog is running on grass."],
        ["two cats are sleeping"],
        ["a man rides a bike"],
    ]
    found = overlap_scores(said, refs)
    streams = [
        ["a dog runs over the grass .", *(r[0] for r in refs[1:])],
        ["The dog is running on grass.", None, None],
    ]
    assert found["caption_bleu"].value == pytest.approx(
        sacrebleu.corpus_bleu(said, streams, lowercase=True).score
    )
    assert 20 < found["caption_bleu"].value < 90 and 40 < found["caption_chrf"].value < 95
    perfect = overlap_scores([r[0] for r in refs], refs)
    assert perfect["caption_bleu"].value == pytest.approx(100) == perfect["caption_chrf"].value
    real = captioned(40, 11)
    source = house.FiniteSource(real, real)
    found = rows(CaptionAccuracy(bleu=True).measure(house.View(source, [real], Captioner())))
    assert found["caption_accuracy"] == 1 and found["caption_chrf"] == pytest.approx(100)
    assert set(CaptionAccuracy().directions.values()) == {"higher"}
    with pytest.raises(SpecError, match="caption_accuracy needs captions, and the data have none"):
        CaptionAccuracy(bleu=True).check(house.FiniteSource(pictures(9, 0), pictures(9, 1)))
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match="bleu needs sacrebleu"):
        CaptionAccuracy(bleu=True).check(source)


# Attributes


def test_entropies_of_attributes(house):
    even = np.arange(24)[:, None] % [2, 3, 1]
    found = attribute_entropies(even, key=Key(0))
    assert [h.value for h in found] == pytest.approx([np.log(2), np.log(3), 0])
    unread = np.where(np.arange(24)[:, None] < 12, even, -1)
    assert [h.n for h in attribute_entropies(unread, key=Key(0))] == [12, 12, 12]
    assert np.isnan(attribute_entropies(np.full((5, 1), -1), key=Key(0))[0].value)


def test_attributes_are_read_as_the_data_read_them(house):
    real = Samples.of(np.arange(48.0)[:, None])
    source = house.FiniteSource(real, real)
    with pytest.raises(
        SpecError, match="attribute_entropy reads attributes off pictures, and these data cannot"
    ):
        AttributeEntropy().check(source)
    source.attributes = lambda x: x.astype(int) % [2, 3]
    view = house.View(source, [real])
    assert rows(AttributeEntropy().measure(view)) == pytest.approx(
        {
            "attribute_entropy": np.log(6) / 2,
            "attribute_entropy_0": np.log(2),
            "attribute_entropy_1": np.log(3),
        }
    )
    source.slots = (("shape", ("disc", "box")), ("colour", ("red", "green", "blue")))
    assert set(rows(AttributeEntropy().measure(view))) == {
        "attribute_entropy",
        "attribute_entropy_shape",
        "attribute_entropy_colour",
    }


def test_scenes_are_read_exactly():
    """All 648 scenes once: the entropies of even attributes."""
    from autophage.data.scenes import ScenesSource

    source = ScenesSource(size=50)
    kinds = [len(words) for _, words in source.slots]
    every = np.stack(np.meshgrid(*map(np.arange, kinds), indexing="ij"), axis=-1).reshape(-1, 4)
    values = source.attributes(source.drawn(every))
    found = attribute_entropies(values, key=Key(0))
    assert [h.value for h in found] == pytest.approx(np.log(kinds))
