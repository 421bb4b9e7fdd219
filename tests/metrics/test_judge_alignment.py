"""Judges of what is said of records: whom they learn from, what they answer, and what is refused."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from autophage import run
from autophage.errors import DataError, FitFailed, SpecError
from autophage.loop import Loop
from autophage.metrics.descriptions import Bags, described, descriptions, plain
from autophage.metrics.judge_alignment import Exact, JudgeAlignment, Softmax, alignment
from autophage.metrics.judge_records import real_pairs
from autophage.samples import Samples

CENTRES = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
NAMES = np.array(["a red ball", "a blue box", "two green cats"])


def records(n: int, seed: int, *, captions: bool = False) -> Samples:
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=n)
    x = CENTRES[label] + rng.standard_normal((n, 2))
    return Samples.of(x, label=label, caption=NAMES[label] if captions else None)


def bayes(x: np.ndarray) -> np.ndarray:
    """The true chances of the three classes."""
    log = -np.square(x[:, None] - CENTRES).sum(axis=2) / 2
    chances = np.exp(log - log.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def eye(x, said):
    """A judge of one's own: certain of class 0."""
    return (said == 0).astype(float)


class Slots:
    """Pictures of two numbers, attributes that are their signs, captions that name some."""

    unlimited, domain, dim = False, "vectors", 2
    classes = None

    def __init__(self, caption: list[str]) -> None:
        x = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        self.real = Samples.of(x, caption=np.array(caption))

    def train(self) -> Samples:
        return self.real

    def reference(self) -> Samples:
        return self.real

    def attributes(self, x: np.ndarray) -> np.ndarray:
        return (x > 0).astype(int)

    def attributes_of(self, captions: np.ndarray) -> np.ndarray:
        words = {"left": (0, 0), "right": (0, 1), "low": (1, 0), "high": (1, 1)}
        found = np.full((len(captions), 2), -1)
        for row, caption in zip(found, captions, strict=True):
            for word in caption.split():
                if word in words:
                    row[words[word][0]] = words[word][1]
        return found


def test_captions_come_before_labels():
    both = records(9, 0, captions=True)
    assert (descriptions(both) == both.caption).all()
    assert (descriptions(records(9, 0)) == both.label).all()
    assert descriptions(Samples.of(np.zeros(3))) is None
    assert plain(np.array(["A  Red, ball!"])).tolist() == ["a red ball"]
    bags = Bags.of(np.array(["a a b", "b c", "b c"]))
    assert bags.words == ("b", "a", "c") and bags.dense().tolist() == [[1, 2, 0], [1, 0, 1], [1, 0, 1]]
    assert Bags.of(np.array(["c z"]), vocabulary=("a", "c")).dense().tolist() == [[0, 1]]
    assert Bags.of(np.array(["", "?"])).dense().shape == (2, 0)


def test_a_judge_learns_from_records_that_the_loop_does_not_use(house):
    train, held = records(100, 1), records(30, 2)
    source = house.FiniteSource(train, held)
    pairs = real_pairs(source, 40, 50, "judge_alignment")
    assert (pairs.learnt.x == train.x[50:]).all() and len(pairs.held_out) == 30
    assert len(real_pairs(source, 40, None, "judge_alignment").learnt) == 60
    assert (real_pairs(source, 40, 60, "judge_alignment").learnt.x == train.x[40:]).all()
    for used in (100, 90, 500):  # what is left is less than half of the held-out part
        pairs = real_pairs(source, used, None, "judge_alignment")
        both = np.concatenate([pairs.learnt.x, pairs.held_out.x])
        assert len(pairs.learnt) == 15 and sorted(both.tolist()) == sorted(held.x.tolist())
        assert (pairs.learnt.x == real_pairs(source, used, None, "another").learnt.x).all()


