"""Laws of learners and their models."""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import AutophageError
from autophage.keys import Key
from autophage.laws.broken import holds
from autophage.parts import SufficientLearner
from autophage.samples import Batch, Samples

REPLICATES = 4


def learner(part: Any, data: Any, *, key: Key | None = None) -> None:
    """Fit and sample: right shapes, finite, repeatable, immutable, restorable; of a learner that describes: descriptions of
    the records it is given, which stay as they are.

    `data` is an array (n, ...) of records, or `Samples`. For a batched learner every replicate gets the same
    records. Raises `laws.Broken` at the first law that does not hold.
    """
    key = key or Key(0) / "laws"
    records = data if isinstance(data, Samples) else Samples.of(np.asarray(data))
    if part.describes:
        _describer(part, records, key)
        return
    given: Any = records
    if part.batched:
        given = Batch.of(np.broadcast_to(records.x[None], (REPLICATES, *records.x.shape)))
    before = records.x.copy()
    model = part.fit(given, start=None, key=key / "fit")
    holds("fit leaves its training data as they were", np.array_equal(before, records.x), part)
    n = 37
    first, again = (_x(model.sample(n, key=key / "sample")) for _ in range(2))
    holds("sample(n) gives n records", first.shape[1 if part.batched else 0] == n, part)
    holds(
        "generated records have the shape of real ones",
        first.shape[2 if part.batched else 1 :] == records.x.shape[1:],
        part,
    )
    holds("samples are finite", bool(np.isfinite(first.astype(np.float64)).all()), part)
    holds("the same key gives the same samples: a model is immutable", np.array_equal(first, again), part)
    other = _x(model.sample(n, key=key / "another"))
    holds(
        "another key gives other samples",
        not np.array_equal(first, other) or len(np.unique(first)) == 1,
        part,
    )
    twin = part.fit(given, start=None, key=key / "fit")
    holds(
        "the same data and key give the same model",
        np.array_equal(first, _x(twin.sample(n, key=key / "sample"))),
        part,
    )
    if part.has_log_prob:
        density = np.asarray(model.log_prob(records.x[:16]))
        holds("log_prob gives one number per record", density.shape[-1] == len(records.x[:16]), part)
        holds("log_prob of training records is not NaN", not np.isnan(density).any(), part)
    if part.warm_starts:
        warm = part.fit(given, start=model, key=key / "warm")
        holds(
            "a warm start leaves the model it starts from as it was",
            np.array_equal(first, _x(model.sample(n, key=key / "sample"))),
            part,
        )
        holds("a warm-started model samples", _x(warm.sample(n, key=key)).shape == first.shape, part)
    _storing(part, model, first, n, key)
    if part.batched:
        _replicates(part, records, first, n, key)
    if isinstance(part, SufficientLearner):
        _statistics(part, given, key)


def _describer(part: Any, records: Samples, key: Key) -> None:
    before = records.x.copy()
    model = part.fit(records, start=None, key=key / "fit")
    holds("fit leaves its training data as they were", np.array_equal(before, records.x), part)
    n = len(records) - 3

    def told(of: Any, samples: Samples = records, count: int = n) -> np.ndarray:
        described = of.sample(count, key=key / "sample", given=samples)
        name = "caption" if part.needs_captions else "label"
        holds("a description is a caption, or a label", name in described.fields, part)
        holds("sample(n) describes the first n records given", len(described) == count, part)
        holds("what is described stays as it is", np.array_equal(described.x, samples.x[:count]), part)
        return np.asarray(described.fields[name])

    first = told(model)
    holds(
        "the same key gives the same descriptions: a model is immutable",
        np.array_equal(first, told(model)),
        part,
    )
    holds(
        "a description does not depend on the records that follow",
        np.array_equal(first[:5], told(model, records[:5], 5)),
        part,
    )
    twin = part.fit(records, start=None, key=key / "fit")
    holds("the same data and key give the same model", np.array_equal(first, told(twin)), part)
    try:
        model.sample(n, key=key)
        refused = False
    except AutophageError:
        refused = True
    holds("without records there is nothing to describe", refused, part)
    if part.warm_starts:
        warm = part.fit(records, start=model, key=key / "warm")
        holds(
            "a warm start leaves the model it starts from as it was", np.array_equal(first, told(model)), part
        )
        holds("a warm-started model describes", len(told(warm)) == n, part)
    try:
        arrays = model.arrays()
    except NotImplementedError:
        return
    holds(
        "arrays() gives numpy arrays without objects",
        all(np.asarray(a).dtype != object for a in arrays.values()),
        part,
    )
    restored = part.restore({k: np.array(v) for k, v in arrays.items()})
    holds("a restored model describes as the model did", np.array_equal(first, told(restored)), part)


def _x(samples: Any) -> np.ndarray:
    return np.asarray(samples.x)


def _storing(part: Any, model: Any, first: np.ndarray, n: int, key: Key) -> None:
    try:
        arrays = model.arrays()
    except NotImplementedError:
        return
    holds(
        "arrays() gives numpy arrays without objects",
        all(np.asarray(a).dtype != object for a in arrays.values()),
        part,
    )
    copied = {k: np.array(v) for k, v in arrays.items()}
    restored = part.restore(copied)
    holds(
        "a restored model samples what the model sampled",
        np.array_equal(first, _x(restored.sample(n, key=key / "sample"))),
        part,
    )


def _replicates(part: Any, records: Samples, first: np.ndarray, n: int, key: Key) -> None:
    fewer = Batch.of(np.broadcast_to(records.x[None], (2, *records.x.shape)))
    model = part.fit(fewer, start=None, key=key / "fit")
    holds(
        "replicate r does not depend on how many follow",
        np.array_equal(_x(model.sample(n, key=key / "sample")), first[:2]),
        part,
    )


def _statistics(part: SufficientLearner, batch: Batch, key: Key) -> None:
    half = len(batch) // 2
    rest = Batch.of(batch.x[:, half:])
    merged = part.estimate(part.merge([part.summarize(batch.first(half)), part.summarize(rest)]))
    whole = part.estimate(part.summarize(batch))
    for name, value in whole.arrays().items():
        close = np.allclose(np.abs(value), np.abs(merged.arrays()[name]), rtol=1e-8, atol=1e-10)
        holds(f"statistics add up: {name} of two halves merged is {name} of the whole", close, part)
    if part.has_law:
        drawn = part.refit(whole, len(batch), key / "refit")
        holds(
            "refit draws statistics of n records", bool(np.all(np.asarray(drawn.count) == len(batch))), part
        )
        refitted = part.estimate(drawn).arrays()
        holds(
            "a refitted model has the model's shape",
            all(refitted[k].shape == v.shape for k, v in whole.arrays().items()),
            part,
        )
