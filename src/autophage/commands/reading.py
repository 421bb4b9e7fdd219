"""The verbs that run no loop: predict, report, ls, describe, validate, cite."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autophage import documented, registry
from autophage.commands.opening import opened_any, said
from autophage.errors import SpecError
from autophage.loop import Loop
from autophage.processes.process import cited
from autophage.processes.spec import ProcessSpec
from autophage.runs.run import load


def predict(given: str, settings: list[str], as_json: bool) -> None:
    from autophage.theory.predict import predict as predicted

    spec = opened_any(given, settings)
    found = spec.process.predictions(spec.generations) if isinstance(spec, ProcessSpec) else predicted(spec)
    if as_json:
        print(said([dataclasses.asdict(p) for p in found]))
        return
    console = Console()
    if not found:
        console.print("No theorem in the library speaks about this. Run it: the verdicts do not need one.")
        return
    for p in found:
        values = np.atleast_1d(np.asarray(p.values, dtype=float))
        side = {"upper": "at most ", "lower": "at least "}.get(p.side or "", "")
        console.print(
            f"\n[bold]{p.metric}[/] [dim]({p.quantity}, {p.status})[/]  {side}{_course(values)} {p.unit}".rstrip()
        )
        console.print(f"  {p.statement}", markup=False)
        console.print(f"  {p.source}", markup=False, style="dim")


def _course(values: np.ndarray) -> str:
    if len(values) <= 8:
        return " ".join(f"{v:.4g}" for v in values)
    return " ".join(f"{v:.4g}" for v in values[:5]) + " ... " + " ".join(f"{v:.4g}" for v in values[-2:])


def report(folder: Path, out: Path | None, figures: bool, as_json: bool) -> None:
    if (folder / "sweep.yaml").is_file():
        from autophage.sweeps.sweep import Sweep

        page = Sweep.load(folder).report(out)
    elif (folder / "comparison.json").is_file():
        from autophage.comparisons.comparison import opened as comparison

        page = comparison(folder).report(out)
    else:
        page = load(folder).report(out, figures=figures)
    print(said({"report": str(page)}) if as_json else page)


def list_parts(slot: str | None, as_json: bool) -> None:
    from autophage.comparisons.safeguards import SAFEGUARDS
    from autophage.recipes import recipes

    table = {
        s: {k: registry.describe(s, k) for k in registry.kinds(s)} for s in registry.PARTS if s != "predictor"
    }
    table["recipes"] = {name: recipe.title for name, recipe in recipes().items()}
    table["safeguards"] = {s.name: s.line() for s in SAFEGUARDS.values()}
    if slot is not None:
        wanted = slot if slot in table else slot.rstrip("s") if slot.rstrip("s") in table else slot
        if wanted not in table:
            raise SpecError(f"there is no slot called '{slot}'{registry.nearest(slot, table)}")
        table = {wanted: table[wanted]}
    if as_json:
        print(said(table))
        return
    console = Console()
    for name, entries in table.items():
        if not entries:
            continue
        console.print(f"\n[bold]{name}[/]")
        grid = Table.grid(padding=(0, 2))
        for kind, line in entries.items():
            grid.add_row("  " + kind, line)
        console.print(grid, highlight=False, markup=False)


def describe(given: str, as_json: bool) -> None:
    slot, _, kind = given.rpartition(".")
    slots = [slot] if slot else [s for s in registry.PARTS if given in registry.kinds(s)]
    if not slots:
        every = [k for s in registry.PARTS for k in registry.kinds(s)]
        raise SpecError(f"there is no part called '{given}'{registry.nearest(given, every)}")
    for s in slots:
        if s not in registry.PARTS:
            raise SpecError(f"there is no slot called '{s}'{registry.nearest(s, registry.PARTS)}")
    found = [_described(s, kind or given) for s in slots]
    if as_json:
        print(said(found if len(found) > 1 else found[0]))
        return
    console = Console()
    for part in found:
        console.print(f"\n[bold]{part['slot']} {part['kind']}[/]")
        console.print(_flowing(part["about"]), markup=False, highlight=False)
        for name, setting in part["settings"].items():
            default = setting["default"]
            told = f"{setting['type']}, " + ("required" if default == "required" else f"default {default}")
            console.print(f"  [bold]{name}[/] [dim]{escape(told)}[/]", highlight=False)
            if setting["about"]:
                console.print(f"      {setting['about']}", markup=False, highlight=False)
        for fact, value in part["facts"].items():
            console.print(f"  {fact}: {value}", markup=False, style="dim")
        for line in part["cite"]:
            console.print(f"  cite: {line}", markup=False, style="dim")


def _flowing(text: str) -> str:
    """Paragraphs as one line each, for a terminal of any width; doctests as they are."""
    parts = text.split("\n\n")
    return "\n\n".join(p if p.lstrip().startswith(">>>") else " ".join(p.split()) for p in parts)


FACTS = (
    "batched",
    "has_law",
    "has_log_prob",
    "warm_starts",
    "needs_labels",
    "domains",
    "sampling_keys",
    "direction",
    "needs",
)


def _described(slot: str, kind: str) -> dict[str, Any]:
    cls = registry.find(slot, kind)
    about = documented.settings(cls)
    settings = {}
    for f in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if f.init:
            default = (
                # An empty text stands for what has no default but follows keys of a base that have one.
                (f.default if f.default != "" else "required")
                if f.default is not dataclasses.MISSING
                else "required"
                if f.default_factory is dataclasses.MISSING
                else f.default_factory()
            )
            settings[f.name] = {"type": str(f.type), "default": default, "about": about.get(f.name, "")}
    facts = {}
    for name in FACTS:
        value = getattr(cls, name, None)
        if value is not None and not callable(value) and not isinstance(value, property):
            facts[name] = ", ".join(sorted(value)) if isinstance(value, frozenset) else value
    return {
        "slot": slot,
        "kind": kind,
        "about": inspect.getdoc(cls) or "",
        "settings": settings,
        "facts": facts,
        "cite": list(getattr(cls, "citation", ()) or ()),
    }


def validate(given: str, settings: list[str], as_json: bool) -> None:
    spec = opened_any(given, settings)
    if isinstance(spec, ProcessSpec):
        spec.process.check()
        paths, warnings = {}, list(spec.process.warnings)
    else:
        loop = Loop(spec)
        paths, warnings = loop.paths, loop.warnings
    if as_json:
        print(said({"valid": True, "spec_hash": spec.digest, "paths": paths, "warnings": warnings}))
        return
    print(f"{given} is a valid spec: {spec.replicates} replicates of {spec.generations} generations")
    for warning in warnings:
        print(f"note: {warning}")


def cite(given: str, as_json: bool) -> None:
    from autophage.recipes import recipes

    known = recipes()
    if given in known:
        lines = list(known[given].citations)
    elif Path(given).is_dir():
        found: Any = load(given)
        lines = _cited(found.spec) if isinstance(found.spec, ProcessSpec) else citations(found.loop)
    else:
        spec = opened_any(given, [])
        lines = _cited(spec) if isinstance(spec, ProcessSpec) else citations(Loop(spec))
    if as_json:
        print(said(lines))
        return
    for line in lines:
        print(line)


def _cited(spec: ProcessSpec) -> list[str]:
    return cited(spec.process, spec.process.predictions(2))


def citations(loop: Loop) -> list[str]:
    """The papers a run rests on: its parts', and those of the theory that speaks about it."""
    from autophage.theory.predict import predict as predicted

    return list(dict.fromkeys([*loop.citations, *(p.source for p in predicted(loop.spec))]))
