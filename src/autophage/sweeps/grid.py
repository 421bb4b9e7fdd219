"""A spec over a grid: which keys vary, over which values, and the spec of every cell.

Cells are the Cartesian product of the axes, the last axis fastest. A cell's spec is the base spec with that cell's
settings laid over it, exactly as `--set` does it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml

from autophage.errors import SpecError, UserError
from autophage.spec import AgentSpec, Spec, override
from autophage.workflows import Workflow

_RANGE = re.compile(r"([^:,\s]+):([^:,\s]+):(\d+)(?::(log))?$")
_AGENT = ("learner", "workflow", "curation", "treatment", "sampling")
COUNTED = ("sample_size", "initial_size", "real", "real_share", "synthetic_ratio")
"""Keys of a workflow that may differ from replicate to replicate of one array program."""


@dataclass(frozen=True)
class Axis:
    """One key of the spec and the values it takes.

    >>> Axis.parsed("workflow.sample_size=10,20,50").values
    (10, 20, 50)
    >>> Axis.parsed("workflow.synthetic_ratio=0:2:5").values
    (0.0, 0.5, 1.0, 1.5, 2.0)
    >>> Axis.parsed("workflow.initial_size=10:1000:3:log").values
    (10, 100, 1000)
    """

    key: str
    values: tuple[Any, ...]
    ranged: bool = False
    """The values come from start:stop:count, so that a key of whole numbers may round them."""
    spaced: str = ""
    """`log` where the range said so."""
    source: str = ""
    """The text it was given as, where it was text."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s.=]+(\.[^\s.=]+)*", self.key):
            raise SpecError(f"--grid takes a dotted key of the spec, got '{self.key}'")
        if not self.values:
            raise SpecError(f"--grid {self.key} has no values; write {self.key}=a,b,c")
        names = [said(v) for v in self.values]
        twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
        if twice is not None:
            raise SpecError(f"--grid {self.key} has the value {twice} twice; every cell is run once")

    @staticmethod
    def parsed(text: str) -> Axis:
        """An axis from `key=a,b,c`, `key=start:stop:count` or `key=start:stop:count:log`."""
        key, equals, values = text.partition("=")
        if not equals:
            raise SpecError(f"--grid takes key=a,b,c or key=start:stop:count, got '{text}'")
        return Axis.of(key.strip(), values)

    @staticmethod
    def of(key: str, given: Any) -> Axis:
        """An axis from a list of values (an array is one too), or from text as the command line takes it."""
        if isinstance(given, str):
            text = given.strip()
            found = _RANGE.match(text)
            if found:
                return Axis(key, _ranged(key, *found.groups()), True, found.group(4) or "", text)
            return Axis(key, tuple(_value(key, part) for part in _split(text) if part.strip()), source=text)
        if hasattr(given, "tolist"):
            given = given.tolist()
        if not isinstance(given, Sequence):
            raise SpecError(f"the grid's {key} is {given!r}; give a list of values, or 'start:stop:count'")
        return Axis(key, tuple(given))

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """The values as numbers, or None where one of them is not."""
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in self.values):
            return None
        return np.asarray(self.values, dtype=np.float64)

    @property
    def log(self) -> bool:
        """Whether the values lie evenly on a log scale rather than on a plain one."""
        x = self.numbers
        if x is None or len(x) < 3 or not (x > 0).all():
            return self.spaced == "log"
        ordered = np.sort(x)

        def uneven(steps: np.ndarray) -> float:
            return float(steps.std() / steps.mean())

        return self.spaced == "log" or uneven(np.diff(np.log(ordered))) < uneven(np.diff(ordered))

    @property
    def name(self) -> str:
        """The key without the part it belongs to, for headings: `synthetic_ratio`."""
        last = [p for p in self.key.split(".") if not p.isdigit()]
        return ".".join(last[-2:]) if last[-1] == "kind" else last[-1]


