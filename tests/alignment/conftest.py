"""Small processes of reward alignment."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def ring() -> dict[str, Any]:
    """Eight Gaussians on a ring and a reward for one place on it."""
    return {
        "name": "ring",
        "seed": 1,
        "generations": 3,
        "process": {
            "kind": "alignment",
            "data": {"kind": "eight_gaussians", "radius": 1.0, "deviation": 0.15},
            "reward": {"kind": "distance", "point": [1.0, 0.3]},
            "method": ["ppo", "pcpo-loss"],
            "samples": 32,
            "reference": 64,
            "steps": 5,
            "betas": [0.1, 0.5],
            "last_noise": 0.01,
            "width": 8,
        },
    }
