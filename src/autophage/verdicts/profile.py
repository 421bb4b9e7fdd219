"""What the judge hands back: eight verdicts side by side, and the sentence on top of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autophage.verdicts.contamination import Contamination
from autophage.verdicts.intervals import Interval
from autophage.verdicts.wording import listed

Answer = Literal["yes", "no", "undecided"]
Status = Literal["completed", "stopped", "failed", "absorbed"]

NAMES = {
    "D1": "catastrophic increase of population risk",
    "D2": "any increase of population risk",
    "D3": "asymptotically diverging population risk",
    "D4": "change in scaling law",
    "D5": "collapsing variance",
    "D6": "entanglement of real-data modes",
    "D7": "disappearance of real tail data",
    "D8": "appearance of hallucinated data",
}
"""The eight definitions, in the words of Schaeffer, Kazdan, Arulandu & Koyejo (2025)."""

FOUND = {
    "D1": "risk rose catastrophically",
    "D2": "risk rose measurably",
    "D3": "risk grows without levelling off",
    "D4": "the scaling law changed",
    "D5": "variance is vanishing",
    "D6": "modes have merged",
    "D7": "tails are gone",
    "D8": "invented data appeared",
}

MILD = {"D2", "D4"}
"""Found alone, these are a cost of synthetic data and no collapse."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One definition's answer, and what it rests on."""

    definition: str
    """D1 to D8."""
    verdict: Answer
    effect: float | str | None = None
    """The size of what was tested; "infinite" where a risk is."""
    ci95: Interval | None = None
    threshold: Mapping[str, float] = field(default_factory=dict)
    """The lines that were drawn, by name."""
    seeds: int = 0
    """Replicates that the answer rests on."""
    generations: int = 0
    """The last generation that was looked at."""
    evidence: tuple[str, ...] = ()
    """Sentences for a reader."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further numbers behind the evidence, by name."""
    needs: Mapping[str, int | str] = field(default_factory=dict)
    """What an undecided verdict is missing: replicates, generations, metric."""

    @property
    def name(self) -> str:
        """The definition in words."""
        return NAMES[self.definition]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists. Infinite values are words, undefined ones None."""
        return {
            "definition": self.definition,
            "name": self.name,
            "verdict": self.verdict,
            "effect": _plain(self.effect),
            "ci95": None if self.ci95 is None else [_plain(x) for x in self.ci95],
            "threshold": {k: _plain(v) for k, v in self.threshold.items()},
            "seeds": self.seeds,
            "generations": self.generations,
            "evidence": list(self.evidence),
            "details": {k: _plain(v) for k, v in self.details.items()},
            "needs": dict(self.needs),
        }


@dataclass(frozen=True)
class Profile:
    """The collapse profile: all eight verdicts, D1 to D8."""

    verdicts: tuple[Verdict, ...]
    status: Status = "completed"
    """How the run ended; whoever ran it says so."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the data behind it."""
    regime: Contamination | None = None
    """Where theory says a loop with fresh real records ends: recovers, plateaus, stalls or collapses."""

    def __getitem__(self, definition: str) -> Verdict:
        """The verdict on "D1" ... "D8"."""
        return next(v for v in self.verdicts if v.definition == definition)

    def having(self, answer: Answer) -> list[str]:
        """The definitions with this answer."""
        return [v.definition for v in self.verdicts if v.verdict == answer]

    @property
    def collapsed(self) -> bool:
        """Whether any definition of collapse holds, a mere increase of risk and a changed scaling law
        aside."""
        return any(d not in MILD for d in self.having("yes"))

    def sentence(self) -> str:
        """The whole profile in one sentence (a second one only where the run did not end as planned)."""
        yes, no, open_ = self.having("yes"), self.having("no"), self.having("undecided")
        after = f"after {self.verdicts[0].generations} generations"
        said = [d for d in yes if not (d == "D2" and "D1" in yes)]
        found = ", ".join(f"{FOUND[d]} ({d})" for d in said)
        undecided = f"undecided: {', '.join(open_)}"
        if self.collapsed:
            text = f"Collapse {after}: {found}" + (f"; {undecided}." if open_ else ".")
        elif yes:
            text = f"No collapse found {after}, but {found}" + (f"; {undecided}." if open_ else ".")
        elif len(no) < len(open_) and no:
            text = f"No collapse by {listed(no)} {after}; {undecided}."
        elif no:
            text = f"No collapse found {after}" + (f"; {undecided}." if open_ else ", by any definition.")
        else:
            few = any("replicates" in v.needs and v.seeds < 3 for v in self.verdicts)
            why = (
                "too few replicates to tell a trend from chance"
                if few
                else "what was measured decides nothing"
            )
            text = f"Undecided {after}: {why}."
        return (
            text
            + {
                "stopped": " The run was stopped before its last generation.",
                "failed": " The run failed before its last generation.",
                "absorbed": " Every replicate has reached a state it can never leave.",
                "completed": "",
            }[self.status]
        )

    def conflicts(self) -> tuple[str, ...]:
        """Where definitions disagree in a way that would mislead whoever looks at one of them only."""
        yes, no = set(self.having("yes")), set(self.having("no"))
        out = []
        worse = [d for d in ("D1", "D3") if d in yes]
        if worse and "D5" in no:
            out.append(
                f"Risk collapses ({listed(worse)}) while variance does not shrink (D5): "
                "a diversity metric alone would have missed it."
            )
        if "D2" in yes and {"D1", "D3"} <= no:
            out.append("Risk rose measurably (D2), yet neither catastrophically (D1) nor without limit (D3).")
        if "D5" in no and "D7" in yes:
            out.append("Variance is kept (D5) while the tails are gone (D7): the loss is in what is rare.")
        if "D5" in yes and "D1" in no:
            out.append("Variance is vanishing (D5) though risk has not risen catastrophically (D1) so far.")
        return tuple(out)

    def to_dict(self) -> dict[str, Any]:
        """Everything, safe to write as JSON."""
        return {
            "status": self.status,
            "sentence": self.sentence(),
            "verdicts": [v.to_dict() for v in self.verdicts],
            "conflicts": list(self.conflicts()),
            "notes": list(self.notes),
            "regime": None if self.regime is None else self.regime.to_dict(),
        }


def _plain(x: Any) -> float | str | None:
    if x is None or isinstance(x, str):
        return x
    x = float(x)
    if math.isnan(x):
        return None
    return x if math.isfinite(x) else ("infinite" if x > 0 else "-infinite")
