"""`autophage compare`: safeguards side by side at equal cost."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from autophage.commands.opening import raw, said
from autophage.comparisons import Comparison
from autophage.comparisons import compare as run_comparison
from autophage.comparisons.paged import gained, matching, sentence
from autophage.comparisons.safeguards import safeguards_of
from autophage.report.courses import number
from autophage.runs.folder import as_name
from autophage.spec import Spec, override


def compare(
    given: str,
    safeguards: str,
    budget: str,
    out: Path | None,
    settings: list[str],
    workers: int,
    as_json: bool,
) -> int:
    chosen = safeguards_of(safeguards)
    spec = Spec.of(override(raw(given), settings))
    if out is None:
        out = Path("comparisons") / f"{as_name(spec.name, 'loop')}-{spec.digest}-{budget}"
    console = Console(stderr=True)
    try:
        # What a learner prints belongs to the progress: the answer alone is on standard output.
        with redirect_stdout(sys.stderr):
            finished = run_comparison(
                spec,
                chosen,
                out,
                budget=budget,  # type: ignore[arg-type]
                workers=workers,
                observe=None if as_json else Telling(console),
            )
    except KeyboardInterrupt:
        words = ["autophage", "compare", given, "--safeguards", safeguards, "--budget", budget]
        words += [w for s in settings for w in ("--set", s)] + ["--out", str(out)]
        words += ["--workers", str(workers)] * (workers > 1) + ["--json"] * as_json
        print(
            f"\nInterrupted. Every finished generation is kept; go on with:\n  {shlex.join(words)}",
            file=sys.stderr,
        )
        return 130
    page = finished.report()
    if as_json:
        print(said({**told(finished), "folder": str(out), "report": str(page)}))
        return 0
    show(finished, Console())
    print(f"\nPage        {page}\nComparison  {out}")
    return 0


class Telling:
    """A line when something begins, and now and then how far an arm is."""

    def __init__(self, console: Console) -> None:
        self.console, self.began, self.latest = console, time.monotonic(), 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        spent = time.monotonic() - self.began
        if event.get("event") == "comparison":
            arm = f" {event['arm']}" if "arm" in event else ""
            self.console.print(f"[dim]{spent:6.0f} s[/]  {event['what']}{arm}", highlight=False)
        elif event.get("event") == "generation_done" and spent - self.latest > 10:
            self.latest = spent
            self.console.print(f"[dim]{spent:6.0f} s    generation {event['generation']}[/]", highlight=False)


def told(finished: Comparison) -> dict[str, Any]:
    """A finished comparison as plain data."""
    return {
        "budget": finished.budget,
        "risk": finished.risk,
        "sentence": sentence(finished),
        "matching": matching(finished),
        "arms": finished.table(),
        "seconds": finished.seconds,
    }


def show(finished: Comparison, console: Console) -> None:
    """The sentence, the arms, and what they cost."""
    console.print(f"\n[bold]{sentence(finished)}[/]", highlight=False)
    console.print(matching(finished), highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("arm", "risk", "gain", "trained", "extra", "drawn", "labels", "s"):
        table.add_column(column, justify="left" if column == "arm" else "right", no_wrap=True)
    for o in finished.outcomes:
        c = o.cost
        table.add_row(
            o.name,
            number(finished.last(o)),
            gained(o.gain),
            number(c.trained),
            number(c.auxiliary_records),
            number(c.proposals + c.auxiliary_draws),
            number(c.labels),
            number(c.seconds),
        )
    console.print()
    console.print(table)
    console.print(
        f"[dim]risk: {finished.risk}; records trained on, in extra networks, drawn; seconds[/]",
        highlight=False,
    )
    for o in finished.outcomes:
        if o.safeguard is not None and o.safeguard.knows:
            console.print(f"  {o.name} knows {o.safeguard.knows}", markup=False, highlight=False)
    for o in finished.outcomes:
        for replicate, failure in list(o.run.failures.items())[:2]:
            console.print(
                f"  {o.name}: replicate {replicate} failed at generation {failure['generation']}: {failure['reason']}",
                markup=False,
            )
