"""Real digits: the image experiment of Yi et al. (2025) at the size of a test (500 of them, the best 10 % by a discriminator), labels
verified by a convolutional network, and trained generators behind every judge."""

from __future__ import annotations

import numpy as np
import pytest

import autophage
from autophage.curation.verification import Verification
from autophage.intake import part

pytestmark = pytest.mark.slow

SPEC = {
    "seed": 1,
    "generations": 4,
    "data": {"kind": "digits", "size": 625},
    "learner": {"kind": "class_gaussian", "ridge": 0.2},
    "workflow": {"kind": "mix", "synthetic_ratio": 2},
    "metrics": [{"kind": "frechet", "features": "classifier"}, "noted"],
}


def course(curation):
    """(at generation 0, at generation 3) Frechet distances of the samples, and what generation 2 noted."""
    run = autophage.run(SPEC, curation=curation, pictures=False)
    assert not run.failures
    rows = {(r["generation"], r["metric"]): r["value"] for r in run.metrics.iter_rows(named=True)}
    noted = {name: value for (g, name), value in rows.items() if g == 2}
    return rows[0, "frechet_classifier_real_labels"], rows[3, "frechet_classifier_real_labels"], noted


def test_what_looks_real_to_features_that_know_the_classes_holds_the_loop():
    first, plain, _ = course([])
    same, kept, noted = course([{"kind": "discriminator", "keep": 0.1, "features": "classifier"}])
    assert first == same and plain > 2 * first
    assert kept < 1.5 * first
    assert noted["proposals"] == 10 * noted["kept"] == 10_000 and noted["auc"] > 0.9


def test_what_looks_real_to_features_that_tell_nothing_does_not():
    """A Gaussian for each class has the means of the real records in every linear direction: the AUC is one half, and chance selects."""
    curation = [{"kind": "discriminator", "keep": 0.1}]
    first, kept, _ = course(curation)
    run = autophage.run(SPEC | {"generations": 2}, curation=curation, pictures=False)
    auc = dict(zip(run.metrics["metric"], run.metrics["value"], strict=True))["auc"]
    assert abs(auc - 0.5) < 0.1 and kept > 1.5 * first


def test_a_network_verifies_the_labels_of_pictures(workbench):
    """Held-out digits, a third of them under another digit's label: what passes is right, since a network that errs on a picture
    would have to err towards that very label."""
    source = part("data", {"kind": "digits", "size": 625}, "data")
    held = source.reference()
    truth = {x.tobytes(): int(label) for x, label in zip(held.x, held.label, strict=True)}

    def law(n, rng):
        rows, wrong = rng.integers(len(held), size=n), rng.random(n) < 1 / 3
        label = held.label[rows]
        return held.x[rows], np.where(wrong, (label + rng.integers(1, 10, n)) % 10, label)

    context = workbench(law, real=source.train(), source=source)
    kept = context.curated(Verification(verifier="classifier"), 1000)
    right = np.array([truth[x.tobytes()] for x in kept.x]) == kept.label
    assert right.mean() > 0.97 and len(kept) == 1000 and context.noted["labels"] == context.proposals
    # Two thirds are right, of which a network of 500 pictures recognises most.
    assert 0.67 * 0.85 < context.noted["acceptance"] < 0.67 + 4 * np.sqrt(0.67 * 0.33 / 1500)
    assert context.noted["duplicate_share"] > 0.8  # of 125 pictures, drawn again and again


JUDGES = {
    "discriminator": {"keep": 0.5},
    "feature_tilt": {"pull": 0.5, "components": 4},
    "detector_weights": {"provenance": "hidden"},
}


@pytest.mark.parametrize("kind", JUDGES)
def test_trained_generators_go_on_behind_every_judge(kind, tmp_path):
    """Labelled pictures of a small diffusion model; written to disk it gives the same numbers."""
    spec = {
        "seed": 1,
        "generations": 3,
        "data": {"kind": "digits", "size": 150},
        "learner": {
            "kind": "diffusion",
            "network": {"kind": "small_unet", "width": 8},
            "labels": "use",
            "records": 600,
            "warmup": 0,
            "device": "cpu",
        },
        "sampling": {"steps": 3},
        "workflow": {"kind": "mix", "synthetic_ratio": 1},
        "metrics": ["noted", "sample_variance"],
        "curation": [{"kind": kind, **JUDGES[kind]}],
    }
    run = autophage.run(spec, tmp_path / "run", pictures=False)
    assert not run.failures and run.metrics["generation"].max() == 2
    assert {"effective_size", "auc", "acceptance"} & set(run.metrics["metric"])
    again = autophage.run(spec, pictures=False).metrics
    assert run.metrics.sort("generation", "metric").equals(again.sort("generation", "metric"))
