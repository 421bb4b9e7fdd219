"""Captions that name some attributes of an image: what the rest of it forgets (after Hu, Rostami & Thomason 2025).

An image has A attribute slots of K values. A caption names each slot with probability b, its budget (B of A slots: b = B/A);
the generator paints what is named and fills the rest with values from its training set. In a round all n images of the
training set are captioned, painted again, and become the next training set. H = 1 - sum_k p_k^2 is the diversity of a slot's
frequencies p. The paper's numbers were not readable; the model and its closed forms were derived for autophage, in the
direction of its findings: larger budgets and several models slow the collapse, a frozen labeller keeps labels right, and the
captions of one image may grow more different, not less.

Courses have entry t for the state after t rounds. The simulation is `studies.attribute_slots`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autophage.errors import SpecError
from autophage.theory.arguments import probabilities, unit_interval, whole


def diversity_course(
    images: int, rounds: int, named: float = 0.0, models: int = 1, gini: float = 1.0
) -> np.ndarray:
    """E H_t = H_0 (1 - (1 - b^2)/(M n))^t, shape (rounds + 1,); named: b.

    M models of n images each are all fitted to the pool of their images. b = 1 loses nothing; b = 0 is a plain resampling of
    frequencies. The square is there because half-named slots move one image at a time, not the law they are filled from.
    Status: exact.

    >>> [diversity_course(50, 60, b)[-1].round(4).item() for b in (0, 0.25, 0.5, 0.75, 0.9)]
    [0.2976, 0.3212, 0.4038, 0.5902, 0.7958]
    >>> [diversity_course(50, 50, models=M, gini=0.8)[-1].round(4).item() for M in (1, 2, 4)]
    [0.2913, 0.484, 0.6227]
    """
    size = whole(images, 1, "images") * whole(models, 1, "models")
    lost = 1 - unit_interval(named, "named") ** 2
    t = np.arange(whole(rounds, 0, "rounds") + 1)
    return unit_interval(gini, "gini") * (1 - lost / size) ** t


def time_constant(images: int, named: float = 0.0, models: int = 1) -> float:
    """M n / (1 - b^2): rounds until 1/e of the diversity is left. Infinite at b = 1. Status: asymptotic (large M n).

    >>> time_constant(50, 0.5).__round__(3)
    66.667
    """
    size = whole(images, 1, "images") * whole(models, 1, "models")
    lost = 1 - unit_interval(named, "named") ** 2
    return float(size / lost) if lost else float("inf")


def biased_frequencies(p: Any, bias: float, models: int, rounds: int, named: float = 0.0) -> np.ndarray:
    """E p_t of a slot, (rounds + 1, K), where model j = 0..M-1 fills slots from (1-eps) p + eps e_j, eps being `bias`:

        E p_t = (1 - eps')^t p_0 + (1 - (1 - eps')^t) (e_0 + ... + e_{M-1}) / M,   eps' = (1 - b) eps.

    Status: exact for any number of images.

    >>> biased_frequencies([0.25] * 4, 0.5, 2, 1)[-1].tolist()
    [0.375, 0.375, 0.125, 0.125]
    """
    first = probabilities(p)
    M = own_values(models, len(first), bias)
    pull = (1 - unit_interval(named, "named")) * unit_interval(bias, "bias")
    biases = np.where(np.arange(len(first)) < M, 1 / M, 0.0)
    left = (1 - pull) ** np.arange(whole(rounds, 0, "rounds") + 1)[:, None]
    return left * first + (1 - left) * biases


def biased_gini(p: Any, bias: float, models: int, rounds: int) -> np.ndarray:
    """H of `biased_frequencies`, (rounds + 1,), tending to 1 - 1/M: one model alone ends on its own bias, M models with
    different ones keep each other open. Status: asymptotic (many images; sampling loses more).

    >>> [biased_gini([1 / 8] * 8, 0.05, M, 100)[-1].round(4).item() for M in (1, 2, 4, 8)]
    [0.0103, 0.5044, 0.7515, 0.875]
    """
    return 1 - (biased_frequencies(p, bias, models, rounds) ** 2).sum(axis=1)


def label_memory(values: int, error: float) -> float:
    """lambda = 1 - e K/(K-1): the eigenvalue of the confusion matrix R = (1 - e - e/(K-1)) I + e/(K-1) 11' that is not 1.
    Status: exact.

    >>> round(label_memory(10, 0.05), 6)
    0.944444
    """
    K = whole(values, 2, "values")
    return float(1 - unit_interval(error, "error") * K / (K - 1))


def label_accuracy(values: int, error: float, rounds: int, labeller: str = "evolving") -> np.ndarray:
    """P(an image's label is right after t rounds), (rounds + 1,); a labeller errs with probability e, evenly.

        evolving (labels of labels):  1/K + (1 - 1/K) lambda^t;      frozen (labels of the images):  1 - e for t >= 1.

    Status: exact.

    >>> [label_accuracy(10, 0.05, 20, how)[-1].round(5).item() for how in ("evolving", "frozen")]
    [0.38693, 0.95]
    """
    lam, t = label_memory(values, error), np.arange(whole(rounds, 0, "rounds") + 1)
    if labeller_named(labeller) == "frozen":
        return np.where(t == 0, 1.0, 1 - error)
    return 1 / values + (1 - 1 / values) * lam**t


def caption_variance(values: int, error: float, rounds: int, labeller: str = "evolving") -> np.ndarray:
    """1 - sum_c P(c | x)^2 over repeated labellings of one image, (rounds + 1,).

        evolving:  (1 - 1/K)(1 - lambda^{2t}), which grows to 1 - 1/K;      frozen:  that of t = 1 at every t >= 1.

    So captions may spread while the loop collapses. Status: exact.

    >>> caption_variance(10, 0.05, 20)[-1].round(5).item()
    0.80853
    """
    lam, t = label_memory(values, error), np.arange(whole(rounds, 0, "rounds") + 1)
    if labeller_named(labeller) == "frozen":
        t = np.minimum(t, 1)
    return (1 - 1 / values) * (1 - lam ** (2 * t))


def own_values(models: int, values: int, bias: float) -> int:
    """The number of models. Raises `SpecError` when their biases cannot all be different values."""
    M = whole(models, 1, "models")
    if bias and values < M:
        raise SpecError(f"models is {M} and values is {values}; each biased model needs a value of its own")
    return M


def labeller_named(labeller: str) -> str:
    """The labeller. Raises `SpecError` unless it is evolving or frozen."""
    if labeller not in ("evolving", "frozen"):
        raise SpecError(f"labeller is {labeller!r}; it must be evolving or frozen")
    return labeller
