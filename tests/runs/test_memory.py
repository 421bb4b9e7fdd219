"""A hundred generations on disk cost no more memory than one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, shutil, sys
import polars, safetensors.numpy
from autophage.loop import Loop
from autophage.runs.blocks import run_block
from autophage.runs.folder import Folder
from autophage.spec import Spec

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))

spec = Spec.of(
    seed=1, generations=int(sys.argv[2]), evaluation_size=1000, metrics=["sample_variance", "real_share"],
    data={"kind": "gaussian", "dim": 64}, learner={"kind": "strangers:Streaming"},
    workflow={"kind": "accumulate", "sample_size": 50_000},
)
loop, folder = Loop(spec), Folder(sys.argv[1])
folder.create(spec.to_yaml(), {})
baseline, most = anonymous(), []
course = run_block(loop, loop.blocks()[0], folder, lambda event: most.append(anonymous()))
assert course.failure is None, course.failure
size = sum(p.stat().st_size for p in folder.path.rglob("x.npy"))
resumed = []
(folder.generation(0, spec.generations - 1) / "done.json").unlink()
run_block(loop, loop.blocks()[0], folder, lambda event: resumed.append(anonymous()))
print(json.dumps({"baseline": baseline, "most": max(most), "resumed": max(resumed), "written": size / 2**20}))
"""


@pytest.mark.slow
def test_a_hundred_generations_of_a_pool_that_grows(environment, tmp_path):
    generations = 100
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run"), str(generations)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # What lies on disk is twice what may be held: whoever keeps it in memory is found out.
    assert found["written"] == pytest.approx((generations - 1) * 50_000 * 64 * 4 / 2**20, rel=0.01)
    assert found["written"] > 1100
    assert found["most"] - found["baseline"] < 600, found
    assert found["resumed"] - found["baseline"] < 600, found
