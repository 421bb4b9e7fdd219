"""The contract suites on every registered part; a part that the tables below do not know fails, none is passed over."""

from __future__ import annotations

import numpy as np
import pytest

from autophage import laws, registry
from autophage.keys import Key
from autophage.samples import Samples

KEY = Key(0) / "test_laws"
N = 60


def records(domain):
    draw = (KEY / domain).generator()
    x = {
        "vectors": lambda: draw.standard_normal((N, 3)),
        "symbols": lambda: draw.integers(0, 5, N),
        "counts": lambda: draw.poisson(3.0, (N, 1)),
        "binary": lambda: draw.integers(0, 2, (N, 1)),
        "positive": lambda: draw.exponential(2.0, (N, 1)),
        "pairs": lambda: draw.standard_normal((N, 4)),
    }[domain]()
    label = draw.integers(0, 3, N)
    return Samples.of(x, label=label, caption=np.array(["red", "a red dog", "cat"])[label])


SMALL = {
    "learner": {
        "flow": {"architecture": "realnvp", "layers": 2, "hidden": 8, "steps": 2},
        "gaussian_mixture": {"components": 2},
        "flow_matching": {"records": 192, "batch_size": 64},
        "text_to_image": {"records": 192, "batch_size": 64},
        "diffusion": {"records": 192, "batch_size": 64},
        "vae": {"latent": 2, "widths": (4,), "records": 200, "batch_size": 20},
        "captioner": {"width": 16, "layers": 1, "heads": 2, "records": 192, "batch_size": 64},
        "bigram": {"weights": [0.5, 0.25, 0.25], "tokens": 2},
        "estimator": {"object": "sklearn.mixture:GaussianMixture", "arguments": {"n_components": 2}},
    },
    "data": {
        "gaussian": {"dim": 2, "mean": [1, 2], "cov": [[2, 0.5], [0.5, 1]]},
        "categorical": {"zipf": {"symbols": 5, "exponent": 1}},
        "bigram": {"zipf": {"symbols": 4}, "contexts": 3},
        "regression": {"dim": 3, "noise": 0.5},
        "scenes": {"size": 50},
        "bernoulli": {"probability": 0.3},
        "poisson": {"rate": 2},
        "exponential": {"mean": 2},
    },
    "workflow": {"window": {"size": 3}},
}
FILES = ("mnist", "table", "regression_table", "images", "cifar10", "captioned_images")
"""Sources that read files of the user's: their own tests run the suite on files they write."""


def built(slot, kind):
    cls = registry.find(slot, kind)
    settings = SMALL[slot].get(kind, {})
    names = getattr(cls, "__dataclass_fields__", {})
    from autophage.intake import part

    return part(slot, {"kind": kind, **{k: v for k, v in settings.items() if k in names}}, slot)


PRETRAINED = ("pretrained_captioner",)
"""Learners of checkpoints, which have tests of their own."""


@pytest.mark.parametrize("kind", [k for k in registry.kinds("learner") if k not in PRETRAINED])
def test_learners(kind):
    part = built("learner", kind)
    for domain in sorted(part.domains):
        laws.learner(part, records(domain), key=KEY)


@pytest.mark.parametrize("kind", registry.kinds("workflow"))
def test_workflows(kind):
    laws.workflow(built("workflow", kind))


@pytest.mark.parametrize("kind", [k for k in registry.kinds("data") if k not in FILES])
def test_sources(kind):
    laws.source(built("data", kind))


def test_sources_that_read_files_are_known():
    assert set(FILES) < set(registry.kinds("data"))
    assert set(PRETRAINED) < set(registry.kinds("learner"))


SAMPLE_METRICS = [k for k in registry.kinds("metric") if hasattr(registry.find("metric", k), "compare")]


@pytest.mark.parametrize("kind", SAMPLE_METRICS)
def test_metrics_of_samples(kind):
    metric = registry.find("metric", kind)()
    domains = sorted(metric.domains & {"vectors", "symbols"}) or sorted(metric.domains)
    for domain in domains:
        real = records(domain)
        draw = (KEY / "generated" / domain).generator()
        generated = Samples.of(
            real.x[draw.permutation(N)[:50]] if domain == "symbols" else real.x[:50] * 0.9 + 0.1,
            label=real.label[:50] if "labels" in metric.needs or metric.of_descriptions else None,
            caption=real.caption[:50] if metric.of_descriptions else None,
        )
        laws.metric(metric, real, generated, key=KEY)


