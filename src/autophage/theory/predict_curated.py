"""Predictions for curated loops: a Gaussian mean that is refitted to its own filtered samples.

Notation: model m_t, anchor a, truth mu, records of known variance v per coordinate, n_t of them in fit t; error in units of
sqrt(v). All courses are E||m_t - mu||^2 to first order in 1/n_t: the map of the means without noise, and the variance
carried along its slope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from autophage.parts import Prediction
from autophage.theory.contraction import rate_of_pull
from autophage.theory.filter_pulls import interval_response, interval_variance, logistic_pull
from autophage.theory.predict_gaussian import moments, plain_gaussian
from autophage.theory.setting import Setting

HAN = "Han et al. 2025 (framework); derived for autophage"
STEP = 1e-4
"""Of the numerical slopes of maps."""

Map = Callable[[float], tuple[float, float]]
"""From the distance of the model to the anchor to the next one, and the variance of a record that enters the fit times
those asked for over those kept; both in units of the records' own."""


def filtered(setting: Setting) -> list[Prediction]:
    """`squared_mean_error` of a filtered Gaussian mean under replace: course, limit, the floor that its knowledge sets, and
    the random walk it would be unfiltered. Only for one curation: tilt, logistic or interval_verifier; for truncation the
    floor only, for neural_filter floor and walk."""
    if len(setting.curations) != 1 or setting.workflow_kind != "replace" or not plain_gaussian(setting):
        return []
    if setting.covariance != "known" or not setting.plain_sampling:
        return []
    said = setting.curations[0]
    if said["kind"] == "interval_verifier":
        return _verified(setting, said)
    if said["kind"] not in ("tilt", "logistic", "truncation", "neural_filter"):
        return []
    found: list[Prediction] = []
    if said["kind"] == "tilt" and isinstance(said["pull"], int | float):
        found = _settling(setting, said, float(said["pull"]), 1.0)
        found.append(_course(setting, said, lambda e: ((1 - said["pull"]) * e, 1.0), "An exponential tilt"))
    if said["kind"] == "logistic":
        kept = 2.0 if said["keep"] == "proposals" else 1.0
        if said["slope"] < 4:
            found = _settling(setting, said, said["slope"] / 2, kept)
        if setting.dim == 1:
            k = said["slope"]
            logistic: Map = lambda e: (e + float(logistic_pull(k * e)), kept)  # noqa: E731
            found.append(_course(setting, said, logistic, "Logistic acceptance"))
    found += _floor(setting, _anchor_error(setting, said))
    if _below_walk(setting, said):
        found += _walk(setting)
    return found


def _course(setting: Setting, said: Mapping[str, Any], step: Map, words: str) -> Prediction:
    """The filtered course. Random parts: generation 0's fit and the anchor, one and the same where both come from the real
    records; and the noise of every refit."""
    mu, a = _truth(setting), _known_anchor(setting, said)
    own_noise = 0.0 if setting.initial is not None else _real_variance(setting)
    anchor_noise = 0.0 if a is not None else _real_variance(setting)
    start = setting.initial_mean if setting.initial is not None else mu
    centre = mu if a is None else a
    linear = setting.dim > 1 or said["kind"] == "tilt"
    scale = np.sqrt(setting.known_variance)
    gap, shrunk, carried = (start - centre) / scale, 1.0, 0.0
    values = []
    shared = own_noise > 0 and anchor_noise > 0
    for t in range(setting.generations):
        if t:
            slope, gap, spread = _moved(step, gap, linear)
            shrunk *= slope
            carried = slope**2 * carried + setting.dim * setting.known_variance * spread / setting.sizes[t]
        if shared:
            told = anchor_noise
        else:
            told = shrunk**2 * own_noise + (1 - shrunk) ** 2 * anchor_noise
        values.append(float(((gap * scale + centre - mu) ** 2).sum()) + told + carried)
    return Prediction(
        "squared_mean_error",
        np.array(values),
        "asymptotic",
        f"{words} pulls every refit towards the anchor; mean and noise to first order in 1/n.",
        HAN,
    )


def _moved(step: Map, gap: np.ndarray, linear: bool) -> tuple[float, np.ndarray, float]:
    """Slope of the map, the gap after it, and the spread of a record."""
    if linear:
        slope, spread = step(1.0)
        return slope, slope * gap, spread
    e = float(gap[0])
    after, spread = step(e)
    return (step(e + STEP)[0] - step(e - STEP)[0]) / (2 * STEP), np.array([after]), spread


