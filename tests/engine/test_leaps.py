"""Where nothing is looked at between generations, they pass inside the learner: the numbers must be those of single steps."""

from __future__ import annotations

import numpy as np
import pytest

from autophage.loop import Loop, State


def both_ways(**spec) -> tuple[State, State]:
    loop = Loop(seed=4, metrics=[], **spec)
    assert loop.leaps()
    (block,) = loop.blocks()
    stepped = loop.start(block)
    while stepped.generation < loop.spec.generations:
        stepped, _ = loop.step(stepped)
    leapt, _ = loop.step(loop.start(block))
    return stepped, loop.leap(leapt)


@pytest.mark.parametrize("path", ["statistics", "samples"])
@pytest.mark.parametrize(
    ("data", "learner"),
    [
        ({"kind": "gaussian"}, "gaussian"),
        ({"kind": "gaussian", "dim": 3}, "gaussian"),
        ({"kind": "categorical", "zipf": {"symbols": 6, "exponent": 1}}, "categorical"),
        ({"kind": "poisson", "rate": 2.0}, "poisson"),
        ({"kind": "bernoulli", "probability": 0.2}, "bernoulli"),
        ({"kind": "exponential", "mean": 2.0}, "exponential"),
    ],
)
def test_a_leap_gives_the_numbers_of_single_steps(data, learner, path):
    stepped, leapt = both_ways(
        data=data,
        learner={"kind": learner, "path": path},
        workflow={"kind": "replace", "sample_size": 9},
        generations=40,
        replicates=50,
    )
    one, other = stepped.models["main"].arrays(), leapt.models["main"].arrays()
    assert all(np.array_equal(one[k], other[k]) for k in one)
    assert {k: v.tolist() for k, v in stepped.absorbed.items()} == {
        k: v.tolist() for k, v in leapt.absorbed.items()
    }


def test_a_frozen_chain_keeps_its_logarithm_and_its_generation():
    """Two records a generation: the variance falls below exp(-700) within a few hundred generations, and stays there."""
    stepped, leapt = both_ways(
        data={"kind": "gaussian"},
        learner={"kind": "gaussian"},
        workflow={"kind": "replace", "sample_size": 2},
        generations=700,
        replicates=100,
    )
    for state in (stepped, leapt):
        logs = state.models["main"].log_det()
        assert np.isfinite(logs).all() and (logs <= -700).all() and (logs > -760).all()
        assert (state.absorbed["main"] > 100).all()
    assert np.array_equal(stepped.absorbed["main"], leapt.absorbed["main"])
    assert np.array_equal(stepped.models["main"].scale, leapt.models["main"].scale)
