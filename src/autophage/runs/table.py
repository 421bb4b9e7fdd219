"""The metric table: one row per (generation, replicate, agent, metric), kept as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autophage.loop import Block
from autophage.parts import Measurement

if TYPE_CHECKING:
    import polars

NUMBERS = (
    ("generation", np.int32),
    ("replicate", np.int32),
    ("value", np.float64),
    ("low", np.float64),
    ("high", np.float64),
    ("n", np.int64),
)


class Rows:
    """Measurements of one block, growing generation by generation. A row without a sample size has n = 0."""

    def __init__(self) -> None:
        self._chunks: list[dict[str, Any]] = []

    def add(self, block: Block, generation: int, agent: str, measurements: Sequence[Measurement]) -> None:
        """The measurements of one agent's generation."""
        R = block.replicates
        blank = np.full(R, np.nan)
        for m in measurements:
            self._chunks.append(
                {
                    "generation": np.full(R, generation, np.int32),
                    "replicate": np.arange(block.first, block.first + R, dtype=np.int32),
                    "agent": agent,
                    "metric": m.metric,
                    "value": np.broadcast_to(np.asarray(m.value, np.float64), (R,)),
                    "low": blank if m.low is None else np.broadcast_to(np.asarray(m.low, np.float64), (R,)),
                    "high": blank
                    if m.high is None
                    else np.broadcast_to(np.asarray(m.high, np.float64), (R,)),
                    "n": np.full(R, m.n or 0, np.int64),
                }
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """The columns, words as arrays of strings: what a checkpoint stores."""
        if not self._chunks:
            return {}
        columns = {
            name: np.concatenate([c[name] for c in self._chunks]).astype(dtype) for name, dtype in NUMBERS
        }
        for word in ("agent", "metric"):
            columns[word] = np.concatenate([np.full(len(c["value"]), c[word]) for c in self._chunks])
        return columns

    def courses(self) -> dict[tuple[str, str], list[float]]:
        """By agent and row, the values of the generations so far, means over the block's replicates."""
        found: dict[tuple[str, str], list[float]] = {}
        for chunk in self._chunks:
            found.setdefault((chunk["agent"], chunk["metric"]), []).append(float(np.mean(chunk["value"])))
        return found

    @staticmethod
    def restored(arrays: Mapping[str, np.ndarray]) -> Rows:
        """The rows that `arrays` came from."""
        rows = Rows()
        if arrays:
            edges = np.flatnonzero(
                (arrays["metric"][1:] != arrays["metric"][:-1])
                | (arrays["agent"][1:] != arrays["agent"][:-1])
                | (arrays["generation"][1:] != arrays["generation"][:-1])
            )
            for low, high in zip([0, *(edges + 1)], [*(edges + 1), len(arrays["value"])], strict=True):
                chunk: dict[str, Any] = {name: arrays[name][low:high] for name, _ in NUMBERS}
                chunk |= {word: str(arrays[word][low]) for word in ("agent", "metric")}
                rows._chunks.append(chunk)
        return rows

    @staticmethod
    def frame(parts: Sequence[Mapping[str, np.ndarray]]) -> polars.DataFrame:
        """The metric table of a whole run, sorted by generation, replicate, agent; absent intervals and sizes
        are null."""
        import polars as pl

        schema = {
            "generation": pl.Int32,
            "replicate": pl.Int32,
            "agent": pl.String,
            "metric": pl.String,
            "value": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
            "n": pl.Int64,
        }
        frames = [pl.DataFrame({k: p[k] for k in schema}, schema=schema) for p in parts if p]
        if not frames:
            return pl.DataFrame(schema=schema)
        table = pl.concat(frames).with_columns(
            pl.col("low").fill_nan(None),
            pl.col("high").fill_nan(None),
            pl.when(pl.col("n") > 0).then(pl.col("n")),
        )
        return table.sort("generation", "replicate", "agent", maintain_order=True)
