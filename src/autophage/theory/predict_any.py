"""Predictions that need no closed form of the learner: relative risk, and thresholds."""

from __future__ import annotations

import numpy as np

from autophage.parts import Prediction
from autophage.theory.linear import ACCUMULATE_EFFICIENCY
from autophage.theory.population import contraction_factor
from autophage.theory.setting import Setting
from autophage.theory.stability import LARGEST_PROVABLE_RATIO
from autophage.theory.workflow_moments import error_inflation

EXPONENTIAL_FAMILIES = (
    "gaussian",
    "categorical",
    "bigram",
    "poisson",
    "bernoulli",
    "exponential",
    "regression",
)
"""Learners that fit a regular exponential family (given the inputs) by maximum likelihood."""
_OWN_DATA = {
    "gaussian": "gaussian",
    "categorical": "categorical",
    "bigram": "bigram",
    "poisson": "poisson",
    "bernoulli": "bernoulli",
    "exponential": "exponential",
    "regression": "regression",
}
"""Data that a learner's family contains: there its fits are well specified."""
_SMOOTHERS = ("kde", "kernel_regression")
"""Learners whose error is not of the parametric kind."""


def _regular(setting: Setting) -> bool:
    return _OWN_DATA.get(setting.learner_kind) == setting.data_kind


def relative_risk(setting: Setting) -> list[Prediction]:
    """`relative_excess_risk`: excess risk over generation 0's, from the linear workflow predictor."""
    if setting.learner_kind in _SMOOTHERS or setting.initial is not None or not setting.plain_sampling:
        return []
    if setting.real_fixed and setting.workflow_kind == "fresh":
        return []
    inflation = error_inflation(setting)
    if inflation is None:
        return []
    if setting.ridge != 0 or np.any(setting.data.get("ridges", 0)):
        return []  # a penalty biases every fit, and the bias is passed on: no share of batches tells what it does
    regular = _regular(setting)
    claim = {
        "replace": "grows without bound, in proportion to the fits made",
        "accumulate": f"stays bounded, by pi^2/6 = {1 / ACCUMULATE_EFFICIENCY:.3f} for equal batches",
    }.get(setting.workflow_kind, "follows from the workflow's share of every batch")
    scope = (
        "for a regular, well-specified family as n grows at a fixed generation"
        if regular
        else "a theorem for regular families, only a conjecture for this learner and data"
    )
    return [
        Prediction(
            "relative_excess_risk",
            inflation / inflation[0],
            "asymptotic" if regular else "conjecture",
            f"Excess risk relative to generation 0's {claim}; {scope}.",
            "Dey & Donoho 2024 (universality); Gerstgrasser et al. 2024 (linear regression)",
        )
    ]


def thresholds(setting: Setting) -> list[Prediction]:
    """How much synthetic data is provably safe, and how fast the population loop returns, when real data is
    kept."""
    if setting.workflow_kind != "mix" or not setting.plain_sampling or setting.learner_kind in _SMOOTHERS:
        return []
    predictions = [
        Prediction(
            "synthetic_ratio",
            np.array([LARGEST_PROVABLE_RATIO]),
            "bound",
            "No ratio above this can be proved locally stable by theorem 1, which allows "
            "1/(2(1 + L eps/alpha)); stable loops above it exist.",
            "Bertrand et al. 2024, theorem 1",
            quantity="threshold",
            side="upper",
            unit="synthetic per real record",
        )
    ]
    if setting.synthetic_ratio is None:
        return predictions
    family = setting.learner_kind in EXPONENTIAL_FAMILIES and setting.ridge == 0
    scope = (
        "exact for a regular exponential family"
        if family
        else "exact for well-specified models near the optimum, a conjecture for this one"
    )
    return [
        *predictions,
        Prediction(
            "distance_to_optimum",
            np.array([contraction_factor(setting.synthetic_ratio)]),
            "exact" if family else "conjecture",
            "With infinite data the distance to the optimum shrinks by lambda/(1+lambda) per generation; "
            f"{scope}.",
            "derived for autophage; map of Bertrand et al. 2024, sharper bound Ferbach et al. 2024",
            quantity="rate",
            unit="per generation",
        ),
    ]


def collapse(setting: Setting) -> list[Prediction]:
    """What is known of a learner without closed forms that is trained on its own samples only."""
    if setting.workflow_kind != "replace" or setting.learner_kind in (*EXPONENTIAL_FAMILIES, *_SMOOTHERS):
        return []
    if setting.data_kind in ("text", "captioned_images"):
        return []
    return [
        Prediction(
            "variance",
            np.array([0.0]),
            "conjecture",
            "A learner trained on its own samples only loses its variance in the end: a theorem for "
            "Gaussians and for frequencies, unproved for this learner; smoothing learners may inflate "
            "instead.",
            "Shumailov et al. 2024; Alemohammad et al. 2024; Bertrand et al. 2024, proposition 1",
            quantity="limit",
        )
    ]
