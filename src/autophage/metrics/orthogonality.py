"""How orthogonal the classes of generated records are in generation 0's latent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.curation.latent_probe import encode, finite
from autophage.errors import SpecError
from autophage.metrics.model_metric import ReadingMetric
from autophage.parts import Compared, Measurement, Model, View, measurements
from autophage.samples import Samples
from autophage.theory.orthogonality import orthogonality


@dataclass(frozen=True, kw_only=True)
class LatentMetric(ReadingMetric):
    """A metric of labelled generated records in the latent space of generation 0's model, which stays the ruler throughout."""

    citation: ClassVar[tuple[str, ...]] = (
        "Cai, Wang, Liu and Zhang (2026), latent space filtering for self-consuming diffusion models, Proceedings of the AAAI "
        "Conference on Artificial Intelligence 40(24), 19844-19852, arXiv 2511.12742",
    )
    needs: ClassVar[frozenset[str]] = frozenset({"samples", "labels", "first"})
    domains: ClassVar[frozenset[str]] = frozenset({"vectors"})

    @classmethod
    def lacking(cls, model: Any) -> list[str]:
        """`latents`, where a model, or a class of models, has none of its own."""
        kind = model if isinstance(model, type) else type(model)
        own = getattr(kind, "latents", None)
        return ["latents"] if own is None or own is Model.latents else []

    def seen(self, view: View) -> Samples:
        """The evaluation draw. Raises `SpecError` where it says no classes, or the model has no latents."""
        if lacking := self.lacking(view.model):
            raise SpecError(f"metric {type(self).__name__}: {type(view.model).__name__} has no {lacking[0]}")
        generated = view.generated(0)
        if generated.label is None:
            raise SpecError(
                f"metric {type(self).__name__} reads the class that each generated record was asked for, and "
                f"{type(view.model).__name__} says none; set learner.labels: use, or take another learner"
            )
        return generated


@dataclass(frozen=True, kw_only=True)
class OrthogonalityMetric(LatentMetric):
    """How far the classes' subspaces are from orthogonal (`autophage.theory.orthogonality`): rows `ole`, which is zero iff they are
    orthogonal and grows as the root of the number of records, and `ole_relative`, OLE over the nuclear norm of all latents.

    Classes are those that were asked for. `ole` falls where all latents shrink, and both may fall where classes lose variance but
    keep their means apart: neither speaks of diversity. With noise neither is 0, so compare with generation 0. A noise other than
    0 is added to the rows' names.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "lower"

    noise: float = 0.0
    """Share of the variance that is noise when records are encoded, in [0, 1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise < 1:
            raise SpecError(f"metric orthogonality: noise is {self.noise}; it must lie in [0, 1)")

    def measure(self, view: View) -> list[Measurement]:
        generated = self.seen(view)
        values = encode(view.first(), generated.x, self.noise, "").values
        seen = finite(values, "generated records")
        found = orthogonality(values[seen], np.asarray(generated.label)[seen])
        end = f"_noise{self.noise:g}" if self.noise else ""
        n = int(seen.sum())
        return measurements(
            [{f"ole{end}": Compared(found.ole, n=n), f"ole_relative{end}": Compared(found.relative, n=n)}]
        )
