"""The neural filter: what training reaches, what the certificate refuses, counts instead of normals, several statistics.

The full recipe (F12) and its loop (F13) are in tests/engine/test_filter_checks.py; here trainings are short.
"""

from __future__ import annotations

import numpy as np
import pytest

from autophage.curation.anchor import KnownAnchor
from autophage.curation.certificate import by_quadrature, certify
from autophage.curation.family import Normal, PoissonAround
from autophage.curation.filter_training import train
from autophage.curation.neural_filter import NeuralFilter
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.loop import Loop

HERE = KnownAnchor(mean=0.0)
SHORT = NeuralFilter(anchor=HERE, steps=150)
COUNTS = NeuralFilter(anchor=KnownAnchor(mean=4.0), steps=200)
"""Trained once a process, by whichever test asks first."""


def trained(steps, seed=0, limit=None):
    return train(
        Normal(),
        contraction=0.36,
        reach=3.0,
        least_acceptance=0.3,
        largest_variance=limit,
        steps=steps,
        key=Key(seed),
    )


def arrays(network):
    return [a for layer in network.layers for a in layer]


def test_the_same_key_gives_the_same_network():
    import torch

    before = torch.get_rng_state()
    a, b, c = (trained(steps=5, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))
    assert not np.array_equal(arrays(a)[0], arrays(c)[0])
    assert torch.equal(before, torch.get_rng_state())


def test_acceptance_is_a_probability_and_flat_beyond_its_reach():
    network = trained(steps=5)
    z = np.linspace(-6, 6, 50)
    inside, outside = network.acceptance(z, np.float64(3.0)), network.acceptance(z, np.float64(40.0))
    assert ((inside > 0) & (inside < 1)).all() and (inside == outside).all()
    assert network.acceptance(np.zeros((4, 7)), np.ones((4, 1))).shape == (4, 7)


def test_b8_a_filter_without_contraction_is_refused_the_label():
    """Close enough to its anchor every trained filter is off by its pull at zero; this one is asked about that."""
    asked = {"anchor": HERE, "steps": 20, "region": (1e-6, 3.0)}
    part = NeuralFilter(**asked)
    assert part.certificate(Normal()).contraction < 0 and abs(part.certificate(Normal()).pull_at_zero) > 1e-5
    with pytest.raises(SpecError, match="neural_filter is not contractive on the requested region"):
        stepped(part)
    loop, record = stepped(NeuralFilter(**asked, require_contraction=False))
    noted = {m.metric: m.value for m in record.measurements}
    assert (noted["certified_contraction"] < 0).all() and "need not contract" in loop.warnings[0]


def stepped(part, **more):
    spec = {
        "seed": 1,
        "generations": 3,
        "replicates": 4,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 30},
        "metrics": ["certified_contraction", "acceptance", "proposals"],
    }
    loop = Loop(**{**spec, **more}, curation=[part])
    _, (record,) = loop.step(loop.start(loop.blocks()[0]))
    return loop, record


def test_poisson_counts_have_a_filter_and_a_certificate_of_their_own():
    """Exponential family: z is the standardised count, delta its mean's error, P the Fisher information."""
    law = PoissonAround(4.0)
    network = COUNTS.network(law)
    own = certify(by_quadrature(network.acceptance), law=law)
    assert own.law == "poisson" and own.contraction > 0.2 and abs(own.pull_at_zero) < 0.1
    assert own.acceptance[0] > 0.25
    # The pull from mu = 9 is what filtering counts does.
    x = np.random.default_rng(0).poisson(9.0, 200_000)
    z = (x - 9) / 3
    w = network.acceptance(z, np.full(1, 5 / 3))
    pull, _ = by_quadrature(network.acceptance)(np.array([5 / 3]), law)
    assert pull[0] == pytest.approx((w * z).sum() / w.sum(), abs=4 * z.std() / np.sqrt(w.sum()))


def test_a_filtered_poisson_loop_stays_where_an_unfiltered_one_dies(course_of):
    """Constant sizes: var(rate) of the walk is 4 T/n until rates hit zero; the filtered rate stays near its anchor."""
    law = {
        "data": {"kind": "poisson", "rate": 4},
        "learner": {"kind": "poisson"},
        "workflow": {"kind": "replace", "sample_size": 40},
        "initial_model": {"mean": 7.0},
        "replicates": 60,
    }
    filtered = course_of(COUNTS, **law)
    free = course_of(None, **law)
    assert ((filtered - 4) ** 2).mean() + 4 * ((filtered - 4) ** 2).std() / np.sqrt(60) < 0.5
    assert ((free - 4) ** 2).mean() > 4


@pytest.fixture
def course_of():
    def last(part, **spec):
        loop = Loop(seed=2, generations=41, metrics=[], curation=[part] if part else [], **spec)
        state = loop.start(loop.blocks()[0])
        while state.generation < 41:
            state, (record,) = loop.step(state)
        return record.model.mean[:, 0]

    return last


def test_several_statistics_are_filtered_along_the_error(course_of):
    """Two dimensions: the network sees the length of the error, and the loop contracts in both coordinates."""
    spec = {
        "data": {"kind": "gaussian", "dim": 2},
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 100},
        "initial_model": {"mean": [2.0, -1.0]},
        "replicates": 60,
    }
    assert SHORT.certificate(Normal()).contractive
    filtered = course_of(SHORT, **spec) ** 2
    assert filtered.mean() + 4 * filtered.std() / np.sqrt(60) < 0.1 < 40 / 100


def test_a_variance_limit_makes_kept_records_narrower():
    """Kept records spread less than proposals anyway; a limit below that is felt."""

    def spread(network):
        z, mass = Normal().nodes(np.array([1.5]))
        w = network.acceptance(z, np.full((1, 1), 1.5)) * mass
        mean = (w * z).sum() / w.sum()
        return (w * (z - mean) ** 2).sum() / w.sum()

    assert spread(trained(steps=200, limit=0.3)) < spread(SHORT.network(Normal())) - 0.08


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"contraction": 0.0}, "curation.contraction"),
        ({"contraction": float("nan")}, "curation.contraction"),
        ({"acceptance_floor": 1.0}, "curation.acceptance_floor"),
        ({"variance_limit": 0.0}, "curation.variance_limit"),
        ({"steps": 0}, "curation.steps"),
        ({"training_seed": -1}, "curation.training_seed"),
        ({"region": (0.3, 8.0)}, "no filter that accepts the share 0.3"),
        ({"contraction": 0.9, "acceptance_floor": 0.8}, "no filter that accepts the share 0.8"),
    ],
    ids=str,
)
def test_what_no_filter_can_do_is_refused(settings, words):
    with pytest.raises(SpecError, match=words):
        NeuralFilter(anchor=HERE, **settings)
