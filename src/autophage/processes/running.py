"""A run of a process, in memory or in a folder.

    DIR/spec.yaml, manifest.json, events.jsonl, metrics.parquet, report.html    as for a loop
    DIR/replicate_0002/generation_0003/state.npz       the newest one only, unless the process keeps all
    DIR/replicate_0002/generation_0003/gallery.npz     a few records of replicate 0
    DIR/replicate_0002/generation_0003/done.json       what was measured; the step counts once it is there
    DIR/replicate_0002/failed.json, last_valid.npz     how a replicate ended before its time

Each file appears whole or not at all, so that a process killed at any moment goes on to the same numbers.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autophage.errors import RunError, SpecError, UserError
from autophage.keys import Key
from autophage.loop import Block
from autophage.parts import Measurement
from autophage.processes.process import Broken, Finding, Shown, Stepped
from autophage.processes.spec import ProcessSpec
from autophage.registry import nearest
from autophage.runs.blocks import (
    OUT_OF_MEMORY,
    as_data,
    from_data,
    read_json,
    reason_of,
    require_measured,
    teller,
)
from autophage.runs.folder import Folder, npz, unnpz, write
from autophage.runs.table import Rows
from autophage.runs.writing import Observer, held, manifest_of, resumed, settled, with_workers, writing
from autophage.stopping import reason
from autophage.training.shelf import shelf_at

if TYPE_CHECKING:
    import numpy as np
    import polars

    from autophage.parts import Prediction
    from autophage.verdicts import Profile


@dataclass
class Course:
    """What has come out of a replicate so far."""

    replicate: int
    rows: Rows = field(default_factory=Rows)
    shown: dict[str, dict[int, Shown]] = field(default_factory=dict)
    """By agent and generation: records of replicate 0."""
    notes: dict[str, None] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    last: dict[str, np.ndarray] = field(default_factory=dict)
    """Of a failed replicate: what was valid last."""
    generations: int = 0
    stopped: dict[str, Any] | None = None
    """{generation, reason} where a stop rule ended it."""

    def over(self, generations: int) -> bool:
        """Whether nothing is left to do."""
        return self.failure is not None or self.stopped is not None or self.generations >= generations

    def judge(self, spec: ProcessSpec) -> None:
        """Looks whether the newest generation has crossed a border that ends it."""
        if spec.stop and 0 < self.generations < spec.generations:
            why = reason(spec.stop, self.rows.courses())
            self.stopped = None if why is None else {"generation": self.generations - 1, "reason": why}

    def add(self, measured: Mapping[str, Any], shown: Mapping[str, Shown], notes: Any) -> None:
        """One step's yield."""
        block = Block(self.replicate, self.replicate, 1)
        for agent, measurements in measured.items():
            self.rows.add(block, self.generations, agent, measurements)
        for agent, records in shown.items():
            self.shown.setdefault(agent, {})[self.generations] = records
        self.notes |= dict.fromkeys(notes)
        self.generations += 1


@dataclass
class ProcessRun:
    """What a process came to; `metrics` is the metric table (generation, replicate, agent, metric, value, low, high, n)."""

    spec: ProcessSpec
    metrics: polars.DataFrame
    status: str
    """completed, interrupted, or failed (every replicate failed)."""
    failures: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Replicate to {generation, reason}."""
    stops: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Replicate to {generation, reason}, where a stop rule ended it."""
    last_valid: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    """Failed replicate to what was valid last, where its process handed that back."""
    shown: dict[str, dict[int, Shown]] = field(default_factory=dict)
    """By agent and generation: a few records of replicate 0."""
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    folder: Path | None = None

    @property
    def paths(self) -> dict[str, str]:
        """By agent how it was run; a process has one way."""
        return dict.fromkeys(self.spec.process.agents, "steps")

    def rows(self, agent: str | None = None) -> polars.DataFrame:
        """The metric table of one agent, the first one unless named. Raises `SpecError` for an agent that is not there."""
        import polars as pl

        name = agent or self.spec.process.agents[0]
        if name not in self.spec.process.agents:
            raise SpecError(f"there is no agent '{name}'{nearest(name, self.spec.process.agents)}")
        return self.metrics.filter(pl.col("agent") == name)

    def predictions(self) -> list[Prediction]:
        """What theory says about this run."""
        return self.spec.process.predictions(self.spec.generations)

    def findings(self, agent: str | None = None) -> list[Finding]:
        """What the process says of itself, beside the verdict."""
        return self.spec.process.findings(self.rows(agent))

    def verdict(self, agent: str | None = None) -> Profile:
        """The definitions of collapse D1..D8, each yes, no or undecided, with the evidence."""
        from autophage.processes.paged import judged

        return judged(self, agent)

    def summary(self) -> polars.DataFrame:
        """Mean over replicates of every metric in the first and last generation, with its standard error."""
        from autophage.runs.run import summed_up

        return summed_up(self.metrics)

    def report(self, path: str | Path | None = None, figures: bool = False) -> Path:
        """Writes the page (and, with `figures`, PNG, SVG and PDF beside it) and returns where it is."""
        from autophage.processes.paged import write_page

        return write_page(self, path, figures)


