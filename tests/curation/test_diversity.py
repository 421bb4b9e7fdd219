"""How diverse what is kept is, beside what was looked at: the numbers, and who notes them."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.diversity import Diversity
from autophage.keys import Key
from autophage.samples import Batch, Samples

KEY = Key(0) / "test_diversity"


def normal(*shape):
    return (KEY / str(shape)).generator().standard_normal(shape)


def test_the_variance_is_that_of_all_proposals_and_of_what_is_left_by_weight():
    first, second = normal(300, 2, 3) + 1e6, 3 * normal(100, 2, 3) + 1e6
    diversity, weight = Diversity(), (KEY / "weight").generator().random(300)
    for x in (first, second):
        diversity.look(Samples.of(x))
    before = np.concatenate([first, second]).var(axis=0).mean()
    middle = np.average(first, axis=0, weights=weight)
    after = np.average((first - middle) ** 2, axis=0, weights=weight).mean()
    found = diversity.of(Samples.of(first, weight=weight))
    assert found["kept_variance"] == pytest.approx(after / before, rel=1e-6)
    assert diversity.of(Samples.of(second))["kept_variance"] == pytest.approx(
        second.var(axis=0).mean() / before
    )


def test_replicates_are_told_apart(monkeypatch):
    from autophage.curation import diversity as module

    x, weight = normal(4, 90, 2), (normal(4, 90) > 0).astype(float)
    monkeypatch.setattr(module, "AT_ONCE", 100)  # in parts
    together = Diversity()
    together.look(Batch.of(x))
    found = together.of(Batch.of(x).reweighted(weight))
    assert set(found) == {"kept_variance"}
    for r in range(4):
        alone = Diversity()
        alone.look(Samples.of(x[r]))
        kept = alone.of(Samples.of(x[r][weight[r] > 0]))
        assert kept["kept_variance"][0] == pytest.approx(found["kept_variance"][r])


def test_duplicates_are_looked_for_among_two_thousand():
    diversity = Diversity()
    diversity.look(Samples.of(np.zeros((5, 2))))
    rows = np.arange(8) // 2
    assert diversity.of(Samples.of(normal(8, 2)[rows])) == {"duplicate_share": 0.5}  # and nothing varied
    many = np.arange(10_000) // 1000
    assert diversity.of(Samples.of(many[:, None]))["duplicate_share"] == 1 - 10 / 2000


def noted(**spec):
    spec = {"seed": 1, "generations": 2, "workflow": {"kind": "replace"}, "metrics": ["noted"], **spec}
    table = autophage.run(spec, pictures=False).metrics
    return dict(zip(table["metric"], table["value"], strict=True))


CLASSES = {"data": {"kind": "labelled_blobs", "size": 250}, "learner": "class_gaussian"}
CHAIN = {
    "data": {"kind": "blobs", "centres": [[1.0], [2.0]], "deviation": 0.1},
    "learner": {
        "kind": "diffusion",
        "network": {"kind": "mlp", "width": 8, "blocks": 1},
        "records": 256,
        "warmup": 0,
        "device": "cpu",
    },
    "workflow": {"kind": "replace", "sample_size": 60},
}


@pytest.mark.parametrize(
    ("curation", "where"),
    [
        ({"kind": "preference", "reward": "linear", "choices": 3}, CLASSES),
        ({"kind": "interval_verifier", "centre": 0, "radius": 1.5}, CLASSES),
        ({"kind": "correction", "strength": 1, "corrector": "clusters"}, CLASSES),
        ({"kind": "trajectory_variance", "window": 3, "surplus": 0.5}, CHAIN),
    ],
    ids=lambda given: given.get("kind"),
)
@pytest.mark.filterwarnings("ignore:.*not certified:RuntimeWarning")
def test_every_selection_says_how_diverse_it_is(curation, where):
    found = noted(**where, curation=[curation])
    assert found["proposals"] >= found["kept"] > 0 and found["kept_variance"] > 0
    assert 0 <= found["duplicate_share"] < 1
    if curation["kind"] == "correction":
        assert found["duplicate_share"] > 0.2  # half of 200 records on 64 centres
    if curation["kind"] == "interval_verifier":
        assert found["kept_variance"] < 0.9


def test_a_choice_among_a_training_set_says_what_it_chose_from():
    found = noted(
        **CLASSES,
        generations=3,
        **{"workflow": "accumulate", "curation": [{"kind": "latent_filter", "noise": 0}]},
    )
    assert (found["candidates"], found["kept"], found["duplicate_share"]) == (600, 200, 0)
    assert "proposals" not in found and 0.5 < found["kept_variance"] < 1.2


def test_nobody_is_told_the_variance_of_symbols():
    source = {"kind": "categorical", "probabilities": [0.5, 0.3, 0.2]}
    liked = {"kind": "preference", "reward": [0, 1, 2], "choices": 2}
    found = noted(
        data=source,
        learner="categorical",
        curation=[liked],
        workflow={"kind": "replace", "sample_size": 50},
    )
    assert found["kept"] == 50 and not {"kept_variance", "duplicate_share"} & set(found)
