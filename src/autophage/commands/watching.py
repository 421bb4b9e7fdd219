"""`autophage watch`: a training log of any tool as a course with verdict."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from autophage.commands.opening import said
from autophage.errors import DataError, RunError, SpecError
from autophage.verdicts.wording import number
from autophage.watching.paged import write
from autophage.watching.watched import Watched, in_steps
from autophage.watching.watched import watch as watched

MOST_CHANGES = 5
"""The last changes that a terminal shows; the page and --json hold all."""

Guard = tuple[float | None, float | None]


def watch(
    paths: Sequence[Path],
    options: dict[str, Any],
    guard: Guard,
    follow: bool,
    every: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Exit code 1 where the guard is missed, 130 where following was interrupted."""
    words = ["autophage", "watch", *map(str, paths), *_words(options, guard)]
    if follow:
        return _follow(paths, options, guard, every, out, as_json, words)
    found = watched(paths, **options)
    missed = found.missed(*guard)
    page = None if out is None else write(found, _page(out), [shlex.join(words)])
    if as_json:
        print(said({**found.to_dict(), "missed": missed, "report": None if page is None else str(page)}))
    else:
        show(found, missed)
        if page is not None:
            print(f"\nPage    {page}")
    return 1 if missed else 0


def show(found: Watched, missed: str | None) -> None:
    """The answer on a terminal."""
    console = Console()
    plain = {"markup": False, "highlight": False}
    console.print(f"\n[bold]{'Decay' if found.decay.answer == 'yes' else 'Watched'}[/]", end="  ")
    console.print(found.sentence, **plain)  # type: ignore[arg-type]
    console.print(found.decay.recommendation, style="bold", **plain)  # type: ignore[arg-type]
    for change in found.changes[-MOST_CHANGES:]:
        console.print(f"  {change.sentence}", style="dim", **plain)  # type: ignore[arg-type]
    if found.forecast is not None:
        console.print(f"\n{found.forecast.sentence}", **plain)  # type: ignore[arg-type]
    profile = in_steps(found.profile.sentence(), found.use, found.counted)
    console.print(f"\n{profile}", **plain)  # type: ignore[arg-type]
    for note in found.notes:
        console.print(f"note: {note}", style="dim", **plain)  # type: ignore[arg-type]
    if missed:
        console.print(f"\n[bold red]Guard missed[/]: {missed}", highlight=False)


def _follow(
    paths: Sequence[Path],
    options: dict[str, Any],
    guard: Guard,
    every: float,
    out: Path | None,
    as_json: bool,
    words: list[str],
) -> int:
    """Reads the log whenever it has changed; a log that is not there yet, or too short, is waited for."""
    seen: Any = None
    redrawn = sys.stderr.isatty() and not as_json
    try:
        while True:
            now = _stamp(paths)
            if now != seen:
                seen = now
                try:
                    found = watched(paths, **options)
                    if out is not None:
                        write(found, _page(out), [shlex.join(words)])
                    _tell(found, found.missed(*guard), as_json, redrawn)
                except RunError:
                    raise
                except (DataError, SpecError) as error:
                    # A column may come with the first evaluation; what cannot come is seen by whoever reads the line.
                    _line(f"waiting: {error}", redrawn)
            time.sleep(every)
    except KeyboardInterrupt:
        if redrawn:
            print(file=sys.stderr)
        return 130


def _tell(found: Watched, missed: str | None, as_json: bool, redrawn: bool) -> None:
    if as_json:
        # said() makes JSON of what JSON has no word for; here it stands on one line.
        print(json.dumps(json.loads(said({**found.to_dict(), "missed": missed}))), flush=True)
        return
    use, d = found.use, found.decay
    text = f"{found.counted} {use.steps[-1]:g}  {use.name} {number(found.latest)}  best {number(d.best)} at {d.best_step:g}"
    word = {"yes": "decays", "no": "no decay", "undecided": "undecided"}[d.answer]
    _line(f"{text}  {word}" + ("  GUARD MISSED" if missed else ""), redrawn)


def _line(text: str, redrawn: bool) -> None:
    """The status line: drawn over the last one on a terminal, one below the other elsewhere."""
    if redrawn:
        width = max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 20)
        print(f"\r\033[2K{text[:width]}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _stamp(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """What changes when a log does; pages do not, which may be written beside it."""
    found = []
    for path in paths:
        files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names] or [path]
        for file in sorted(files):
            if file.suffix in (".html", ".part"):
                continue
            try:
                state = file.stat()
            except OSError:
                continue
            found.append((str(file), state.st_mtime_ns, state.st_size))
    return found


def _page(out: Path) -> Path:
    return out if out.suffix.lower() in (".html", ".htm") else out / "report.html"


def _words(options: dict[str, Any], guard: Guard) -> list[str]:
    named = [(f"--{k}", v) for k, v in options.items() if k != "diversity"]
    named += [("--diversity", d) for d in options.get("diversity") or ()]
    named += list(zip(("--fail-below", "--fail-above"), guard, strict=True))
    return [f"{name}={value}" for name, value in named if value is not None]
