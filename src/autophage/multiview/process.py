"""A training as a process: generation g stands after g times `every` epochs, where its representations are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.data.arguments import not_negative, one_of, whole_number
from autophage.errors import SpecError
from autophage.keys import Key
from autophage.multiview.method import Method, Weights, fit_for_training
from autophage.multiview.views import Views
from autophage.parts import Measurement
from autophage.processes.process import Finding, Process, Stepped

if TYPE_CHECKING:
    import polars

FALLEN = 0.75
"""A score below this share of its best is collapse."""
HELD = 0.95
"""A score above this share of its best has held."""


class Best(NamedTuple):
    """The best of the generations so far."""

    validation: float
    stopped: float
    """The score at that time."""
    score: float


@dataclass(frozen=True)
class State:
    """Where a replicate stands."""

    generation: int
    """The generation that the next step measures."""
    views: Views
    weights: Mapping[str, Weights]
    """By arm."""
    best: Mapping[str, Best]
    """By arm: the best so far."""


@dataclass(frozen=True, kw_only=True)
class Multiview(Process):
    """Trains encoders of several views to agree, and asks on a schedule what the representations are worth to others. The
    objective improves all the while; what is measured downstream may fall."""

    nested: ClassVar[Mapping[str, str]] = {"views": "views", "method": "multiview"}
    about: ClassVar[str] = "Representations of several views"
    verdict: ClassVar[Mapping[str, Any]] = {"risk": "downstream_error"}
    directions: ClassVar[Mapping[str, str]] = {
        "downstream": "higher",
        "downstream_error": "lower",
        "early_stopped": "higher",
        "share_of_best": "higher",
        "validation": "higher",
        "agreement": "none",
        "nesum": "higher",
        "noise": "none",
    }

    views: Any = "common_rate"
    """Where views come from: a kind, or a mapping with kind and its settings."""
    method: Any = "nr_dcca"
    """How they are encoded: a kind, a mapping with kind and its settings, or several of them by names of your own, whose
    arms have the same views and begin with the same weights where these have the same shape."""
    every: int = 25
    """Epochs between two generations."""
    score: Literal["ridge", "svr"] = "ridge"
    """What representations are judged by: ridge regression, or a support vector machine, of targets or classes."""
    penalty: float = 0.01
    """Of ridge regression, times the number of training records."""
    validation: float = 0.2
    """Share of the targets, or of the held-out records of classes, that choose where `early_stopped` stops; they enter no other
    score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.every, "process.every", least=1)
        one_of(self.score, "process.score", ("ridge", "svr"))
        not_negative(self.penalty, "process.penalty")
        if not 0 < self.validation < 1:
            raise SpecError(f"process.validation is {self.validation!r}; it must be a share between 0 and 1")
        for name in self.arms:
            if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
                raise SpecError(
                    f"process.method has an arm '{name}'; names are letters, digits, _ . and - only"
                )

    @property
    def arms(self) -> dict[str, Method]:
        """The methods by their names."""
        return dict(self.method) if isinstance(self.method, Mapping) else {"main": self.method}

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(self.arms)

    def check(self) -> None:
        widths, records = self.views.shape
        for method in self.arms.values():
            method.check(widths, records)

    @property
    def warnings(self) -> tuple[str, ...]:
        records = self.views.shape[1]
        found = [*self.views.notes, *(w for method in self.arms.values() for w in method.warnings(records))]
        return tuple(dict.fromkeys(found))

    def start(self, key: Key) -> State:
        views = self.views.drawn(key / "views")
        weights = {}
        for name, method in self.arms.items():
            weights[name] = method.start(fit_for_training(views.train, method), key / "weights")
        return State(0, views, weights, {})

    def step(self, state: State, key: Key) -> Stepped:
        last = state.generation * self.every
        weights: dict[str, Weights] = {}
        measured: dict[str, list[Measurement]] = {}
        best: dict[str, Best] = {}
        for name, method in self.arms.items():
            w = state.weights[name]
            if state.generation and method.trains:
                epochs = range(last - self.every + 1, last + 1)
                w = method.trained(w, state.views.train, epochs, key / "training")
            weights[name] = w
            rows, best[name] = self._measured(method, w, state, state.best.get(name), key / "measured")
            measured[name] = [Measurement(row, np.array([value])) for row, value in rows.items()]
        return Stepped(State(state.generation + 1, state.views, weights, best), measured)

    def _measured(
        self, method: Method, weights: Weights, state: State, before: Best | None, key: Key
    ) -> tuple[dict[str, float], Best]:
        views = state.views
        train, test = method.encode(weights, views.train), method.encode(weights, views.test)
        score, validation = self._worth(train, test, views)
        best = before or Best(validation, score, score)
        if validation > best.validation:
            best = best._replace(validation=validation, stopped=score)
        best = best._replace(score=max(score, best.score))
        rows = {
            f"downstream_{'accuracy' if views.classes else 'r2'}": score,
            "downstream_error": 1 - score,
            "share_of_best": score / best.score if best.score > 0 else 1.0,
            "validation": validation,
            "early_stopped": best.stopped,
            "epochs": float(state.generation * self.every if method.trains else 0),
        }
        return rows | traces(method, weights, views, train, test, key), best

    def _worth(self, train: list[np.ndarray], test: list[np.ndarray], views: Views) -> tuple[float, float]:
        """The score, and that of what is held apart for validation."""
        from autophage.multiview.downstream import scores

        each = scores(train, views.train_targets, test, views.test_targets, self.score, self.penalty)
        border = max(1, round(self.validation * len(each))) if len(each) > 1 else 0
        return float(each[border:].mean()), float(each[: border or 1].mean())

    def arrays(self, state: State) -> dict[str, np.ndarray]:
        found = {"generation": np.array(state.generation)}
        for name, weights in state.weights.items():
            found |= {f"weights/{name}/{k}": v for k, v in weights.items()}
            if name in state.best:
                found[f"best/{name}"] = np.array(state.best[name])
        return found

    def restored(self, arrays: Mapping[str, np.ndarray], key: Key) -> State:
        weights, best = {}, {}
        for name in self.arms:
            before = f"weights/{name}/"
            weights[name] = {k.removeprefix(before): v for k, v in arrays.items() if k.startswith(before)}
            if (kept := arrays.get(f"best/{name}")) is not None:
                best[name] = Best(*kept.tolist())
        # Views cost little to make again.
        return State(int(arrays["generation"]), self.views.drawn(key / "views"), weights, best)

    def findings(self, metrics: polars.DataFrame) -> list[Finding]:
        import polars as pl

        name = "Representations collapse while training"
        rows = metrics.filter(pl.col("metric").is_in(["downstream_r2", "downstream_accuracy"]))
        course = rows.group_by("generation").agg(pl.col("value").mean()).sort("generation")
        values = course["value"].to_numpy()
        if len(values) < 2 or not values.max() > 0:
            return [
                Finding(
                    "collapse",
                    name,
                    "undecided",
                    "Nothing was worth anything downstream, or nothing was trained.",
                )
            ]
        best = int(values.argmax())
        share = float(values[-1] / values[best])
        said = (
            f"the downstream score is {values[-1]:.3f} after {(len(values) - 1) * self.every} epochs, {100 * share:.3g} % "
            "of its best, "
            f"{values[best]:.3f} after {best * self.every}"
        )
        if share <= FALLEN:
            return [Finding("collapse", name, "yes", f"Representations collapse: {said}.", share)]
        if share >= HELD:
            return [Finding("collapse", name, "no", f"Representations hold: {said}.", share)]
        return [
            Finding(
                "collapse", name, "undecided", f"Representations lose some of their worth: {said}.", share
            )
        ]

    def facts(self) -> list[tuple[str, Any]]:
        widths, records = self.views.shape
        return [
            (
                "views",
                f"{len(widths)}, {' and '.join(map(str, widths))} wide, {records:,} records to train on",
            ),
            ("one generation", f"{self.every} epochs"),
            ("judged by", "ridge regression" if self.score == "ridge" else "a support vector machine"),
        ]


