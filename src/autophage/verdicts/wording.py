"""Numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autophage.verdicts.intervals import Interval


def number(x: float) -> str:
    """Three significant digits, without a lone exponent for everyday sizes.

    >>> number(0.33333), number(12345.6), number(1e-9), number(float("inf"))
    ('0.333', '12346', '1e-09', 'infinity')
    """
    if math.isinf(x):
        return "infinity" if x > 0 else "minus infinity"
    return f"{x:.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"


def percent(x: float) -> str:
    """A share in per cent, two digits below ten.

    >>> percent(0.6612), percent(0.021), percent(0.0)
    ('66 %', '2.1 %', '0 %')
    """
    if not math.isfinite(x):
        return number(x)
    return f"{100 * x:.0f} %" if abs(x) >= 0.0995 or x == 0 else f"{100 * x:.2g} %"


def between(interval: Interval, as_percent: bool = False) -> str:
    """The 95 % interval in brackets."""
    word = percent if as_percent else number
    low, high = (word(x).removesuffix(" %") for x in interval)
    if not all(math.isfinite(x) for x in interval):
        return "(95 % interval: unbounded)"
    return f"(95 % interval {low} to {high}{' %' if as_percent else ''})"


def count(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it is due.

    >>> count(1, "replicate"), count(3, "replicate")
    ('1 replicate', '3 replicates')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def listed(items: Iterable[str]) -> str:
    """Items in a row: a, b and c."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
