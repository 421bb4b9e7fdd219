"""Small sweeps, and comparisons that know their standard errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def gaussian() -> dict[str, Any]:
    """A closed-form loop: its sweeps are array programs."""
    return {
        "name": "closed",
        "seed": 7,
        "replicates": 200,
        "generations": 6,
        "data": {"kind": "gaussian"},
        "learner": {"kind": "gaussian"},
        "workflow": {"kind": "mix"},
        "metrics": ["variance", "squared_mean_error"],
    }


@pytest.fixture
def deep() -> dict[str, Any]:
    """A learner that fits one replicate at a time: its sweeps are runs."""
    return {
        "name": "deep",
        "seed": 3,
        "replicates": 2,
        "generations": 3,
        "data": {"kind": "gaussian", "dim": 2, "reference_size": 40},
        "learner": {"kind": "strangers:Normal"},
        "workflow": {"kind": "replace", "sample_size": 30},
        "metrics": ["sample_variance", "real_share"],
    }


@pytest.fixture
def alike() -> Callable[[np.ndarray, np.ndarray], None]:
    """alike(a, b): two sets of replicates (R,) have the same mean and the same mean square, within four standard errors
    of the difference."""

    def check(a: np.ndarray, b: np.ndarray) -> None:
        for x, y in ((a, b), (a**2, b**2)):
            error = np.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y))
            assert abs(x.mean() - y.mean()) <= 4 * error + 1e-12, (x.mean(), y.mean(), error)

    return check
