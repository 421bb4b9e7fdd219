"""What a sweep computes, as tasks that any process can do: a chunk of cells of an array program, or one cell's run.

A task is a list of cells; its answer is a few columns. Answers depend on the cells alone, never on who computes them
or in which order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage import registry
from autophage.errors import FitFailed, SpecError, UserError
from autophage.loop import Loop
from autophage.spec import Spec
from autophage.sweeps.grid import Axis, Grid
from autophage.sweeps.program import SPREADS, TENTH, TIMED, Program, lacks, needs_records, summaries

if TYPE_CHECKING:
    import polars

KEPT = 200_000
"""Replicates x cells up to which every replicate's value is kept, not only their mean, median and sd."""
FAILED = "failed_replicates"
"""Row name of the number of replicates that failed, in cells where some did."""
COLUMNS = ("index", "agent", "metric", "generation", "mean", "median", "sd", "n", "values", "reason")

Columns = dict[str, list[Any]]


def joined(parts: Sequence[Columns]) -> Columns:
    """Answers one below the other."""
    return {name: [v for part in parts for v in part[name]] for name in COLUMNS}


class Work:
    """A sweep's cells and how they are computed; every cell is checked here, before anything runs.

    `at` are the generations that are summed up; by default the first and the last. Raises `SpecError` naming the cell
    where one is not legal.
    """

    def __init__(self, raw: Mapping[str, Any], axes: Sequence[Axis], at: Sequence[int] | None = None) -> None:
        self.grid = Grid(_measured(Grid(raw, axes)), axes)
        families = list(self.grid.families())
        self.programs = []
        self.reason = ""
        for family in families:
            self.programs.append(Program(family, self.grid.refusal))
            self.reason = self.programs[-1].lacks
            if self.reason:
                break
        self.array = not self.reason
        if not self.array:
            for family in families:
                for i, cell in enumerate(family.cells):
                    try:
                        Loop(family.spec_of(i))
                    except UserError as error:
                        raise self.grid.refusal(cell, error) from error
        specs = [f.spec for f in families]
        if any(not s.metrics for s in specs):
            raise SpecError("a sweep needs something to measure: name metrics in the spec")
        self.at = None if at is None else _generations(at, min(s.generations for s in specs))
        self.keeps = self.grid.size * max(s.replicates for s in specs) <= KEPT

    @cached_property
    def first(self) -> Spec:
        """The spec of the first cell."""
        return self.grid.spec(0)

    @cached_property
    def loop(self) -> Loop:
        """The loop of the first cell."""
        return Loop(self.first)

    def tasks(self, known: set[str]) -> list[list[int]]:
        """The cells that are not known yet, in the pieces in which they are computed."""
        ids = self.grid.ids
        if not self.array:
            return [[cell] for cell in range(self.grid.size) if ids[cell] not in known]
        found = []
        for program in self.programs:
            for chunk in program.chunks():
                cells = [program.family.cells[i] for i in chunk]
                missing = [cell for cell in cells if ids[cell] not in known]
                found += [missing] if missing else []
        return found

    @cached_property
    def _places(self) -> dict[int, tuple[Program, int]]:
        return {cell: (p, i) for p in self.programs for i, cell in enumerate(p.family.cells)}

    def perform(self, cells: Sequence[int], folder: Path | None = None) -> Columns:
        """The answer of one task. `folder` is where single runs are kept."""
        if not self.array:
            return joined([self._run(cell, folder) for cell in cells])
        program = self._places[cells[0]][0]
        return self._chunk(program, list(cells))

    def _at(self, spec: Spec) -> tuple[int, ...]:
        return self.at if self.at is not None else tuple(sorted({0, spec.generations - 1}))

    def _chunk(self, program: Program, cells: list[int]) -> Columns:
        spec = program.family.spec
        ids = [self.grid.ids[cell] for cell in cells]
        try:
            found, passed = program.run([self._places[c][1] for c in cells], ids, self._at(spec))
        except FitFailed as error:
            if len(cells) > 1:  # which of them it was shows when each is alone
                return joined([self._chunk(program, [cell]) for cell in cells])
            return _rows(cells, program.name, FAILED, 0, _same(spec.replicates, spec.replicates), str(error))
        parts = []
        for (metric, t), values in found.items():
            columns: dict[str, Any] = summaries(values)
            if self.keeps:
                columns["values"] = values
            parts.append(_rows(cells, program.name, metric, t, columns))
        if passed:
            n = np.full(len(cells), spec.replicates)
            blank = np.full(len(cells), np.nan)
            columns = {"mean": passed["mean"], "median": passed["median"], "sd": blank, "n": n}
            parts.append(_rows(cells, program.name, TIMED, spec.generations - 1, columns))
        return joined(parts)

    def _run(self, cell: int, folder: Path | None) -> Columns:
        from autophage.runs.run import run

        spec = self.grid.spec(cell)
        out = None if folder is None else folder / "cells" / spec.digest
        finished = run(spec, out, resume=out is not None, pictures=False)
        parts = []
        for agent in spec.agents:
            for metric, table in _courses(finished.metrics, agent, spec):
                for t in self._at(spec):
                    columns: dict[str, Any] = summaries(table[t][None])
                    if self.keeps:
                        columns["values"] = table[t][None]
                    parts.append(_rows([cell], agent, metric, t, columns))
                if metric in SPREADS:
                    parts.append(_timed(cell, agent, table, spec))
        if finished.failures:
            count = len(finished.failures)
            reason = next(iter(finished.failures.values()))["reason"]
            agent = next(iter(spec.agents))
            parts.append(_rows([cell], agent, FAILED, 0, _same(count, spec.replicates), reason))
        return joined(parts)


