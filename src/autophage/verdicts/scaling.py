"""D4: a change in scaling law."""

from __future__ import annotations

from functools import partial

import numpy as np

from autophage.verdicts.course import Course, Thresholds
from autophage.verdicts.intervals import Interval, mean_interval, quantile
from autophage.verdicts.missing import FEWEST, too_few, unmeasured
from autophage.verdicts.profile import Verdict
from autophage.verdicts.wording import between, count, number

SIZES, DECADES = 5, 1.5
"""What a grid of data sizes must have."""
STEEPEST = 3.0
ROUNDING = 1e-6


def scaling(course: Course, thresholds: Thresholds) -> Verdict:
    """Two curves of risk over the number of training records: real records only, and the mixture,

        R(n) = E + A n^(-gamma)        R'(n) = E' + A' n^(-gamma').

    Yes if the interval of E' - E lies above 0 (a new plateau), that of gamma' - gamma excludes 0, or the
    mixed curve rests on a plateau and then falls again; no if both differences lie within the equivalence
    bounds. Fits weigh relative errors (absolute ones for risks without a sign); intervals are jackknifed
    over the replicates.
    """
    if course.scaling is None:
        remedy = "sweep over five data sizes or more, with and without synthetic data"
        return unmeasured("D4", course, "scaling law", "scaling", remedy)
    sizes, real, mixed = (course.scaling[k] for k in ("sizes", "real", "mixed"))
    seeds = len(real)
    if seeds < FEWEST:
        return too_few("D4", course, mixed, "Risk over data sizes")
    decades = float(np.log10(sizes[-1] / sizes[0]))
    start = real[:, -1] if course.risk is None else course.risk[:, 0]
    margin = thresholds.equivalence * abs(float(start.mean()))
    verdict = partial(
        Verdict,
        definition="D4",
        seeds=seeds,
        generations=course.horizon,
        threshold={"exponent": thresholds.exponent, "plateau": margin},
    )
    if len(sizes) < SIZES or decades < DECADES:
        sentence = (
            f"{count(len(sizes), 'size')} over {number(decades)} decades do not show a scaling law; "
            f"at least {SIZES} over {DECADES} are needed."
        )
        return verdict(verdict="undecided", evidence=(sentence,), needs={"metric": "scaling"})
    if not _falls(real):
        sentence = "The risk of real data alone does not fall with their number: there is no law to change."
        return verdict(verdict="undecided", evidence=(sentence,))

    plateau, exponent, ends = _compare(sizes, real, mixed)
    falls = _falls(mixed)
    evidence = [
        f"As records grow the risk tends to {number(ends[1])} with mixed data and to {number(ends[0])} with "
        f"real ones: a difference of {number(plateau[0])} {between(plateau[1])}."
    ]
    details = {"plateau_change": plateau[0], "plateau_real": ends[0], "plateau_mixed": ends[1]}
    if falls:
        evidence.append(f"The exponent differs by {number(exponent[0])} {between(exponent[1])}.")
        details |= {"exponent_change": exponent[0]}
        details |= {"exponent_low": exponent[1][0], "exponent_high": exponent[1][1]}
    else:
        evidence.append("The mixed curve does not fall, so it has no exponent.")
    verdict = partial(verdict, effect=plateau[0], ci95=plateau[1], details=details)
    near = thresholds.exponent
    if falls and _inside(plateau[1], margin) and _inside(exponent[1], near):
        evidence.append("Both lie within the equivalence bounds.")
        return verdict(verdict="no", evidence=tuple(evidence))
    restart = _restarts(mixed, sizes) and not _restarts(real, sizes)
    if restart:
        evidence.append("The mixed curve rests on a plateau and then falls again, which no such law does.")
    raised = plateau[1][0] > ROUNDING * abs(float(real[:, 0].mean()))
    bent = falls and (exponent[1][0] > ROUNDING or exponent[1][1] < -ROUNDING)
    if raised or bent or restart:
        return verdict(verdict="yes", evidence=tuple(evidence))
    return verdict(verdict="undecided", evidence=tuple(evidence), needs={"replicates": 4 * seeds})


def _inside(interval: Interval, margin: float) -> bool:
    return -margin < interval[0] and interval[1] < margin


def _falls(curves: np.ndarray) -> bool:
    _, (low, _) = mean_interval(curves[:, 0] - curves[:, -1])
    return low > 0


def _fit(sizes: np.ndarray, curves: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plateau and exponent of each curve (B, K): linear in E and A, searched over the exponent on finer
    grids."""
    n = sizes / np.exp(np.log(sizes).mean())
    best = np.full(len(curves), STEEPEST / 2)
    width = STEEPEST / 2
    plateau = np.zeros(len(curves))
    for points in (301, 61, 61, 61):
        grid = np.clip(best[:, None] + np.linspace(-width, width, points), 0.02, STEEPEST)
        basis = n ** -grid[..., None]
        centred = basis - (basis @ weights)[..., None]
        rest = curves - (curves @ weights)[:, None]
        slope = np.maximum((centred * rest[:, None] * weights).sum(-1) / ((centred**2) @ weights), 0.0)
        left = ((rest[:, None] - slope[..., None] * centred) ** 2) @ weights
        pick = left.argmin(1)
        rows = np.arange(len(curves))
        best, width = grid[rows, pick], 2 * width / (points - 1) * 2
        plateau = curves @ weights - slope[rows, pick] * (basis[rows, pick] @ weights)
    return plateau, best


def _compare(
    sizes: np.ndarray, real: np.ndarray, mixed: np.ndarray
) -> tuple[tuple[float, Interval], tuple[float, Interval], tuple[float, float]]:
    """Changes of plateau and exponent with intervals, and the two plateaus."""
    seeds = len(real)
    found = []
    for curves in (real, mixed):
        mean = curves.mean(0)
        weights = 1 / mean**2 if (curves > 0).all() else np.ones(len(mean))
        without = (seeds * mean - curves) / (seeds - 1)
        found.append(_fit(sizes, np.vstack([mean[None], without]), weights / weights.sum()))
    (real_end, real_exponent), (mixed_end, mixed_exponent) = found
    ends = (float(real_end[0]), float(mixed_end[0]))
    return _jackknife(mixed_end - real_end), _jackknife(mixed_exponent - real_exponent), ends


def _jackknife(estimates: np.ndarray) -> tuple[float, Interval]:
    """The first estimate with the interval that the others, each without one replicate, give it."""
    whole, without = float(estimates[0]), estimates[1:]
    seeds = len(without)
    half = quantile(seeds) * float(np.sqrt((seeds - 1) * without.var()))
    return whole, (whole - half, whole + half)


def _restarts(curves: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether some step on the log scale falls significantly more than the step before it (Bonferroni, 5
    %), that step itself being a plateau after a fall: a law E + A n^-gamma only ever flattens."""
    steps = np.diff(curves, axis=1) / np.diff(np.log(sizes))
    typical = steps.mean(0)
    tests = steps.shape[1] - 2
    for i in range(1, steps.shape[1] - 1):
        steeper = steps[:, i] - steps[:, i + 1]
        half = quantile(len(steeper), 1 - 0.05 / tests) * steeper.std(ddof=1) / np.sqrt(len(steeper))
        flat = typical[i] > 0.25 * typical[:i].min() and typical[:i].min() < 0
        if flat and steeper.mean() - half > 1e-9 * np.abs(typical).max():
            return True
    return False
