"""`autophage sweep`: a grid of specs and its phase diagrams."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from autophage.commands.opening import raw, said
from autophage.errors import SpecError
from autophage.report.courses import number
from autophage.runs.folder import as_name
from autophage.spec import override
from autophage.sweeps.grid import axes_of
from autophage.sweeps.grid import said as literal
from autophage.sweeps.paged import findings
from autophage.sweeps.program import TIMED
from autophage.sweeps.sweep import Sweep, digest
from autophage.sweeps.sweep import sweep as run_sweep

MOST_ROWS = 12
"""Cells of a sweep that are printed one by one."""


def sweep(
    given: str,
    grid: list[str],
    out: Path | None,
    settings: list[str],
    on: str,
    workers: int,
    at: str | None,
    as_json: bool,
) -> int:
    base, axes = override(raw(given), settings), axes_of(grid)
    if out is None:
        name = as_name(str(base.get("name", "loop")), "sweep")
        out = Path("sweeps") / f"{name}-{digest(base, axes)}"
    console = Console(stderr=True)
    try:
        # What a learner prints belongs to the progress: the answer alone is on standard output.
        with Cells(console, quiet=as_json) as observe, redirect_stdout(sys.stderr):
            finished = run_sweep(base, axes, out, workers, on=on, at=_generations(at), observe=observe)
    except KeyboardInterrupt:
        words = ["autophage", "sweep", given, *(w for g in grid for w in ("--grid", g))]
        words += [w for s in settings for w in ("--set", s)] + ["--out", str(out)]
        words += ["--on", on] * (on != "local") + ["--workers", str(workers)] * (workers > 1)
        words += ["--at", str(at)] * (at is not None) + ["--json"] * as_json
        print(
            f"\nInterrupted. Every finished cell is kept; go on with:\n  {shlex.join(words)}", file=sys.stderr
        )
        return 130
    page = finished.report()
    if as_json:
        print(said(told(finished, page)))
        return 0
    show(finished, Console())
    print(f"\nPage    {page}\nSweep   {out}")
    return 0


def _generations(at: str | None) -> list[int] | None:
    if at is None:
        return None
    try:
        return [int(t) for t in at.split(",") if t.strip()]
    except ValueError as error:
        raise SpecError(f"--at takes generations such as 0,10,49, got '{at}'") from error


def told(finished: Sweep, page: Path) -> dict[str, Any]:
    """A finished sweep as plain data: last generations over the grid, measured and predicted."""
    metrics = {}
    for metric in finished.metrics:
        predicted = finished.predicted(metric)
        metrics[metric] = {"mean": finished.phase(metric), "theory": predicted}
    return {
        "name": finished.work.first.name,
        "seed": finished.work.first.seed,
        "status": finished.status,
        "way": finished.way,
        "reason": finished.work.reason,
        "grid": {a.key: list(a.values) for a in finished.axes},
        "cells": finished.grid.size,
        "metrics": metrics,
        "findings": findings(finished),
        "failures": finished.failures,
        "seconds": finished.seconds,
        "folder": str(finished.folder),
        "report": str(page),
    }


def show(finished: Sweep, console: Console) -> None:
    """What came out: sentences, then the cells where they are few, or the range of every metric."""
    for sentence in findings(finished):
        console.print(f"\n{sentence}", markup=False, highlight=False)
    for name, reason in list(finished.failures.items())[:5]:
        console.print(f"  {name}: a replicate failed ({reason})", markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    fields = {m: finished.phase(m).ravel() for m in finished.metrics}
    if TIMED in fields and (fields[TIMED] == finished.horizons.ravel()).all():
        del fields[TIMED]  # said in a sentence already
    if finished.grid.size <= MOST_ROWS:
        theory = {m: finished.predicted(m) for m in fields}
        for column in (*(a.name for a in finished.axes), *fields):
            table.add_column(column, justify="right", overflow="fold")
        for cell in range(finished.grid.size):
            words = [v if isinstance(v, str) else literal(v) for v in finished.grid.values(cell)]
            table.add_row(*words, *(_value(fields[m], theory[m], cell) for m in fields))
        if any(t is not None for t in theory.values()):
            table.caption, table.caption_justify = "In brackets: theory", "left"
    else:
        for column in ("metric", "lowest", "where", "highest", "where "):
            table.add_column(column, justify="right" if "est" in column else "left", overflow="fold")
        for metric, field in fields.items():
            if np.isfinite(field).any():
                low, high = int(np.nanargmin(field)), int(np.nanargmax(field))
                ends = [(number(float(field[c])), _where(finished, c)) for c in (low, high)]
                table.add_row(metric, *ends[0], *ends[1])
    console.print()
    console.print(table)
    way = "one array program" if finished.work.array else f"runs, cell by cell: {finished.work.reason}"
    console.print(f"\n[dim]{finished.grid.size:,} cells in {finished.seconds:.1f} s ({way})[/]")


def _where(finished: Sweep, cell: int) -> str:
    pairs = zip(finished.axes, finished.grid.values(cell), strict=True)
    return "\n".join(
        f"{a.name} {number(float(v)) if a.numbers is not None else literal(v)}" for a, v in pairs
    )


def _value(field: np.ndarray, theory: np.ndarray | None, cell: int) -> str:
    text = number(float(field[cell]))
    known = np.nan if theory is None else theory.ravel()[cell]
    return f"{text} ({number(float(known))})" if np.isfinite(known) else text


class Cells:
    """Live progress: cells done and time left. One line now and then where there is no terminal."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console, self.quiet = console, quiet
        self.latest = self.started = time.monotonic()
        self.bar: Progress | None = None
        self.first: int | None = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        done, cells = event["done"], event["cells"]
        if self.quiet:
            return
        if self.console.is_terminal:
            if self.bar is None:
                columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
                self.bar = Progress(*columns, console=self.console, transient=True)
                self.bar.start()
                self.task = self.bar.add_task("cells", total=cells)
            self.bar.update(self.task, completed=done)
            return
        if self.first is None:
            self.first = done
        elif time.monotonic() - self.latest > 5:
            self.latest = time.monotonic()
            left = (self.latest - self.started) / max(done - self.first, 1) * (cells - done)
            print(f"{done:,} of {cells:,} cells, about {left:.0f} s left", file=sys.stderr)
