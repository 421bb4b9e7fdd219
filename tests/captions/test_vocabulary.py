"""Words and their numbers: order, round trips, cuts, refusals."""

from __future__ import annotations

import json
import string

import numpy as np
import pytest

from autophage.captions.budget import shortened
from autophage.captions.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN, Vocabulary, most_words, words_of
from autophage.errors import DataError
from autophage.keys import Key


def spoken(n, stream="captions", most=6):
    """n captions of 1 to `most` words of Zipf's law over the alphabet."""
    draw = (Key(0) / "vocabulary" / stream).generator()
    p = 1 / np.arange(1, 27)
    letters = np.array(list(string.ascii_lowercase))
    return np.array(
        [" ".join(draw.choice(letters, draw.integers(1, most + 1), p=p / p.sum())) for _ in range(n)]
    )


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog, and  a CAT.", ["a", "dog", "and", "a", "cat"]),
        ("top-left", ["top-left"]),
        ("the dog’s bowl isn't - red", ["the", "dog's", "bowl", "isn't", "red"]),
        ("sweet_pepper\n2 x 3", ["sweet", "pepper", "2", "x", "3"]),
        ("Grüße, 你好", ["grüße", "你好"]),
        ("?! -- '' _", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(caption, words):
    assert words_of(caption) == words


def test_words_stand_by_frequency_and_then_by_the_alphabet():
    v = Vocabulary.of(["b a", "b c", "c d", "c"])
    assert v.words == ("c", "b", "a", "d")
    assert v.size == SPECIAL + 4 and v.numbers == {"c": 4, "b": 5, "a": 6, "d": 7}
    assert Vocabulary.of(["b a", "b c", "c d", "c"], 2).words == ("c", "b")
    captions = spoken(2000)
    counts = np.array(
        [sum(c.split().count(word) for c in captions) for word in Vocabulary.of(captions).words]
    )
    assert (np.diff(counts) <= 0).all() and counts.sum() == sum(len(c.split()) for c in captions)
    order = (Key(0) / "order").generator().permutation(len(captions))
    assert Vocabulary.of(captions[order]) == Vocabulary.of(captions)


def test_decoding_undoes_encoding():
    captions = spoken(500)
    v = Vocabulary.of(captions)
    ids = v.encode(captions, most_words(captions) + 2)
    assert ids.dtype == np.int64 and ids.shape == (500, 8)
    assert np.array_equal(v.decode(ids), captions)
    lengths = np.array([len(c.split()) for c in captions])
    assert (ids[:, 0] == BEGIN).all() and np.array_equal((ids == END).argmax(axis=1), lengths + 1)
    assert np.array_equal((ids == PAD).sum(axis=1), 8 - lengths - 2)
    # What follows the end says nothing, and a row need not have one.
    assert v.decode([[BEGIN, 4, END, 5, 6], [4, 5, 5, 4, 4]]).tolist() == [
        v.words[0],
        " ".join(v.words[i] for i in (0, 1, 1, 0, 0)),
    ]


def test_long_captions_are_cut_and_unknown_words_left_out():
    v = Vocabulary.of(["a b c"])
    assert v.encode(["C b a c"], 5).tolist() == [[BEGIN, 6, 5, 4, END]]
    ids = v.encode(["a zebra b"], 6)
    assert ids.tolist() == [[BEGIN, 4, UNKNOWN, 5, END, PAD]] and v.decode(ids).tolist() == ["a b"]


def test_a_vocabulary_is_plain_data():
    v = Vocabulary.of(spoken(50))
    again = Vocabulary.restored(json.loads(json.dumps(v.body())))
    assert again == v and again.numbers == v.numbers


def test_no_captions_are_no_rows():
    v = Vocabulary.of(["a"])
    assert v.encode([], 4).shape == (0, 4) and v.decode(np.empty((0, 4), int)).shape == (0,)
    assert shortened([], 3).shape == (0,)


def test_captions_are_cut_after_their_budget():
    assert shortened(["A red, round ball!", "blue ball", "x"], 2).tolist() == ["A red", "blue ball", "x"]
    captions = spoken(300)
    for budget in (1, 3, 5):
        cut = shortened(captions, budget)
        assert most_words(cut) == budget
        assert all(words_of(a) == words_of(b)[:budget] for a, b in zip(cut, captions, strict=True))
    assert np.array_equal(shortened(captions, None), captions)


@pytest.mark.parametrize(
    ("done", "match"),
    [
        (lambda: Vocabulary.of(["--", "?"]), "none of 2 different captions holds a word"),
        (lambda: Vocabulary.of(["a"], 0), "1 word or more"),
        (lambda: Vocabulary.of(["a"]).encode(["a", " . "], 4), "the caption ' . ' holds no word"),
        (lambda: Vocabulary.of(["a"]).encode(["a"], 2), "2 numbers cannot hold"),
        (lambda: shortened(["a", "..."], 1), r"the caption '\.\.\.' holds no word"),
        (lambda: shortened(["a"], 0), "a budget of 0 words"),
    ],
)
def test_refusals(done, match):
    with pytest.raises(DataError, match=match):
        done()
