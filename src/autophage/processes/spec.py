"""What a run of a process is, as data:

name: seven-fills
seed: 0
replicates: 3
generations: 9
process: {kind: inpainting, data: digits, inpainter: {kind: patch, tau: 0}, square: 2, features: pixels}
verdict: {diversity: variance}
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autophage import registry
from autophage.data.arguments import whole_number
from autophage.errors import SpecError
from autophage.intake import part, refuse_unknown
from autophage.processes.process import Process, written
from autophage.spec import SCHEMA, Spec, VerdictSpec, read
from autophage.stopping import StopRule, rules_from

KEYS = ("schema", "name", "seed", "replicates", "generations", "process", "verdict", "stop")


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A run of a process, complete: everything a machine needs to repeat it."""

    process: Process
    seed: int
    name: str = "process"
    replicates: int = 1
    """Independent repetitions of the whole process."""
    generations: int = 5
    """Steps that are measured: generations 0, where it begins, to generations - 1."""
    verdict: VerdictSpec = field(default_factory=VerdictSpec)
    """Which metric a verdict reads; the process knows what is usual for it."""
    stop: tuple[StopRule, ...] = ()
    """Borders of measured courses that end a replicate before its last generation."""
    seed_drawn: bool = field(default=False, compare=False)
    """Whether the seed was not given; a resumed run then takes the recorded one."""

    @staticmethod
    def of(given: Any = None, /, **keys: Any) -> ProcessSpec:
        """From a path, a mapping, another spec, or keywords. Raises `SpecError` in one sentence."""
        if isinstance(given, ProcessSpec):
            return given if not keys else ProcessSpec.of({**given.to_dict(), **keys})
        raw = {**(read(given) if isinstance(given, str | Path) else dict(given or {})), **keys}
        for key in raw:
            if key not in KEYS:
                inside = _inside(raw.get("process"), str(key))
                raise SpecError(
                    f"unknown key '{key}' in the spec of a process"
                    + (f"; write process.{key}" if inside else registry.nearest(str(key), KEYS))
                )
        if raw.get("schema", SCHEMA) != SCHEMA:
            raise SpecError(
                f"this spec has schema {raw['schema']!r}; this version of autophage reads schema {SCHEMA}"
            )
        for key in ("replicates", "generations"):
            if key in raw:
                whole_number(raw[key], key, least=1)
        seed = raw.get("seed")
        if seed is not None:
            whole_number(seed, "seed", least=0)
        process = part("process", raw.get("process"), "process")
        verdict = raw.get("verdict") or {}
        if isinstance(verdict, Mapping):
            refuse_unknown(verdict, list(VerdictSpec.model_fields), "verdict")
            verdict = VerdictSpec(**{**process.verdict, **verdict})
        return ProcessSpec(
            process=process,
            seed=secrets.randbits(31) if seed is None else seed,
            name=str(raw.get("name") or registry.kind_of("process", process).rpartition(":")[2]),
            verdict=verdict,
            stop=rules_from(raw.get("stop") or (), process.agents),
            seed_drawn=seed is None,
            **{k: raw[k] for k in ("replicates", "generations") if k in raw},
        )

    @property
    def agents(self) -> dict[str, Any]:
        """By name what measures: the process, or each of its arms."""
        return dict.fromkeys(self.process.agents, self.process)

    @property
    def digest(self) -> str:
        """Identifies the run: the hash of the resolved spec."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def repeatable(self) -> bool:
        """Whether the written spec re-creates the run (an object without an import path cannot be written)."""
        return "<object" not in json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, complete: every default spelled out."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "seed": self.seed,
            "replicates": self.replicates,
            "generations": self.generations,
            "process": written("process", self.process),
            "verdict": self.verdict.model_dump(),
            **({} if not self.stop else {"stop": [r.model_dump(exclude_defaults=True) for r in self.stop]}),
        }

    def to_yaml(self) -> str:
        """The resolved spec as it is written to `spec.yaml`."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True, width=110)


def spec_of(given: Any = None, /, **keys: Any) -> Spec | ProcessSpec:
    """A spec of a loop or of a process, whichever it is."""
    if isinstance(given, ProcessSpec | Spec) and not keys:
        return given
    return ProcessSpec.of(given, **keys) if is_process(given, keys) else Spec.of(given, **keys)


def is_process(given: Any, keys: Mapping[str, Any] | None = None) -> bool:
    """Whether this is a spec of a process: it has the key `process`. Raises `SpecError` for a file that cannot be read."""
    if isinstance(given, str | Path):
        given = read(given)
    return (
        isinstance(given, ProcessSpec)
        or "process" in (keys or {})
        or (isinstance(given, Mapping) and "process" in given)
    )


def _inside(process: Any, key: str) -> bool:
    """Whether a key belongs into the process's own block."""
    kind = process.get("kind") if isinstance(process, Mapping) else process
    if not isinstance(kind, str) or kind not in registry.kinds("process"):
        return False
    return key in getattr(registry.find("process", kind), "__dataclass_fields__", {})