def test_a_judge_that_would_have_seen_the_loops_records_is_refused(house):
    source = house.FiniteSource(records(100, 1), records(30, 2))
    sentence = (
        "metric judge_alignment: judge_size is 61, but the loop trains on the first 40 of 100 real records, so that a judge of "
        "61 would have seen records of the loop; set workflow.initial_size to at most 39, judge_size to at most 60, or leave "
        "judge_size out"
    )
    with pytest.raises(SpecError, match=re.escape(sentence)):
        real_pairs(source, 40, 61, "judge_alignment")
    view = house.View(source, [records(20, 3)], real_size=100)
    with pytest.raises(SpecError, match="would have seen records of the loop"):
        JudgeAlignment(judge_size=10).measure(view)
    with pytest.raises(SpecError, match="would have seen"):
        JudgeAlignment(judge_size=10).check_real(source, 95)
    JudgeAlignment(judge_size=10).check_real(source, 90)
    # Another agent of the same loop uses more of them.
    view = house.View(source, [records(20, 3)], real_size=10)
    view.peers = {"other": house.View(source, [], real_size=95)}
    with pytest.raises(SpecError, match="first 95 of 100"):
        JudgeAlignment(judge_size=10).measure(view)


@pytest.mark.parametrize("captions", [False, True])
def test_the_softmax_judge_comes_to_the_true_chances(captions):
    judge = Softmax(records(20_000, 4, captions=captions), 20, 1e-5)
    drawn = records(2000, 5, captions=captions)
    said, truth = descriptions(drawn), bayes(drawn.x)[np.arange(2000), drawn.label]
    # A softmax regression contains the law of equal covariances; 9 weights of 20,000 pairs are off by 1 % of a chance on average.
    assert abs(judge(drawn.x, said) - truth).mean() < 0.01
    found = alignment(judge, drawn.x, said)
    assert found.low < truth.mean() < found.high and found.n == 2000
    # What it never saw has no chance, and wrong descriptions have the chances of others.
    strange = np.array(["a grey fish"] * 5) if captions else np.full(5, 7)
    assert (judge(drawn.x[:5], strange) == 0).all()
    every = [judge(drawn.x[:5], np.repeat(c, 5)) for c in (NAMES if captions else range(3))]
    assert np.sum(every, axis=0) == pytest.approx(np.ones(5))


def test_signs_and_capitals_of_captions_do_not_matter():
    judge = Softmax(records(300, 6, captions=True), 2, 1e-3)
    x = records(4, 7).x
    assert (judge(x, np.array(["A red ball."] * 4)) == judge(x, np.array(["a red ball"] * 4))).all()


def test_the_exact_judge_counts_named_attributes_only():
    source = Slots(["left", "right", "low", "high"])
    judge = Exact(source)
    x = source.real.x  # right high, left high, right low, left low
    said = np.array(["right high", "right high", "low", "a picture"])
    assert judge(x, said)[:3].tolist() == [1.0, 0.5, 1.0] and np.isnan(judge(x, said)[3])
    assert alignment(judge, x, said).value == pytest.approx(2.5 / 3)
    nothing = alignment(judge, x, np.array(["a picture"] * 4))
    assert np.isnan(nothing.value) and nothing.n == 0


def test_auto_reads_attributes_where_the_data_can(house):
    source = Slots(["left high", "left high", "right", "left low"])
    view = house.View(source, [source.real[np.array([0, 1, 1, 3])]], real_size=4)
    rows = {m.metric: m.value[0] for m in JudgeAlignment().measure(view)}
    assert rows["judge_alignment"] == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert set(rows) == set(JudgeAlignment().directions)
    assert [m.metric for m in JudgeAlignment(judge="exact").measure(view)] == [
        "judge_alignment_exact",
        "judge_alignment_real_exact",
    ]
    assert JudgeAlignment().directions["judge_alignment_real"] == "none"


def test_a_judge_of_ones_own(house):
    source = house.FiniteSource(records(100, 8), records(30, 9))
    made = records(50, 10)
    rows = {
        m.metric: m.value[0]
        for m in JudgeAlignment(judge=eye).measure(house.View(source, [made], real_size=50))
    }
    assert rows["judge_alignment_eye"] == (made.label == 0).mean()
    with pytest.raises(FitFailed, match="the judge <lambda> gave 3 for a record"):
        JudgeAlignment(judge=lambda x, c: np.full(len(x), 3)).measure(
            house.View(source, [made], real_size=50)
        )
    with pytest.raises(SpecError, match="judge is 'sofmax'; known: auto, softmax, exact, module:function"):
        JudgeAlignment(judge="sofmax")
    with pytest.raises(SpecError):
        JudgeAlignment(judge="nowhere:nothing")


