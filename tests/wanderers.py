"""A process of the user's own, importable here and in every process started from here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autophage.errors import FitFailed
from autophage.parts import Measurement
from autophage.processes import Broken, Finding, Process, Shown, Stepped


@dataclass(frozen=True, kw_only=True)
class Walk(Process):
    """Points that wander: x <- x + scale z."""

    verdict: ClassVar[Mapping[str, Any]] = {"diversity": "variance"}
    directions: ClassVar[Mapping[str, str]] = {"vari": "higher", "variance_of": "lower"}

    scale: float = 0.5
    """Of a step."""
    points: int = 20
    """How many."""
    fails_at: int | None = None
    """The generation in which replicate 1 breaks."""
    broken: bool = False
    """Whether it then hands back what it had."""
    pause: float = 0.0
    """Seconds a step takes."""

    def start(self, key):
        replicate = int(key.name.split("/")[2])
        return replicate, 0, (key / "x").generator().standard_normal((self.points, 2))

    def step(self, state, key):
        replicate, g, x = state
        time.sleep(self.pause)
        if self.fails_at == g and replicate == 1:
            raise Broken("walked off", {"x": x}) if self.broken else FitFailed("walked off")
        if g:
            x = x + self.scale * (key / "z").generator().standard_normal(x.shape)
        measured = [
            Measurement("variance", np.array([x.var()]), n=len(x)),
            Measurement("left", x[:, 0].min()),
        ]
        note = ["far away"] if x.var() > 1.5 else []
        return Stepped((replicate, g + 1, x), {"main": measured}, {"main": Shown(x)}, note)

    def arrays(self, state):
        return {"replicate": np.array(state[0]), "g": np.array(state[1]), "x": state[2]}

    def restored(self, arrays, key):
        return int(arrays["replicate"]), int(arrays["g"]), arrays["x"]

    def findings(self, metrics):
        return [Finding("far", "Went far", "yes", "It walked.")]


@dataclass(frozen=True, kw_only=True)
class Hoarder(Walk):
    """The same, whose states all stay."""

    keeps = "all"


@dataclass(frozen=True, kw_only=True)
class Walked(Walk):
    """A walk whose key does not name a replicate."""

    def start(self, key):
        return 0, 0, (key / "x").generator().standard_normal((self.points, 2))


class Unrepeatable(Walked):
    """Draws from nowhere."""

    def step(self, state, key):
        found = super().step(state, key)
        r, g, x = found.state
        return Stepped((r, g, x + np.random.default_rng().random()), found.measurements)


class InPlace(Walked):
    """Writes into the state that it was given."""

    def step(self, state, key):
        state[2][...] += 1.0
        return super().step(state, key)


class Forgetful(Walked):
    """Stores less than it needs."""

    def arrays(self, state):
        return {k: v for k, v in super().arrays(state).items() if k != "g"}

    def restored(self, arrays, key):
        return 0, 1, arrays["x"]


class Moody(Walked):
    """Measures less and less."""

    def step(self, state, key):
        found = super().step(state, key)
        return Stepped(found.state, {"main": found.measurements["main"][state[1] :]})
