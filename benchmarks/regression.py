"""Least squares on its own labels against a plain loop: d = 10, n = 100, 500 replicates of 100 generations, metrics off."""

from __future__ import annotations

import numpy as np

from benchmarks import references
from benchmarks.loops import ours
from benchmarks.timing import Row, paired

R, G, N, D = 500, 100, 100, 10


def spec(path: str, workflow: str, design: str) -> dict:
    return {
        "data": {"kind": "regression", "dim": D},
        "learner": {"kind": "regression", "path": path, "design": design},
        "workflow": {"kind": workflow, "sample_size": N},
    }


def normals(count: int) -> tuple:
    """So many normals for each replicate and generation: what a path needs and nothing else."""
    rng = np.random.Generator(np.random.SFC64(2))
    out = np.empty((R, count))

    def work() -> None:
        for _ in range(G // 10):
            rng.standard_normal(out=out)

    return work, R * G // 10


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    found = []
    for workflow, repeats, targets in (
        ("replace", 20, ("200x", "18x")),
        ("accumulate", 2, ("1,000x", "100x")),
    ):

        def reference(workflow=workflow, repeats=repeats) -> None:
            for _ in range(repeats):
                references.least_squares(rng, G, N, D, keep=workflow == "accumulate")

        for design, path, target, count in (
            ("fixed", "statistics", f">= {targets[0]}", D),
            ("fixed", "samples", f">= {targets[1]}", N),
            ("fresh", "statistics", "report", D + D * (D + 1) // 2),
            ("fresh", "samples", "report", N * (D + 1)),
        ):
            work, units = ours(replicates=R, **spec(path, workflow, design))
            times = paired((work, units), (reference, G * repeats), normals(count), rounds=5)
            name = f"least squares d={D}, {workflow}, {design} design, {path}"
            found.append(Row(name, times[0], times[1], target, times[2], "its normals"))
    return found
