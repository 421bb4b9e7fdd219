"""Decoding against the enumeration of every caption that a small chain of words can say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from autophage.captions.decoding import beams, greedy, log_q, sampled
from autophage.captions.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN
from autophage.keys import Key

WORDS, MOST = 3, 3
K = SPECIAL + WORDS


def chains(n, stream, scale=2.0):
    """n records, each with a chain of its own: logits (n, K, MOST + 1, K) of the next word by the last one and the place."""
    draw = (Key(0) / "chains" / stream).generator()
    return torch.from_numpy(scale * draw.standard_normal((n, K, MOST + 1, K)))


def follow(logits):
    def following(ids, rows):
        return logits[rows, ids[:, -1], ids.shape[1] - 1]

    return following


def everything():
    """Every caption of 1 to MOST words, as ids (c, MOST + 2)."""
    found = []
    for length in range(1, MOST + 1):
        for words in product(range(SPECIAL, K), repeat=length):
            found.append([BEGIN, *words, END, *[PAD] * (MOST - length)])
    return torch.tensor(found)


def probabilities(logits):
    """log q (n, c) of every caption; one that has come to its last place must end there by the chain's own choice."""
    ids = everything()
    out = []
    for chain in logits:
        said = torch.stack([chain[ids[:, t], t] for t in range(MOST + 1)], dim=1)
        out.append(log_q(said, ids))
    return torch.stack(out), ids


def test_probabilities_are_those_of_the_chain():
    logits = chains(4, "by-hand")
    found, ids = probabilities(logits)
    for r in range(4):
        for c in (0, 5, len(ids) - 1):
            total, row = 0.0, ids[c].tolist()
            for t in range(row.index(END)):
                weights = logits[r, row[t], t].exp()
                weights[[PAD, BEGIN]] = 0
                if t == 0:
                    weights[END] = 0
                total += float((weights[row[t + 1]] / weights.sum()).log())
            assert found[r, c] == pytest.approx(total, abs=1e-12)
    # Unknown words and captions beyond the last place have the rest.
    assert (found.exp().sum(dim=1) < 1).all()


def test_greedy_takes_the_likeliest_word_each_time():
    logits = chains(50, "greedy")
    ids = greedy(follow(logits), 50, MOST)
    for r, row in enumerate(ids.tolist()):
        word = BEGIN
        for t in range(MOST):
            said = logits[r, word, t].clone()
            said[[PAD, BEGIN, UNKNOWN] + ([END] if t == 0 else [])] = -torch.inf
            word = int(said.argmax())
            assert row[t + 1] == word
            if word == END:
                break
        assert row[row.index(END) + 1 :] == [PAD] * (MOST + 1 - row.index(END))


def test_beams_that_hold_everything_find_the_likeliest_caption():
    logits = chains(60, "beams")
    found, every = probabilities(logits)
    best = every[found.argmax(dim=1)]
    assert torch.equal(beams(follow(logits), 60, MOST, width=200), best)


@pytest.mark.parametrize("width", [2, 3])
def test_beams_are_never_worse_than_greedy(width):
    logits = chains(400, "better")
    found, every = probabilities(logits)

    def of(ids):
        return found[torch.arange(400), (every[None] == ids[:, None]).all(dim=2).long().argmax(dim=1)]

    plain, searched = of(greedy(follow(logits), 400, MOST)), of(beams(follow(logits), 400, MOST, width))
    assert (searched >= plain - 1e-12).all() and (searched > plain + 1e-6).float().mean() > 0.1


def test_draws_follow_the_law():
    logits = chains(1, "law", scale=1.0)
    every = everything()
    n, temperature = 20_000, 1.0
    u = torch.from_numpy((Key(0) / "draws").generator().random((n, MOST)))
    ids = sampled(lambda ids, rows: logits[0, ids[:, -1], ids.shape[1] - 1], u, MOST, temperature)
    # A word drawn leaves unknown ones out; the last place is an end whatever the chain says.
    said = logits[0].clone()
    said[:, :, [PAD, BEGIN, UNKNOWN]] = -torch.inf
    said[:, 0, END] = -torch.inf
    p = said.log_softmax(dim=2).exp()
    expected = []
    for row in every.tolist():
        end = row.index(END)
        expected.append(np.prod([float(p[row[t], t, row[t + 1]]) for t in range(min(end, MOST))]))
    assert sum(expected) == pytest.approx(1)
    counts = (ids[:, None] == every[None]).all(dim=2).sum(dim=0).numpy()
    assert counts.sum() == n
    assert chisquare(counts, np.array(expected) * n).pvalue > 1e-6


def test_cold_draws_are_greedy_and_hot_ones_uniform():
    logits = chains(200, "temperature")
    u = torch.from_numpy((Key(0) / "uniforms").generator().random((200, MOST)))
    assert torch.equal(sampled(follow(logits), u, MOST, 1e-4), greedy(follow(logits), 200, MOST))
    n = 9000
    u = torch.from_numpy((Key(0) / "hot").generator().random((n, MOST)))
    hot = sampled(lambda ids, rows: logits[rows % 200, ids[:, -1], ids.shape[1] - 1], u, MOST, 1e6)
    assert chisquare(np.bincount(hot[:, 1].numpy(), minlength=K)[SPECIAL:]).pvalue > 1e-6


@pytest.mark.parametrize("budget", [1, 2])
def test_a_budget_is_kept_and_no_caption_is_empty(budget):
    logits = chains(100, "budget")
    u = torch.from_numpy((Key(0) / "budget").generator().random((100, budget)))
    for ids in (
        greedy(follow(logits), 100, budget),
        sampled(follow(logits), u, budget, 1.0),
        beams(follow(logits), 100, budget, 3),
    ):
        assert ids.shape == (100, budget + 2)
        words = (ids >= SPECIAL).sum(dim=1)
        assert words.min() >= 1 and words.max() == budget
        assert ((ids == END).sum(dim=1) == 1).all() and not (ids == UNKNOWN).any()
    # Beams weigh whole captions within the budget: the best of one word is the one that also ends there.
    found, every = probabilities(logits)
    within = (every >= SPECIAL).sum(dim=1) <= budget
    best = every[within][found[:, within].argmax(dim=1)][:, : budget + 2]
    assert torch.equal(beams(follow(logits), 100, budget, 200), best)
