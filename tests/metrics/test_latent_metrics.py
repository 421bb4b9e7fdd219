"""Orthogonality and confidence of generated records in generation 0's latent space."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import autophage
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.learners.class_gaussian import ClassGaussian
from autophage.loop import Loop
from autophage.metrics.latent_confidence import LatentConfidence
from autophage.metrics.orthogonality import OrthogonalityMetric
from autophage.parts import Model
from autophage.samples import Samples
from autophage.theory.orthogonality import orthogonality

KEY = Key(0) / "test_latent_metrics"
CENTRES = (1.2 * np.eye(8)[:4]).tolist()


class View:
    """An evaluation draw of n records of three classes in three dimensions."""

    generation, agent, replicates = 1, "main", 1

    def __init__(self, generated, real):
        self.made, self.real, self.memo = generated, real, {}
        self.model = ClassGaussian().fit(real, key=KEY)

    def generated(self, r):
        return self.made

    def reference(self, r, against="reference"):
        return self.real if against == "train" else labelled(2000, 1.0, "reference")

    def first(self):
        return self.model


def labelled(n, spread, name):
    rng = (KEY / name).generator()
    label = np.arange(n) % 3
    return Samples.of(2 * np.eye(3)[label] + spread * rng.standard_normal((n, 3)), label=label)


def rows(metric, view):
    return {m.metric: m.value[0] for m in metric.measure(view)}


def test_rows_are_those_of_the_latents():
    made = labelled(90, 1.5, "made")
    view = View(made, labelled(300, 1.0, "train"))
    found = rows(OrthogonalityMetric(), view)
    assert (found["ole"], found["ole_relative"]) == pytest.approx(orthogonality(made.x, made.label))
    assert set(rows(OrthogonalityMetric(noise=0.2), view)) == {"ole_noise0.2", "ole_relative_noise0.2"}


@pytest.mark.parametrize(
    ("spread", "low", "high"), [(1.0, 0.468, 0.532), (2.0, 0.532, 0.8), (0.4, 0.2, 0.468)]
)
def test_confidence_sees_what_is_off_the_manifold(spread, low, high):
    """Records of the real law are not told apart: the share is 1/2 within four times sqrt(1 / 8m), what shuffling both sets leaves."""
    found = rows(
        LatentConfidence(noise=0), View(labelled(2000, spread, f"made {spread}"), labelled(900, 1.0, "train"))
    )
    assert low < found["latent_real_share"] < high
    assert 1 / 3 < found["latent_confidence"] < 1


def test_what_cannot_be_measured_is_refused():
    plain = Samples.of(labelled(90, 1.0, "plain").x)
    view = View(plain, labelled(300, 1.0, "train"))
    with pytest.raises(SpecError, match="the class that each generated record was asked for"):
        OrthogonalityMetric().measure(view)
    assert OrthogonalityMetric.lacking(Model) == ["latents"] and not OrthogonalityMetric.lacking(view.model)
    for metric in (OrthogonalityMetric, LatentConfidence):
        with pytest.raises(SpecError, match="noise"):
            metric(noise=1.0)
    with pytest.raises(SpecError, match="latents"):
        Loop(seed=0, data="digits", learner="kde", workflow="replace", metrics=["orthogonality"])


def test_the_course_of_a_loop_with_and_without_errors():
    """With off-manifold errors confidence falls and OLE rises; where only variance is lost confidence is blind, and OLE falls."""
    spec = {
        "seed": 2,
        "replicates": 3,
        "generations": 4,
        "data": {"kind": "principal_components", "of": "digits", "components": 10},
        "workflow": {"kind": "replace", "initial_size": 500},
        "metrics": ["orthogonality", {"kind": "latent_confidence", "noise": 0}],
    }
    courses = {}
    for name, errors in (("errors", {"blur": 0.15, "leak": 0.1}), ("clean", {})):
        table = autophage.run({**spec, "learner": {"kind": "class_gaussian", **errors}}).metrics
        means = table.group_by("metric", "generation").agg(pl.col("value").mean()).sort("generation")
        for metric in ("ole", "latent_confidence", "latent_real_share"):
            courses[name, metric] = means.filter(pl.col("metric") == metric)["value"].to_numpy()
    assert (np.diff(courses["errors", "ole"]) > 0).all()
    assert (np.diff(courses["errors", "latent_confidence"]) < 0).all()
    assert (np.diff(courses["errors", "latent_real_share"]) > 0).all()
    assert (np.diff(courses["clean", "ole"]) < 0).all()
    assert np.ptp(courses["clean", "latent_confidence"]) < 0.04


def test_confidence_does_not_see_a_mere_loss_of_variance():
    """The real share stays within .03 of a half while OLE falls. One set of records leaves a standard error of .0085, nearly all of
    it from its own 400 training and 2,000 held-out records; the mean of four sets .0043, and a bias of .008 (thirteen sets)."""
    courses = {"latent_real_share": [], "ole": []}
    for size in (12500, 12650, 12800, 12950):
        table = autophage.run(
            {
                "seed": 5,
                "replicates": 8,
                "generations": 4,
                "data": {"kind": "labelled_blobs", "size": size, "centres": CENTRES, "deviation": 0.6},
                "learner": "class_gaussian",
                "workflow": {"kind": "replace", "initial_size": 400},
                "metrics": ["orthogonality", {"kind": "latent_confidence", "noise": 0}],
                "evaluation_size": 2000,
            }
        ).metrics
        means = table.group_by("metric", "generation").agg(pl.col("value").mean()).sort("generation")
        for metric, course in courses.items():
            course.append(means.filter(pl.col("metric") == metric)["value"].to_numpy())
    assert (np.abs(np.mean(courses["latent_real_share"], axis=0) - 0.5) < 0.03).all()
    ole = np.array(courses["ole"])
    assert (np.diff(ole, axis=1) < 0).all() and (ole[:, -1] < 0.97 * ole[:, 0]).all()
