"""Samples are moved towards the true law before they are trained on (Gillman et al. 2024)."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from autophage import registry
from autophage.curation.own_judge import called, name_of, takes_two
from autophage.data.arguments import whole_number
from autophage.errors import FitFailed, SpecError
from autophage.interventions import Curating, Curation
from autophage.parts import Learner, Source
from autophage.samples import REAL, Batch, Samples
from autophage.theory.corrected import replaced_share

BUILT_IN = ("ideal", "empirical", "clusters")
EMPIRICAL = "empirical corrector"
"""Stands for the agent of a real record that was drawn again."""


@dataclass(frozen=True, kw_only=True)
class Correction(Curation):
    """Each sample is replaced, with probability strength / (1 + strength), by what the corrector puts in its place.

    `ideal`: a true record, drawn anew from the source's law. `empirical`: a record of the loop's finite real set, drawn with
    replacement. Both are real records and are counted as such (generation -1); those of the empirical corrector are duplicates.
    `clusters`: the nearest k-means centre of the real records, of the sample's class where it has one; it stays synthetic.
    An own corrector maps records (n, ...) to as many of the same shape, and may take the real records as second argument; what it
    returns stays synthetic. Raises `FitFailed` when it returns another number of records, other columns, or values that are not
    finite. `strength: 0` is the plain loop, `.inf` replaces every sample.

    Notes for metrics: `replaced` (share of samples), of the empirical corrector `duplicates`, and of `clusters` `support`
    (different records afterwards).
    """

    citation: ClassVar[tuple[str, ...]] = (
        "N. Gillman, M. Freeman, D. Aggarwal, C.-H. Hsu, C. Luo, Y. Tian, C. Sun (2024), Self-correcting self-consuming "
        "loops for generative model training. ICML; arXiv 2402.07087",
    )

    strength: float
    """gamma: zero or more, or `.inf`."""
    corrector: Any = "ideal"
    """`ideal`, `empirical`, `clusters`, `module:function`, or a function from records (n, ...) to corrected ones."""
    clusters: int = 16
    """Centres of each class, for corrector clusters."""

    def __post_init__(self) -> None:
        if not (isinstance(self.strength, numbers.Real) and self.strength >= 0):
            raise SpecError(
                f"curation.strength is {self.strength!r}; it must be zero or more, or .inf where every sample is replaced"
            )
        whole_number(self.clusters, "curation.clusters", least=1)
        _ = self._function

    @cached_property
    def _function(self) -> Callable[..., Any] | None:
        if isinstance(self.corrector, str) and self.corrector in BUILT_IN:
            return None
        given = self.corrector
        if isinstance(given, str):
            if ":" not in given:
                near = registry.nearest(given, BUILT_IN)
                raise SpecError(f"curation.corrector is '{given}'{near} (or write module:function)")
            given = registry.load(given, "curation.corrector")
        if not callable(given) or isinstance(given, type):
            raise SpecError(
                f"curation.corrector is a {type(given).__name__}; write {', '.join(BUILT_IN)}, module:function or a "
                "function of records"
            )
        return given

    @property
    def knows(self) -> str:  # type: ignore[override]
        if self._function is not None:
            return "what its corrector knows"
        if self.corrector == "ideal":
            return "the true law: it puts real records into the loop"
        if self.corrector == "clusters":
            return "clusters of the real records"
        return "the real records, which it puts into the loop again"

    @property
    def idle(self) -> bool:
        return self.strength == 0

    def check(self, learner: Learner, source: Source) -> None:
        if self.strength > 0 and self.corrector == "ideal" and not source.unlimited:
            raise SpecError(
                "curation.corrector is `ideal`, which draws from the true law, and the data are a finite set; take "
                "corrector: empirical"
            )

    def apply(self, samples: Any, *, context: Curating) -> Any:
        if self.strength == 0:
            return samples
        batch = isinstance(samples, Batch)
        replicates, n = (samples.replicates, len(samples)) if batch else (1, len(samples))
        chances = (context.key / "replaced").generator().random((replicates, n))
        mask = chances < replaced_share(self.strength)
        context.note("replaced", mask.mean(axis=1))
        if self._function is not None:
            return self._own(samples, mask, context)
        if self.corrector == "clusters":
            from autophage.curation.cluster_centres import corrected

            return corrected(samples, mask, self.clusters, context)
        if self.corrector == "ideal":
            true: Any = context.source.draw(n, key=context.key / "true", replicates=replicates)
            return _replaced(samples, mask, true if batch else true.replicate(0), "")
        context.note("duplicates", mask.sum(axis=1))
        rows = (context.key / "duplicate").generator().integers(len(context.real), size=(replicates, n))
        return _replaced(samples, mask, _picked(context.real, rows), EMPIRICAL)

    def _own(self, samples: Any, mask: np.ndarray, context: Curating) -> Any:
        if isinstance(samples, Batch):
            x = np.stack([self._corrected(samples.x[r], context, r) for r in range(samples.replicates)])
            return Batch(
                np.where(_wide(mask, x), x, samples.x), samples.generation, samples.agent, samples.weight
            )
        x = self._corrected(samples.x, context, 0)
        mixed = np.where(_wide(mask[0], x), x, samples.x)
        return Samples({**samples.fields, "x": mixed}, *samples.columns)

    def _corrected(self, x: np.ndarray, context: Curating, r: int) -> np.ndarray:
        function = self._function
        assert function is not None
        arguments = [x]
        if takes_two(function):
            real = context.real
            arguments.append(real.replicate(r).x if isinstance(real, Batch) else real.x)
        found, name = called(function, "corrector", *arguments), name_of(function)
        if found.shape != x.shape:
            raise FitFailed(f"the corrector {name} gave records of shape {found.shape} for {x.shape}")
        if found.dtype.kind not in "iufb" or not np.isfinite(found).all():
            raise FitFailed(f"the corrector {name} gave values that are not finite")
        if x.dtype == np.uint8:
            found = np.clip(np.rint(found), 0, 255)  # bytes would wrap around
        return found.astype(x.dtype)


def _wide(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    return mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))


def _picked(real: Any, rows: np.ndarray) -> Any:
    """Real records `rows` (R, n)."""
    if isinstance(real, Samples):
        return real[rows[0]]
    x = np.broadcast_to(real.x, (len(rows), *real.x.shape[1:]))
    wide = rows.reshape(*rows.shape, *(1,) * (x.ndim - 2))
    return Batch.of(np.take_along_axis(x, wide, axis=1))


def _replaced(samples: Any, mask: np.ndarray, true: Any, agent: str) -> Any:
    """Samples where the mask (R, n) is false, true records elsewhere, marked as real."""
    if isinstance(samples, Batch):
        x = np.where(_wide(mask, samples.x), true.x, samples.x).astype(samples.x.dtype, copy=False)
        return Batch(x, np.where(mask, REAL, samples.generation), samples.agent, samples.weight)
    chosen = mask[0]
    fields = {
        name: np.where(_wide(chosen, np.asarray(field)), np.asarray(true.fields[name]), np.asarray(field))
        for name, field in samples.fields.items()
        if name in true.fields
    }
    return Samples.of(
        **fields,
        generation=np.where(chosen, REAL, np.asarray(samples.generation)),
        agent=np.where(chosen, agent, np.asarray(samples.agent)),
        weight=np.asarray(samples.weight),
    )
