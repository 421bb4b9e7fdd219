"""Papers as specs, with the values that must come out.

A recipe is a folder: `spec.yaml` (a complete base and named runs as small diffs over it, with overrides per
scale), `expected.yaml` (what must come out, where each value is from, with which band) and `README.md`. Folders
are package data, so that `reproduce` works from an installed wheel.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from autophage.errors import SpecError

SCALES = ("small", "medium", "paper")


@dataclass(frozen=True)
class Recipe:
    """One paper's experiments."""

    name: str
    title: str
    citations: tuple[str, ...]
    base: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    scales: Mapping[str, Mapping[str, Any]]
    checks: tuple[Mapping[str, Any], ...]

    def specs(self, scale: str) -> dict[str, dict[str, Any]]:
        """The unresolved spec of every run at a scale. Raises `SpecError` when there is no such scale."""
        if scale not in SCALES:
            raise SpecError(f"there is no scale '{scale}'; scales are {', '.join(SCALES)}")
        if scale not in self.scales:
            raise SpecError(f"recipe {self.name} has no scale '{scale}'; it has {', '.join(self.scales)}")
        settings = dict(self.scales[scale] or {})
        own = settings.pop("runs", {}) or {}
        left_out = set(settings.pop("without", ()))
        return {
            run: laid_over(
                laid_over(laid_over({**self.base, "name": run}, diff or {}), settings), own.get(run) or {}
            )
            for run, diff in self.runs.items()
            if run not in left_out
        }

    def checks_at(self, scale: str) -> list[Mapping[str, Any]]:
        return [c for c in self.checks if scale in c.get("scales", SCALES)]


def laid_over(base: Mapping[str, Any], diff: Mapping[str, Any]) -> dict[str, Any]:
    """A diff over a spec: mappings merge, anything else replaces, and another kind drops the old one's settings.

    >>> laid_over({"workflow": {"kind": "replace", "sample_size": 5}}, {"workflow": {"kind": "mix"}})
    {'workflow': {'kind': 'mix'}}
    >>> laid_over({"workflow": {"kind": "replace", "sample_size": 5}}, {"workflow": {"sample_size": 7}})
    {'workflow': {'kind': 'replace', 'sample_size': 7}}
    """
    result = copy.deepcopy(dict(base))
    for key, value in diff.items():
        before = result.get(key)
        same = (
            isinstance(before, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind") in (None, before.get("kind"))
        )
        result[key] = laid_over(before, value) if same else copy.deepcopy(value)  # type: ignore[arg-type]
    return result


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe in the package, by its folder's name."""
    found = {}
    for folder in sorted(files(__package__).iterdir(), key=lambda f: f.name):
        if folder.is_dir() and (folder / "expected.yaml").is_file():
            spec = yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8"))
            expected = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
            found[folder.name] = Recipe(
                name=folder.name,
                title=expected["title"],
                citations=tuple(expected["citations"]),
                base=spec.get("base", {}),
                runs=spec.get("runs", {}),
                scales=spec.get("scales", {"small": {}}),
                checks=tuple(expected["checks"]),
            )
    return found
