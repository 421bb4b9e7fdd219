"""Timing that survives a busy machine: both sides alternate in one process, CPU seconds count, medians are
quoted."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """One line of the table. `ours` and `reference` are CPU seconds per replicate and generation."""

    name: str
    ours: float
    reference: float
    target: str
    limit: float | None = None
    limit_name: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.reference / self.ours

    def line(self) -> str:
        share = "" if self.limit is None else f"{100 * self.limit / self.ours:.0f} % of {self.limit_name}"
        return (
            f"| {self.name} | {1 / self.reference:,.0f} | {1 / self.ours:,.0f} | {self.ratio:,.1f}x | {self.target} | "
            f"{share} | {self.note} |"
        )


def paired(*sides: tuple[Callable[[], object], float], rounds: int = ROUNDS) -> list[float]:
    """Median CPU seconds per unit of each side; side = (function, units of work in one call). The sides take
    turns, so that a slow moment of the machine falls on all of them."""
    for work, _ in sides:
        work()
    spent: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for i, (work, units) in enumerate(sides):
            start = time.process_time()
            work()
            spent[i].append((time.process_time() - start) / units)
    return [statistics.median(s) for s in spent]


def machine() -> str:
    """The machine, in words."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    import numpy

    return f"{name}, {os.cpu_count()} cores, one thread used; Python {platform.python_version()}, numpy {numpy.__version__}"
