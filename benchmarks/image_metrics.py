"""Metrics of image features at the sizes papers use: 2,048 numbers a picture.

Precision, recall, density and coverage against the `prdc` package, at equal values; the Frechet distance against
`scipy.linalg.sqrtm`. Both sides take turns in one process, CPU seconds count. `python -m benchmarks.image_metrics large`
measures 50,000 against 50,000 as well: time, and the largest anonymous memory of its process.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autophage.metrics.density_coverage import density_coverage_of
from autophage.metrics.frechet import frechet_of
from autophage.metrics.gaussians import Moments
from autophage.metrics.neighbourhoods import Neighbourhoods
from autophage.metrics.precision_recall import manifolds, precision_recall_of

RECORDS, NUMBERS, LARGE = 10_000, 2_048, 50_000
NEIGHBOURS = 5
ROUNDS = 2


@dataclass(frozen=True)
class Figure:
    """One line of the table: CPU seconds of both sides."""

    name: str
    reference: float
    ours: float
    target: str
    note: str

    @property
    def ratio(self) -> float:
        return self.reference / self.ours

    def line(self) -> str:
        return f"| {self.name} | {self.reference:.1f} s | {self.ours:.1f} s | {self.ratio:.1f}x | {self.target} | {self.note} |"


def features(n: int, seed: int, scale: float, dtype: str) -> np.ndarray:
    """Features as networks make them: variances that fall, few directions that matter, mixed over all numbers."""
    rng = np.random.default_rng(seed)
    spread = scale * np.arange(1, NUMBERS + 1) ** -0.5
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(NUMBERS, NUMBERS)))[0].astype(dtype)
    x = np.empty((n, NUMBERS), dtype)
    for start in range(0, n, 5_000):
        part = rng.normal(size=(min(5_000, n - start), NUMBERS)) * spread
        x[start : start + 5_000] = part.astype(dtype) @ turn
    return x


def four(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Precision, recall, density and coverage from one set of neighbourhoods."""
    pair = Neighbourhoods(real, generated)
    asks = manifolds(NEIGHBOURS, None, "open")
    found = {
        **precision_recall_of(pair, asks)._asdict(),
        **density_coverage_of(pair, asks[0])._asdict(),
    }
    return {name: compared.value for name, compared in found.items()}


def neighbour_figure(dtype: str) -> Figure:
    """10,000 against 10,000 features of a type."""
    import prdc

    real, generated = features(RECORDS, 1, 1.0, dtype), features(RECORDS, 2, 0.97, dtype)

    def theirs() -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            return {k: float(v) for k, v in prdc.compute_prdc(real, generated, NEIGHBOURS).items()}

    (reference, expected), (ours, found) = taking_turns(theirs, lambda: four(real, generated))
    apart = max(abs(found[name] - value) for name, value in expected.items())
    # In float32 the package rounds its distances, so that a pair in a million changes sides.
    assert apart < (1e-12 if dtype == "float64" else 1e-4), (expected, found)
    name = f"precision, recall, density, coverage, {RECORDS:,} x {RECORDS:,} x {NUMBERS:,}, {dtype}"
    same = (
        "equal values"
        if apart < 1e-12
        else f"values apart by {apart:.0e}: the package rounds distances to float32"
    )
    return Figure(name, reference, ours, ">= 3x prdc", same)


def frechet_figures() -> list[Figure]:
    """The distance of given moments: its value alone, and with its interval."""
    from scipy.linalg import sqrtm

    a, b = (Moments(features(RECORDS, seed, scale, "float64")) for seed, scale in ((1, 1.0), (2, 0.97)))
    S1, S2 = a.covariance, b.covariance

    def theirs() -> float:
        return float(np.square(a.mean - b.mean).sum() + np.trace(S1 + S2 - 2 * sqrtm(S1 @ S2).real))

    def ours(interval: bool) -> Callable[[], float]:
        def distance() -> float:
            a.__dict__.pop("factor", None)  # the real side's factor is remembered in a run; here it counts
            return frechet_of(a, b, interval=interval).value

        return distance

    sides = taking_turns(theirs, ours(False), ours(True))
    reference, expected = sides[0]
    found = []
    for (seconds, value), what in zip(sides[1:], ("value", "value and interval"), strict=True):
        apart = abs(value - expected) / expected
        assert apart < 1e-6, (value, expected)
        found.append(
            Figure(
                f"Frechet distance, d = {NUMBERS:,}, {what}",
                reference,
                seconds,
                ">= 3x scipy.linalg.sqrtm" if not found else "report",
                f"relative difference {apart:.0e}",
            )
        )
    return found


def figures() -> list[Figure]:
    """All lines of the table."""
    return [neighbour_figure("float64"), neighbour_figure("float32"), *frechet_figures()]


def taking_turns(*sides: Callable[[], object], rounds: int = ROUNDS) -> list[tuple[float, object]]:
    """Median CPU seconds of each side, and what it answers."""
    spent: list[list[float]] = [[] for _ in sides]
    answers: list[object] = [None] * len(sides)
    for _ in range(rounds):
        for i, work in enumerate(sides):
            start = time.process_time()
            answers[i] = work()
            spent[i].append(time.process_time() - start)
    return [(statistics.median(s), answer) for s, answer in zip(spent, answers, strict=True)]


def large() -> str:
    """50,000 against 50,000: a line of time and memory."""
    real, generated = features(LARGE, 1, 1.0, "float32"), features(LARGE, 2, 0.97, "float32")
    with Watched() as watched:
        start, cpu = time.perf_counter(), time.process_time()
        found = four(real, generated)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    values = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
    return (
        f"| precision, recall, density, coverage, {LARGE:,} x {LARGE:,} x {NUMBERS:,}, float32 | {watched.most / 2**30:.2f} GiB "
        f"anonymous at most, features included | < 6 GB | {cpu:.0f} s CPU, {seconds:.0f} s; {values} |"
    )


class Watched:
    """The largest anonymous memory of this process while it lasts, looked at twenty times a second (Linux)."""

    most = 0

    def __enter__(self) -> Watched:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            self.most = max(self.most, int(line.split()[1]) * 1024)


if __name__ == "__main__":
    if sys.argv[1:] == ["large"]:
        print(large())
    else:
        for figure in figures():
            print(figure.line(), flush=True)
