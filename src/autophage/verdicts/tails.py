"""D7: disappearance of the real data's tail."""

from __future__ import annotations

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import mean_interval, median_interval, slopes
from autophage.verdicts.missing import FEWEST, too_few, unmeasured
from autophage.verdicts.profile import Answer, Verdict
from autophage.verdicts.wording import between, count, number, percent


def tails(course: Course, thresholds: Thresholds) -> Verdict:
    """The rarest outcomes (5 % of the real mass): how many of the expected ones are still there (coverage),
    and how much mass they hold against the real law (mass ratio).

    Yes if the upper bound of coverage is below `coverage_lost` and coverage falls over the generations, or
    if the upper bound of the median mass ratio is below `mass_lost`; no if the lower bound of coverage is
    above `coverage_kept`. The median, because the mean mass ratio of an unbiased loop stays 1 while the
    tail dies.
    """
    tail = course.tail or {}
    coverage, mass = tail.get("coverage"), tail.get("mass_ratio")
    if coverage is None and mass is None:
        return unmeasured("D7", course, "tail metric", "tail_coverage")
    main = np.asarray(mass if coverage is None else coverage)
    seeds = len(main)
    if seeds < FEWEST:
        return too_few("D7", course, main, "The tail's mass ratio" if coverage is None else "Tail coverage")
    lost = kept = False
    effect = ci95 = None
    evidence, details = [], {}
    if coverage is not None:
        effect, ci95 = mean_interval(coverage[:, -1])
        _, (_, trend) = mean_interval(slopes(coverage, course.generations))
        lost, kept = ci95[1] < thresholds.coverage_lost and trend < 0, ci95[0] > thresholds.coverage_kept
        falling = ", fewer from generation to generation" if trend < 0 else ""
        evidence.append(
            f"Of the rare outcomes that a real sample of this size would hold, {percent(effect)} "
            f"{between(ci95, True)} are left{falling}."
        )
        details["coverage"] = effect
    else:
        evidence.append("No coverage of the tail was measured; add `tail_coverage` to metrics.")
    if mass is not None:
        middle, around = median_interval(mass[:, -1])
        lost = lost or around[1] < thresholds.mass_lost
        evidence.append(
            f"The tail's mass is {number(middle)} times the real one {between(around)}, "
            f"the median of {count(len(mass), 'replicate')}."
        )
        details["mass_ratio"] = middle
        if effect is None:
            effect, ci95 = middle, around
    answer: Answer = "yes" if lost else "no" if kept else "undecided"
    needs: dict[str, int | str] = {}
    if answer == "undecided":
        needs = {"metric": "tail_coverage"} if coverage is None else {"replicates": 4 * seeds}
        if coverage is not None:
            evidence.append(
                f"Below {percent(thresholds.coverage_lost)} the tail would count as lost, "
                f"above {percent(thresholds.coverage_kept)} as kept."
            )
    return Verdict(
        definition="D7",
        verdict=answer,
        effect=effect,
        ci95=ci95,
        threshold={
            "coverage_lost": thresholds.coverage_lost,
            "coverage_kept": thresholds.coverage_kept,
            "mass_lost": thresholds.mass_lost,
        },
        seeds=seeds,
        generations=course.horizon,
        evidence=tuple(evidence),
        details=details,
        needs=needs,
    )
