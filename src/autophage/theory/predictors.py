"""From a setting to everything theory says about it.

A predictor is a function from `Setting` to a list of `Prediction`; it returns nothing where its theorem does
not apply. Add your own with `PREDICTORS.append(...)`, before `predict` is called.
"""

from __future__ import annotations

from collections.abc import Callable

from autophage.parts import Prediction
from autophage.theory import (
    predict_any,
    predict_contaminated,
    predict_curated,
    predict_distance,
    predict_gaussian,
    predict_limits,
    predict_preferred,
    predict_regression,
    predict_symbols,
    predict_treated,
)
from autophage.theory.setting import Setting

Predictor = Callable[[Setting], list[Prediction]]


def _for_moment_learners(predictor: Predictor) -> Predictor:
    def guarded(setting: Setting) -> list[Prediction]:
        return predictor(setting) if setting.learner_kind in ("gaussian", "kde") else []

    return guarded


PREDICTORS: list[Predictor] = [
    *map(
        _for_moment_learners,
        (
            predict_gaussian.moments,
            predict_gaussian.shape,
            predict_distance.distance,
            predict_limits.limits,
        ),
    ),
    predict_symbols.diversity,
    predict_symbols.support,
    predict_symbols.means,
    predict_contaminated.contexts,
    predict_contaminated.limits,
    predict_regression.excess_risk,
    predict_any.relative_risk,
    predict_any.thresholds,
    predict_any.collapse,
]
"""Every predictor, in the order in which their predictions are shown."""

CURATED: list[Predictor] = [
    predict_curated.filtered,
    predict_preferred.preferred,
    predict_preferred.corrections,
    predict_treated.moved,
]
"""Those that know curations and treatments: they alone are asked about such a loop, and read `setting.curations` and
`setting.gains`."""


def predict(setting: Setting) -> list[Prediction]:
    """All predictions for one agent's loop; none when agents feed each other, which no theorem here covers. Of a loop
    whose samples are curated or whose models are treated only the predictors in `CURATED` speak.

    >>> s = Setting(generations=3, workflow_kind="replace", sizes=[20, 20, 20])
    >>> [p.values.round(4).tolist() for p in predict(s) if p.metric == "variance" and p.quantity == "mean"]
    [[0.95, 0.9025, 0.8574]]
    """
    if setting.agents > 1:
        return []
    if setting.curation:
        return [prediction for predictor in CURATED for prediction in predictor(setting)]
    return [prediction for predictor in PREDICTORS for prediction in predictor(setting)]
