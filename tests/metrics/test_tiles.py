"""Float32 products with float64 answers: bounds hold, and nothing depends on tiles, precision or copies."""

from __future__ import annotations

import numpy as np
import prdc
import pytest

from autophage.metrics import shortlist as shortlists
from autophage.metrics.density_coverage import DensityCoverageMetric, density_coverage
from autophage.metrics.neighbourhoods import Ask, Neighbourhood, Neighbourhoods
from autophage.metrics.neighbours import balls, nearest
from autophage.metrics.precision_recall import PrecisionRecallMetric, precision_recall, radii
from autophage.metrics.tiles import lengths, prepare, tiles
from autophage.samples import Samples


def clouds(rng, d: int, n: int = 48) -> dict[str, np.ndarray]:
    """Sets that are hard in one way each."""
    base = rng.normal(size=(n, d))
    centres = rng.normal(size=(3, d))
    return {
        "plain": base,
        "float32": base.astype(np.float32),
        "far": base + 1e6,
        "copies": base[rng.integers(n // 6, size=n)],
        "one point": np.repeat(base[:1], n, axis=0),
        "tight": centres[rng.integers(3, size=n)] + 1e-5 * base,
        "tightest": centres[rng.integers(3, size=n)] + 1e-9 * base,
        "lattice": rng.integers(0, 3, size=(n, d)).astype(float),
        "huge": base * 1e30,
        "tiny": base * 1e-30,
        "outlier": np.vstack([base[1:], np.full((1, d), 1e25)]),
        "constant": np.zeros((n, d)),
    }


HARD = sorted(clouds(np.random.default_rng(0), 9))


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    i, j = np.divmod(np.arange(len(a) * len(b)), len(b))
    return lengths(a, i, b, j).reshape(len(a), len(b))


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("wide", [False, True])
def test_bounds_hold(rng, kind, wide):
    x = clouds(rng, 30)[kind]
    y = rng.permutation(x) + (0 if kind == "copies" else rng.normal(size=x.shape) * np.abs(x).max() * 1e-3)
    middle = x.mean(axis=0, dtype=float)
    a, b = prepare(x, middle, wide=wide), prepare(y, middle, wide=wide)
    for one, two in ((a, b), (a, a)):
        truth = apart(one.records, two.records) ** 2
        for tile in tiles(one, two, chunk=1000):
            here = truth[tile.rows, tile.columns]
            i, j = np.divmod(np.arange(here.size), here.shape[1])
            for low, high in (tile.bounds(i, j), tile.sharper(i, j)):
                assert (low <= here.ravel() * (1 + 1e-14)).all()
                assert (high >= here.ravel() * (1 - 1e-14)).all()


def test_bounds_are_worth_something(rng):
    x = rng.normal(size=(300, 512)).astype(np.float32)
    a = prepare(x, x.mean(axis=0, dtype=float))
    (tile,) = tiles(a, a, chunk=10**6)
    i, j = np.nonzero(~np.eye(300, dtype=bool))
    low, high = tile.bounds(i, j)
    assert ((high - low) < 1e-3 * high).all()
    low, high = tile.sharper(i, j)
    assert ((high - low) < 1e-11 * high).all()


@pytest.mark.parametrize("chunk", [25, 300, 10**7])
@pytest.mark.parametrize("kind", HARD)
def test_nearest_whatever_the_records(rng, kind, chunk):
    x = clouds(rng, 20)[kind]
    truth = apart(x, x)
    np.fill_diagonal(truth, np.inf)
    distances, indices = nearest(x, x, 4, own=True, chunk=chunk)
    order = np.lexsort((np.broadcast_to(np.arange(len(x)), truth.shape), truth), axis=1)[:, :4]
    np.testing.assert_array_equal(distances, np.take_along_axis(truth, order, axis=1))
    np.testing.assert_array_equal(indices, order)  # of equals the first
    for k in (1, 9):
        np.testing.assert_array_equal(radii(x, k, chunk=chunk), np.sort(truth, axis=1)[:, k - 1])


@pytest.mark.parametrize("chunk", [25, 300, 10**7])
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("closed", [True, False])
def test_balls_whatever_the_records(rng, kind, closed, chunk):
    x = clouds(rng, 20)[kind]
    y = np.concatenate([x[::3], (x + rng.normal(size=x.shape) * x.std() * 0.1)[:20]])
    reach = radii(x, 2)
    truth = apart(y, x)
    inside = truth <= reach if closed else truth < reach
    held = balls(y, x, reach, closed=closed, chunk=chunk)
    np.testing.assert_array_equal(held.per_point, inside.sum(axis=1))
    np.testing.assert_array_equal(held.per_ball, inside.sum(axis=0))
    once = inside.sum(axis=1) == 1
    np.testing.assert_array_equal(held.only_ball, np.where(once, inside.argmax(axis=1), -1))
    once = inside.sum(axis=0) == 1
    np.testing.assert_array_equal(held.only_point, np.where(once, inside.argmax(axis=0), -1))


def test_copies_without_end_are_settled_early(rng, monkeypatch):
    looked = []
    monkeypatch.setattr(
        shortlists, "lengths", lambda a, i, b, j: looked.append(len(i)) or lengths(a, i, b, j)
    )
    x = rng.permutation(np.repeat(rng.normal(size=(5, 40)), 300, axis=0))
    assert (Neighbourhood(x, chunk=10**5).radii(3) == 0).all()
    assert sum(looked) < 100 * len(x)  # and not 300 each


@pytest.mark.parametrize("d", [3, 40])
def test_float32_features_give_the_same_as_float64(rng, d):
    x, y = (rng.normal(size=(n, d)).astype(np.float32) for n in (200, 150))
    both = [
        (precision_recall(a, b, k=4), density_coverage(a, b, k=4))
        for a, b in ((x, y), (x.astype(float), y), (x.astype(float), y.astype(float)))
    ]
    assert both[0] == both[1] == both[2]


@pytest.mark.parametrize("kind", ["plain", "float32", "tight"])  # far away prdc's own rounding decides
def test_equal_to_prdc(rng, kind):
    x, y = clouds(rng, 25, 200)[kind], clouds(rng, 25, 160)[kind]
    theirs = prdc.compute_prdc(x.astype(float), y.astype(float), nearest_k=5)
    for ball in ("open", "closed"):
        mine = {
            **precision_recall(x, y, k=5, ball=ball)._asdict(),
            **density_coverage(x, y, k=5, ball=ball)._asdict(),
        }
        for name, value in theirs.items():
            assert mine[name].value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("values", [2, 3, 50])
def test_equal_to_prdc_with_ties_and_duplicates(rng, k, values):
    # Whole numbers: prdc's distances are exact too, but for the root, and it counts open balls.
    x = rng.integers(0, values, size=(150, 12)).astype(float)
    y = np.concatenate([rng.integers(0, values, size=(60, 12)).astype(float), x[:50], x[:20]])
    x = np.concatenate([x, x[30:60]])
    theirs = prdc.compute_prdc(x, y, nearest_k=k)
    mine = {
        **precision_recall(x, y, k=k, ball="open")._asdict(),
        **density_coverage(x, y, k=k, ball="open")._asdict(),
    }
    for name, value in theirs.items():
        assert mine[name].value == pytest.approx(value, abs=1e-12)


def test_open_and_closed_differ_for_a_model_that_repeats_its_data(rng):
    x = rng.normal(size=(100, 12))
    assert density_coverage(x, x, k=4).density.value == pytest.approx(5 / 4)
    assert density_coverage(x, x, k=4, ball="open").density.value == pytest.approx(1)


def test_one_pass_serves_all(rng, monkeypatch):
    x, y = rng.normal(size=(60, 20)), rng.normal(size=(50, 20))
    passes = []
    from autophage.metrics import neighbourhoods

    real = neighbourhoods.mutual_balls
    monkeypatch.setattr(neighbourhoods, "mutual_balls", lambda *a, **k: passes.append(1) or real(*a, **k))
    pair = Neighbourhoods(x, y)
    asks = [Ask("real", 3), Ask("generated", 3), Ask("real", 5, 0.9), Ask("real", 5, None, False)]
    found = [pair.balls(ask, asks) for ask in asks]
    assert len(passes) == 1
    for ask, one in zip(asks, found, strict=True):
        for mine, alone in zip(one, Neighbourhoods(x, y).balls(ask), strict=True):
            np.testing.assert_array_equal(mine, alone)


@pytest.mark.parametrize("d", [3, 20])
def test_metrics_share_their_work_and_not_their_answers(rng, house, monkeypatch, d):
    from autophage.metrics import neighbourhoods

    passes = []
    real = neighbourhoods.mutual_balls
    monkeypatch.setattr(neighbourhoods, "mutual_balls", lambda *a, **k: passes.append(1) or real(*a, **k))
    source = house.FiniteSource(Samples.of(rng.normal(size=(70, d))), Samples.of(rng.normal(size=(60, d))))
    parts = [PrecisionRecallMetric(), DensityCoverageMetric(), PrecisionRecallMetric(against="train", k=4)]
    memo: dict = {}
    for generation in range(3):
        samples = [Samples.of(rng.normal(size=(50, d)) * (1 - 0.2 * generation)) for _ in range(2)]
        view = house.View(source, samples, replicates=2, memo=memo)
        passes.clear()
        together = [row for part in parts for row in part.measure(view)]
        # The first generation learns what is asked; from then on one pass for each replicate and real set.
        assert len(passes) == (6 if generation == 0 else 4)
        alone = [row for part in parts for row in part.measure(house.View(source, samples, replicates=2))]
        for one, other in zip(together, alone, strict=True):
            assert one.metric == other.metric
            np.testing.assert_array_equal(one.value, other.value)
    assert not memo["metrics", "shared"][1] or memo["metrics", "shared"][0]() is view


def test_memory_does_not_grow_with_the_number_of_pairs(rng):
    import tracemalloc

    x, y = rng.normal(size=(2, 5000, 12)).astype(np.float32)
    tracemalloc.start()
    precision_recall(x, y, chunk=2**18)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.25 * 4 * len(x) * len(y)  # one matrix of all distances in float32 would be 100 MB
