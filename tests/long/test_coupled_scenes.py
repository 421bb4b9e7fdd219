"""A neural captioner and a neural painter that feed each other drawn scenes: within 15 minutes on two cores, and pages to look at.

Captions that name fewer attributes lose the others faster: the entropy of the attributes ends in the order of the budgets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from autophage.runs.run import Run, load

pytestmark = pytest.mark.long

BUDGETS = (4, 2, 1)


def spec(budget: int) -> dict[str, Any]:
    """The coupled loop with captions of that many attributes."""
    workflow = {"kind": "replace", "sample_size": 1000}
    return {
        "name": f"scenes, {budget} of 4 attributes",
        "seed": 0,
        "generations": 3,
        "evaluation_size": 500,
        "data": {"kind": "scenes", "size": 8000, "budget": budget, "edges": "plain"},
        "agents": {
            "painter": {
                "learner": {
                    "kind": "text_to_image",
                    "start": "previous",
                    "network": {"kind": "small_unet", "width": 48, "patch_size": 4, "multipliers": [1, 2]},
                    "encoder": "bag",
                    "batch_size": 32,
                    "learning_rate": 0.003,
                    "schedule": "cosine",
                    "first_records": 80_000,
                    "records": 16_000,
                    "warmup": 2_000,
                    "device": "cpu",
                },
                "sampling": {"steps": 12, "guidance": 1.0},
                "workflow": workflow,
            },
            "captioner": {
                "learner": {
                    "kind": "captioner",
                    "start": "previous",
                    "first_records": 50_000,
                    "records": 10_000,
                    "device": "cpu",
                },
                "given": "painter",
                "sampling": {"budget": budget},
                "workflow": workflow,
            },
        },
        "metrics": [
            {"kind": "frechet", "features": "pca", "components": 64},
            {"kind": "judge_alignment", "judge": "exact"},
            "attribute_entropy",
            "caption_accuracy",
            "caption_diversity",
        ],
    }


def looped(budget: int, folder: Path) -> Run:
    """The loop of one budget in a process of its own."""
    file = folder / f"budget_{budget}.yaml"
    file.write_text(yaml.safe_dump(spec(budget)))
    out = folder / f"budget_{budget}"
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "autophage", "run", str(file), "--out", str(out), "--resume"],
        check=True,
        env={**os.environ, **one},
    )
    return load(out)


def ends(run: Run, agent: str, metric: str) -> tuple[float, float]:
    """A row in generation 0 and in the last one."""
    rows = run.metrics.filter((pl.col("agent") == agent) & (pl.col("metric") == metric)).sort("generation")
    return rows["value"][0], rows["value"][-1]


def test_longer_captions_keep_more_of_the_scenes(tmp_path: Path) -> None:
    place = Path(os.environ.get("AUTOPHAGE_LONG", tmp_path))
    place.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        runs = dict(zip(BUDGETS, pool.map(lambda b: looped(b, place), BUDGETS), strict=True))
    print(f"{time.monotonic() - begun:.0f} s")
    for budget, run in runs.items():
        for agent, metric in run.metrics.select("agent", "metric").unique(maintain_order=True).iter_rows():
            first, last = ends(run, agent, metric)
            print(f"budget {budget} {agent} {metric}: {first:.4f} to {last:.4f}")
    entropy = [ends(runs[b], "painter", "attribute_entropy")[1] for b in BUDGETS]
    assert entropy[0] > entropy[1] > entropy[2]
    for run in runs.values():
        first, last = ends(run, "painter", "frechet_pca64")
        assert last > first
        assert (place / "budget_4" / "report.html").is_file()
    first, last = ends(runs[4], "captioner", "judge_alignment_exact")
    assert last > first - 0.1
