"""`autophage run`: the main job, with live progress."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from autophage.commands.opening import SPECS, opened_any, said
from autophage.loop import Loop
from autophage.processes.paged import profiled as profiled_process
from autophage.processes.process import cited
from autophage.processes.running import ProcessRun
from autophage.processes.spec import ProcessSpec
from autophage.runs.estimate import estimate
from autophage.runs.folder import as_name
from autophage.runs.run import Run
from autophage.runs.run import run as run_spec
from autophage.spec import Spec

MARKS = {"yes": "[bold red]yes[/]", "no": "[green]no[/]", "undecided": "[dim]undecided[/]"}


def profiled(profile: Any) -> str:
    """The eight answers on one line."""
    lines = [
        f"{mark} {' '.join(profile.having(answer))}"
        for answer, mark in MARKS.items()
        if profile.having(answer)
    ]
    return "  " + "    ".join(lines)


def run(
    given: str,
    out: Path | None,
    settings: list[str],
    resume: bool,
    dry: bool,
    workers: int,
    figures: bool,
    as_json: bool,
) -> int:
    spec = opened_any(given, settings)
    if dry:
        return _dry_process(spec, as_json) if isinstance(spec, ProcessSpec) else _dry(spec, as_json)
    console = Console(stderr=True)
    if not as_json and Path(given).suffix.lower() not in SPECS:
        console.print(f"[dim]# the spec for {given}; save it to change it[/]")
        console.print(spec.to_yaml(), markup=False, highlight=False, style="dim")
    place = Path("runs") / f"{as_name(spec.name, 'run')}-{spec.digest}" if out is None else out
    try:
        # What a learner prints belongs to the progress: the answer alone is on standard output.
        with Progressing(spec, console, quiet=as_json) as observe, redirect_stdout(sys.stderr):
            finished = run_spec(spec, place, workers, resume=resume, observe=observe)
    except KeyboardInterrupt:
        again = [
            "autophage",
            "run",
            given,
            *(w for s in settings for w in ("--set", s)),
            "--out",
            str(place),
            "--resume",
        ]
        again += ["--workers", str(workers)] * (workers > 1) + ["--figures"] * figures + ["--json"] * as_json
        # Not through the console, which would break the line at the terminal's width.
        print(
            f"\nInterrupted. Every finished generation is kept; go on with:\n  {shlex.join(again)}",
            file=sys.stderr,
        )
        return 130
    page = finished.report(figures=figures)
    if as_json:
        print(said({**told(finished), "folder": str(place), "report": str(page)}))
        return 0
    show(finished, Console())
    print(f"\nPage    {page}\nRun     {place}")
    return 0


def told(run: Run | ProcessRun) -> dict[str, Any]:
    """A finished run as plain data."""
    profiles = {
        agent: profiled_process(run, agent) if isinstance(run, ProcessRun) else run.verdict(agent).to_dict()
        for agent in run.spec.agents
    }
    return {
        "name": run.spec.name,
        "seed": run.spec.seed,
        "status": run.status,
        "paths": run.paths,
        "failures": run.failures,
        "warnings": run.warnings,
        "verdict": profiles if len(profiles) > 1 else next(iter(profiles.values())),
        "advice": advised(run),
        "summary": run.summary().to_dicts(),
    }


def advised(run: Run | ProcessRun) -> dict[str, Any] | None:
    if isinstance(run, ProcessRun):
        return None
    from autophage.runs.judged import advice

    found = advice(run)
    return None if found is None else dict(vars(found))


def show(run: Run | ProcessRun, console: Console) -> None:
    """The verdict, the first and last generation of every metric, and one next action."""
    for agent in run.spec.agents:
        profile = run.verdict(agent)
        title = f"{agent}: " if len(run.spec.agents) > 1 else ""
        findings = run.findings(agent) if isinstance(run, ProcessRun) else []
        if findings:
            console.print()
        for finding in findings:
            console.print(f"[bold]{title}{finding.sentence}[/]", highlight=False)
        if not findings:
            console.print(f"\n[bold]{title}{profile.sentence()}[/]")
        if not findings or profile.having("yes") or profile.having("no"):
            console.print(profiled(profile))
        if profile.regime is not None:
            console.print(f"  {profile.regime.sentence()}", markup=False, highlight=False)
    for replicate, failure in list(run.failures.items())[:5]:
        console.print(
            f"  replicate {replicate} failed at generation {failure['generation']}: {failure['reason']}",
            markup=False,
        )
    for warning in run.warnings:
        console.print(f"  note: {warning}", markup=False)
    summary = run.summary()
    if len(summary):
        last = int(summary["generation"].max() or 0)  # type: ignore[arg-type]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("metric", "generation 0", f"generation {last}", "replicates"):
            table.add_column(column, justify="left" if column == "metric" else "right")
        for (agent, metric), rows in summary.group_by("agent", "metric", maintain_order=True):
            cells = [_cell(rows, g) for g in (0, last)]
            name = f"{agent} {metric}" if len(run.spec.agents) > 1 else str(metric)
            table.add_row(name, *cells, str(rows["replicates"].max()))
        console.print()
        console.print(table)
    found = advised(run)
    if found is not None:
        console.print(f"\n[bold]Next[/]    {found['sentence']}")


def _cell(rows: pl.DataFrame, generation: int) -> str:
    found = rows.filter(pl.col("generation") == generation)
    if not len(found):
        return ""
    mean, error = found["mean"][0], found["standard_error"][0]
    return f"{mean:.4g}" if error is None else f"{mean:.4g} ± {error:.2g}"


class Progressing:
    """Live progress: generations done, the first metric, time left. One line now and then where there is no
    terminal."""

    def __init__(self, spec: Spec | ProcessSpec, console: Console, quiet: bool = False) -> None:
        self.blocks = spec.replicates if isinstance(spec, ProcessSpec) else len(Loop(spec).blocks())
        self.total = self.blocks * spec.generations
        self.spec, self.console, self.quiet = spec, console, quiet
        self.done = 0
        self.latest = 0.0
        self.bar: Any = nullcontext()
        if not quiet and console.is_terminal:
            self.bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("[dim]{task.fields[metric]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Any:
        entered = self.bar.__enter__()
        if entered is not None:
            self.task = entered.add_task(self.spec.name, total=self.total, metric="")
        self.started = time.monotonic()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.__exit__(*error)

    def __call__(self, event: dict[str, Any]) -> None:
        if event.get("event") == "working":
            self._inside(event)
        if event.get("event") != "generation_done":
            return
        self.done += 1
        shown = "".join(f"{k} {v:.4g}" for k, v in list(event.get("metrics", {}).items())[:1])
        if isinstance(self.bar, Progress):
            self.bar.update(
                self.task, completed=self.done, metric=f"generation {event['generation']}  {shown}"
            )
        elif not self.quiet and time.monotonic() - self.latest > 5:
            self.latest = time.monotonic()
            left = (self.latest - self.started) / self.done * (self.total - self.done)
            print(
                f"{self.spec.name}: {self.done} of {self.total} generations, about {left:.0f} s left  {shown}",
                file=sys.stderr,
            )

    def _inside(self, event: dict[str, Any]) -> None:
        """How far long work inside a generation has come."""
        said = f"generation {event['generation']}: {event['what']} {event['share']:.0%}"
        if isinstance(self.bar, Progress):
            self.bar.update(self.task, metric=said)
        elif not self.quiet and time.monotonic() - self.latest > 20:
            self.latest = time.monotonic()
            print(f"{self.spec.name}: {said}", file=sys.stderr)


def _dry_process(spec: ProcessSpec, as_json: bool) -> int:
    spec.process.check()
    notes, cite = list(spec.process.warnings), cited(spec.process)
    if as_json:
        print(said({"spec": spec.to_dict(), "warnings": notes, "cite": cite}))
        return 0
    print(spec.to_yaml())
    for line in [f"note: {n}" for n in notes] + [f"cite: {c}" for c in cite]:
        print(f"# {line}")
    return 0


def _dry(spec: Spec, as_json: bool) -> int:
    loop = Loop(spec)
    cost = estimate(loop)
    if as_json:
        print(
            said(
                {
                    "spec": spec.to_dict(),
                    "cost": cost,
                    "paths": loop.paths,
                    "warnings": loop.warnings,
                    "cite": loop.citations,
                }
            )
        )
        return 0
    print(spec.to_yaml())
    print(
        f"# {cost['fits']:,} fits on {cost['records_trained']:,} records in all, {cost['records_sampled']:,} records sampled"
        + (
            f", about {cost['bytes_on_disk'] / 1e6:,.1f} MB of samples on disk"
            if cost["bytes_on_disk"]
            else ""
        )
    )
    for agent, path in loop.paths.items():
        print(f"# {agent}: path {path}")
    for warning in loop.warnings:
        print(f"# note: {warning}")
    for line in loop.citations:
        print(f"# cite: {line}")
    return 0
