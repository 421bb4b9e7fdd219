"""A watched log: the course of what a model is for, its verdicts, its change points and where it goes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.registry import nearest
from autophage.verdicts import Profile, from_table, judge
from autophage.verdicts.wording import count, number
from autophage.watching import courses, naming
from autophage.watching.change_points import Piece, pieces
from autophage.watching.courses import Line
from autophage.watching.decay import Decay, decay
from autophage.watching.forecast import Forecast, forecast
from autophage.watching.logs import Log, logs
from autophage.watching.noise import settled_noise

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Change:
    """Where a course changes its pace."""

    step: float
    """The first step of the new piece."""
    before: float
    """Slope per step until then."""
    after: float
    """Slope per step from then on."""
    sentence: str


@dataclass(frozen=True)
class Watched:
    """What a log says. `lines[0]` is the use; the objective, where there is one, and diversities follow."""

    name: str
    use: Line
    objective: Line | None
    diversity: tuple[Line, ...]
    counted: str
    """What the steps count: step, epoch, generation, ..."""
    latest: float
    """The last value that was logged of the use, mean over runs: NaN where it is not finite."""
    decay: Decay
    profile: Profile
    pieces: tuple[Piece, ...]
    changes: tuple[Change, ...]
    forecast: Forecast | None
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=())
    """Numeric columns that were not looked at."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """The use, the objective, the diversities."""
        return (self.use, *([] if self.objective is None else [self.objective]), *self.diversity)

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if not np.isfinite(self.latest):
            return f"{self.use.name} is not finite any more: the training has diverged. Before that, {self.decay.sentence}"
        return self.decay.sentence

    @cached_property
    def metrics(self) -> polars.DataFrame:
        """The metric table: one row per step (as generation), run (as replicate) and metric."""
        return _table(self.lines)

    def missed(self, fail_below: float | None = None, fail_above: float | None = None) -> str | None:
        """Which guard was missed, in one sentence, or None.

        With a bound: the last value is beyond it, or not finite. Without: the use has decayed, or is not finite any more.
        """
        if not np.isfinite(self.latest):
            return f"the last value of {self.use.name} is not finite."
        for bound, beyond, word in (
            (fail_below, fail_below is not None and self.latest < fail_below, "below"),
            (fail_above, fail_above is not None and self.latest > fail_above, "above"),
        ):
            if beyond and bound is not None:
                return f"the last value of {self.use.name}, {number(self.latest)}, is {word} {number(bound)}."
        if fail_below is None and fail_above is None and self.decay.answer == "yes":
            return f"the use, {self.use.name}, has decayed."
        return None

    def report(self, path: str | Path = "watched.html") -> Path:
        """Writes the page. Raises `RunError` when it cannot be written."""
        from autophage.watching.paged import write

        return write(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the courses' points, as plain data."""
        return {
            "name": self.name,
            "files": [str(f) for f in self.files],
            "use": self.use.name,
            "better": self.use.better,
            "objective": None if self.objective is None else self.objective.name,
            "diversity": [line.name for line in self.diversity],
            "counted": self.counted,
            "runs": list(self.use.runs),
            "points": len(self.use.steps),
            "first_step": float(self.use.steps[0]),
            "last_step": float(self.use.steps[-1]),
            "latest": self.latest,
            "sentence": self.sentence,
            "recommendation": self.decay.recommendation,
            "decay": self.decay.to_dict(),
            "changes": [vars(change) for change in self.changes],
            "forecast": None if self.forecast is None else self.forecast.to_dict(),
            "verdict": in_steps(self.profile.to_dict(), self.use, self.counted),
            "notes": list(self.notes),
            "others": list(self.others),
        }


