"""D2: any increase of population risk."""

from __future__ import annotations

from functools import partial

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import increase_test, mean_interval, quantile, upper_bound
from autophage.verdicts.missing import no_risk, too_few
from autophage.verdicts.profile import Verdict
from autophage.verdicts.wording import between, count, number, percent


def any_increase(course: Course, thresholds: Thresholds) -> Verdict:
    """Paired differences d = R_G - R_0 of each replicate, tested one-sidedly at 5 %.

    Yes if significant with a mean above `increase`; no if the upper 95 % bound of the mean is below the
    equivalence margin: a share of R_0, or of the gap to the trivial baseline where the risk has no meaningful
    zero.
    """
    risk = course.risk
    if risk is None:
        return no_risk("D2", course)
    seeds = len(risk)
    margin, of = _margin(course, risk, thresholds.equivalence)
    verdict = partial(
        Verdict,
        definition="D2",
        seeds=seeds,
        generations=course.horizon,
        threshold={"increase": thresholds.increase, "equivalence": margin},
    )
    if np.isinf(risk[:, 0]).any():
        sentence = (
            f"{course.risk_name} is infinite in generation 0 already: there is nothing to compare with."
        )
        return verdict(verdict="undecided", evidence=(sentence,))
    if lost := int(np.isinf(risk[:, -1]).sum()):
        sentence = (
            f"{course.risk_name} was finite in generation 0 and is infinite at the end in {lost} of "
            f"{count(seeds, 'replicate')}."
        )
        return verdict(verdict="yes", effect="infinite", evidence=(sentence,))
    if seeds < 2:
        return too_few("D2", course, risk, course.risk_name)

    d = risk[:, -1] - risk[:, 0]
    mean, interval = mean_interval(d)
    p, test = increase_test(d)
    upper = upper_bound(d)
    verdict = partial(verdict, effect=mean, ci95=interval, details={"p": p, "upper_bound": upper})
    change = "rose" if mean > 0 else "fell" if mean < 0 else "changed"
    found = (
        f"{course.risk_name} {change} by {number(abs(mean))} {between(interval)} within {seeds} replicates, "
        f"p = {number(p)} ({test}); an increase counts above {number(thresholds.increase)}."
    )
    none = f"{number(margin)} ({percent(thresholds.equivalence)} of {of})"
    if p < 0.05 and mean > thresholds.increase:
        return verdict(verdict="yes", evidence=(found,))
    if upper < margin or not d.any():
        return verdict(verdict="no", evidence=(found, f"An increase of more than {none} is excluded."))
    sentence = (
        f"An increase of up to {number(upper)} is compatible with the data; below {none} would be none."
    )
    return verdict(verdict="undecided", evidence=(found, sentence), needs={"replicates": _wanted(d, margin)})


def _margin(course: Course, risk: np.ndarray, share: float) -> tuple[float, str]:
    start = float(risk[:, 0].mean())
    if not course.risk_zero and course.trivial is not None and course.trivial > start:
        return share * (course.trivial - start), "the gap to the trivial baseline"
    return share * abs(start), "generation 0's risk"


def _wanted(d: np.ndarray, margin: float) -> int:
    """Replicates at which the present difference would be significant, or its absence be shown."""
    seeds = len(d)
    reach = max(abs(float(d.mean())), margin / 2, 1e-300)
    need = 2 * (quantile(max(seeds, 10)) * float(d.std(ddof=1)) / reach) ** 2
    return int(np.clip(np.ceil(min(need, 1e9)), max(seeds + 2, 5), 20 * seeds))
