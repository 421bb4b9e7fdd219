"""How many values of each attribute are still painted, as the data's own exact reading of pictures sees it.

    H_a = -sum_k p_a(k) ln p_a(k),   p_a the shares of attribute a's values among generated pictures;   H = mean of H_a

Attributes that a short caption does not name are filled in from what a model has seen, and drift as symbols do: so H falls the
faster the fewer attributes captions name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.metrics.class_shares import class_entropy
from autophage.metrics.records import VECTORS
from autophage.parts import Compared, Measurement, Metric, Source, View, measurements


def attribute_entropies(values: np.ndarray, *, key: Key) -> list[Compared]:
    """The entropy in nats of each column of attributes (n, A); -1, an attribute that cannot be read, is left out.

    NaN where a column holds nothing else. Bias and interval as of `class_entropy`.

    >>> [h.value for h in attribute_entropies(np.array([[0, 1], [0, 1]]), key=Key(0))]
    [0.0, 0.0]
    """
    found = []
    for a, column in enumerate(np.asarray(values).T):
        seen = column[column >= 0]
        counts = np.bincount(seen)
        nothing = Compared(float("nan"), n=0)
        found.append(class_entropy(counts[counts > 0], key=key / a) if len(seen) else nothing)
    return found


@dataclass(frozen=True, kw_only=True)
class AttributeEntropy(Metric):
    """How even the values of pictures' attributes are. Rows:

    - `attribute_entropy`: mean over attributes of the entropy of their values, in nats;
    - `attribute_entropy_shape`, ...: the entropy of each, by its name.

    For data that read attributes off pictures, such as scenes.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    domains: ClassVar[frozenset[str]] = VECTORS

    def check(self, source: Source) -> None:
        """Raises `SpecError` where the data cannot read attributes."""
        if not hasattr(source, "attributes"):
            raise SpecError(
                "metric attribute_entropy reads attributes off pictures, and these data cannot; take data such as scenes, or "
                "metric class_shares"
            )

    def measure(self, view: View) -> list[Measurement]:
        source: Any = view.source
        found = []
        for r in range(view.replicates):
            values = np.asarray(source.attributes(view.generated(r).x))
            each = attribute_entropies(values, key=view.key / "attribute entropy" / r)
            slots = getattr(source, "slots", None)
            names = [str(a) for a in range(len(each))] if slots is None else [name for name, _ in slots]
            rows = {"attribute_entropy": averaged(each)}
            rows |= {f"attribute_entropy_{name}": h for name, h in zip(names, each, strict=True)}
            found.append(rows)
        return measurements(found)


def averaged(each: list[Compared]) -> Compared:
    """The mean of independent estimates, its interval from theirs by adding arms in squares."""
    value, k = float(np.mean([h.value for h in each])), len(each)
    down = float(np.sqrt(sum((h.value - h.low) ** 2 for h in each))) / k
    up = float(np.sqrt(sum((h.high - h.value) ** 2 for h in each))) / k
    return Compared(value, max(value - down, 0.0), value + up, each[0].n)
