"""What a process is: a start, a step, and what of its state must be stored.

    s_0                   = start(key)
    s_{g+1}, r_g          = step(s_g, key_g)          g = 0, 1, ..., generations - 1

Step 0 measures where the process begins and changes nothing else: the pictures before the first fill, the model before the
first reward. Step g measures generation g. All randomness comes from the keys, so that a process that was interrupted ends with the
numbers of one that was not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import FitFailed
from autophage.keys import Key
from autophage.parts import CONFIG, Measurement, Prediction

if TYPE_CHECKING:
    import polars

    from autophage.report.page import Exhibit, Gallery


class Shown(NamedTuple):
    """A few records of one generation for its gallery: `x` (n, h, w[, 3]) pictures or (n, 2) points, and `label` (n,) their
    classes where they have any."""

    x: np.ndarray
    label: np.ndarray | None = None


@dataclass(frozen=True)
class Stepped:
    """What one step came to."""

    state: Any
    """The state after it, which the next step is given."""
    measurements: Mapping[str, Sequence[Measurement]]
    """By agent: what was measured; values are numbers or arrays of one."""
    shown: Mapping[str, Shown] = field(default_factory=dict)
    """By agent: records for the gallery."""
    notes: Sequence[str] = ()
    """What a reader must know of this step; each note is told once."""


@dataclass(frozen=True)
class Finding:
    """What a process can say of itself beside the eight definitions of collapse."""

    key: str
    """A short word for it, such as information."""
    name: str
    answer: Literal["yes", "no", "undecided"]
    sentence: str
    """With the numbers that it rests on."""
    effect: float | None = None
    mark: str = ""
    """A letter or two that stand for it in a table; the key unless given."""

    def to_dict(self) -> dict[str, Any]:
        """As a verdict stands in a page."""
        return {
            "definition": self.mark or self.key,
            "name": self.name,
            "verdict": self.answer,
            "effect": self.effect,
            "ci95": None,
            "evidence": self.sentence,
        }


class Broken(FitFailed):
    """A step that gave nothing usable; `last` holds by name the arrays that were valid last, which the run keeps."""

    def __init__(self, reason: str, last: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__(reason)
        self.last = dict(last or {})


@dataclass(frozen=True, kw_only=True)
class Process(ABC):
    """A frozen dataclass whose fields are the keys of a spec's `process` block."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    """The works to cite when this process is used."""
    nested: ClassVar[Mapping[str, str]] = {}
    """Keys that hold parts of their own: key to slot, such as {"data": "data"}. A mapping of names to parts is such a key too."""
    about: ClassVar[str] = "Process"
    """The line above a page's title."""
    keeps: ClassVar[Literal["last", "all"]] = "last"
    """Which states stay on disk: the newest, or that of every generation."""
    verdict: ClassVar[Mapping[str, Any]] = {}
    """Which metrics a verdict reads where the spec does not say: {risk, diversity, trivial}."""
    directions: ClassVar[Mapping[str, str]] = {}
    """Row name, or what it begins with, to lower, higher or none: which way is better."""

    def __post_init__(self) -> None:
        resolve_nested(self, "process")

    @property
    def agents(self) -> tuple[str, ...]:
        """The names under which it measures: one, called main, unless arms run side by side."""
        return ("main",)

    def check(self) -> None:
        """Raises `SpecError` or `DataError` where it cannot run; asked before the start."""
        return None

    @property
    def warnings(self) -> Sequence[str]:
        """What a user should know before the start."""
        return ()

    @abstractmethod
    def start(self, key: Key) -> Any:
        """The state before step 0. The key names the replicate."""

    @abstractmethod
    def step(self, state: Any, key: Key) -> Stepped:
        """The next generation, which the state knows; the state it is given stays as it was. A `FitFailed` ends the replicate with
        its reason, a `Broken` keeps what was valid last."""

    @abstractmethod
    def arrays(self, state: Any) -> dict[str, np.ndarray]:
        """The state as named arrays, from which `restored` makes it again; nothing is pickled."""

    @abstractmethod
    def restored(self, arrays: Mapping[str, np.ndarray], key: Key) -> Any:
        """The state that `arrays` came from. The key is the one that `start` was given, for what is not stored but made again."""

    def predictions(self, generations: int) -> list[Prediction]:
        """What theory says of the course, generations 0 to generations - 1."""
        return []

    def findings(self, metrics: polars.DataFrame) -> list[Finding]:
        """What the metric table of one agent says in the process's own words."""
        return []

    def exhibits(self, metrics: polars.DataFrame) -> list[Exhibit]:
        """Figures of its own for the head of a page, from the metric table of all agents."""
        return []

    def gallery(self, agent: str, shown: Mapping[int, Shown]) -> Gallery | None:
        """An agent's records, by generation, as a page shows them: pictures, or points in the plane."""
        from autophage.report.page import Gallery

        if not shown:
            return None
        samples = np.stack([s.x for s in shown.values()])
        kind: Any = "images" if samples.ndim > 3 else "clouds"
        return Gallery(kind, list(shown), samples)

    def facts(self) -> list[tuple[str, Any]]:
        """What was run, for a page: pairs of a label and a value."""
        return []


def resolve_nested(holder: Any, where: str) -> None:
    """Reads the parts within a part: at each key of `nested`, a kind, a mapping with a kind, a part, or names of such."""
    from autophage.intake import part

    for key, slot in holder.nested.items():
        given = getattr(holder, key)
        if given is None:
            continue
        if isinstance(given, Mapping) and "kind" not in given and given:
            found: Any = {str(name): part(slot, one, f"{where}.{key}.{name}") for name, one in given.items()}
        else:
            found = part(slot, given, f"{where}.{key}")
        object.__setattr__(holder, key, found)


def written(slot: str, given: Any) -> dict[str, Any]:
    """A part as plain data with its kind, parts within it too: what a spec.yaml holds."""
    from autophage.intake import plain

    body = plain(slot, given)
    for key, inner in getattr(given, "nested", {}).items():
        value = getattr(given, key)
        if isinstance(value, Mapping):
            body[key] = {name: written(inner, one) for name, one in value.items()}
        elif value is not None:
            body[key] = written(inner, value)
    return body


def cited(given: Any, predictions: Sequence[Prediction] = ()) -> list[str]:
    """The works that a part and the parts within it ask to cite, and those that predictions are from."""
    lines = list(getattr(given, "citation", ()) or ())
    for key in getattr(given, "nested", {}):
        value = getattr(given, key)
        for one in value.values() if isinstance(value, Mapping) else [value]:
            lines += cited(one)
    lines += [p.source for p in predictions if not p.source.startswith("derived")]
    return list(dict.fromkeys(lines))
