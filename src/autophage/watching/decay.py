"""Whether the objective improves while its use decays.

Training improves an objective; what the model is for is measured on something else. The use has decayed where its level
at the end is worse than it was at its best. Levels are means over windows of k neighbouring points, k = n / 8 and at most
5, written so that lower is better:

    fall = level(last window) - min over windows,    standard error = s sqrt(2 / k),    s the local noise

with the noise that of the points since the best, where they are eight and more: a steep beginning is none.
The best window was chosen because it is low, so the fall is positive without any decay: the interval is Student's at
level 0.05 / (windows), which holds for all windows at once (Bonferroni). With three and more runs the standard error is at
least the spread of the runs' falls over sqrt(runs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from autophage.verdicts.intervals import Interval
from autophage.verdicts.profile import Answer
from autophage.verdicts.wording import number, percent
from autophage.watching.courses import Line
from autophage.watching.noise import Noise, local_noise, settled_noise

MARGIN = 0.01
"""A fall below this share of the best level, or of what training had gained if that is less, is none."""
SINCE = 8
"""Points since the best that speak for their own noise."""
TOLD = 0.05
"""A fall below this share of what training had gained is not told as a share: the beginning may have been very bad."""


@dataclass(frozen=True)
class Progress:
    """What the objective did after the use was best."""

    name: str
    way: Literal["improved", "worsened", "undecided"]
    change: float
    """From the best step of the use to the end, in the objective's own direction and units."""
    ci95: Interval


@dataclass(frozen=True)
class Decay:
    """The answer to the question, and what it rests on."""

    answer: Answer
    """yes: the use peaked and fell; no: it did not; undecided: what it lost may be noise."""
    best_step: float
    """The best point within the best window: the checkpoint to keep."""
    best: float
    """Level of the use there."""
    last_step: float
    last: float
    """Level of the use at the end."""
    fall: float
    """How much worse the end is than the best; 0 where the best is the end."""
    ci95: Interval
    share: float
    """The fall as a share of what training had gained until the best; NaN where that was nothing."""
    objective: Progress | None
    sentence: str
    recommendation: str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words."""
        found = {k: v for k, v in vars(self).items() if k != "objective"}
        return {**found, "objective": None if self.objective is None else vars(self.objective)}


def decay(use: Line, objective: Line | None = None, counted: str = "step") -> Decay:
    """Whether the use peaked and fell, and whether the objective went on improving meanwhile. `counted` is what the steps are
    called."""
    x, loss, n = use.steps, use.loss, len(use.steps)
    k = int(np.clip(n // 8, 1, 5))
    levels = np.convolve(loss, np.ones(k) / k, mode="valid")
    at = int(levels.argmin())
    best_step = float(x[at + int(loss[at : at + k].argmin())])
    ended = at + k > n - k  # the best window reaches into the last one
    sign = 1.0 if use.better == "lower" else -1.0
    level, last = float(levels[at]), float(levels[-1])
    gain = float(loss[0]) - level
    noise = local_noise(x[at:], loss[at:]) if n - at >= SINCE else local_noise(x, loss)
    if gain <= 2 * noise.scale:  # nothing that could be told from noise
        gain = 0.0
    fall = 0.0 if ended else last - level
    half = 0.0 if ended else _half(use, at, k, noise, len(levels))
    low, high = fall - half, fall + half
    margin = MARGIN * (min(gain, abs(level)) if gain > 0 else abs(level))
    answer: Answer = "no" if ended or high <= margin else "yes" if low > 0 and fall >= margin else "undecided"
    progress = None if objective is None or ended else _progress(objective, float(x[at + k // 2]))
    share = fall / gain if gain > 0 else float("nan")
    found = Decay(
        answer=answer,
        best_step=best_step,
        best=sign * level,
        last_step=float(x[-1]),
        last=sign * last,
        fall=fall,
        ci95=(low, high),
        share=share,
        objective=progress,
        sentence="",
        recommendation="",
    )
    said = {
        "sentence": _sentence(use, found, ended, counted),
        "recommendation": _recommendation(found, counted),
    }
    return Decay(**{**vars(found), **said})


def _half(use: Line, at: int, k: int, noise: Noise, windows: int) -> float:
    error = noise.scale * (2 / k) ** 0.5
    if len(use.runs) >= 3:
        falls = use.values[:, -k:].mean(1) - use.values[:, at : at + k].mean(1)
        error = max(error, float(falls.std(ddof=1)) / len(use.runs) ** 0.5)
    return error * float(stdtrit(noise.freedom, 1 - 0.025 / windows))


def _progress(line: Line, since: float) -> Progress:
    """The objective's level around that step against its level at the end."""
    n = len(line.steps)
    q = int(np.clip(n // 8, 1, 5))
    near = int(np.clip(np.searchsorted(line.steps, since) - q // 2, 0, n - q))
    now, then = float(line.loss[-q:].mean()), float(line.loss[near : near + q].mean())
    sign = 1.0 if line.better == "lower" else -1.0
    if near + q > n - q:
        return Progress(line.name, "undecided", 0.0, (-np.inf, np.inf))
    noise = settled_noise(line.steps, line.mean)
    half = noise.scale * (2 / q) ** 0.5 * float(stdtrit(noise.freedom, 0.975))
    change = now - then
    way: Any = "improved" if change + half < 0 else "worsened" if change - half > 0 else "undecided"
    ends = sorted((sign * (change - half), sign * (change + half)))
    return Progress(line.name, way, sign * change, (ends[0], ends[1]))


def _sentence(use: Line, found: Decay, ended: bool, counted: str) -> str:
    worse = "risen" if use.better == "lower" else "fallen"
    best = f"{use.name} was best at {counted} {found.best_step:g} ({number(found.best)})"
    if ended:
        end = f"{counted} {found.last_step:g} ({number(found.last)})"
        return f"{use.name} is at its best at the end, {end}: nothing of it has been lost."
    low, high = (number(v) for v in found.ci95)
    size = f"by {number(found.fall)} since (95 % interval {low} to {high})"
    if found.answer == "no":
        return f"{best} and has changed {size}: too little to count as a decay."
    if found.answer == "undecided":
        return f"{best} and has {worse} {size}, which may be noise."
    gained = ""
    if found.share >= 1:
        gained = ", more than training had gained"
    elif found.share >= TOLD:
        gained = f", {percent(found.share)} of what training had gained"
    told = f"{best} and has {worse} {size}{gained}"
    return told + _meanwhile(found.objective)


def _meanwhile(progress: Progress | None) -> str:
    if progress is None:
        return ": its use has decayed."
    if progress.way == "improved":
        return (
            f", while {progress.name} went on improving by {number(abs(progress.change))}: the objective improves while its "
            "use decays."
        )
    if progress.way == "worsened":
        return f", and {progress.name} has worsened too: training itself comes apart."
    return f", and {progress.name} has not measurably improved meanwhile: going on gains nothing."


def _recommendation(found: Decay, counted: str) -> str:
    best = f"{counted} {found.best_step:g}"
    if found.answer == "yes":
        return f"Stop, and keep the checkpoint of {best}."
    if found.answer == "undecided":
        return f"Keep the checkpoint of {best} and look again after a few more evaluations."
    return f"Go on; the checkpoint to keep so far is that of {best}."
