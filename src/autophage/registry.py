"""The known parts: slot, kind, where the class is, and what it is in one line.

A new part is one small file plus one line here; other packages add theirs through entry points of the group
`autophage.parts`, named `slot.kind`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from functools import cache
from typing import Any

from autophage.errors import MissingExtra, SpecError

PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "data": {
        "gaussian": ("autophage.data.gaussian:GaussianSource", "a Gaussian law"),
    },
    "learner": {
        "gaussian": ("autophage.learners.gaussian:Gaussian", "a Gaussian by moments; exact law of the refit"),
    },
    "workflow": {
        "replace": ("autophage.workflows:Replace", "samples of the newest model only (fully synthetic)"),
        "accumulate": ("autophage.workflows:Accumulate", "the real set and everything ever sampled"),
        "accumulate_subsample": (
            "autophage.workflows:AccumulateSubsample",
            "the pile grows, each fit sees a subsample",
        ),
        "window": ("autophage.workflows:Window", "the newest batches"),
        "mix": ("autophage.workflows:Mix", "the real set and synthetic_ratio as many samples of the newest model"),
        "keep_real": ("autophage.workflows:KeepReal", "constant size, a share of original real records"),
        "fresh": ("autophage.workflows:Fresh", "constant size, a share of new real records"),
    },
    "curation": {},
    "treatment": {},
    "metric": {},
    "predictor": {},
}


@cache
def _foreign() -> dict[str, dict[str, str]]:
    from importlib.metadata import entry_points

    found: dict[str, dict[str, str]] = {}
    for entry in entry_points(group="autophage.parts"):
        slot, _, kind = entry.name.partition(".")
        found.setdefault(slot, {})[kind] = entry.value
    return found


def kinds(slot: str) -> list[str]:
    """The kinds known for a slot, other packages' included."""
    return [*PARTS[slot], *(k for k in _foreign().get(slot, {}) if k not in PARTS[slot])]


def describe(slot: str, kind: str) -> str:
    """One line about a kind."""
    return PARTS[slot][kind][1] if kind in PARTS[slot] else f"from {_foreign()[slot][kind]}"


def find(slot: str, kind: str, where: str = "") -> Any:
    """The class of a kind, or of a `module:Class` path. Raises `SpecError` naming the nearest known kind."""
    if not isinstance(kind, str):
        raise SpecError(f"{where or slot}: kind must be a name, got {kind!r}; known: {', '.join(kinds(slot))}")
    if kind in PARTS[slot]:
        return load(PARTS[slot][kind][0], where or slot)
    if kind in _foreign().get(slot, {}):
        return load(_foreign()[slot][kind], where or slot)
    if ":" in kind:
        return load(kind, where or slot)
    raise SpecError(f"{where or slot}: there is no {slot} called '{kind}'{nearest(kind, kinds(slot))}")


def kind_of(slot: str, part: Any) -> str:
    """The kind under which a part's class is known, else its `module:Class` path."""
    path = f"{type(part).__module__}:{type(part).__qualname__}"
    table = {v[0]: k for k, v in PARTS[slot].items()} | {v: k for k, v in _foreign().get(slot, {}).items()}
    return table.get(path, path)


def load(path: str, where: str) -> Any:
    """The object at `module:object`."""
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        if error.name and not module.startswith(error.name):
            raise MissingExtra(f"{where}: {module} needs {error.name}, which is not installed") from error
        raise SpecError(f"{where}: no module called '{module}' can be imported; write module:object") from error
    for attribute in name.split("."):
        if not hasattr(found, attribute):
            raise SpecError(f"{where}: module {module} has no '{name}'{nearest(name, dir(found))}")
        found = getattr(found, attribute)
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a refusal: what was probably meant, or what there is."""
    known = [k for k in known if not k.startswith("_")]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""
