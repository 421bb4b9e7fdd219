"""Running a sweep, and what can be asked of it afterwards."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autophage.errors import RunError, SpecError
from autophage.registry import nearest
from autophage.runs.folder import write
from autophage.runs.run import environment_of
from autophage.spec import Spec, read
from autophage.sweeps import pools
from autophage.sweeps.grid import Axis, Grid, axes_of
from autophage.sweeps.store import Store, framed, parquet
from autophage.sweeps.tasks import FAILED, Columns, Work, joined
from autophage.sweeps.theory import Theory

if TYPE_CHECKING:
    import polars

    from autophage.verdicts import Verdict

FLUSH_SECONDS = 5.0
NORMAL = 1.96
Statistic = Literal["mean", "median", "sd", "n"]
Observer = Callable[[dict[str, Any]], None]


@dataclass
class Sweep:
    """What a spec came to over a grid.

    `cells` has one row for every cell, agent, metric and generation that is summed up: the grid's keys, then `mean`,
    `median`, `sd` over the replicates and `n`, how many; `values` holds the replicates themselves in sweeps of up to
    200,000 of them. The metric `generations_to_tenth` is the generation in which the mean (or, in the column `median`,
    at least half of the replicates) first lies below a tenth of generation 0's mean spread; where that does not
    happen, the number of generations.
    """

    work: Work
    cells: polars.DataFrame
    status: str
    """completed or interrupted."""
    seconds: float = 0.0
    folder: Path | None = None
    failures: dict[str, str] = field(default_factory=dict)
    """Cells in which a replicate failed, and why."""

    @property
    def grid(self) -> Grid:
        return self.work.grid

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.grid.axes

    @property
    def way(self) -> str:
        """`array program`, or `runs`: one run for every cell."""
        return "array program" if self.work.array else "runs"

    @property
    def metrics(self) -> list[str]:
        """The rows that were measured."""
        return [m for m in self.cells["metric"].unique(maintain_order=True).to_list() if m != FAILED]

    @property
    def agents(self) -> list[str]:
        return self.cells["agent"].unique(maintain_order=True).to_list()

    @property
    def horizons(self) -> np.ndarray:
        """How many generations every cell has, in the grid's shape."""
        found = np.full(self.grid.shape, self.work.first.generations)
        for i, axis in enumerate(self.axes):
            if axis.key == "generations" and axis.numbers is not None:
                shape = [-1 if k == i else 1 for k in range(len(self.axes))]
                found = np.broadcast_to(axis.numbers.astype(int).reshape(shape), self.grid.shape)
        return found

    def phase(
        self,
        metric: str,
        statistic: Statistic = "mean",
        *,
        generation: int | None = None,
        agent: str | None = None,
    ) -> np.ndarray:
        """A metric over the grid, in the grid's shape: by default its mean over replicates in the last generation.
        NaN where there is no value. Raises `SpecError` for what was not measured."""
        import polars as pl

        if metric not in self.metrics:
            raise SpecError(f"this sweep has no metric '{metric}'{nearest(metric, self.metrics)}")
        rows = self.cells.filter(
            (pl.col("metric") == metric) & (pl.col("agent") == (agent or self.agents[0]))
        )
        rows = self._in(rows, generation)
        found = np.full(self.grid.size, np.nan)
        places = [self._index[c] for c in rows["cell"].to_list()]
        found[places] = rows[statistic].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return found.reshape(self.grid.shape)

    def _in(self, rows: polars.DataFrame, generation: int | None) -> polars.DataFrame:
        import polars as pl

        if generation is None:  # each cell's last: cells may differ in their number of generations
            return rows.filter(pl.col("generation") == pl.col("generation").max().over("cell"))
        found = rows.filter(pl.col("generation") == generation)
        if not len(found):
            known = ", ".join(map(str, sorted(rows["generation"].unique().to_list())))
            raise SpecError(f"this sweep has no generation {generation}; it has: {known}")
        return found

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.grid.ids)}

    @cached_property
    def theory(self) -> Theory:
        """What theory says of the same cells."""
        return Theory(self.grid)

    def predicted(
        self, metric: str, statistic: Statistic = "mean", *, generation: int | None = None
    ) -> np.ndarray | None:
        """What theory says about `phase(metric, statistic)`, in the grid's shape, or None where no theorem speaks. NaN
        off the cells that theory was asked about: every one up to 441, else an even lattice of them."""
        return self.theory.field(metric, statistic, generation)

    def agreement(self, metric: str) -> tuple[float, int] | None:
        """The share of cells whose 95 % interval (mean over replicates, normal) holds theory's value, among the cells
        that theory was asked about, and how many they are. Where theory is right the share is about 0.95; less where few
        replicates carry the mean, as in loops that nearly all have collapsed. None where theory is silent."""
        predicted = self.predicted(metric)
        if predicted is None:
            return None
        error = self.phase(metric, "sd") / np.sqrt(self.phase(metric, "n"))
        with np.errstate(all="ignore"):
            z = (self.phase(metric) - predicted) / error
        z = z[np.isfinite(z)]
        return (float((np.abs(z) < NORMAL).mean()), len(z)) if len(z) else None

    def scaling_verdict(self, risk: str | None = None) -> Verdict:
        """D4: whether synthetic data change the scaling law. Needs a sweep over one size, in which generation 0 and the
        last one train on equally many records (replace, fresh, keep_real, accumulate_subsample)."""
        from autophage.sweeps.scaling import scaling_verdict

        return scaling_verdict(self, risk)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the page with the phase diagrams, and `phase.png` beside it; returns where the page is."""
        from autophage.sweeps.paged import write_page

        return write_page(self, path)

    @staticmethod
    def load(path: str | Path) -> Sweep:
        """A sweep from its folder, finished or not. Raises `RunError` when there is none."""
        store = Store(Path(path))
        work = store.work()
        seconds = float(store.folder.manifest().get("seconds", 0.0))
        return _assembled(work, store.known(), seconds, store.path)


def sweep(
    spec: Any = None,
    grid: Any = None,
    out: str | Path | None = None,
    workers: int = 1,
    *,
    on: str = "local",
    at: list[int] | None = None,
    observe: Observer | None = None,
    **keys: Any,
) -> Sweep:
    """Runs a spec (a path, a dict, a `Spec`, or its keys as keywords) over a grid.

    `grid` maps dotted keys to lists of values, or to text such as `"10:1000:20:log"`. Closed-form loops whose cells
    differ in sizes, shares and ratios run as one array program; other specs as one run for every cell. With `out`,
    what is there already is not computed again, whether the sweep was killed or the grid has grown. `on`: local worker
    processes, or `ray`. Raises
    `SpecError` before anything runs when a cell is not legal, `RunError` when `out` holds something else.

    >>> found = sweep({"data": {"kind": "gaussian"}, "learner": {"kind": "gaussian"}, "generations": 3, "seed": 0,
    ...                "workflow": {"kind": "replace"}, "metrics": ["variance"], "replicates": 50},
    ...               {"workflow.sample_size": [10, 100]})
    >>> found.phase("variance").shape, found.way
    ((2,), 'array program')
    >>> found.predicted("variance").round(4).tolist()
    [0.729, 0.9703]
    """
    if on not in ("local", "ray"):
        raise SpecError(f"--on is {on!r}; it takes local or ray")
    if not isinstance(workers, int) or workers < 1:
        raise SpecError(f"workers is {workers!r}; it must be a whole number of at least 1")
    store = None if out is None else Store(Path(out))
    raw = _base(spec, keys)
    if raw.get("seed") is None:
        raw["seed"] = store.body()["base"].get("seed") if store and store.exists() else secrets.randbits(31)
    work = Work(raw, axes_of(() if grid is None else grid), at)
    if store is None:
        return _in_memory(work, workers, on, observe)
    return _on_disk(work, store, workers, on, observe)


def _base(spec: Any, keys: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(spec, Spec):
        raw = spec.to_dict()
    elif isinstance(spec, str | Path):
        raw = read(spec)
    elif spec is None or isinstance(spec, Mapping):
        raw = dict(spec or {})
    else:
        raise SpecError(f"a spec is a path, a mapping or keywords, not a {type(spec).__name__}")
    return {**raw, **keys}


def _answers(
    work: Work, tasks: list[list[int]], workers: int, on: str, store: Store | None
) -> Iterator[Columns]:
    """The tasks' answers as they come."""
    folder = None if store is None or work.array else store.path
    if on == "ray":
        yield from pools.ray_cluster(work, tasks, folder)
    elif workers == 1 or len(tasks) < 2:
        yield from pools.here(work, tasks, folder)
    elif store is not None:
        yield from pools.processes(store, tasks, workers, runs=not work.array)
    else:
        with TemporaryDirectory(prefix="autophage-") as place:
            passing = Store(Path(place) / "sweep")
            passing.claim(work)
            yield from pools.processes(passing, tasks, workers, runs=False)