def run(
    spec: Any = None,
    out: str | Path | None = None,
    workers: int = 1,
    *,
    resume: bool = False,
    observe: Observer | None = None,
    pictures: bool | None = None,
    **keys: Any,
) -> ProcessRun:
    """Runs a process (a path, a dict, a `ProcessSpec`, or its keys as keywords).

    As `autophage.run`: it writes nothing without `out`; with `workers` > 1 replicates go to worker processes of one thread
    each; with `resume` a run that is there goes on. Raises `SpecError` or `RunError` on a user's mistake; a replicate that
    diverges is a result, in `ProcessRun.failures`.
    """
    resolved = ProcessSpec.of(spec, **keys)
    folder = None if out is None else Folder(out)
    resolved, ended = resumed(resolved, folder, resume)
    if folder is not None and ended:
        return opened(resolved, folder)
    resolved.process.check()
    if workers > 1 and resolved.replicates > 1:
        claim, back = partial(_writing, resolved), partial(opened, resolved)
        return with_workers(resolved, folder, _every(resolved), workers, observe, claim, back)
    started = time.monotonic()
    if folder is None:
        courses = [run_replicate(resolved, r, None, observe, pictures is not False) for r in _every(resolved)]
        return _assembled(resolved, courses, None, time.monotonic() - started)
    with _writing(resolved, folder):
        for r in _every(resolved):
            run_replicate(resolved, r, folder, observe)
    return opened(resolved, folder)


def run_replicate(
    spec: ProcessSpec,
    replicate: int,
    folder: Folder | None = None,
    observe: Observer | None = None,
    pictures: bool = True,
) -> Course:
    """Runs a replicate to its end, from where its folder says that it stands."""
    store = None if folder is None else _Store(folder, spec, replicate)
    course, state = (Course(replicate), None) if store is None else store.resume()
    if course.over(spec.generations):
        return course
    process = spec.process
    while not course.over(spec.generations):
        g = course.generations
        try:
            with shelf_at(None if store is None else store.unfinished, teller(observe, replicate, g)):
                if state is None:
                    state = process.start(start_key(spec, replicate))
                stepped = process.step(state, Key(spec.seed) / "process" / replicate / "generation" / g)
        except UserError:
            raise
        except Exception as error:
            if type(error).__name__ in OUT_OF_MEMORY:
                raise RunError(f"generation {g} does not fit into memory ({reason_of(error)})") from error
            # A result, whoever raised it: this replicate ends here, the rest goes on.
            course.failure = {"generation": g, "reason": reason_of(error)}
            course.last = error.last if isinstance(error, Broken) else {}
            break
        if g == 0:
            names = dict.fromkeys(m.metric for found in stepped.measurements.values() for m in found)
            require_measured(spec, names, "this process does not measure")
        state = stepped.state
        course.add(stepped.measurements, stepped.shown if pictures and replicate == 0 else {}, stepped.notes)
        course.judge(spec)
        if store is not None:
            store.save(stepped, g)
        if observe is not None:
            observe(_told(replicate, g, stepped))
    if store is not None:
        store.finish(course)
    if observe is not None:
        observe({"event": "block_done", "block": replicate, "failure": course.failure})
    return course


def load(path: str | Path) -> ProcessRun:
    """A run of a process from its folder, finished or not. Raises `RunError` when there is none."""
    folder, raw = held(path)
    return opened(ProcessSpec.of(raw), folder)


def opened(spec: ProcessSpec, folder: Folder) -> ProcessRun:
    """What the replicates left in the folder; nothing is written, nothing computed again."""
    seconds = float(folder.manifest().get("seconds", 0.0))
    courses = [_Store(folder, spec, r).read() for r in _every(spec)]
    return _assembled(spec, courses, folder.path, seconds)


