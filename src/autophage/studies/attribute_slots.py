"""Images of attribute slots that are captioned within a budget and painted again (after Hu, Rostami & Thomason 2025).

One round: each image of the training set is captioned, which names some of its slots; the named slots are painted as they were,
every other one gets the value of that slot in a random image of the training set. The images of all models make the next
training set of each. The model and its closed forms are stated in `theory.attribute_slots`; here images are really painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.keys import Key
from autophage.studies.designs import chunks
from autophage.theory.arguments import probabilities, unit_interval, whole
from autophage.theory.attribute_slots import labeller_named, own_values

IN_CACHE = 16
"""Chunks of replicates are so many times smaller than those of other studies: their arrays then stay in a processor's cache."""


@dataclass(frozen=True)
class SlotCourse:
    """Frequencies of R replicates: entry t after t rounds, entry 0 those of the real images."""

    frequencies: np.ndarray
    """(R, T + 1, A, K) of the values of each slot in the training set."""

    @property
    def gini(self) -> np.ndarray:
        """(R, T + 1) H = 1 - sum p^2, mean over slots."""
        return (1 - (self.frequencies**2).sum(axis=3)).mean(axis=2)

    @property
    def kept(self) -> float:
        """E H_T / E H_0."""
        return float(self.gini[:, -1].mean() / self.gini[:, 0].mean())

    @property
    def standard_error(self) -> float:
        """Of `kept`, to first order."""
        first, last = self.gini[:, 0], self.gini[:, -1]
        return float((last - self.kept * first).std() / first.mean() / np.sqrt(len(first)))


def simulate(
    values: int = 10,
    slots: int = 1,
    *,
    images: int,
    rounds: int,
    replicates: int,
    key: Key | int,
    named: float = 0.0,
    budget: int | None = None,
    models: int = 1,
    bias: float = 0.0,
    law: Any = None,
) -> SlotCourse:
    """R replicates of T rounds of M models with n images each, A slots of K values.

    named: chance that a caption names a slot, each on its own; or budget: exactly so many of the slots, drawn anew for every
    image. bias: chance that model j paints its own value j where a slot is not named. law (K,): of the real images' slots,
    default uniform. Raises `SpecError` for a budget below 1 or above A, `models` below 1, or more biased models than values.

    >>> simulate(6, 8, images=40, rounds=5, replicates=3, key=0, budget=8).kept
    1.0
    >>> found = simulate(5, images=20, rounds=10, replicates=2000, key=0)
    >>> bool(abs(found.kept / 0.95**10 - 1) < 0.06)
    True
    """
    K, A = whole(values, 2, "values"), whole(slots, 1, "slots")
    n, T, R = whole(images, 1, "images"), whole(rounds, 0, "rounds"), whole(replicates, 1, "replicates")
    M = own_values(models, K, bias)
    b, eps = unit_interval(named, "named"), unit_interval(bias, "bias")
    if budget is not None:
        if named:
            raise SpecError("named and budget both say what a caption holds; give one of them")
        if not 1 <= budget <= A or int(budget) != budget:
            raise SpecError(
                f"budget is {budget}; it must be a whole number from 1 to the {A} slots of an image"
            )
    edges = np.cumsum(np.full(K, 1 / K) if law is None else probabilities(law))
    if len(edges) != K:
        raise SpecError(f"law has {len(edges)} probabilities for {K} values")
    key = key if isinstance(key, Key) else Key(key)
    painters = np.repeat(np.arange(M), n)[:, None]
    frequencies = np.empty((R, T + 1, A, K))
    real = (key / "real").generator()
    # A stream for every round, held over the chunks: a replicate does not depend on how many follow.
    streams = [{name: (key / t / name).generator() for name in ("caption", "fill", "bias")} for t in range(T)]
    for part in chunks(R, IN_CACHE * M * n * A):
        count = part.stop - part.start
        uniform = real.random((count, M * n, A))
        x = np.minimum(np.searchsorted(edges, uniform, side="right"), K - 1)
        frequencies[part, 0] = _frequencies(x, K)
        for t, stream in enumerate(streams):
            told = _told(stream["caption"], x.shape, b, budget)
            fill = np.take_along_axis(x, stream["fill"].integers(M * n, size=x.shape), axis=1)
            if eps:
                fill = np.where(stream["bias"].random(x.shape) < eps, painters, fill)
            x = np.where(told, x, fill)
            frequencies[part, t + 1] = _frequencies(x, K)
    return SlotCourse(frequencies)


def _told(stream: np.random.Generator, shape: tuple[int, ...], b: float, budget: int | None) -> Any:
    """Which slots (r, M n, A) the captions name."""
    if budget == shape[-1]:
        return True
    if budget is not None:
        return stream.random(shape).argsort(axis=2).argsort(axis=2) < budget
    return stream.random(shape) < b if b else False


def _frequencies(x: np.ndarray, K: int) -> np.ndarray:
    """(r, A, K) of values x (r, m, A)."""
    r, m, A = x.shape
    place = x + K * (np.arange(A) + A * np.arange(r)[:, None, None])
    return np.bincount(place.ravel(), minlength=r * A * K).reshape(r, A, K) / m


@dataclass(frozen=True)
class Labels:
    """R labellings of the same N images: entry t after t rounds, entry 0 the truth."""

    right: np.ndarray
    """(R, T + 1) share of images whose label is the true one."""
    caption_variance: np.ndarray
    """(T + 1,) chance that two labellings of an image differ, 1 - sum_c P(c | x)^2, mean over images; without bias."""


def relabel(
    values: int,
    error: float,
    *,
    images: int,
    rounds: int,
    replicates: int,
    key: Key | int,
    labeller: str = "evolving",
) -> Labels:
    """Labels of labels (`evolving`) or, with a `frozen` labeller, of the images, which keep their true value. An error names one
    of the other K - 1 values, evenly. R >= 2 labellings, for one alone has no variance.

    >>> found = relabel(10, 0.05, images=500, rounds=20, replicates=20, key=0)
    >>> bool(abs(found.right[:, -1].mean() - 0.38693) < 0.03), bool(abs(found.caption_variance[-1] - 0.80853) < 0.03)
    (True, True)
    """
    K, e = whole(values, 2, "values"), unit_interval(error, "error")
    N, T, R = whole(images, 1, "images"), whole(rounds, 0, "rounds"), whole(replicates, 2, "replicates")
    frozen = labeller_named(labeller) == "frozen"
    key = key if isinstance(key, Key) else Key(key)
    truth = np.broadcast_to((key / "real").generator().integers(K, size=N), (R, N))
    label, right, differing = truth, np.ones((R, T + 1)), np.zeros(T + 1)
    for t in range(1, T + 1):
        wrong = (key / t / "wrong").generator().random((R, N)) < e
        step = (key / t / "which").generator().integers(1, K, size=(R, N))
        label = np.where(wrong, (truth if frozen else label) + step, truth if frozen else label) % K
        right[:, t] = (label == truth).mean(axis=1)
        given = np.bincount((label + K * np.arange(N)).ravel(), minlength=N * K).reshape(N, K)
        differing[t] = 1 - (given * (given - 1)).sum(axis=1).mean() / (R * (R - 1))
    return Labels(right, differing)
