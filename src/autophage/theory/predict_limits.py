"""Where Gaussian and kernel loops of constant size settle."""

from __future__ import annotations

import numpy as np

from autophage.parts import Prediction
from autophage.schedules import ceil
from autophage.theory import gaussian_accumulate, gaussian_mix, golden_ratio, kde
from autophage.theory.gaussian_fresh import limit as fresh_limit
from autophage.theory.mad import admissible_synthetic, bias_floor
from autophage.theory.predict_gaussian import refit_of
from autophage.theory.setting import Setting


def limits(setting: Setting) -> list[Prediction]:
    """Where the loop settles: `limit` predictions for constant sizes."""
    refit = refit_of(setting)
    n = setting.sizes[1:]
    if refit is None or not len(n) or not (n == n[0]).all():
        return []
    if setting.covariance == "known":
        return _golden(setting, float(n[0]), refit.real)
    spread = refit.real / setting.dim
    kind = setting.workflow_kind
    ml = setting.ddof == 0 and setting.bias == 1 and setting.initial is None and not setting.real_fixed

    def settled(value: float, statement: str, source: str) -> Prediction:
        return Prediction("variance", np.array([value]), "exact", statement, source, quantity="limit")

    if setting.learner_kind == "kde":
        if kind != "replace":
            return []
        h = float(setting.bandwidth or 0)
        value = kde.variance_limit(n[0], h) + h**2
        return [
            settled(
                value,
                "A kernel density refitted to its own samples settles at n h^2.",
                "derived for autophage (Fu et al. 2024)",
            )
        ]
    if kind == "replace" and (setting.ddof == 0 or setting.bias < 1):
        return [
            settled(
                0.0,
                "Refits to own samples lose all variance.",
                "Shumailov et al. 2024; Alemohammad et al. 2024",
            )
        ]
    if kind == "accumulate" and ml and setting.real_size == n[0]:
        value = spread * gaussian_accumulate.variance_limit(n[0])
        return [settled(value, "Accumulating keeps a positive variance for ever.", "Kazdan et al. 2024")]
    if kind == "mix" and ml and setting.keeps_whole_real:
        value = (
            spread
            * gaussian_mix.variance_limit(setting.real_size, n[0] / setting.real_size)
            * (1 - 1 / setting.real_size)
        )
        return [
            settled(
                value,
                "With the real set kept there is no collapse at any synthetic ratio.",
                "derived for autophage",
            )
        ]
    if kind == "fresh" and setting.counts == "exact" and setting.real_shares is not None:
        return _fresh_limits(setting, n[0], spread)
    return []


def _golden(setting: Setting, n: float, spread: float) -> list[Prediction]:
    """A mean of known variance with a constant weight on a constant number of new real records."""
    if setting.workflow_kind != "fresh" or setting.counts != "exact" or setting.provenance == "known":
        return []
    shares = setting.course(setting.real_shares)
    real = min(ceil(shares[0] * n), n)
    weights = setting.course(real / n if setting.real_weights is None else setting.real_weights)
    steady = (shares == shares[0]).all() and (weights == weights[0]).all() and 0 < real < n
    if not steady or not np.isclose(spread, setting.dim * setting.known_variance) or setting.bias != 1:
        return []
    source = "He, Xu & Cheng 2025; limit derived for autophage"
    return [
        Prediction(
            "squared_mean_error",
            np.array([spread * golden_ratio.limit_variance(weights[0], real, n - real)]),
            "exact",
            "With fresh real records of constant number and weight the mean forgets generation 0 and settles here.",
            source,
            quantity="limit",
        ),
        Prediction(
            "real_weight",
            np.array([golden_ratio.best_weight(real, n - real)]),
            "exact",
            "The weight of the real part at which the mean settles with the least error: 0.618 where the parts are "
            "equal.",
            "He, Xu & Cheng 2025",
            quantity="threshold",
            unit="weight of the real part",
        ),
    ]


def _fresh_limits(setting: Setting, n: float, spread: float) -> list[Prediction]:
    shares = setting.course(setting.real_shares)
    if setting.ddof != 1 or setting.provenance == "known" or not (shares == shares[0]).all() or not shares[0]:
        return []
    if setting.real_weights is not None:
        return []
    real = min(ceil(shares[0] * n), n)
    settled = fresh_limit(real, n - real, setting.bias)
    source = "Alemohammad et al. 2024, eq. 3; value derived for autophage"
    words = "The fresh data loop forgets generation 0 and settles here."
    predictions = [
        Prediction(
            "variance", np.array([spread * settled.variance]), "exact", words, source, quantity="limit"
        ),
        Prediction(
            "squared_mean_error",
            np.array([setting.dim * spread * settled.squared_error]),
            "exact",
            words,
            source,
            quantity="limit",
        ),
    ]
    cov = setting.cov
    assert cov is not None
    if setting.bias < 1 and np.allclose(cov, np.eye(setting.dim)) and setting.data_kind == "gaussian":
        predictions += [
            Prediction(
                "frechet_model",
                np.array([bias_floor(real / n, setting.bias, setting.dim)]),
                "asymptotic",
                "Floor under the distance as all sizes grow at this real share: biased sampling stops "
                "progress.",
                "derived for autophage; Alemohammad et al. 2024, fig. 31",
                quantity="limit",
            ),
            Prediction(
                "synthetic_size",
                np.array([admissible_synthetic(setting.bias, setting.dim)]),
                "asymptotic",
                "The most synthetic records per generation that do not hurt, when real ones are many.",
                "derived for autophage; Alemohammad et al. 2024, fig. 11",
                quantity="threshold",
                unit="records",
            ),
        ]
    return predictions
