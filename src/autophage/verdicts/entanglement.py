"""D6: entanglement of the real data's modes."""

from __future__ import annotations

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import increase_test, mean_interval
from autophage.verdicts.missing import FEWEST, too_few, unmeasured
from autophage.verdicts.profile import Answer, Verdict
from autophage.verdicts.wording import between, number, percent


def entanglement(course: Course, thresholds: Thresholds) -> Verdict:
    """Overlap of the modes' sub-populations, and the share of records in the valley between modes.

    Yes if the overlap rose significantly (paired, one-sided, 5 %) and either it is at least `overlap` or
    the valley holds at least `valley` times the real share; no if the upper bounds of both are below those
    lines. A mode that vanishes is no entanglement but a lost tail (D7).
    """
    modes = course.modes or {}
    overlap, valley, real = modes.get("overlap"), modes.get("valley_share"), modes.get("valley_real")
    if overlap is None and valley is None:
        return unmeasured(
            "D6", course, "overlap of modes", "mode_overlap", "give the data labels and add `mode_overlap`"
        )
    if overlap is None:
        return unmeasured("D6", course, "overlap of modes", "mode_overlap")
    seeds = len(overlap)
    if seeds < FEWEST:
        return too_few("D6", course, overlap, "The overlap of modes")
    last, interval = mean_interval(overlap[:, -1])
    p, test = increase_test(overlap[:, -1] - overlap[:, 0])
    evidence = [
        f"The modes overlap by {number(last)} {between(interval)}, from {number(overlap[:, 0].mean())} in "
        f"generation 0 (increase: p = {number(p)}, {test})."
    ]
    details = {"p": p, "overlap": last, "overlap_first": float(overlap[:, 0].mean())}
    crowded = empty = False
    if valley is None or real is None:
        missing = (
            "share of records between the modes"
            if valley is None
            else "real share of records between the modes"
        )
        evidence.append(f"No {missing} was measured; add `valley_share`.")
    else:
        share, around = mean_interval(valley[:, -1])
        line = thresholds.valley * float(real)
        crowded = share >= line if line > 0 else around[0] > 0
        empty = around[1] < line if line > 0 else not valley[:, -1].any()
        details |= {"valley_share": share, "valley_real": float(real)}
        evidence.append(
            f"Between the modes lie {percent(share)} {between(around, True)} of the records, "
            f"and {percent(float(real))} of real ones."
        )
    answer: Answer = "undecided"
    needs: dict[str, int | str] = {}
    if p < 0.05 and (last >= thresholds.overlap or crowded):
        answer = "yes"
    elif interval[1] < thresholds.overlap and empty:
        answer = "no"
    else:
        needs = {"metric": "valley_share"} if valley is None or real is None else {"replicates": 4 * seeds}
    return Verdict(
        definition="D6",
        verdict=answer,
        effect=last,
        ci95=interval,
        threshold={"overlap": thresholds.overlap, "valley": thresholds.valley},
        seeds=seeds,
        generations=course.horizon,
        evidence=tuple(evidence),
        details=details,
        needs=needs,
    )
