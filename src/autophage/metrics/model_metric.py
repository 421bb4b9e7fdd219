"""Metrics that read a fitted model's parameters: exact, vectorised over replicates, without sampling
error."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.errors import SpecError
from autophage.parts import Measurement, Metric, View


def exposes(model: Any, name: str) -> bool:
    """Whether a model, or a class of models, has an attribute, without computing it."""
    kind = model if isinstance(model, type) else type(model)
    declared = any(
        name in vars(base).get("__annotations__", {}) or name in _set_by(base) for base in kind.__mro__
    )
    return hasattr(kind, name) or name in getattr(model, "__dict__", {}) or declared


def _set_by(kind: type) -> tuple[str, ...]:
    """Names that a class's constructor mentions, those it sets on its instances among them."""
    code = getattr(vars(kind).get("__init__"), "__code__", None)
    return code.co_names if code is not None else ()


@dataclass(frozen=True, kw_only=True)
class ReadingMetric(Metric):
    """A metric that reads something of fitted models that not all models have."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """Attributes a model must have; `a|b` means either."""
    of_some: ClassVar[bool] = False
    """In an ecosystem, measured for the agents whose models have these; refused where none has. Otherwise refused where
    one has not."""

    @classmethod
    def lacking(cls, model: Any) -> list[str]:
        """What a model, or a class of models, lacks of what this metric reads."""
        return sorted(
            names for names in cls.reads if not any(exposes(model, name) for name in names.split("|"))
        )


@dataclass(frozen=True, kw_only=True)
class ModelMetric(ReadingMetric):
    """A number read off a model, one per replicate.

    The value is a function of the fitted parameters, not an estimate: the rows carry neither interval nor
    sample size. What varies between replicates is the loop itself.
    """

    row: ClassVar[str]
    """The row's name."""

    @abstractmethod
    def read(self, model: Any, truth: Any) -> np.ndarray:
        """(R,) values; `truth` is the true law as a model of one replicate, or None."""

    def measure(self, view: View) -> list[Measurement]:
        for what, model in (("the model", view.model), ("the true law", view.source.truth)):
            if what == "the true law" and "truth" not in self.needs:
                continue
            if model is None:
                raise SpecError(f"metric {self.row}: it compares with the true law, and this source has none")
            if lacking := self.lacking(model):
                raise SpecError(
                    f"metric {self.row}: {what} ({type(model).__name__}) has no {', '.join(lacking)}; "
                    f"choose a metric that fits it"
                )
        value = np.asarray(self.read(view.model, view.source.truth), dtype=np.float64)
        return [Measurement(self.row, np.array(np.broadcast_to(value, (view.replicates,))))]
