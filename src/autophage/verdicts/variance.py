"""D5: collapsing variance, or diversity of any kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.fits import decay_evidence
from autophage.verdicts.intervals import Interval, late_slopes, mean_interval, slopes, typical_ratio
from autophage.verdicts.missing import FEWEST, unmeasured
from autophage.verdicts.profile import Answer, Verdict
from autophage.verdicts.wording import between, count, number, percent

SHORTEST = 5
"""Generations after generation 0 below which no decay is fitted."""
SYNTHETIC_ONLY = ("replace",)


@dataclass(frozen=True)
class _One:
    answer: Answer
    evidence: str
    seeds: int
    ratio: float = np.nan
    interval: Interval = (-np.inf, np.inf)
    lead: float = np.nan


def variance(course: Course, thresholds: Thresholds) -> Verdict:
    """Each diversity V by its typical ratio V_G / V_0 (geometric mean) with a 95 % interval.

    Yes if *collapsed* (upper bound below `collapsed`), or *shrinking* (upper bound below `shrinking` and
    log V falling) with a decay to zero fitting better by `evidence` than a decay to a floor of `collapsed`
    or more. Shrinking alone is undecided. No if the lower bound is at least `shrinking` and would still be
    after as many generations again at the pace of the last half; in a loop without real data only if V does
    not fall at all, since there any loss goes on. Several diversities: yes if one says yes, no if all say
    no.
    """
    if not course.diversity:
        return unmeasured("D5", course, "diversity metric", "variance")
    seen = {name: _judge(values, course, thresholds) for name, values in course.diversity.items()}
    by: dict[Answer, list[str]] = {
        a: [k for k, v in seen.items() if v.answer == a] for a in ("yes", "no", "undecided")
    }
    answer: Answer = "yes" if by["yes"] else "undecided" if by["undecided"] else "no"
    main = seen[min(by[answer], key=lambda k: seen[k].interval[1])]
    needs: dict[str, int | str] = {}
    if answer == "undecided":
        needs = {"replicates": FEWEST} if main.seeds < FEWEST else {"generations": 2 * course.horizon + 1}
    details = {f"ratio_{k}": v.ratio for k, v in seen.items()}
    details |= {f"lead_{k}": v.lead for k, v in seen.items() if np.isfinite(v.lead)}
    return Verdict(
        definition="D5",
        verdict=answer,
        effect=main.ratio,
        ci95=main.interval,
        threshold={
            "shrinking": thresholds.shrinking,
            "collapsed": thresholds.collapsed,
            "evidence": thresholds.evidence,
        },
        seeds=main.seeds,
        generations=course.horizon,
        evidence=tuple(f"{k}: {v.evidence}" for k, v in seen.items()),
        details=details,
        needs=needs,
    )


def _judge(values: np.ndarray, course: Course, thresholds: Thresholds) -> _One:
    seeds = len(values)
    if seeds < FEWEST:
        return _One("undecided", f"{count(seeds, 'replicate')}, but {FEWEST} are needed.", seeds)
    if not (values[:, 0] > 0).all():
        return _One("undecided", "zero in generation 0 already: nothing to lose.", seeds)
    ratio, (low, high) = typical_ratio(values[:, -1], values[:, 0])
    lead = np.nan

    def found(answer: Answer, more: str) -> _One:
        start = f"a typical replicate keeps {percent(ratio)} {between((low, high), True)} of generation 0's"
        return _One(answer, f"{start}; {more}", seeds, ratio, (low, high), lead)

    if high < thresholds.collapsed:
        return found("yes", f"that is below {percent(thresholds.collapsed)}: collapsed.")
    if not (values > 0).all():
        return found("undecided", "some replicates have lost all of it, others have not.")
    logs = np.log(values / values[:, :1])
    pace, paces = mean_interval(late_slopes(logs, course.generations))
    _, whole = mean_interval(slopes(logs, course.generations))
    fitted = len(course.generations) - 1 >= SHORTEST
    if fitted:
        lead = decay_evidence(course.generations[1:], logs[:, 1:], thresholds.collapsed)
    if high < thresholds.shrinking and whole[1] < 0:
        if fitted and lead >= thresholds.evidence:
            return found("yes", f"it shrinks towards zero, not to a floor (AICc lower by {number(lead)}).")
        return found("undecided", "it is shrinking, but whether to zero or to a floor cannot be told yet.")
    if course.regime in SYNTHETIC_ONLY and low < 1:
        return found(
            "undecided", "without real data any loss goes on, and these generations do not show how fast."
        )
    again = float(np.exp(np.log(max(low, 1e-300)) + min(paces[0], 0.0) * course.horizon))
    if low < thresholds.shrinking or again < thresholds.shrinking:
        return found("undecided", f"a fall below {percent(thresholds.shrinking)} cannot be excluded.")
    lasting = np.log(ratio) + pace * 9 * course.horizon
    if paces[1] < 0 and lasting < np.log(thresholds.shrinking) and not lead <= -thresholds.evidence:
        return found(
            "undecided", f"it falls steadily, by {percent(-pace)} a generation, with no floor in sight."
        )
    return found(
        "no", f"it stays above {percent(thresholds.shrinking)}, also if the last half's pace went on."
    )
