"""D1: a rapid and large increase of population risk."""

from __future__ import annotations

from functools import partial

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import Interval, ratio_interval
from autophage.verdicts.missing import FEWEST, no_risk, too_few
from autophage.verdicts.profile import Verdict
from autophage.verdicts.wording import between, count, number, percent


def catastrophic(course: Course, thresholds: Thresholds) -> Verdict:
    """Two measures of R_G against R_0, with 95 % intervals over the replicates (Fieller):

        share  c = (R_G - R_0) / (R_trivial - R_0)      ratio  R_G / R_0

    Yes if the lower bound of one reaches its threshold; no if the upper bounds of both are below theirs;
    undecided between. The ratio needs a risk with a meaningful zero. Without a trivial baseline the ratio can
    answer yes but nothing can answer no; a baseline no worse than generation 0 leaves the question undecided.
    """
    risk = course.risk
    if risk is None:
        return no_risk("D1", course)
    seeds = len(risk)
    verdict = partial(
        Verdict,
        definition="D1",
        seeds=seeds,
        generations=course.horizon,
        threshold={"share": thresholds.catastrophic_share, "ratio": thresholds.catastrophic_ratio},
    )
    first, last = risk[:, 0], risk[:, -1]
    if np.isinf(first).any():
        sentence = (
            f"{course.risk_name} is infinite in generation 0 already: there is nothing to compare with."
        )
        return verdict(verdict="undecided", evidence=(sentence,))
    if lost := int(np.isinf(last).sum()):
        sentence = (
            f"{course.risk_name} is infinite at the end in {lost} of {count(seeds, 'replicate')}: "
            "the models give real outcomes no probability at all."
        )
        return verdict(verdict="yes", effect="infinite", evidence=(sentence,))
    if seeds < FEWEST:
        return too_few("D1", course, risk, course.risk_name)

    start, end, trivial = float(first.mean()), float(last.mean()), course.trivial
    moved = f"{course.risk_name} went from {number(start)} to {number(end)}"
    evidence = [f"Held-out risk: {moved} (means over {count(seeds, 'replicate')})."]
    details = {"first": start, "last": end}
    share: tuple[float, Interval] | None = None
    ratio: tuple[float, Interval] | None = None
    if trivial is None:
        evidence.append(
            "No trivial baseline is known; set verdict.trivial to its risk to measure against it."
        )
    elif trivial <= start:
        evidence.append(
            f"The trivial baseline's risk {number(trivial)} is no higher than generation 0's: there is no "
            "gap to lose, so the definition does not apply."
        )
        return verdict(verdict="undecided", evidence=tuple(evidence), details=details)
    else:
        share = ratio_interval(last - first, trivial - first)
        details |= {"share": share[0], "trivial": float(trivial)}
        evidence.append(
            f"That is {percent(share[0])} {between(share[1], as_percent=True)} of the way to the trivial "
            f"baseline's risk {number(trivial)}."
        )
    if not course.risk_zero:
        evidence.append(f"{course.risk_name} has no meaningful zero, so its ratio is not used.")
    elif not (risk > 0).all():
        evidence.append("Some risks are zero or negative, so their ratio is not used.")
    else:
        ratio = ratio_interval(last, first)
        details["ratio"] = ratio[0]
        evidence.append(f"It is {number(ratio[0])} times generation 0's {between(ratio[1])}.")

    high_share, high_ratio = thresholds.catastrophic_share, thresholds.catastrophic_ratio
    effect, ci95 = share or ratio or (None, None)
    verdict = partial(verdict, effect=effect, ci95=ci95, details=details)
    if share and share[1][0] >= high_share:
        return verdict(verdict="yes", evidence=tuple(evidence))
    if ratio and ratio[1][0] >= high_ratio:
        evidence.append(
            f"The ratio of {course.risk_name} is what reaches its threshold, {number(high_ratio)}."
        )
        return verdict(verdict="yes", effect=ratio[0], ci95=ratio[1], evidence=tuple(evidence))
    if share is None:
        return verdict(verdict="undecided", evidence=tuple(evidence), needs={"metric": "verdict.trivial"})
    if share[1][1] < high_share and (ratio is None or ratio[1][1] < high_ratio):
        return verdict(verdict="no", evidence=tuple(evidence))
    evidence.append("The intervals reach across a threshold: more replicates would narrow them.")
    return verdict(verdict="undecided", evidence=tuple(evidence), needs={"replicates": 4 * seeds})
