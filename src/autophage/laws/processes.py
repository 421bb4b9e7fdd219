"""Laws of processes: what a run on disk relies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autophage.keys import Key
from autophage.laws.broken import holds
from autophage.runs.folder import npz


def process(part: Any, *, generations: int = 3, key: Key | None = None) -> None:
    """The same keys give the same course, a state that comes back from its arrays goes on to the same numbers, a step leaves the
    state it was given as it was, and each agent measures the same rows in every generation.

    Raises `laws.Broken` at the first law that does not hold. Runs about 3 x generations steps.
    """
    key = key or Key(0) / "laws"
    part.check()
    start, rows = key / "start", None
    state, twin = part.start(start), part.start(start)
    holds("the same key gives the same start", _same(part.arrays(state), part.arrays(twin)), part)
    for g in range(generations):
        own = key / "generation" / g
        before = {name: np.array(a) for name, a in part.arrays(state).items()}
        holds("arrays hold no python objects", all(a.dtype.kind != "O" for a in before.values()), part)
        npz(before)
        stepped = part.step(state, own)
        holds("a step leaves the state that it was given as it was", _same(before, part.arrays(state)), part)
        again = part.step(part.restored(before, start), own)
        holds(
            "a state that comes back from its arrays goes on to the same state",
            _same(part.arrays(stepped.state), part.arrays(again.state)),
            part,
        )
        first, second = (_measured(s.measurements) for s in (stepped, again))
        holds("and to the same measurements", _same(first, second), part)
        holds("its agents are those that it names", set(stepped.measurements) == set(part.agents), part)
        rows = rows or set(first)
        holds("the same rows are measured in every generation", set(first) == rows, part)
        state = stepped.state


def _measured(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {f"{agent}/{m.metric}": np.asarray(m.value) for agent, rows in found.items() for m in rows}


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return set(a) == set(b) and all(
        np.array_equal(a[k], b[k], equal_nan=np.asarray(a[k]).dtype.kind == "f") for k in a
    )