def said(value: Any) -> str:
    """A value as text that reads back as the same value; 20 and 20.0 are one value."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)


def axes_of(grid: Any) -> tuple[Axis, ...]:
    """Axes from a mapping of keys to values, or from a list of `key=...` texts. Raises `SpecError`."""
    if isinstance(grid, str):
        grid = [grid]
    if isinstance(grid, Mapping):
        axes = [v if isinstance(v, Axis) else Axis.of(str(k), v) for k, v in grid.items()]
    else:
        axes = [a if isinstance(a, Axis) else Axis.parsed(str(a)) for a in grid]
    if not axes:
        raise SpecError(
            "a sweep needs a grid: name a key and its values, for example workflow.sample_size=10,100"
        )
    keys = [a.key for a in axes]
    twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
    if twice is not None:
        raise SpecError(f"--grid names {twice} twice; write all its values behind one")
    return tuple(axes)


@dataclass(frozen=True)
class Family:
    """Cells whose specs differ in numbers of one workflow and in nothing else."""

    spec: Spec
    """Of the first of them."""
    agent: str
    cells: tuple[int, ...]
    workflows: tuple[Workflow, ...]

    def spec_of(self, i: int) -> Spec:
        """The spec of the family's i-th cell."""
        agent: AgentSpec = self.spec.agents[self.agent]
        changed = agent.model_copy(update={"workflow": self.workflows[i]})
        return self.spec.model_copy(update={"agents": {**self.spec.agents, self.agent: changed}})


class Grid:
    """A base spec and its axes. `raw` is the unresolved spec, its seed given."""

    def __init__(self, raw: Mapping[str, Any], axes: Sequence[Axis]) -> None:
        self.raw = raw
        self.axes = tuple(self._rounded(axis) if axis.ranged else axis for axis in axes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(a.values) for a in self.axes)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def values(self, cell: int) -> tuple[Any, ...]:
        """What every axis is set to in a cell."""
        where = np.unravel_index(cell, self.shape)
        return tuple(a.values[int(i)] for a, i in zip(self.axes, where, strict=True))

    def name(self, cell: int) -> str:
        """The cell in words: `workflow.sample_size=20, workflow.real_share=0.1`."""
        pairs = zip(self.axes, self.values(cell), strict=True)
        return ", ".join(f"{a.key}={v if isinstance(v, str) else said(v)}" for a, v in pairs)

    @cached_property
    def ids(self) -> list[str]:
        """What each cell is known by, whatever the grid it belongs to: the hash of its settings."""
        texts = [[f"{a.key}={said(v)}" for v in a.values] for a in self.axes]
        # Sorted by key, so that the order of the axes does not matter.
        order = sorted(range(len(self.axes)), key=lambda i: self.axes[i].key)
        return [
            hashlib.sha256("\n".join([combo[i] for i in order]).encode()).hexdigest()[:12]
            for combo in itertools.product(*texts)
        ]

    def spec(self, cell: int) -> Spec:
        """The cell's spec. Raises `SpecError` naming the cell where it is not legal."""
        try:
            return self._resolved(self.values(cell))
        except SpecError as error:
            raise self.refusal(cell, error) from error

    def refusal(self, cell: int, error: UserError) -> SpecError:
        """What is wrong, and in which cell."""
        return SpecError(f"the cell {self.name(cell)} cannot be run: {error}")

    def families(self) -> Iterator[Family]:
        """All cells, those together that differ in numbers of one workflow only; each spec is legal. Raises
        `SpecError` naming the first cell that is not."""
        first = self.spec(0)
        agent = next(iter(first.agents))
        inner = [i for i, a in enumerate(self.axes) if self._counted(a, first, agent)]
        cells = np.arange(self.size).reshape(self.shape)
        outer = [i for i in range(len(self.axes)) if i not in inner]
        together = np.moveaxis(cells, [*outer, *inner], range(len(self.axes)))
        together = together.reshape(-1, math.prod(self.shape[i] for i in inner))
        names = [self.axes[i].key.rpartition(".")[2] for i in inner]
        for members in together:
            spec = self.spec(int(members[0]))
            typed = self._typed(members, inner, names, agent)
            workflows = []
            for cell, combo in zip(members, itertools.product(*typed), strict=True):
                try:
                    changed = dict(zip(names, combo, strict=True))
                    workflows.append(dataclasses.replace(spec.agents[agent].workflow, **changed))
                except SpecError as error:
                    raise self.refusal(int(cell), error) from error
            yield Family(spec, agent, tuple(members.tolist()), tuple(workflows))

    def _typed(
        self, members: np.ndarray, inner: Sequence[int], names: Sequence[str], agent: str
    ) -> list[list[Any]]:
        """The values of the inner axes as the workflow's class holds them, each resolved once."""
        shape = tuple(self.shape[i] for i in inner)
        inside = members.reshape(shape)
        typed = []
        for position, name in enumerate(names):
            along = np.moveaxis(inside, position, 0).reshape(shape[position], -1)[:, 0]
            typed.append([getattr(self.spec(int(cell)).agents[agent].workflow, name) for cell in along])
        return typed

    def _counted(self, axis: Axis, spec: Spec, agent: str) -> bool:
        path, _, name = self._place(axis.key).rpartition(".")
        fields = {f.name for f in dataclasses.fields(spec.agents[agent].workflow)}
        inside = path == "workflow" or path == f"agents.{agent}.workflow"
        return len(spec.agents) == 1 and inside and name in fields and name in COUNTED

    def _resolved(self, values: Sequence[Any]) -> Spec:
        settings = [(self._place(a.key), v) for a, v in zip(self.axes, values, strict=True)]
        settings.sort(key=lambda s: not s[0].endswith("kind"))  # a new kind drops the old kind's settings
        return Spec.of(override(self.raw, [f"{key}={json.dumps(value)}" for key, value in settings]))

    def _place(self, key: str) -> str:
        """`workflow.x` in a spec that names its one agent is that agent's."""
        agents = self.raw.get("agents")
        if isinstance(agents, Mapping) and len(agents) == 1 and key.split(".")[0] in _AGENT:
            return f"agents.{next(iter(agents))}.{key}"
        return key

    def _rounded(self, axis: Axis) -> Axis:
        """The axis, its values rounded where the key takes whole numbers only."""
        odd = next((v for v in axis.values if isinstance(v, float) and not v.is_integer()), None)
        if odd is None:
            return axis
        tries = []
        for value in (odd, round(odd)):
            try:
                Spec.of(override(self.raw, [f"{self._place(axis.key)}={json.dumps(value)}"]))
                tries.append(True)
            except UserError:
                tries.append(False)
        if tries != [False, True] and not axis.key.endswith(
            ".sample_size"
        ):  # fractions of a size are rounded up
            return axis
        return dataclasses.replace(axis, values=tuple(dict.fromkeys(round(v) for v in axis.values)))


