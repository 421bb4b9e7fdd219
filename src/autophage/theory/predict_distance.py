"""Predictions of the Wasserstein distance between a Gaussian model and the truth."""

from __future__ import annotations

import numpy as np

from autophage.parts import Prediction
from autophage.schedules import ceil
from autophage.theory import gaussian_accumulate, gaussian_distance, gaussian_replace
from autophage.theory.gaussian_fresh import distance_course
from autophage.theory.moments import Moments
from autophage.theory.predict_gaussian import WORDS, plain_gaussian, refit_of, starting_variances
from autophage.theory.setting import Setting
from autophage.theory.workflow_moments import error_inflation, workflow_moments


def distance(setting: Setting) -> list[Prediction]:
    """`frechet_model`: exact where the coordinates are independent, else a lower bound and a first-order
    expansion."""
    if not plain_gaussian(setting) or setting.covariance == "known":
        return []
    refit = refit_of(setting)
    found = None if refit is None else workflow_moments(setting, refit)
    predictions = []
    mean_sd = _mean_sd(setting)
    if found is not None and mean_sd is not None:
        predictions.append(_marginal_distance(setting, found, mean_sd))
    exact = bool(predictions) and predictions[0].status == "exact"
    if (settling := _fresh_distance(setting)) is not None:
        return [settling]
    inflation = error_inflation(setting) if setting.initial is None and setting.plain_sampling else None
    if not exact and inflation is not None and _independent_or_full(setting):
        cov = setting.cov
        assert cov is not None
        predictions.append(
            Prediction(
                "frechet_model",
                gaussian_distance.first_order(inflation, np.linalg.eigvalsh(cov), diagonal=not setting.full),
                "asymptotic",
                "Mean squared Wasserstein distance to the truth, to first order in 1/n at a fixed generation "
                "and dimension: the linear predictor's variance times a constant of the true covariance.",
                "Dey & Donoho 2024 (universality); Shumailov et al. 2024, supplement eq. 6 (one dimension)",
            )
        )
    return predictions


def _marginal_distance(setting: Setting, found: Moments, mean_sd: np.ndarray) -> Prediction:
    cov = setting.cov
    assert cov is not None
    deviations = np.sqrt(np.diag(cov))
    start = np.sqrt(starting_variances(setting))
    values = gaussian_distance.from_marginals(found, mean_sd, deviations, start)
    exact = setting.dim == 1 or (not setting.full and np.allclose(cov, np.diag(np.diag(cov))))
    return Prediction(
        "frechet_model",
        values,
        "exact" if exact else "bound",
        f"Mean squared Wasserstein distance to the truth where {WORDS[setting.workflow_kind]}"
        + ("." if exact else ": at least the sum over its coordinates."),
        "derived for autophage; Shumailov et al. 2024 (supplement) for replace",
        side=None if exact else "lower",
    )


def _fresh_distance(setting: Setting) -> Prediction | None:
    """The fresh data loop of Alemohammad et al.: isotropic truth, unbiased fits, exact counts, any bias."""
    cov = setting.cov
    if setting.workflow_kind != "fresh" or setting.counts != "exact" or setting.provenance == "known":
        return None
    if setting.ddof != 1 or setting.initial is not None or setting.real_shares is None or cov is None:
        return None
    if setting.real_weights is not None:
        return None
    if not np.allclose(cov, cov[0, 0] * np.eye(setting.dim)) or not (setting.full or setting.dim == 1):
        return None
    real = [ceil(a * n) for a, n in zip(setting.course(setting.real_shares), setting.sizes[1:], strict=True)]
    return Prediction(
        "frechet_model",
        cov[0, 0] * distance_course(setting.sizes, real, setting.dim, setting.bias),
        "asymptotic",
        "Mean squared Wasserstein distance to the truth where new real records enter every fit, to second "
        "order in the fluctuation of the covariance (records well above the dimension).",
        "Alemohammad et al. 2024 (loop); derived for autophage",
    )


def _mean_sd(setting: Setting) -> np.ndarray | None:
    given = setting.initial is not None
    if not ((setting.sizes[1:] if given else setting.sizes) > 1).all():
        return None
    if setting.workflow_kind == "replace":
        return gaussian_replace.mean_sd(setting.sizes, ddof=setting.ddof, bias=setting.bias, given=given)
    if setting.workflow_kind == "accumulate" and not given:
        return gaussian_accumulate.mean_sd_accumulate(setting.sizes, ddof=setting.ddof, bias=setting.bias)
    return None


def _independent_or_full(setting: Setting) -> bool:
    cov = setting.cov
    assert cov is not None
    return setting.full or np.allclose(cov, np.diag(np.diag(cov)))
