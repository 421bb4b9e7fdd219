"""Predictions for Gaussians fitted by moments (and their relative, the fixed-bandwidth kernel density)."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.parts import Prediction
from autophage.theory import gaussian_accumulate, gaussian_replace
from autophage.theory.gaussian_tails import moment_bound
from autophage.theory.moments import Refit
from autophage.theory.setting import Setting
from autophage.theory.workflow_moments import workflow_moments

WORDS = {
    "replace": "every fit sees samples of the newest model only",
    "accumulate": "every fit sees all records so far",
    "accumulate_subsample": "every fit sees a uniform subsample of all records so far",
    "window": "every fit sees the newest whole batches",
    "mix": "real records are kept and the rest are samples of the newest model",
    "keep_real": "some real records are drawn anew each time and the rest are samples of the newest model",
    "fresh": "new real records enter every fit, the rest are samples of the newest model",
}
SOURCES = {
    "replace": "Shumailov et al. 2024; Alemohammad et al. 2024, eq. 1-2; Kazdan et al. 2024",
    "accumulate": "Kazdan et al. 2024; Gerstgrasser et al. 2024",
    "accumulate_subsample": "Kazdan et al. 2024 (workflow); recursion derived for autophage",
    "window": "Dey & Donoho 2024 (workflow); recursion derived for autophage",
    "mix": "Bertrand et al. 2024 (workflow); recursion derived for autophage",
    "keep_real": "Shumailov et al. 2024 (workflow); recursion derived for autophage",
    "fresh": "Alemohammad et al. 2024 (workflow, eq. 3); recursion derived for autophage",
}


def refit_of(setting: Setting) -> Refit | None:
    """How `moments` sees the setting's learner, or None when the real law's moments are unknown."""
    mean, cov = setting.mean, setting.cov
    if cov is None or setting.ridge:
        return None
    given = None
    if setting.initial is not None:
        if mean is None or setting.initial_cov is None:
            return None
        given = (float(((setting.initial_mean - mean) ** 2).sum()), float(np.trace(setting.initial_cov)))
    known = setting.dim * setting.known_variance if setting.covariance == "known" else None
    if setting.learner_kind == "kde":
        if setting.bandwidth is None or given is not None:
            return None
        added = setting.dim * setting.bandwidth**2
        return Refit(real=float(np.trace(cov)), added=added, fixed_real=setting.real_fixed)
    return Refit(
        real=float(np.trace(cov)),
        ddof=setting.ddof,
        bias=setting.bias,
        known=known,
        initial=given,
        fixed_real=setting.real_fixed,
    )


def moments(setting: Setting) -> list[Prediction]:
    """`variance` and `squared_mean_error`: exact for any real law with finite variance, full or diagonal
    covariance."""
    refit = refit_of(setting)
    found = None if refit is None else workflow_moments(setting, refit)
    if refit is None or found is None:
        return []
    words, source = WORDS[setting.workflow_kind], SOURCES[setting.workflow_kind]
    if setting.learner_kind == "kde":
        fitted = f"a kernel density of bandwidth {setting.bandwidth:g}"
        variance = found.variance / setting.dim + float(setting.bandwidth or 0) ** 2
        source = f"{source}; kernel recursion derived for autophage"
    else:
        fitted = {0: "a maximum-likelihood Gaussian", 1: "an unbiased Gaussian"}[setting.ddof]
        variance = found.variance / setting.dim
    setup = f"{fitted}, where {words}"
    if setting.bias != 1:
        setup += f", sampled with bias {setting.bias:g}"
    if setting.real_fixed:
        setup += ", given the one real set that all replicates share"
    predictions = []
    if setting.covariance != "known":
        predictions.append(
            Prediction("variance", variance, "exact", f"Mean variance per coordinate of {setup}.", source)
        )
    if not setting.real_fixed:
        predictions.append(
            Prediction(
                "squared_mean_error",
                found.squared_error,
                "exact",
                f"Mean squared error of the mean of {setup}.",
                source,
            )
        )
    return predictions


def shape(setting: Setting) -> list[Prediction]:
    """`log_det`, `log_variance`, `standard_deviation` and the median of `variance`, where refits are
    independent factors."""
    if not plain_gaussian(setting) or setting.covariance == "known":
        return []
    if setting.workflow_kind == "replace":
        return _replace_shape(setting)
    if setting.workflow_kind == "accumulate" and setting.initial is None and (setting.sizes > 1).all():
        return _accumulate_shape(setting)
    return []


def _replace_shape(setting: Setting) -> list[Prediction]:
    given = setting.initial is not None
    options: dict[str, Any] = {"ddof": setting.ddof, "bias": setting.bias, "given": given}
    start = starting_variances(setting)
    fits = setting.sizes[1:] if given else setting.sizes
    if len(fits) and not (fits > 1).all():
        return []
    method = "unbiased" if setting.ddof else "maximum likelihood"
    words = f"a Gaussian refitted to its own samples only ({method})"
    log_variance, _ = gaussian_replace.log_det(setting.sizes, 1, **options)
    predictions = [
        Prediction(
            "log_variance",
            log_variance + np.log(start).mean(),
            "exact",
            f"Mean log variance of {words}: a random walk with negative drift.",
            "Suresh et al. 2024; chi-square logarithm",
        ),
        Prediction(
            "standard_deviation",
            gaussian_replace.mean_sd(setting.sizes, **options) * np.sqrt(start).mean(),
            "exact",
            f"Mean standard deviation of {words}: it falls by the factor c(n) sqrt((n-1)/(n-ddof)) per fit.",
            "Bertrand et al. 2024, proposition 1",
        ),
    ]
    if setting.dim == 1:
        predictions.append(
            Prediction(
                "variance",
                start[0] * gaussian_replace.median_variance(setting.sizes, **options),
                "asymptotic",
                f"Median variance of {words}, after many generations: the typical loop collapses even where "
                "the mean does not.",
                "Suresh et al. 2024",
                quantity="median",
            )
        )
    if not setting.full or (fits > setting.dim).all():
        total, _ = gaussian_replace.log_det(setting.sizes, setting.dim, diagonal=not setting.full, **options)
        origin = (
            np.log(start).sum() if not setting.full else np.linalg.slogdet(starting_covariance(setting))[1]
        )
        predictions.append(
            Prediction(
                "log_det",
                total + origin,
                "exact",
                f"Mean log determinant of {words}.",
                "Wishart determinant (Bartlett 1934)",
            )
        )
    n = setting.sizes[-1]
    if setting.dim == 1 and not given and setting.bias == 1 and (setting.sizes == n).all():
        fits_made = np.arange(1, setting.generations + 1)
        predictions.append(
            Prediction(
                "standard_deviation",
                moment_bound(fits_made, n, 0.1),
                "bound",
                "Chance that the standard deviation is still above a tenth of the true one (unbiased "
                "refits; maximum likelihood is narrower).",
                "Suresh et al. 2024, theorem 3 (moment version)",
                quantity="probability",
                side="upper",
                parameters={"above": 0.1 * float(np.sqrt(start[0]))},
            )
        )
    return predictions


def _accumulate_shape(setting: Setting) -> list[Prediction]:
    start = starting_variances(setting)
    options: dict[str, Any] = {"ddof": setting.ddof, "bias": setting.bias}
    log_variance = gaussian_accumulate.mean_log_accumulate(setting.sizes, **options)
    words = "a Gaussian fitted to all records so far"
    source = "derived for autophage (independent factors, quadrature)"
    predictions = [
        Prediction(
            "log_variance",
            log_variance + np.log(start).mean(),
            "exact",
            f"Mean log variance of {words}: bounded.",
            source,
        ),
        Prediction(
            "standard_deviation",
            gaussian_accumulate.mean_sd_accumulate(setting.sizes, **options) * np.sqrt(start).mean(),
            "exact",
            f"Mean standard deviation of {words}: bounded away from zero.",
            source,
        ),
    ]
    if not setting.full:
        total = setting.dim * log_variance + np.log(start).sum()
        predictions.append(Prediction("log_det", total, "exact", f"Mean log determinant of {words}.", source))
    return predictions


def plain_gaussian(setting: Setting) -> bool:
    """Records are exactly Gaussian, and the learner is the plain Gaussian fit."""
    return (
        setting.learner_kind == "gaussian"
        and setting.data_kind == "gaussian"
        and setting.cov is not None
        and not setting.ridge
        and not setting.real_fixed
    )


def starting_covariance(setting: Setting) -> np.ndarray:
    cov = setting.initial_cov if setting.initial is not None else setting.cov
    assert cov is not None
    return cov


def starting_variances(setting: Setting) -> np.ndarray:
    """(d,) the variances that relative courses start from: the truth's, or those of a given generation 0."""
    return np.diag(starting_covariance(setting))
