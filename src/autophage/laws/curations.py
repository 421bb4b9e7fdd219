"""Laws of curations."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np

from autophage.curating import NUMBERS, Proposals, kept
from autophage.keys import Key
from autophage.laws.broken import holds
from autophage.samples import REAL, Batch, Samples

REPLICATES = 4
GENERATION = 3
AGENT = "main"


class _Bench:
    """A `interventions.Curating`: one generation of a model fitted to real records."""

    def __init__(self, model: Any, real: Any, source: Any, n: int, key: Key, memo: dict[Any, Any]) -> None:
        self.generation, self.agent, self.block = GENERATION, AGENT, 0
        self.model, self.real, self.source = model, real, source
        self.replicates = model.replicates
        self.key, self.memo = key / "curation", memo
        self.proposals = np.full(self.replicates, float(n))
        self.noted: dict[str, np.ndarray] = {}
        self.asked = n
        self._root, self._draws = key, 0

    def draw(self, n: int) -> Any:
        self._draws += 1
        self.asked += n
        self.proposals = self.proposals + n
        return self.stamped(self.model.sample(n, key=self._root / "draw" / self._draws))

    def first(self) -> Any:
        return self.model

    def note(self, name: str, values: Any) -> None:
        self.noted[name] = np.broadcast_to(np.asarray(values, dtype=np.float64), (self.replicates,))

    @staticmethod
    def stamped(samples: Any) -> Any:
        if isinstance(samples, Batch):
            return Batch.of(samples.x, generation=GENERATION, agent=AGENT)
        return samples.stamped(generation=GENERATION, agent=AGENT)


def curation(part: Any, learner: Any, source: Any, *, n: int = 40, key: Key | None = None) -> None:
    """Counts, provenance, weights, proposals, what a loop notes of it; repeatable, the same from a warm memo, nothing it is
    handed is changed, and replicate r does not depend on how many follow.

    `part` curates n samples of a model that `learner` fits to real records of `source`. Raises `laws.Broken` at the first law
    that does not hold; `SpecError` where the curation refuses the learner or the data.
    """
    key = key or Key(0) / "laws"
    if hasattr(part, "check"):
        part.check(learner, source)
    given, context, before = _bench(part, learner, source, n, key, {})
    mine = copy.deepcopy((given, context.real))
    after = part.apply(given, context=context)
    for was, now in zip(mine, (given, context.real), strict=True):
        holds("curation changes nothing that it is handed", _same(was, now), part)
    holds(
        "the model is a value: it samples what it sampled before",
        np.array_equal(before, np.asarray(context.model.sample(7, key=key / "probe").x)),
        part,
    )
    _records(part, given, after, context)
    _noted(part, context, after)
    fresh = _applied(part, *_bench(part, learner, source, n, key, {}))
    holds("the same key gives the same samples", _same(after, fresh), part)
    _logged(part, source, *_bench(part, learner, source, n, key, {}))
    warm = _applied(part, *_bench(part, learner, source, n, key, context.memo))
    holds("a warm memo gives the same samples", _same(after, warm), part)
    if isinstance(given, Batch):
        fewer = _applied(part, *_bench(part, learner, source, n, key, {}, replicates=2))
        holds("replicate r does not depend on how many follow", _same(_first(after, 2), fewer), part)


def _bench(
    part: Any, learner: Any, source: Any, n: int, key: Key, memo: dict[Any, Any], replicates: int = REPLICATES
) -> tuple[Any, _Bench, np.ndarray]:
    """n samples of a fitted model as `part` has it sampled, their context, and what the model samples for a probe."""
    if source.unlimited:
        batch = source.draw(max(n, 30), key=key / "real", replicates=replicates if learner.batched else 1)
        real: Any = batch if learner.batched else batch.replicate(0)
    else:
        real = source.train()
        real = Batch.of(real.x[None]) if learner.batched else real
    model = learner.fit(real, start=None, key=key / "fit")
    if learner.batched:
        model = model.spread(replicates)
    if hasattr(part, "sampler"):
        model = part.sampler(model)
    context = _Bench(model, real, source, n, key, memo)
    samples = context.stamped(model.sample(n, key=key / "sample"))
    if getattr(part, "on", "new") == "training_set":
        samples, context.asked = Samples.join([real, samples]), n + len(real)
    return samples, context, np.asarray(model.sample(7, key=key / "probe").x)


def _records(part: Any, given: Any, after: Any, context: _Bench) -> None:
    holds("curation hands on what it was handed: Samples or a Batch", type(after) is type(given), part)
    axis = 2 if isinstance(given, Batch) else 1
    holds("records keep their shape", after.x.shape[axis:] == given.x.shape[axis:], part)
    holds("some record is left", len(after) > 0, part)
    holds("no more records than the model was asked for", len(after) <= context.asked, part)
    origin = np.asarray(after.generation)
    holds("no record comes from a later generation", bool((origin <= GENERATION).all()), part)
    holds("a record's generation is real (-1) or one of the loop's", bool((origin >= REAL).all()), part)
    if isinstance(after, Batch):
        holds("every replicate is there", after.replicates == context.replicates, part)
        holds("one generation a record", origin.shape[-1] == len(after), part)
    weight = np.ones(1) if after.weight is None else np.asarray(after.weight)
    holds(
        "weights are finite and none is negative",
        bool(np.isfinite(weight).all() and (weight >= 0).all()),
        part,
    )
    holds("every replicate keeps some weight", bool((weight.sum(axis=-1) > 0).all()), part)
    if not getattr(part, "weighs", False):
        allowed = (weight == 1) | ((weight == 0) & isinstance(after, Batch))
        holds("weights other than 0 and 1 are declared (weighs)", bool(allowed.all()), part)


def _noted(part: Any, context: _Bench, after: Any) -> None:
    counted = np.broadcast_to(context.proposals, (context.replicates,))
    weight = np.ones(1) if after.weight is None else np.asarray(after.weight)
    kept = len(after) if after.weight is None else np.count_nonzero(weight, axis=-1)
    holds(
        "proposals are counted: no more than were drawn",
        bool((counted <= context.asked).all() and (counted > 0).all()),
        part,
    )
    synthetic = (np.asarray(after.generation) == GENERATION).all()
    holds("no replicate keeps more than it looked at", not synthetic or bool((kept <= counted).all()), part)
    for name, values in context.noted.items():
        holds(f"the note {name} is one finite number a replicate", bool(np.isfinite(values).all()), part)
    share = context.noted.get("acceptance")
    holds("acceptance is a share", share is None or bool(((share >= 0) & (share <= 1)).all()), part)


def _logged(part: Any, source: Any, given: Any, bench: _Bench, _: np.ndarray) -> None:
    """The loop itself notes how many records were looked at and kept, and how diverse both are."""
    chooses = getattr(part, "on", "new") == "training_set"
    loop: Any = SimpleNamespace(source=source, memo={}, spec=SimpleNamespace(metrics=(part,)))

    def more(m: int, stream: Key) -> Any:
        return bench.stamped(bench.model.sample(m, key=stream))

    size = 0 if chooses else len(given)
    context = Proposals(
        loop,
        AGENT,
        GENERATION,
        bench.model,
        bench.real,
        size,
        None if chooses else more,
        bench.key,
        bench.first,
    )
    after = context.curated(given, [part])
    notes = context.notes
    looked = notes.get("candidates" if chooses else "proposals")
    holds("what was looked at and kept is noted", looked is not None and "kept" in notes, part)
    holds("the note kept counts what is handed on", bool((notes["kept"] == kept(after)).all()), part)
    if getattr(source, "domain", "vectors") in NUMBERS:
        holds("the variance of what is kept is noted", "kept_variance" in notes, part)
    if isinstance(after, Samples) and "duplicate_share" in notes:
        holds("duplicates are a share", bool((notes["duplicate_share"] < 1).all()), part)
    for name, values in notes.items():
        holds(f"the note {name} is one finite number a replicate", bool(np.isfinite(values).all()), part)


def _applied(part: Any, samples: Any, context: _Bench, _: np.ndarray) -> Any:
    return part.apply(samples, context=context)


def _first(samples: Batch, replicates: int) -> Batch:
    weight = None if samples.weight is None else samples.weight[:replicates]
    generation = samples.generation if samples.generation.ndim == 1 else samples.generation[:replicates]
    return Batch(samples.x[:replicates], generation, samples.agent, weight)


def _same(a: Any, b: Any) -> bool:
    """Equal records of equal origin and weight."""
    if len(a) != len(b):
        return False
    if isinstance(a, Samples):
        pairs = [(a.fields[k], b.fields.get(k)) for k in a.fields]
    else:
        pairs = [(a.x, b.x)]
    pairs.append((_wide(a.generation, a), _wide(b.generation, b)))
    weights = [s.weights() if isinstance(s, Batch) else s.weight for s in (a, b)]
    return all(np.array_equal(np.asarray(p), np.asarray(q)) for p, q in [*pairs, tuple(weights)])


def _wide(generation: Any, samples: Any) -> np.ndarray:
    if isinstance(samples, Batch):
        return np.broadcast_to(generation, (samples.replicates, len(samples)))
    return np.asarray(generation)
