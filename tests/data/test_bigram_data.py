"""Tokens in contexts: the law of the pairs, the permuted rows, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from autophage import laws
from autophage.data.bigram import BigramSource
from autophage.data.categorical import CategoricalSource, Zipf
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.spec import Spec

ROWS = ((0.5, 0.0, 0.5), (0.1, 0.2, 0.7))


@pytest.mark.parametrize(
    "source",
    [
        BigramSource(rows=ROWS, weights=(0.25, 0.75)),
        BigramSource(rows=ROWS),
        BigramSource(zipf=Zipf(symbols=4, exponent=1.5), contexts=3),
        BigramSource(zipf={"symbols": 4}, weights=(0.6, 0.3, 0.1)),
    ],
    ids=["given", "equal contexts", "zipf", "zipf weighted"],
)
def test_pairs_follow_their_law(source):
    from scipy.stats import chisquare

    laws.source(source)
    n = 200_000
    truth = source.truth
    counts = np.bincount(source.draw(n, key=Key(0) / "bigram").x[0], minlength=source.dim)
    p = truth.probabilities[0]
    assert p.sum() == pytest.approx(1) and source.dim == truth.rows[0].size == truth.dim
    assert (counts[p == 0] == 0).all()
    assert chisquare(counts[p > 0], n * p[p > 0]).pvalue > 1e-6
    by_context = counts.reshape(truth.rows.shape[1:]).sum(axis=1)
    assert chisquare(by_context, n * truth.weights).pvalue > 1e-6


def test_zipf_rows_are_one_law_in_different_orders():
    source = BigramSource(zipf=Zipf(symbols=30), contexts=8)
    rows = source.truth.rows[0]
    p = Zipf(symbols=30).probabilities()
    assert np.array_equal(rows[0], p)
    assert all(np.array_equal(np.sort(row), np.sort(p)) for row in rows)
    assert len({tuple(row) for row in rows}) == 8
    assert np.array_equal(rows, BigramSource(zipf=Zipf(symbols=30), contexts=8).truth.rows[0])
    assert np.array_equal(rows[:3], BigramSource(zipf=Zipf(symbols=30), contexts=3).truth.rows[0])


def test_one_context_is_a_categorical_law():
    one, plain = BigramSource(rows=(ROWS[1],)), CategoricalSource(probabilities=ROWS[1])
    assert np.array_equal(one.draw(50, key=Key(1)).x, plain.draw(50, key=Key(1)).x)


def test_a_spec_is_written_and_read_back():
    keys = {"seed": 0, "learner": "bigram", "workflow": "replace", "metrics": []}
    spec = Spec.of(data={"kind": "bigram", "rows": [list(r) for r in ROWS], "weights": [0.25, 0.75]}, **keys)
    assert Spec.of(spec.to_dict()).digest == spec.digest
    zipf = Spec.of(data={"kind": "bigram", "zipf": {"symbols": 5}, "contexts": 4}, **keys)
    assert Spec.of(zipf.to_dict()).digest == zipf.digest and zipf.data.contexts == 4


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "exactly one of rows and zipf"),
        ({"rows": ROWS, "zipf": {"symbols": 3}}, "exactly one of rows and zipf"),
        ({"zipf": {"symbols": 3}}, "needs contexts"),
        ({"zipf": 3, "contexts": 2}, r"data\.zipf is 3"),
        ({"zipf": {"symbol": 3}, "contexts": 2}, "has the keys symbol"),
        ({"zipf": {"symbols": 3}, "contexts": 0}, r"data\.contexts is 0"),
        ({"zipf": {"symbols": 3}, "contexts": 2.5}, r"data\.contexts is 2\.5"),
        ({"zipf": {"symbols": 3}, "contexts": 2, "weights": [0.2, 0.3, 0.5]}, "contexts 2, weights 3"),
        ({"rows": ROWS, "weights": [1.0]}, "weights 1, rows 2"),
        ({"rows": ROWS, "weights": [0.5, 0.4]}, r"data\.weights sum to 0\.9"),
        ({"rows": ROWS, "weights": [1.0, 0.0]}, r"data\.weights\[1\] is 0; leave out"),
        ({"rows": ROWS, "weights": [1.5, -0.5]}, r"data\.weights\[1\] is -0\.5"),
        ({"rows": ROWS, "weights": [0.5, float("nan")]}, "not finite"),
        ({"rows": [[0.5, 0.5], [0.5, 0.5 + 1e-6]]}, r"data\.rows\[1\] sum to 1\.000001"),
        ({"rows": [[0.5, 0.5], [1.5, -0.5]]}, r"data\.rows\[1\]\[1\] is -0\.5"),
        ({"rows": [[0.5, 0.5], [1.0]]}, "rows of different lengths"),
        ({"rows": [0.5, 0.5]}, "one list for each context"),
        ({"rows": [[1.0], [1.0]]}, "two or more probabilities"),
        ({"rows": [[0.5, float("inf")]]}, "not finite"),
    ],
)
def test_bigram_refuses(settings, match):
    with pytest.raises(SpecError, match=match):
        BigramSource(**settings)


@pytest.mark.parametrize("off", [2e-8, -1e-6])
def test_a_sum_that_is_off_is_refused_not_normalised(off):
    """A.8: more than 1e-8 off one."""
    with pytest.raises(SpecError, match=r"data\.probabilities sum to .*they must sum to 1"):
        CategoricalSource(probabilities=[0.5, 0.5 + off])
    assert CategoricalSource(probabilities=[0.5, 0.5 + 5e-9]).dim == 2