def _settling(setting: Setting, said: Mapping[str, Any], pull: float, kept: float) -> list[Prediction]:
    sizes = setting.sizes[1:]
    if not len(sizes) or not (sizes == sizes[0]).all():
        return []
    noise = setting.dim * setting.known_variance * kept / sizes[0]
    value = _anchor_error(setting, said) + noise / rate_of_pull(pull)
    return [
        Prediction(
            "squared_mean_error",
            np.array([value]),
            "asymptotic",
            f"With a constant sample size the noise does not vanish: the loop stays within sqrt(sigma^2/c) of its anchor, "
            f"c = {rate_of_pull(pull):.3g}, and does not converge to the truth.",
            HAN,
            quantity="limit",
        )
    ]


def _floor(setting: Setting, value: float) -> list[Prediction]:
    if not value > 0:
        return []
    return [
        Prediction(
            "squared_mean_error",
            np.array([value]),
            "bound",
            "The error of what the filter knows: in the end no filter comes closer to the truth than its anchor or centre.",
            HAN,
            quantity="limit",
            side="lower",
        )
    ]


def _below_walk(setting: Setting, said: Mapping[str, Any]) -> bool:
    """Whether the filter keeps the error below the walk's from the first generation on: it contracts at every distance,
    which truncation does not near the anchor; it costs no records; and the anchor is where the loop starts, or the truth."""
    if not said["require_contraction"] or said["kind"] == "truncation" or said.get("keep") == "proposals":
        return False
    if said["kind"] == "tilt" and not isinstance(said["pull"], int | float):
        return False  # a matrix may stretch an error before it shrinks it
    if _known_anchor(setting, said) is None:
        return setting.initial is None
    return _anchor_error(setting, said) == 0


def _walk(setting: Setting) -> list[Prediction]:
    plain = [
        p for p in moments(replace(setting, curation=False, curations=())) if p.metric == "squared_mean_error"
    ]
    statement = "The same loop unfiltered is a random walk of variance sigma^2 sum 1/n_t, which a contracting filter stays below."
    return [
        replace(
            p,
            status="asymptotic",
            side="upper",
            statement=statement,
            source="Xu, He & Cheng 2025; Han et al. 2025",
        )
        for p in plain
    ]


def _verified(setting: Setting, said: Mapping[str, Any]) -> list[Prediction]:
    """The verifier's map of the mean, d = 1: it converges to the centre."""
    if setting.dim > 1:
        return []
    sd = np.sqrt(setting.known_variance)
    centre, radius = float(np.ravel(said["centre"])[0]), float(said["radius"])
    mu = float(_truth(setting)[0])
    mean = float(setting.initial_mean[0]) if setting.initial is not None else mu
    carried = 0.0 if setting.initial is not None else _real_variance(setting)
    values = [(mean - mu) ** 2 + carried]
    for n in setting.sizes[1:]:
        after, share = (float(v) for v in interval_response(mean, centre, radius, sd))
        up, down = (float(interval_response(mean + s * STEP * sd, centre, radius, sd)[0]) for s in (1, -1))
        slope = (up - down) / (2 * STEP * sd)  # also the variance of a kept record, over sd^2
        kept = n * share if said["keep"] == "proposals" else n
        carried = slope**2 * carried + slope * sd**2 / kept
        mean = after
        values.append((mean - mu) ** 2 + carried)
    source = "Yi et al. 2025; scalar map derived for autophage"
    found = [
        Prediction(
            "squared_mean_error",
            np.array(values),
            "asymptotic",
            "A verifier pulls every refit towards its centre, to first order in 1/n.",
            source,
        )
    ]
    sizes = setting.sizes[1:]
    if len(sizes) and (sizes == sizes[0]).all():
        share = float(interval_response(centre, centre, radius, sd)[1])
        kept = sizes[0] * share if said["keep"] == "proposals" else sizes[0]
        settled = (centre - mu) ** 2 + setting.known_variance * interval_variance(radius / sd, kept)
        words = "In the end a verified loop knows what its verifier knows: it settles about the centre, not about the truth."
        found.insert(
            0,
            Prediction(
                "squared_mean_error", np.array([settled]), "asymptotic", words, source, quantity="limit"
            ),
        )
    return found + _floor(setting, (centre - mu) ** 2)


def _truth(setting: Setting) -> np.ndarray:
    mean = setting.mean
    assert mean is not None  # Gaussian data
    return mean


def _real_variance(setting: Setting) -> float:
    """E||mean of the real records - mu||^2."""
    cov = setting.cov
    assert cov is not None
    return float(np.trace(cov)) / setting.real_size


def _known_anchor(setting: Setting, said: Mapping[str, Any]) -> np.ndarray | None:
    """(d,) a known constraint, or None where the anchor is the mean of the real records."""
    if said["anchor"] == "real":
        return None
    return np.broadcast_to(np.asarray(said["anchor"]["mean"], dtype=np.float64), (setting.dim,))


def _anchor_error(setting: Setting, said: Mapping[str, Any]) -> float:
    known = _known_anchor(setting, said)
    return _real_variance(setting) if known is None else float(((known - _truth(setting)) ** 2).sum())
