"""Real records and piles: who gets which records, and that a stored pile is the same pile."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.loop import Loop
from autophage.piles import RealData, _without_replacement
from autophage.runs.folder import npz, unnpz
from autophage.samples import REAL, Batch, Samples

KEY = Key(0) / "piles"


class Twenty:
    """A finite source of twenty numbered records."""

    unlimited = False
    domain = "vectors"
    dim = 1

    def train(self):
        return Samples.of(np.arange(20.0)[:, None])


@pytest.mark.parametrize("batched", [True, False])
def test_a_finite_source_is_shared_and_cut(batched):
    data = RealData(Twenty(), 12, 3, batched)
    first = data.first(KEY)
    x = first.x[0] if batched else first.x
    assert x[:, 0].tolist() == list(range(12))
    whole = RealData(Twenty(), 20, 3, batched).first(KEY)
    assert len(whole) == 20


@pytest.mark.parametrize("batched", [True, False])
def test_a_bootstrap_is_each_replicates_own(batched):
    first = RealData(Twenty(), 20, 3, batched, bootstrap=True).first(KEY)
    sets = [first.replicate(r).x[:, 0] for r in range(3)] if batched else [first.x[:, 0]]
    for x in sets:
        assert len(x) == 20 and set(x) <= set(range(20)) and len(set(x)) < 20
    assert len({tuple(x) for x in sets}) == len(sets)
    again = RealData(Twenty(), 20, 9, batched, bootstrap=True).first(KEY)
    assert np.array_equal(sets[0], again.x[0][:, 0] if batched else again.x[:, 0])


@pytest.mark.parametrize("batched", [True, False])
def test_fresh_records_are_the_unused_ones_each_once(batched):
    data = RealData(Twenty(), 12, 3, batched)
    taken = [data.fresh(n, used, KEY) for n, used in ((3, 0), (5, 3))]
    x = np.concatenate([(t.x[0] if batched else t.x)[:, 0] for t in taken])
    assert sorted(x) == list(range(12, 20))
    with pytest.raises(SpecError, match=r"needs 9 fresh real records but the data has 8 .*reuse: true"):
        data.fresh(1, 8, KEY)
    again = RealData(Twenty(), 12, 3, batched, reuse=True).fresh(10, 0, KEY)
    values = (again.x[0] if batched else again.x)[:, 0]
    assert len(values) == 10 and set(values) == set(range(12, 20))


def test_drawing_without_replacement_is_uniform_over_all_parts():
    parts = [
        Batch.of(np.arange(3.0).reshape(1, 3, 1)),
        Batch.of(np.tile(np.arange(3.0, 10.0), (4000, 1))[..., None], generation=2),
    ]
    drawn = _without_replacement(parts, 4, 4000, KEY)
    assert drawn.x.shape == (4000, 4, 1)
    assert all(len(set(row)) == 4 for row in drawn.x[:200, :, 0])
    counts = np.bincount(drawn.x.astype(int).ravel(), minlength=10) / 4000
    assert np.abs(counts - 0.4).max() < 4.5 * np.sqrt(0.4 * 0.6 / 4000)
    assert ((drawn.x[..., 0] < 3) == (drawn.generation == REAL)).all()
    samples = [Samples.of(np.arange(5.0)), Samples.of(np.arange(5.0, 9.0), generation=1)]
    one = _without_replacement(samples, 9, 1, KEY)
    assert sorted(one.x) == list(range(9)) and one.real_share() == 5 / 9


STORED = [
    ("gaussian", {"kind": "window", "size": 3, "sample_size": {"values": [5, 0, 7, 6, 5]}}),
    ("gaussian", {"kind": "accumulate", "sample_size": 6}),
    ("gaussian", {"kind": "fresh", "sample_size": 6, "real_share": 0.5}),
    ("gaussian", {"kind": "fresh", "sample_size": 6, "real_share": 0.5, "counts": "exact"}),
    ({"kind": "gaussian", "path": "samples"}, {"kind": "mix", "real": 6, "synthetic_ratio": 1}),
    ("gaussian", {"kind": "keep_real", "sample_size": 6, "real_share": 0.5, "initial_size": 6}),
    ("gaussian", {"kind": "accumulate_subsample", "sample_size": 6}),
    ("kde", {"kind": "accumulate", "sample_size": 6}),
    ({"kind": "gaussian_mixture", "components": 1}, {"kind": "accumulate", "sample_size": 6}),
]


SYMBOLS = {"kind": "categorical", "zipf": {"symbols": 5}}
MIXED = {"kind": "fresh", "sample_size": 6, "real_share": 0.5}


@pytest.mark.parametrize(
    ("learner", "workflow", "data"),
    [
        *((learner, workflow, "gaussian") for learner, workflow in STORED),
        ("categorical", MIXED, SYMBOLS),
        ("bigram", MIXED, {"kind": "bigram", "zipf": {"symbols": 3}, "contexts": 2}),
        ("gaussian", MIXED, "two_moons"),
    ],
)
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_stored_pile_is_the_same_pile(learner, workflow, data, after, tmp_path):
    """Stored, read and restored, the rest of the course is the same in every bit."""
    loop = Loop(
        seed=1,
        replicates=4,
        generations=5,
        data=data,
        learner=learner,
        workflow=workflow,
        metrics=["real_share"],
    )
    state = loop.start(loop.blocks()[0])
    for _ in range(after):
        state, _ = loop.step(state)
    (tmp_path / "pile.npz").write_bytes(npz(state.piles["main"].arrays()))
    fresh = loop.start(loop.blocks()[0])
    pile = fresh.piles["main"].restored(unnpz(tmp_path / "pile.npz"))
    from dataclasses import replace

    restored = replace(state, piles={"main": pile})
    while state.generation < 5:
        state, (one,) = loop.step(state)
        restored, (two,) = loop.step(restored)
        assert one.training_size == two.training_size
        assert np.array_equal(one.real_share, two.real_share)
        a, b = one.model.arrays(), two.model.arrays()
        assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_a_mixture_of_frequencies_is_one_draw_of_its_blended_law():
    """Then the share of real records is the one asked for, since nobody knows which record is real."""
    spec = {
        "seed": 1,
        "replicates": 4,
        "generations": 3,
        "data": SYMBOLS,
        "workflow": MIXED,
        "metrics": ["real_share"],
    }
    shares = {}
    for path in ("auto", "samples"):
        loop = Loop(**spec, learner={"kind": "categorical", "path": path})
        state, _ = loop.step(loop.start(loop.blocks()[0]))
        shares[path] = loop.step(state)[1][0].real_share
    assert (shares["auto"] == 0.5).all() and len(set(shares["samples"])) > 1
    assert np.isin(shares["samples"] * 6, range(7)).all()


def test_records_of_a_mixture_are_drawn_where_the_family_does_not_hold_the_truth():
    """A Gaussian fitted to two moons: real records have no law that a Gaussian could speak for."""
    loop = Loop(
        seed=1,
        replicates=300,
        generations=2,
        data="two_moons",
        learner="gaussian",
        workflow={**MIXED, "sample_size": 50},
        metrics=[],
    )
    state, (first,) = loop.step(loop.start(loop.blocks()[0]))
    _, (second,) = loop.step(state)
    assert loop.paths["main"] == "statistics" and len(np.unique(second.real_share)) > 3
    gap = second.model.mean.mean(axis=0) - first.model.mean.mean(axis=0)
    assert (
        np.abs(gap) < 4.5 * np.hypot(first.model.mean.std(axis=0), second.model.mean.std(axis=0)) / 300**0.5
    ).all()
