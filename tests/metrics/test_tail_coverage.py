from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autophage.errors import DataError, SpecError
from autophage.metrics.tail_coverage import (
    TailBalls,
    TailCoverage,
    model_tail,
    rare_symbols,
    real_probabilities,
    symbol_tail,
    vector_tail,
)
from autophage.samples import Samples


def zipf(k):
    p = 1 / np.arange(1, k + 1)
    return p / p.sum()


def test_rare_symbols():
    p = zipf(1000)
    tail = rare_symbols(p)
    assert p[tail].sum() <= 0.05 < p[tail].sum() + np.delete(p, tail).min()
    assert rare_symbols(np.array([0.5, 0.5])).tolist() == [0]  # at least the rarest


def test_real_samples_score_one_whatever_their_size(rng, house):
    p = zipf(1000)
    for n, expected in ((500, 24.0), (5000, None)):
        tail = rare_symbols(p)
        seen = (1 - (1 - p[tail]) ** n).sum()
        if expected:
            assert seen == pytest.approx(expected, abs=0.05)  # the sheet's Zipf(1), K = 1000, N = 500
        found = [symbol_tail(p, rng.choice(1000, size=n, p=p)) for _ in range(300)]
        for row in zip(*found, strict=True):
            values = np.array([f.value for f in row])
            assert values.mean() == pytest.approx(1, abs=4 * values.std() / np.sqrt(300))
            assert house.coverage(row, 1.0) > 0.95 - 4 * 0.0126
            assert row[0].n == n


def test_a_lost_tail_scores_zero_and_says_how_surely(rng):
    p = zipf(1000)
    kept = np.delete(np.arange(1000), rare_symbols(p))
    found = symbol_tail(p, rng.choice(kept, size=500))
    assert found.coverage.value == found.mass_ratio.value == 0
    assert 0 < found.coverage.high < 0.5 and 0 < found.mass_ratio.high < 0.5


def test_mass_ratio_is_a_martingale_that_coverage_sees_through(rng):
    # One symbol of the tail takes all of its mass: nothing lost on average, nearly everything lost in kind.
    p = zipf(1000)
    tail = rare_symbols(p)
    q = p.copy()
    q[tail] = 0
    q[tail[0]] = p[tail].sum()
    found = [symbol_tail(p, rng.choice(1000, size=500, p=q)) for _ in range(200)]
    ratios = np.array([f.mass_ratio.value for f in found])
    assert ratios.mean() == pytest.approx(1, abs=4 * ratios.std() / np.sqrt(200))
    assert max(f.coverage.high for f in found) < 0.5


def test_what_models_can_still_say(rng):
    # Zipf(1), K = 1000, N = 500 at generation 50: replace keeps 1.25 of 24.0 rare symbols, accumulate all.
    p, n, seeds = zipf(1000), 500, 40
    first = rng.multinomial(n, p, size=seeds)
    newest, pile = first, first
    assert np.mean([t.coverage.value for t in model_tail(p, first / n, n)]) == pytest.approx(
        1, abs=4 * 0.2 / 6.3
    )
    for _ in range(50):
        newest = rng.multinomial(n, newest / n)
        pile = pile + rng.multinomial(n, pile / pile.sum(axis=1, keepdims=True))
    lost, kept = model_tail(p, newest / n, n), model_tail(p, pile / pile.sum(axis=1, keepdims=True), n)
    assert 24 * np.mean([t.coverage.value for t in lost]) == pytest.approx(1.25, abs=4 * 1.2 / 6.3)
    assert 24 * np.mean([t.coverage.value for t in kept]) == pytest.approx(24.15, abs=4 * 4.8 / 6.3)
    (true,) = model_tail(p, p[None], 10**9)
    assert (true.coverage.value, true.mass_ratio.value) == pytest.approx((1, 1))
    assert true.coverage.low == true.coverage.value == true.coverage.high


@pytest.mark.parametrize("d", [2, 12])
def test_vectors_of_the_real_law_score_one(rng, d):
    reference = rng.normal(size=(400, d))
    found = [vector_tail(reference, rng.normal(size=(200, d)), rng.normal(size=(800, d))) for _ in range(150)]
    for row in zip(*found, strict=True):
        values = np.array([f.value for f in row])
        # A ratio of two noisy shares is biased upwards by the square of the lower one's relative error.
        assert values.mean() == pytest.approx(1, abs=4 * values.std() / np.sqrt(150) + 0.05)
        assert np.mean([f.low <= 1 <= f.high for f in row]) > 0.95 - 4 * 0.0178


