"""D8: appearance of hallucinated data, outside the real support."""

from __future__ import annotations

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import increase_test, mean_interval
from autophage.verdicts.missing import FEWEST, too_few, unmeasured
from autophage.verdicts.profile import Answer, Verdict
from autophage.verdicts.wording import between, number, percent


def hallucination(course: Course, thresholds: Thresholds) -> Verdict:
    """The share h of generated records outside the real support.

    Yes if h rose significantly (paired, one-sided, 5 %) and h_G >= `outside_ratio` h_0 + `outside_share`;
    no if the upper bound of h_G - `outside_ratio` h_0 is below `outside_share`.
    """
    outside = course.outside
    if outside is None:
        return unmeasured("D8", course, "share outside the real support", "outside_support")
    seeds = len(outside)
    if seeds < FEWEST:
        return too_few("D8", course, outside, "The share outside the real support")
    first, last = outside[:, 0], outside[:, -1]
    effect, ci95 = mean_interval(last)
    p, test = increase_test(last - first)
    excess, (_, high) = mean_interval(last - thresholds.outside_ratio * first)
    evidence = [
        f"{percent(effect)} {between(ci95, True)} of the generated records lie outside the real support, "
        f"after {percent(float(first.mean()))} in generation 0 (increase: p = {number(p)}, {test})."
    ]
    answer: Answer = "undecided"
    needs: dict[str, int | str] = {}
    if p < 0.05 and excess >= thresholds.outside_share:
        answer = "yes"
    elif high < thresholds.outside_share:
        answer = "no"
    else:
        needs = {"replicates": 4 * seeds}
        evidence.append(
            f"It would count from {number(thresholds.outside_ratio)} times generation 0's share "
            f"plus {percent(thresholds.outside_share)}, and the data reach across that line."
        )
    return Verdict(
        definition="D8",
        verdict=answer,
        effect=effect,
        ci95=ci95,
        threshold={"outside_ratio": thresholds.outside_ratio, "outside_share": thresholds.outside_share},
        seeds=seeds,
        generations=course.horizon,
        evidence=tuple(evidence),
        details={"p": p, "first": float(first.mean()), "last": effect},
        needs=needs,
    )
