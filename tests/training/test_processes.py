"""Two processes that train and sample together end where one alone does, up to rounding."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autophage.runs.folder import get_samples
from autophage.runs.run import load

pytestmark = pytest.mark.slow

SPEC = """
name: together
seed: 3
generations: 2
data: {kind: digits, size: 300}
learner:
  {kind: diffusion, network: {kind: small_unet, width: 8}, records: 640, batch_size: 64, warmup: 0, device: cpu, start: previous, labels: use}
sampling: {sampler: heun, steps: 3}
workflow: {kind: mix, synthetic_ratio: 0.5}
metrics: [frechet, training]
"""


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def test_two_processes_end_where_one_does(tmp_path: Path, environment: dict[str, str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    command = [sys.executable, "-m", "autophage", "run", str(spec), "--out"]
    alone = subprocess.run(
        [*command, str(tmp_path / "alone")], env=environment, capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    shared = {
        **environment,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    processes = [
        subprocess.Popen(
            [*command, str(tmp_path / "together")],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [p.communicate(timeout=240) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], said
    assert said[0][0] and not said[1][0]  # one of them speaks
    one, two = load(tmp_path / "alone"), load(tmp_path / "together")
    keys = ["generation", "replicate", "agent", "metric"]
    a, b = (run.metrics.sort(keys) for run in (one, two))
    assert a.select(keys).equals(b.select(keys))
    np.testing.assert_allclose(a["value"], b["value"], rtol=5e-3)
    place = Path("replicate_0000") / "generation_0000" / "main"
    x, y = (get_samples(tmp_path / name / place) for name in ("alone", "together"))
    np.testing.assert_allclose(np.asarray(x.x), np.asarray(y.x), atol=0.05)  # of 16 grey levels
    np.testing.assert_array_equal(x.label, y.label)  # type: ignore[arg-type]
