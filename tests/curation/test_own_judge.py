"""Functions that a user brings as judges: what they may do, and in which words they fail."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation import own_judge
from autophage.curation.detector_weights import DetectorWeights
from autophage.curation.own_judge import chances_of, numbers_of
from autophage.curation.verification import Verification
from autophage.errors import FitFailed
from autophage.samples import Batch, Samples

NINE = np.arange(9.0).reshape(9, 1)


def raises(x):
    raise KeyError("no such class")


def silent(x):
    raise RuntimeError


FAILS = {
    "raises": (raises, "raises fails: KeyError: 'no such class'"),
    "silent": (silent, "silent fails: RuntimeError"),
    "count": (
        lambda x: np.ones(len(x) - 1),
        r"gave float64 of shape \(8,\) for 9 records; one number for each",
    ),
    "columns": (lambda x: np.ones((len(x), 2)), r"shape \(9, 2\) for 9 records"),
    "words": (lambda x: ["yes"] * len(x), "for 9 records; one number for each would be right"),
    "nothing": (lambda x: None, "gave object"),
    "ragged": (lambda x: [[1], [1, 2]], "fails: ValueError"),
}
NO_CHANCES = {
    "nan": (
        lambda x: np.where(x[:, 0] == 3, np.nan, 0.5),
        "gave nan for a record, and so for 1 of 9; a chance",
    ),
    "percent": (lambda x: np.full(len(x), 80.0), "gave 80 for a record, and so for 9 of 9"),
    "negative": (lambda x: -np.ones(len(x)), "gave -1 for a record"),
}


@pytest.mark.parametrize("how", [*FAILS, *NO_CHANCES])
def test_every_failure_is_a_sentence_that_names_the_function(how):
    function, words = (FAILS | NO_CHANCES)[how]
    with pytest.raises(FitFailed, match=f"the verifier .*{words}"):
        chances_of(function, "verifier", NINE)


@pytest.mark.parametrize("how", [*FAILS, *NO_CHANCES])
def test_curations_pass_the_sentence_on(how, workbench):
    function, words = (FAILS | NO_CHANCES)[how]
    context = workbench(lambda n, rng: NINE.copy())
    with pytest.raises(FitFailed, match=f"the verifier .*{words}"):
        Verification(verifier=function).apply(context.first(9), context=context)
    with pytest.raises(FitFailed, match=f"the detector .*{words}"):
        DetectorWeights(detector=function).apply(context.first(9), context=context)


def test_running_out_of_memory_is_not_the_function_s_failure():
    def greedy(x):
        raise MemoryError

    with pytest.raises(MemoryError):
        numbers_of(greedy, "reward", NINE)


def test_a_function_may_write_into_what_it_is_given():
    def clears(x):
        x[:] = 0
        return x[:, 0]

    for given in (NINE.copy(), NINE.astype(np.uint8)):
        kept = given.copy()
        assert numbers_of(clears, "reward", given).sum() == 0 and (given == kept).all()


def test_bytes_are_handed_over_as_numbers():
    seen = []
    numbers_of(lambda x: seen.append(x.dtype) or (x[:, 0] - 5), "reward", NINE.astype(np.uint8))
    assert seen == [np.float64]


def test_very_many_numbers_are_judged_in_parts(monkeypatch):
    monkeypatch.setattr(own_judge, "AT_ONCE", 8)
    sizes, x = [], np.arange(20.0).reshape(10, 2)
    found = numbers_of(lambda x, y: sizes.append(len(x)) or x[:, 0] + y, "reward", x, np.ones(10))
    assert sizes == [4, 4, 2] and (found == x[:, 0] + 1).all()


def test_answers_have_the_replicate_first():
    batch = Batch.of(np.arange(12.0).reshape(2, 3, 2))
    found = own_judge.record_by_record(batch, lambda x: x[:, 1])
    assert found.tolist() == [[1, 3, 5], [7, 9, 11]]
    assert own_judge.record_by_record(Samples.of(batch.x[1]), lambda x: x[:, 1]).tolist() == [[7, 9, 11]]
