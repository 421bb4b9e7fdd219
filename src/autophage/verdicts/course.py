"""A measured course: what the eight definitions look at, and what is refused before they do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from autophage.errors import DataError, SpecError


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where the definitions draw their lines. All are conventions, and every verdict prints the ones it
    used."""

    catastrophic_share: float = 0.5
    """D1: share of the way from generation 0's risk to the trivial baseline's."""
    catastrophic_ratio: float = 2.0
    """D1: risk of the last generation over that of generation 0."""
    increase: float = 0.0
    """D2: an increase counts when its mean is above this."""
    equivalence: float = 0.01
    """D2, D4: a change below this share of the initial risk is none."""
    evidence: float = 6.0
    """D3, D5: how much better (in AICc) one family of laws must fit than the other."""
    levelled: float = 0.98
    """D3: a saturating law counts as levelled off when it has come this share of the way to its limit
    within the horizon. Lower values accept limits that lie ahead of what was measured."""
    exponent: float = 0.05
    """D4: a smaller change of the scaling exponent is none."""
    shrinking: float = 0.9
    """D5: diversity below this share of generation 0's is shrinking."""
    collapsed: float = 0.1
    """D5: diversity below this share of generation 0's has collapsed."""
    overlap: float = 0.5
    """D6: modes that overlap this much are entangled."""
    valley: float = 3.0
    """D6: as many times more samples between the modes than in real data."""
    coverage_lost: float = 0.5
    """D7: tail coverage below this is a lost tail."""
    coverage_kept: float = 0.9
    """D7: tail coverage above this is a kept tail."""
    mass_lost: float = 0.5
    """D7: tail mass, as a ratio to the real one, below this is a lost tail."""
    outside_ratio: float = 2.0
    """D8: share of generated records outside the real support, as a multiple of generation 0's ..."""
    outside_share: float = 0.01
    """D8: ... plus this."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise SpecError(
                    f"verdict threshold {f.name} is {value}; it must be a finite number, 0 or more"
                )
        for name in ("levelled", "shrinking", "collapsed"):
            if not 0 < getattr(self, name) < 1:
                raise SpecError(f"verdict threshold {name} is {getattr(self, name)}; it must lie in (0, 1)")


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was measured over the generations. Replicates first, generations second; S may differ between
    arrays.

    Only `generations` must be given: a definition whose measurement is missing answers *undecided*.
    Raises `DataError` naming the reason for what cannot be judged: fewer than three generations, a first
    generation that is not 0, generations out of order, no replicate, arrays of other lengths, values that are
    not finite (risks that take the logarithm of a probability may be infinite), negative variances, shares
    outside [0, 1], evaluation sets that change.
    """

    generations: np.ndarray
    """(G+1,) increasing from 0."""
    risk: np.ndarray | None = None
    """(S, G+1) risk on held-out real data; lower is better."""
    risk_name: str = "risk"
    risk_zero: bool = True
    """Zero is the best possible risk, so that its ratios mean something. False for densities' log
    likelihoods."""
    trivial: float | None = None
    """The trivial baseline's risk: predict-the-mean, unigrams, the label prior."""
    diversity: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Name to (S, G+1), not negative."""
    modes: Mapping[str, Any] | None = None
    """overlap (S, G+1), valley_share (S, G+1), valley_real (a number)."""
    tail: Mapping[str, Any] | None = None
    """coverage (S, G+1), mass_ratio (S, G+1)."""
    outside: np.ndarray | None = None
    """(S, G+1) share of generated records outside the real support."""
    scaling: Mapping[str, np.ndarray] | None = None
    """sizes (K,), real (S, K) and mixed (S, K) risks of models trained on as many real or mixed records."""
    regime: str | None = None
    """The workflow's kind: replace, accumulate, fresh, mix, ..."""
    bounds: str | None = None
    """The theorem that bounds this loop's risk for ever, as a sentence; None where there is none."""
    bound_value: float | None = None
    """The bound itself, where it is a number."""
    evaluation_sets: Sequence[str] | None = None
    """(G+1,) names of what each generation was evaluated on, to refuse comparisons of different sets."""
    notes: tuple[str, ...] = ()
    """What a reader of the verdict must know about the data: replicates left out and why."""

    def __post_init__(self) -> None:
        generations = np.asarray(self.generations)
        if generations.ndim != 1 or len(generations) < 3:
            raise DataError("a verdict needs at least three generations (0, 1, 2); this course has fewer")
        if (
            not np.isfinite(np.asarray(generations, dtype=np.float64)).all()
            or (np.diff(generations) <= 0).any()
        ):
            raise DataError("the generation index of a course must increase from one entry to the next")
        if generations[0] != 0:
            raise DataError(
                f"the course starts at generation {generations[0]}; generation 0 is what it is judged by"
            )
        if self.evaluation_sets is not None and len(set(self.evaluation_sets)) > 1:
            raise DataError("different evaluation sets across generations: their values cannot be compared")
        self._keep("generations", generations.astype(np.float64))
        for name in ("risk", "outside"):
            if getattr(self, name) is not None:
                self._keep(name, self._curve(getattr(self, name), name))
        if self.risk is not None:
            self._check_risk(self.risk)
        self._keep("diversity", {k: self._curve(v, f"diversity {k}") for k, v in self.diversity.items()})
        for name, values in self.diversity.items():
            if (values < 0).any():
                raise DataError(
                    f"diversity {name} has negative values; a variance or entropy cannot be negative"
                )
        for block, known in (
            ("modes", {"overlap", "valley_share", "valley_real"}),
            ("tail", {"coverage", "mass_ratio"}),
        ):
            self._check_block(block, known)
        if self.outside is not None:
            self._check_share(self.outside, "outside")
        if self.scaling is not None:
            self._keep("scaling", _scaling(self.scaling))
        for name in ("trivial", "bound_value"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise DataError(f"{name} is {value}; it must be a finite number")

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _curve(self, values: object, name: str) -> np.ndarray:
        array = np.asarray(values, dtype=np.float64)
        if array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != len(self.generations):
            raise DataError(
                f"{name} must be of shape (replicates, {len(self.generations)}), not {array.shape}"
            )
        if array.shape[0] < 1:
            raise DataError(f"{name} has no replicate; a verdict needs at least one")
        if name != "risk" and not np.isfinite(array).all():
            raise DataError(f"{name} contains values that are not finite")
        return array

    def _check_risk(self, risk: np.ndarray) -> None:
        if np.isnan(risk).any():
            raise DataError(
                f"the risk {self.risk_name} contains NaN; such a replicate has failed and is left out first"
            )
        if np.isneginf(risk).any():
            raise DataError(f"the risk {self.risk_name} contains minus infinity")
        if np.isinf(risk).any() and not may_be_infinite(self.risk_name):
            raise DataError(
                f"the risk {self.risk_name} contains infinity, which only a KL divergence or a log "
                "likelihood may (their names say kl, log_likelihood, nll, cross_entropy or perplexity)"
            )

    def _check_share(self, values: np.ndarray | float, name: str) -> None:
        if not ((np.asarray(values) >= 0) & (np.asarray(values) <= 1)).all():
            raise DataError(f"{name} has values outside [0, 1]")

    def _check_block(self, block: str, known: set[str]) -> None:
        given = getattr(self, block)
        if given is None:
            return
        if unknown := sorted(set(given) - known):
            raise DataError(f"{block} has no entry {unknown[0]!r}; it takes {', '.join(sorted(known))}")
        kept: dict[str, Any] = {}
        for name, values in given.items():
            if values is None:
                continue
            if name == "valley_real":
                kept[name] = float(np.mean(values))
                self._check_share(kept[name], "modes valley_real")
                continue
            curve = self._curve(values, f"{block} {name}")
            if block == "modes":
                self._check_share(curve, f"{block} {name}")
            elif (curve < 0).any():
                raise DataError(f"{block} {name} has negative values")
            kept[name] = curve
        self._keep(block, kept)

    @property
    def horizon(self) -> int:
        """The last generation, G."""
        return int(self.generations[-1])


def may_be_infinite(risk_name: str) -> bool:
    """Whether a risk of this name takes the logarithm of a probability that may be zero."""
    words = ("kl", "log_likelihood", "nll", "cross_entropy", "perplexity")
    return any(w in risk_name.lower() for w in words)


def _scaling(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if set(given) != {"sizes", "real", "mixed"}:
        raise DataError("scaling takes exactly sizes, real and mixed")
    out = {k: np.asarray(v, dtype=np.float64) for k, v in given.items()}
    sizes = out["sizes"]
    if (
        sizes.ndim != 1
        or not np.isfinite(sizes).all()
        or not (sizes > 0).all()
        or (np.diff(sizes) <= 0).any()
    ):
        raise DataError("scaling sizes must be positive and increase from one entry to the next")
    for name in ("real", "mixed"):
        array = np.atleast_2d(out[name])
        if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] != len(sizes):
            raise DataError(
                f"scaling {name} must be of shape (replicates, {len(sizes)}), not {out[name].shape}"
            )
        if not np.isfinite(array).all():
            raise DataError(f"scaling {name} contains values that are not finite")
        out[name] = array
    if out["real"].shape != out["mixed"].shape:
        raise DataError("scaling real and mixed must hold the same replicates")
    return out
