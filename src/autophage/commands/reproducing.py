"""`autophage reproduce`: a paper's recipe, expected against measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from autophage import registry
from autophage.commands.opening import said
from autophage.commands.running import Progressing
from autophage.errors import SpecError
from autophage.processes.spec import spec_of
from autophage.recipes import Recipe, recipes
from autophage.recipes.checking import Outcome, outcome
from autophage.runs.run import Run
from autophage.runs.run import run as run_spec


def reproduce(paper: str, scale: str, out: Path | None, workers: int, as_json: bool) -> int:
    known = recipes()
    if paper not in known:
        raise SpecError(f"there is no recipe '{paper}'{registry.nearest(paper, known)}")
    recipe = known[paper]
    started = time.monotonic()
    outcomes = outcomes_of(recipe, scale, out, workers, quiet=as_json)
    passed = sum(o.passed for o in outcomes)
    if as_json:
        body: dict[str, Any] = {"recipe": paper, "scale": scale, "passed": passed, "of": len(outcomes)}
        print(said({**body, "checks": [vars(o) for o in outcomes], "cite": recipe.citations}))
    else:
        show(recipe, scale, outcomes, time.monotonic() - started)
    return 0 if passed == len(outcomes) else 1


def outcomes_of(
    recipe: Recipe, scale: str = "small", out: Path | None = None, workers: int = 1, quiet: bool = True
) -> list[Outcome]:
    """Runs a recipe and checks it."""
    console = Console(stderr=True)
    runs: dict[str, Run] = {}
    first_models: dict[Any, Any] = {}  # arms of one experiment begin with the same generation 0
    specs = {name: spec_of(raw) for name, raw in recipe.specs(scale).items()}
    for name, spec in specs.items():
        place = None if out is None else out / name
        with Progressing(spec, console, quiet=quiet) as observe:
            runs[name] = run_spec(
                spec,
                place,
                workers,
                resume=place is not None,
                observe=observe,
                pictures=False,
                first_models=first_models,
            )
    return [outcome(check, runs) for check in recipe.checks_at(scale)]


def show(recipe: Recipe, scale: str, outcomes: list[Outcome], seconds: float) -> None:
    console = Console()
    console.print(f"\n[bold]{recipe.title}[/]  [dim]{recipe.name}, scale {scale}, {seconds:.0f} s[/]")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_lines=False)
    table.add_column("", no_wrap=True)
    table.add_column("check", overflow="fold", ratio=4)
    table.add_column("expected", justify="right", overflow="fold")
    table.add_column("measured", justify="right", overflow="fold")
    table.add_column("from", style="dim", overflow="fold", ratio=2)
    for o in outcomes:
        table.add_row(
            "[green]ok[/]" if o.passed else "[bold red]missed[/]", o.what, o.expected, o.measured, o.source
        )
    console.print(table)
    passed = sum(o.passed for o in outcomes)
    console.print(f"\n{passed} of {len(outcomes)} checks within their bands")
    for line in recipe.citations:
        console.print(f"cite: {line}", style="dim", markup=False)
