"""Logs in the formats of several tools, all made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """lines(rows, name): a file of JSON lines."""

    def written(rows: Iterable[Mapping[str, Any]], name: str = "metrics.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return written


@pytest.fixture
def decaying() -> Callable[..., list[dict[str, float]]]:
    """Rows of a training whose loss falls for ever while the held-out loss turns at step 1000."""

    def rows(seed: int = 0, noise: float = 0.01) -> list[dict[str, float]]:
        rng = np.random.default_rng(seed)
        steps = np.arange(100, 3001, 100)
        use = 0.5 + 0.0005 * np.abs(steps - 1000) + noise * rng.normal(size=len(steps))
        train = 2.0 - 0.0005 * steps + noise * rng.normal(size=len(steps))
        return [
            {"step": int(s), "train_loss": float(t), "val_loss": float(u)}
            for s, t, u in zip(steps, train, use, strict=True)
        ]

    return rows
