"""A run: all replicates of a spec, in memory or in a folder, and what can be asked of it afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.curating import Judged
from autophage.ecosystem import Flow
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.runs.blocks import Course, Drawn, Observer, run_block, stored
from autophage.runs.folder import Folder, write
from autophage.runs.provenance import is_ecosystem
from autophage.runs.table import Rows
from autophage.runs.writing import held, manifest_of, parquet, resumed, settled, with_workers, writing
from autophage.spec import Spec

if TYPE_CHECKING:
    import polars

    from autophage.parts import Prediction
    from autophage.verdicts import Profile


@dataclass
class Run:
    """What a loop came to.

    `metrics` is the metric table (generation, replicate, agent, metric, value, low, high, n).
    """

    spec: Spec
    metrics: polars.DataFrame
    status: str
    """completed, interrupted, or failed (every replicate failed)."""
    failures: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Replicate to {generation, reason}."""
    absorbed: dict[str, np.ndarray] = field(default_factory=dict)
    """By agent: (replicates,) the generation in which nothing could change any more, or -1."""
    paths: dict[str, str] = field(default_factory=dict)
    """By agent: whether records were drawn, or the statistics of the refit from their law."""
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, dict[int, Drawn]] = field(default_factory=dict)
    """By agent and generation: a few records of replicate 0, from the same random numbers in every generation."""
    judged: dict[str, dict[int, Judged]] = field(default_factory=dict)
    """By agent and generation: a few records that curation kept, and dropped, in replicate 0."""
    flows: dict[str, dict[int, tuple[Flow, ...]]] = field(default_factory=dict)
    """By agent and generation: where the records of its training set came from, in replicate 0."""
    stops: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Replicate to {generation, reason}, where a stop rule ended it."""
    seconds: float = 0.0
    folder: Path | None = None

    @cached_property
    def loop(self) -> Loop:
        """The loop itself, its data loaded."""
        return Loop(self.spec)

    def predictions(self) -> list[Prediction]:
        """What theory says about this run."""
        from autophage.theory.predict import predict

        return predict(self.spec)

    def verdict(self, agent: str | None = None) -> Profile:
        """The definitions of collapse D1..D8, each yes, no or undecided, with the evidence."""
        from autophage.runs.judged import judged

        return judged(self, agent)

    def report(self, path: str | Path | None = None, figures: bool = False) -> Path:
        """Writes the page (and, with `figures`, PNG, SVG and PDF beside it) and returns where it is."""
        from autophage.runs.paged import write_page

        return write_page(self, path, figures)

    def provenance(self) -> polars.DataFrame:
        """Where the records of every training set of replicate 0 came from: a row for each origin; empty at theory scale."""
        from autophage.runs.provenance import provenance

        return provenance(self)

    def summary(self) -> polars.DataFrame:
        """Mean over replicates of every metric in the first and last generation, with its standard error."""
        return summed_up(self.metrics)


def summed_up(metrics: polars.DataFrame) -> polars.DataFrame:
    """The first and last generation of a metric table: mean over replicates, its standard error, how many there are."""
    import polars as pl

    last = metrics["generation"].max()
    picked = metrics.filter(pl.col("generation").is_in([0, last]))
    return (
        picked.group_by("agent", "metric", "generation", maintain_order=True)
        .agg(
            pl.col("value").mean().alias("mean"),
            (pl.col("value").std() / pl.len().sqrt()).alias("standard_error"),
            pl.len().alias("replicates"),
        )
        .sort("agent", "metric", "generation")
    )


def run(
    spec: Any = None,
    out: str | Path | None = None,
    workers: int = 1,
    *,
    resume: bool = False,
    observe: Observer | None = None,
    pictures: bool | None = None,
    shared: str | Path | None = None,
    first_models: MutableMapping[tuple[str, int], Any] | None = None,
    **keys: Any,
) -> Run:
    """Runs a spec (a path, a dict, a `Spec`, or its keys as keywords).

    Runs in the calling process and writes nothing without `out`; with `workers` > 1 blocks of replicates go
    to worker processes of one thread each. With `resume`, a run that is there goes on, a finished one is
    returned at once, another spec is refused. `shared` names a deep run on disk whose generation 0 this one
    takes over instead of fitting it again: two arms of one comparison. `first_models` does so in memory: runs that are
    given the same mapping fit each generation 0 once, and sample it for themselves. Raises `SpecError` or `RunError` on a
    user's mistake; a learner that diverges is a result, in `Run.failures`.
    """
    from autophage.processes.spec import is_process

    if is_process(spec, keys):
        from autophage.processes import running

        return running.run(spec, out, workers, resume=resume, observe=observe, pictures=pictures, **keys)  # type: ignore[return-value]
    resolved = Spec.of(spec, **keys)
    folder = None if out is None else Folder(out)
    resolved, ended = resumed(resolved, folder, resume)
    loop = Loop(resolved)
    if folder is not None and ended:
        return _opened(loop, folder)
    if first_models is not None:
        loop.first_models = first_models
    if shared is not None:
        folder = _sharing(folder, loop, Folder(shared))
    if workers > 1 and len(loop.blocks()) > 1:
        numbers = [b.number for b in loop.blocks()]
        claim, back = partial(_writing, loop), partial(_opened, loop)
        return with_workers(loop.spec, folder, numbers, workers, observe, claim, back)
    started = time.monotonic()
    if folder is None:
        show = (not loop.batched) if pictures is None else pictures
        courses = [run_block(loop, block, None, observe, show) for block in loop.blocks()]
        return _assembled(loop, courses, None, time.monotonic() - started)
    with _writing(loop, folder):
        for block in loop.blocks():
            run_block(loop, block, folder, observe)
    return _opened(loop, folder)


def _sharing(folder: Folder | None, loop: Loop, other: Folder) -> Folder:
    """A folder that begins with another run's generation 0. Only the workflow may differ, and not in what it
    asks of generation 0's model, since the samples come along."""
    if folder is None or loop.batched:
        raise SpecError(
            "shared takes over a generation 0 from disk, so it needs out and a learner that is not closed-form"
        )
    theirs = Loop(Spec.of(other.spec))
    mine, before = loop.spec.to_dict(), theirs.spec.to_dict()
    for body in (mine, before):
        for agent in body["agents"].values():
            agent.pop("workflow")
        body.pop("name")
    asks = [[p.new for a in run.agents if (p := run.plan(a, 1)) is not None] for run in (loop, theirs)]
    if mine != before or loop.real != theirs.real or asks[0] != asks[1]:
        raise SpecError(
            f"generation 0 of {other.path} cannot be shared: the runs differ in more than their workflow"
        )
    if not folder.exists():
        folder.create(loop.spec.to_yaml(), _manifest(loop, "running"))
        folder.event("run_shared", generation=0, shared=str(other.path))
        for block in loop.blocks():
            place, here = other.generation(block.first, 0), folder.generation(block.first, 0)
            if (place / "done.json").is_file():
                draft = shutil.copytree(place, here.with_name(f".{here.name}.part"))
                os.replace(
                    draft, here
                )  # whole or not at all: its done-marker must not come before its samples
    return folder


