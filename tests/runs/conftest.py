"""Small runs of both scales, in this process and in processes that can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml


@pytest.fixture
def deep() -> dict[str, Any]:
    """Two replicates of a learner that fits one replicate at a time."""
    return {
        "name": "deep",
        "seed": 3,
        "replicates": 2,
        "generations": 4,
        "data": {"kind": "gaussian", "dim": 2, "reference_size": 40},
        "learner": {"kind": "strangers:Normal", "start": "previous"},
        "workflow": {"kind": "accumulate", "sample_size": 30},
        "metrics": ["sample_variance", "real_share", "frechet"],
    }


@pytest.fixture
def theory() -> dict[str, Any]:
    """Forty replicates at once, statistics only."""
    return {
        "name": "theory",
        "seed": 3,
        "replicates": 40,
        "generations": 6,
        "data": {"kind": "gaussian", "dim": 2, "reference_size": 40},
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "window", "size": 2, "sample_size": 20},
        "metrics": ["variance", "squared_mean_error", "log_det", "real_share"],
    }


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def written(spec: dict[str, Any]) -> Path:
        path = tmp_path / f"{spec['name']}.yaml"
        path.write_text(yaml.safe_dump(spec))
        return path

    return written


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`autophage` in a process of its own."""

    def called(*words: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "autophage", *map(str, words)]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    return called


@pytest.fixture
def same() -> Callable[[pl.DataFrame, pl.DataFrame], bool]:
    """Whether two metric tables agree in every bit."""

    def compared(a: pl.DataFrame, b: pl.DataFrame) -> bool:
        assert a.columns == b.columns and len(a) == len(b) and len(a)
        for column in a.columns:
            left, right = a[column].to_numpy(), b[column].to_numpy()
            if left.dtype.kind == "f":
                left, right = left.view("i8"), right.view("i8")
            if not (left == right).all():
                return False
        return a.null_count().equals(b.null_count())

    return compared
