"""A log as series: what was logged under each name, at which step, in the order in which it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.registry import nearest
from autophage.verdicts.wording import count
from autophage.watching import events, rows
from autophage.watching.naming import step_column
from autophage.watching.places import Place, places

TO_LINES = {"jsonl": rows.json_lines, "state": rows.json_document, "csv": rows.table}


@dataclass(frozen=True)
class Series:
    """What one name was given: steps (n,) and values (n,), in the order of the log."""

    step: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class Log:
    """One run of a training tool."""

    name: str
    series: Mapping[str, Series]
    counted: str = "step"
    """The name of what the steps count."""
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())


def logs(paths: Sequence[str | Path], step: str | None = None) -> tuple[list[Log], list[str]]:
    """The logs of files and folders, one for each run, and what is to be said about them together.

    `step` names the column of the steps; event files know their own. Raises `DataError` for what is no log, `SpecError`
    for a step column that is not there.
    """
    if not paths:
        raise SpecError("there is nothing to watch: name a log, or a folder of logs")
    found, notes = places([Path(p) for p in paths])
    read: list[Log] = []
    for place in found:
        if place.kind == "run":
            read += _of_run(place)
        elif place.kind == "events":
            read.append(_of_events(place, step))
        else:
            read.append(_of_rows(place, step))
    return read, notes


def _of_rows(place: Place, step: str | None) -> Log:
    path = place.files[0][1]
    lines, unread = TO_LINES[place.kind](path)
    names = list(dict.fromkeys(name for row in lines for name in row))
    if step is not None and step not in names:
        raise SpecError(f"{path} has no column {step!r}{nearest(step, names)}")
    counted = step if step is not None else step_column(names)
    notes = [f"{count(unread, 'line')} of {path} could not be read and are left out."] if unread else []
    if counted is None:
        notes.append(f"{path} has no column of steps; its lines are counted.")
        steps = np.arange(1, len(lines) + 1, dtype=np.float64)
    else:
        steps, kept = _stepped([row.get(counted, np.nan) for row in lines])
        lines = [row for row, keep in zip(lines, kept, strict=True) if keep]
        if lost := int((~kept).sum()):
            notes.append(f"{count(lost, 'row')} of {path} before the first {counted} are left out.")
        steps, said = _through_epochs(steps, lines, counted)
        notes += said
    steps, lines, said = without_retries(steps, lines)
    notes += [f"{place.name}: {text}" for text in said]
    series = {}
    for name in names:
        if name == counted:
            continue
        having = np.array([name in row for row in lines], dtype=bool)
        if having.any():
            values = np.array([row[name] for row in lines if name in row], dtype=np.float64)
            series[name] = Series(steps[having], values)
    return Log(place.name, series, counted or "line", tuple(notes), (path,))


def _stepped(steps: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Steps with gaps filled by the last one before, and which rows have one then."""
    given = np.array(steps, dtype=np.float64)
    last = np.maximum.accumulate(np.where(np.isfinite(given), np.arange(len(given)), -1))
    kept = last >= 0
    return given[last[kept]], kept


def _through_epochs(
    steps: np.ndarray, lines: Sequence[rows.Row], counted: str
) -> tuple[np.ndarray, list[str]]:
    """Steps that start over in every epoch, counted through."""
    epoch = next((n for row in lines for n in row if n.lower() == "epoch" and n != counted), None)
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if epoch is None or not len(back):
        return steps, []
    epochs = np.array([row.get(epoch, np.nan) for row in lines])
    if not (epochs[back] > epochs[back - 1]).all():
        return steps, []
    offset = np.zeros(len(steps))
    for i in back:
        offset[i:] = offset[i - 1] + steps[i - 1] + (steps[i] == 0)
    return steps + offset, [f"{counted} starts over in every epoch; it is counted through."]


def without_retries(
    steps: np.ndarray, lines: Sequence[rows.Row]
) -> tuple[np.ndarray, list[rows.Row], list[str]]:
    """A log in which the step goes back was gone on with from an earlier checkpoint: what the abandoned try had logged
    from there on is dropped."""
    kept: list[int] = []
    said = []
    for i, s in enumerate(steps):
        if kept and s < steps[kept[-1]]:
            said.append(f"at step {steps[kept[-1]]:g} it goes back to {s:g}")
            while kept and steps[kept[-1]] >= s:
                kept.pop()
        kept.append(i)
    if not said:
        return steps, list(lines), []
    shown = "; ".join(said[:3]) + ("; ..." if len(said) > 3 else "")
    notes = [f"{count(len(said), 'restart')}: {shown}. What had been logged beyond is left out."]
    return steps[kept], [lines[i] for i in kept], notes


def _of_events(place: Place, step: str | None) -> Log:
    if step is not None:
        raise SpecError(
            f"{place.name} holds event files, which count their own steps; --step names a column of a table"
        )
    given: dict[str, list[tuple[int, float]]] = {}
    notes = []
    for before, path in place.files:
        try:
            found, damaged = events.scalars(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        if damaged:
            notes.append(f"{count(damaged, 'record')} of {path} are damaged and left out.")
        for scalar in found:
            given.setdefault(before + scalar.tag, []).append((scalar.step, scalar.value))
    series, retried = {}, 0
    for name, pairs in given.items():
        steps = np.array([s for s, _ in pairs], dtype=np.float64)
        steps, lines, said = without_retries(steps, [{name: v} for _, v in pairs])
        retried += bool(said)
        series[name] = Series(steps, np.array([row[name] for row in lines]))
    if retried:
        notes.append(
            f"{place.name}: in {retried} of {count(len(given), 'tag')} the step goes back, as after a restart; what had been "
            "logged beyond is left out."
        )
    return Log(place.name, series, "step", tuple(notes), tuple(path for _, path in place.files))


def _of_run(place: Place) -> list[Log]:
    """An autophage run: every replicate is a log, generations are its steps; several agents stand before the metrics."""
    from autophage.runs.run import load

    run = load(place.files[0][1])
    several = run.metrics["agent"].n_unique() > 1
    found = []
    for replicate, rows_ in run.metrics.sort("generation").group_by("replicate", maintain_order=True):
        series = {}
        for (agent, metric), part in rows_.group_by("agent", "metric", maintain_order=True):
            name = f"{agent}/{metric}" if several else str(metric)
            series[name] = Series(
                part["generation"].to_numpy().astype(np.float64),
                part["value"].fill_null(float("nan")).to_numpy().astype(np.float64),
            )
        files = (place.files[0][1],)
        found.append(Log(f"{place.name} {replicate[0]}", series, "generation", (), files))
    if not found:
        raise DataError(f"the run at {place.files[0][1]} has measured nothing yet")
    return sorted(found, key=lambda log: int(log.name.rpartition(" ")[2]))
