"""Verified samples: what passes, how right it is, what it costs, and what a verifier may not do."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.verification import Verification
from autophage.errors import FilterStarved, SpecError
from autophage.samples import Samples
from autophage.theory import verified

CLUSTERS = {"kind": "labelled_blobs", "size": 500, "deviation": 0.2}
LOOP = {
    "data": CLUSTERS,
    "learner": {"kind": "class_gaussian", "leak": 0.3},
    "workflow": {"kind": "replace"},
}


def mislabelled(wrong):
    """Records that lie on the side of their label, but for a share whose label is the other one."""

    def law(n, rng):
        side = rng.integers(0, 2, n)
        x = rng.random((n, 1)) + 2 * side[:, None] - 1.5
        return x, np.where(rng.random(n) < wrong, 1 - side, side)

    return law


def says_right(x, label):
    return (x[:, 0] > 0) == (label == 1)


@pytest.mark.parametrize(("wrong", "phi", "psi"), [(0.3, 0.8, 0.2), (0.5, 0.5, 0.7), (0.2, 1.0, 0.0)])
@pytest.mark.parametrize("keep", ["n", "proposals"])
def test_shares_kept_and_right_are_those_of_theory(workbench, wrong, phi, psi, keep):
    context, n = workbench(mislabelled(wrong)), 20_000
    part = Verification(
        verifier=says_right, oracle=says_right, false_accept=psi, false_reject=1 - phi, keep=keep
    )
    kept = part.apply(context.first(n), context=context)
    share = verified.kept_share(wrong, phi, psi)
    assert abs(context.noted["acceptance"] - share) < 4 * np.sqrt(share * (1 - share) / n)
    right = 1 - verified.residual_noise(wrong, phi, psi)
    slack = 4 * np.sqrt(right * (1 - right) / len(kept)) + 1e-12
    assert abs(says_right(kept.x, kept.label).mean() - right) < slack
    assert abs(context.noted["kept_precision"] - right) < slack
    assert abs(context.noted["kept_recall"] - phi) <= 4 * np.sqrt(phi * (1 - phi) / ((1 - wrong) * n))
    assert context.noted["labels"] == context.proposals[0]
    assert len(kept) == (n if keep == "n" else round(context.noted["acceptance"] * n))
    assert (context.drawn > 0) == (keep == "n")
    if keep == "n":
        assert context.noted["acceptance"] == n / context.proposals[0]


def test_chances_are_drawn_and_every_function_is_asked_what_it_takes(workbench):
    context, n = workbench(lambda n, rng: rng.random((n, 2))), 20_000
    kept = context.curated(Verification(verifier=lambda x: x[:, 0], keep="proposals"), n)
    # A record passes with the chance x_1, so the kept ones have the density 2 x.
    assert abs(len(kept) / n - 1 / 2) < 4 * 0.5 / np.sqrt(n)
    assert abs(kept.x[:, 0].mean() - 2 / 3) < 4 * np.sqrt(1 / 18 / len(kept))
    assert "kept_precision" not in context.noted  # nobody knows
    assert abs(context.noted["kept_variance"] - (1 / 18 + 1 / 12) / (2 / 12)) < 0.03
    by_path = Verification(verifier="numpy:isfinite")
    assert by_path._functions[0] is np.isfinite


def test_a_classifier_of_the_real_labels_finds_the_wrong_ones():
    """30 % of the samples lie in another cluster than their label says; eight standard deviations part the clusters."""
    spec = {**LOOP, "seed": 2, "generations": 2, "metrics": ["noted"], "pictures": False}

    def oracle(x, label):
        return label == 2 * (x[:, 0] < 0) + (x[:, 1] < 0)

    run = autophage.run(**spec, curation=[{"kind": "verification", "oracle": oracle}])
    noted = dict(zip(run.metrics["metric"], run.metrics["value"], strict=True))
    # A classifier of 400 records errs on a few near the borders.
    assert noted["kept_precision"] > 0.99 and noted["kept_recall"] > 0.98 and noted["kept"] == 400
    assert abs(noted["acceptance"] - 0.7) < 4 * np.sqrt(0.7 * 0.3 / noted["labels"]) + 0.02
    assert noted["labels"] == noted["proposals"]


def test_the_verified_loop_keeps_its_clusters_apart():
    """Unverified, samples of other clusters widen each class in every round; verified, they do not come back."""
    widths = {}
    for name, curation in (("plain", []), ("verified", [{"kind": "verification"}])):
        loop = autophage.Loop(**LOOP, seed=2, generations=4, metrics=[], curation=curation)
        state = loop.start(loop.blocks()[0])
        while state.generation < 4:
            state, (record,) = loop.step(state)
        widths[name] = np.trace(record.model.covariances.mean(axis=0)) / 2
    # Within-class variance: 0.04 of the clusters, and 0.3 x 2 x 0.8^2 or so of the strangers among them.
    assert widths["verified"] < 0.06 and widths["plain"] > 0.4


@pytest.mark.parametrize(
    "idle",
    [
        {"verifier": None},
        {"false_accept": 1.0},
        {"verifier": "verifiers_are_not_called:here", "false_accept": 1.0},
    ],
    ids=str,
)
def test_g7_no_verifier_is_the_plain_loop(same_as_plain, idle):
    if ":" in str(idle.get("verifier")):
        idle["verifier"] = "numpy:isnan"
    same_as_plain({"kind": "verification", **idle}, **LOOP)


def test_records_of_many_replicates_are_verified_by_a_function():
    spec = {
        "seed": 1,
        "generations": 2,
        "replicates": 200,
        "data": "gaussian",
        "learner": {"kind": "gaussian", "covariance": "known"},
        "workflow": {"kind": "replace", "sample_size": 50},
        "metrics": ["noted"],
    }
    for keep in ("n", "proposals"):
        loop = autophage.Loop(
            **spec, curation=[{"kind": "verification", "verifier": lambda x: x[:, 0] > 0, "keep": keep}]
        )
        _, (first,) = loop.step(loop.start(loop.blocks()[0]))
        noted = {m.metric: m.value for m in first.measurements}
        assert (np.where(first.kept.weights() > 0, first.kept.x[..., 0], 1) > 0).all()
        assert (noted["labels"] == noted["proposals"]).all() and len(set(noted["acceptance"])) > 5
    with pytest.raises(
        SpecError, match="drops records by a weight of zero, and learner kde takes no weights"
    ):
        autophage.Loop(
            **{**spec, "learner": "kde"},
            curation=[{"kind": "verification", "verifier": "numpy:isfinite", "keep": "proposals"}],
        )


def test_e_starvation_names_the_rate(workbench):
    context = workbench(mislabelled(0.5))
    with pytest.raises(FilterStarved, match="verification kept 0 of 2000 proposals, an acceptance rate of 0"):
        Verification(verifier=lambda x: np.zeros(len(x))).apply(context.first(40), context=context)
    with pytest.raises(FilterStarved, match="verification kept none of 40 samples"):
        Verification(verifier=lambda x: np.zeros(len(x)), keep="proposals").apply(
            context.first(40), context=context
        )


def test_e_earlier_generations_are_kept_when_a_verifier_breaks():
    calls = []

    def breaks(x, label):
        calls.append(0)
        if len(calls) > 2:
            raise ValueError("the oracle\n  is silent")
        return np.ones(len(x), bool)

    run = autophage.run(
        **LOOP,
        seed=1,
        generations=6,
        metrics=["sample_variance"],
        curation=[{"kind": "verification", "verifier": breaks}],
        pictures=False,
    )
    assert "the verifier breaks fails: ValueError: the oracle is silent" in str(run.failures)
    assert sorted(set(run.metrics["generation"])) == [0, 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"false_accept": 1.2}, "false_accept is 1.2"),
        ({"false_reject": float("nan")}, "false_reject is nan"),
        ({"false_reject": 1.0}, "nothing can pass"),
        ({"keep": "some"}, "keep is 'some'"),
        ({"verifier": "teacher"}, "verifier .* is 'teacher'; it must be one of: classifier, cnn, mlp"),
        ({"verifier": 3}, "verifier is a int; it must be a function of records"),
        ({"verifier": Samples}, "verifier is a class"),
        ({"oracle": "no_such_module:f"}, "no module called 'no_such_module'"),
    ],
)
def test_e_bad_settings(settings, words):
    with pytest.raises(SpecError, match=words):
        Verification(**settings)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"data": {"kind": "two_moons"}, "learner": "gaussian_mixture"}, "learns from labelled real records"),
        (
            {"data": "digits", "learner": {"kind": "estimator", "object": "sklearn.mixture:GaussianMixture"}},
            "learner estimator makes none; take one that does",
        ),
        ({"data": "digits", "learner": "diffusion"}, "learner diffusion makes none; set learner.labels: use"),
        (
            {
                "data": CLUSTERS,
                "learner": "class_gaussian",
                "curation": [{"kind": "verification", "verifier": "cnn"}],
            },
            "curation.verifier: cnn needs pictures",
        ),
        (
            {
                "data": "gaussian",
                "learner": "gaussian",
                "curation": [{"kind": "verification", "verifier": says_right}],
            },
            "is `says_right`, which judges a sample by its label, and learner gaussian makes none",
        ),
    ],
)
def test_what_cannot_be_verified_is_refused_before_a_run(spec, words):
    with pytest.raises(SpecError, match=words):
        autophage.Loop(**{"seed": 1, "curation": ["verification"], **spec})


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "verification", "verifier": "numpy:isfinite", "oracle": "mlp", "false_accept": 0.1},
        {"kind": "discriminator", "keep": 0.2, "features": "pixels", "terms": "quadratic"},
        {"kind": "likelihood_rank", "keep": 0.5, "side": "middle"},
        {"kind": "detector_weights", "detector": "numpy:ravel", "provenance": "hidden", "cap": 3.0},
        {"kind": "feature_tilt", "pull": 0.5, "region": [0.1, 2.0]},
    ],
    ids=lambda given: given["kind"],
)
def test_a_spec_holds_every_setting_as_plain_data(given):
    import json

    once = autophage.Spec.of(**LOOP, seed=1, curation=[given])
    written = json.loads(json.dumps(once.to_dict()))
    assert autophage.Spec.of(written).to_dict() == once.to_dict()
    (held,) = written["agents"]["main"]["curation"]
    assert given.items() <= held.items()
