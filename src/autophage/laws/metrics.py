"""Laws of metrics that compare generated with real records."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.keys import Key
from autophage.laws.broken import holds
from autophage.samples import Samples


def metric(part: Any, real: Any, generated: Any, *, key: Key | None = None) -> None:
    """Repeatable, named the same each time, with its sample size, an interval in order, and the same answer from a
    warm memo.

    `real` and `generated` are arrays (n, ...) or `Samples`. Raises `laws.Broken` at the first law that does not hold.
    """
    key = key or Key(0) / "laws"
    real, generated = (s if isinstance(s, Samples) else Samples.of(np.asarray(s)) for s in (real, generated))
    first = part.compare(real, generated, key=key, memo={})
    again = part.compare(real, generated, key=key, memo={})
    holds(
        "a metric names what it measured", bool(first) and all(isinstance(n, str) and n for n in first), part
    )
    for name, answer in first.items():
        same = again[name].value == answer.value or (np.isnan(answer.value) and np.isnan(again[name].value))
        holds(f"the same key gives the same {name}", same, part)
        holds(f"{name} states its sample size", answer.n is not None and answer.n > 0, part)
        if np.isfinite(answer.low) and np.isfinite(answer.high):
            holds(f"{name}'s interval is in order", answer.low <= answer.high, part)
    memo: dict = {}
    part.compare(real, generated, key=key, memo=memo)
    warm = part.compare(real, generated, key=key, memo=memo)
    for name, answer in first.items():
        holds(
            f"{name} is the same from a warm memo",
            np.isclose(answer.value, warm[name].value, equal_nan=True),
            part,
        )
    holds("direction is lower, higher or none", part.direction in ("lower", "higher", "none"), part)
