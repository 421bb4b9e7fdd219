"""What the arguments of a source must be, each refused in one sentence that names its key."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from autophage.errors import SpecError


def whole_number(value: Any, key: str, *, least: int) -> None:
    """Raises `SpecError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise SpecError(f"{key} is {value!r}; it must be a whole number of at least {least}")


def one_of(value: Any, key: str, known: Iterable[str]) -> None:
    """Raises `SpecError` unless `value` is one of the known words."""
    if value not in (known := tuple(known)):
        raise SpecError(f"{key} is {value!r}; it must be one of: {', '.join(known)}")


def not_negative(value: Any, key: str) -> None:
    """Raises `SpecError` unless `value` is a finite number of at least zero."""
    if not _is_number(value) or not 0 <= value < np.inf:
        raise SpecError(f"{key} is {value!r}; it must be a finite number, zero or above")


def positive(value: Any, key: str) -> None:
    """Raises `SpecError` unless `value` is a finite number above zero."""
    if not _is_number(value) or not 0 < value < np.inf:
        raise SpecError(f"{key} is {value!r}; it must be a finite number above zero")


def array(value: Any, key: str) -> np.ndarray:
    """`value`, a number or nested lists of numbers, as a float64 array.

    Raises `SpecError` when it is ragged, empty, not numeric or not finite.
    """
    try:
        found = np.asarray(value)
    except ValueError:
        raise SpecError(f"{key} has rows of different lengths; every row needs as many numbers") from None
    if found.dtype.kind not in "iuf":
        raise SpecError(f"{key} is {value!r}; it must be a number or a list of numbers")
    if found.size == 0:
        raise SpecError(f"{key} is empty; give at least one number")
    if not np.isfinite(found).all():
        raise SpecError(f"{key} holds a value that is not finite; every entry must be an ordinary number")
    return found.astype(np.float64)


def vector(value: Any, key: str) -> np.ndarray:
    """`value`, a number or a list of numbers, as a float64 vector; refused like `array`."""
    found = np.atleast_1d(array(value, key))
    if found.ndim != 1:
        raise SpecError(f"{key} has {found.ndim} axes; it must be a number or a flat list of numbers")
    return found


def frozen(value: Any) -> Any:
    """Lists and arrays as nested tuples, so that a part stays a hashable value that prints as plain numbers.

    >>> frozen([[1, 0.5], np.zeros(2)])
    ((1, 0.5), (0.0, 0.0))
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
