"""Two loops that differ in one real record and share every random number: recursive stability (Fu et al. 2025).

Recursive stability is the worst distance, in generation i, between models whose loops began with data sets
that differ in one record. Here a spec is run twice with equal keys, once with one record of generation 0's real
set altered in every replicate. Records are really drawn, by inversion or by scaling of shared random numbers,
so that the two loops stay as close as the coupling allows: the distances found are an upper estimate of those
between the models' laws, and exact where the coupling is (the mean of a Gaussian, neighbouring symbols).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.loop import Block, Loop, State
from autophage.parts import Model, SufficientLearner
from autophage.piles import Summaries
from autophage.samples import Batch
from autophage.spec import Spec

Alteration = Callable[[np.ndarray], np.ndarray]
"""From a record of every replicate (R, ...) to what stands in its place."""


@dataclass(frozen=True)
class CoupledCourse:
    """Distances between the two loops' models."""

    distance: np.ndarray
    """(R, G): total variation of categorical models, Euclidean distance of the means of others."""

    @property
    def index(self) -> np.ndarray:
        """(G,) the largest distance found: a lower estimate of the worst case over data sets."""
        return self.distance.max(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """(G,) the mean distance."""
        return self.distance.mean(axis=0)


def simulate(
    spec: Any = None, /, *, record: int = 0, altered: Alteration | None = None, **keys: Any
) -> CoupledCourse:
    """The distance between the two loops of a spec, generation by generation.

    Takes a spec as `run` does (seed and replicates are its own; metrics are not measured). record: which of
    generation 0's real records differs. altered: what it becomes; by default one more (vectors,
    positive numbers), the next symbol (the last one becomes the one before), the other of zero and one. Raises
    `SpecError` for several agents, learners that do not fit in closed form, counts, and records that are not
    there.

    >>> found = simulate(data={"kind": "gaussian"}, learner={"kind": "gaussian", "covariance": "known"},
    ...                  workflow={"kind": "mix", "real": 20, "synthetic_ratio": 4, "initial_size": 100},
    ...                  generations=11, replicates=5, seed=0)
    >>> found.index[[0, 1, 10]].round(6).tolist()
    [0.01, 0.018, 0.045705]
    """
    given = Spec.of(spec, **keys)
    if len(given.agents) > 1:
        raise SpecError("a coupled run takes one agent; this spec has several")
    ((name, agent),) = given.agents.items()
    if not isinstance(agent.learner, SufficientLearner):
        raise SpecError(
            "a coupled run takes a learner that fits in closed form, such as gaussian or categorical"
        )
    if given.data.domain == "counts":
        raise SpecError(
            "counts cannot be coupled: numpy draws a Poisson number from as many random numbers as it takes, so that "
            "two loops fall out of step; take binary, positive or symbols data"
        )
    if given.initial_model is not None:
        raise SpecError("a coupled run compares real sets; remove initial_model")
    drawing = agent.model_copy(update={"learner": replace(agent.learner, path="samples")})
    loop = Loop(given.model_copy(update={"agents": {name: drawing}, "metrics": ()}))
    if not 0 <= record < loop.real[name]:
        raise SpecError(f"record is {record}; generation 0 has records 0 to {loop.real[name] - 1}")
    alter = altered or _neighbour(given.data)
    return CoupledCourse(np.concatenate([_block(loop, name, b, record, alter) for b in loop.blocks()]))


def _block(loop: Loop, name: str, block: Block, record: int, alter: Alteration) -> np.ndarray:
    one = loop.start(block)
    other = _altered(loop, name, one, record, alter)
    found = np.empty((block.replicates, loop.spec.generations))
    for t in range(loop.spec.generations):
        one, _ = loop.step(one)
        other, _ = loop.step(other)
        found[:, t] = distance(one.models[name], other.models[name])
    return found


def _altered(loop: Loop, name: str, state: State, record: int, alter: Alteration) -> State:
    """The state before generation 0, one real record altered."""
    pile: Any = state.piles[name]
    drawn: Batch = pile.data.first(loop.key(state.block) / "real")
    x = np.array(np.broadcast_to(drawn.x, (state.block.replicates, *drawn.x.shape[1:])))
    x[:, record] = alter(x[:, record])
    records = Batch(x, drawn.generation, drawn.agent)
    if isinstance(pile, Summaries):
        pile = replace(pile, real=pile.learner.summarize(records))
    else:
        pile = replace(pile, real=records)
    return replace(state, piles={name: pile})


def distance(one: Model, other: Model) -> np.ndarray:
    """(R,) total variation of categorical models, else the Euclidean distance of the means."""
    p, q = getattr(one, "probabilities", None), getattr(other, "probabilities", None)
    if p is not None and q is not None:
        return 0.5 * np.abs(p - q).sum(axis=1)
    if not hasattr(one, "mean"):
        raise SpecError(
            f"models of type {type(one).__name__} have neither probabilities nor a mean to compare"
        )
    return np.asarray(np.linalg.norm(one.mean - other.mean, axis=1))  # type: ignore[attr-defined]


def _neighbour(source: Any) -> Alteration:
    if source.domain == "symbols":
        last = source.dim - 1
        return lambda x: np.where(x == last, last - 1, x + 1)
    return (lambda x: 1 - x) if source.domain == "binary" else (lambda x: x + 1)
