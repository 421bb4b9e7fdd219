"""An answer of the planner, and what a simulation says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key

Simulation = Callable[[int, Key], np.ndarray]
"""(replicates, key) to a course (replicates, points), made without the theorem that gave the answer."""


@dataclass(frozen=True)
class Line:
    """One line of the picture: `values` over the answer's `points`."""

    name: str
    values: np.ndarray
    role: Literal["with", "without", "other"] = "other"


@dataclass(frozen=True)
class Trial:
    """How to try an answer: simulate the plan, and one that asks for a little less."""

    simulate: Simulation
    """The quantity that the answer's line "with" predicts, under the plan."""
    expected: np.ndarray
    """Its predicted mean, point by point."""
    limit: float | None = None
    """What the mean must not exceed at any point."""
    less: Simulation | None = None
    """The same under a plan that asks for `margin` less: it must miss the limit, or be worse at the end."""
    margin: str = ""
    only_last: bool = False
    """Judge the last point only: the others are first-order, or not promised."""
    tolerance: float = 0.0
    """Relative slack for theorems that hold asymptotically."""
    replicates: int = 4000
    """Enough to tell, unless the caller says otherwise."""


@dataclass(frozen=True)
class Confirmation:
    """What the simulation found."""

    replicates: int
    measured: np.ndarray
    """(points,) means over replicates."""
    standard_error: np.ndarray
    agrees: bool
    """Within four standard errors (and the theorem's slack) of the prediction everywhere."""
    holds: bool
    """The plan does what it promises, as far as four standard errors can tell."""
    needed: bool | None
    """Asking for less fails; None where that was not tried."""
    sentence: str

    @property
    def confirmed(self) -> bool:
        """Nothing speaks against the answer."""
        return self.agrees and self.holds and self.needed is not False


@dataclass(frozen=True)
class Answer:
    """What to do, and why."""

    question: str
    value: Any
    """The number asked for (a list of sizes for a schedule)."""
    unit: str
    sentence: str
    """What to do, in one sentence."""
    status: Literal["exact", "asymptotic", "bound", "conjecture"]
    """What the theorem is."""
    theorem: str
    """What it rests on: the claim, authors, year."""
    assumptions: Sequence[str]
    """What must be so for the answer to hold."""
    quantity: str
    """What the lines show."""
    points: np.ndarray
    """Where: generations, or the values of a parameter."""
    lines: Sequence[Line]
    axis: str = "generation"
    target: float | None = None
    table: Sequence[Mapping[str, Any]] = ()
    """Answers to neighbouring questions, one row each."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """Keys to set in the spec so that it follows the plan."""
    notes: Sequence[str] = ()
    trial: Trial | None = None
    confirmation: Confirmation | None = None

    def confirmed(self, replicates: int | None = None, seed: int = 0) -> Answer:
        """The same answer after a simulation. Raises `SpecError` where there is nothing to simulate."""
        if self.trial is None:
            raise SpecError(f"the answer to '{self.question}' leaves nothing to simulate")
        return replace(self, confirmation=tried(self.trial, replicates, seed))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        found = self.confirmation
        return {
            "question": self.question,
            "value": _plain(self.value),
            "unit": self.unit,
            "sentence": self.sentence,
            "status": self.status,
            "theorem": self.theorem,
            "assumptions": list(self.assumptions),
            "target": self.target,
            "quantity": self.quantity,
            "axis": self.axis,
            "points": _plain(self.points),
            "lines": {line.name: _plain(line.values) for line in self.lines},
            "table": [{k: _plain(v) for k, v in row.items()} for row in self.table],
            "change": dict(self.change),
            "notes": list(self.notes),
            "confirmation": None
            if found is None
            else {
                "confirmed": found.confirmed,
                "agrees": found.agrees,
                "holds": found.holds,
                "needed": found.needed,
                "replicates": found.replicates,
                "measured": _plain(found.measured),
                "standard_error": _plain(found.standard_error),
                "sentence": found.sentence,
            },
        }


def tried(trial: Trial, replicates: int | None = None, seed: int = 0) -> Confirmation:
    """A trial carried out."""
    R = trial.replicates if replicates is None else replicates
    if R < 20:
        raise SpecError(f"{R} replicates cannot confirm a plan; at least 20 are needed")
    key = Key(seed) / "plan"
    measured, error = _mean(trial.simulate(R, key / "with"))
    slack = 4 * error + trial.tolerance * np.abs(trial.expected)
    where = slice(-1, None) if trial.only_last else slice(None)
    agrees = bool((np.abs(measured - trial.expected)[where] <= slack[where]).all())
    holds = True
    if trial.limit is not None:
        over = measured - trial.limit - slack
        holds = bool((over[where] <= 0).all())
    needed = None
    if trial.less is not None:
        below, wrong = _mean(trial.less(R, key / "less"))
        if trial.limit is not None:
            # It must miss the target somewhere, as far as the simulation can tell.
            missed = below - trial.limit + 4 * wrong
            needed = bool((missed[where] > 0).any())
        else:
            needed = bool((below - measured)[-1] + 4 * np.hypot(wrong, error)[-1] > 0)
    return Confirmation(R, measured, error, agrees, holds, needed, _said(trial, R, agrees, holds, needed))


def _mean(course: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    course = np.asarray(course, dtype=np.float64)
    return course.mean(axis=0), course.std(axis=0, ddof=1) / np.sqrt(len(course))


def _said(trial: Trial, R: int, agrees: bool, holds: bool, needed: bool | None) -> str:
    first = (
        f"{R:,} simulated replicates " + ("agree with" if agrees else "do NOT agree with") + " the prediction"
    )
    if trial.limit is not None:
        first += " and keep to the target" if holds else " but MISS the target"
    if needed is None:
        return first + "."
    return first + (f"; {trial.margin} would not do." if needed else f"; {trial.margin} would do as well.")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value).replace("inf", "infinite")
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
