"""Predictions for loops whose models move only part of the way to each fit (treatment `gain`)."""

from __future__ import annotations

import numpy as np

from autophage.parts import Prediction
from autophage.theory.provenance import gain_risk
from autophage.theory.setting import Setting

SOURCE = "Kanabar & Gastpar 2025 (estimator, gains); recursion for any gains derived for autophage"


def moved(setting: Setting) -> list[Prediction]:
    """The squared error of frequencies, and of a Gaussian mean of known covariance, under workflow `fresh`.

    With A_t = E|m_t - m|^2, real share a, size n, gain K and S the variance of a record (summed over coordinates):

        A_t = (1 - K a)^2 A_{t-1} + K^2 v / n,   v = S + a(1-a) A_{t-1} (mixture)  or  S (exact counts)

    for the mean; frequencies: `provenance.gain_risk`. Status: exact.
    """
    known = setting.gains is not None and setting.workflow_kind == "fresh" and setting.real_weights is None
    if not known or setting.initial is not None or setting.real_fixed or not setting.plain_sampling:
        return []
    statement = "Mean squared error of an estimate that moves by the gain towards fits whose records are in part new real ones."
    p = setting.data.get("probabilities")
    if setting.learner_kind == "categorical" and p is not None and not setting.smoothing:
        values = gain_risk(p, setting.sizes, setting.real_shares, setting.gains, setting.counts)
        return [Prediction("squared_error", values, "exact", statement, SOURCE)]
    if setting.learner_kind == "gaussian" and setting.covariance == "known" and setting.cov is not None:
        return [Prediction("squared_mean_error", _mean(setting), "exact", statement, SOURCE)]
    return []


def _mean(setting: Setting) -> np.ndarray:
    real = float(np.trace(setting.cov))  # type: ignore[arg-type]
    synthetic = setting.known_variance * setting.dim
    n, a, K = (
        setting.sizes,
        setting.course_or(setting.real_shares, 1.0),
        setting.course_or(setting.gains, 1.0),
    )
    error = np.empty(setting.generations)
    error[0] = real / n[0]
    for t in range(1, setting.generations):
        spread = a[t] * real + (1 - a[t]) * synthetic
        if setting.counts == "mixture":
            spread += a[t] * (1 - a[t]) * error[t - 1]
        error[t] = (1 - K[t] * a[t]) ** 2 * error[t - 1] + K[t] ** 2 * spread / n[t]
    return error
