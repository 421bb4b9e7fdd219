"""What a page shows, as plain values.

Whoever makes a page (a run, a comparison of safeguards, a watched log) fills in a `Page`; `render`, `write`
and `figures` need nothing else. Generations count from 0; the metric tables are those of the run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autophage.errors import DataError
from autophage.parts import Prediction

if TYPE_CHECKING:
    import polars

    from autophage.report.descriptions import Said
    from autophage.report.drift import Drift
    from autophage.report.ecosystem import Ecosystem
    from autophage.report.interpolation import Blend
    from autophage.report.judgement import Judgement
    from autophage.report.ledger import Ledger
    from autophage.report.neighbours import Neighbours

REQUIRED = ("generation", "replicate", "agent", "metric", "value")
"""The columns every metric table has; `low`, `high` (one measurement's interval) and `n` may follow."""


@dataclass(frozen=True)
class Gallery:
    """Samples generation by generation, beside real ones.

    - `images`: samples (G, n, h, w) or (G, n, h, w, 3), real (m, h, w) or (m, h, w, 3);
    - `clouds`: samples (G, n, 2), real (m, 2); for longer vectors a projection, said in the caption;
    - `bars`: probabilities (G, K), real (K,) the truth;
    - `table`: for each generation a list of rows, real a list of rows, `columns` their names.

    Raises `DataError` when the shapes do not fit.
    """

    kind: Literal["images", "clouds", "bars", "table"]
    generations: Sequence[int]
    """The generation of each entry of `samples`."""
    samples: Any
    real: Any = None
    """Real records of the same kind, or None."""
    value_range: tuple[float, float] | None = None
    """The values drawn black and white; by default 0 to 255 for bytes, else the range of the real images."""
    columns: Sequence[str] = ()
    """Names: of a table's columns, of the two axes of clouds, of the symbols of bars."""
    caption: str = ""
    label: Any = None
    """(n,) the class of each picture, the same in every generation, where models were asked for classes."""
    real_label: Any = None
    """(m,) the class of each real picture."""
    classes: Sequence[str] = ()
    """The names of the classes 0, 1, ..."""
    noise: str = ""
    """Names the random stream of all generations: arms of one name begin their pictures with the same noise."""

    def __post_init__(self) -> None:
        if self.kind not in ("images", "clouds", "bars", "table"):
            raise DataError(f"a gallery's kind is {self.kind!r}; it must be images, clouds, bars or table")
        if not len(self.generations):
            raise DataError("a gallery needs at least one generation")
        if len(self.samples) != len(self.generations):
            raise DataError(
                f"a gallery of {len(self.generations)} generations got samples of {len(self.samples)}"
            )
        if self.kind == "table":
            widths = {len(row) for rows in [*self.samples, self.real or []] for row in rows}
            if widths - {len(self.columns)}:
                raise DataError(
                    f"a gallery's rows have {sorted(widths)} entries for {len(self.columns)} columns"
                )
            return
        tail = self._tail(np.shape(self.samples)[1:])
        if self.real is not None and self._tail(np.shape(self.real)) != tail:
            raise DataError(
                f"real {self.kind} of shape {np.shape(self.real)} do not match samples of shape "
                f"{np.shape(self.samples)}"
            )
        if self.kind != "bars":
            self._labelled("label", self.label, np.shape(self.samples)[1])
            self._labelled("real_label", self.real_label, 0 if self.real is None else len(self.real))

    def named(self, label: Any) -> str:
        """A class's name."""
        return str(self.classes[int(label)]) if 0 <= int(label) < len(self.classes) else str(label)

    @staticmethod
    def _labelled(name: str, label: Any, records: int) -> None:
        if label is not None and np.shape(label) != (records,):
            raise DataError(
                f"a gallery's {name} must hold one class for each of {records} records, got an array of shape "
                f"{np.shape(label)}"
            )

    def _tail(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one record, given that of one generation."""
        fits = {
            "images": len(shape) == 3 or (len(shape) == 4 and shape[-1] == 3),
            "clouds": len(shape) == 2 and shape[-1] == 2,
            "bars": len(shape) == 1,
        }[self.kind]
        if not fits or 0 in shape:
            raise DataError(f"one generation of {self.kind} cannot have the shape {shape}")
        return shape if self.kind == "bars" else shape[1:]


@dataclass(frozen=True)
class Arm:
    """One run of a page: a normal page has one, a comparison two or more, drawn on shared axes."""

    name: str
    metrics: polars.DataFrame
    predictions: Sequence[Prediction] = ()
    gallery: Gallery | None = None
    profile: Mapping[str, Any] | None = None
    """This arm's verdicts, shaped as `Page.profile`."""
    advice: Mapping[str, Any] | None = None
    """This arm's next action, shaped as `Page.advice`."""
    neighbours: Neighbours | None = None
    """Generated pictures beside the nearest real ones."""
    drift: Drift | None = None
    """Where the classes of the pictures go."""
    judged: Judgement | None = None
    """Pictures that curation kept, and dropped."""
    said: Said | None = None
    """Pictures with the captions they were painted for, or with what was said of them."""

    def __post_init__(self) -> None:
        missing = [c for c in REQUIRED if c not in self.metrics.columns]
        if missing:
            raise DataError(f"the metric table of {self.name!r} lacks the columns {', '.join(missing)}")


@dataclass(frozen=True)
class Exhibit:
    """A figure that what ran has drawn itself."""

    title: str
    content: bytes
    """A PNG."""
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """Everything on one page, ready to be drawn."""

    title: str
    arms: Sequence[Arm]
    subtitle: str = ""
    status: str = "completed"
    """How the run ended: completed, stopped, failed or absorbed."""
    profile: Mapping[str, Any] | None = None
    """{sentence, verdicts: [{definition, name, verdict: yes | no | undecided, effect, ci95, evidence}], regime: {sentence}
    or None}."""
    advice: Mapping[str, Any] | None = None
    """{sentence, change, expected}: one recommended next action, the keys it changes, what it should do."""
    facts: Sequence[tuple[str, Any]] = ()
    """What was run, and on what: pairs of a label and a value."""
    repeat: Sequence[str] = ()
    """The commands that repeat it."""
    spec_yaml: str = ""
    citations: Sequence[str] = ()
    notes: Sequence[str] = ()
    """What a reader must know: failed replicates with their reasons, warnings."""
    directions: Mapping[str, str] = field(default_factory=dict)
    """Metric to lower, higher or none: which way is better."""
    blend: Blend | None = None
    """Pictures of the models between two arms."""
    ledger: Ledger | None = None
    """Of a comparison: what each arm gained and cost."""
    ecosystems: Sequence[Ecosystem] = ()
    """Of runs of several agents: who trained on whom."""
    about: str = "Self-consuming loop"
    """What ran, in the line above the title."""
    exhibits: Sequence[Exhibit] = ()
    """Figures before the courses."""

    def __post_init__(self) -> None:
        if not self.arms:
            raise DataError("a page needs at least one arm")
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise DataError(f"the arms of a page need different names, got {names}")
