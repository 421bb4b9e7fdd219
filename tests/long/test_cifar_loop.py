"""Three arms of a diffusion loop on CIFAR-10 photographs: own samples only, half, real only.

Generation 0 is shared and has half of the time; the whole takes less than 15 minutes on two cores. The pictures stay in the
test's folder: photographs are never committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from autophage.report.rendering import write
from autophage.runs.paged import page_of
from autophage.runs.run import Run, load

pytestmark = pytest.mark.long

FD = "frechet_pca64"
BASE: dict[str, Any] = {
    "seed": 0,
    "data": {"kind": "cifar10", "size": 5000},
    "learner": {
        "kind": "diffusion",
        "start": "previous",
        "first_records": 150_000,
        "records": 25_000,
        "warmup": 5_000,
        "learning_rate": 0.001,
        "device": "cpu",
    },
    "sampling": {"sampler": "dpmpp_2m", "steps": 8},
    "metrics": [{"kind": "frechet", "features": "pca", "components": 64}, "precision_recall", "training"],
}
ARMS: dict[str, dict[str, Any]] = {
    "own samples only": {"kind": "replace"},
    "half": {"kind": "keep_real", "real_share": 0.5},
    "real only": {"kind": "mix", "synthetic_ratio": 0},
}


def started(folder: Path, name: str, environment: dict[str, str], **keys: Any) -> subprocess.Popen[str]:
    spec = folder / f"{name.replace(' ', '-')}.yaml"
    spec.write_text(yaml.safe_dump({**BASE, "name": name, **keys}))
    command = [sys.executable, "-m", "autophage", "run", str(spec), "--out", str(spec.with_suffix(""))]
    return subprocess.Popen([*command, "--json"], env=environment, stdout=subprocess.DEVNULL, text=True)


def test_own_samples_half_and_real_only(real_data: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    if not (real_data / "cifar10").exists():
        pytest.skip("AUTOPHAGE_DATA has no cifar10")
    place = Path(os.environ.get("AUTOPHAGE_LONG", tmp_path))
    place.mkdir(parents=True, exist_ok=True)
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    begun = time.monotonic()
    assert started(place, "generation 0", environment, generations=1).wait() == 0
    first = time.monotonic() - begun
    model = place / "generation-0/replicate_0000/generation_0000/main"
    waiting = list(ARMS.items())
    running: list[subprocess.Popen[str]] = []
    while waiting or running:
        while waiting and len(running) < 2:
            name, workflow = waiting.pop(0)
            checkpoint = {"checkpoint": str(model)}
            running.append(
                started(place, name, environment, generations=3, workflow=workflow, initial_model=checkpoint)
            )
        time.sleep(1)
        assert all(p.poll() in (None, 0) for p in running)
        running = [p for p in running if p.poll() is None]
    seconds = time.monotonic() - begun
    runs: dict[str, Run] = {name: load(place / name.replace(" ", "-")) for name in ARMS}
    page = page_of(runs, title="CIFAR-10: own samples, half, real only", lead="own samples only")
    write(page, place / "report.html")
    course = {
        name: run.metrics.filter(metric=FD).sort("generation")["value"].to_list()
        for name, run in runs.items()
    }
    print(f"{seconds:.0f} s, generation 0 {first:.0f} s; {FD} by generation: {course}")
    last = [course[name][-1] for name in ARMS]
    assert last[0] > last[1] > last[2]
    assert course["own samples only"][0] == course["real only"][0]  # the same generation 0
    html = (place / "report.html").read_text()
    assert FD in html and all(name in html for name in ARMS)