def _ranged(key: str, start: str, stop: str, count: str, scale: str | None) -> tuple[Any, ...]:
    try:
        low, high, n = float(start), float(stop), int(count)
    except ValueError as error:
        raise SpecError(f"--grid {key}={start}:{stop}:{count}: start and stop must be numbers") from error
    if not (math.isfinite(low) and math.isfinite(high)) or n < 2 or low == high:
        raise SpecError(
            f"--grid {key}={start}:{stop}:{count}: a range needs two different finite ends and a count of 2 or more"
        )
    if scale and not (low > 0 and high > 0):
        raise SpecError(f"--grid {key}={start}:{stop}:{count}:log: both ends must be above zero")
    points = np.geomspace(low, high, n) if scale else np.linspace(low, high, n)
    points = np.array([float(f"{p:.12g}") for p in points])
    if (
        low.is_integer()
        and high.is_integer()
        and (points == points.round()).all()
        and "." not in start + stop
    ):
        whole = tuple(int(p) for p in points)
        # 0:2:5 has halves, so all of its values are fractions; 10:20:3 stays whole.
        return whole
    return tuple(points.tolist())


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no bracket and no quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _value(key: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"--grid {key}: '{text.strip()}' is not a YAML value") from error
    if isinstance(value, str):
        try:  # YAML 1.1 reads 1e-3 as a string
            return float(value)
        except ValueError:
            return value
    return value