class _Store:
    """A folder for every generation of a replicate; it counts once its done-marker is there."""

    def __init__(self, folder: Folder, spec: ProcessSpec, replicate: int) -> None:
        self.folder, self.spec, self.replicate = folder, spec, replicate
        self.own = folder.path / f"replicate_{replicate:04d}"
        self.unfinished = self.own / "unfinished"

    def _place(self, generation: int) -> Path:
        return self.folder.generation(self.replicate, generation)

    def save(self, stepped: Stepped, g: int) -> None:
        place = self._place(g)
        write(place / "state.npz", npz(self.spec.process.arrays(stepped.state)))
        if stepped.shown and self.replicate == 0:
            arrays = {
                f"{agent}/{name}": value
                for agent, shown in stepped.shown.items()
                for name, value in shown._asdict().items()
                if value is not None
            }
            write(place / "gallery.npz", npz(arrays))
        marker = {
            "generation": g,
            "agents": {agent: [as_data(m) for m in found] for agent, found in stepped.measurements.items()},
            "notes": list(stepped.notes),
        }
        write(place / "done.json", json.dumps(marker, default=str))
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self._tidy(g)
        self._tell(g)

    def _tidy(self, g: int) -> None:
        """Older states are not needed once a newer one counts."""
        for older in range(g) if self.spec.process.keeps == "last" else ():
            (self._place(older) / "state.npz").unlink(missing_ok=True)

    def _tell(self, g: int) -> None:
        for agent in self.spec.process.agents:
            self.folder.event("generation_done", replicate=self.replicate, generation=g, agent=agent)

    def finish(self, course: Course) -> None:
        if course.failure is not None:
            if course.last:
                write(self.own / "last_valid.npz", npz(course.last))
            write(self.own / "failed.json", json.dumps(course.failure))
        self._ended(course)

    def _ended(self, course: Course) -> None:
        facts: dict[str, Any] = {"status": "completed"}
        if course.failure is not None:
            facts = {"status": "failed", **course.failure}
        elif course.stopped is not None:
            facts = {"status": "stopped", **course.stopped}
        self.folder.event("replicate_ended", replicate=self.replicate, **facts)

    def read(self) -> Course:
        """What the finished generations left behind."""
        course = Course(self.replicate)
        while (place := self._place(course.generations) / "done.json").is_file():
            marker = read_json(place)
            measured: dict[str, list[Measurement]] = {
                agent: [from_data(m) for m in rows] for agent, rows in marker["agents"].items()
            }
            course.add(measured, self._shown(place.with_name("gallery.npz")), marker["notes"])
        course.judge(self.spec)
        failed = self.own / "failed.json"
        if failed.is_file():
            course.failure = read_json(failed)
            if failed.with_name("last_valid.npz").is_file():
                course.last = unnpz(failed.with_name("last_valid.npz"))
        return course

    def _shown(self, place: Path) -> dict[str, Shown]:
        arrays = unnpz(place) if place.is_file() else {}
        return {
            name.rpartition("/")[0]: Shown(x, arrays.get(name.rpartition("/")[0] + "/label"))
            for name, x in arrays.items()
            if name.endswith("/x")
        }

    def resume(self) -> tuple[Course, Any]:
        """Where the replicate stands; a process killed between a marker and its event gets the event now."""
        course = self.read()
        mine = self.folder.events(holding=f'"replicate": {self.replicate},')
        told = {e.get("generation") for e in mine if e.get("event") == "generation_done"}
        for g in range(course.generations):
            if g not in told:
                self._tell(g)
        self._tidy(course.generations - 1)
        if course.over(self.spec.generations):
            if not any(e.get("event") == "replicate_ended" for e in mine):
                self._ended(course)
            return course, None
        if not course.generations:
            return course, None
        last = course.generations - 1
        place = self._place(last) / "state.npz"
        if not place.is_file():
            raise RunError(f"{place} is gone, so replicate {self.replicate} cannot go on; delete its folder")
        return course, self.spec.process.restored(unnpz(place), start_key(self.spec, self.replicate))


def start_key(spec: ProcessSpec, replicate: int) -> Key:
    """The stream of what a replicate begins with."""
    return Key(spec.seed) / "process" / replicate / "start"


def _every(spec: ProcessSpec) -> range:
    return range(spec.replicates)


def _told(replicate: int, generation: int, stepped: Stepped) -> dict[str, Any]:
    first = next(iter(stepped.measurements.values()), ())
    means = {m.metric: float(from_data(as_data(m)).value.mean()) for m in first}
    return {"event": "generation_done", "block": replicate, "generation": generation, "metrics": means}


def _writing(spec: ProcessSpec, folder: Folder) -> contextlib.AbstractContextManager[None]:
    def manifest(status: str) -> dict[str, Any]:
        return manifest_of(spec, status, warnings=list(spec.process.warnings))

    def settle(status: str, seconds: float) -> None:
        courses = [_Store(folder, spec, r).read() for r in _every(spec)]
        found = _assembled(spec, courses, folder.path, seconds)
        settled(folder, found, manifest, status, seconds)

    return writing(folder, spec, manifest, settle)


def _assembled(spec: ProcessSpec, courses: list[Course], folder: Path | None, seconds: float) -> ProcessRun:
    failures = {c.replicate: c.failure for c in courses if c.failure is not None}
    done = all(c.over(spec.generations) for c in courses)
    notes = dict.fromkeys(spec.process.warnings) | {n: None for c in courses for n in c.notes}
    return ProcessRun(
        spec=spec,
        metrics=Rows.frame([c.rows.arrays() for c in courses]),
        status="failed" if len(failures) == spec.replicates else "completed" if done else "interrupted",
        failures=failures,
        stops={c.replicate: c.stopped for c in courses if c.stopped is not None},
        last_valid={c.replicate: c.last for c in courses if c.last},
        shown=courses[0].shown,
        warnings=list(notes),
        seconds=seconds,
        folder=folder,
    )