def watch(
    log: str | Path | Sequence[str | Path],
    *,
    step: str | None = None,
    metric: str | None = None,
    better: Literal["lower", "higher"] | None = None,
    objective: str | None = None,
    diversity: str | Sequence[str] = (),
    ahead: float | None = None,
) -> Watched:
    """A training log of any tool as a course with verdict.

    `log` is a file (JSON lines, CSV, `trainer_state.json`, an event file of tensorboard), a folder of them, an autophage run,
    or several of these: runs of the same training are replicates. `metric` is the use, what the model is for: by default a
    held-out loss, else another held-out metric. `objective` is what training improves: by default a training loss; a
    minus in front of a name says that higher is better. `diversity` names metrics for the verdict on variance. The forecast
    reaches `ahead` steps.

    Raises `DataError` for what is no log or too short (three points), `SpecError` for columns that are not there or whose
    better side is not known.
    """
    given = [log] if isinstance(log, str | Path) else list(log)
    found, notes = logs(given, step)
    name = (
        found[0].name if len(found) == 1 else f"{Path(given[0]).name or given[0]}, {count(len(found), 'run')}"
    )
    names = list(dict.fromkeys(n for one in found for n in one.series))
    if not names:
        raise DataError(f"{given[0]} holds no numeric column beside its steps")
    use_name, use_better = _use(found, names, metric, better)
    use, said = courses.line(found, use_name, use_better)
    notes += [*(n for one in found for n in one.notes), *said]
    if metric is None and (rivals := [n for n in naming.uses(names) if n != use_name]):
        notes.append(
            f"{use_name} is taken as the use; --metric takes another, such as {', '.join(rivals[:3])}."
        )
    if metric is None and use_name not in naming.uses(names):
        notes.append(
            f"no held-out metric was found: the use is {use_name}, which is measured on training data."
        )
    pursued, said = _objective(found, names, use_name, objective)
    notes += said
    diverse = []
    for one in [diversity] if isinstance(diversity, str) else diversity:
        line, said = courses.line(found, _there(one, names, "diversity"), "higher")
        diverse.append(line)
        notes += said
    lines = [use, *diverse]
    notes += [f"only one of {len(found)} runs is long enough."] if len(found) > 1 == len(use.runs) else []
    counted = found[0].counted
    noise = settled_noise(use.steps, use.mean)
    cut = pieces(use.steps, use.mean, noise)
    carried, why = forecast(use.steps, use.mean, use_name, ahead, counted)
    taken = {line.name for line in lines} | ({pursued.name} if pursued else set())
    return Watched(
        name=name,
        use=use,
        objective=pursued,
        diversity=tuple(diverse),
        counted=counted,
        latest=_latest(found, use),
        decay=decay(use, pursued, counted),
        profile=_profile(use, diverse),
        pieces=cut,
        changes=tuple(_change(use, a, b, counted) for a, b in pairwise(cut)),
        forecast=carried,
        files=tuple(dict.fromkeys(f for one in found for f in one.files)),
        notes=tuple(dict.fromkeys([*notes, *([why] if why else [])])),
        others=tuple(n for n in names if n not in taken),
    )


def in_steps(told: Any, use: Line, counted: str = "step") -> Any:
    """A profile in the words of a log: verdicts count generations from 0, a log steps from wherever it begins."""
    if isinstance(told, dict):
        return {k: in_steps(v, use, counted) for k, v in told.items()}
    if isinstance(told, list | tuple):
        return [in_steps(v, use, counted) for v in told]
    if not isinstance(told, str) or counted == "generation":
        return told
    first = use.steps[0] if _whole(use.steps) else None

    def numbered(found: re.Match[str]) -> str:
        at = int(found[1])
        if first is None:
            return f"{counted} {use.steps[min(at, len(use.steps) - 1)]:g}"
        return f"{counted} {first + at:g}"

    told = re.sub(r"\bgeneration (\d+)", numbered, told)
    told = re.sub(r"\ba generation\b", f"per {counted}", told)
    told = re.sub(r"\breplicate(s?)\b", r"run\1", told)
    return re.sub(r"\bgeneration(s?)\b", rf"{counted}\1", told)


def _use(
    found: Sequence[Log], names: list[str], metric: str | None, better: str | None
) -> tuple[str, naming.Better]:
    side = better if better is None or better in ("lower", "higher") else ""
    if side == "":
        raise SpecError(f"better is {better!r}; it must be lower or higher")
    if metric is not None:
        name, own = naming.signed(metric) if metric not in names else (metric, None)
        _there(name, names, "metric")
        way: Any = side or own or naming.better(name)
    else:
        candidates = [*naming.uses(names), *naming.objectives(names)]
        candidates += [n for n in names if naming.better(n) and not naming.bookkeeping(n)]
        candidates += [n for n in names if not naming.bookkeeping(n)] if side else []
        if not candidates:
            raise SpecError(
                f"none of {', '.join(names[:8])} is known as a quality of a model; name one with --metric, and say --better lower "
                "or --better higher"
            )
        name = next((n for n in candidates if courses.points(found, n) >= courses.FEWEST), candidates[0])
        way = side or naming.better(name)
    if not way:
        raise SpecError(
            f"whether {name} is better lower or higher is not known from its name; say it with --better"
        )
    return name, way


