"""The contract suite on every registered curation; a kind that the table does not know fails, none is passed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from autophage import laws, registry
from autophage.errors import SpecError
from autophage.intake import part
from autophage.interventions import Curation
from autophage.keys import Key
from autophage.samples import Batch

NORMAL = ({"kind": "gaussian", "covariance": "known"}, {"kind": "gaussian", "mean": 0.3})
COUNTS = ({"kind": "poisson"}, {"kind": "poisson", "rate": 4})
SYMBOLS = ({"kind": "categorical"}, {"kind": "categorical", "zipf": {"symbols": 5, "exponent": 1}})
DEEP = ({"kind": "gaussian_mixture", "components": 2}, {"kind": "two_moons"})
CHAIN = (
    {
        "kind": "diffusion",
        "network": {"kind": "mlp", "width": 8, "blocks": 1},
        "records": 256,
        "warmup": 0,
        "device": "cpu",
    },
    {"kind": "blobs", "centres": [[1.0], [2.0], [3.0]], "deviation": 0.05},
)
FLOW = ({"kind": "flow_matching", **{k: v for k, v in CHAIN[0].items() if k != "kind"}}, CHAIN[1])
CLASSES = ({"kind": "class_gaussian", "leak": 0.1}, {"kind": "labelled_blobs", "size": 200})
ESTIMATOR = ({"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}, {"kind": "two_moons"})
FINITE = ({"kind": "gaussian", "covariance": "known"}, {"kind": "digits"})

CASES: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "tilt": [({"anchor": "real", "pull": 0.3}, where) for where in (NORMAL, COUNTS, SYMBOLS, FINITE)],
    "logistic": [({"anchor": "real", "keep": keep}, NORMAL) for keep in ("n", "proposals", "weights")]
    + [({"anchor": "real"}, where) for where in (COUNTS, SYMBOLS)],
    "truncation": [
        ({"anchor": "real", "share": 0.4, "keep": keep, "require_contraction": False}, NORMAL)
        for keep in ("n", "proposals")
    ],
    "trajectory_variance": [({"window": 3, "surplus": 0.5}, CHAIN), ({"window": 3, "keep": 0.7}, FLOW)],
    "interval_verifier": [({"centre": 0, "radius": 1.5, "keep": k}, NORMAL) for k in ("n", "proposals")]
    + [({"centre": 0, "radius": 1.5}, DEEP)],
    "neural_filter": [
        ({"anchor": "real", "steps": 20, "require_contraction": False, "keep": keep}, NORMAL)
        for keep in ("n", "weights")
    ],
    "preference": [
        ({"reward": {"kind": "linear", "slope": 1.0}, "choices": k}, NORMAL) for k in (1, 2, float("inf"))
    ]
    + [({"reward": [0, 1, 2, 0, 1], "choices": 2}, SYMBOLS)],
    "verification": [
        ({"keep": keep, "false_accept": 0.3, "false_reject": 0.2}, CLASSES) for keep in ("n", "proposals")
    ]
    + [({"verifier": "numpy:isfinite"}, SYMBOLS)],
    "discriminator": [({"keep": 0.3, "features": f}, CLASSES) for f in ("pca", "pixels")]
    + [({"keep": 0.5, "terms": "quadratic"}, ESTIMATOR)],
    "likelihood_rank": [({"keep": 0.4, "side": side}, NORMAL) for side in ("highest", "lowest", "middle")]
    + [({"keep": 0.5}, where) for where in (CLASSES, SYMBOLS)],
    "detector_weights": [({"provenance": p}, CLASSES) for p in ("known", "hidden")],
    "feature_tilt": [({"pull": 0.5, "features": f}, CLASSES) for f in ("pca", "standardised", "classifier")],
    "latent_filter": [({"rule": rule}, CLASSES) for rule in ("threshold", "top", "per_class", "match")],
    "correction": [({"strength": 1.0}, NORMAL), ({"strength": 1.0, "corrector": "empirical"}, FINITE)]
    + [({"strength": 1.0, "corrector": "clusters"}, where) for where in (CLASSES, FINITE)],
}


def test_every_registered_curation_is_in_the_table():
    assert set(registry.kinds("curation")) == set(CASES)


@pytest.mark.parametrize(
    ("kind", "number"),
    [(k, i) for k in registry.kinds("curation") for i in range(len(CASES.get(k, ())))],
    ids=str,
)
def test_laws(kind, number):
    settings, (learner, data) = CASES[kind][number]
    source = part("data", data, "data")
    fitted = part("learner", learner, "learner")
    if getattr(fitted, "symbols", 0) is None:
        fitted = type(fitted)(symbols=source.dim)
    laws.curation(part("curation", {"kind": kind, **settings}, "curation[0]"), fitted, source)


@dataclass(frozen=True, kw_only=True)
class Rogue(Curation):
    """Breaks one law."""

    how: str

    def apply(self, samples, *, context):
        if self.how == "changes what it is handed":
            samples.x[:, 0] = 0.0
        if self.how == "forgets its key":
            return Batch.of(samples.x[:, np.random.permutation(samples.x.shape[1])], generation=3)  # noqa: NPY002
        if self.how == "invents records":
            return Batch.of(np.concatenate([samples.x, samples.x], axis=1), generation=3)
        if self.how == "looks ahead":
            return Batch.of(samples.x, generation=9)
        if self.how == "weighs unsaid":
            return samples.reweighted(np.full(samples.x.shape[:2], 0.5))
        if self.how == "reads other replicates":
            return samples.reweighted((samples.x[..., 0] > samples.x.mean()).astype(float))
        if self.how == "hides proposals":
            context.proposals = context.proposals - 35
        if self.how == "remembers":
            context.memo["seen"] = context.memo.get("seen", 0) + 1
            return samples.first(10 * context.memo["seen"])
        if self.how == "notes nothing":
            context.note("acceptance", np.nan)
        return samples


HOWS = (
    "changes what it is handed",
    "forgets its key",
    "invents records",
    "looks ahead",
    "weighs unsaid",
    "reads other replicates",
    "hides proposals",
    "remembers",
    "notes nothing",
)


@pytest.mark.parametrize("how", HOWS)
def test_a_broken_curation_is_found_out(how):
    learner, data = (part(slot, given, slot) for slot, given in zip(("learner", "data"), NORMAL, strict=True))
    with pytest.raises(laws.Broken, match="Rogue breaks a law"):
        laws.curation(Rogue(how=how), learner, data)


def test_an_honest_curation_passes_and_a_refused_learner_is_refused():
    learner, data = (part(slot, given, slot) for slot, given in zip(("learner", "data"), NORMAL, strict=True))
    laws.curation(Rogue(how="not at all"), learner, data, key=Key(5))
    with pytest.raises(SpecError, match="sufficient statistics"):
        laws.curation(
            part("curation", {"kind": "logistic", "anchor": "real"}, "curation[0]"),
            part("learner", "kde", "learner"),
            data,
        )