def _writing(loop: Loop, folder: Folder) -> contextlib.AbstractContextManager[None]:
    """Claims the folder, keeps its manifest true, and leaves it resumable whatever happens inside."""
    return writing(folder, loop.spec, partial(_manifest, loop), partial(_settle, folder, loop))


def _settle(folder: Folder, loop: Loop, status: str, seconds: float) -> None:
    """Writes the metric table and the manifest from what the blocks left behind."""
    assembled = _assembled(loop, stored(folder, loop), folder.path, seconds)
    if assembled.flows and is_ecosystem(loop.spec):
        assembled.loop = loop
        write(folder.path / "provenance.parquet", parquet(assembled.provenance()))
    settled(folder, assembled, partial(_manifest, loop), status, seconds)


def _assembled(loop: Loop, courses: list[Course], folder: Path | None, seconds: float) -> Run:
    failures: dict[int, dict[str, Any]] = {}
    absorbed: dict[str, np.ndarray] = {}
    pictures: dict[str, dict[int, Drawn]] = {}
    judged: dict[str, dict[int, Judged]] = {}
    flows: dict[str, dict[int, tuple[Flow, ...]]] = {}
    stops: dict[int, dict[str, Any]] = {}
    for course in courses:
        block = course.block
        if course.failure is not None:
            failures |= {r: course.failure for r in range(block.first, block.first + block.replicates)}
        for agent, where in course.absorbed.items():
            whole = absorbed.setdefault(agent, np.full(loop.spec.replicates, -1))
            whole[block.first : block.first + block.replicates] = where
        if course.pictures:
            pictures = pictures or course.pictures
        if course.stopped is not None:
            stops |= {r: course.stopped for r in range(block.first, block.first + block.replicates)}
        if course.judged:
            judged = judged or course.judged
        if course.flows:
            flows = flows or course.flows
    done = all(course.ended(loop.spec.generations) for course in courses)
    status = "failed" if len(failures) == loop.spec.replicates else "completed" if done else "interrupted"
    return Run(
        spec=loop.spec,
        metrics=Rows.frame([c.rows.arrays() for c in courses]),
        status=status,
        failures=failures,
        absorbed=absorbed,
        paths=dict(loop.paths),
        warnings=list(loop.warnings),
        pictures=pictures,
        judged=judged,
        flows=flows,
        stops=stops,
        seconds=seconds,
        folder=folder,
    )


def load(path: str | Path) -> Run:
    """A run from its folder, finished or not. Raises `RunError` when there is none."""
    folder, raw = held(path)
    if "process" in raw:
        from autophage.processes import running

        return running.load(path)  # type: ignore[return-value]
    return _opened(Loop(Spec.of(raw)), folder)


def _opened(loop: Loop, folder: Folder) -> Run:
    seconds = float(folder.manifest().get("seconds", 0.0))
    opened = _assembled(loop, stored(folder, loop), folder.path, seconds)
    opened.loop = loop
    return opened


def _manifest(loop: Loop, status: str) -> dict[str, Any]:
    return manifest_of(loop.spec, status, paths=dict(loop.paths), warnings=loop.warnings)


def environment_of(loop: Loop) -> Mapping[str, Any]:
    """What a manifest would say about this machine; for pages of runs that were never written."""
    return _manifest(loop, "memory")
