"""Records as matrices: checked, matched, subsampled, and remembered for the length of a run."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from autophage.errors import DataError
from autophage.keys import Key
from autophage.samples import Samples, Segments

VECTORS = frozenset({"vectors", "counts", "binary", "positive"})
"""The domains whose records are points of a vector space."""

FIXED = Key(0) / "metrics"
"""Streams that are the same in every run: projections, trained classifiers and subsets of the real records
are part of a metric's definition, so that two runs with different seeds are measured with the same ruler."""

_REMEMBERED = 64
_SHARED = ("metrics", "shared")

T = TypeVar("T")


def matrix(x: Any, what: str, *, compact: bool = False) -> np.ndarray:
    """x (n, ...) as a finite (n, d) float64 matrix; `compact`: float32 where that holds every number exactly
    (bytes of pictures, features of a network), which halves the memory.

    Raises `DataError` when there is no record, or one is not a number or not finite.
    """
    array = np.asarray(x)
    if array.ndim == 0 or len(array) == 0 or array.size == 0:
        raise DataError(f"{what} hold no record to measure")
    try:
        dtype = np.float32 if compact and np.can_cast(array.dtype, np.float32) else np.float64
        flat = np.ascontiguousarray(array.reshape(len(array), -1), dtype=dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be numbers, got an array of {array.dtype}") from error
    if not np.isfinite(flat).all():
        raise DataError(f"{what} hold NaN or infinity; a metric needs finite numbers")
    return flat


def matched(
    real: Any, generated: Any, *, fewest: int = 1, compact: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as (n, d) matrices of one width with at least `fewest` records each, else `DataError`.
    `compact` as in `matrix`."""
    x = matrix(real, "the real records", compact=compact)
    y = matrix(generated, "the generated records", compact=compact)
    if x.shape[1] != y.shape[1]:
        raise DataError(f"real records have {x.shape[1]} numbers each and generated ones {y.shape[1]}")
    if min(len(x), len(y)) < fewest:
        raise DataError(f"needs at least {fewest} records a side, got {len(x)} real and {len(y)} generated")
    return x, y


def subset(x: np.ndarray, most: int, key: Key) -> np.ndarray:
    """x itself, or `most` of its records drawn without replacement, in their order."""
    if len(x) <= most:
        return x
    return x[np.sort(key.generator().choice(len(x), most, replace=False))]


def remembered(memo: dict, name: Any, samples: Samples, make: Callable[[], T]) -> T:
    """`make()` once per `name` and set of records, then from `memo`.

    Records are recognised by the memory they lie in, which the memo keeps alive; the oldest are forgotten
    once many sets have passed (replicates with real data of their own).
    """
    x = samples.fields["x"]
    where = id(x) if isinstance(x, Segments) else _place(x)
    shelf: OrderedDict = memo.setdefault(("metrics", name), OrderedDict())
    if where not in shelf:
        shelf[where] = (x, make())
        if len(shelf) > _REMEMBERED:
            shelf.popitem(last=False)
    return shelf[where][1]


def shared(memo: dict, view: Any) -> None:
    """Begins a shelf for what metrics share about one view: features of its generated records, distances. It is emptied
    when the view goes."""
    shelf = memo.get(_SHARED)
    if shelf is None or shelf[0]() is not view:
        kept: dict[Any, Any] = {}
        weakref.finalize(view, kept.clear)
        memo[_SHARED] = (weakref.ref(view), kept)


def once(memo: dict, name: Any, samples: Samples, make: Callable[[], T]) -> T:
    """`make()` once per `name` and set of records while the view lasts that `shared` was told of; every time where there
    is none."""
    if _SHARED not in memo:
        return make()
    kept = memo[_SHARED][1]
    x = samples.fields["x"]
    where = (name, id(x)) if isinstance(x, Segments) else (name, *_place(x))
    if where not in kept:
        kept[where] = (x, make())
    return kept[where][1]


def _place(x: np.ndarray) -> tuple[Any, ...]:
    return x.__array_interface__["data"][0], x.shape, x.strides