def test_vectors_without_tails_score_low(rng):
    reference, real = rng.normal(size=(2, 1000, 2))
    made = rng.normal(size=(3000, 2))
    centre = made[np.square(made).sum(axis=1) < 2][:1000]
    found = vector_tail(reference, centre, real)
    assert found.coverage.high < 0.5 and found.mass_ratio.high < 0.5
    assert found.coverage.n == 1000
    surplus = vector_tail(reference, np.vstack([centre] * 2), real)  # equal size is kept by leaving some out
    assert surplus.coverage.value == found.coverage.value


def test_the_tail_is_the_least_dense_share(rng):
    reference = np.vstack([rng.normal(size=(95, 2)), 50 + 20 * rng.normal(size=(5, 2))])
    tail = TailBalls(reference, mass=0.05, k=3)
    assert {tuple(c) for c in tail.centres} == {tuple(c) for c in reference[95:]}
    covered, inside = tail.hold(reference[95:97])
    assert covered.value >= 2 / 5 and inside.value == 1


def test_part_on_symbols(rng, house):
    p = zipf(50)
    truth = SimpleNamespace(probabilities=p[None])
    source = house.LawSource(lambda g, shape: g.choice(50, size=shape, p=p), domain="symbols", truth=truth)
    samples = [Samples.of(rng.choice(50, size=400, p=p)), Samples.of(np.zeros(400, np.int64))]
    rows = {m.metric: m for m in TailCoverage().measure(house.View(source, samples, replicates=2))}
    assert list(rows) == ["tail_coverage", "tail_mass_ratio"]
    assert rows["tail_coverage"].value[0] > 0.3 and rows["tail_coverage"].value[1] == 0
    assert rows["tail_coverage"].n == 400
    model = SimpleNamespace(probabilities=np.stack([p, np.eye(50)[0]]))
    (coverage, mass) = TailCoverage().measure(house.View(source, model=model, replicates=2))  # draws nothing
    assert coverage.value[0] > 1 and coverage.value[1] == 0 and coverage.n == 500
    assert mass.value.tolist() == pytest.approx([1, 0])


def test_probabilities_of_bare_records():
    known = Samples.of(np.repeat([0, 1, 3], [5, 4, 1]))
    bare = SimpleNamespace(truth=None, dim=4, train=lambda: known)
    assert real_probabilities(bare).tolist() == [0.5, 0.4, 0, 0.1]  # type: ignore[arg-type]


def test_part_on_vectors(rng, house):
    law = house.LawSource(lambda g, shape: g.normal(size=(*shape, 2)))
    good, narrow = Samples.of(rng.normal(size=(500, 2))), Samples.of(0.5 * rng.normal(size=(500, 2)))
    view = house.View(law, [good, narrow], replicates=2)
    rows = {m.metric: m for m in TailCoverage().measure(view)}
    assert rows["tail_coverage"].low[0] < 1 < rows["tail_coverage"].high[0]
    assert rows["tail_coverage"].high[1] < 0.5
    again = TailCoverage().measure(view)  # from the memo
    np.testing.assert_array_equal(again[0].value, rows["tail_coverage"].value)
    finite = house.FiniteSource(Samples.of(rng.normal(size=(300, 2))), Samples.of(rng.normal(size=(100, 2))))
    (first, _) = TailCoverage(mass=0.1).measure(house.View(finite, [good]))
    assert first.metric == "tail_coverage_m0.1" and first.n == 300  # no more than there are to compare with


def test_bad_input(rng, house):
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        symbol_tail(np.full(3, 1 / 3), np.array([0, 3]))
    with pytest.raises(DataError, match="whole numbers"):
        symbol_tail(np.full(3, 1 / 3), np.array([0.5]))
    with pytest.raises(SpecError, match="mass is 0"):
        TailCoverage(mass=0.0)
    x = rng.normal(size=(4, 2))
    with pytest.raises(SpecError, match="k is 5"):
        vector_tail(x, x, x)
    few = house.FiniteSource(Samples.of(x), Samples.of(x))
    with pytest.raises(SpecError, match="only 4 held-out"):
        TailCoverage().measure(house.View(few, [Samples.of(x)]))