def traces(
    method: Method,
    weights: Weights,
    views: Views,
    train: list[np.ndarray],
    test: list[np.ndarray],
    key: Key,
) -> dict[str, float]:
    """What goes with the worth of representations: the agreement on training and held-out records; the correlation of held-out
    records with unrelated noise, encoded and as they are (means over views); the redundancy of the weights."""
    import torch

    from autophage.multiview.canonical import agreement, canonical_correlations
    from autophage.multiview.nesum import redundancy

    found = {}
    # Some ridge, for representations that have become singular.
    ridge = method.ridge or 1e-8
    if len({z.shape[1] for z in train}) == 1:
        for row, z in (("agreement", train), ("agreement_held_out", test)):
            found[row] = float(agreement([torch.as_tensor(part) for part in z], ridge))
    noise = [(key / "noise" / k).generator().standard_normal(x.shape) for k, x in enumerate(views.test)]
    scaled = [a * x.std(axis=0) + x.mean(axis=0) for a, x in zip(noise, views.train, strict=True)]
    pairs = zip(test, method.encode(weights, scaled), strict=True)
    found["noise_correlation"] = float(np.mean([canonical_correlations(z, a, ridge).sum() for z, a in pairs]))
    raw = zip(views.test, noise, strict=True)
    found["noise_correlation_of_views"] = float(
        np.mean([canonical_correlations(x, a, ridge).sum() for x, a in raw])
    )
    if matrices := method.matrices(weights):
        found["nesum"] = float(np.mean([redundancy(w) for w in matrices]))
    return found
