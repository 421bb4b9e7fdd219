"""How diverse the records are that a curation hands on, beside those that it looked at.

    kept_variance     mean over coordinates of the variance of what is handed on, by weight, over that of all proposals
    duplicate_share   share of what is handed on that equals a record handed on before it (`Samples`, of at most 2,000)

Selection that narrows its candidates every time is itself a collapse, whatever it selects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autophage.samples import Batch, Samples, chunks

AT_MOST = 2_000
"""Records among which duplicates are looked for, evenly spread over what is handed on."""
AT_ONCE = 1 << 22
"""Numbers that are squared together."""


class Diversity:
    """Remembers the spread of the proposals, not the proposals."""

    def __init__(self) -> None:
        self._proposed = _Spread()

    def look(self, samples: Any) -> None:
        """More records that a curation looks at: `Samples`, or a `Batch`."""
        self._proposed.add(samples)

    def of(self, kept: Any) -> dict[str, np.ndarray]:
        """The two numbers, each (R,), of what is left; no variance where the proposals had none."""
        found = {}
        before, after = self._proposed.variance(), _Spread()
        after.add(kept)
        if (before > 0).all():
            found["kept_variance"] = after.variance() / before
        if isinstance(kept, Samples):
            rows = np.unique(np.linspace(0, len(kept) - 1, min(AT_MOST, len(kept))).astype(int))
            x = np.ascontiguousarray(kept.fields["x"][rows])
            found["duplicate_share"] = np.array([1 - len({row.tobytes() for row in x}) / len(x)])
        return found


class _Spread:
    """Mean variance over coordinates, summed up a part at a time about the first part's mean."""

    def __init__(self) -> None:
        self.count: Any = 0.0
        self.total: Any = 0.0
        self.squares: Any = 0.0
        self.middle: Any = None

    def add(self, samples: Any) -> None:
        for x, weight in _parts(samples):
            if self.middle is None:
                self.middle = x.mean(axis=1, keepdims=True)
            x = x - self.middle
            each = np.ones((1, 1, x.shape[1])) if weight is None else weight[:, None]
            self.count = self.count + each.sum(axis=2)
            self.total = self.total + (each @ x)[:, 0]
            self.squares = self.squares + (each @ (x * x))[:, 0]

    def variance(self) -> np.ndarray:
        """(R,)."""
        spread = self.squares / self.count - (self.total / self.count) ** 2
        return np.maximum(spread, 0).mean(axis=1)


def _parts(samples: Any) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Records (R, n, d) as float64 with their weights (R, n), None for ones."""
    if isinstance(samples, Batch):
        x = np.asarray(samples.x).reshape(samples.replicates, len(samples), -1)
        step = max(1, AT_ONCE // max(1, x.shape[0] * x.shape[2]))
        for low in range(0, x.shape[1], step):
            weight = None if samples.weight is None else samples.weight[:, low : low + step]
            yield np.asarray(x[:, low : low + step], dtype=np.float64), weight
        return
    weights, low = np.asarray(samples.weight), 0
    even = bool((weights == 1).all())
    for part in chunks(samples.fields["x"], 4096):
        x = np.asarray(part, dtype=np.float64).reshape(1, len(part), -1)
        yield x, None if even else weights[None, low : low + len(part)]
        low += len(part)
