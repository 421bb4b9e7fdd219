"""A sweep on disk.

    DIR/sweep.yaml       the base spec, the grid and the generations that are summed up: re-creates the sweep
    DIR/manifest.json    status, versions, hardware, what failed and why
    DIR/parts/*.parquet  answers as they came, by cell: what is not computed again
    DIR/cells.parquet    the table of the grid
    DIR/cells/<hash>/    one run for each cell, where the sweep is no array program
    DIR/report.html, DIR/phase.png

Every file appears whole or not at all. Cells are known by the hash of their settings, so that a grid may be extended:
what another grid of the same keys has computed is taken over.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from autophage.errors import RunError, SpecError
from autophage.runs.folder import Folder, write
from autophage.spec import read
from autophage.sweeps.grid import Axis
from autophage.sweeps.tasks import Columns, Work

if TYPE_CHECKING:
    import polars

SCHEMA = 1


@dataclass(frozen=True)
class Store:
    """The files of one sweep."""

    path: Path

    @property
    def file(self) -> Path:
        return self.path / "sweep.yaml"

    @property
    def folder(self) -> Folder:
        return Folder(self.path)

    @staticmethod
    def described(work: Work) -> dict[str, Any]:
        """A sweep as plain data."""
        raw = work.grid.raw
        try:
            base = json.loads(json.dumps(raw))
        except TypeError as error:
            raise SpecError(
                "this sweep's base spec holds an object that cannot be written to a file; run it with workers=1 and without out"
            ) from error
        return {
            "schema": SCHEMA,
            "base": base,
            "grid": {a.key: list(a.values) for a in work.grid.axes},
            "given": {a.key: a.source for a in work.grid.axes if a.source},
            "at": None if work.at is None else list(work.at),
        }

    @staticmethod
    def work_of(body: Mapping[str, Any]) -> Work:
        """The sweep that `described` came from."""
        logarithmic = body.get("logarithmic") or ()
        axes = [Axis(k, tuple(v), spaced="log" if k in logarithmic else "") for k, v in body["grid"].items()]
        return Work(body["base"], axes, body.get("at"))

    def body(self) -> dict[str, Any]:
        """What `sweep.yaml` holds. Raises `RunError` when there is no sweep here."""
        if not self.file.is_file():
            raise RunError(f"there is no sweep at {self.path}: no sweep.yaml in it")
        return read(self.file)

    def work(self) -> Work:
        """The sweep that is stored here."""
        return self.work_of(self.body())

    def exists(self) -> bool:
        return self.file.is_file()

    def claim(self, work: Work) -> None:
        """Writes what is swept. Raises `RunError` when something else is here: a run, other files, a sweep of
        another base spec or over other keys."""
        new = self.described(work)
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; choose a folder that does not exist yet")
        if self.exists():
            old = self.body()
            for name in ("base", "at"):
                if json.dumps(old.get(name), sort_keys=True) != json.dumps(new[name], sort_keys=True):
                    what = {"base": "another base spec", "at": "other generations (--at)"}[name]
                    raise RunError(f"{self.path} holds a sweep of {what}; choose another --out")
            if set(old["grid"]) != set(new["grid"]):
                raise RunError(
                    f"{self.path} holds a sweep over {', '.join(old['grid'])}, not over {', '.join(new['grid'])}; "
                    "choose another --out"
                )
        elif self.path.is_dir() and any(p for p in self.path.iterdir() if not p.name.startswith(".")):
            raise RunError(f"{self.path} exists and holds something else; choose another --out")
        write(self.file, yaml.safe_dump(new, sort_keys=False, allow_unicode=True, width=110))

    def known(self) -> polars.DataFrame | None:
        """All rows that were ever computed here, by the cells' names; None where there are none."""
        import polars as pl

        frames = []
        for place in sorted((self.path / "parts").glob("*.parquet")):
            try:
                frames.append(pl.read_parquet(place))
            except Exception as error:
                raise RunError(f"{place} is damaged; delete it, and its cells are computed again") from error
        if not frames:
            return None
        # A death between writing all rows into one part and removing the others leaves rows twice.
        return pl.concat(frames).unique(
            ["cell", "agent", "metric", "generation"], keep="first", maintain_order=True
        )

    def add(self, rows: polars.DataFrame, number: int) -> None:
        """Keeps rows for good."""
        write(self.path / "parts" / f"part_{number:05d}.parquet", parquet(rows))

    def next_part(self) -> int:
        numbers = [int(p.stem.rpartition("_")[2]) for p in (self.path / "parts").glob("part_*.parquet")]
        return max(numbers, default=-1) + 1

    def gather(self) -> None:
        """All parts in one file."""
        places = sorted((self.path / "parts").glob("part_*.parquet"))
        rows = self.known()
        if rows is None or len(places) < 2:
            return
        self.add(rows, 0)
        for place in places[1:]:
            with contextlib.suppress(OSError):
                place.unlink()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One process writes here at a time."""
        from autophage.runs.writing import locked

        with locked(self.folder):
            self.folder.sweep()
            yield


def parquet(rows: polars.DataFrame) -> bytes:
    """A table as the bytes of a file."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()


def framed(work: Work, columns: Columns) -> polars.DataFrame:
    """Answers as rows that know their cell by its name."""
    import polars as pl

    return pl.DataFrame(
        {
            "cell": [work.grid.ids[i] for i in columns["index"]],
            **{k: columns[k] for k in ("agent", "metric", "generation", "mean", "median", "sd", "n")},
            "values": columns["values"],
            "reason": columns["reason"],
        },
        schema={
            "cell": pl.String,
            "agent": pl.String,
            "metric": pl.String,
            "generation": pl.Int32,
            "mean": pl.Float64,
            "median": pl.Float64,
            "sd": pl.Float64,
            "n": pl.Int64,
            "values": pl.List(pl.Float64),
            "reason": pl.String,
        },
        strict=False,
    ).with_columns(pl.col("sd").fill_nan(None))
