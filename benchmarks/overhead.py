"""What the loop, provenance and store cost around a learner, and how long the package takes to come up."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from autophage.keys import Key
from autophage.loop import Loop
from autophage.parts import Learner, Model
from autophage.runs.blocks import run_block
from autophage.runs.folder import Folder
from autophage.runs.run import _manifest
from autophage.samples import Samples

SECONDS = 0.1
RECORDS, WIDTH = 1000, 64


class Resampled(Model):
    """Gives back what it was fitted to."""

    def __init__(self, x: np.ndarray, clock: Clock) -> None:
        self.x, self.clock = x, clock

    def sample(self, n: int, *, key: Key, given: Samples | None = None) -> Samples:
        with self.clock:
            time.sleep(SECONDS / 2)
            return Samples.of(np.resize(self.x, (n, self.x.shape[1])))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"x": self.x}


class Clock:
    """Wall seconds spent inside it."""

    spent = 0.0

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.spent += time.perf_counter() - self.start


class Sleeper(Learner):
    """A learner whose fit and sample take 100 ms together."""

    domains: ClassVar[frozenset[str]] = frozenset({"vectors"})
    clock = Clock()

    @property
    def spent(self) -> float:
        return self.clock.spent

    def fit(self, data: Samples, *, start: Model | None = None, key: Key) -> Resampled:
        with self.clock:
            time.sleep(SECONDS / 2)
            return Resampled(np.asarray(data.x[:RECORDS]), self.clock)


def overhead(workflow: str, generations: int = 20) -> float:
    """The share of wall time that is not the learner's, samples written to disk, metrics off."""
    if generations > 2:
        overhead(workflow, 2)  # the first write imports what it needs
    learner = Sleeper()
    learner.clock.spent = 0.0
    loop = Loop(
        seed=0,
        generations=generations,
        data={"kind": "gaussian", "dim": WIDTH},
        learner=learner,
        workflow={"kind": workflow, "sample_size": RECORDS},
        metrics=[],
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place) / "run")
        folder.create(loop.spec.to_yaml(), _manifest(loop, "running"))
        start = time.perf_counter()
        run_block(loop, loop.blocks()[0], folder, pictures=False)
        spent = time.perf_counter() - start
    return spent / learner.spent - 1


@dataclass(frozen=True)
class Startup:
    """Median wall seconds of a fresh process, the bare interpreter's taken off."""

    name: str
    seconds: float
    target: str


def startups() -> list[Startup]:
    def wall(code: list[str]) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, *code], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    return [
        Startup("autophage --help", wall(["-m", "autophage", "--help"]), "< 0.5 s"),
        Startup("import autophage", wall(["-c", "import autophage"]), "< 0.3 s"),
        Startup("python -c pass (for comparison)", wall(["-c", "pass"]), ""),
    ]
