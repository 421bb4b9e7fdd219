"""Logs as courses: one value for each step and run, on steps that all runs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autophage.errors import DataError
from autophage.verdicts.wording import count
from autophage.watching.logs import Log, Series
from autophage.watching.naming import Better

FEWEST = 3
"""Points of a course."""
MOST = 240
"""A longer course becomes the means of this many blocks: more would show noise, not course."""
HUGE = 1e150
"""A larger value counts as not finite: its square is beyond the numbers."""
SHORT = 0.5
"""A run that ended before this share of the longest is left out."""


@dataclass(frozen=True)
class Line:
    """One metric over the steps of one or several runs."""

    name: str
    better: Better
    steps: np.ndarray
    """(n,) increasing."""
    values: np.ndarray
    """(runs, n), all finite."""
    runs: tuple[str, ...]

    @property
    def mean(self) -> np.ndarray:
        """(n,) over the runs."""
        return self.values.mean(0)

    @property
    def loss(self) -> np.ndarray:
        """(n,) the mean with its sign such that lower is better."""
        return self.mean if self.better == "lower" else -self.mean


def cleaned(series: Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Steps that increase, each with one finite value, and what had to be done for that.

    Values that are not finite are gaps. A step that was logged more than once has the mean of its values.
    """
    said = []
    finite = (np.abs(series.value) < HUGE) & np.isfinite(series.step)
    lost = int((~finite).sum())
    if lost:
        at = series.step[~finite]
        ends = not finite[-1]
        where = (
            f"from step {series.step[np.flatnonzero(finite)[-1] + 1]:g} on: it has diverged"
            if ends and finite.any()
            else f"first at step {at[0]:g}"
        )
        said.append(f"{count(lost, 'value')} not finite, {where}")
    steps, at = np.unique(series.step[finite], return_inverse=True)
    values = np.zeros(len(steps))
    if len(steps):
        number = np.bincount(at)
        # The running mean does not overflow where the sum of huge losses would.
        np.add.at(values, at, series.value[finite] / number[at])
        if repeated := int((number > 1).sum()):
            said.append(f"{count(repeated, 'step')} logged more than once, with the mean of their values")
    return steps, values, said


def lasting(series: Series) -> bool:
    """Whether the last value is finite."""
    return bool(len(series.value) and abs(series.value[-1]) < HUGE)


def points(logs: Sequence[Log], name: str) -> int:
    """The fewest steps that any log has a finite value of this name for; 0 where one lacks it."""
    return min((len(cleaned(log.series[name])[0]) if name in log.series else 0 for log in logs), default=0)


def line(logs: Sequence[Log], name: str, better: Better) -> tuple[Line, list[str]]:
    """The course of a metric over all logs, and what is to be said about it.

    Runs that ended in the first half of the longest are left out. The others are taken at the steps they share; where
    they share fewer than three they are interpolated to the steps of the first one. Raises `DataError` where no run has
    three points, or where runs have no steps in common.
    """
    notes, kept = [], []
    for log in logs:
        if name not in log.series:
            notes.append(f"{log.name} has no {name} and is left out.")
            continue
        steps, values, said = cleaned(log.series[name])
        notes += [f"{log.name}: {name} has {text}." for text in said]
        kept.append((log.name, steps, values))
    enough = [entry for entry in kept if len(entry[1]) >= FEWEST]
    if not enough:
        most = max((len(entry[1]) for entry in kept), default=0)
        raise DataError(f"{name} has {count(most, 'point')}; a course needs at least {FEWEST}")
    last = max(entry[1][-1] for entry in enough)
    first = min(entry[1][0] for entry in enough)
    long = [e for e in enough if e[1][-1] - first >= SHORT * (last - first)]
    if lost := len(kept) - len(long):
        notes.append(f"{lost} of {count(len(kept), 'run')} ended early and are left out of {name}.")
    steps, values, said = _shared(long, name)
    return _blocks(Line(name, better, steps, values, tuple(e[0] for e in long)), [*notes, *said])


def _shared(
    runs: Sequence[tuple[str, np.ndarray, np.ndarray]], name: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    steps = runs[0][1]
    for _, other, _ in runs[1:]:
        steps = np.intersect1d(steps, other)
    if len(steps) >= FEWEST:
        return steps, np.stack([v[np.searchsorted(s, steps)] for _, s, v in runs]), []
    low, high = max(s[0] for _, s, _ in runs), min(s[-1] for _, s, _ in runs)
    steps = runs[0][1][(runs[0][1] >= low) & (runs[0][1] <= high)]
    if len(steps) < FEWEST:
        raise DataError(f"the runs have no {FEWEST} steps of {name} in common; watch them one by one")
    note = f"the runs share hardly any step of {name}: they are interpolated to the steps of {runs[0][0]}."
    return steps, np.stack([np.interp(steps, s, v) for _, s, v in runs]), [note]


def _blocks(found: Line, notes: list[str]) -> tuple[Line, list[str]]:
    n = len(found.steps)
    if n <= MOST:
        return found, notes
    edges = np.linspace(0, n, MOST + 1).round().astype(int)
    width = np.diff(edges)
    values = np.add.reduceat(found.values, edges[:-1], axis=1) / width
    notes = [*notes, f"{found.name} has {n:,} points; the course is made of the means of {MOST} blocks."]
    return Line(found.name, found.better, found.steps[edges[1:] - 1], values, found.runs), notes