def test_a_row_says_how_well_the_judge_does_on_real_pairs(house):
    """Fresh real pairs are judged as those that it did not learn from: within four standard errors."""
    source = house.FiniteSource(records(3000, 11), records(1000, 12))
    metric = JudgeAlignment()
    view = house.View(source, [records(1000, 13)], real_size=500)
    made, real = metric.measure(view)
    assert abs(made.value[0] - real.value[0]) < 4 * np.hypot(
        *((m.high - m.low)[0] / 3.92 for m in (made, real))
    )
    # The judge is trained once and stays: of shuffled descriptions it thinks less, of real ones the same.
    lost = view.samples[0]
    shuffled = Samples.of(lost.x, label=np.roll(lost.label, 1))
    again = metric.measure(house.View(source, [shuffled], real_size=500, memo=view.memo))
    assert again[0].value < 0.6 * made.value and again[1].value == real.value


def test_what_cannot_be_judged_is_refused(house):
    one = Samples.of(np.arange(10.0)[:, None], caption=np.array(["a cat"] * 10))
    with pytest.raises(SpecError, match="at least 2 different captions or classes, and all 10 held-out"):
        JudgeAlignment().check(house.FiniteSource(one, one))
    with pytest.raises(SpecError, match="at least 2 different descriptions, and have 1"):
        Softmax(one, 2, 1e-3)
    many = Samples.of(np.arange(300.0)[:, None], caption=np.array([f"number {i}" for i in range(300)]))
    with pytest.raises(
        SpecError, match="at most 200 captions.*300 different ones; take metric cosine_alignment"
    ):
        JudgeAlignment().check(house.FiniteSource(many, many))
    with pytest.raises(SpecError, match="at most 200 captions"):
        Softmax(many, 1, 1e-3)
    JudgeAlignment(judge=eye).check(house.FiniteSource(many, many))
    source = house.FiniteSource(records(50, 14), records(20, 15))
    with pytest.raises(SpecError, match="cannot read attributes off pictures; take softmax"):
        JudgeAlignment(judge="exact").check(source)
    with pytest.raises(DataError, match="the generated ones carry neither"):
        JudgeAlignment().measure(house.View(source, [Samples.of(np.zeros((5, 2)))], real_size=20))
    with pytest.raises(DataError, match=r"one description for each record, got \(3,\) for 4 records"):
        alignment(eye, np.zeros((4, 2)), np.zeros(3))
    with pytest.raises(DataError, match="one description for each record"):
        described(
            dataclasses.replace(records(4, 0), fields={"x": np.zeros((4, 2)), "label": np.zeros((4, 2))}), "m"
        )
    with pytest.raises(SpecError, match="needs captions or labels, and the data have none"):
        Loop(seed=0, data="gaussian", learner="gaussian", metrics=["judge_alignment"])
    for wrong in ({"judge_size": 1}, {"components": 0}, {"penalty": 0}):
        with pytest.raises(SpecError, match=f"judge_alignment: {next(iter(wrong))}"):
            JudgeAlignment(**wrong)


def test_a_loop_of_classes_is_judged_and_repeats():
    spec = {
        "seed": 3,
        "generations": 2,
        "data": {"kind": "labelled_blobs", "size": 400},
        "learner": "class_gaussian",
        "workflow": {"kind": "replace", "initial_size": 100},
        "metrics": ["judge_alignment", "caption_diversity", "within_caption_variance", "cosine_alignment"],
    }
    table = run(spec).metrics
    assert set(table["metric"]) >= {"judge_alignment", "judge_alignment_real", "cosine_alignment"}
    assert "distinct_1" not in set(table["metric"])  # classes are no sentences
    judged = table.filter(table["metric"] == "judge_alignment")["value"]
    assert (judged > 0.5).all() and (judged <= 1).all()
    assert table.equals(run(spec).metrics)
