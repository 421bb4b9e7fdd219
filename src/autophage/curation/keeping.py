"""What becomes of proposals that a filter has judged: weighted, dropped, or replaced by more until enough are kept.

All of it looks at each replicate by itself and in the order in which records were proposed, so that replicate r does not
depend on how many follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autophage.errors import FilterStarved, FitFailed, SpecError, UnusableWeights
from autophage.interventions import Curating
from autophage.keys import Key
from autophage.parts import Learner
from autophage.samples import Batch, Samples

MOST = 50
"""Proposals for each record that is to be kept, after which a filter counts as starved."""

Judge = Callable[[Any, int], np.ndarray]
"""From proposals and the number of their draw (0 for the first) to (R, n) True where one is kept."""


def weighed(samples: Any, weight: np.ndarray, name: str) -> Any:
    """The samples with `weight` (R, n), scaled to mean 1 in each replicate. Raises `UnusableWeights` where a weight is
    negative or not finite, or all of a replicate's are zero."""
    total = weight.sum(axis=1)
    if not (np.isfinite(weight).all() and (weight >= 0).all() and (total > 0).all()):
        wrong = int(np.flatnonzero(~(np.isfinite(total) & (total > 0) & (weight >= 0).all(axis=1)))[0])
        raise UnusableWeights(
            f"{name} gave weights that are all zero, negative or not finite in replicate {wrong}; nothing goes on unfiltered"
        )
    scaled = weight * (weight.shape[1] / total)[:, None]
    if isinstance(samples, Batch):
        return samples.reweighted(scaled)
    return Samples(samples.fields, samples.generation, samples.agent, np.asarray(samples.weight) * scaled[0])


def dropped(samples: Any, kept: np.ndarray) -> Any:
    """The samples where `kept` (R, n) is True; of a batch, the others get weight zero."""
    if isinstance(samples, Batch):
        return samples.reweighted(kept.astype(np.float64))
    return samples[np.flatnonzero(kept[0])]


def filled(samples: Any, judge: Judge, context: Curating, name: str) -> Any:
    """As many records as `samples` has, the first that `judge` accepts, out of these and as many more draws as it takes.

    Counts the proposals that each replicate needed. Raises `SpecError` after another curation, of which further draws would
    know nothing; `FilterStarved`, naming the acceptance rate, when more than 50 proposals a record would be needed.
    """
    refuse_after_another(samples, context, name)
    n, batch = len(samples), samples
    before = context.proposals - n
    found, used = np.zeros(context.replicates, np.int64), np.zeros(context.replicates)
    taken = _Taken(samples, n)
    for draw in range(MOST):
        kept = judge(batch, draw)
        rank = found[:, None] + np.cumsum(kept, axis=1)
        taken.add(batch, kept & (rank <= n), rank - 1)
        # A replicate that is done at its i-th proposal never looked at the rest.
        looked = np.where(rank[:, -1] >= n, 1 + np.argmax(rank >= n, axis=1), n)
        used += np.where(found < n, looked, 0)
        found = np.minimum(rank[:, -1], n)
        if (found == n).all():
            context.proposals = before + used
            context.note("acceptance", n / used)
            return taken.whole()
        if draw + 1 < MOST:
            batch = context.draw(n)
    starved = int(np.argmin(found))
    raise FilterStarved(
        f"{name} kept {found[starved]} of {MOST * n} proposals, an acceptance rate of {found[starved] / (MOST * n):.2g}; to keep "
        f"{n} it may look at {MOST} proposals each"
    )


def picked(samples: Any, kept: np.ndarray, n: int) -> Any:
    """The records where `kept` (R, m) is True, n in every replicate."""
    taken = _Taken(samples, n)
    taken.add(samples, kept, np.cumsum(kept, axis=1) - 1)
    return taken.whole()


class _Taken:
    """The records kept so far, in their order."""

    def __init__(self, samples: Any, n: int) -> None:
        self.parts: list[Samples] = []
        self.batched = isinstance(samples, Batch)
        if self.batched:
            replicates = samples.replicates
            self.x = np.empty((replicates, n, *samples.x.shape[2:]), samples.x.dtype)
            self.generation = np.empty((replicates, n), np.int32)
            self.agent = samples.agent

    def add(self, batch: Any, chosen: np.ndarray, place: np.ndarray) -> None:
        if not self.batched:
            self.parts.append(batch[np.flatnonzero(chosen[0])])
            return
        r, i = np.nonzero(chosen)
        to = place[r, i]
        self.x[r, to] = batch.x[r, i]
        self.generation[r, to] = np.broadcast_to(batch.generation, chosen.shape)[r, i]

    def whole(self) -> Any:
        if not self.batched:
            return Samples.join(self.parts)
        first = self.generation[0, 0] if self.generation.size else 0
        one = (self.generation == first).all()
        generation = np.broadcast_to(first, self.generation.shape[1:]) if one else self.generation
        return Batch(self.x, generation, self.agent)


def candidates(samples: Any, share: float, context: Curating, name: str) -> Any:
    """The samples and so many more draws that they are `share` of them all. Raises `SpecError` after another curation."""
    refuse_after_another(samples, context, name, f"{share:g}")
    more = math.ceil(len(samples) / share - 1e-9) - len(samples)
    parts = [samples, context.draw(more)] if more > 0 else [samples]
    return Batch.join(parts) if isinstance(samples, Batch) else Samples.join(parts)


def ranked(score: np.ndarray, low: int, high: int, key: Key, name: str) -> np.ndarray:
    """True for the records whose rank by score (R, m), counted from the lowest, lies in [low, high); ties at random. Raises
    `FitFailed` where a score is not a number."""
    if np.isnan(score).any():
        raise FitFailed(
            f"{name} has no score for {int(np.isnan(score).sum())} of {score.size} records: it is not a number"
        )
    order = np.lexsort((key.generator().random(score.shape), score), axis=1)
    kept = np.zeros(score.shape, bool)
    np.put_along_axis(kept, order[:, low:high], True, axis=1)
    return kept


def refuse_dropping(learner: Learner, keep: str, name: str) -> None:
    """Raises `SpecError` where replicates would drop different records and the learner takes no weights."""
    if keep == "proposals" and getattr(learner, "batched", False) and not getattr(learner, "weighted", False):
        raise SpecError(
            f"curation {name}: keep is `proposals`, which drops records by a weight of zero, and learner "
            f"{type(learner).__name__.lower()} takes no weights; write keep: n"
        )


def refuse_after_another(samples: Any, context: Curating, name: str, keep: str = "n") -> None:
    """Raises `SpecError` where a curation before this one weighed samples, dropped some, or drew more."""
    weighs = samples.weight is not None and bool((np.asarray(samples.weight) != 1).any())
    if weighs or (context.proposals != len(samples)).any():
        mend = "write keep: proposals, or put it first" if keep == "n" else "put it first"
        raise SpecError(
            f"curation {name} with keep: {keep} draws more records from the model, past the curation before it; {mend}"
        )


def effective_size(weight: np.ndarray) -> np.ndarray:
    """(R,) (sum w)^2 / sum w^2 of weights (R, n)."""
    return weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1)
