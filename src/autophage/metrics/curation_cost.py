"""What curation cost, and what it may be called: read off what the curations of a generation noted.

A generation whose samples nobody curates has no such rows: the last one, and every one of a loop without curation (there
a plan says how many records are drawn).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from autophage.parts import Measurement, Metric, View


@dataclass(frozen=True, kw_only=True)
class _Noted(Metric):
    """A number that curation notes under the row's own name."""

    row: ClassVar[str]

    def measure(self, view: View) -> list[Measurement]:
        return [Measurement(self.row, view.curation[self.row])] if self.row in view.curation else []


@dataclass(frozen=True, kw_only=True)
class Proposals(_Noted):
    """The records that the generation's model was asked for, the rejected ones included: the cost of a safeguard. The sum
    of its course is the cost of the loop."""

    row: ClassVar[str] = "proposals"
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"


@dataclass(frozen=True, kw_only=True)
class Acceptance(_Noted):
    """The share of the proposals that filters kept; of a list of them, the last one's."""

    row: ClassVar[str] = "acceptance"


@dataclass(frozen=True, kw_only=True)
class EffectiveSize(_Noted):
    """The records that curation hands on, counted by their weights: (sum w)^2 / sum w^2."""

    row: ClassVar[str] = "effective_size"
    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"


@dataclass(frozen=True, kw_only=True)
class RejectedRecords(_Noted):
    """The proposals whose reward was not a number, so that nobody could choose them."""

    row: ClassVar[str] = "rejected_records"
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"


@dataclass(frozen=True, kw_only=True)
class RejectedChoices(_Noted):
    """The choices that did not take place, for want of a candidate with a usable reward; their candidates count as proposals."""

    row: ClassVar[str] = "rejected_choices"
    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"


@dataclass(frozen=True, kw_only=True)
class Duplicates(_Noted):
    """The samples that an empirical corrector replaced by real records which the loop has seen before."""

    row: ClassVar[str] = "duplicates"


@dataclass(frozen=True, kw_only=True)
class CertifiedContraction(_Noted):
    """The c that a filter's certificate shows for its region: above zero the run may be called contractive, at zero or below
    it is an ablation, or filters nothing."""

    row: ClassVar[str] = "certified_contraction"
    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"


@dataclass(frozen=True, kw_only=True)
class Noted(Metric):
    """Everything that safeguards noted in a generation, by the names they gave it; costs are those of
    `autophage.parts.COSTS`. Where a generation has none, there is no row."""

    def measure(self, view: View) -> list[Measurement]:
        return [Measurement(name, values) for name, values in view.curation.items()]
