"""What theory says over a grid: predicted courses of its cells, levels and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autophage.parts import Prediction
from autophage.sweeps.grid import Grid
from autophage.sweeps.program import SPREADS, TENTH, TIMED
from autophage.theory.predict import predict

MOST = 441
"""Cells of a grid that theory is asked about: all of them, or an even lattice of about as many."""


@dataclass(frozen=True)
class Threshold:
    """A line that theory draws at one value of an axis."""

    axis: int
    value: float
    prediction: Prediction


class Theory:
    """Predictions over a grid's cells, made when they are asked for."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    @cached_property
    def positions(self) -> tuple[np.ndarray, ...]:
        """Along every axis, the positions of the cells that theory is asked about."""
        from autophage.report.courses import spaced

        shape = self.grid.shape
        most = max(shape)
        while np.prod([min(n, most) for n in shape], dtype=float) > MOST and most > 2:
            most -= 1
        return tuple(spaced(n, most) for n in shape)

    @cached_property
    def predictions(self) -> dict[int, list[Prediction]]:
        """By cell; of the first agent."""
        mesh = np.meshgrid(*self.positions, indexing="ij")
        cells = np.ravel_multi_index([m.ravel() for m in mesh], self.grid.shape)
        found = {}
        for cell in cells.tolist():
            spec = self.grid.spec(cell)
            agent = next(iter(spec.agents))
            found[cell] = [p for p in predict(spec) if p.agent == agent]
        return found

    def field(self, metric: str, statistic: str = "mean", generation: int | None = None) -> np.ndarray | None:
        """A metric's predicted mean (or median) in one generation, in the grid's shape: exact and asymptotic
        statements, not bounds. NaN off the lattice; None where nothing is known anywhere."""
        if statistic not in ("mean", "median"):
            return None
        found = np.full(self.grid.size, np.nan)
        for cell, predictions in self.predictions.items():
            if metric == TIMED:
                found[cell] = self._time(predictions, statistic)
                continue
            course = _course(predictions, metric, statistic)
            if course is not None:
                t = len(course) - 1 if generation is None else generation
                found[cell] = course[t] if t < len(course) else np.nan
        return None if np.isnan(found).all() else found.reshape(self.grid.shape)

    def exact(self, metric: str) -> bool:
        """Whether theory's mean of a metric is exact wherever it is known, not an approximation."""
        drawn = [
            p.status
            for ps in self.predictions.values()
            for p in ps
            if p.metric == metric and p.quantity == "mean" and p.status in _DRAWN
        ]
        return bool(drawn) and set(drawn) == {"exact"}

    @staticmethod
    def _time(predictions: Sequence[Prediction], statistic: str) -> float:
        for metric in SPREADS:
            mean = _course(predictions, metric, "mean")
            course = _course(predictions, metric, statistic)
            if mean is not None and course is not None:
                below = course < TENTH * mean[0]
                return float(np.argmax(below)) if below.any() else float(len(course))
        return np.nan

    def relative(self, metric: str) -> np.ndarray | None:
        """The predicted mean of the last generation over that of generation 0, in the grid's shape."""
        found = np.full(self.grid.size, np.nan)
        for cell, predictions in self.predictions.items():
            course = _course(predictions, metric, "mean")
            if course is not None and course[0] > 0:
                found[cell] = course[-1] / course[0]
        return None if np.isnan(found).all() else found.reshape(self.grid.shape)

    @cached_property
    def thresholds(self) -> list[Threshold]:
        """Thresholds that theory names for a key of the grid, where all cells agree on them."""
        found = []
        for i, axis in enumerate(self.grid.axes):
            if axis.numbers is None:
                continue
            name = axis.key.rpartition(".")[2]
            spoken = [
                {p.statement: p for p in ps if p.quantity == "threshold" and p.metric == name}
                for ps in self.predictions.values()
            ]
            for statement, p in spoken[0].items():
                values = {float(s[statement].values[0]) for s in spoken if statement in s}
                if len(values) == 1 and all(statement in s for s in spoken):
                    found.append(Threshold(i, values.pop(), p))
        return found

    def rests_on(self, metrics: Sequence[str]) -> list[Prediction]:
        """What is drawn of theory, each statement once: of the metrics, and the thresholds."""
        wanted = [m for m in metrics if m != TIMED]
        said: dict[tuple[str, str], Prediction] = {}
        for predictions in self.predictions.values():
            for p in predictions:
                if p.metric in wanted and p.quantity in ("mean", "median") and p.status in _DRAWN:
                    said.setdefault((p.metric, p.quantity), p)
        return [*said.values(), *(t.prediction for t in self.thresholds)]


_DRAWN = ("exact", "asymptotic")


def _course(predictions: Sequence[Prediction], metric: str, statistic: str) -> np.ndarray | None:
    found = [p for p in predictions if p.metric == metric and p.quantity == statistic and p.status in _DRAWN]
    return np.asarray(found[0].values, dtype=np.float64) if found else None
