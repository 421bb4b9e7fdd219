"""Corrections towards real cluster centres."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.cluster_centres import kmeans
from autophage.curation.correction import Correction
from autophage.errors import FitFailed, SpecError
from autophage.keys import Key
from autophage.samples import Batch, Samples

KEY = Key(0) / "test_cluster_centres"


class Context:
    generation, agent, block, replicates = 1, "main", 0, 1

    def __init__(self, real):
        self.real, self.memo, self.key, self.noted = real, {}, KEY, {}

    def note(self, name, value):
        self.noted[name] = np.asarray(value)


def real():
    """Two classes, each of two tight groups."""
    rng = (KEY / "real").generator()
    middle = np.array([[0.0, 0], [10, 0], [0, 5], [10, 5]])
    x = np.repeat(middle, 50, axis=0) + 0.1 * rng.standard_normal((200, 2))
    return Samples.of(x, label=np.repeat([0, 0, 1, 1], 50))


def test_samples_go_to_the_nearest_centre_of_their_class():
    context = Context(real())
    samples = Samples.of(
        np.array([[1.0, 4.9], [9.0, 4.9], [1.0, 0.1]]), label=np.array([0, 0, 1]), generation=3, agent="main"
    )
    part = Correction(strength=float("inf"), corrector="clusters", clusters=2)
    moved = part.apply(samples, context=context)
    groups = [real().x[i * 50 : i * 50 + 50].mean(axis=0) for i in range(4)]
    np.testing.assert_allclose(moved.x, [groups[0], groups[1], groups[2]], atol=1e-9)
    assert moved.generation.tolist() == [3] * 3 and moved.label.tolist() == [0, 0, 1]
    assert context.noted["support"] == 3 and context.noted["replaced"] == 1
    assert part.knows == "clusters of the real records"


def test_support_is_bounded_and_half_are_left_at_strength_one():
    context = Context(real())
    rng = (KEY / "many").generator()
    samples = Samples.of(5 * rng.standard_normal((400, 2)), label=rng.integers(0, 2, 400), generation=0)
    moved = Correction(strength=1.0, corrector="clusters", clusters=3).apply(samples, context=context)
    same = (moved.x == samples.x).all(axis=1)
    assert abs(same.mean() - 0.5) < 4.5 * 0.5 / 20
    assert context.noted["support"] <= same.sum() + 6


def test_bytes_stay_bytes_and_batches_have_their_own_centres():
    pictures = Samples.of(
        (KEY / "bytes").generator().integers(0, 256, (40, 3), dtype=np.uint8), label=np.arange(40) % 2
    )
    part = Correction(strength=float("inf"), corrector="clusters", clusters=2)
    moved = part.apply(pictures, context=Context(pictures))
    assert moved.x.dtype == np.uint8 and len(np.unique(moved.x, axis=0)) <= 4
    context = Context(Batch.of(np.array([[[0.0], [1.0]], [[5.0], [7.0]]])))
    context.replicates = 2
    batch = Batch.of(np.array([[[0.4], [0.6]], [[0.0], [9.0]]]), generation=1)
    assert part.apply(batch, context=context).x.ravel().tolist() == [0, 1, 5, 7]
    assert context.noted["support"].tolist() == [2, 2]


def test_kmeans_is_the_same_at_every_call_and_exact_where_it_can_be():
    x = real().x
    np.testing.assert_array_equal(kmeans(x, 4), kmeans(x, 4))
    np.testing.assert_array_equal(kmeans(np.array([[2.0], [1], [2]]), 5), [[1], [2]])


def test_bad_input_is_refused():
    with pytest.raises(SpecError, match=r"curation\.clusters"):
        Correction(strength=1.0, corrector="clusters", clusters=0)
    with pytest.raises(SpecError, match="did you mean 'clusters'"):
        Correction(strength=1.0, corrector="cluster")
    samples = Samples.of(np.zeros((2, 2)), label=np.array([0, 9]))
    with pytest.raises(FitFailed, match="class 9, of which there is no real record"):
        Correction(strength=float("inf"), corrector="clusters").apply(samples, context=Context(real()))


def test_strength_zero_is_the_plain_loop():
    spec = {
        "seed": 1,
        "generations": 3,
        "data": {"kind": "digits", "size": 100},
        "learner": {"kind": "class_gaussian", "ridge": 1.0},
        "workflow": "replace",
        "metrics": ["sample_variance"],
    }
    idle = [{"kind": "correction", "corrector": "clusters", "strength": 0}]
    assert autophage.run({**spec, "curation": idle}).metrics.equals(autophage.run(spec).metrics)
