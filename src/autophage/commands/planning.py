"""`autophage plan`: theory inverted, each answer with its assumption and theorem."""

from __future__ import annotations

import hashlib
import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from autophage.commands.opening import raw, said
from autophage.errors import SpecError
from autophage.planner import QUESTIONS, Answer
from autophage.planner import plan as planned
from autophage.registry import load, nearest
from autophage.report.plans import worded, write
from autophage.spec import override


def plan(
    question: str,
    target: str | None,
    horizon: int,
    spec: str | None,
    data: str | None,
    settings: list[str],
    given: list[str],
    confirm: bool,
    replicates: int | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Exit code 1 where a simulation does not confirm the answer."""
    if question not in QUESTIONS:
        raise SpecError(f"there is no question called '{question}'{nearest(question, QUESTIONS)}")
    if settings and spec is None:
        raise SpecError("--set changes keys of a spec; name one with --spec")
    if replicates is not None and not confirm:
        raise SpecError("--replicates are those of the simulation; ask for it with --confirm")
    opened = None if spec is None else override(raw(spec), settings)
    answer = planned(
        question,
        target=target,
        horizon=horizon,
        spec=opened,
        data=data,
        confirm=confirm,
        replicates=replicates,
        **parsed(question, given),
    )
    words = ["autophage", "plan", question, "--horizon", str(horizon)]
    words += [
        w
        for name, value in (("--target", target), ("--spec", spec), ("--data", data))
        if value
        for w in (name, value)
    ]
    words += [w for s in settings for w in ("--set", s)] + [w for g in given for w in ("--given", g)]
    words += ["--confirm"] * confirm
    name = hashlib.blake2b(json.dumps(words).encode(), digest_size=4).hexdigest()
    place = out or Path("runs") / f"plan-{question}-{name}"
    page = write(answer, place / "report.html", [shlex.join(words)])
    if as_json:
        print(said({**answer.to_dict(), "report": str(page)}))
    else:
        show(answer)
        print(f"\nPage    {page}")
    return 1 if answer.confirmation is not None and not answer.confirmation.confirmed else 0


def parsed(question: str, given: list[str]) -> dict[str, Any]:
    """What else the question was given, by name. Raises `SpecError` for a name that it does not know."""
    parameters = inspect.signature(load(QUESTIONS[question][0], question)).parameters
    known = [p for p in parameters if p not in ("target", "horizon", "spec", "data", "given")]
    if "given" in parameters:
        known += ["column", "label", "columns"]
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise SpecError(f"--given takes NAME=VALUE, got '{text}'")
        if name not in known:
            raise SpecError(f"plan {question} is given no '{name}'{nearest(name, known)}")
        found[name] = value.split(",") if name == "columns" else _value(value)
    return found


def _value(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    try:
        return float(value) if isinstance(value, str) else value  # YAML reads 1e-3 as text
    except ValueError:
        return value


def show(answer: Answer) -> None:
    console = Console()
    console.print(f"\n[bold]{answer.sentence}[/]", highlight=False)
    console.print(f"{worded(answer.value)} {answer.unit}", markup=False)
    if answer.table:
        columns = list(answer.table[0])
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
        for row in answer.table:
            table.add_row(*(worded(row.get(c, "")) for c in columns))
        console.print()
        console.print(table)
    console.print(f"\n{answer.status}: {answer.theorem}", markup=False, style="dim")
    console.print("It holds where", style="dim")
    for line in answer.assumptions:
        console.print(f"  {line}", markup=False, style="dim")
    for note in answer.notes:
        console.print(f"note: {note}", markup=False)
    if answer.confirmation is not None:
        style = "green" if answer.confirmation.confirmed else "bold red"
        word = "Confirmed" if answer.confirmation.confirmed else "Not confirmed"
        console.print(f"\n[{style}]{word}[/] {answer.confirmation.sentence}", highlight=False)
    if answer.change:
        console.print("\nIn the spec:", style="bold")
        print(yaml.safe_dump(dict(answer.change), sort_keys=False, default_flow_style=None).rstrip())
