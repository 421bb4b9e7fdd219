"""A small run of a stranger's process."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest


@pytest.fixture
def walk() -> dict[str, Any]:
    return {
        "name": "walk",
        "seed": 3,
        "replicates": 3,
        "generations": 4,
        "process": {"kind": "wanderers:Walk", "points": 10},
    }


@pytest.fixture
def same():
    """Whether two metric tables agree in every bit."""

    def compared(a: pl.DataFrame, b: pl.DataFrame) -> bool:
        assert a.columns == b.columns and len(a) == len(b) and len(a)
        return a.equals(b, null_equal=True)

    return compared
