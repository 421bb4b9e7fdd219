"""Records and their provenance.

`Samples` are the records of one replicate: named fields of one length, and for each record the generation
that made it (-1 for real), the agent that made it, and a weight. A field may be a plain array, a
memory-mapped one, or `Segments`: several arrays end to end, none copied, so that a pool of a hundred
generations on disk costs no more memory than one. `Batch` is the same for many replicates at once, the
replicate as the first axis; only learners that fit in closed form see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import DataError

REAL = -1
"""The generation of a real record."""


class Segments:
    """Arrays end to end along the first axis, without a copy.

    >>> s = Segments([np.arange(3), np.arange(10, 12)])
    >>> len(s), s[2:4].tolist(), s[np.array([4, 0])].tolist()
    (5, [2, 10], [11, 0])
    """

    def __init__(self, parts: Sequence[np.ndarray | Segments]) -> None:
        flat: list[np.ndarray] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, Segments) else [part])
        if not flat:
            raise DataError("nothing to join: no arrays were given")
        self.parts: list[np.ndarray] = [p for p in flat if len(p)] or flat[:1]
        tails = {p.shape[1:] for p in self.parts}
        if len(tails) > 1:
            raise DataError(f"records of different shapes cannot be joined: {sorted(map(str, tails))}")
        self.starts = np.concatenate([[0], np.cumsum([len(p) for p in self.parts])])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*self.parts)

    @property
    def ndim(self) -> int:
        return self.parts[0].ndim

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if len(self.parts) == 1:
            return np.array(self.parts[0], dtype=dtype, copy=copy)
        if copy is False:
            raise ValueError("segments of several arrays cannot become one array without a copy")
        return np.concatenate(self.parts, dtype=dtype)

    def tolist(self) -> list:
        return np.asarray(self).tolist()

    def chunks(self, size: int = 65536) -> Iterator[np.ndarray]:
        """The records in order, at most `size` at a time."""
        for part in self.parts:
            for start in range(0, len(part), size):
                yield np.asarray(part[start : start + size])

    def __getitem__(self, index: Any) -> np.ndarray | Segments:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self[np.arange(start, stop, step)]
            pieces = [
                part[max(start - low, 0) : stop - low]
                for part, low in zip(self.parts, self.starts[:-1], strict=True)
                if low < stop and low + len(part) > start
            ]
            if not pieces:
                return self.parts[0][:0]
            return pieces[0] if len(pieces) == 1 else Segments(pieces)
        index = np.asarray(index)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise IndexError(f"a mask of shape {index.shape} cannot pick from {len(self)} records")
            index = np.flatnonzero(index)
        if index.ndim == 0:
            return self[index[None]][0]
        index = np.where(index < 0, index + len(self), index).astype(np.int64)
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise IndexError(f"an index is out of range for {len(self)} records")
        out = np.empty((len(index), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self.starts, index, side="right") - 1
        for number in np.unique(which):
            rows = which == number
            out[rows] = self.parts[number][index[rows] - self.starts[number]]
        return out


Field = np.ndarray | Segments


def chunks(field: Field, size: int = 65536) -> Iterator[np.ndarray]:
    """A field's records in order, at most `size` at a time, whatever holds them."""
    whole = field if isinstance(field, Segments) else Segments([field])
    return whole.chunks(size)


def reckonable(x: np.ndarray) -> np.ndarray:
    """Records that anyone may subtract and square: bytes, which wrap around, become float64.

    >>> (reckonable(np.array([3], np.uint8)) - 5).item()
    -2.0
    """
    return x.astype(np.float64) if x.dtype == np.uint8 else x


