"""Does the tail of the real data survive? (Definition D7 of Schaeffer et al. 2025, made computable.)

Coverage counts what of the tail is still seen, divided by what a real sample of the same size would see: 1
when nothing is lost, whatever the sample size. The mass ratio is a martingale in an unbiased loop: its mean
over replicates stays 1 while the tail dies, so read its median.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from autophage.errors import DataError, SpecError
from autophage.metrics.features import Embedding, Features, training_records
from autophage.metrics.intervals import exact, normal, ratio, wilson
from autophage.metrics.model_metric import exposes
from autophage.metrics.neighbours import balls
from autophage.metrics.precision_recall import check_neighbours, radii
from autophage.metrics.records import FIXED, VECTORS, matched, remembered, subset
from autophage.parts import Compared, Measurement, Source, View, measurements

_DRAWS = 4
"""Real samples of equal size that the tail coverage of real data is averaged over, where there are so many
records."""


class Tail(NamedTuple):
    """Corrected coverage of the tail, and its mass over the real mass."""

    coverage: Compared
    mass_ratio: Compared


def rare_symbols(probabilities: np.ndarray, mass: float = 0.05) -> np.ndarray:
    """The rarest symbols with positive probability that hold at most `mass` together; at least the rarest
    one.

    >>> rare_symbols(np.array([0.9, 0.0, 0.03, 0.01, 0.06])).tolist()
    [3, 2]
    """
    order = np.argsort(probabilities, kind="stable")
    order = order[probabilities[order] > 0]
    held = np.cumsum(probabilities[order])
    return order[: max(int((held <= mass * (1 + 1e-12)).sum()), 1)]


def symbol_tail(probabilities: np.ndarray, symbols: np.ndarray, *, mass: float = 0.05) -> Tail:
    """The tail of real probabilities (K,) in N generated symbols, with A the symbols of `rare_symbols`:

        coverage = |A seen| / sum over i in A of (1 - (1 - p_i)^N)
        mass ratio = (share of the symbols that are in A) / p(A)

    Intervals: coverage from the delete-one jackknife of a count of distinct symbols, whose variance is the
    number of symbols seen once (conservative by Efron and Stein 1981), plus one so that seeing none is no
    certainty; the share by Wilson. Raises `DataError` for symbols that are not whole numbers in 0..K-1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    counts = symbol_counts(symbols, len(p))
    n = int(counts.sum())
    tail = rare_symbols(p, mass)
    seen, once = (counts[tail] > 0).sum(), (counts[tail] == 1).sum()
    coverage = _counted(seen, once, _expected_types(p[tail], n), n)
    share = wilson(counts[tail].sum(), n)
    held = p[tail].sum()
    return Tail(coverage, Compared(share.value / held, share.low / held, share.high / held, n))


def model_tail(probabilities: np.ndarray, model: np.ndarray, n: int, *, mass: float = 0.05) -> list[Tail]:
    """The tail of real probabilities (K,) in models that expose their own (R, K), read off without sampling:

        coverage = |A with positive probability| / sum over i in A of (1 - (1 - p_i)^n)
        mass ratio = (the model's probability of A) / p(A)

    with n the size of the real set that generation 0 was fitted to: 1 for a first fit, and for ever when
    nothing is lost. Exact numbers of the model, so that both ends of the interval are the value.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    tail = rare_symbols(p, mass)
    coverage = (model[:, tail] > 0).sum(axis=1) / _expected_types(p[tail], n)
    ratios = model[:, tail].sum(axis=1) / p[tail].sum()
    return [Tail(exact(c, n), exact(r, n)) for c, r in zip(coverage, ratios, strict=True)]


def _expected_types(p: np.ndarray, n: int) -> float:
    return float(-np.expm1(n * np.log1p(-np.minimum(p, 1 - 1e-16))).sum())


def symbol_counts(symbols: np.ndarray, size: int) -> np.ndarray:
    """How often each of the symbols 0..size-1 occurs; `DataError` for anything else."""
    flat = np.asarray(symbols).reshape(-1)
    whole = (
        flat.astype(np.int64) if np.issubdtype(flat.dtype, np.number) and np.isfinite(flat).all() else None
    )
    if whole is None or len(whole) == 0 or (whole != flat).any() or whole.min() < 0 or whole.max() >= size:
        raise DataError(f"symbols must be whole numbers from 0 to {size - 1}")
    return np.bincount(whole, minlength=size)


def real_probabilities(source: Source) -> np.ndarray:
    """The true probabilities (K,) of a source of symbols, or their frequencies in its training part."""
    truth: Any = source.truth
    if hasattr(truth, "probabilities"):
        return truth.probabilities[0]
    counts = symbol_counts(source.train().x, source.dim)
    return counts / counts.sum()


def remembered_probabilities(view: View) -> np.ndarray:
    """`real_probabilities` of a view's source, found once a run."""
    name = ("metrics", "real probabilities")
    if name not in view.memo:
        view.memo[name] = real_probabilities(view.source)
    return view.memo[name]


