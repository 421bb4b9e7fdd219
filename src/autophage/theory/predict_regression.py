"""Predictions for loops of linear regressions: `excess_risk`, the noise-free error on real inputs."""

from __future__ import annotations

from typing import Literal

import numpy as np

from autophage.errors import SpecError
from autophage.parts import Prediction
from autophage.theory.regression_chain import Stage, check_threshold, course
from autophage.theory.regression_closed import least_norm_error, replace_course
from autophage.theory.regression_spectra import Directions
from autophage.theory.setting import Setting
from autophage.theory.workflow_moments import error_inflation

SOURCE = "Dohmatob, Feng & Kempe 2024; Gerstgrasser et al. 2024"
Status = Literal["exact", "asymptotic"]


def excess_risk(setting: Setting) -> list[Prediction]:
    """`excess_risk` of linear regression on Gaussian inputs.

    Replace: the chain of its fits, with any penalty, sizes and spectrum; exact for least squares with d + 2 rows or more, and
    for least squares of least norm on isotropic inputs, asymptotic otherwise. One design re-labelled for ever, and every other
    workflow: what the labels' noise adds to generation 0, times the linear predictor's inflation. `setting.data` holds `noise`
    and, where they are known, `spectrum` and `signal` (d,); `label_noises` and `ridges` (G,) where they change.
    """
    if setting.learner_kind != "regression" or setting.data_kind != "regression":
        return []
    if setting.initial is not None or setting.real_fixed or setting.data.get("noise") is None:
        return []
    stages = _stages(setting)
    found = None
    if stages is not None:
        if setting.design == "fixed" and setting.workflow_kind in ("replace", "accumulate", "window"):
            found = _one_design(setting, stages) or _inflated(setting, stages)
        elif setting.workflow_kind == "replace":
            found = _chain(setting, stages)
        else:
            found = _inflated(setting, stages)
    if found is None:
        return []
    values, status, statement = found
    return [Prediction("excess_risk", values, status, statement, SOURCE)]


Found = tuple[np.ndarray, Status, str] | None


def _stages(setting: Setting) -> list[Stage] | None:
    """Every generation as a stage, or None where one of them has no finite mean error."""
    G, data = setting.generations, setting.data
    noises = np.broadcast_to(np.asarray(data.get("label_noises", data["noise"]), dtype=np.float64), (G,))
    ridges = np.broadcast_to(np.asarray(data.get("ridges", setting.ridge), dtype=np.float64), (G,))
    try:
        stages = [
            Stage(float(n), float(c), float(e)) for n, c, e in zip(setting.sizes, ridges, noises, strict=True)
        ]
        for stage in stages:
            check_threshold(stage, setting.dim)
    except SpecError:  # the run's to report: its fits fail, or scatter without bound
        return None
    return stages


def _law(setting: Setting) -> Directions | None:
    """The spectrum with its signal, where both are known and the inputs vary along every direction."""
    spectrum, signal = setting.data.get("spectrum"), setting.data.get("signal")
    if spectrum is None or signal is None:
        return None
    s, w = (np.broadcast_to(np.asarray(v, dtype=np.float64), (setting.dim,)) for v in (spectrum, signal))
    return Directions(s, w) if (s > 0).all() else None


def _chain(setting: Setting, stages: list[Stage]) -> Found:
    d, law = setting.dim, _law(setting)
    plain = not any(stage.ridge for stage in stages)
    if plain and all(stage.rows > d + 1 for stage in stages):
        values = replace_course(d, setting.sizes, [stage.noise for stage in stages])
        statement = "Each refit to own labels adds sigma^2 d/(n-d-1), exactly (Gaussian inputs, no penalty)."
        return values, "exact", statement
    if law is None:
        return None
    if plain and (law.eigenvalues == law.eigenvalues[0]).all():
        values = np.array([least_norm_error(d, law.energy, stages[: t + 1]) for t in range(len(stages))])
        statement = (
            "Fits to fewer rows than directions keep n/d of the signal each, so that it is lost exponentially, and add "
            "their labels' noise, exactly (isotropic Gaussian inputs, least norm)."
        )
        return values, "exact", statement
    statement = (
        "The chain of fits to each other's labels, direction by direction: each shrinks the signal by s/(s + kappa) and adds "
        "its labels' noise, with a few per cent of error at tens of dimensions."
    )
    return course(*law, stages), "asymptotic", statement


def _one_design(setting: Setting, stages: list[Stage]) -> Found:
    """X stays, so w_t = w_{t-1} + X^+ (noise of its labels): what X does not see is lost once, the rest adds up."""
    first, d, law = stages[0], setting.dim, _law(setting)
    if setting.workflow_kind == "replace" and not any(stage.ridge or stage.rows <= d for stage in stages):
        return _chain(setting, stages)  # the same sum, which noise and sizes may vary in
    if any(stage != first for stage in stages) or first.ridge:
        return None
    inflation = error_inflation(setting)
    if inflation is None:
        return None
    lost = 0.0
    if first.rows < d:
        if law is None or not (law.eigenvalues == law.eigenvalues[0]).all():
            return None
        lost = law.energy * (1 - first.rows / d)
    unit = least_norm_error(d, 0.0, [first])
    words = {
        "replace": "adds as much again every generation",
        "accumulate": "stays below pi^2/6 of generation 0's",
        "window": "is averaged over the window's label sets",
    }[setting.workflow_kind]
    statement = f"The labels' noise in one design that is re-labelled every generation {words}, exactly."
    return lost + unit * inflation * first.rows, "exact", statement


def _inflated(setting: Setting, stages: list[Stage]) -> Found:
    first, d = stages[0], setting.dim
    if any(stage.ridge or stage.noise != first.noise or stage.rows <= d + 1 for stage in stages):
        return None
    inflation = error_inflation(setting)
    if inflation is None:
        return None
    statement = (
        "Generation 0's sigma^2 d/(n-d-1) times the linear predictor's inflation, to first order in d/n."
    )
    return least_norm_error(d, 0.0, [first]) * inflation * first.rows, "asymptotic", statement
