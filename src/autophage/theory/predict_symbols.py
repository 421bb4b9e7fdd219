"""Predictions for frequencies, counts, coin flips and waiting times."""

from __future__ import annotations

import dataclasses

import numpy as np

from autophage.parts import Prediction
from autophage.schedules import ceil
from autophage.theory import survival
from autophage.theory.categorical import one_hot
from autophage.theory.moments import Refit
from autophage.theory.predict_gaussian import SOURCES, WORDS
from autophage.theory.setting import Setting
from autophage.theory.workflow_moments import workflow_moments

EXACT_SUPPORT = 500
"""Largest n for which `predict` solves the chain of every symbol,"""
EXACT_SYMBOLS = 20_000
"""and how many symbols there may be."""


def _truth(setting: Setting) -> np.ndarray | None:
    p = setting.data.get("probabilities")
    biased = setting.temperature != 1 or setting.smoothing
    return None if p is None or biased else np.asarray(p, dtype=np.float64)


def diversity(setting: Setting) -> list[Prediction]:
    """`gini` and `squared_error` of a categorical learner."""
    p = _truth(setting)
    if setting.learner_kind != "categorical" or p is None:
        return []
    initial = None if setting.initial is None else setting.initial.get("probabilities")
    if setting.initial is not None and initial is None:
        return []
    refit = dataclasses.replace(one_hot(p, initial), fixed_real=setting.real_fixed)
    found = workflow_moments(setting, refit)
    if found is None:
        return []
    words, source = WORDS[setting.workflow_kind], f"{SOURCES[setting.workflow_kind]}; Seddik et al. 2024"
    gini = Prediction("gini", found.variance, "exact", f"Mean diversity 1 - sum p^2 where {words}.", source)
    if setting.real_fixed:
        return [gini]
    statement = f"Mean sum of squared differences to the truth where {words}."
    return [gini, Prediction("squared_error", found.squared_error, "exact", statement, source)]


def support(setting: Setting) -> list[Prediction]:
    """`support`: distinct symbols left, exactly or at least."""
    p = _truth(setting)
    if (
        setting.learner_kind != "categorical"
        or p is None
        or setting.initial is not None
        or setting.real_fixed
    ):
        return []
    n, G = setting.sizes, setting.generations
    kind = setting.workflow_kind
    keeps_all = setting.keeps_whole_real and (
        kind in ("accumulate", "mix") or (kind == "window" and setting.keep_real)
    )
    if keeps_all:
        seen = np.full(G, survival.distinct_seen(p, n[0]))
        statement = "Symbols of the first real set, none of which is ever lost while that set is kept."
        return [Prediction("support", seen, "exact", statement, "occupancy; derived for autophage")]
    if kind == "replace" and (n == n[0]).all() and n[0] <= EXACT_SUPPORT and len(p) <= EXACT_SYMBOLS:
        return [
            Prediction(
                "support",
                survival.distinct_exact(p, int(n[0]), G),
                "exact",
                "Distinct symbols left when every fit sees samples of the newest model only.",
                "binomial chain per symbol; derived for autophage",
            )
        ]
    if kind == "replace":
        return [
            Prediction(
                "support",
                survival.distinct_lower(p, n),
                "bound",
                "Distinct symbols left when every fit sees samples of the newest model only, at least.",
                "Suresh et al. 2024",
                side="lower",
            )
        ]
    plain = setting.provenance == "hidden" and setting.real_weights is None
    if kind == "fresh" and setting.real_shares is not None and plain:
        shares = np.broadcast_to(np.asarray(setting.real_shares, dtype=np.float64), n.shape)
        if setting.counts == "exact":
            shares = np.array([min(ceil(a * m), m) for a, m in zip(shares, n, strict=True)]) / n
        return [
            Prediction(
                "support",
                survival.distinct_lower(p, n, shares),
                "bound",
                "Distinct symbols where new real records enter every fit, at least.",
                "Suresh et al. 2024 (branching bound), extended for autophage",
                side="lower",
            )
        ]
    return []


def means(setting: Setting) -> list[Prediction]:
    """`squared_error` of the mean of Poisson, Bernoulli and exponential learners, from their quadratic
    variance functions."""
    mean = setting.mean
    if setting.learner_kind not in ("poisson", "bernoulli", "exponential") or mean is None:
        return []
    if setting.initial is not None or setting.real_fixed or not setting.plain_sampling:
        return []
    variance, quadratic = {
        "poisson": (mean.sum(), 0.0),
        "bernoulli": ((mean * (1 - mean)).sum(), -1.0),
        "exponential": ((mean**2).sum(), 1.0),
    }[setting.learner_kind]
    found = workflow_moments(setting, Refit(real=float(variance), known=float(variance), quadratic=quadratic))
    if found is None:
        return []
    words = WORDS[setting.workflow_kind]
    source = f"{SOURCES[setting.workflow_kind]}; quadratic variance functions, Morris 1982"
    width = (found.variance + quadratic * found.squared_error) / setting.dim
    predictions = [
        Prediction(
            "variance",
            width,
            "exact",
            f"Mean variance per coordinate of the fitted law where {words}.",
            source,
        ),
        Prediction(
            "squared_error",
            found.squared_error,
            "exact",
            f"Mean squared error of the fitted mean where {words}.",
            source,
        ),
    ]
    if setting.workflow_kind == "replace" and setting.learner_kind != "exponential" and setting.dim == 1:
        predictions += _alive(setting, float(mean[0]))
    return predictions


def _alive(setting: Setting, mean: float) -> list[Prediction]:
    n = setting.sizes
    statement = "Chance that the mean has not been absorbed at zero under replace."
    if setting.learner_kind == "poisson":
        alive = survival.poisson_survival(mean, n)
        return [Prediction("alive", alive, "exact", statement, "Suresh et al. 2024", quantity="probability")]
    if (n == n[0]).all() and n[0] <= EXACT_SUPPORT:
        alive = survival.bernoulli_survival(mean, int(n[0]), setting.generations)
        return [
            Prediction(
                "alive",
                alive,
                "exact",
                statement,
                "binomial chain; derived for autophage",
                quantity="probability",
            )
        ]
    lower, upper = survival.bernoulli_bounds(mean, n)
    return [
        Prediction(
            "alive", lower, "bound", statement, "Suresh et al. 2024", quantity="probability", side="lower"
        ),
        Prediction(
            "alive", upper, "bound", statement, "Suresh et al. 2024", quantity="probability", side="upper"
        ),
    ]
