"""The safeguards that `autophage compare` knows by name: what each one changes in a loop, what it knows, what it cannot see.

A safeguard is a change of an agent's keys: curations are added, a workflow or treatment takes the place of what was there,
`sampling` and `learner` keys are set one by one. Of your own it is a file:

    name: {curation: [{kind: verification}], knows: a verifier, blind: what it mistakes}

A new one is one line here, once its part is in the registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autophage.errors import SpecError
from autophage.registry import nearest

PLAIN = "plain"
"""The loop without any safeguard, which is always run too."""
KEYS = ("learner", "workflow", "curation", "treatment", "sampling")


@dataclass(frozen=True)
class Safeguard:
    """A named change of a loop."""

    name: str
    change: Mapping[str, Any]
    knows: str = ""
    """What it brings into the loop from outside the loop's own samples and its first real records; empty: nothing."""
    blind: str = ""
    """What it cannot see."""
    paper: str = ""

    def line(self) -> str:
        """What it is, in one line."""
        parts = []
        for key, value in self.change.items():
            kinds = [v["kind"] for v in _listed(value) if "kind" in v] if key == "curation" else []
            if key in ("treatment", "workflow"):
                kinds = [value["kind"]]
            parts.append(
                f"{key} {', '.join(kinds)}"
                if kinds
                else ", ".join(f"{key}.{k}: {v}" for k, v in value.items())
            )
        words = "; ".join(parts)
        return f"{words}. Knows {self.knows}" if self.knows else words

    def applied(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """A spec (plain data, of one agent) with this safeguard.

        >>> plain = {"learner": {"kind": "vae"}, "workflow": {"kind": "replace"}}
        >>> Safeguard("kept", {"workflow": {"kind": "mix"}}).applied(plain)["workflow"]
        {'kind': 'mix'}
        """
        body = dict(raw)
        for key, value in self.change.items():
            if key == "curation":
                body[key] = [*_listed(body.get(key)), *_listed(value)]
            elif key in ("sampling", "learner"):
                body[key] = {**(body.get(key) or {}), **value}
            else:
                body[key] = value
        return body


def _listed(curation: Any) -> list[Any]:
    if curation is None:
        return []
    return list(curation) if isinstance(curation, Sequence) and not isinstance(curation, str) else [curation]


def _known(name: str, change: Mapping[str, Any], knows: str, blind: str, paper: str = "") -> Safeguard:
    return Safeguard(name, change, knows, blind, paper)


SAFEGUARDS: dict[str, Safeguard] = {
    s.name: s
    for s in (
        _known(
            "real_only",
            {"workflow": {"kind": "mix", "synthetic_ratio": 0.0}},
            "",
            "no remedy but the baseline of one: training goes on with real records alone",
        ),
        _known(
            "real_kept",
            {"workflow": {"kind": "mix", "synthetic_ratio": 1.0}},
            "",
            "nothing is looked at: bad samples stay, diluted",
            "Bertrand et al. 2024",
        ),
        _known(
            "accumulate",
            {"workflow": {"kind": "accumulate"}},
            "",
            "nothing is looked at; the training set grows",
            "Gerstgrasser et al. 2024",
        ),
        _known(
            "fresh",
            {"workflow": {"kind": "fresh", "real_share": 0.3, "counts": "exact", "reuse": True}},
            "real records in every generation (of a finite set: its own again)",
            "nothing is looked at",
            "Alemohammad et al. 2023",
        ),
        _known(
            "latent_filter",
            {"workflow": {"kind": "accumulate"}, "curation": [{"kind": "latent_filter"}]},
            "a probe of real labels",
            "loss of diversity: samples inside the classes pass, however alike",
            "Cai et al. 2025",
        ),
        _known(
            "sims",
            {"treatment": {"kind": "sims", "omega": 0.5, "samples": 500}},
            "",
            "errors that the auxiliary model does not repeat",
            "Alemohammad et al. 2024",
        ),
        _known(
            "neon",
            {"treatment": {"kind": "neon", "strength": 0.5}},
            "",
            "errors that training on own samples does not enlarge",
            "Alemohammad et al. 2026",
        ),
        _known(
            "trajectory_variance",
            {"curation": [{"kind": "trajectory_variance", "surplus": 0.25, "window": 4}]},
            "",
            "errors that the model is sure of",
            "Aithal et al. 2024",
        ),
        _known(
            "preference",
            {"curation": [{"kind": "preference", "choices": 4, "reward": {"kind": "class_probability"}}]},
            "a reward: a classifier of real labels",
            "what the reward does not reward; it is what the loop converges to",
            "Ferbach et al. 2024",
        ),
        _known(
            "correction",
            {"curation": [{"kind": "correction", "strength": 1.0, "corrector": "empirical"}]},
            "real records, put into the loop again",
            "that its real records are duplicates",
            "Gillman et al. 2024",
        ),
        _known(
            "cluster_correction",
            {"curation": [{"kind": "correction", "strength": 1.0, "corrector": "clusters"}]},
            "cluster centres of the real records",
            "everything between its centres",
            "Gillman et al. 2024",
        ),
        _known(
            "verification",
            {"curation": [{"kind": "verification"}]},
            "a verifier: a classifier of real labels",
            "diversity, and classes that the verifier mistakes",
            "Feng et al. 2024",
        ),
        _known(
            "discriminator",
            {"curation": [{"kind": "discriminator", "keep": 0.5}]},
            "the real records, through a classifier",
            "differences that its features do not show; diversity",
            "Yi et al. 2025",
        ),
        _known(
            "likelihood_rank",
            {"curation": [{"kind": "likelihood_rank", "keep": 0.5, "side": "middle"}]},
            "",
            "errors of the density that ranks",
        ),
        _known(
            "detector_weights",
            {
                "workflow": {"kind": "mix", "synthetic_ratio": 1.0},
                "curation": [{"kind": "detector_weights"}],
            },
            "the real records, through a detector",
            "differences that its features do not show",
        ),
        _known(
            "feature_tilt",
            {"curation": [{"kind": "feature_tilt", "pull": 0.3}]},
            "an anchor: features of the real records",
            "everything but the mean of the features",
            "Han et al. 2025",
        ),
        _known(
            "redifine",
            {"learner": {"start": "base"}, "sampling": {"guidance_decay": 2.0}},
            "",
            "nothing is looked at; for guided chains",
            "Yoon et al. 2024",
        ),
    )
}


def safeguards_of(given: str | Sequence[Any]) -> list[Safeguard]:
    """The safeguards named in a list, or in a text with commas: names, files of own ones, `Safeguard`s. Raises `SpecError`
    for an unknown or repeated name, and where none is given."""
    names: list[Any] = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
    found: list[Safeguard] = []
    for name in names:
        if isinstance(name, Safeguard):
            found.append(name)
        elif str(name).endswith((".yaml", ".yml", ".json")):
            found += _from_file(Path(name))
        elif name in SAFEGUARDS:
            found.append(SAFEGUARDS[name])
        elif name and name != PLAIN:
            raise SpecError(
                f"there is no safeguard called '{name}'{nearest(str(name), SAFEGUARDS)}; known: {', '.join(SAFEGUARDS)}; or "
                "name a yaml file of your own"
            )
    if not found:
        raise SpecError(f"name at least one safeguard; known: {', '.join(SAFEGUARDS)}")
    repeated = [s.name for i, s in enumerate(found) if s.name in [o.name for o in found[:i]]]
    if repeated:
        raise SpecError(f"the safeguard '{repeated[0]}' is named twice")
    return found


def _from_file(path: Path) -> list[Safeguard]:
    from autophage.spec import read

    body = read(path)
    found = []
    for name, change in body.items():
        if not isinstance(change, Mapping):
            raise SpecError(f"{path}: {name} must be a mapping of {', '.join(KEYS)}, knows and blind")
        said = {k: str(change[k]) for k in ("knows", "blind", "paper") if k in change}
        change = {k: v for k, v in change.items() if k not in said}
        unknown = [k for k in change if k not in KEYS]
        if unknown:
            raise SpecError(f"{path}: unknown key '{name}.{unknown[0]}'{nearest(str(unknown[0]), KEYS)}")
        found.append(Safeguard(str(name), change, **said))
    return found
