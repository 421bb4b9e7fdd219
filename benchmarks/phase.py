"""A phase diagram: 200 x 200 cells of the Gaussian mix loop, 100 replicates, 50 generations, x the synthetic ratio, y the
number of real records.

Ours is the whole sweep: the grid is resolved and checked, the array program runs, the table is made. The scripts are
timed on an even sample of the same cells and extrapolated by the number of cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autophage.sweeps.sweep import sweep
from benchmarks import references

SIDE, REPLICATES, GENERATIONS = 200, 100, 50
GRID = {"workflow.synthetic_ratio": f"0:4:{SIDE}", "workflow.initial_size": f"5:{4 + SIDE}:{SIDE}"}
SPEC = {
    "seed": 1,
    "replicates": REPLICATES,
    "generations": GENERATIONS,
    "data": {"kind": "gaussian"},
    "learner": {"kind": "gaussian"},
    "workflow": {"kind": "mix"},
    "metrics": ["variance", "squared_mean_error"],
}
SAMPLE = 5
"""Cells a side of the scripts' sample."""


@dataclass(frozen=True)
class Figure:
    """One line of the table: CPU seconds of the whole diagram."""

    name: str
    seconds: float
    ratio: float
    note: str

    def line(self) -> str:
        return f"| {self.name} | {_worded(self.seconds)} | {self.ratio:,.0f}x | {self.note} |"


def figures() -> list[Figure]:
    """Our sweep, and two scripts: replicate by replicate, and with the replicates of a cell as rows of an array."""
    cells = SIDE * SIDE
    start = time.process_time()
    swept = sweep(SPEC, GRID)
    ours = time.process_time() - start
    assert swept.way == "array program"
    found = [
        Figure(
            "autophage, one array program",
            ours,
            1.0,
            f"{cells * REPLICATES * GENERATIONS / ours / 1e6:.1f} M rep*gen/s",
        )
    ]
    for name, script, replicates in (
        ("numpy, one replicate after the other", references.gaussian_mix, 4),
        ("numpy, a cell's replicates as rows", references.gaussian_mix_rows, REPLICATES),
    ):
        seconds = _sampled(script, replicates) * REPLICATES / replicates * cells
        note = f"extrapolated from {SAMPLE * SAMPLE} cells" + (
            f" and {replicates} replicates" if replicates < REPLICATES else ""
        )
        found.append(Figure(name, seconds, seconds / ours, note))
    return found


def _sampled(script: Callable[..., object], replicates: int) -> float:
    """Mean CPU seconds of one cell, over an even sample of the diagram's cells."""
    rng = np.random.default_rng(0)
    ratios = np.linspace(0, 4, 2 * SAMPLE + 1)[1::2]
    sizes = np.linspace(5, 4 + SIDE, 2 * SAMPLE + 1)[1::2]
    script(rng, GENERATIONS, 10, 1.0, replicates)
    start = time.process_time()
    for ratio in ratios:
        for n in sizes:
            script(rng, GENERATIONS, int(n), float(ratio), replicates)
    return (time.process_time() - start) / SAMPLE**2


def _worded(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    for figure in figures():
        print(figure.line())