@dataclass(frozen=True)
class Samples:
    """Records of one replicate with their provenance.

    Fields of interest: `x` (n, ...) what is modelled; `label` (n,) a class, `caption` (n,) a
    string, where there is one.

    >>> s = Samples.of(np.zeros((3, 2)), generation=4, agent="main")
    >>> len(s), s.generation.tolist(), s.agent.tolist()
    (3, [4, 4, 4], ['main', 'main', 'main'])
    >>> pool = Samples.join([Samples.of(np.ones((2, 2))), s])
    >>> pool.real_share(), pool[1:3].generation.tolist()
    (0.4, [-1, 4])
    """

    fields: Mapping[str, Field]
    generation: Field
    agent: Field
    weight: Field

    @staticmethod
    def of(
        x: Any = None,
        /,
        *,
        generation: int | np.ndarray = REAL,
        agent: str | np.ndarray = "",
        weight: float | np.ndarray = 1.0,
        **fields: Any,
    ) -> Samples:
        """Samples from arrays; a single generation, agent or weight speaks for every record.

        Raises `DataError` when the fields differ in length or there is none.
        """
        if x is not None:
            fields = {"x": x, **fields}
        named = {
            k: v if isinstance(v, Segments) else np.asanyarray(v) for k, v in fields.items() if v is not None
        }
        lengths = {k: len(v) for k, v in named.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(f"the fields of samples must have one length, got {lengths or 'no field'}")
        n = next(iter(lengths.values()))
        return Samples(
            named,
            _column(generation, n, np.int32),
            _column(agent, n, np.str_),
            _column(weight, n, np.float64),
        )

    @staticmethod
    def join(parts: Sequence[Samples]) -> Samples:
        """Samples end to end, without a copy. Only fields that all of them have survive."""
        parts = [p for p in parts if len(p)] or list(parts[:1])
        if not parts:
            raise DataError("nothing to join: no samples were given")
        if len(parts) == 1:
            return parts[0]
        names = [k for k in parts[0].fields if all(k in p.fields for p in parts)]
        return Samples(
            {k: Segments([p.fields[k] for p in parts]) for k in names},
            Segments([p.generation for p in parts]),
            Segments([p.agent for p in parts]),
            Segments([p.weight for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.generation)

    def __getitem__(self, index: Any) -> Samples:
        return Samples(
            {k: v[index] for k, v in self.fields.items()},
            self.generation[index],
            self.agent[index],
            self.weight[index],
        )

    @property
    def x(self) -> np.ndarray:
        """The modelled field as one array (joined, if it was in segments)."""
        return np.asarray(self.fields["x"])

    @property
    def label(self) -> np.ndarray | None:
        """The class of each record, or None."""
        return np.asarray(self.fields["label"]) if "label" in self.fields else None

    @property
    def caption(self) -> np.ndarray | None:
        """The caption (n,) of each record, strings, or None."""
        return np.asarray(self.fields["caption"]) if "caption" in self.fields else None

    def flat(self) -> np.ndarray:
        """`x` as (n, d) float64."""
        x = self.x
        return np.asarray(x.reshape(len(x), -1), dtype=np.float64)

    def cycled(self, n: int) -> Samples:
        """n records: these, from the start again where there are fewer."""
        return self[np.arange(n) % len(self)]

    @property
    def columns(self) -> tuple[Field, Field, Field]:
        """Generation, agent and weight."""
        return self.generation, self.agent, self.weight

    def real_share(self) -> float:
        """The share of records that are real, by weight."""
        weight = np.asarray(self.weight)
        return float(weight[np.asarray(self.generation) == REAL].sum() / weight.sum())

    def stamped(self, *, generation: int, agent: str) -> Samples:
        """The same records as made by `agent` in `generation`."""
        n = len(self)
        return Samples(self.fields, _column(generation, n, np.int32), _column(agent, n, np.str_), self.weight)


def _column(value: Any, n: int, dtype: Any) -> np.ndarray:
    array = np.asarray(value, dtype=dtype)
    if array.ndim == 0:
        return np.broadcast_to(array, (n,))  # one number for all: no memory
    if len(array) != n:
        raise DataError(f"a provenance column has {len(array)} entries for {n} records")
    return array


@dataclass(frozen=True)
class Batch:
    """Records of R replicates: `x` (R, n, ...), `generation` (n,) or (R, n).

    A batch of one replicate may stand for every replicate (real data they all share). Curation may weight
    records; a weight of zero drops one, so that replicates need not keep equally many.

    >>> weighted = Batch.of(np.zeros((2, 3, 1))).reweighted(np.array([[1.0, 0, 1], [1, 1, 1]]))
    >>> Batch.join([weighted, Batch.of(np.ones((2, 1, 1)))]).weight.tolist()
    [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """

    x: np.ndarray
    generation: np.ndarray
    agent: str = ""
    weight: np.ndarray | None = None
    """(R, n), none negative; None where every record counts once."""

    @staticmethod
    def of(x: np.ndarray, *, generation: int = REAL, agent: str = "") -> Batch:
        """A batch whose records all come from one generation and agent."""
        return Batch(x, np.broadcast_to(np.int32(generation), (x.shape[1],)), agent)

    def __len__(self) -> int:
        return self.x.shape[1]

    @property
    def replicates(self) -> int:
        return self.x.shape[0]

    def first(self, n: int) -> Batch:
        """The first n records of every replicate."""
        weight = None if self.weight is None else self.weight[:, :n]
        return Batch(self.x[:, :n], self.generation[..., :n], self.agent, weight)

    def reweighted(self, weight: np.ndarray) -> Batch:
        """The same records, their weights multiplied by `weight` (R, n)."""
        return Batch(
            self.x, self.generation, self.agent, weight if self.weight is None else self.weight * weight
        )

    def weights(self) -> np.ndarray:
        """(R, n), ones where none were given."""
        return np.ones(self.x.shape[:2]) if self.weight is None else self.weight

    def real_share(self) -> Any:
        """The share of records that are real, by weight: a number, or (R,)."""
        real = self.generation == REAL
        if self.weight is None:
            return real.mean(axis=-1)
        return (self.weight * real).sum(axis=1) / self.weight.sum(axis=1)

    def replicate(self, r: int) -> Samples:
        """The records of one replicate."""
        r = 0 if self.replicates == 1 else r
        generation = self.generation if self.generation.ndim == 1 else self.generation[r]
        weight = 1.0 if self.weight is None else self.weight[r]
        return Samples.of(self.x[r], generation=generation, agent=self.agent, weight=weight)

    @staticmethod
    def join(parts: Sequence[Batch]) -> Batch:
        """Batches end to end along the record axis; a batch of one replicate is repeated."""
        if len(parts) == 1:
            return parts[0]
        replicates = max(p.replicates for p in parts)
        spread = [np.broadcast_to(p.x, (replicates, *p.x.shape[1:])) for p in parts]
        flat = all(p.generation.ndim == 1 for p in parts)
        generation = [
            p.generation if flat else np.broadcast_to(p.generation, (replicates, len(p))) for p in parts
        ]
        weight = None
        if any(p.weight is not None for p in parts):
            weight = np.concatenate(
                [np.broadcast_to(p.weights(), (replicates, len(p))) for p in parts], axis=1
            )
        x = np.concatenate(spread, axis=1)
        return Batch(x, np.concatenate(generation, axis=-1), parts[-1].agent, weight)
