"""D3: population risk that grows without limit."""

from __future__ import annotations

from functools import partial

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.fits import Fit, growth_fits
from autophage.verdicts.intervals import late_slopes, mean_interval
from autophage.verdicts.missing import FEWEST, no_risk, too_few
from autophage.verdicts.profile import Verdict
from autophage.verdicts.wording import between, number

SHORTEST = 8
"""Generations after generation 0 below which no growth law is fitted."""
BOUNDED = ("exponential", "inverse")
UNBOUNDED = ("linear", "power", "logarithm")


def divergence(course: Course, thresholds: Thresholds) -> Verdict:
    """Laws of growth fitted to the mean course from generation 1 on, by AICc (see `fits`).

    Yes if a law without limit beats those that have levelled off by `evidence` and the risk still rises
    over the last half of the generations; no if it is the other way round, or if a theorem bounds the risk
    of this loop. A statement about an infinite number of generations: measurements only lend support.
    Logarithmic growth counts as diverging, and is reported as such.
    """
    risk = course.risk
    if risk is None:
        return no_risk("D3", course)
    verdict = partial(
        Verdict,
        definition="D3",
        seeds=len(risk),
        generations=course.horizon,
        threshold={"evidence": thresholds.evidence, "levelled": thresholds.levelled},
    )
    if course.bounds is not None:
        return _by_theorem(course, course.bounds, risk, verdict)
    if len(risk) < FEWEST:
        return too_few("D3", course, risk, course.risk_name)
    points = len(course.generations) - 1
    if points < SHORTEST:
        sentence = (
            f"{points} generations after the first fit cannot tell growth without limit from a late plateau; "
            f"at least {SHORTEST} are needed."
        )
        return verdict(verdict="undecided", evidence=(sentence,), needs={"generations": SHORTEST + 1})
    if np.isinf(risk).any():
        sentence = f"{course.risk_name} is infinite in places, so no law of growth can be fitted."
        return verdict(verdict="undecided", evidence=(sentence,))

    fits = growth_fits(course.generations[1:], risk[:, 1:], thresholds.levelled)
    level = min((fits[k] for k in BOUNDED), key=lambda f: f.aicc)
    rise = min((fits[k] for k in UNBOUNDED), key=lambda f: f.aicc)
    lead = level.aicc - rise.aicc
    slope, interval = mean_interval(late_slopes(risk, course.generations))
    late = f"over the last half it changes by {number(slope)} a generation {between(interval)}"
    details = {f"aicc_{k}": f.aicc for k, f in fits.items()} | {"lead": lead, "exponent": fits["power"].shape}
    verdict = partial(verdict, effect=slope, ci95=interval, details=details)
    if lead >= thresholds.evidence and interval[0] > 0:
        evidence = [
            f"{course.risk_name} grows {_how(rise)}: laws without limit fit better than laws that have "
            f"levelled off by generation {course.horizon} (AICc lower by {number(lead)}), and {late}."
        ]
        if fits["slow"].aicc < rise.aicc + thresholds.evidence:
            evidence.append(
                f"A plateau near {number(fits['slow'].limit)}, still ahead of the horizon, would fit "
                "about as well: only more generations could tell."
            )
        return verdict(verdict="yes", evidence=tuple(evidence))
    if lead <= -thresholds.evidence:
        sentence = (
            f"{course.risk_name} levels off near {number(level.limit)}: laws with a limit fit better than "
            f"laws without (AICc lower by {number(-lead)})."
        )
        return verdict(verdict="no", evidence=(sentence,))
    better = "without limit" if lead > 0 else "that level off"
    evidence = [
        f"Laws {better} fit better by {number(abs(lead))} in AICc ({number(thresholds.evidence)} would "
        f"decide), and {late}."
    ]
    if interval[1] < 0:
        evidence.append("The risk is falling: nothing suggests divergence, but its limit is not in sight.")
    needs = {"generations": 2 * course.horizon + 1}
    return verdict(verdict="undecided", evidence=tuple(evidence), needs=needs)


def _how(fit: Fit) -> str:
    if fit.law == "linear":
        return "linearly"
    if fit.law == "power" and fit.shape >= 0.1:
        return f"as the power {number(fit.shape)} of the generation"
    return "logarithmically"


def _by_theorem(course: Course, theorem: str, risk: np.ndarray, verdict: partial[Verdict]) -> Verdict:
    evidence = [theorem if theorem.endswith(".") else theorem + "."]
    broken = bool(np.isinf(risk).any())
    if course.bound_value is not None and not broken:
        effect, ci95 = mean_interval(risk[:, -1])
        broken = ci95[0] > course.bound_value
        verdict = partial(verdict, effect=effect, ci95=ci95, details={"bound": course.bound_value})
        evidence.append(
            f"The measured {course.risk_name}, {number(effect)} {between(ci95)}, is "
            f"{'above' if broken else 'compatible with'} the bound {number(course.bound_value)}."
        )
    if broken:
        evidence.append("The measurement contradicts the theorem: one of its assumptions does not hold here.")
    return verdict(verdict="undecided" if broken else "no", evidence=tuple(evidence))
