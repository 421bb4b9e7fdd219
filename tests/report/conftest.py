"""Pages to render: small, made of plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from autophage.parts import Prediction
from autophage.report import Arm, Gallery, Page
from autophage.report.drift import Drift
from autophage.report.interpolation import Blend
from autophage.report.neighbours import Neighbours


def _table(metrics: Mapping[str, np.ndarray], agent: str = "main") -> pl.DataFrame:
    """A metric table from arrays (R, G)."""
    parts = []
    for name, value in metrics.items():
        r, g = np.indices(value.shape)
        parts.append(
            pl.DataFrame(
                {
                    "generation": g.ravel(),
                    "replicate": r.ravel(),
                    "agent": [agent] * value.size,
                    "metric": [name] * value.size,
                    "value": value.ravel(),
                }
            )
        )
    return pl.concat(parts)


@pytest.fixture
def table() -> Callable[..., pl.DataFrame]:
    return _table


@pytest.fixture
def galleries() -> dict[str, Gallery]:
    rng = np.random.default_rng(0)
    return {
        "images": Gallery(
            kind="images",
            generations=[0, 1, 2],
            samples=rng.random((3, 5, 8, 8)),
            real=rng.random((14, 8, 8)),
        ),
        "colour": Gallery(
            kind="images",
            generations=[0, 1, 2],
            samples=rng.integers(0, 256, (3, 4, 40, 40, 3), dtype=np.uint8),
        ),
        "traced": Gallery(
            kind="images",
            generations=[0, 1, 2],
            samples=rng.integers(0, 256, (3, 20, 8, 8, 3), dtype=np.uint8),
            real=rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8),
            label=np.arange(20) % 3,
            real_label=np.arange(9) % 3,
            classes=("cat", "dog", "<b>"),
            noise="one",
        ),
        "clouds": Gallery(
            kind="clouds",
            generations=[0, 1, 2],
            samples=rng.normal(size=(3, 30, 2)),
            real=rng.normal(size=(20, 2)),
            caption="Two of nine columns.",
        ),
        "bars": Gallery(
            kind="bars", generations=[0, 1, 2], samples=rng.dirichlet(np.ones(7), 3), real=np.full(7, 1 / 7)
        ),
        "table": Gallery(
            kind="table",
            generations=[0, 1, 2],
            columns=["age", "city"],
            samples=[[[1.25, "Oslo"]]] * 3,
            real=[[2.5, "Bern"]],
        ),
    }


@pytest.fixture
def arm(table: Callable[..., pl.DataFrame]) -> Callable[..., Arm]:
    def build(name: str = "main", seed: int = 0, replicates: int = 4, **more: Any) -> Arm:
        rng = np.random.default_rng(seed)
        course = np.arange(1, 6) + rng.normal(0, 0.1, (replicates, 5))
        more.setdefault("metrics", table({"variance": 1 / course, "frechet_model": course}))
        more.setdefault(
            "predictions",
            [
                Prediction(
                    "frechet_model", np.arange(1.0, 6.0), "exact", "It grows by one.", "Nobody 2024, eq. 1"
                ),
                Prediction(
                    "variance", np.full(5, 1.2), "bound", "It never exceeds 1.2.", "Nobody 2024", side="upper"
                ),
                Prediction(
                    "frechet_model",
                    np.array([0.62]),
                    "conjecture",
                    "Stable below.",
                    "Nobody",
                    quantity="threshold",
                ),
            ],
        )
        return Arm(name, **more)

    return build


@pytest.fixture
def near() -> Neighbours:
    rng = np.random.default_rng(1)
    pictures, real = rng.integers(0, 256, (2, 2, 3, 8, 8, 3), dtype=np.uint8)
    return Neighbours(
        generations=[0, 2],
        pictures=pictures,
        real=real,
        relative=np.array([[1.0, 0.8, 1.2], [0.0, 0.7, 0.9]]),
        copied=np.array([[False] * 3, [True, False, False]]),
        median=np.array([1.0, 0.7]),
        copies=np.array([0, 1]),
        judged=64,
    )


@pytest.fixture
def drifting() -> Drift:
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(3, 3, 2))
    centres[2, 1] = np.nan  # a class that died out
    return Drift(
        real=rng.normal(size=(20, 2)),
        generations=[0, 1, 2],
        points=list(rng.normal(size=(3, 12, 2))),
        classes=list(rng.integers(0, 3, (3, 12))),
        centres=centres,
        real_centres=rng.normal(size=(3, 2)),
        names=("cat", "dog", "<b>"),
    )


@pytest.fixture
def blend() -> Blend:
    pictures = np.random.default_rng(3).integers(0, 256, (3, 4, 8, 8, 3), dtype=np.uint8)
    return Blend("own", "<real>", (0.0, 0.5, 1.0), pictures)


@pytest.fixture
def page(arm: Callable[..., Arm]) -> Callable[..., Page]:
    def build(*arms: Arm, **more: Any) -> Page:
        return Page("A run", arms or (arm(),), **more)

    return build


@pytest.fixture
def profile() -> dict[str, Any]:
    words = ["yes", "no", "undecided", "no", "yes", "undecided", "no", "no"]
    return {
        "sentence": "Variance collapses.",
        "verdicts": [
            {
                "definition": f"D{i}",
                "verdict": w,
                "effect": 2.5,
                "ci95": [1.5, 3.5],
                "evidence": [f"because {i}"],
            }
            for i, w in enumerate(words, start=1)
        ],
    }