def _in_memory(work: Work, workers: int, on: str, observe: Observer | None) -> Sweep:
    started = time.monotonic()
    tasks, done, parts = work.tasks(set()), 0, []
    for answer in _answers(work, tasks, workers, on, None):
        parts.append(answer)
        done += len(set(answer["index"]))
        _told(observe, done, work)
    return _assembled(work, framed(work, joined(parts)), time.monotonic() - started, None)


def _on_disk(work: Work, store: Store, workers: int, on: str, observe: Observer | None) -> Sweep:
    started = time.monotonic()
    store.claim(work)
    with store.held():
        before = store.folder.manifest()
        spent = float(before.get("seconds", 0.0))
        kept = store.known()
        known = set() if kept is None else set(kept["cell"].to_list())
        tasks = work.tasks(known)
        done = work.grid.size - sum(map(len, tasks))
        number, latest = store.next_part(), time.monotonic()
        waiting: list[Columns] = []
        _settle(work, store, "running", spent)
        try:
            for answer in _answers(work, tasks, workers, on, store):
                waiting.append(answer)
                done += len(set(answer["index"]))
                if time.monotonic() - latest >= FLUSH_SECONDS:
                    store.add(framed(work, joined(waiting)), number)
                    waiting, number, latest = [], number + 1, time.monotonic()
                _told(observe, done, work)
        except BaseException as error:
            word = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            if waiting:
                store.add(framed(work, joined(waiting)), number)
            _settle(work, store, word, spent + time.monotonic() - started)
            raise
        if waiting:
            store.add(framed(work, joined(waiting)), number)
        store.gather()
        finished = _assembled(work, store.known(), spent + time.monotonic() - started, store.path)
        write(store.path / "cells.parquet", parquet(finished.cells))
        _settle(work, store, finished.status, finished.seconds, finished.failures)
    return finished


