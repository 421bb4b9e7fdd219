"""What a method of multi-view analysis is: weights that start somewhere, are trained for some epochs, and encode views.

    w_0 = start(X, key),   w' = trained(w, X, epochs, key),   Z_1 .. Z_K = encode(w, X)

Weights are named arrays, the optimiser's moments among them, so that they can be stored and trained on to the same numbers.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.data.arguments import not_negative, whole_number
from autophage.errors import DataError, SpecError
from autophage.keys import Key
from autophage.parts import CONFIG

Weights = Mapping[str, np.ndarray]

FEW = 5
"""Records for each dimension of the representation below which correlations are mostly chance."""


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A way to encode views so that they agree."""

    __pydantic_config__: ClassVar[dict] = CONFIG
    citation: ClassVar[tuple[str, ...]] = ()
    nested: ClassVar[Mapping[str, str]] = {}
    most_views: ClassVar[int | None] = None
    trains: ClassVar[bool] = False
    """Whether epochs change anything."""

    dim: int = 20
    """m, the width of every representation."""
    ridge: float = 0.0
    """r, added to the variances before they are inverted."""

    def __post_init__(self) -> None:
        whole_number(self.dim, "method.dim", least=1)
        not_negative(self.ridge, "method.ridge")

    def check(self, widths: Sequence[int], records: int) -> None:
        """Raises `SpecError` or `DataError` where so many records of such views cannot be encoded."""
        name = type(self).__name__
        if len(widths) < 2:
            raise DataError(f"{len(widths)} view was given; {name} compares two or more")
        if self.most_views is not None and len(widths) > self.most_views:
            raise SpecError(
                f"method {name} takes {self.most_views} views and {len(widths)} were given; dgcca, nr_dgcca and gcca take more"
            )
        if records <= self.dim + 1 and self.ridge == 0:
            raise DataError(
                f"{records} records have a singular covariance in {self.dim} dimensions; bring at least {self.dim + 2}, lower "
                "method.dim, or set method.ridge above zero"
            )

    def warnings(self, records: int) -> list[str]:
        """What a user should know of so many records."""
        if records < FEW * self.dim:
            return [
                f"{records} records for {self.dim} dimensions: below {FEW * self.dim}, correlations are largely chance"
            ]
        return []

    @abstractmethod
    def start(self, x: Sequence[np.ndarray], key: Key) -> Weights:
        """The weights before any training; views x as K arrays (N, d_k)."""

    def trained(self, weights: Weights, x: Sequence[np.ndarray], epochs: range, key: Key) -> Weights:
        """The weights after these epochs more, numbered from 1; those given stay as they were. Raises `FitFailed` where the
        training diverges."""
        return weights

    @abstractmethod
    def encode(self, weights: Weights, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Representations (n, m) float64, one of each view."""

    def matrices(self, weights: Weights) -> list[np.ndarray]:
        """The encoders' weight matrices, for measures of redundancy."""
        return []


def usable(views: Any, what: str = "views") -> list[np.ndarray]:
    """Views as K arrays (N, d_k) float64. Raises `DataError` for views of different length, entries that are not finite, or
    a single view; a view may be a list of rows."""
    if isinstance(views, np.ndarray) and views.ndim == 2:
        raise DataError(f"{what} is one array; give a list of arrays (records, columns), one for each view")
    found = []
    for k, view in enumerate(views):
        try:
            x = np.asarray(view, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what}[{k}] is not an array of numbers: {error}") from error
        if x.ndim != 2 or not x.size:
            raise DataError(f"{what}[{k}] has shape {x.shape}; it must be (records, columns)")
        if not np.isfinite(x).all():
            raise DataError(
                f"{what}[{k}] holds entries that are not finite; leave such records out, or fill them in"
            )
        found.append(x)
    if len(found) < 2:
        raise DataError(f"{what} holds {len(found)} view; two or more are compared")
    if len({len(x) for x in found}) > 1:
        raise DataError(
            f"{what} hold {', '.join(str(len(x)) for x in found)} records; row i of every view must be the same object"
        )
    return found


def fit_for_training(views: Any, method: Method) -> list[np.ndarray]:
    """Views that a method can be trained on. Raises as `usable` and `Method.check` do, and `DataError` for a column without
    variance."""
    x = usable(views)
    for k, view in enumerate(x):
        constant = np.flatnonzero((view == view[0]).all(axis=0))
        if len(constant):
            raise DataError(
                f"views[{k}] has a column without variance, number {constant[0]} from 0 ({len(constant)} in all); leave it out"
            )
    method.check([v.shape[1] for v in x], len(x[0]))
    return x


def warn(method: Method, records: int) -> None:
    for line in method.warnings(records):
        warnings.warn(line, stacklevel=3)