class TailBalls:
    """The tail of real records (n, d): those in the lowest-density share `mass`, by the distance to their
    k-th nearest other record, each with the ball of that radius."""

    def __init__(self, reference: np.ndarray, *, mass: float = 0.05, k: int = 5) -> None:
        check_neighbours(k)
        reach = radii(reference, k)
        tail = np.argsort(-reach, kind="stable")[: max(int(np.ceil(mass * len(reference))), 1)]
        self.centres, self.reach = reference[tail], reach[tail]

    def hold(self, points: np.ndarray) -> tuple[Compared, Compared]:
        """The share of the balls that hold a point, and the share of points (n, d) that lie in a ball."""
        held = balls(points, self.centres, self.reach)
        alone = np.square(np.bincount(held.only_point[held.only_point >= 0])).sum()
        n = len(points)
        covered = _counted((held.per_ball > 0).sum(), alone, len(self.centres), n)
        return covered, wilson((held.per_point > 0).sum(), n)

    def hold_real(self, real: np.ndarray, n: int) -> tuple[Compared, Compared]:
        """The same for real records: the mean over up to four disjoint samples of n of them."""
        order = (FIXED / "tail" / "real").generator().permutation(len(real))
        count = min(_DRAWS, len(real) // n)
        found = [self.hold(real[order[i * n : (i + 1) * n]]) for i in range(count)]
        value = float(np.mean([c.value for c, _ in found]))
        arm = float(np.linalg.norm([c.high - c.value for c, _ in found])) / count
        inside = wilson(sum(round(i.value * n) for _, i in found), n * count, sized=n)
        return Compared(value, max(value - arm, 0.0), value + arm, n), inside


def vector_tail(
    reference: np.ndarray, generated: np.ndarray, real: np.ndarray, *, mass: float = 0.05, k: int = 5
) -> Tail:
    """The tail of real records `reference` (n, d), see `TailBalls`, in generated ones (m, d).

    A tail record is covered when a generated one lies in its ball. Coverage is the covered share, divided by
    the same share for `real` (other real records: never the reference itself) at equal size; the mass ratio
    divides the shares of records that lie in any tail ball. With fewer real than generated records the
    surplus of the latter is left out. Intervals: delete-one jackknife for the covered shares (a record counts
    by the balls that it alone covers; conservative), Wilson for the masses, both samples' errors added in
    squares; the tail itself is given. NaN when real data of this size cover no tail record. Raises
    `SpecError` unless 1 <= k < n, `DataError` on unequal widths or NaN.
    """
    x, y = matched(reference, generated)
    x, z = matched(x, real)
    tail = TailBalls(x, mass=mass, k=k)
    n = min(len(y), len(z))
    return Tail(*map(ratio, tail.hold(y[:n]), tail.hold_real(z, n)))


def _counted(seen: int, once: int, expected: float, n: int) -> Compared:
    value = float(seen / expected)
    found = normal(value, np.sqrt(once + 1) / expected, n)
    return Compared(value, max(found.low, 0.0), found.high, n)


@dataclass(frozen=True, kw_only=True)
class TailCoverage(Embedding):
    """Survival of the rarest 5 % of the real data (rows `tail_coverage`, `tail_mass_ratio`).

    Symbols: by their true probability, or their share of the real training part; read off a model that
    exposes its `probabilities`, else counted in its samples. Vectors: held-out records of lowest density by
    k-NN distance, compared with what real training records, or new draws of the law, cover. See `model_tail`,
    `symbol_tail` and `vector_tail`.
    """

    direction: ClassVar[Literal["lower", "higher", "none"]] = "higher"
    domains: ClassVar[frozenset[str]] = VECTORS | {"symbols"}

    mass: float = 0.05
    """The share of real mass that is called the tail (other values are added to the row names: `_m0.1`)."""
    k: int = 5
    """Neighbours for the density of vectors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_neighbours(self.k)
        if not 0 < self.mass < 1:
            raise SpecError(f"mass is {self.mass}; the tail must be a share in (0, 1)")

    def measure(self, view: View) -> list[Measurement]:
        found = self._symbols(view) if view.source.domain == "symbols" else self._vectors(view)
        names = [
            self.row(n if self.mass == 0.05 else f"{n}_m{self.mass:g}")
            for n in ("tail_coverage", "tail_mass_ratio")
        ]
        return measurements(dict(zip(names, tail, strict=True)) for tail in found)

    def _symbols(self, view: View) -> Iterable[Tail]:
        p = remembered_probabilities(view)
        if exposes(view.model, "probabilities"):
            q: Any = view.model
            n = view.real_size
            return model_tail(
                p, np.broadcast_to(q.probabilities, (view.replicates, len(p))), n, mass=self.mass
            )
        return (symbol_tail(p, view.generated(r).x, mass=self.mass) for r in range(view.replicates))

    def _vectors(self, view: View) -> Iterator[Tail]:
        memo, source = view.memo, view.source
        extract = self.extractor(memo, lambda: training_records(source))
        settings = (self.features, self.components, self.mass, self.k)
        for r in range(view.replicates):
            reference, generated = view.reference(r), view.generated(r)
            n = len(generated) if source.unlimited else min(len(generated), len(source.train()))
            x = self.real_features(reference, extract, memo)
            if not self.k < len(x):
                raise SpecError(f"tail_coverage: k is {self.k} but there are only {len(x)} held-out records")
            tail = remembered(
                memo, ("tail", settings), reference, partial(TailBalls, x, mass=self.mass, k=self.k)
            )
            expected = partial(self._expected, tail, source, extract, n)
            real = remembered(memo, ("tail", settings, n), reference, expected)
            _, y = matched(x, extract(generated.x))
            yield Tail(*map(ratio, tail.hold(subset(y, n, view.key / "tail" / r)), real))

    def _expected(
        self, tail: TailBalls, source: Source, extract: Features, n: int
    ) -> tuple[Compared, Compared]:
        if source.unlimited:
            return tail.hold_real(extract(source.draw(_DRAWS * n, key=FIXED / "tail" / "draws").x[0]), n)
        return tail.hold_real(extract(source.train().x), n)
