"""Rounds of mean estimation in which a share of the records came from one's own last answer.

Not a loop of fit and sample: the learner sees one mean a round, X_t = a Y_{t-1} + (1-a) mu + U_t (round 1: X_1 = mu +
U_1), and answers Y_t. The theory of `theory.erm` is about the same rounds. Source: Amin, Bie, Kong, Syed & Vassilvitskii
(2026).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.theory.erm import (
    NO_INFORMATION,
    contaminations,
    round_sizes,
    unequal_rounds,
    variance_for_gains,
)

Noise = Literal["gaussian", "exponential"] | Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""The law of one record's deviation, mean 0 and variance 1: `exponential` is centred and skewed; a function draws an array
of the asked shape from a generator."""
Weighting = Literal["erm", "optimal", "provenance"] | Sequence[float] | np.ndarray


@dataclass(frozen=True)
class MeanCourse:
    """What came of the rounds, per replicate."""

    errors: np.ndarray
    """(R, T): Y_t - mu."""
    predicted: np.ndarray | None
    """(T,) the exact variance; None where there is no closed form (provenance known, numbers of records drawn)."""
    gains: np.ndarray | None
    """(T,) the gains used; None where each replicate has its own."""
    notes: tuple[str, ...] = ()
    """What should be known before the numbers are read."""

    @property
    def variance(self) -> np.ndarray:
        """(T,): the mean squared error over replicates."""
        return (self.errors**2).mean(axis=0)

    @property
    def standard_error(self) -> np.ndarray:
        """(T,): of `variance`."""
        return (self.errors**2).std(axis=0) / np.sqrt(len(self.errors))


def simulate(
    weighting: Weighting,
    contamination: Any,
    *,
    rounds: int,
    replicates: int,
    key: Key | int,
    assumed: Any = None,
    sizes: Any = 1.0,
    noise: Noise = "gaussian",
    literal: bool = False,
) -> MeanCourse:
    """R replicates of T rounds of one coordinate; mu = 0, for the errors do not depend on it.

    weighting: `erm` (every record alike), `optimal` (best linear unbiased for `assumed`), `provenance` (told which
    records are natural, pools those), or T gains, the first 1. contamination: one number or (T,), entry 0 ignored.
    assumed: the contamination that the optimal weights rest on, one number or (T,): the known value, or an upper bound of
    an unknown one, whose variance `predicted` is then that of the mismatch. sizes: records of each round, one number or
    (T,), in the records whose variance is 1; a round of 0 is skipped. literal: every record is synthetic with probability
    a_t, so that their number is drawn and X_t has the additional variance a_t (1-a_t) (Y_{t-1}-mu)^2 / n_t; otherwise the
    covariance of U_t is fixed.

    Raises `SpecError` for a contamination outside [0, 1], optimal weights without `assumed`, or fractional sizes with
    `literal`.

    >>> course = simulate("erm", 0.5, rounds=100, replicates=4000, key=0)
    >>> course.predicted[-1].round(5).item(), bool(abs(course.variance[-1] / 0.05611 - 1) < 0.1)
    (0.05611, True)
    """
    a, n = contaminations(contamination, rounds), round_sizes(sizes, rounds)
    if literal and (n % 1 != 0).any():
        raise SpecError("literal mixtures draw whole records: sizes must be whole numbers")
    if isinstance(noise, str) and noise not in ("gaussian", "exponential"):
        raise SpecError(f"noise is {noise!r}; it must be gaussian, exponential or a function")
    key = key if isinstance(key, Key) else Key(key)
    notes = [NO_INFORMATION] if rounds > 1 and (a[1:] == 1).all() else []
    if isinstance(weighting, str) and weighting == "provenance":
        return _told(a, n, replicates, key, noise, literal, notes)
    gains = _gains(weighting, n, assumed, notes)
    predicted = variance_for_gains(gains, a, sizes=n, literal=literal)
    errors = np.empty((rounds, replicates))
    newest = np.zeros(replicates)
    for t in range(rounds):
        if n[t]:
            share: Any = a[t]
            if literal and t:
                share = (key / t / "synthetic").generator().binomial(int(n[t]), a[t], replicates) / n[t]
            mean = share * newest + _noise(noise, n[t], replicates, key / t / "noise")
            newest = newest + gains[t] * (mean - newest)
        errors[t] = newest
    return MeanCourse(errors.T, predicted, gains, tuple(notes))


def _gains(weighting: Any, n: np.ndarray, assumed: Any, notes: list[str]) -> np.ndarray:
    if not isinstance(weighting, str):
        if np.shape(weighting) != n.shape:
            raise SpecError(f"there are {np.size(weighting)} gains for {len(n)} rounds; give one per round")
        return np.asarray(weighting, dtype=np.float64)
    if weighting == "erm":
        return n / np.cumsum(n)
    if weighting != "optimal":
        raise SpecError(f"weighting is {weighting!r}; it must be erm, optimal, provenance or a list of gains")
    if assumed is None:
        raise SpecError(
            "optimal weights need `assumed`: the contamination where it is known, or an upper bound of it"
        )
    best = unequal_rounds(n, assumed)
    if best.capped.any():
        capped = ", ".join(str(t + 1) for t in np.flatnonzero(best.capped))
        notes.append(f"the best gain is above 1 and was capped at 1 in round {capped}")
    return best.gains


def _told(
    a: np.ndarray, n: np.ndarray, replicates: int, key: Key, noise: Noise, literal: bool, notes: list[str]
) -> MeanCourse:
    """The learner that knows provenance: the mean of all natural records so far."""
    errors, newest = np.empty((len(n), replicates)), np.zeros(replicates)
    total: Any = 0.0
    for t in range(len(n)):
        natural: Any = n[t] * (1 - a[t])
        if literal and t:
            natural = (key / t / "natural").generator().binomial(int(n[t]), 1 - a[t], replicates)
        total = total + natural
        if n[t]:
            mean = _noise(noise, natural, replicates, key / t / "noise")
            newest = newest + natural / total * (mean - newest)
        errors[t] = newest
    if literal:
        return MeanCourse(errors.T, None, None, tuple(notes))
    known = n * (1 - a)
    return MeanCourse(errors.T, 1 / np.cumsum(known), known / np.cumsum(known), tuple(notes))


def _noise(law: Noise, n: float | np.ndarray, replicates: int, key: Key) -> np.ndarray:
    """(R,) deviations of the mean of n records, n a number or (R,); zero where n is. A function's law is that of the whole
    mean, up to its scale."""
    stream, safe = key.generator(), np.where(n > 0, n, 1.0)
    if law == "gaussian":
        drawn = stream.standard_normal(replicates) / np.sqrt(safe)
    elif law == "exponential":
        drawn = stream.standard_gamma(safe, replicates) / safe - 1.0
    else:
        assert callable(law)
        drawn = law(stream, (replicates,)) / np.sqrt(safe)
    return np.where(n > 0, drawn, 0.0)
