"""Checks on the arguments of theory functions: a formula asked outside its range answers with a sentence, not
with NaN."""

from __future__ import annotations

import numbers
import sys
from typing import Any

import numpy as np

from autophage.errors import SpecError


def sizes_course(sizes: Any, *, more_than: float = 0) -> np.ndarray:
    """Sizes as a float array (G,). Raises `SpecError` unless every one is finite and above `more_than`."""
    course = np.atleast_1d(np.asarray(sizes, dtype=np.float64))
    if course.ndim != 1 or not len(course):
        raise SpecError("sizes must be a list with one number of records per generation")
    wrong = ~(np.isfinite(course) & (course > more_than))
    if wrong.any():
        t = int(np.argmax(wrong))
        raise SpecError(
            f"the size at generation {t} is {course[t]:g}; it must be finite and above {more_than:g}"
        )
    return course


LARGEST = sys.float_info.max
"""Whole numbers can be larger than this, and no float holds them."""


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.ndarray) and not isinstance(value, bool)


def positive(value: float, name: str) -> float:
    """The value. Raises `SpecError` unless it is a finite number above zero."""
    if not (_is_number(value) and 0 < value <= LARGEST):
        raise SpecError(f"{name} is {value}; it must be a finite number above zero")
    return float(value)


def at_least(value: float, least: float, name: str) -> float:
    """The value. Raises `SpecError` unless it is a finite number and not below `least`."""
    if not (_is_number(value) and least <= value <= LARGEST):
        raise SpecError(f"{name} is {value}; it must be a finite number of at least {least:g}")
    return float(value)


def unit_interval(value: float, name: str) -> float:
    """The value. Raises `SpecError` unless it is a number in [0, 1]."""
    if not (_is_number(value) and 0 <= value <= 1):
        raise SpecError(f"{name} is {value}; it must lie in [0, 1]")
    return float(value)


def whole(value: Any, least: int, name: str) -> int:
    """The value. Raises `SpecError` unless it is a whole number (2.0 counts) of at least `least`."""
    if not (_is_number(value) and least <= value <= LARGEST and value == int(value)):
        raise SpecError(f"{name} is {value}; it must be a whole number of at least {least}")
    return int(value)


def probabilities(p: Any) -> np.ndarray:
    """A probability vector (K,). Raises `SpecError` unless its entries are in [0, 1] and sum to one."""
    vector = np.asarray(p, dtype=np.float64)
    if vector.ndim != 1 or not ((vector >= 0) & (vector <= 1)).all() or abs(vector.sum() - 1) > 1e-8:
        raise SpecError("probabilities must be numbers in [0, 1] that sum to one")
    return vector
