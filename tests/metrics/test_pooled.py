"""Metrics of the joined records of an ecosystem."""

from __future__ import annotations

import numpy as np
import pytest

from autophage import run
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.metrics.frechet import Frechet
from autophage.metrics.pooled import Pooled, ends
from autophage.metrics.spread import SampleVariance
from autophage.samples import Samples
from autophage.spec import Spec


@pytest.fixture
def chain(house):
    """Two chains, each a painter and one who describes its pictures; the second paints elsewhere."""
    rng = np.random.default_rng(0)
    source = house.FiniteSource(
        Samples.of(rng.standard_normal((200, 2))), Samples.of(rng.standard_normal((100, 2)))
    )
    views = {}
    for i in (1, 2):
        x = rng.standard_normal((50, 2)) + 10 * i
        for name, describes in ((f"painter_{i}", False), (f"captioner_{i}", True)):
            view = house.View(source, [Samples.of(x, label=np.zeros(50, int) + describes)], agent=name)
            view.describes, view.described = describes, not describes
            views[name] = view
    for name, view in views.items():
        view.peers, view.last = views, name == "captioner_2"
        view.memo = views["painter_1"].memo
    return views


def test_the_pool_is_what_the_ends_of_chains_give(chain):
    assert [v.agent for v in ends(chain)] == ["captioner_1", "captioner_2"]
    assert [m for v in list(chain.values())[:-1] for m in Pooled(of=["sample_variance"]).measure(v)] == []
    (row,) = Pooled(of="sample_variance").measure(chain["captioner_2"])
    joined = np.concatenate([chain[f"painter_{i}"].samples[0].x for i in (1, 2)])
    assert row.metric == "pooled_sample_variance" and row.n == 100
    assert row.value[0] == pytest.approx(joined.var(axis=0, ddof=1).mean())
    # Apart they are narrow; the far mean shows in the pool only.
    alone = SampleVariance().measure(chain["painter_1"])[0].value[0]
    assert row.value[0] > 10 * alone


def test_metrics_keep_their_settings_and_directions(chain):
    part = Pooled(
        of=["frechet", {"kind": "frechet", "features": "pca", "components": 1}, "caption_diversity"]
    )
    rows = [m.metric for m in part.measure(chain["captioner_2"])]
    assert rows[:2] == ["pooled_frechet_pixels", "pooled_frechet_pca1"] and "pooled_caption_entropy" in rows
    assert "pooled_caption_variance_within" not in rows  # several agents have no one captioner
    assert (
        part.directions["pooled_frechet_pca1"] == "lower"
        and part.directions["pooled_caption_variance"] == "none"
    )
    assert "frechet_pixels" not in part.directions and "pooled_other" not in part.directions
    with pytest.raises(KeyError):
        part.directions["other"]
    assert set(part.directions) == {f"pooled_{row}" for row in part.metrics[2][1].directions}
    # What is shared between metrics of one agent is not taken for that of the pool, before or after.
    view = chain["captioner_2"]
    before, between, after = (
        Frechet().measure(view),
        Pooled(of="frechet").measure(view),
        Frechet().measure(view),
    )
    assert before[0].value == after[0].value != between[0].value


def test_those_who_describe_real_records_make_none(house):
    source = house.FiniteSource(Samples.of(np.zeros((9, 1))), Samples.of(np.zeros((9, 1))))
    views = {}
    for name, describes in (("painter", False), ("captioner", True)):
        view = house.View(source, [], agent=name)
        view.describes, view.described = describes, False
        views[name] = view
    assert [v.agent for v in ends(views)] == ["painter"]
    assert [v.agent for v in ends({"captioner": views["captioner"]})] == ["captioner"]


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(SpecError, match="pooled: variance is no metric of samples alone"):
        Pooled(of=["frechet", "variance"])
    with pytest.raises(SpecError, match="no metric of samples alone"):
        Pooled(of=[{"kind": "pooled", "of": ["frechet"]}])
    with pytest.raises(SpecError, match="no metric of samples alone"):
        Pooled(of=["orthogonality"])
    with pytest.raises(SpecError, match=r"of is \[\]; it must be a list of metrics"):
        Pooled(of=[])
    with pytest.raises(SpecError, match=r"pooled: of\[0\]"):
        Pooled(of=["frechett"])
    with pytest.raises(SpecError, match="needs labels"):
        Loop(seed=0, data="gaussian", metrics=[{"kind": "pooled", "of": ["class_shares"]}], learner="kde")


def test_an_ecosystem_is_measured_together():
    """Two agents, each fed by itself: one row for both, at twice the size."""
    agent = {"learner": "kde", "workflow": {"kind": "replace", "sample_size": 40}}
    spec = {
        "seed": 1,
        "generations": 2,
        "evaluation_size": 30,
        "data": "two_moons",
        "agents": {"a": agent, "b": agent},
        "metrics": ["sample_variance", {"kind": "pooled", "of": ["sample_variance"]}],
    }
    table = run(spec).metrics
    pooled = table.filter(table["metric"] == "pooled_sample_variance")
    assert pooled["agent"].to_list() == ["b", "b"] and pooled["n"].to_list() == [60, 60]
    assert table.filter(table["metric"] == "sample_variance").height == 4
    assert table.equals(run(spec).metrics)
    assert Spec.of(Spec.of(**spec).to_dict()).digest == Spec.of(**spec).digest
