"""Small processes of recursive inpainting."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def field() -> dict[str, Any]:
    """Two arms on small Gaussian fields."""
    return {
        "name": "field",
        "seed": 1,
        "generations": 3,
        "process": {
            "kind": "inpainting",
            "data": {"kind": "gaussian_field", "side": 4},
            "inpainter": {
                "mean": {"kind": "gaussian_field", "tau": 0},
                "fair": {"kind": "gaussian_field", "tau": 1},
            },
            "square": 2,
            "pictures": 30,
            "volume_step": 50,
            "features": "pixels",
        },
    }


@pytest.fixture
def digits() -> dict[str, Any]:
    return {
        "name": "digits",
        "seed": 1,
        "generations": 4,
        "replicates": 2,
        "process": {
            "kind": "inpainting",
            "data": "digits",
            "inpainter": {"kind": "patch", "tau": 0},
            "square": 2,
            "pictures": 40,
            "volume_step": 50,
            "features": "pca",
        },
    }