def _objective(
    found: Sequence[Log], names: list[str], use: str, asked: str | None
) -> tuple[Line | None, list[str]]:
    if asked is None:
        long = [
            n for n in naming.objectives(names) if n != use and courses.points(found, n) >= courses.FEWEST
        ]
        return (None, []) if not long else courses.line(found, long[0], naming.better(long[0]) or "lower")
    name, own = naming.signed(asked) if asked not in names else (asked, None)
    if _there(name, names, "objective") == use:
        raise SpecError(
            f"the objective and the use are both {name}; name different ones with --objective and --metric"
        )
    way = own or naming.better(name)
    line, notes = courses.line(found, name, way or "lower")
    if way is None:
        notes.append(
            f"{name} is taken to be better where it is lower; --objective=-{name} says the opposite."
        )
    return line, notes


def _there(name: str, names: list[str], option: str) -> str:
    if name not in names:
        raise SpecError(f"the log has no column {name!r} for the {option}{nearest(name, names)}")
    return name


def _latest(found: Sequence[Log], use: Line) -> float:
    series = [log.series[use.name] for log in found if log.name in use.runs]
    if not all(map(courses.lasting, series)):
        return float("nan")
    return float(np.mean([s.value[-1] for s in series]))


def _profile(use: Line, diversity: Sequence[Line]) -> Profile:
    """The eight definitions, with steps as generations: counted from the first one where they are whole, else one by one."""
    shared = use.steps
    for line in diversity:
        shared = np.intersect1d(shared, line.steps)
    runs = set(use.runs).intersection(*(line.runs for line in diversity))
    if len(shared) < courses.FEWEST or not runs:
        raise DataError("the diversity was not logged at the steps of the use; three are needed")
    kept = [_at(line, shared, [r for r in use.runs if r in runs]) for line in (use, *diversity)]
    settings = {
        "risk": ("-" if use.better == "higher" else "") + use.name,
        "diversity": [line.name for line in diversity] or None,
    }
    return judge(from_table(_table(kept, counted_from_zero=True), settings))


def _at(line: Line, steps: np.ndarray, runs: list[str]) -> Line:
    rows = [line.runs.index(r) for r in runs]
    values = line.values[rows][:, np.searchsorted(line.steps, steps)]
    return dataclasses.replace(line, steps=steps, values=values, runs=tuple(runs))


def _whole(steps: np.ndarray) -> bool:
    return bool((steps == np.round(steps)).all() and np.abs(steps).max() < 2**52)


def _table(lines: Sequence[Line], counted_from_zero: bool = False) -> polars.DataFrame:
    import polars as pl

    def rows(line: Line) -> pl.DataFrame:
        steps = line.steps
        if counted_from_zero:
            steps = steps - steps[0] if _whole(steps) else np.arange(len(steps))
        runs, n = line.values.shape
        return pl.DataFrame(
            {
                "generation": np.tile(
                    steps.astype(np.int64) if _whole(steps) else steps.astype(np.float64), runs
                ),
                "replicate": np.repeat(np.arange(runs), n),
                "agent": ["main"] * (runs * n),
                "metric": [line.name] * (runs * n),
                "value": line.values.ravel(),
            }
        )

    return pl.concat([rows(line) for line in lines], how="vertical_relaxed")


def _change(use: Line, before: Piece, after: Piece, counted: str) -> Change:
    step = float(use.steps[after.start])
    words = {1: "rising", -1: "falling", 0: "level"}
    was, now = before.way(), after.way()
    gap = float(use.steps[after.start] - use.steps[before.end - 1])
    jump = after.first - (before.last + before.slope * gap)
    error = np.hypot(
        before.slope_error * gap * before.points**0.5, after.slope_error * gap * after.points**0.5
    )
    if was != now:
        how = f"turns from {words[was]} to {words[now]}"
    elif was and abs(after.slope) < 0.5 * abs(before.slope):
        how = f"goes on {words[now]}, more slowly"
    elif was and abs(after.slope) > 2 * abs(before.slope):
        how = f"goes on {words[now]}, faster"
    elif abs(jump) > 3 * error:
        how = f"jumps {'up' if jump > 0 else 'down'} by {number(abs(jump))}"
    else:
        how = f"goes on {words[now]} at another pace"
    slopes = f"{number(before.slope)} to {number(after.slope)} per {counted}"
    return Change(step, before.slope, after.slope, f"at {counted} {step:g} {use.name} {how} ({slopes}).")