def _settle(
    work: Work, store: Store, status: str, seconds: float, failures: Mapping[str, str] | None = None
) -> None:
    store.folder.manifest(
        {
            **environment_of(work.loop),
            "status": status,
            "cells": work.grid.size,
            "way": "array program" if work.array else "runs",
            "reason": work.reason,
            "failures": dict(failures or {}),
            "seconds": round(seconds, 3),
        }
    )


def _told(observe: Observer | None, done: int, work: Work) -> None:
    if observe is not None:
        observe({"event": "cells_done", "done": done, "cells": work.grid.size})


def _assembled(work: Work, rows: polars.DataFrame | None, seconds: float, folder: Path | None) -> Sweep:
    """The table of the grid's cells, in their order, with the grid's keys as columns."""
    import polars as pl

    if rows is None:
        raise RunError(f"the sweep at {folder} has no finished cell yet")
    grid = work.grid
    order = pl.DataFrame({"cell": grid.ids}).with_row_index("index")
    places = np.unravel_index(np.arange(grid.size), grid.shape)
    keys = [pl.Series(a.key, _column(a)[where]) for a, where in zip(grid.axes, places, strict=True)]
    table = rows.with_row_index("place").join(order.with_columns(keys), on="cell", how="inner")
    table = table.sort("index", "place")
    failed = table.filter(pl.col("reason").is_not_null())
    names = dict(zip(failed["index"].to_list(), failed["reason"].to_list(), strict=True))
    columns = [
        "cell",
        *(a.key for a in grid.axes),
        "agent",
        "metric",
        "generation",
        "mean",
        "median",
        "sd",
        "n",
    ]
    whole = table["cell"].n_unique() == grid.size
    return Sweep(
        work=work,
        cells=table.select(*columns, "values"),
        status="completed" if whole else "interrupted",
        seconds=seconds,
        folder=folder,
        failures={grid.name(i): reason for i, reason in names.items()},
    )


def _column(axis: Axis) -> np.ndarray:
    """An axis's values as they stand in the table."""
    if axis.numbers is not None:
        whole = all(isinstance(v, int) for v in axis.values)
        return axis.numbers.astype(np.int64) if whole else axis.numbers
    return np.array([v if isinstance(v, str) else json.dumps(v, default=str) for v in axis.values])


def digest(raw: Mapping[str, Any], axes: tuple[Axis, ...]) -> str:
    """Identifies what is swept, whatever the values: the hash of the base spec and the grid's keys."""
    body = json.dumps([raw, sorted(a.key for a in axes)], sort_keys=True, default=str)
    return hashlib.sha256(body.encode()).hexdigest()[:12]
