"""Which files are logs, and which of them belong to one run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autophage.errors import DataError

Kind = Literal["run", "state", "jsonl", "csv", "events"]

SPLITS = ("train", "training", "validation", "val", "valid", "eval", "evaluation", "test", "dev")
"""Folders of event files with these names are parts of one run, as keras writes them."""
_KINDS: tuple[Kind, ...] = ("state", "jsonl", "csv", "events")
"""Where a folder holds logs of several kinds, the first of these is read."""
_WORDS = {"state": "trainer states", "jsonl": "JSON lines", "csv": "tables", "events": "event files"}
MOST = 2000
"""Files of a folder that are looked at."""


@dataclass(frozen=True)
class Place:
    """The files of one run of one tool."""

    name: str
    kind: Kind
    files: tuple[tuple[str, Path], ...]
    """What stands in front of the names in each file (the split, or nothing), and the file."""


def places(paths: Sequence[Path]) -> tuple[list[Place], list[str]]:
    """The runs that these files and folders hold, and what is to be said about the choice.

    A file is a run. So is an autophage run folder; of any other folder, every file of JSON lines or every table, every
    folder of event files (those of one folder are one run, gone on with), the last trainer state of every run. Raises
    `DataError` where there is nothing, or nothing that is a log.
    """
    found: list[Place] = []
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            inside, said = _folder(path)
            found += inside
            notes += said
        elif path.is_file():
            found.append(Place(path.stem or path.name, kind_of(path), (("", path),)))
        else:
            raise DataError(f"there is no log at {path}")
    return _told_apart(found), notes


def kind_of(path: Path) -> Kind:
    """The kind of a log file, by its name, else by how it begins."""
    name = path.name.lower()
    if "tfevents" in name:
        return "events"
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name.endswith((".csv", ".tsv")):
        return "csv"
    if name.endswith(".json"):
        return "state"
    try:
        with open(path, "rb") as file:
            begin = file.read(4096).lstrip()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if begin.startswith(b"{"):
        return "jsonl"
    if re.match(rb"[^\n\0]*[,;\t][^\n\0]*\n", begin):
        return "csv"
    raise DataError(
        f"{path} is no log that can be read: it must hold JSON lines, a table with a header, or tensorboard's events"
    )


def _folder(path: Path) -> tuple[list[Place], list[str]]:
    if (path / "spec.yaml").is_file():
        return [Place(path.resolve().name, "run", (("", path),))], []
    by: dict[Kind, list[Path]] = {}
    for file in _files(path):
        kind = _listed(file)
        if kind is not None:
            by.setdefault(kind, []).append(file)
    kind = next((k for k in _KINDS if k in by), None)
    if kind is None:
        raise DataError(
            f"{path} holds no log: no JSON lines, tables, event files, trainer_state.json, and it is no autophage run"
        )
    others = [f"{len(by[k])} {_WORDS[k]}" for k in _KINDS if k in by and k != kind]
    notes = [f"{path} also holds {', '.join(others)}, which are not read."] if others else []
    return {"state": _states, "events": _events}.get(kind, _each)(path, kind, by[kind]), notes


def _files(path: Path) -> list[Path]:
    found: list[Path] = []
    for folder, inside, names in os.walk(path):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
        if len(found) > MOST:
            raise DataError(
                f"{path} holds more than {MOST:,} files; name the folder or the files of the logs"
            )
    return found


def _listed(file: Path) -> Kind | None:
    """The kind of a file in a folder; there only names that are surely logs count."""
    name = file.name.lower()
    if "tfevents" in name:
        return "events"
    if name in ("trainer_state.json", "history.json"):
        return "state"
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}.get(file.suffix.lower())  # type: ignore[return-value]


def _each(root: Path, kind: Kind, files: list[Path]) -> list[Place]:
    return [Place(_named(file.with_suffix(""), root), kind, (("", file),)) for file in files]


def _states(root: Path, kind: Kind, files: list[Path]) -> list[Place]:
    """Every state holds the whole log so far: of one run only the last counts."""
    last: dict[Path, tuple[float, Path]] = {}
    for file in files:
        checkpoint = re.fullmatch(r"checkpoint-(\d+)", file.parent.name)
        run = file.parent.parent if checkpoint else file.parent
        place = float(checkpoint[1]) if checkpoint else float("inf")
        last[run] = max(last.get(run, (-1.0, file)), (place, file))
    return [Place(_named(run, root), kind, (("", file),)) for run, (_, file) in sorted(last.items())]


def _events(root: Path, kind: Kind, files: list[Path]) -> list[Place]:
    runs: dict[Path, list[tuple[str, Path]]] = {}
    for file in files:
        split = file.parent.name if file.parent != root and file.parent.name.lower() in SPLITS else ""
        run = file.parent.parent if split else file.parent
        runs.setdefault(run, []).append((f"{split}/" if split else "", file))
    return [Place(_named(run, root), kind, tuple(inside)) for run, inside in sorted(runs.items())]


def _named(path: Path, root: Path) -> str:
    return root.resolve().name if path == root else path.relative_to(root).as_posix()


def _told_apart(found: list[Place]) -> list[Place]:
    """Runs of one name by the whole path of their first file."""
    names = [place.name for place in found]
    return [Place(str(p.files[0][1]), p.kind, p.files) if names.count(p.name) > 1 else p for p in found]