def _measured(grid: Grid) -> dict[str, Any]:
    """The base spec, its metrics named. Where nothing was asked for and only the default metrics of samples keep the
    cells out of an array program, those that read the fitted models are measured."""
    raw = dict(grid.raw)
    if raw.get("metrics") is not None or any(a.key.split(".")[0] == "metrics" for a in grid.axes):
        return raw
    spec = grid.spec(0)
    kinds = [registry.kind_of("metric", m) for m in spec.metrics if not needs_records(m)]
    closed = {**raw, "metrics": kinds}
    try:
        if not kinds or not lacks(Loop(spec)) or lacks(Loop(Grid(closed, grid.axes).spec(0))):
            return raw
    except UserError as error:
        raise grid.refusal(0, error) from error
    return closed


def _generations(at: Sequence[int], generations: int) -> tuple[int, ...]:
    for t in at:
        if isinstance(t, bool) or not isinstance(t, int) or not 0 <= t < generations:
            raise SpecError(f"--at names generation {t!r}; the sweep has generations 0 to {generations - 1}")
    if not at:
        raise SpecError("--at names no generation; leave it out for the first and the last")
    return tuple(sorted(set(at)))


def _rows(
    cells: Sequence[int], agent: str, metric: str, t: int, columns: Mapping[str, np.ndarray], reason: str = ""
) -> Columns:
    C = len(cells)
    values = columns.get("values")
    return {
        "index": list(cells),
        "agent": [agent] * C,
        "metric": [metric] * C,
        "generation": [t] * C,
        **{name: np.asarray(columns[name]).tolist() for name in ("mean", "median", "sd", "n")},
        "values": [None] * C if values is None else values.tolist(),
        "reason": [reason or None] * C,
    }


def _same(value: float, n: int) -> dict[str, np.ndarray]:
    one = np.array([float(value)])
    return {"mean": one, "median": one, "sd": np.array([np.nan]), "n": np.array([n])}


def _courses(metrics: polars.DataFrame, agent: str, spec: Spec) -> list[tuple[str, np.ndarray]]:
    """Each metric's values (G, R), NaN where a replicate had failed."""
    import polars as pl

    own = metrics.filter(pl.col("agent") == agent)
    found = []
    for name, rows in own.group_by("metric", maintain_order=True):
        grid = np.full((spec.generations, spec.replicates), np.nan)
        grid[rows["generation"].to_numpy(), rows["replicate"].to_numpy()] = rows["value"].to_numpy()
        found.append((str(name[0]), grid))
    return found


def _timed(cell: int, agent: str, course: np.ndarray, spec: Spec) -> Columns:
    """When the course of the mean, and that of the median, falls below a tenth of generation 0's mean."""
    alive = course[:, ~np.isnan(course).any(axis=0)]
    G = spec.generations
    times = [G, G]
    if alive.shape[1]:
        line = TENTH * alive[0].mean()
        half = 2 * (alive < line).sum(axis=1) >= alive.shape[1]
        times = [int(np.argmax(b)) if b.any() else G for b in (alive.mean(axis=1) < line, half)]
    columns = {"mean": np.array(times[:1]), "median": np.array(times[1:])}
    columns |= {"sd": np.array([np.nan]), "n": np.array([alive.shape[1]])}
    return _rows([cell], agent, TIMED, G - 1, columns)
