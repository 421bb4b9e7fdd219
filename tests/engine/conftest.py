"""Courses from the engine itself, block by block, so that a million replicates need no metric table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autophage.loop import Loop

Reader = Callable[[Any], np.ndarray]


@pytest.fixture
def course() -> Callable[..., dict[int, np.ndarray]]:
    """course(read, at, **spec): {generation: (R, ...) what `read` makes of the model}, for the generations
    `at`."""

    def steps(read: Reader, at: list[int], **spec: Any) -> dict[int, np.ndarray]:
        spec = {"seed": 11, "metrics": [], "generations": max(at) + 1, **spec}
        loop = Loop(**spec)
        found: dict[int, list[np.ndarray]] = {g: [] for g in at}
        for block in loop.blocks():
            state = loop.start(block)
            while state.generation <= max(at):
                state, (record,) = loop.step(state)
                if record.number in found:
                    found[record.number].append(np.array(read(record.model)))
        return {g: np.concatenate(parts) for g, parts in found.items()}

    return steps
