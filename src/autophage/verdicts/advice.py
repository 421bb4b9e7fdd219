"""One recommended next action, from a profile and the loop's setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autophage.verdicts.profile import Profile, Verdict
from autophage.verdicts.wording import count, number, percent

SAFE_RATIO = 0.5
"""Synthetic records per real one up to which retraining is provably stable for a perfect model (Bertrand et
al. 2024, Theorem 1)."""
ENOUGH_FRESH = 0.3
"""Share of fresh real records at which an unbiased loop's limit error is about twice that of its first
fit."""
UNTRIED = "What it brings where samples are curated no theorem here says: a curation may move the loop on purpose. Run both."
"""The expected effect of a change to a curated loop: the statements about plain loops do not hold there."""
WORTH_MEASURING = ("D1", "D2", "D5", "D7")
"""Definitions whose missing metric is worth asking for."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What advice depends on: the loop as it was run."""

    workflow: str = "replace"
    """The workflow's kind."""
    synthetic_ratio: float | None = None
    """Synthetic records per real one (mix)."""
    real_share: float | None = None
    """Share of real records in every training set (fresh, keep_real)."""
    keep_real: bool = False
    """A window that never drops the real records."""
    sampling_bias: float | None = None
    """1 is unbiased; None where the loop has no such setting."""
    temperature: float | None = None
    """1 is unbiased; None where the loop has no such setting."""
    unlimited: bool = False
    """New real records can be had for ever."""
    curated: bool = False
    """Samples are curated before they enter a training set."""
    replicates: int = 1
    generations: int = 1


@dataclass(frozen=True)
class Advice:
    """What to do next, as a sentence, as keys of the spec, and what it should bring."""

    sentence: str
    change: Mapping[str, Any] = field(default_factory=dict)
    """Keys to set, nested as in a spec; empty when nothing is to be changed."""
    expected: str = ""
    """The expected effect, with the theory behind it."""

    def to_dict(self) -> dict[str, Any]:
        """Safe to write as JSON."""
        return {"sentence": self.sentence, "change": dict(self.change), "expected": self.expected}


def advice(profile: Profile, setting: Setting) -> Advice:
    """The one action that promises most.

    A collapse: keep real data where the loop has none, sample without bias where it has some, then more real
    data or the whole pile. No collapse but an open question: the replicates, generations or metric that would
    decide it. Nothing open: a longer look.
    """
    if profile.collapsed:
        found = _against_collapse(setting)
        return replace(found, expected=UNTRIED) if setting.curated else found
    if profile.status == "failed":
        return Advice(
            "The run failed before it could be judged: mend the reason in its manifest and run it again."
        )
    return _decide(profile, setting) or _look_on(profile, setting)


def _against_collapse(setting: Setting) -> Advice:
    kind, biased = setting.workflow, _unbiased(setting)
    if kind == "replace" or (kind == "window" and not setting.keep_real):
        sentence = "Keep the real data in every training set, with at most half as many synthetic records."
        if biased is None:
            return _mix(sentence, SAFE_RATIO)
        return _mix(
            sentence + " Sample without bias too: it costs variance at any share of real data.",
            SAFE_RATIO,
            biased,
        )
    if biased is not None:
        return biased
    if kind == "accumulate_subsample":
        return Advice(
            "Train on everything that has piled up instead of on a subsample of it.",
            {"workflow": {"kind": "accumulate"}},
            "For regular models the error then stays below pi^2/6 = 1.64 times that of real data alone, "
            "however many generations follow (Gerstgrasser et al. 2024; Dey & Donoho 2024).",
        )
    if kind == "fresh":
        return _fresher(setting.real_share)
    if kind == "mix":
        return _less_synthetic(setting.synthetic_ratio)
    if kind == "keep_real":
        return _mix("Keep all the real data instead of a share of a training set of fixed size.", SAFE_RATIO)
    return _mix(
        "Cap the synthetic part: all real data, and half as many samples of the newest model.", SAFE_RATIO
    )


def _mix(sentence: str, ratio: float, biased: Advice | None = None) -> Advice:
    change: dict[str, Any] = {"workflow": {"kind": "mix", "synthetic_ratio": ratio}}
    effect = (
        f"With the real data kept, a deviation shrinks by the factor {number(ratio / (1 + ratio))} each "
        "generation instead of being passed on (exponential families; Bertrand et al. 2024), and the error "
        f"of a fitted mean tends to {number(1 + ratio / (1 + 2 * ratio))} times that of real data alone: "
        "1 + r/(1 + 2r) for r synthetic records per real one."
    )
    return Advice(sentence, change | dict(biased.change if biased else {}), effect)


