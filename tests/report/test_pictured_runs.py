"""Pictures of runs of digits, from the loop to the page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from autophage.parts import Learner, Model
from autophage.runs.folder import npz, unnpz, write
from autophage.runs.paged import page_of
from autophage.runs.pictured import gallery
from autophage.runs.run import load, run
from autophage.samples import Samples

TINY = {"kind": "flow", "steps": 3, "hidden": 16, "layers": 2, "start": "previous"}
BASE = {"seed": 5, "generations": 3, "data": {"kind": "digits", "size": 200}, "learner": TINY, "metrics": []}


class Classes(Model):
    """Draws pictures of the classes it is asked for: every pixel is the class, and noise of its own size."""

    def __init__(self, size: float) -> None:
        self.size = size

    def sample(self, n, *, key, given=None):
        label = given.label if given is not None else key.generator().integers(0, 10, n)
        return Samples.of(
            label[:, None] + self.size * (key / "noise").generator().random((n, 64)), label=np.asarray(label)
        )

    def arrays(self):
        return {"size": np.array([self.size])}


@dataclass(frozen=True, kw_only=True)
class Conditional(Learner):
    """A stub of a learner with classes."""

    conditional: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "counts"})

    def fit(self, data, *, start=None, key):
        return Classes(1.0 + float(np.mean(data.x)))

    def restore(self, arrays):
        return Classes(float(arrays["size"][0]))


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    place = tmp_path_factory.mktemp("arms")
    own = run({**BASE, "name": "own", "workflow": "replace"}, place / "own")
    mixed = {**BASE, "name": "mixed", "workflow": {"kind": "mix", "synthetic_ratio": 1.0}}
    return {"own": own, "mixed": run(mixed, place / "mixed", shared=place / "own")}


def test_arms_of_one_comparison_have_every_picture(arms):
    page = page_of(arms)
    own, mixed = page.arms
    assert own.gallery.noise == mixed.gallery.noise != ""
    np.testing.assert_array_equal(own.gallery.samples[0], mixed.gallery.samples[0])
    assert own.gallery.samples.dtype == np.uint8 and own.gallery.samples.shape == (3, 200, 8, 8)
    assert own.neighbours.generations == [0, 2] and own.neighbours.pictures.shape == (2, 8, 8, 8)
    assert list(own.drift.generations) == [0, 1, 2] and own.drift.names == tuple("0123456789")
    np.testing.assert_array_equal(page.blend.pictures[0], own.gallery.samples[-1][:8])
    np.testing.assert_array_equal(page.blend.pictures[-1], mixed.gallery.samples[-1][:8])


def test_a_single_run_has_no_blend(arms):
    page = page_of({"own": arms["own"]})
    assert page.blend is None and page.arms[0].neighbours is not None


def test_runs_that_share_no_weights_have_no_blend(arms, tmp_path):
    wide = run(
        {**BASE, "name": "wide", "learner": {**TINY, "hidden": 24}, "workflow": "replace"}, tmp_path / "wide"
    )
    assert page_of({"own": arms["own"], "wide": wide}).blend is None
    in_memory = run({**BASE, "name": "own", "workflow": "replace"})
    assert page_of({"own": arms["own"], "again": in_memory}).blend is None


def test_a_page_without_pictures_has_none():
    done = run(
        seed=0,
        generations=2,
        data={"kind": "gaussian", "dim": 2},
        learner="gaussian",
        metrics=[],
        workflow="replace",
    )
    page = page_of({"a": done})
    assert page.arms[0].neighbours is None and page.arms[0].drift is None and page.blend is None


def test_a_conditional_model_is_asked_for_the_same_classes_in_every_generation(tmp_path):
    spec = {**BASE, "name": "classes", "learner": Conditional(), "workflow": "replace"}
    done = run(spec, tmp_path / "run")
    stored = unnpz(tmp_path / "run/replicate_0000/generation_0002/main/gallery.npz")
    np.testing.assert_array_equal(stored["label"], np.arange(200) % 10)
    seen = gallery(done, "main")
    np.testing.assert_array_equal(seen.label, np.arange(200) % 10)
    assert seen.named(3) == "3"
    page = page_of({"a": done, "b": done})
    assert page.arms[0].drift.asked
    assert list(page.blend.heads) == list("0123456789") and page.blend.pictures.shape == (5, 10, 8, 8)


def test_galleries_of_older_runs_still_open(arms, tmp_path):
    """Before this version gallery.npz held `x` alone."""
    place = shutil.copytree(arms["own"].folder, tmp_path / "old")
    for file in place.rglob("gallery.npz"):
        write(file, npz({"x": unnpz(file)["x"]}))
    seen = gallery(load(place), "main")
    assert seen.label is None
    np.testing.assert_array_equal(seen.samples, gallery(arms["own"], "main").samples)
