"""Which noise goes with which record: exactness, marginals, classes and weights."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from autophage.diffusion.coupling import COUPLINGS, equalised, independent, optimal
from autophage.errors import FitFailed
from autophage.keys import Key


def drawn(name: str | int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=(Key(0) / "coupling" / name).torch())


def cost(noise: Tensor, x: Tensor) -> float:
    return float((noise - x).double().square().sum())


def rows(x: Tensor) -> list[list[float]]:
    return sorted(x.flatten(1).tolist())


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("trial", range(4))
def test_assignment_is_that_of_brute_force(dim: int, trial: int) -> None:
    noise, x = drawn(f"noise {trial}", 6, dim), 2 * drawn(f"x {trial}", 6, dim) + 1
    least = min(cost(noise[list(p)], x) for p in permutations(range(6)))
    assert cost(optimal(noise, x), x) == pytest.approx(least, rel=1e-6)


def test_in_one_dimension_the_order_is_kept() -> None:
    noise, x = drawn("noise", 200, 1), drawn("x", 200, 1).exp()
    paired = optimal(noise, x)
    assert torch.equal(paired[x[:, 0].argsort(), 0], noise[:, 0].sort().values)


@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.parametrize("classes", [None, 4])
def test_a_coupling_is_a_permutation_and_keeps_both_marginals(name: str, classes: int | None) -> None:
    noise, x = drawn("noise", 64, 1, 3, 3), drawn("x", 64, 1, 3, 3) - 1
    before = x.clone()
    group = None if classes is None else np.arange(64) % classes
    paired = COUPLINGS[name](noise, x, group)
    assert paired.shape == noise.shape and rows(paired) == rows(noise) and torch.equal(x, before)


def test_independent_pairs_stay_as_they_were_drawn_and_optimal_ones_are_closer() -> None:
    noise, x = drawn("noise", 128, 8), drawn("x", 128, 8) * torch.linspace(0.2, 2, 8)
    assert torch.equal(independent(noise, x), noise)
    assert cost(optimal(noise, x), x) < 0.9 * cost(noise, x)
    assert torch.equal(optimal(noise, x), optimal(noise, x, np.zeros(128, int)))


def test_classes_exchange_no_noise_and_each_is_assigned_exactly() -> None:
    noise, x = drawn("noise", 13, 2), drawn("x", 13, 2)
    group = np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 2, 0, 2, 3])
    paired = optimal(noise, x, group)
    for c in range(4):
        own = torch.from_numpy(np.flatnonzero(group == c))
        assert rows(paired[own]) == rows(noise[own])
        least = min(cost(noise[own][list(p)], x[own]) for p in permutations(range(len(own))))
        assert cost(paired[own], x[own]) == pytest.approx(least, rel=1e-6)
    assert cost(optimal(noise, x), x) <= cost(paired, x) <= cost(noise, x)


def test_a_class_starts_everywhere_only_if_it_is_assigned_by_itself() -> None:
    # Two classes, far left and far right: over the whole batch each would get the noise of its own side, mean +- (2 / pi)^(1/2).
    batches, n = 400, 32
    noise, group = drawn("noise", batches, n, 1), np.arange(n) % 2
    x = torch.where(torch.from_numpy(group) == 0, -5.0, 5.0)[None, :, None] + drawn("x", batches, n, 1)
    left = torch.from_numpy(group == 0)
    within = torch.stack([optimal(b, r, group)[left] for b, r in zip(noise, x, strict=True)])
    across = torch.stack([optimal(b, r)[left] for b, r in zip(noise, x, strict=True)])
    error = 1 / np.sqrt(batches * n / 2)
    assert abs(float(within.mean())) < 4 * error
    assert abs(float(within.square().mean()) - 1) < 4 * np.sqrt(2) * error
    assert float(across.mean()) == pytest.approx(-np.sqrt(2 / np.pi), abs=0.1)


def test_records_or_noise_that_are_not_finite_fail_the_fit() -> None:
    x = drawn("x", 8, 2)
    x[3, 1] = torch.nan
    with pytest.raises(FitFailed, match="optimal coupling needs finite records"):
        optimal(drawn("noise", 8, 2), x)


def test_equalised_places_hold_records_in_proportion_to_their_weights() -> None:
    weight = np.array([0.0, 3.0, 1.0, 0.5, 0.0, 1.5], np.float32)
    generator = (Key(0) / "places").torch()
    trials = 4000
    counts = np.zeros((trials, 6))
    for i in range(trials):
        places, equal = equalised(weight, None, generator)
        assert np.array_equal(equal, np.ones(6, np.float32)) and places.shape == (6,)
        counts[i] = np.bincount(places, minlength=6)
    # Systematic: each record as often as its share says, rounded up or down.
    assert (np.abs(counts - weight) < 1).all() and (counts[:, weight == 0] == 0).all()
    assert np.abs(counts.mean(0) - weight).max() < 4 * 0.5 / np.sqrt(trials)


def test_equalised_keeps_to_the_groups_and_their_mean_weights() -> None:
    group = np.array([1, 0, 1, 2, 0, 1])
    weight = np.array([2.0, 0.5, 0.0, 0.0, 1.5, 1.0], np.float32)
    places, equal = equalised(weight, group, (Key(1) / "places").torch())
    assert np.array_equal(group[places], group)
    assert np.array_equal(equal, np.array([1, 1, 1, 0, 1, 1], np.float32))
    assert 2 not in places[group == 1]
    # Equal weights change nothing.
    same, ones = equalised(np.ones(6, np.float32), group, (Key(2) / "places").torch())
    assert np.array_equal(same, np.arange(6)) and np.array_equal(ones, np.ones(6))


def test_the_last_weight_may_be_zero_whatever_the_rounding() -> None:
    weight = np.array([0.1] * 9 + [0.0], np.float32)
    for i in range(200):
        places, _ = equalised(weight, None, (Key(i) / "rounding").torch())
        assert places.max() < 9
