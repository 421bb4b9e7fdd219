"""Closed-form loops against plain loops: 1,000 replicates of 100 generations, n = 100, metrics off."""

from __future__ import annotations

import numpy as np

from autophage.loop import Loop
from autophage.runs.blocks import run_block
from benchmarks import references
from benchmarks.timing import Row, paired

R, G, N = 1000, 100, 100


def ours(generations: int = G, replicates: int = R, **spec) -> tuple:
    """A loop's whole run in memory, and its replicates x generations."""
    loop = Loop(seed=1, generations=generations, replicates=replicates, **{"metrics": [], **spec})

    def work() -> None:
        for block in loop.blocks():
            run_block(loop, block, pictures=False)

    return work, generations * replicates


def gaussian(dim: int, path: str, workflow: str = "replace", n: int = N) -> dict:
    return {
        "data": {"kind": "gaussian", "dim": dim},
        "learner": {"kind": "gaussian", "path": path},
        "workflow": {"kind": workflow, "sample_size": n},
    }


def random_numbers(dim: int) -> tuple:
    """The numbers that the law of the refit needs and nothing else: means, chi-squares, and what lies below
    them."""
    rng = np.random.Generator(np.random.SFC64(2))
    below = dim * (dim - 1) // 2

    def work() -> None:
        for _ in range(G):
            rng.standard_normal((R, dim))
            rng.standard_gamma(0.5 * (N - 1 - np.arange(dim)) if dim > 1 else 0.5 * (N - 1), (R, dim))
            if below:
                rng.standard_normal((R, below))

    return work, R * G


def normals(dim: int) -> tuple:
    """The normals that raw samples need."""
    rng = np.random.Generator(np.random.SFC64(2))
    out = np.empty((R, N, dim))

    def work() -> None:
        for _ in range(G // 10):
            rng.standard_normal(out=out)

    return work, R * G // 10


def gaussian_rows() -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for dim, targets in ((1, ("400x", "18x")), (10, ("100x", "8x"))):
        plain = references.gaussian if dim == 1 else references.gaussian_vectors
        extra = () if dim == 1 else (dim,)
        repeats = 20 if dim == 1 else 4

        def reference(plain=plain, extra=extra, repeats=repeats) -> None:
            for _ in range(repeats):
                plain(rng, G, N, *extra)

        for path, target, limit, word in (
            ("statistics", targets[0], random_numbers(dim), "its random numbers"),
            ("samples", targets[1], normals(dim), "its normals"),
        ):
            work, units = ours(**gaussian(dim, path))
            times = paired((work, units), (reference, G * repeats), limit)
            rows.append(
                Row(f"Gaussian d={dim}, replace, {path}", times[0], times[1], f">= {target}", times[2], word)
            )
    small, _ = ours(**gaussian(1, "statistics", n=100)), None
    large = ours(**gaussian(1, "statistics", n=1_000_000))
    a, b = paired(small, large)
    rows.append(
        Row(
            "Gaussian d=1, statistics, n=1,000,000 against n=100",
            b,
            a,
            "cost independent of n",
            note="ratio near 1",
        )
    )
    return rows


def accumulate_rows() -> list[Row]:
    rng = np.random.default_rng(0)

    def reference() -> None:
        for _ in range(4):
            references.gaussian_accumulate(rng, G, N)

    rows = []
    for path in ("statistics", "samples"):
        work, units = ours(**gaussian(1, path, "accumulate"))
        a, b = paired((work, units), (reference, 4 * G))
        rows.append(Row(f"Gaussian d=1, accumulate, {path}", a, b, "report"))
    short = ours(generations=50, **gaussian(1, "statistics", "accumulate"))
    long = ours(generations=400, **gaussian(1, "statistics", "accumulate"))
    a, b = paired(long, short)
    rows.append(
        Row(
            "accumulate, 400 generations against 50, per generation",
            a,
            b,
            "O(1) a generation",
            note="ratio near 1",
        )
    )
    return rows


def categorical_rows() -> list[Row]:
    rows = []
    for symbols, target in ((1000, "1.2x"), (50, "2.5x")):
        p = 1.0 / np.arange(1, symbols + 1)
        p /= p.sum()
        rng = np.random.default_rng(0)
        count = 20 if symbols == 50 else 5

        def reference(p=p, rng=rng, count=count) -> None:
            for _ in range(count):
                references.categorical(rng, G, N, p)

        batched = np.random.Generator(np.random.SFC64(2))

        def multinomials(p=p, batched=batched) -> None:
            # The library's own rate along the same course: as symbols die, its draws get cheaper too.
            q = np.tile(p, (R, 1))
            for _ in range(G):
                q = batched.multinomial(N, q) / N

        work, units = ours(
            data={"kind": "categorical", "probabilities": p.tolist()},
            learner={"kind": "categorical"},
            workflow={"kind": "replace", "sample_size": N},
        )
        times = paired((work, units), (reference, G * count), (multinomials, R * G))
        rows.append(
            Row(
                f"categorical, {symbols} symbols, replace",
                times[0],
                times[1],
                f">= {target}",
                times[2],
                "batched multinomials",
            )
        )
    return rows


def kde_rows() -> list[Row]:
    rng = np.random.default_rng(0)
    points = rng.normal(size=500)
    rows = []
    for workflow, target in (("accumulate", ">= 80x"), ("replace", "report")):

        def reference(keep=workflow == "accumulate") -> None:
            references.kde(rng, G, N, 0.2, points, keep)

        work, units = ours(
            replicates=100,
            data={"kind": "gaussian", "reference_size": 500},
            learner={"kind": "kde", "bandwidth": 0.2},
            workflow={"kind": workflow, "sample_size": N},
            metrics=["held_out_log_likelihood"],
        )
        kernels = np.random.default_rng(1).normal(size=(500, N)).astype(np.float32)

        def exponentials(kernels=kernels) -> None:
            for _ in range(200):
                np.exp(kernels)

        times = paired((work, units), (reference, G), (exponentials, 200), rounds=3)
        rows.append(
            Row(
                f"KDE {workflow}, log-likelihood on 500 points",
                times[0],
                times[1],
                target,
                times[2],
                "its exponentials (float32)",
            )
        )
    return rows