FILTER = {"kind": "logistic", "anchor": "real", "keep": "weights"}
CHOICE = {"kind": "preference", "choices": 2, "reward": {"kind": "linear", "slope": 0.5}}
REPLACED = {"kind": "correction", "strength": 1.0, "corrector": "empirical"}
CURATED = {
    **dict.fromkeys(("proposals", "acceptance", "effective_size", "certified_contraction"), FILTER),
    **dict.fromkeys(("rejected_records", "rejected_choices"), CHOICE),
    "duplicates": REPLACED,
    "noted": FILTER,
}
"""Metrics of what curation notes: there are rows where something is curated."""
ASKED = {
    "reward": {"kind": "reward", "reward": {"kind": "linear", "slope": 0.5}},
    "pooled": {"kind": "pooled", "of": ["sample_variance"]},
}
"""Metrics that cannot be asked for by their name alone."""
ENCODED = ("elbo", "encoder_spread", "training")
"""Metrics that read what only deep models have."""
LABELLED = ("orthogonality", "latent_confidence", "judge_alignment", "cosine_alignment", "caption_diversity")
"""Metrics of records with classes."""
DESCRIBING = ("self_consistency", "caption_accuracy")
"""Metrics of models that describe what they are given."""
MODED = ("mode_interpolation",)
"""Metrics that know the modes of a true mixture."""
PICTURED = {"spectrum": {"kind": "digits"}, "attribute_entropy": {"kind": "scenes", "size": 50}}
"""Metrics that look at pictures, and these."""


@pytest.mark.parametrize("kind", [k for k in registry.kinds("metric") if k not in SAMPLE_METRICS])
def test_metrics_of_models(kind):
    """One generation of a learner that has what the metric reads: one finite row for each replicate, repeatable."""
    from autophage.runs.run import run

    pairs = registry.find("metric", kind).domains == {"pairs"}
    symbols = registry.find("metric", kind).domains == {"symbols"} or kind in ("gini", "entropy", "support")
    spec = {
        "seed": 1,
        "replicates": 3,
        "generations": 2,
        "data": {"kind": "categorical", "zipf": {"symbols": 5, "exponent": 1}}
        if symbols
        else dict(PICTURED[kind])
        if kind in PICTURED
        else {"kind": "eight_gaussians"}
        if kind in MODED
        else {"kind": "labelled_blobs", "size": 200}
        if kind in (*LABELLED, *DESCRIBING)
        else {"kind": "regression" if pairs else "gaussian", "dim": 2},
        "learner": {"kind": "vae", **SMALL["learner"]["vae"]}
        if kind in ENCODED
        else "class_gaussian"
        if kind in LABELLED
        else "categorical"
        if symbols
        else "regression"
        if pairs
        else "kde"
        if kind in PICTURED
        else "gaussian",
        "workflow": {"kind": "replace", "sample_size": 30},
        "metrics": [ASKED.get(kind, kind)],
        "curation": [CURATED[kind]] if kind in CURATED else [],
    }
    if kind in DESCRIBING:
        agent = {"learner": "classifier", "given": "real", "workflow": spec.pop("workflow")}
        spec = {k: v for k, v in spec.items() if k not in ("learner", "curation")} | {
            "agents": {"labeller": agent}
        }
    table = run(spec).metrics
    assert len(table) and table["value"].is_finite().all()
    assert table.group_by("generation", "metric").len()["len"].unique().to_list() == [3]
    assert table.equals(run(spec).metrics)
    assert not np.isnan(table["value"].to_numpy()).any()


@pytest.mark.parametrize("law", ["learner", "metric", "source", "workflow"])
def test_a_broken_part_is_found_out(law):
    """A suite that nothing fails proves nothing."""
    from autophage.learners.gaussian import Gaussian
    from autophage.parts import Compared, SampleMetric
    from autophage.workflows import Plan, Replace, Row

    class Forgetful(Gaussian):
        def fit(self, data, *, start=None, key):
            model = super().fit(data, start=start, key=key)
            model.sample = lambda n, key: type(model).sample(model, n, key=key / np.random.rand())  # noqa: NPY002
            return model

    class Eager(Replace):
        def plan(self, t, real):
            return Plan(t, (Row("synthetic", t, t, real),), real)

    class Moody(SampleMetric):
        def compare(self, real, generated, *, key, memo):
            return {"moody": Compared(np.random.rand(), n=len(generated))}  # noqa: NPY002

    class Shrinking(registry.find("data", "gaussian")):
        def records(self, n, key, replicates):
            x, label = super().records(n, key, replicates)
            return x / replicates, label

    with pytest.raises(laws.Broken, match="breaks a law"):
        if law == "learner":
            laws.learner(Forgetful(), records("vectors"))
        elif law == "workflow":
            laws.workflow(Eager())
        elif law == "metric":
            laws.metric(Moody(), records("vectors"), records("vectors"))
        else:
            laws.source(Shrinking())
