"""Predictions where new real records enter every training set and nobody says which: the regime of the schedules, the
level it ends at, and the course of several contexts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autophage.parts import Prediction
from autophage.schedules import ceil
from autophage.theory.contaminated import Regime, classify_schedule
from autophage.theory.contexts import inverse_count, several_contexts
from autophage.theory.setting import Setting

METRIC = {
    "categorical": "squared_error",
    "bernoulli": "squared_error",
    "bigram": "squared_error",
    "gaussian": "squared_mean_error",
}
"""The metric whose course the regime speaks of: R_t."""


def spread(setting: Setting) -> float | None:
    """V, the error of total collapse: 1 - sum p^2 of symbols (tokens in contexts: its mean over contexts), m (1 - m)
    of zeros and ones, tr Sigma of a Gaussian by maximum likelihood. None for learners whose error follows another
    recursion, and where the real law is unknown."""
    kind, data = setting.learner_kind, setting.data
    if not setting.plain_sampling or setting.smoothing or setting.ridge or setting.real_fixed:
        return None
    if kind == "categorical" and data.get("probabilities") is not None:
        return float(1 - (np.asarray(data["probabilities"]) ** 2).sum())
    if kind == "bigram" and data.get("rows") is not None:
        return float(np.asarray(data["weights"]) @ (1 - (np.asarray(data["rows"]) ** 2).sum(axis=1)))
    if kind == "bernoulli" and setting.mean is not None:
        return float((setting.mean * (1 - setting.mean)).sum())
    if kind == "gaussian" and setting.ddof == 0 and setting.covariance != "known" and setting.cov is not None:
        return float(np.trace(setting.cov))
    return None


def regime(setting: Setting) -> Regime | None:
    """The regime of a fresh loop whose real share is c t^-p and whose size is n t^b (constants included), or None where
    there is no such statement."""
    V = spread(setting)
    if setting.workflow_kind != "fresh" or V is None or setting.curation or setting.agents > 1:
        return None
    if setting.share_law is None or setting.size_law is None or setting.provenance == "known":
        return None
    (c, p), (n0, b) = setting.share_law, setting.size_law
    if p < 0 or b < 0 or not 0 <= c <= 1 or n0 < 1:
        return None  # a share that grows past one, or a size that falls below one record, some day
    if setting.counts == "exact":
        return _exact_counts(c, p, n0, b, V)
    if setting.learner_kind == "bigram":
        return _contexts(setting, V)
    found = classify_schedule(p, c, b, n0, spread=V, initial_size=setting.real_size)
    if found.name == "stalls" and setting.initial is not None:
        return replace(found, level=None, coefficient=None)
    return found


def _exact_counts(c: float, p: float, n0: float, b: float, V: float) -> Regime | None:
    """With ceil(c n) real records in every set of constant size: M' = [(1-a)^2 - (1-a)/n] M + V/n, a = ceil(c n)/n."""
    if p or b:
        return None
    a = min(ceil(c * n0), n0) / n0
    found = classify_schedule(0, a, 0, n0, spread=V)
    level = V / (n0 * (2 * a - a**2) + (1 - a))
    return replace(found, level=level, coefficient=level)


def _contexts(setting: Setting, V: float) -> Regime:
    """Context c sees n pi_c records on average, and exactly so in the long run where n grows."""
    (c, p), (n0, b) = setting.share_law or (0.0, 0.0), setting.size_law or (1.0, 0.0)
    pi = np.asarray(setting.data["weights"], dtype=np.float64)
    own = 1 - (np.asarray(setting.data["rows"]) ** 2).sum(axis=1)
    unit = classify_schedule(p, c, b, 1.0)
    level: float | None = unit.level
    coefficient = unit.coefficient
    if unit.name == "collapses":
        level = coefficient = V
    elif unit.name == "stalls":
        level = coefficient = None
    elif unit.name == "recovers":
        coefficient = None if coefficient is None else coefficient * own.sum() / n0
    elif p:
        level = coefficient = float(pi @ (own / (2 * c * n0 * pi + 1)))
    else:
        met, share, kept = -np.expm1(n0 * np.log1p(-pi)), inverse_count(n0, pi), (1 - c) ** 2
        level = coefficient = float(pi @ (share * own / (met * (1 - kept) + share * kept)))
    return replace(unit, level=level, coefficient=coefficient)


def limits(setting: Setting) -> list[Prediction]:
    """Where a fresh loop's error ends, and how fast it gets to zero."""
    found = regime(setting)
    if found is None:
        return []
    metric, predictions = METRIC[setting.learner_kind], []
    if found.level is not None:
        predictions.append(
            Prediction(
                metric, np.array([found.level]), "exact", found.sentence(), found.source, quantity="limit"
            )
        )
    if found.name == "recovers":
        predictions.append(
            Prediction(
                metric,
                np.array([found.exponent]),
                "asymptotic",
                found.sentence(),
                found.source,
                quantity="rate",
                unit="power of t",
            )
        )
    return predictions


def contexts(setting: Setting) -> list[Prediction]:
    """`squared_error` and `gini` of a bigram learner, context by context."""
    if setting.learner_kind != "bigram" or spread(setting) is None or setting.initial is not None:
        return []
    fresh = (
        setting.workflow_kind == "fresh" and setting.counts == "mixture" and setting.provenance == "hidden"
    )
    if not fresh and setting.workflow_kind != "replace":
        return []
    weights = setting.data["weights"]
    course = several_contexts(
        setting.data["rows"],
        weights,
        setting.real_shares if fresh else 0.0,
        setting.sizes,
        keeps_missing=setting.start == "previous",
    )
    source = "derived for autophage; setting of Bakshi & Chakraborty 2026 and Seddik et al. 2024"
    words = "new real records enter every fit" if fresh else "every fit sees samples of the newest model only"
    return [
        Prediction(
            metric,
            values @ np.asarray(weights),
            "exact",
            f"Mean over contexts of the {what}, where {words} and a row is refitted only if its context occurs.",
            source,
        )
        for metric, values, what in (
            ("squared_error", course.risk, "squared error of the next-token frequencies"),
            ("gini", course.gini, "diversity 1 - sum p^2 of the next-token frequencies"),
        )
    ]
