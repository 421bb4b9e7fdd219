"""Latent space filtering of a small diffusion model, and the down-scaled experiment on MNIST."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.loop import Loop

pytestmark = pytest.mark.slow

SPEC = {
    "seed": 5,
    "generations": 3,
    "data": {"kind": "digits", "size": 400},
    "learner": {
        "kind": "diffusion",
        "labels": "use",
        "records": 640,
        "first_records": 2560,
        "batch_size": 64,
        "warmup": 0,
        "start": "previous",
        "device": "cpu",
    },
    "sampling": {"steps": 6},
    "workflow": {"kind": "accumulate", "sample_size": 128},
    "curation": [{"kind": "latent_filter", "rule": "top", "size": 200, "noise": 0.05}],
    "metrics": ["noted", "orthogonality"],
    "evaluation_size": 128,
}


def test_a_diffusion_model_is_filtered_and_resumes_to_the_same_numbers():
    loop = Loop(**SPEC)
    block, kept, arrays, found = loop.blocks()[0], {}, {}, []

    def keep(samples, t, name):
        kept[t, name] = samples
        return samples

    state = loop.start(block)
    while state.generation < 3:
        state, done = loop.step(state, keep)
        arrays[done[0].number] = done[0].model.arrays()
        found.append({m.metric: m.value[0] for m in done[0].measurements})
    assert found[1]["selected"] == found[2]["selected"] == 200
    assert found[1]["probe_accuracy"] > 0.6 and found[1]["dropped_latents"] == 0
    assert found[2]["selected_confidence"] > found[2]["mean_confidence"]
    assert found[2]["selected_real_share"] > 320 / (320 + 2 * 128)
    fresh = Loop(**SPEC)
    state = fresh.resumed(
        block, 2, lambda t, name: kept[t, name], lambda learner, t, name: learner.restore(arrays[t]), {}
    )
    _, done = fresh.step(state)
    assert {m.metric: m.value[0] for m in done[0].measurements} == found[2]


def test_the_score_sees_errors_on_mnist_and_not_a_loss_of_variance(real_data):
    """Generations 0 to 4 against one simulation of the same chains. Tolerances are four standard errors of the difference between a
    mean of two replicates and one run: 4 sqrt(3 / 2) times the spread of a replicate, which six of them gave."""
    base = {
        "seed": 0,
        "replicates": 2,
        "generations": 5,
        "data": {"kind": "principal_components", "of": {"kind": "mnist", "size": 10000}, "components": 20},
        "workflow": {"kind": "replace", "initial_size": 1000},
        "metrics": ["orthogonality", {"kind": "latent_confidence", "noise": 0}],
    }
    courses = {}
    for name, errors in (("errors", {"blur": 0.15, "leak": 0.1}), ("clean", {})):
        table = autophage.run({**base, "learner": {"kind": "class_gaussian", **errors}}).metrics
        means = table.group_by("metric", "generation").agg(pl.col("value").mean()).sort("generation")
        for metric in ("ole", "latent_confidence", "latent_real_share"):
            courses[name, metric] = means.filter(pl.col("metric") == metric)["value"].to_numpy()
    share, xi, ole = (courses["errors", m] for m in ("latent_real_share", "latent_confidence", "ole"))
    assert (np.diff(xi) < 0).all() and (np.diff(ole) > 0).all() and share[-1] > share[0] + 0.07
    assert (abs(share - [0.521, 0.587, 0.624, 0.648, 0.672]) < [0.02, 0.021, 0.042, 0.072, 0.062]).all()
    assert (abs(xi - [0.701, 0.587, 0.513, 0.461, 0.424]) < [0.029, 0.037, 0.073, 0.1, 0.112]).all()
    assert (abs(ole / np.sqrt(2000) - [32.2, 33.9, 35.3, 36.3, 36.9]) < [0.9, 1.7, 2.1, 2.5, 3.4]).all()
    clean = courses["clean", "ole"] / np.sqrt(2000)
    assert (abs(clean - [28.8, 27.8, 27.1, 26.3, 25.5]) < [0.3, 0.9, 1.3, 1.3, 1.8]).all()
    assert abs(courses["clean", "latent_real_share"] - 0.5).max() < 0.03
    assert (np.diff(courses["clean", "ole"]) < 0).all()
    assert np.ptp(courses["clean", "latent_confidence"]) < 0.04