def _unbiased(setting: Setting) -> Advice | None:
    bias, temperature = setting.sampling_bias, setting.temperature
    if bias is not None and bias < 1:
        share = _share_of_real(setting)
        effect = "Without it the variance is no longer cut in every generation (Alemohammad et al. 2024)."
        if share is not None:
            limit = share / (1 - (1 - share) * bias)
            effect = (
                f"With {percent(share)} real records and bias {number(bias)} the variance settles at "
                f"{percent(limit)} of the real one, however many records there are; without bias it is kept "
                "(Alemohammad et al. 2024, in the limit of large samples)."
            )
        return Advice("Sample without bias.", {"sampling": {"bias": 1.0}}, effect)
    if temperature is not None and temperature != 1:
        end = "a few outcomes" if temperature < 1 else "a uniform law on the support"
        return Advice(
            "Sample at temperature 1.",
            {"sampling": {"temperature": 1.0}},
            f"Any other temperature drives the loop towards {end} unless enough real data come in; at 1 the "
            "expected law is kept (Marchi et al. 2024).",
        )
    return None


def _share_of_real(setting: Setting) -> float | None:
    if setting.workflow in ("fresh", "keep_real"):
        return setting.real_share
    if setting.workflow == "mix" and setting.synthetic_ratio is not None:
        return 1 / (1 + setting.synthetic_ratio)
    return None


def _fresher(share: float | None) -> Advice:
    target = ENOUGH_FRESH if share is None or share < ENOUGH_FRESH else round(0.5 * (1 + share), 3)
    before = "" if share is None else f" from {percent(share)}"
    now = f" ({number(_limit(share))} times at the present share)" if share else ""
    return Advice(
        f"Raise the share of fresh real records{before} to {percent(target)}.",
        {"workflow": {"real_share": target}},
        f"The error of an unbiased loop then tends to {number(_limit(target))} times that of a first fit "
        f"with as many records{now}: 1 / (2a - a^2) for a real share a (from the recursion of Bakshi & "
        "Chakraborty 2026).",
    )


def _limit(share: float) -> float:
    return 1 / (2 * share - share**2)


def _less_synthetic(ratio: float | None) -> Advice:
    if ratio is None or ratio > SAFE_RATIO:
        return _mix(f"Lower the synthetic records per real one to {number(SAFE_RATIO)}.", SAFE_RATIO)
    return _mix(
        f"Lower the synthetic records per real one to {number(ratio / 2)}, and look at the learner's "
        "training budget: theory expects no collapse at the present ratio if the model fits its data.",
        ratio / 2,
    )


def _decide(profile: Profile, setting: Setting) -> Advice | None:
    """What would settle the open questions: replicates first, then generations, then a metric."""
    undecided = [profile[d] for d in profile.having("undecided")]
    wanted, which = _most(undecided, "replicates")
    if wanted > setting.replicates:
        width = float(np.sqrt(max(setting.replicates, 1) / wanted))
        return Advice(
            f"Run {count(wanted, 'replicate')} instead of {setting.replicates}: {which} could not be "
            "decided.",
            {"replicates": wanted},
            "Three replicates are the least that can tell a trend from chance."
            if setting.replicates < 3
            else f"Intervals shrink to about {percent(width)} of their present width.",
        )
    wanted, which = _most(undecided, "generations")
    if wanted > setting.generations:
        return Advice(
            f"Run {wanted} generations instead of {setting.generations}: {which} could not be decided.",
            {"generations": wanted},
            "A longer course tells growth without limit from a late plateau, and decay to zero from a floor.",
        )
    absent = [v for v in undecided if "metric" in v.needs and v.definition in WORTH_MEASURING]
    if not absent:
        return None
    metric = str(absent[0].needs["metric"])
    key = f"Set {metric}" if metric.startswith("verdict.") else f"Add `{metric}` to metrics"
    return Advice(f"{key}: {absent[0].definition} ({absent[0].name}) cannot be decided without it.")


def _most(verdicts: list[Verdict], need: str) -> tuple[int, str]:
    asking = [v for v in verdicts if need in v.needs]
    return max((int(v.needs[need]) for v in asking), default=0), ", ".join(v.definition for v in asking)


def _look_on(profile: Profile, setting: Setting) -> Advice:
    if "D2" in profile.having("yes") and setting.unlimited and setting.workflow != "fresh":
        return Advice(
            "Risk rose and stays bounded; if that is too much, add fresh real records in each generation.",
            {"workflow": {"kind": "fresh", "real_share": ENOUGH_FRESH}},
            "Only new real records can bring the error below that of the first fit.",
        )
    longer = 2 * max(setting.generations, 5)
    return Advice(
        f"Nothing needs to change; look further ahead with {longer} generations before relying on it.",
        {"generations": longer},
        "A collapse that takes as many generations as there are records in one would show only then.",
    )
