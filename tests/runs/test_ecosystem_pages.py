"""Runs of several agents, from the loop to the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from tests import strangers
from tests.report.test_rendering import Reader

from autophage.parts import Learner, Model
from autophage.report import render
from autophage.runs.paged import page_of
from autophage.runs.run import load, run
from autophage.samples import Samples

MIX = {"kind": "mix", "synthetic_ratio": 4.0, "initial_size": 100}
COMMON = {"seed": 3, "generations": 3, "data": {"kind": "digits"}, "metrics": ["real_share"], "name": "pair"}
PAIR = {
    "painter": {"learner": {"kind": "tests.runs.test_ecosystem_pages:Painter"}, "workflow": MIX},
    "labeller": {"learner": {"kind": "strangers:Labeller"}, "given": "painter", "workflow": MIX},
}


class Class(Model):
    """Pictures of the mean of the class that is asked for, and noise."""

    def __init__(self, means):
        self.means = means

    def sample(self, n, *, key, given=None):
        label = given.label[:n] if given is not None else np.arange(n) % len(self.means)
        x = self.means[label] + (key / "noise").generator().random((n, 64))
        return Samples.of(x.astype(np.float32), label=np.asarray(label))

    def arrays(self):
        return {"means": self.means}


@dataclass(frozen=True, kw_only=True)
class Painter(Learner):
    """Means of classes."""

    conditional: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    domains: ClassVar[frozenset[str]] = frozenset({"vectors", "counts"})

    def fit(self, data, *, start=None, key):
        x, label = data.flat(), np.asarray(data.label)
        return Class(
            np.array([x[label == c].mean(axis=0) if (label == c).any() else x[0] for c in range(10)])
        )

    def restore(self, arrays):
        return Class(np.asarray(arrays["means"]))


@dataclass(frozen=True, kw_only=True)
class Captioner(strangers.Labeller):
    """Says the class in words."""

    def fit(self, data, *, start=None, key):
        return Words(super().fit(data, key=key))

    def restore(self, arrays):
        return Words(super().restore(arrays))


class Words(Model):
    def __init__(self, inner):
        self.inner = inner

    def sample(self, n, *, key, given=None):
        found = self.inner.sample(n, key=key, given=given)
        return Samples.of(found.x, label=found.label, caption=np.array([f"a {c}" for c in found.label]))

    def arrays(self):
        return self.inner.arrays()


def copies(of):
    return {name: {**body, "copies": of} for name, body in PAIR.items()}


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    place = tmp_path_factory.mktemp("pooled") / "run"
    return run(**COMMON, agents=copies(2), feeds="pooled", out=place)


def test_provenance_names_every_origin_and_its_stream(pooled):
    table = pooled.provenance()
    assert table.columns == [
        *("generation", "agent", "from_agent", "from_generation", "source", "share", "decoding", "stream")
    ]
    sums = table.group_by("generation", "agent").agg(pl.col("share").sum())["share"]
    np.testing.assert_allclose(sums, 1.0)
    assert len(sums) == 3 * 4
    rows = table.filter((pl.col("generation") == 2) & (pl.col("agent") == "labeller_1")).rows()
    assert sorted(rows, key=lambda row: row[2]) == [
        (2, "labeller_1", "", -1, "", pytest.approx(0.2), "", ""),
        *(
            (2, "labeller_1", f"labeller_{i}", 1, f"painter_{i}/1", pytest.approx(0.4), "", name)
            for i, name in ((1, stream(pooled, 1)), (2, stream(pooled, 2)))
        ),
    ]
    assert pl.read_parquet(pooled.folder / "provenance.parquet").equals(table)
    assert load(pooled.folder).provenance().equals(table)


def stream(done, i):
    return (done.loop.key(done.loop.blocks()[0]) / "generation" / 1 / f"labeller_{i}" / "sample").name


def test_the_stream_that_is_named_is_the_one_that_was_drawn_from(pooled):
    """A model of generation 0, sampled from the stream that the table names, gives the records of the run once more."""
    from autophage.keys import Key

    state = pooled.loop.start(pooled.loop.blocks()[0])
    _, records = pooled.loop.step(state)
    painter = next(r for r in records if r.agent == "painter_1")
    seed, *path = stream(pooled, 1).replace("labeller_1", "painter_1").replace("/1/", "/0/").split("/")
    key = Key(int(seed), tuple(path))
    again = painter.model.sample(len(painter.kept), key=key)
    np.testing.assert_array_equal(pooled.spec.data.snap(again.x), painter.kept.x)


def test_a_loop_of_one_model_has_no_table_and_no_picture(tmp_path):
    done = run(**{**COMMON, "learner": Painter(), "workflow": MIX}, out=tmp_path / "run")
    assert not (tmp_path / "run" / "provenance.parquet").exists()
    assert set(done.provenance()["from_agent"]) == {"", "main"}
    page = page_of({"one": done})
    assert page.ecosystems == [] and page.arms[0].said is None and page.arms[0].gallery is not None


def test_a_page_of_pairs_is_whole(pooled):
    page = page_of({"pair": pooled})
    assert page.subtitle.startswith("digits through 2 times ")
    assert " and 2 times strangers:Labeller under mix, 3 generations" in page.subtitle
    assert page.profile["sentence"].startswith("painter_1 and painter_2: Undecided after 2 generations")
    arms = {arm.name: arm for arm in page.arms}
    for name, arm in arms.items():
        own = name.startswith("painter")
        # Who describes makes no pictures: none of them is shown, measured or judged twice.
        assert [x is not None for x in (arm.gallery, arm.neighbours, arm.drift, arm.profile)] == [own] * 4
        assert (arm.said is None) == own
    said = arms["labeller_1"].said
    assert said.exact and list(said.asked) == list("01234567")
    np.testing.assert_array_equal(said.pictures, arms["painter_1"].gallery.samples[:, :8])
    (found,) = page.ecosystems
    assert found.asked["painter_2"] == {"labeller_1": 0.5, "labeller_2": 0.5}
    text = Reader(render(page)).text
    assert "asked 50 %, flowed 50 %" in text and "what flowed is what was asked for" in text
    assert "painter_1 → labeller_1" in text and "Every generation: who described what" in text


def test_two_runs_of_several_agents_stand_side_by_side(pooled):
    page = page_of({"one": pooled, "two": pooled})
    assert [arm.name for arm in page.arms[3:5]] == ["one · labeller_2", "two · painter_1"]
    assert [e.title for e in page.ecosystems] == ["one", "two"]
    assert page.ecosystems[1].agents[0].key == 4
    assert Reader(render(page)).text.count("Every generation: who described what") == 2


def test_a_frozen_captioner_says_words_of_its_own_under_pictures_of_another():
    agents = {
        "painter": {"learner": Painter(), "workflow": MIX},
        "captioner": {"learner": Captioner(), "given": "painter", "frozen": True, "workflow": MIX},
    }
    done = run(**COMMON, agents=agents)
    page = page_of({"pair": done})
    said = page.arms[1].said
    assert not said.exact and all(word.startswith("a ") for words in said.words for word in words)
    assert page.ecosystems[0].agents[1].frozen
    text = Reader(render(page)).text
    # One verdict only: it heads the page, and no table compares it with others.
    assert page.profile["sentence"].startswith("painter: ") and len(page.profile["verdicts"]) == 8
    assert "Kind of collapse" not in text
    assert "a 3" in text and "frozen: that of generation 0" in text


def test_a_describer_alone_shows_what_it_says_of_real_pictures():
    done = run(**COMMON, learner={"kind": "strangers:Labeller"}, workflow={"kind": "replace"})
    page = page_of({"relabel": done})
    arm = page.arms[0]
    assert arm.gallery is None and arm.profile is None
    np.testing.assert_array_equal(arm.said.pictures[0], arm.said.pictures[-1])
    text = Reader(render(page)).text
    assert "real → main" in text and "No verdict was asked of this run." in text


def test_stopped_replicates_stand_in_the_notes():
    stop = [{"metric": "real_share", "below": 0.5, "agent": "painter"}]
    done = run(**COMMON, agents=PAIR, stop=stop)
    page = page_of({"pair": done})
    assert any(
        n.startswith("replicate 0 stopped after generation 1: real_share of painter is 0.2, below 0.5")
        for n in page.notes
    )
    assert page.status == "stopped"
    assert "stopped after generation 1" in Reader(render(page)).text


RING = {
    "flow": {"learner": {"kind": "flow", "steps": 3, "hidden": 16, "layers": 2}},
    "diffusion": {
        "learner": {
            "kind": "diffusion",
            "records": 500,
            "warmup": 0,
            "network": {"kind": "small_unet", "width": 16, "multipliers": [1], "blocks": 1},
        },
        "sampling": {"sampler": "ddim", "steps": 4},
    },
    "mixture": {
        "learner": {
            "kind": "estimator",
            "object": "sklearn.mixture:GaussianMixture",
            "arguments": {"n_components": 4, "covariance_type": "diag"},
        }
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("feeds", ["ring", "pooled"])
def test_three_agents_of_three_kinds_get_the_shares_that_they_ask_for(feeds, tmp_path):
    workflow = {"kind": "mix", "synthetic_ratio": 3.0, "initial_size": 60}
    agents = {name: {**body, "workflow": workflow} for name, body in RING.items()}
    done = run(**COMMON, agents=agents, feeds=feeds, out=tmp_path / "run")
    assert done.status == "completed" and not done.failures
    asked = {name: dict(done.loop._feeding(name)) for name in agents}
    names = list(agents)
    for i, name in enumerate(names):
        wanted = {names[i - 1]: 1.0} if feeds == "ring" else dict.fromkeys(names, 1 / 3)
        assert asked[name] == pytest.approx(wanted)
        for g in (1, 2):
            flow = {(f.agent, f.generation): f.share for f in done.flows[name][g]}
            assert flow == pytest.approx(
                {("", -1): 0.25, **{(k, g - 1): 0.75 * v for k, v in wanted.items()}}
            )
    page = done.report().read_text(encoding="utf-8")
    read = Reader(page)
    assert any(svg.get("class") == "eco" for svg in read.all("svg"))
    words = "asked 100 %, flowed 100 %" if feeds == "ring" else "asked 33.3 %, flowed 33.3 %"
    assert words in read.text and "what flowed is what was asked for" in read.text
